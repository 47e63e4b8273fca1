//! Commit tracking: when to poll a channel's status, and what the answer means.
//!
//! - **Stalls.** If something is accepted and statuses show no commit for `commit_stall_timeout`, the channel is invalidated
//!   as `CommitStalled`. Only the time between an answered call and the next call counts. If no status is available for
//!   `retry_for`, it is invalidated as `Unreachable`. Both are decided when the answer or the failure of a call arrives,
//!   never by a timer.
//! - **Absence.** A channel that is absent from three answers is gone, but not within `REPLICA_LAG` of its open.
//! - **Rejects.** The server counts rejected rows and does not name them. When the count rises, the client makes a *reject
//!   window*: from the last position at which the old count was seen with everything before it committed, to the highest
//!   position *sent* when the answer arrived. The highest one accepted when the poll left is not enough: the server may have
//!   counted a batch that came in between. Receipts in the window resolve to `RowsRejected`; their rows are committed.
//!   Windows beyond the number kept are merged into the last, so that a channel whose every row is bad does not fill the
//!   memory.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

use super::ledger::{Observation, REPLICA_LAG, Reading};
use super::{Core, Phase};
use crate::channel::polling::timer::{CommitSample, HEARTBEAT, PollInterest};
use crate::pipeline::attempts;
use crate::types::channel_status::ChannelStatus;
use crate::types::error::{Error, ErrorKind, InvalidationCause};
use crate::types::offset::OffsetToken;
use crate::types::reject_window::RejectWindow;

/// Rows that are accepted this long after the previous ones are polled for when their commit is expected, even if polls are scarce.
const LONE: Duration = Duration::from_millis(2_500);
/// The delay before a poll that does not wait for the learned time: sent rows of an invalidated channel are undecided.
const RECHECK_SOON: Duration = Duration::from_millis(50);
/// The delay before an implausible answer is checked by another poll: a replica of the server may lag.
const RECHECK_DOUBTFUL: Duration = Duration::from_secs(1);
/// The delay before a poll that looks whether the counters have followed the token.
const RECHECK_COUNTS: Duration = Duration::from_millis(500);
/// A channel that is absent from this many consecutive answers counts as gone.
const ABSENT_LIMIT: u32 = 3;
/// Further reject windows are merged into the last one.
const MAX_WINDOWS: usize = 1024;

/// The rows of one accepted request.
#[derive(Debug, Clone, Copy)]
struct Accept {
    at: Instant,
    position: u64,
    /// Whether the request followed a pause.
    is_lone: bool,
}

/// What a channel knows from its accepts and status polls.
#[derive(Debug)]
pub(crate) struct CommitTracker {
    latest: Option<Accept>,
    /// The accept whose commit is awaited. When it is committed, the latest accept takes its place: one accept at a time
    /// measures how long commits take.
    watched: Option<Accept>,
    /// When the last poll that was answered or has failed was sent.
    last_poll: Instant,
    /// When the last poll with a current answer was sent.
    last_answered: Instant,
    /// When the latest poll was sent. It may still be answered.
    pub(super) poll_sent: Instant,
    /// Poll at this time, whatever else is awaited.
    recheck_at: Option<Instant>,
    /// Since when rows are accepted and nothing was committed. Moved forward by the time without answers, so that an outage
    /// does not count as a stall.
    waiting_since: Instant,
    /// When the first of the polls was sent that have all failed since.
    unanswered_since: Option<Instant>,
    /// In how many consecutive answers the channel was missing.
    absent: u32,
    /// The server's reject counter.
    rejected: u64,
    /// `rejected` covers everything through this position.
    pub(super) counted: u64,
    pub(super) counted_token: Option<OffsetToken>,
    pub(super) windows: Arc<Vec<RejectWindow>>,
}

impl CommitTracker {
    pub(super) fn new(now: Instant, rejected: u64, open_token: Option<OffsetToken>) -> Self {
        Self {
            latest: None,
            watched: None,
            last_poll: now,
            last_answered: now,
            poll_sent: now,
            recheck_at: None,
            waiting_since: now,
            unanswered_since: None,
            absent: 0,
            rejected,
            counted: 0,
            counted_token: open_token,
            windows: Arc::default(),
        }
    }

    pub(super) fn rejects(&self) -> Arc<Vec<RejectWindow>> {
        Arc::clone(&self.windows)
    }

