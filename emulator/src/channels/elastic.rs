//! The elastic channel of a pipe. It exists from the start, is never opened, and has neither offsets nor continuation tokens.
//! Accepted rows are durable, and a repetition is not recognized.

use super::channel::{Channel, ELASTIC, SUCCESS, created};
use super::refusals::failed;
use super::state::State;
use crate::catalog::tables::Pipe;
use crate::messages::answer::Refusal;
use crate::storage::records::{AcceptedBatch, ChannelRecord};

impl State {
    /// The pipe's elastic channel before its first rows. Every pipe has one, but it is not stored until then, because clients may
    /// request the status of any number of pipes.
    pub(crate) fn unused_elastic(&self, pipe: &Pipe) -> Channel {
        let since_ms = self.pipes_since_ms.unwrap_or(self.now_ms);
        Channel::new(created(pipe, ELASTIC, since_ms))
    }

    /// The pipe's elastic channel, which is stored from now on.
    pub(crate) fn elastic(&mut self, pipe: &Pipe) -> &mut Channel {
        let unused = self.unused_elastic(pipe);
        let key = self.key(pipe, ELASTIC);
        self.channels.entry(key).or_insert(unused)
    }

    /// Accepts decompressed rows, including repetitions.
    pub(crate) fn append_elastic(&mut self, pipe: &Pipe, body: Vec<u8>) -> Result<(), Refusal> {
        let (now_ms, due_ms) = (self.now_ms, self.rules.due_ms(self.now_ms));
        let known = self.channel(pipe, ELASTIC);
        let before = known.map_or_else(
            || self.unused_elastic(pipe).record,
            |channel| channel.record.clone(),
        );
        if before.status_code != SUCCESS {
            return Err(Refusal::bad_request(
                before.status_code,
                "The elastic channel takes no rows.",
            ));
        }
        let row_sequencer = before.row_sequencer;
        let record = ChannelRecord {
            row_sequencer: row_sequencer + 1,
            last_used_ms: now_ms,
            ..before
        };
        let batch = AcceptedBatch {
            row_sequencer,
            start_token: None,
            end_token: None,
            accepted_at_ms: now_ms,
            body,
        };
        self.storage.accept(&record, &batch).map_err(failed)?;
        let channel = self.elastic(pipe);
        channel.record = record;
        channel.push(due_ms, batch);
        tracing::debug!(channel = ELASTIC, row_sequencer, "accepted");
        Ok(())
    }
}
