//! Changes of the tables and pipes while the emulator runs.

use std::collections::BTreeSet;

use super::channel::is_elastic;
use super::state::State;
use crate::emulator::catalog::object_name::ObjectName;
use crate::emulator::catalog::tables::folded;
use crate::emulator::ddl::statements::{Change, DdlError};
use crate::emulator::storage::interface::StorageError;
use crate::emulator::storage::records::SchemaChange;

/// Why a DDL script cannot be carried out on a running emulator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SchemaChangeError {
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
    /// Carries out all of a DDL script, or nothing.
    ///
    /// The channels of a table that is replaced are not refused: until they are opened again they accept rows and lose them, as in an
    /// account.
    pub(crate) fn apply_ddl(&mut self, script: &str) -> Result<(), SchemaChangeError> {
        if self.catalog.is_anything() && !self.channels.is_empty() {
            return Err(SchemaChangeError::TakesEverything);
        }
        let (after, changes) = self.catalog.after_ddl(script)?;
        let (mut dropped, mut forgotten) = (Vec::new(), Vec::new());
        let (mut truncated, mut altered) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::CreateTable(_) => {}
                Change::AlterTable(table) => altered.push(table),
                Change::TruncateTable(table) => truncated.push(table),
                Change::DropTable(table) => dropped.push(table),
                Change::ForgetChannels(pipe) => forgotten.push(pipe),
            }
        }
        self.storage.change(&SchemaChange {
            script,
            catalog: &after,
            dropped: &dropped,
            forgotten: &forgotten,
            truncated: &truncated,
            altered: &altered,
        })?;
        self.catalog = after;
        let forgotten: BTreeSet<ObjectName> = forgotten.iter().map(folded).collect();
        let replaced: BTreeSet<ObjectName> = dropped.iter().map(folded).collect();
        let (catalog, now_ms) = (&self.catalog, self.now_ms);
        self.channels.retain(|(pipe, name), channel| {
            if !forgotten.contains(&folded(pipe)) {
                return true;
            }
            let pipe = catalog.pipe(pipe);
            let Some(pipe) = pipe.filter(|pipe| replaced.contains(&folded(&pipe.table))) else {
                return false;
            };
            if is_elastic(name) {
                return false;
            }
            channel.forget(&pipe, now_ms);
            true
        });
        self.pipes_since_ms = Some(self.now_ms);
        Ok(())
    }
}
