//! What a test does to a running emulator besides talking to it: other tables, another pace of commits, a fresh start.

use std::time::Duration;

use super::Emulator;
use super::ddl::{Change, DdlError};
use super::landing::{LandingError, SchemaChange};
use super::state::State;
use super::tables::folded;
use crate::error::{Error, ErrorKind, Result};

/// Why a DDL script is not carried out on a running emulator.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotCarriedOut {
    #[error("the DDL script cannot be carried out: {0}")]
    Script(#[from] DdlError),
    #[error(
        "the emulator takes every pipe and has channels already: reset it first, and it has only the tables of the script"
    )]
    TakesEverything,
    #[error(transparent)]
    Landing(#[from] LandingError),
}

impl State {
    /// Carries out a DDL script; all of it or nothing.
    pub(super) fn apply_ddl(&mut self, script: &str) -> std::result::Result<(), NotCarriedOut> {
        if self.catalog.is_anything() && !self.channels.is_empty() {
            return Err(NotCarriedOut::TakesEverything);
        }
        let (after, changes) = self.catalog.after_ddl(script)?;
        let (mut dropped, mut forgotten) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::CreateTable(_) => {}
                Change::DropTable(table) => dropped.push(table),
                Change::ForgetChannels(pipe) => forgotten.push(folded(&pipe)),
            }
        }
        self.landing.change(&SchemaChange {
            script,
            catalog: &after,
            dropped: &dropped,
            forgotten: &forgotten,
        })?;
        self.catalog = after;
        self.channels
            .retain(|(pipe, _), _| !forgotten.contains(&folded(pipe)));
        Ok(())
    }
}

impl Emulator {
    /// Carries out a DDL script on the tables and pipes there are: CREATE [OR REPLACE] and DROP, as at the start. What is
    /// made anew or dropped loses its rows and channels. An emulator that takes every pipe has only the script's from
    /// then on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the script is wrong, with its line and column, or if the emulator takes every pipe and
    /// has channels; [`ErrorKind::Server`] if the landing fails. Then nothing is changed.
    pub fn apply_ddl(&self, script: &str) -> Result<()> {
        let done = self.handler().state.apply_ddl(script);
        done.map_err(|why| {
            let kind = match why {
                NotCarriedOut::Landing(_) => ErrorKind::Server,
                _ => ErrorKind::Config,
            };
            Error::new(kind, why.to_string()).with_source(why)
        })
    }

    /// Forgets rows, channels, faults, uploaded files and requests, and commits as it did at first. Tables, pipes, keys
    /// and tokens stay: what a test needs between two cases.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Server`] if the landing cannot be emptied; then nothing is forgotten.
    pub fn reset(&self) -> Result<()> {
        self.handler().reset().map_err(|why| {
            Error::new(ErrorKind::Server, "the emulator cannot be reset").with_source(why)
        })?;
        self.0.faults.reset();
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

    /// Keeps the beginning of the rows of each append with its request, for whoever wants to see them.
    pub(super) fn keep_rows(&self) {
        self.handler().keeps_rows = true;
    }
}
