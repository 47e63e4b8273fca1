//! What a test does to a running emulator besides talking to it: another pace of commits, a fresh start.

use std::time::Duration;

use crate::emulator::instance::Emulator;
use crate::types::error::{Error, ErrorKind, Result};

impl Emulator {
    /// Forgets rows, channels, faults, uploaded files and requests, and commits as it did at first. Tables, pipes, keys
    /// and tokens stay: what a test needs between two cases.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Server`] if the storage cannot be emptied; then nothing is forgotten.
    pub fn reset(&self) -> Result<()> {
        self.handler().reset().map_err(|why| {
            Error::new(ErrorKind::Server, "the emulator cannot be reset").with_source(why)
        })?;
        self.0.faults.reset();
        #[cfg(feature = "emulator-server")]
        self.0.statements.clear();
        Ok(())
    }

    /// From now on batches commit once they are this old; those that wait already as well.
    pub fn set_commit_delay(&self, delay: Duration) {
        let mut handler = self.handler();
        let every = handler.state.rules.commit_every;
        handler.state.pace(delay, every);
    }

    /// From now on batches that are old enough commit this often; zero commits each on its own.
    pub fn set_commit_every(&self, period: Duration) {
        let mut handler = self.handler();
        let delay = handler.state.rules.commit_delay;
        handler.state.pace(delay, period);
    }

    /// While commits are held, only [`commit_now`](Self::commit_now) and the end of a server commit anything.
    pub fn hold_commits(&self, hold: bool) {
        self.handler().state.is_held = hold;
    }

    /// Keeps the beginning of the rows of each append with its request, for tests that look at them.
    #[cfg(feature = "emulator-server")]
    pub(crate) fn keep_rows(&self) {
        self.handler().log.keeps_rows = true;
    }
}
