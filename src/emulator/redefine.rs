//! Other tables and pipes for a running emulator.

use std::collections::BTreeSet;

use super::Emulator;
use super::catalog::object_name::ObjectName;
use super::catalog::tables::folded;
use super::channels::state::State;
use super::ddl::statements::{Change, DdlError};
use super::storage::interface::StorageError;
use super::storage::records::SchemaChange;
use crate::types::error::{Error, ErrorKind, Result};

/// Why a DDL script is not carried out on a running emulator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotCarriedOut {
    #[error("the DDL script cannot be carried out: {0}")]
    Script(#[from] DdlError),
    #[error(
        "the emulator takes every pipe and has channels already: reset it first, and it has only the tables of the script"
    )]
    TakesEverything,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl State {
    /// Carries out a DDL script; all of it or nothing.
    pub(crate) fn apply_ddl(&mut self, script: &str) -> std::result::Result<(), NotCarriedOut> {
        if self.catalog.is_anything() && !self.channels.is_empty() {
            return Err(NotCarriedOut::TakesEverything);
        }
        let (after, changes) = self.catalog.after_ddl(script)?;
        let (mut dropped, mut forgotten) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::CreateTable(_) => {}
                Change::DropTable(table) => dropped.push(table),
                Change::ForgetChannels(pipe) => forgotten.push(pipe),
            }
        }
        self.storage.change(&SchemaChange {
            script,
            catalog: &after,
            dropped: &dropped,
            forgotten: &forgotten,
        })?;
        self.catalog = after;
        let forgotten: BTreeSet<ObjectName> = forgotten.iter().map(folded).collect();
        self.channels
            .retain(|(pipe, _), _| !forgotten.contains(&folded(pipe)));
        self.pipes_since_ms = Some(self.now_ms);
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
    /// has channels; [`ErrorKind::Server`] if the storage fails. Then nothing is changed.
    pub fn apply_ddl(&self, script: &str) -> Result<()> {
        let done = self.handler().state.apply_ddl(script);
        done.map_err(|why| {
            let kind = match why {
                NotCarriedOut::Storage(_) => ErrorKind::Server,
                _ => ErrorKind::Config,
            };
            Error::new(kind, why.to_string()).with_source(why)
        })
    }
}
