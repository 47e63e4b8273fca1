//! The elastic channel of a pipe: there from the start, never opened, with neither offsets nor continuation tokens. What
//! it accepts is durable, and nothing is recognized as a repetition.

use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::json;
use url::form_urlencoded;

use super::handler::Handler;
use crate::emulator::catalog::tables::Pipe;
use crate::emulator::channels::channel::{Channel, ELASTIC, SUCCESS, created};
use crate::emulator::channels::state::{State, failed, key};
use crate::emulator::messages::answer::{Answer, Refusal, json_answer};
use crate::emulator::storage::landing::{AcceptedBatch, ChannelRecord};

/// What belongs to named channels only ("Snowpipe Streaming REST API endpoints").
const NOT_ELASTIC: [&str; 4] = [
    "offsetToken",
    "startOffsetToken",
    "endOffsetToken",
    "continuationToken",
];

/// The refusal of what can only be done to a named channel.
pub(crate) fn reserved(remedy: &str) -> Refusal {
    Refusal::malformed(format!("The channel name ELASTIC is reserved: {remedy}."))
}

impl Handler {
    pub(crate) fn append_elastic(
        &mut self,
        pipe: &Pipe,
        request: &Request<Bytes>,
    ) -> Result<Answer, Refusal> {
        let query = request.uri().query().unwrap_or_default();
        let mut names = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
        if let Some(name) = names.find(|name| NOT_ELASTIC.contains(&&**name)) {
            return Err(Refusal::malformed(format!(
                "An elastic append has no {name}: leave the parameter out."
            )));
        }
        let body = self.rows(request, 0)?;
        self.state.append_elastic(pipe, body)?;
        let answer = json!({ "status_code": 0, "message": "OK", "next_continuation_token": "" });
        Ok(json_answer(StatusCode::OK, &answer))
    }
}

impl State {
    /// The pipe's elastic channel as it is before its first rows. Each pipe has one, and nothing of it is kept until then:
    /// clients can ask about as many pipes as they like.
    pub(crate) fn unused_elastic(&self, pipe: &Pipe) -> Channel {
        let since_ms = self.pipes_since_ms.unwrap_or(self.now_ms);
        Channel::new(created(pipe, ELASTIC, since_ms))
    }

    /// The pipe's elastic channel, kept from now on.
    pub(crate) fn elastic(&mut self, pipe: &Pipe) -> &mut Channel {
        let unused = self.unused_elastic(pipe);
        let key = key(&pipe.name, ELASTIC);
        self.channels.entry(key).or_insert(unused)
    }

    /// Accepts decompressed rows, whether or not they came before.
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
        self.landing.accept(&record, &batch).map_err(failed)?;
        let channel = self.elastic(pipe);
        channel.record = record;
        channel.push(due_ms, batch);
        tracing::debug!(channel = ELASTIC, row_sequencer, "accepted");
        Ok(())
    }
}