    /// A batch that ends at `position` was accepted. `is_first`: no earlier batch was waiting for its commit.
    pub(super) fn accepted(&mut self, now: Instant, position: u64, is_first: bool) {
        self.latest = Some(Accept {
            at: now,
            position,
            is_lone: self.latest.is_none_or(|before| now >= before.at + LONE),
        });
        if is_first {
            self.waiting_since = now;
            self.watched = self.latest;
        }
    }

    /// Polls soon, and then as after an accept. For rows that were sent and will get no other answer.
    pub(super) fn poll_soon(&mut self, now: Instant) {
        self.recheck_at = Some(now + RECHECK_SOON);
        self.watched.get_or_insert(Accept {
            at: now,
            position: u64::MAX,
            is_lone: true,
        });
    }

    /// Schedules another poll to check an implausible answer.
    fn recheck_later(&mut self, now: Instant) {
        self.recheck_at = Some(now + RECHECK_DOUBTFUL);
    }

    /// The channel was reopened.
    pub(super) fn restart(&mut self, now: Instant) {
        // `waiting_since` is set by the next accept; until then no row waits for its commit.
        self.unanswered_since = None;
        self.absent = 0;
        self.recheck_at = None;
        self.watched = None;
        (self.last_poll, self.last_answered, self.poll_sent) = (now, now, now);
    }

    /// The poll was answered. The time since the first failed poll does not count as waiting for a commit.
    fn answered(&mut self) {
        if let Some(since) = self.unanswered_since.take() {
            let unanswered = self
                .poll_sent
                .saturating_duration_since(since.max(self.waiting_since));
            self.waiting_since += unanswered;
        }
    }

    /// Everything through this position is committed. Returns a sample if that includes the watched accept.
    fn committed(&mut self, position: u64) -> Option<CommitSample> {
        let found = self.watched.take_if(|w| w.position <= position)?;
        self.watched = self.latest.filter(|latest| latest.position > position);
        Some(CommitSample {
            missed: self.last_answered.saturating_duration_since(found.at),
            seen: self.poll_sent.checked_duration_since(found.at)?,
        })
    }
}

impl Core {
    /// The server's reject counter, from the open or a later status.
    pub(crate) fn rows_rejected(&self) -> u64 {
        self.commit.rejected
    }

    /// Whether rows were sent whose commit is not known yet.
    pub(crate) fn awaits_commits(&self) -> bool {
        match self.phase {
            Phase::Open => self.accepted > self.ledger.committed(),
            Phase::Settling { .. } => true,
            Phase::Reopening(_) | Phase::Ended => false,
        }
    }

    /// Why and when the channel's status is worth polling.
    pub(crate) fn poll_interest(&self) -> PollInterest {
        let commit = &self.commit;
        if matches!(self.phase, Phase::Reopening(_) | Phase::Ended) {
            return PollInterest::Nothing;
        }
        if let Some(again) = commit.recheck_at {
            return PollInterest::At(again);
        }
        if self.counts.is_waiting() {
            return PollInterest::At(commit.last_poll + RECHECK_COUNTS);
        }
        // When draining, poll for the last accept; its commit confirms the earlier ones.
        let last = commit
            .latest
            .filter(|latest| self.drain_until.is_some() && latest.position == self.appended);
        match last.or(commit.watched) {
            Some(watched) if self.awaits_commits() => PollInterest::Commit {
                accepted: watched.at,
                asked: commit.last_poll,
                is_lone: watched.is_lone || last.is_some(),
            },
            _ if self.awaits_commits() => PollInterest::At(commit.last_poll + RECHECK_DOUBTFUL),
            _ => PollInterest::Heartbeat(commit.last_poll + HEARTBEAT),
        }
    }

    /// A status poll is being sent. Returns the epoch: the answer is valid only while it has not changed.
    pub(crate) fn asked(&mut self, now: Instant) -> u64 {
        self.commit.poll_sent = now;
        self.epoch
    }

    /// Invalidates the channel if the answers of `commit_stall_timeout` show no commit.
    fn check_stall(&mut self, now: Instant) {
        let timeout = self.limits.commit_stall_timeout;
        // An implausible token may turn out to be another writer's. That is then the cause, and not a stall.
        let recheck_allowance = if self.commit.recheck_at.is_some() {
            REPLICA_LAG
        } else {
            Duration::ZERO
        };
        let is_waiting = self.accepted > self.ledger.committed();
        if !is_waiting || !self.has_waited(self.commit.waiting_since, timeout + recheck_allowance) {
            return;
        }
        let ranges = self.report().at_risk();
        warn!(uncommitted = %ranges, "commits have stalled: rows are accepted but may never reach the table");
        let error = Error::new(
            ErrorKind::Timeout,
            format!(
                "nothing was committed for {timeout:?} although rows are accepted: {ranges}; look at the pipe {} and its table (an invalid pipe accepts rows and drops them), then reopen and append from the committed token",
                self.pipe
            ),
        );
        self.invalidate(now, InvalidationCause::CommitStalled, error);
    }

