//! How long a stream that failed waits before it is started again.

use std::time::Duration;

use crate::dice::Dice;
use crate::table::Table;

const LONGEST: Duration = Duration::from_secs(16);
/// How much longer than it would be a pause may be, in thousandths.
const JITTER: u32 = 250;

/// The pauses of one stream. Each is twice the one before, up to 16 seconds, and by chance up to a quarter longer, so that
/// streams that failed together do not all come back together.
#[derive(Debug)]
pub(crate) struct Pauses {
    next: Duration,
    dice: Dice,
}

impl Pauses {
    /// The pauses of an instance's stream to a table, of which no two streams have the same. The first one is `first`, and
    /// what chance adds.
    pub(crate) fn new(first: Duration, instance: u64, table: Table) -> Self {
        Self {
            next: first.min(LONGEST),
            dice: Dice::new(instance, table as u64),
        }
    }

    /// The next pause.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        let longer = self.dice.within(&(0..=u64::from(JITTER)));
        pause + pause * u32::try_from(longer).unwrap_or(JITTER) / 1_000
    }
}
