//! What the answers to a channel's requests mean for it.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};
use uuid::Uuid;

use super::batch::{Frame, SealedBatch};
use super::retry_decision::{self, RetryDecision};
use super::{Core, Phase};
use crate::api::AppendAnswer;
use crate::api::failure::Failure;
use crate::base::options::Recovery;
use crate::base::retry::Retry;
use crate::types::error::{Error, ErrorKind, InvalidationCause, Result};
use crate::types::offset::OffsetToken;

#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) batch: SealedBatch,
    pub(super) end: OffsetToken,
    pub(super) request_id: Uuid,
    pub(super) tries: u32,
    pub(super) retry: Retry,
    /// An earlier try may have been applied.
    pub(super) ambiguous: bool,
    pub(super) refusals: u32,
    /// Whether a request is under way right now.
    pub(super) waiting: bool,
}

/// The pause before the second try of a batch, and the longest one before a later try.
pub(super) const FIRST_DELAY: Duration = Duration::from_millis(100);
pub(super) const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// How often a request is tried again after a refusal that may pass (404 without a code, 401, 403).
pub(super) const REFUSALS: u32 = 3;

impl Core {
    /// The driver has compressed a batch.
    pub(crate) fn on_sealed(&mut self, now: Instant, sealed: Result<Vec<SealedBatch>>) {
        if !matches!(self.phase, Phase::Open | Phase::Reopening(_)) {
            return;
        }
        let batches = match sealed {
            Ok(batches) => batches,
            // The rows are listed as lost by what `compressing` still holds.
            Err(error) => return self.surface(now, InvalidationCause::Rejected, error),
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

    /// The answer to the request under way. `unit` is random in [0, 1), for jitter.
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
            // The answer of the open says whether it was applied.
            self.flight = Some(flight);
            return;
        }
        match answer {
            Ok(answer) => {
                if !matches!(self.phase, Phase::Open) {
                    return;
                }
                self.continuation_token = answer.next_continuation_token;
                self.session = answer.session;
                let is_first = self.accepted <= self.ledger.committed();
                self.accepted = flight.batch.position;
                self.commit.accepted(now, self.accepted, is_first);
                if flight.retry.is_warned() {
                    info!(tries = flight.tries, "the batch is delivered");
                }
                self.tokens.accepted(&flight.batch);
                if self.limits.recovery == Recovery::Replay {
                    self.retained.push_back(flight.batch);
                    self.let_go();
                }
            }
            Err(failure) => self.on_failure(now, flight, failure, unit),
        }
    }

    fn on_failure(&mut self, now: Instant, mut flight: InFlight, failure: Failure, unit: f64) {
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        let decision = retry_decision::of(&failure, flight.ambiguous, flight.refusals < REFUSALS);
        match decision {
            RetryDecision::Retry {
                after,
                ambiguous,
                refused,
            } => {
                flight.ambiguous |= ambiguous;
                flight.refusals += u32::from(refused);
                let error = failure.into_error();
                let Some(next) = flight.retry.next(now, after, unit) else {
                    let text = format!(
                        "a batch could not be delivered for {:?}: {}; reopen the channel and append from the committed token",
                        self.limits.retry_for,
                        error.message()
                    );
                    self.give_back(flight);
                    let error = Error::new(ErrorKind::Unreachable, text).because_of(error);
                    self.invalidate(now, InvalidationCause::Unreachable, error);
                    return;
                };
                if let Some(tried_for) = flight.retry.warn(now) {
                    let retry_for = self.limits.retry_for;
                    warn!(%error, "no batch gets through for {tried_for:.0?}; it is tried for {retry_for:?}");
                }
                self.retry_at = Some(next);
                self.flight = Some(flight);
            }
            // Another run of the same source has committed these rows meanwhile.
            RetryDecision::Split if self.is_committed(&flight) => {}
            RetryDecision::Split if flight.batch.may_be_split() => self.learn_limit(flight),
            RetryDecision::Split => {
                let text = format!(
                    "the server does not take {} bytes in one request, and the rows in them may not be split; append fewer rows under one token, or a smaller row",
                    flight.batch.payload.body.len()
                );
                let error = Error::new(ErrorKind::TooLarge, text).because_of(failure.into_error());
                self.give_back(flight);
                self.invalidate(now, InvalidationCause::Rejected, error);
            }
            RetryDecision::Invalid(cause) => {
                let error = failure.into_error();
                self.give_back(flight);
                self.invalidate(now, cause, error);
            }
        }
    }

    /// The channel ends with this batch undelivered: unless an unanswered try of it may have been applied, it counts as
    /// never sent.
    fn give_back(&mut self, flight: InFlight) {
        // Another run of the same source has committed these rows meanwhile.
        if self.is_committed(&flight) {
            return;
        }
        if !flight.ambiguous {
            self.ledger.unsend(&flight.end);
            self.sent = flight.batch.position - flight.batch.rows();
        }
        self.flight = Some(flight);
    }

    fn is_committed(&self, flight: &InFlight) -> bool {
        flight.batch.position <= self.ledger.committed()
    }

    /// 413: the same bytes will never pass. Learn the limit; the batch is cut when its turn comes again.
    fn learn_limit(&mut self, flight: InFlight) {
        self.ledger.unsend(&flight.end);
        self.sent = flight.batch.position - flight.batch.rows();
        let refused = flight.batch.payload.body.len();
        self.limits.request_limit.refused(refused);
        self.ready.push_front(flight.batch);
    }
}

#[cfg(test)]
#[path = "responses_tests.rs"]
mod tests;