    /// The status call failed.
    pub(crate) fn on_status_failed(&mut self, now: Instant, why: &Error) {
        self.commit.last_poll = self.commit.poll_sent;
        if self.commit.recheck_at.is_some() {
            self.commit.recheck_later(now);
        }
        let poll_sent = self.commit.poll_sent;
        let since = *self.commit.unanswered_since.get_or_insert(poll_sent);
        let retry_for = self.limits.retry_for;
        // A receipt waits for its commit, or for the counters of a commit that the token shows.
        let is_waiting = self.accepted.max(self.ledger.committed()) > self.counts.committed();
        if !is_waiting || !self.has_waited(since.max(self.commit.waiting_since), retry_for) {
            return;
        }
        let ranges = self.report().at_risk();
        let text = format!(
            "rows are accepted ({ranges}) and for {retry_for:?} the server could not be asked whether they are committed: {}; reopen the channel and append from the committed token",
            why.message()
        );
        let cause = match why.kind() {
            ErrorKind::Authentication | ErrorKind::Forbidden => InvalidationCause::Unauthorized,
            ErrorKind::NotFound if why.code().is_some() => InvalidationCause::Gone,
            _ => InvalidationCause::Unreachable,
        };
        let error = Error::new(ErrorKind::Unreachable, text).because_of(why.clone());
        self.invalidate(now, cause, error);
    }

    /// Whether the channel is open, and the latest poll was sent at least `timeout` after `since`.
    fn has_waited(&self, since: Instant, timeout: Duration) -> bool {
        matches!(self.phase, Phase::Open) && self.commit.poll_sent >= since + timeout
    }

    /// A status poll was answered, with this channel's entry, or `None` if the channel is absent.
    pub(crate) fn on_status(
        &mut self,
        now: Instant,
        status: Option<&ChannelStatus>,
    ) -> Option<CommitSample> {
        // A reopen answers with a newer status.
        if self.is_ended() || self.is_reopening() {
            return None;
        }
        self.commit.recheck_at = None;
        self.commit.answered();
        let is_current = self.read_status(now, status);
        // A status without the channel, or from a replica that lags, says nothing about the counters.
        if is_current {
            self.check_counts(now);
        }
        self.check_stall(now);
        let sample = self.commit.committed(self.ledger.committed());
        self.commit.last_poll = self.commit.poll_sent;
        if is_current {
            self.commit.last_answered = self.commit.poll_sent;
        }
        sample
    }

    /// Applies a status. Returns whether it is current, as far as the client can know.
    fn read_status(&mut self, now: Instant, status: Option<&ChannelStatus>) -> bool {
        let asked = self.commit.poll_sent;
        let Some(status) = status else {
            self.commit.absent += 1;
            self.commit.recheck_later(now);
            // A lagging replica may not know a new channel yet.
            if self.commit.absent >= ABSENT_LIMIT && !self.ledger.may_predate_open(asked) {
                let text = "the server no longer reports the channel; it may have been dropped";
                self.give_up(
                    now,
                    InvalidationCause::Gone,
                    Error::new(ErrorKind::NotFound, text),
                );
            }
            return false;
        };
        self.commit.absent = 0;
        if self.is_same_channel(status) {
            self.counts.saw(status.rows_accounted());
        }
        let token = status.latest_committed_offset_token();
        let is_doubtful = self.set_back_until.is_some_and(|until| asked < until);
        if is_doubtful
            && self.ledger.is_pending(token)
            && !self.counts.is_exceeded_by(status.rows_accounted())
        {
            // From before the token was set back, when the same rows were committed that are sent again now. A commit of today
            // has raised the counters.
            return false;
        }
        let before = self.ledger.committed();
        let tokens = &mut self.tokens;
        let seen = Observation {
            token: status.latest_committed_offset_token(),
            created_on_ms: status.created_on_ms(),
            asked,
            answered: now,
        };
        let reading = self.ledger.observe(seen, |token| tokens.committed(token));
        match reading {
            Reading::Advanced => {
                self.commit.waiting_since = now;
                self.reopens.reset();
                self.release_committed();
                debug!(rows = self.ledger.committed() - before, token = ?self.ledger.watermark(), "committed");
            }
            Reading::Unchanged if self.ledger.is_settled() => {
                self.ledger.shrink();
                self.tokens.shrink();
            }
            Reading::Unchanged => {}
            Reading::Outdated => return false,
            Reading::Suspicious => {
                self.commit.recheck_later(now);
                return false;
            }
            Reading::Conflict => {
                let (cause, error) = conflict(status);
                self.give_up(now, cause, error);
                return false;
            }
        }
        self.count_rows(now, status);
        if status.is_healthy() {
            if self.ledger.committed() == self.appended {
                self.reopens.on_healthy(now);
            }
        } else if matches!(self.phase, Phase::Open) {
            self.on_unhealthy(now, status);
        }
        true
    }

