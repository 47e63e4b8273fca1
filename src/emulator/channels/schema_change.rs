//! Changes of the tables and pipes while the emulator runs.

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use super::channel::is_elastic;
use super::numbers;
use super::state::State;
use crate::emulator::catalog::object_name::ObjectName;
use crate::emulator::catalog::tables::folded;
use crate::emulator::ddl::literal::Literal;
use crate::emulator::ddl::rows::Rows;
use crate::emulator::ddl::session::Session;
use crate::emulator::ddl::statements::{Change, DdlError, Outcome};
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

/// What a script has done.
#[derive(Debug)]
pub(crate) struct Applied {
    /// The database and schema that it ended in.
    pub(crate) session: Session,
    pub(crate) inserted: usize,
    pub(crate) deleted: u64,
}

impl State {
    /// Carries out all of a script, or nothing.
    pub(crate) fn apply_ddl(&mut self, script: &str) -> Result<(), SchemaChangeError> {
        self.apply(script, &[]).map(drop)
    }

    /// Carries out all of a script, or nothing. `bindings` are the values for the placeholders of an INSERT.
    ///
    /// The channels of a table that is replaced are not refused: until they are opened again they accept rows and lose them, as in an
    /// account.
    pub(crate) fn apply(
        &mut self,
        script: &str,
        bindings: &[Vec<Literal>],
    ) -> Result<Applied, SchemaChangeError> {
        let now = UNIX_EPOCH + Duration::from_millis(self.now_ms);
        let Outcome {
            catalog: after,
            changes,
            inserted,
            session,
        } = self
            .catalog
            .after_ddl(script, Rows::changed(now, bindings))?;
        let was_anything = self.catalog.is_anything();
        if was_anything && !after.is_anything() && !self.channels.is_empty() {
            return Err(SchemaChangeError::TakesEverything);
        }
        let (mut dropped, mut forgotten) = (Vec::new(), Vec::new());
        let (mut truncated, mut altered) = (Vec::new(), Vec::new());
        let mut errors_truncated = Vec::new();
        for change in changes {
            match change {
                Change::CreateTable(_) => {}
                Change::AlterTable(table) => altered.push(table),
                Change::TruncateTable(table) => truncated.push(table),
                Change::TruncateErrors(table) => errors_truncated.push(table),
                Change::DropTable(table) => dropped.push(table),
                Change::ForgetChannels(pipe) => forgotten.push(pipe),
            }
        }
        let mut deleted = 0;
        for table in &truncated {
            deleted += self.storage.count(table)?;
        }
        self.storage.change(&SchemaChange {
            script: Some(script).filter(|_| !after.has_same_objects(&self.catalog)),
            catalog: &after,
            dropped: &dropped,
            forgotten: &forgotten,
            truncated: &truncated,
            errors_truncated: &errors_truncated,
            altered: &altered,
            inserted: &inserted,
        })?;
        numbers::keep(after.all_sequences(), self.storage.as_mut())?;
        let is_same = dropped.is_empty() && forgotten.is_empty();
        let is_same = is_same && after.has_same_objects(&self.catalog);
        self.catalog = after;
        if !inserted.is_empty() {
            self.commits += 1;
        }
        let applied = Applied {
            session,
            inserted: inserted.values().map(Vec::len).sum(),
            deleted,
        };
        if is_same {
            return Ok(applied);
        }
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
        Ok(applied)
    }
}
