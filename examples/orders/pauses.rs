//! How long a failed stream waits before it starts again.

use std::time::Duration;

use snowpipe_connector_support::dice::Dice;

use crate::table::Table;

const LONGEST: Duration = Duration::from_secs(16);
/// The highest random addition to a pause, in thousandths of it.
const JITTER: u32 = 250;

/// The pauses of one stream. Each is twice as long as the one before, up to 16 seconds, plus a random quarter at most, so that
/// streams that failed together do not all start again together.
#[derive(Debug)]
pub(crate) struct Pauses {
    next: Duration,
    dice: Dice,
}

impl Pauses {
    /// The pauses of an instance's stream to a table; every stream has different ones. The first is `first`, plus the random
    /// addition.
    pub(crate) fn new(first: Duration, instance: Option<u64>, table: Table) -> Self {
        Self {
            next: first.min(LONGEST),
            dice: Dice::new(instance.map_or(0, |instance| instance + 1), table as u64),
        }
    }

    /// The next pause.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        let jitter = self.dice.within(&(0..=u64::from(JITTER)));
        pause + pause * u32::try_from(jitter).unwrap_or(JITTER) / 1_000
    }
}