    /// The code of a current status is not healthy.
    fn on_unhealthy(&mut self, now: Instant, status: &ChannelStatus) {
        if self.ledger.may_predate_open(self.commit.poll_sent) && !self.ledger.has_moved() {
            // The code may be from before the open, which has remedied it.
            self.commit.recheck_later(now);
            return;
        }
        let code = status.status_code().to_owned();
        let cause = attempts::of_status(&code);
        let error = Error::new(
            ErrorKind::Refused,
            "its status is not healthy; look at the pipe and its table, then reopen the channel and append from the committed token",
        )
        .with_code(Some(code));
        self.invalidate(now, cause, error);
    }

    /// Invalidates without further polls, because no later status can say more.
    pub(super) fn give_up(&mut self, now: Instant, cause: InvalidationCause, error: Error) {
        if !self.recovers(cause, &error) {
            self.surface(now, cause, error);
            self.phase = Phase::Ended;
        }
    }

    /// Records a rise of the reject counter and returns whether it rose. A lower counter is from a stale read and ignored.
    pub(super) fn count_rejects(&mut self, status: &ChannelStatus) -> bool {
        let count = status.rows_error_count();
        let has_risen = count > self.commit.rejected;
        if has_risen {
            self.isolate(true);
            let after = self.commit.counted_token.as_ref();
            let asked = self.commit.poll_sent;
            let after = after.filter(|_| !self.counts.may_include_earlier_rows(asked));
            let window = RejectWindow {
                count: count - self.commit.rejected,
                after: self.visible(after),
                through: self.visible(self.ledger.last_sent()),
                message: status.last_error_message().map(str::to_owned),
                bound: self.visible(status.last_error_offset_token_upper_bound()),
                from: self.commit.counted,
                // The counter may include rows that were sent while the poll was under way.
                to: self.sent.max(self.ledger.committed()),
                total: count,
            };
            warn!(
                rows = window.count,
                after = ?window.after,
                through = ?window.through,
                message = window.message.as_deref().unwrap_or_default(),
                "the server rejected rows"
            );
            self.commit.rejected = count;
            let windows = Arc::make_mut(&mut self.commit.windows);
            if windows.len() < MAX_WINDOWS {
                windows.push(window);
            } else if let Some(last) = windows.last_mut() {
                *last = RejectWindow {
                    count: last.count + window.count,
                    after: last.after.take(),
                    from: last.from,
                    ..window
                };
            }
        }
        has_risen
    }
}

/// Why a channel ends whose committed token is not one that it sent.
fn conflict(status: &ChannelStatus) -> (InvalidationCause, Error) {
    let code = status.status_code();
    if !status.is_healthy() && attempts::of_status(code) == InvalidationCause::Gone {
        // Such a status has no token. The server may go on accepting rows, which are lost.
        let text = "its status says that it no longer exists: the channel, its pipe or its table was dropped or replaced, and rows that were accepted since are lost; reopen the channel and append from the committed token";
        let error = Error::new(ErrorKind::NotFound, text).with_code(Some(code.to_owned()));
        return (InvalidationCause::Gone, error);
    }
    let text = format!(
        "the server reports {:?} as committed, which this channel did not send; another writer uses the channel, or it was dropped and created again",
        status.latest_committed_offset_token()
    );
    (
        InvalidationCause::OffsetConflict,
        Error::new(ErrorKind::InvalidOffset, text),
    )
}

#[cfg(test)]
#[path = "counted_tests.rs"]
mod counted_tests;
#[cfg(test)]
#[path = "commits_tests.rs"]
mod tests;
