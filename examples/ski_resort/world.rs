//! The simulated clock: the time of a step, and which resorts are open then.

use anyhow::{Context, Result};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

use crate::resorts::Zone;

/// Simulated seconds from one step to the next.
pub(crate) const STEP_SECONDS: u64 = 27;
/// Steps in a simulated day.
pub(crate) const STEPS_PER_DAY: u64 = SECONDS_PER_DAY / STEP_SECONDS;
/// Seconds in a day.
pub(crate) const SECONDS_PER_DAY: u64 = 86_400;

const OPENS: i8 = 8;
const CLOSES: i8 = 16;

/// The clock of one simulated history.
#[derive(Debug, Clone)]
pub(crate) struct World {
    start: Timestamp,
    mountain: TimeZone,
    pacific: TimeZone,
}

/// The moment of one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Simulated seconds since the start.
    pub(crate) elapsed: u64,
    /// Days from the Unix epoch to its UTC date.
    pub(crate) date: i64,
    /// Whether its UTC date is a Saturday or a Sunday.
    pub(crate) weekend: bool,
    mountain_open: bool,
    pacific_open: bool,
}

impl World {
    /// A world whose step 0 is at `start`.
    pub(crate) fn new(start: Timestamp) -> Result<Self> {
        // The bundled time zones, not those of the machine, so that the history is the same everywhere.
        let zones = TimeZoneDatabase::bundled();
        Ok(Self {
            start,
            mountain: zones.get("America/Denver")?,
            pacific: zones.get("America/Los_Angeles")?,
        })
    }

    /// The moment of step `step`.
    pub(crate) fn at(&self, step: u64) -> Result<Moment> {
        let elapsed = step
            .checked_mul(STEP_SECONDS)
            .context("the simulated clock overflowed")?;
        let timestamp = self.after(elapsed)?;
        let days = timestamp.as_second().div_euclid(86_400);
        Ok(Moment {
            elapsed,
            date: days,
            // The epoch was a Thursday.
            weekend: matches!(days.rem_euclid(7), 2 | 3),
            mountain_open: is_open(timestamp, &self.mountain),
            pacific_open: is_open(timestamp, &self.pacific),
        })
    }

    /// The instant `elapsed` simulated seconds after the start.
    pub(crate) fn after(&self, elapsed: u64) -> Result<Timestamp> {
        let offset = SignedDuration::from_secs(i64::try_from(elapsed)?);
        self.start
            .checked_add(offset)
            .with_context(|| format!("the simulation cannot go beyond {}", Timestamp::MAX))
    }
}

impl Moment {
    /// Whether resorts on this clock are open: 08:00 to 16:00 local time.
    pub(crate) fn is_open(&self, zone: Zone) -> bool {
        match zone {
            Zone::Mountain => self.mountain_open,
            Zone::Pacific => self.pacific_open,
        }
    }

    /// Whether any resort is open.
    pub(crate) fn any_open(&self) -> bool {
        self.mountain_open || self.pacific_open
    }
}

fn is_open(timestamp: Timestamp, zone: &TimeZone) -> bool {
    (OPENS..CLOSES).contains(&timestamp.to_zoned(zone.clone()).hour())
}

/// ISO 8601 with `+00:00`, and microseconds only where there are any.
pub(crate) fn iso(timestamp: Timestamp) -> String {
    let format = if timestamp.subsec_microsecond() == 0 {
        "%Y-%m-%dT%H:%M:%S+00:00"
    } else {
        "%Y-%m-%dT%H:%M:%S.%6f+00:00"
    };
    timestamp.strftime(format).to_string()
}
