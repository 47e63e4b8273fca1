//! How a channel ends: invalidated or drained. Its memory is released, and every row is accounted for in the report.
//!
//! An invalidated channel takes no rows and releases its memory at once. If something was sent and is not settled, it continues
//! to request the status for `settle_timeout`, and only then do the receipts fail. Receipts that the committed token covers
//! succeed. The others say whether they are ambiguous: a receipt is if any of its rows may be in the table, not only the last
//! one.
//!
//! A close flushes and waits for commits. If they do not come in time, the report lists what is uncommitted, by state. A
//! dropped channel closes in the background in the same way. From the start of a close the core refuses appends, those of
//! senders that wait included.

use tokio::time::Instant;
use tracing::{info, warn};

use super::ledger::{Observation, Reading};
use super::progress::closed;
use super::{Core, Phase};
use crate::types::channel_status::ChannelStatus;
use crate::types::close_report::{CloseReport, RowState, UncommittedRange};
use crate::types::error::{Error, ErrorKind, InvalidationCause};

impl Core {
    /// Handles an invalidation: reopens the channel if its recovery policy allows, and ends it otherwise.
    pub(crate) fn invalidate(&mut self, now: Instant, cause: InvalidationCause, why: Error) {
        if !self.recovers(cause, &why) {
            self.surface(now, cause, why);
        }
    }

    /// Ends the channel with an error: refuses appends, releases memory, and polls on until the fate of the sent rows is known.
    pub(super) fn surface(&mut self, now: Instant, cause: InvalidationCause, why: Error) {
        let text = why.message().to_owned();
        self.surface_after(now, cause, &text, why);
    }

    /// As [`surface`](Self::surface), with `text` as the message. `why` is the source of the error.
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

    /// Gives up uncommitted rows because the caller's deadline has passed. The error is `Timeout`, or the invalidation if the
    /// channel was being reopened.
    pub(crate) fn past_deadline(&mut self, what: &str) -> Error {
        self.collect_lost();
        let text = format!("{what}: {}", self.report().at_risk());
        match self.reopening_for() {
            Some((cause, why)) => {
                let text = format!("{why}; the channel could not be reopened in time, and {text}");
                self.invalidated(cause, &text, why.clone())
            }
            None => Error::new(ErrorKind::Timeout, text),
        }
    }

    /// Ends the channel with `error`. With `settle`, the status is still polled while sent rows are pending.
    pub(crate) fn end(&mut self, now: Instant, error: Error, settle: bool) {
        if self.end.is_none() {
            self.collect_lost();
            self.end = Some(error);
        }
        self.phase = if settle && (!self.ledger.is_settled() || self.counts.is_waiting()) {
            self.commit.poll_soon(now);
            Phase::Settling {
                until: now + self.limits.settle_timeout,
            }
        } else {
            Phase::Ended
        };
    }

    /// The caller has reopened the channel, with `status` in the answer. Its committed token is final: rows sent after it will
    /// never be committed.
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
                self.count_rows(now, status);
            }
            // Another writer moved the token, so it says nothing about this channel's rows.
            Reading::Suspicious | Reading::Conflict => {}
        }
        self.end(now, error, false);
    }

    /// Whether rows are pending about which `status`, from an open, says nothing because it is that of a recreated channel.
    pub(crate) fn is_in_doubt(&self, status: &ChannelStatus) -> bool {
        !self.ledger.is_settled() && !self.ledger.is_same_channel(status.created_on_ms())
    }

    /// Flushes, and ends the channel when everything is committed or at `until`.
    pub(crate) fn drain(&mut self, until: Instant) {
        self.flush();
        self.drain_until = Some(self.drain_until.map_or(until, |earlier| earlier.min(until)));
    }

    pub(super) fn end_drained(&mut self, now: Instant) {
        let error = if self.counts.committed() == self.appended {
            info!(rows = self.appended, "channel closed");
            closed()
        } else {
            let error =
                self.past_deadline("the channel was closed before everything was committed");
            warn!(%error, "closed before everything was committed");
            error
        };
        self.end(now, error, false);
    }

    /// Gives up the rows that are not committed, and keeps the ranges of those that were never sent for the report.
    fn collect_lost(&mut self) {
        let sent = self.sent;
        let flight = self.flight.take().map(|flight| flight.batch);
        let unsent = flight.iter().filter(|batch| batch.position > sent);
        let mut ranges: Vec<_> = unsent.map(|b| b.range(RowState::Sealed)).collect();
        let is_sealing = self.compressing.is_some();
        let (split, sealing) = match self.compressing.take() {
            Some(compressing) if compressing.is_split => (Some(compressing.range), None),
            other => (None, other.map(|compressing| compressing.range)),
        };
        let ready = std::mem::take(&mut self.ready);
        let raw = std::mem::take(&mut self.raw);
        let units = std::mem::take(&mut self.sealed_units);
        let open = self.open.take();
        ranges.extend(split);
        ranges.extend(ready.iter().map(|batch| batch.range(RowState::Sealed)));
        ranges.extend(sealing);
        let queued_raw = raw
            .iter()
            .map(|batch| (batch.position, batch.range(RowState::Appended)));
        let queued_units = units
            .iter()
            .map(|batch| (batch.position, batch.range(RowState::Sealed)));
        let mut queued: Vec<_> = queued_raw.chain(queued_units).collect();
        queued.sort_by_key(|(position, _)| *position);
        ranges.extend(queued.into_iter().map(|(_, range)| range));
        ranges.extend(open.iter().map(|batch| batch.range(RowState::Appended)));
        for range in ranges {
            push_range(&mut self.lost, range);
        }
        let retained = std::mem::take(&mut self.retained);
        if self.hands_rows_back() {
            let sealed = retained.into_iter().chain(flight).chain(ready).chain(units);
            sealed.for_each(|batch| self.given_up.sealed(batch));
            raw.into_iter()
                .chain(open)
                .for_each(|batch| self.given_up.raw(batch));
            if is_sealing {
                self.given_up.expect_sealed();
            }
        }
    }

    /// The report after a reopen, whose token decides: the next state of the channel waits until the rows are counted.
    pub(crate) fn report_by_token(&self) -> CloseReport {
        let mut report = self.report();
        if self.ledger.committed() > self.counts.committed() {
            report.uncommitted.remove(0);
        }
        report.rows_committed = self.ledger.committed();
        report.committed_token = self.visible(self.ledger.watermark());
        report
    }

    /// The uncommitted rows by state, and the rejects.
    pub(crate) fn report(&self) -> CloseReport {
        let mut uncommitted: Vec<UncommittedRange> = Vec::new();
        let uncounted = self.ledger.committed() - self.counts.committed();
        if uncounted > 0 {
            let last = self.visible(self.ledger.watermark());
            let range = UncommittedRange::new(RowState::Accepted, uncounted, None, last);
            uncommitted.push(range);
        }
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
            rows_committed: self.counts.committed(),
            uncommitted,
            rejects: self.commit.rejects().to_vec(),
        }
    }
}

/// Adds `next` to `ranges`, merged into the last range if that has the same state.
fn push_range(ranges: &mut Vec<UncommittedRange>, next: UncommittedRange) {
    match ranges.last_mut().filter(|range| range.state == next.state) {
        Some(range) => {
            range.rows += next.rows;
            range.last = next.last.or(range.last.take());
        }
        None => ranges.push(next),
    }
}
