//! What tests do to channels and tables: they hold commits, change records, lose rows and start anew.

use std::time::Duration;

use super::channel::DOES_NOT_EXIST;
use super::state::State;
use crate::catalog::tables::{Pipe, folded_part};
use crate::storage::interface::StorageError;
use crate::storage::records::ChannelRecord;

impl State {
    /// Withholds a channel's commits until `until_ms`.
    pub(crate) fn hold(&mut self, pipe: &Pipe, name: &str, until_ms: u64) {
        let key = self.key(pipe, name);
        if let Some(channel) = self.channels.get_mut(&key) {
            channel.hold(until_ms);
        }
    }

    /// Changes a channel's record for a fault.
    pub(crate) fn tamper(
        &mut self,
        pipe: &Pipe,
        name: &str,
        change: impl FnOnce(&mut ChannelRecord),
    ) {
        let key = self.key(pipe, name);
        let Some(channel) = self.channels.get_mut(&key) else {
            return;
        };
        let mut record = channel.record.clone();
        change(&mut record);
        match self.storage.put_channel(&record, false) {
            Ok(()) => channel.change(self.now_ms, record),
            Err(why) => tracing::error!(%why, channel = name, "the change could not be stored"),
        }
    }

    /// Makes a channel accept rows and lose them until it is opened again. Its committed token stays.
    pub(crate) fn lose_rows(&mut self, pipe: &Pipe, name: &str) {
        let key = self.key(pipe, name);
        let Some(channel) = self.channels.get_mut(&key) else {
            return;
        };
        let record = ChannelRecord {
            status_code: DOES_NOT_EXIST.to_owned(),
            ..channel.record.clone()
        };
        match self.storage.put_channel(&record, true) {
            Ok(()) => channel.lose_rows(self.now_ms, record),
            Err(why) => tracing::error!(%why, channel = name, "the change could not be stored"),
        }
    }

    /// Changes when batches commit, including those that already wait.
    pub(crate) fn pace(&mut self, delay: Duration, every: Duration) {
        self.rules.commit_delay = delay;
        self.rules.commit_every = every;
        for channel in self.channels.values_mut() {
            channel.retime(&self.rules);
        }
    }

    /// Deletes rows and channels, and restores the initial pace of commits. Tables and pipes stay.
    pub(crate) fn reset(&mut self) -> Result<(), StorageError> {
        self.storage.clear(None)?;
        self.restart_sequences(None)?;
        self.channels.clear();
        self.former_pipes.clear();
        self.events.clear();
        self.pipes_since_ms = Some(self.now_ms);
        (self.rules.commit_delay, self.rules.commit_every) = self.first_pace;
        self.is_held = false;
        Ok(())
    }

    /// Deletes the rows and channels of a database.
    pub(crate) fn reset_database(&mut self, database: &str) -> Result<(), StorageError> {
        let database = folded_part(database);
        self.storage.clear(Some(&database))?;
        self.restart_sequences(Some(&database))?;
        self.channels
            .retain(|(pipe, _), _| folded_part(&pipe.database) != database);
        Ok(())
    }
}
