//! When a step is due on the wall clock. The speed has no effect on the generated rows.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio::time::Instant;

use crate::world::STEP_SECONDS;

/// The longest delay that is made up for after the machine slept or the generator was blocked.
const MAX_CATCH_UP: Duration = Duration::from_secs(600);

/// The speed of the simulated clock relative to the wall clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Speed {
    /// As fast as the queue accepts rows.
    Max,
    /// This many times as fast.
    Times(f64),
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "max" => Ok(Self::Max),
            "turtle" => Ok(Self::Times(120.0)),
            "llama" => Ok(Self::Times(480.0)),
            "cheetah" => Ok(Self::Times(960.0)),
            number => match number.parse::<f64>() {
                Ok(times) if (0.001..=1_000_000.0).contains(&times) => Ok(Self::Times(times)),
                _ => Err(
                    "a speed is turtle, llama, cheetah, max, or a number from 0.001 to 1000000"
                        .to_owned(),
                ),
            },
        }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => f.write_str("max"),
            Self::Times(times) => times.fmt(f),
        }
    }
}

/// Computes which steps are due.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Wall time from one step to the next; none at [`Speed::Max`].
    interval: Option<Duration>,
    /// When `first_step` was due.
    origin: Instant,
    first_step: u64,
}

impl Pace {
    /// A pace at which `first_step` is due now.
    pub(crate) fn new(speed: Speed, first_step: u64) -> Self {
        let interval = match speed {
            Speed::Max => None,
            Speed::Times(times) => {
                Some(Duration::from_secs(STEP_SECONDS).div_f64(times)).filter(|i| !i.is_zero())
            }
        };
        Self {
            interval,
            origin: Instant::now(),
            first_step,
        }
    }

    /// Waits until `step` is due. Returns how many steps from `step` on are due, from 1 to `most`. Cancel safe.
    pub(crate) async fn due(&mut self, step: u64, most: u64) -> u64 {
        let Some(interval) = self.interval else {
            return most;
        };
        let due = self.origin + times(interval, step.saturating_sub(self.first_step));
        tokio::time::sleep_until(due).await;
        let mut late = due.elapsed();
        if let Some(forgone) = late.checked_sub(MAX_CATCH_UP) {
            self.origin += forgone;
            late = MAX_CATCH_UP;
        }
        let more = late.as_nanos() / interval.as_nanos();
        u64::try_from(more).map_or(most, |more| more.saturating_add(1).min(most))
    }
}

fn times(interval: Duration, count: u64) -> Duration {
    let nanos = interval.as_nanos().saturating_mul(u128::from(count));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
