//! How a channel ends: invalidated or drained, with memory given back and every row accounted for.

use tokio::time::Instant;
use tracing::{info, warn};

use super::ledger::{Observation, Reading};
use super::{Core, Phase};
use crate::types::channel_status::ChannelStatus;
use crate::types::close_report::{CloseReport, RowState, UncommittedRange};
use crate::types::error::{Error, ErrorKind, InvalidationCause};

impl Core {
    /// The channel cannot go on as it is: it is opened again if it does that by itself, or ended.
    pub(crate) fn invalidate(&mut self, now: Instant, cause: InvalidationCause, why: Error) {
        if !self.recovers(cause, &why) {
            self.surface(now, cause, why);
        }
    }

    /// Takes no more rows, gives memory back, and goes on asking what of the sent rows is committed.
    pub(super) fn surface(&mut self, now: Instant, cause: InvalidationCause, why: Error) {
        let text = why.message().to_owned();
        self.surface_after(now, cause, &text, why);
    }

    /// As [`surface`](Self::surface), where `text` tells more than `why`, which alone is the source of the error.
    pub(super) fn surface_after(
        &mut self,
        now: Instant,
        cause: InvalidationCause,
        text: &str,
        why: Error,
    ) {
        info!(?cause, %why, "channel invalidated");
        let error = self.invalidated(cause, text, why);
        self.end(now, error, true);
    }

    fn invalidated(&self, cause: InvalidationCause, text: &str, why: Error) -> Error {
        let text = format!(
            "the channel {:?} was invalidated ({cause:?}: {}): {text}",
            self.name,
            cause.describe(),
        );
        Error::new(ErrorKind::Invalidated(cause), text).because_of(why)
    }

    /// Gives up what is not committed because the caller's deadline has passed. The error is `Timeout`, or the invalidation
    /// of a channel that could not be opened again by then.
    pub(crate) fn past_deadline(&mut self, what: &str) -> Error {
        self.collect_lost();
        let text = format!("{what}: {}", self.report().at_risk());
        match self.reopening_for() {
            Some((cause, why)) => {
                let text = format!("{why}; it was not open again in time, and {text}");
                self.invalidated(cause, &text, why.clone())
            }
            None => Error::new(ErrorKind::Timeout, text),
        }
    }

    /// Ends the channel with `error`. `settle`: ask on for what was sent.
    pub(crate) fn end(&mut self, now: Instant, error: Error, settle: bool) {
        if self.end.is_none() {
            self.collect_lost();
            self.end = Some(error);
        }
        self.phase = if settle && !self.ledger.is_settled() {
            self.commit.hurry(now);
            Phase::Settling {
                until: now + self.limits.settle_timeout,
            }
        } else {
            Phase::Ended
        };
    }

    /// The channel was opened anew with `status`: that is the last word on what was committed, and what was sent beyond
    /// it will never be.
    pub(crate) fn on_reopened(&mut self, now: Instant, error: Error, status: &ChannelStatus) {
        let seen = Observation {
            token: status.latest_committed_offset_token(),
            created_on_ms: status.created_on_ms(),
            asked: now,
            answered: now,
        };
        match self.ledger.observe(seen, |_| ()) {
            Reading::Advanced | Reading::Unchanged | Reading::Outdated => {
                self.sent = self.ledger.committed();
                self.count_rejects(status);
            }
            // Somebody else moved the token: it tells nothing of our rows.
            Reading::Suspicious | Reading::Conflict => {}
        }
        self.end(now, error, false);
    }

    /// Whether rows were sent of which `status`, that of an open, says nothing: it is another channel of the same name.
    pub(crate) fn is_in_doubt(&self, status: &ChannelStatus) -> bool {
        !self.ledger.is_settled() && !self.ledger.is_same_channel(status.created_on_ms())
    }

    /// Flushes, takes no more rows in the long run, and ends when all is committed or at `until`.
    pub(crate) fn drain(&mut self, until: Instant) {
        self.flush();
        self.drain_until = Some(self.drain_until.map_or(until, |earlier| earlier.min(until)));
    }

    pub(super) fn end_drained(&mut self, now: Instant) {
        let error = if self.ledger.committed() == self.appended {
            info!(rows = self.appended, "channel closed");
            Error::new(
                ErrorKind::ChannelClosed,
                "the channel is closed; open it again to append",
            )
        } else {
            let error =
                self.past_deadline("the channel was closed before everything was committed");
            warn!(%error, "closed before everything was committed");
            error
        };
        self.end(now, error, false);
    }

    /// Releases the rows that the server does not have, and keeps their ranges for the report.
    fn collect_lost(&mut self) {
        self.retained.clear();
        let sent = self.sent;
        let flight = self.flight.take().map(|flight| flight.batch);
        let unsent = flight.filter(|batch| batch.position > sent);
        // A batch that is being split goes before all that is ready, any other one after.
        let (split, sealing) = match self.compressing.take() {
            Some((range, true)) => (Some(range), None),
            other => (None, other.map(|(range, _)| range)),
        };
        let ready = std::mem::take(&mut self.ready).into_iter();
        let raw = std::mem::take(&mut self.raw).into_iter();
        let ranges = (unsent.iter().map(|batch| batch.range(RowState::Sealed)))
            .chain(split)
            .chain(ready.map(|batch| batch.range(RowState::Sealed)))
            .chain(sealing)
            .chain(
                raw.chain(self.open.take())
                    .map(|batch| batch.range(RowState::Appended)),
            );
        for range in ranges {
            push_range(&mut self.lost, range);
        }
    }

    /// What is not committed, by state, and what was rejected.
    pub(crate) fn report(&self) -> CloseReport {
        let mut uncommitted: Vec<UncommittedRange> = Vec::new();
        for p in self.ledger.pending() {
            let state = if p.position <= self.accepted {
                RowState::Accepted
            } else {
                RowState::Sent
            };
            let (start, end) = (self.visible(p.start.as_ref()), self.visible(Some(&p.end)));
            let range = UncommittedRange::new(state, p.rows, start, end);
            push_range(&mut uncommitted, range);
        }
        uncommitted.extend(self.lost.iter().cloned());
        CloseReport {
            committed_token: self.committed_token(),
            rows_appended: self.appended,
            rows_committed: self.ledger.committed(),
            uncommitted,
            rejects: self.commit.rejects().to_vec(),
        }
    }
}

/// Adds `next` to `ranges`, as part of the last one if that is in the same state.
fn push_range(ranges: &mut Vec<UncommittedRange>, next: UncommittedRange) {
    match ranges.last_mut().filter(|range| range.state == next.state) {
        Some(range) => {
            range.rows += next.rows;
            range.last = next.last.or(range.last.take());
        }
        None => ranges.push(next),
    }
}
