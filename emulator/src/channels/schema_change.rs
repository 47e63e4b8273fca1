//! Changes of the tables and pipes while the emulator runs.

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use super::channel::is_elastic;
use super::numbers;
use super::state::State;
use crate::answers::{DroppedTable, RecreatedPipe, RecreatedTable, ReplacedTable};
use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::{Catalog, Pipe, folded};
use crate::ddl::literal::Literal;
use crate::ddl::rows::Rows;
use crate::ddl::session::Session;
use crate::ddl::statements::{Change, DdlError, Outcome};
use crate::storage::interface::StorageError;
use crate::storage::records::SchemaChange;

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
        let before = std::mem::replace(&mut self.catalog, after);
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
        let dropped: BTreeSet<ObjectName> = dropped.iter().map(folded).collect();
        self.forget_channels(&before, &forgotten, &dropped);
        self.pipes_since_ms = Some(self.now_ms);
        Ok(applied)
    }

    /// Ends the channels of pipes that are gone or lead to a new table. What becomes of rows on those whose table was dropped or
    /// replaced is one of the answers to what is not documented.
    fn forget_channels(
        &mut self,
        before: &Catalog,
        forgotten: &BTreeSet<ObjectName>,
        dropped: &BTreeSet<ObjectName>,
    ) {
        let (catalog, now_ms) = (&self.catalog, self.now_ms);
        let answers = self.rules.answers.tables;
        let former_pipes = &mut self.former_pipes;
        self.channels.retain(|(name, channel_name), channel| {
            if !forgotten.contains(&folded(name)) {
                return true;
            }
            let (now, former) = (catalog.pipe(name), before.pipe(name));
            let is_replaced = now.is_some();
            let pipe = now.or(former);
            let has_lost_its_table = |pipe: &Pipe| dropped.contains(&folded(&pipe.table));
            let Some(pipe) = pipe.filter(has_lost_its_table) else {
                return false;
            };
            if answers.recreated_table == RecreatedTable::NotYet {
                former_pipes.add_outlived(&pipe.name, now_ms);
            }
            let is_kept = is_replaced || answers.dropped_table == DroppedTable::AcceptAndLose;
            if !is_kept || is_elastic(channel_name) {
                return false;
            }
            let refuses = is_replaced && answers.replaced_table == ReplacedTable::Refuse;
            channel.forget(&pipe, now_ms, refuses);
            if !is_replaced {
                former_pipes.add_dropped(pipe);
            }
            true
        });
        let channels = &self.channels;
        former_pipes.keep_dropped(|name| channels.keys().any(|(pipe, _)| folded(pipe) == *name));
        if self.rules.answers.pipes.recreated_pipe == RecreatedPipe::Stale {
            let made = before.pipes.iter();
            let ended = made.filter(|(name, pipe)| {
                forgotten.contains(*name) && !dropped.contains(&folded(&pipe.table))
            });
            for (name, _) in ended {
                former_pipes.add_stale(name.clone());
            }
        }
    }
}
