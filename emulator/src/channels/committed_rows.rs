//! The rows of a commit, for those who observe the emulator.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::landing::Landed;
use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::Table;
use crate::storage::records::RejectedRow;

/// The rows that a commit added to a table: see [`EmulatorBuilder::on_commit`](crate::EmulatorBuilder::on_commit).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CommittedRows {
    /// The table.
    pub table: ObjectName,
    /// The channel's name as it was first opened.
    pub channel: String,
    /// The channel's token after the commit.
    pub offset_token: Option<String>,
    /// The rows in the order in which they landed: each is an object by column, as [`Emulator::rows`](crate::Emulator::rows)
    /// returns it.
    pub rows: Vec<Value>,
    /// The rows that were rejected.
    pub rejected: Vec<RejectedRow>,
}

impl CommittedRows {
    pub(crate) fn new(name: &ObjectName, table: &Table, landed: &Landed) -> Self {
        Self {
            table: name.clone(),
            channel: landed.record.channel.clone(),
            offset_token: landed.record.offset_token.clone(),
            rows: landed
                .rows
                .iter()
                .cloned()
                .map(|row| table.to_json(row))
                .collect(),
            rejected: landed.rejected.clone(),
        }
    }
}

/// A function that is called after each commit.
#[derive(Clone)]
pub(crate) struct CommitObserver(Arc<dyn Fn(&CommittedRows) + Send + Sync>);

impl CommitObserver {
    pub(crate) fn new(observer: impl Fn(&CommittedRows) + Send + Sync + 'static) -> Self {
        Self(Arc::new(observer))
    }

    pub(crate) fn call(&self, rows: &CommittedRows) {
        (self.0)(rows);
    }
}

impl fmt::Debug for CommitObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitObserver").finish_non_exhaustive()
    }
}
