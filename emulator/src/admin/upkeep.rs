//! Changes to a running emulator: the pace of commits, and a reset.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::instance::Emulator;

impl Emulator {
    /// Deletes rows, channels, faults, uploaded files and logged requests, and restores the initial pace of commits. Tables, pipes,
    /// keys and tokens stay. For use between two test cases.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Storage`] if the storage cannot be emptied; then nothing is deleted.
    pub fn reset(&self) -> Result<()> {
        self.handler().reset().map_err(|why| {
            Error::new(ErrorKind::Storage, "the emulator cannot be reset").with_source(why)
        })?;
        self.0.faults.reset();
        #[cfg(feature = "server")]
        self.0.statements.clear();
        Ok(())
    }

    /// Deletes the rows and channels of one database, so that tests that run at the same time do not meet. Everything else stays.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Storage`] if the storage cannot be emptied; then nothing is deleted.
    pub fn reset_database(&self, database: &str) -> Result<()> {
        let reset = self.handler().state.reset_database(database);
        reset.map_err(|why| {
            let text = format!("the database {database} of the emulator cannot be reset");
            Error::new(ErrorKind::Storage, text).with_source(why)
        })
    }

    /// Sets how old a batch must be before it commits. Batches that already wait are included.
    pub fn set_commit_delay(&self, delay: Duration) {
        let mut handler = self.handler();
        let every = handler.state.rules.commit_every;
        handler.state.pace(delay, every);
    }

    /// Sets how often batches that are old enough commit. With zero, each commits by itself.
    pub fn set_commit_every(&self, period: Duration) {
        let mut handler = self.handler();
        let delay = handler.state.rules.commit_delay;
        handler.state.pace(delay, period);
    }

    /// While commits are held, only [`commit_now`](Self::commit_now) and the end of a server commit anything.
    pub fn hold_commits(&self, hold: bool) {
        self.handler().state.is_held = hold;
    }

    /// Keeps the rows of appends in the log of requests.
    #[cfg(feature = "server")]
    pub(crate) fn keep_rows(&self) {
        self.handler().log.keeps_rows = true;
    }
}
