//! How a channel handles the answers to its append requests and the results of compression.
//!
//! A 413 halves the limit of the client (`base::request_limit`) and splits the batch at the edge of a unit or row. A unit that
//! may not be split is tried whatever limit was learned. If the server refuses it, the channel ends as `Rejected`; after an
//! unanswered attempt that may have been applied, as `Ambiguous`, because a half could land twice. A batch that another run of
//! the same source has committed meanwhile is not sent again.

use tokio::time::Instant;
use tracing::{info, warn};

use super::batch::{Frame, SealedBatch};
use super::{Core, Phase};
use crate::api::AppendAnswer;
use crate::api::failure::Failure;
use crate::base::options::Recovery;
use crate::compress::unit::refused_by_the_server;
use crate::pipeline::attempts::{Attempts, Decision, Delivery, RetryTerms};
use crate::types::error::{Error, ErrorKind, InvalidationCause, Result};
use crate::types::offset::OffsetToken;

/// The batch that is being sent, with the state of its attempts.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) batch: SealedBatch,
    pub(super) end: OffsetToken,
    pub(super) attempts: Attempts,
    /// Whether an attempt is under way, as opposed to waiting for its backoff.
    pub(super) waiting: bool,
}

impl Core {
    /// The driver has compressed a batch.
    pub(crate) fn on_sealed(&mut self, now: Instant, sealed: Result<Vec<SealedBatch>>) {
        if !matches!(self.phase, Phase::Open | Phase::Reopening(_)) {
            return self.given_up.on_sealed(sealed.unwrap_or_default());
        }
        let batches = match sealed {
            Ok(batches) => batches,
            Err(error) => {
                // `compressing` stays set, so the report lists its rows.
                self.surface(now, InvalidationCause::Rejected, error);
                return self.given_up.on_sealed(Vec::new());
            }
        };
        self.compressing = None;
        for batch in batches {
            let Frame {
                body,
                uncompressed_len,
            } = &batch.payload;
            self.ratio.learn(body.len(), *uncompressed_len);
            let at = self.ready.partition_point(|b| b.position < batch.position);
            self.ready.insert(at, batch);
        }
    }

    /// The request under way was answered. `unit` is a random number in [0, 1) for the jitter.
    pub(crate) fn on_response(
        &mut self,
        now: Instant,
        answer: Result<AppendAnswer, Failure>,
        unit: f64,
    ) {
        let Some(mut flight) = self.flight.take() else {
            return;
        };
        flight.waiting = false;
        if self.is_reopening() {
            // The answer to the reopen says whether the batch is committed.
            self.flight = Some(flight);
            return;
        }
        match answer {
            Ok(answer) => {
                if !matches!(self.phase, Phase::Open) {
                    return;
                }
                if is_of_another_open(&self.continuation_token, &answer.next_continuation_token) {
                    // The server may have acknowledged the request without taking its rows.
                    flight.attempts.ambiguous = true;
                    self.abandon(flight);
                    let text = "the append was answered with a continuation token of another open, so another program has opened the channel, and the rows may not have been taken";
                    let error = Error::new(ErrorKind::Refused, text);
                    return self.invalidate(now, InvalidationCause::Fenced, error);
                }
                self.continuation_token = answer.next_continuation_token;
                self.session = answer.session;
                let is_first = self.accepted <= self.ledger.committed();
                self.accepted = flight.batch.position;
                self.commit.accepted(now, self.accepted, is_first);
                if flight.attempts.retry.is_warned() {
                    info!(
                        tries = flight.attempts.tries,
                        "batch delivered after retries"
                    );
                }
                self.tokens.accepted(&flight.batch);
                if self.limits.recovery == Recovery::Replay {
                    self.retained.push_back(flight.batch);
                    self.release_committed();
                }
            }
            Err(failure) => self.on_failure(now, flight, failure, unit),
        }
    }

    fn on_failure(&mut self, now: Instant, mut flight: InFlight, failure: Failure, unit: f64) {
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        match flight.attempts.failed(&failure, Delivery::InOrder) {
            Decision::Retry(RetryTerms { after, .. }) => {
                let error = failure.into_error();
                let Some(next) = flight.attempts.retry.next(now, after, unit) else {
                    let text = format!(
                        "a batch could not be delivered within {:?}: {}; reopen the channel and append from the committed token",
                        self.limits.retry_for,
                        error.message()
                    );
                    self.abandon(flight);
                    let error = Error::new(ErrorKind::Unreachable, text).because_of(error);
                    self.invalidate(now, InvalidationCause::Unreachable, error);
                    return;
                };
                if let Some(tried_for) = flight.attempts.retry.warn(now) {
                    let retry_for = self.limits.retry_for;
                    warn!(%error, "a batch has failed for {tried_for:.0?}; it is retried for up to {retry_for:?}");
                }
                self.retry_at = Some(next);
                self.flight = Some(flight);
            }
            // Another run of the same source has committed these rows meanwhile.
            Decision::Split if self.is_committed(&flight) => {}
            Decision::Split if flight.batch.may_be_split() => self.learn_limit(flight),
            Decision::Split => {
                let frame = &flight.batch.payload;
                let error = refused_by_the_server(&frame.body, frame.uncompressed_len);
                let error = error.because_of(failure.into_error());
                self.abandon(flight);
                self.invalidate(now, InvalidationCause::Rejected, error);
            }
            Decision::GiveUp(cause) => {
                let error = failure.into_error();
                self.abandon(flight);
                self.invalidate(now, cause, error);
            }
        }
    }

    /// Abandons a batch before an invalidation. It counts as never sent, unless an attempt may have been applied.
    fn abandon(&mut self, flight: InFlight) {
        // Another run of the same source has committed these rows meanwhile.
        if self.is_committed(&flight) {
            return;
        }
        if !flight.attempts.ambiguous {
            self.ledger.unsend(&flight.end);
            self.sent = flight.batch.position - flight.batch.rows();
        }
        self.flight = Some(flight);
    }

    fn is_committed(&self, flight: &InFlight) -> bool {
        flight.batch.position <= self.ledger.committed()
    }

    /// After a 413: learns the limit and queues the batch. It is split when its turn comes again.
    fn learn_limit(&mut self, mut flight: InFlight) {
        self.ledger.unsend(&flight.end);
        self.sent = flight.batch.position - flight.batch.rows();
        let refused = flight.batch.payload.body.len();
        self.limits.request_limit.refused(refused);
        flight.batch.is_refused = true;
        self.ready.push_front(flight.batch);
    }
}

/// Whether the token that answers an append shows that the channel was opened by another program since.
///
/// An append with a token from before another open may be answered 200 and dropped (observed: supabase/etl,
/// `tests/snowflake/stream_client.rs`, `channel_reopen_prevents_previous_sequencer_from_committing`). Tokens contain a
/// sequencer of the open and one of the rows ("Snowpipe Streaming REST API"), as `<open>_<rows>` in the tests of Snowflake's
/// Openflow. Tokens of another form are not compared.
fn is_of_another_open(sent: &str, next: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let open = |token: &'_ str| -> Option<String> {
        let (open, rows) = token.split_once('_')?;
        (is_number(open) && is_number(rows)).then(|| open.to_owned())
    };
    match (open(sent), open(next)) {
        (Some(ours), Some(theirs)) => ours != theirs,
        _ => false,
    }
}

#[cfg(test)]
#[path = "responses_tests.rs"]
mod tests;
