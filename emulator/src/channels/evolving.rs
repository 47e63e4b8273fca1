//! Schema evolution at a commit: the table changes before the rows that need it land.

use std::collections::BTreeMap;

use super::events::{Failed, What};
use super::state::{Key, State};
use crate::catalog::evolution::Evolution;
use crate::catalog::tables::{Pipe, folded};
use crate::messages::body;
use crate::storage::interface::StorageError;
use crate::storage::records::{ChannelRecord, SchemaChange};

/// The status of a channel whose rows the table cannot follow. The code of accounts is not published; that they invalidate the channel is.
const MUST_BE_REOPENED: &str = "ERR_CHANNEL_MUST_BE_REOPENED";

impl State {
    /// Changes the table for the batches of a channel that are due at `due_ms`. Returns whether they can land at `at_ms`: not while the
    /// change takes its time, and not if it is impossible, which invalidates the channel.
    pub(crate) fn evolve(
        &mut self,
        key: &Key,
        pipe: &Pipe,
        due_ms: u64,
        at_ms: u64,
    ) -> Result<bool, StorageError> {
        let table = self.catalog.table(&pipe.table);
        let (Some(channel), Some(table)) = (self.channels.get_mut(key), table) else {
            return Ok(true);
        };
        if !table.is_evolving || self.rules.may_not_evolve {
            return Ok(true);
        }
        let rows = channel
            .due(due_ms)
            .flat_map(|batch| body::lines(&batch.body));
        match Evolution::of(table, pipe, self.rules.answers.evolution, rows) {
            Ok(None) => Ok(true),
            Ok(Some(evolution)) => {
                let delay =
                    u64::try_from(self.rules.evolution_delay.as_millis()).unwrap_or(u64::MAX);
                let evolves_at_ms = *channel
                    .evolves_at_ms
                    .get_or_insert(at_ms.saturating_add(delay));
                if at_ms < evolves_at_ms && due_ms < u64::MAX {
                    channel.hold(evolves_at_ms);
                    return Ok(false);
                }
                channel.evolves_at_ms = None;
                let script = evolution.to_ddl(table);
                let name = table.name.clone();
                let mut after = self.catalog.clone();
                if let Some(table) = after.tables.get_mut(&folded(&name)) {
                    evolution.apply(table);
                }
                self.storage.change(&SchemaChange {
                    script: Some(&script),
                    catalog: &after,
                    dropped: &[],
                    forgotten: &[],
                    truncated: &[],
                    errors_truncated: &[],
                    altered: &[name],
                    inserted: &BTreeMap::new(),
                })?;
                tracing::info!(script, "the table evolves");
                self.catalog = after;
                Ok(true)
            }
            Err(why) => {
                let record = ChannelRecord {
                    status_code: MUST_BE_REOPENED.to_owned(),
                    last_error_message: Some(why.clone()),
                    last_error_timestamp_ms: Some(at_ms),
                    ..channel.record.clone()
                };
                self.storage.put_channel(&record, true)?;
                let bytes = channel.pending_bytes();
                channel.pending.clear();
                let what = What::Failed(Failed {
                    code: MUST_BE_REOPENED.to_owned(),
                    message: why,
                    is_by_user: true,
                    bytes,
                });
                self.events.record(at_ms, (pipe, &record.channel), what);
                channel.change(at_ms, record);
                Ok(false)
            }
        }
    }
}
