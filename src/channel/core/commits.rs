//! Commit tracking: when to ask for a channel's status, and what the answer means.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

use super::ledger::{Observation, REPLICA_LAG, Reading};
use super::polling::{CommitSample, HEARTBEAT, LONE, PollInterest};
use super::{Core, Phase, retry_decision};
use crate::types::channel_status::ChannelStatus;
use crate::types::error::{Error, ErrorKind, InvalidationCause};
use crate::types::offset::OffsetToken;
use crate::types::reject_window::RejectWindow;

/// So soon something in particular is asked for.
const RECHECK_SOON: Duration = Duration::from_millis(50);
/// So much later an answer that is hard to believe is asked for again: a replica of the server may lag.
const RECHECK_DOUBTFUL: Duration = Duration::from_secs(1);
/// A channel that is missing from so many answers in a row is gone.
const ABSENT_LIMIT: u32 = 3;
/// More windows than this are told as one.
const MAX_WINDOWS: usize = 1024;

/// Rows accepted by one answer.
#[derive(Debug, Clone, Copy)]
struct Accept {
    at: Instant,
    position: u64,
    /// Whether they came after a pause.
    is_lone: bool,
}

/// The part of a channel's state that follows its commits.
#[derive(Debug)]
pub(crate) struct Commit {
    latest: Option<Accept>,
    /// The accept whose commit is waited for: the latest one there was when that of the one before it was seen.
    watched: Option<Accept>,
    /// When the status was asked for with an answer, or without one for long enough.
    asked: Instant,
    /// When it was asked for with an answer.
    heard: Instant,
    /// When it was asked for and there may still be an answer.
    asking: Instant,
    /// Ask then, whatever else there is to wait for.
    again: Option<Instant>,
    /// Since when something is accepted and nothing was committed, as far as answers show. Time without answers is added, so
    /// that it does not count.
    waiting_since: Instant,
    /// When the first question was asked that has had no answer since.
    unanswered_since: Option<Instant>,
    absent: u32,
    rejected: u64,
    /// Everything through this position is accounted for in `rejected`.
    counted: u64,
    counted_token: Option<OffsetToken>,
    windows: Arc<Vec<RejectWindow>>,
}

impl Commit {
    pub(super) fn new(now: Instant, rejected: u64, open_token: Option<OffsetToken>) -> Self {
        Self {
            latest: None,
            watched: None,
            asked: now,
            heard: now,
            asking: now,
            again: None,
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

    /// A batch that ends at `position` was accepted; `is_first`: nothing else was waiting for its commit.
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

    /// Polls soon, and on as after an accept: something was sent, and nothing more will be heard of it but this.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.again = Some(now + RECHECK_SOON);
        self.watched.get_or_insert(Accept {
            at: now,
            position: u64::MAX,
            is_lone: true,
        });
    }

    /// Asks again about an answer that is hard to believe, but not at once.
    fn doubt(&mut self, now: Instant) {
        self.again = Some(now + RECHECK_DOUBTFUL);
    }

    /// The channel was opened again.
    pub(super) fn restart(&mut self, now: Instant) {
        // Since when something waits for its commit is set by the next accept: for now nothing does.
        self.unanswered_since = None;
        self.absent = 0;
        self.again = None;
        self.watched = None;
        (self.asked, self.heard, self.asking) = (now, now, now);
    }

    /// The question was answered. What passed since the first question without an answer does not count as waiting.
    fn answered(&mut self) {
        if let Some(since) = self.unanswered_since.take() {
            let unanswered = self
                .asking
                .saturating_duration_since(since.max(self.waiting_since));
            self.waiting_since += unanswered;
        }
    }

    /// Everything through this position is committed, and was not at the last answer before.
    fn committed(&mut self, position: u64) -> Option<CommitSample> {
        let found = self.watched.take_if(|w| w.position <= position)?;
        self.watched = self.latest.filter(|latest| latest.position > position);
        Some(CommitSample {
            missed: self.heard.saturating_duration_since(found.at),
            seen: self.asking.checked_duration_since(found.at)?,
        })
    }
}

impl Core {
    /// The server's reject counter, as the open or a later status told it.
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

    /// What there is to hear of the server, and since when.
    pub(crate) fn poll_interest(&self) -> PollInterest {
        let commit = &self.commit;
        if matches!(self.phase, Phase::Reopening(_) | Phase::Ended) {
            return PollInterest::Nothing;
        }
        if let Some(again) = commit.again {
            return PollInterest::At(again);
        }
        // Who closes the channel waits for its last rows, and is told of those before them by the way.
        let last = commit
            .latest
            .filter(|latest| self.drain_until.is_some() && latest.position == self.appended);
        match last.or(commit.watched) {
            Some(watched) if self.awaits_commits() => PollInterest::Commit {
                accepted: watched.at,
                asked: commit.asked,
                is_lone: watched.is_lone || last.is_some(),
            },
            _ if self.awaits_commits() => PollInterest::At(commit.asked + RECHECK_DOUBTFUL),
            _ => PollInterest::Heartbeat(commit.asked + HEARTBEAT),
        }
    }

    /// The status is being asked for. Returns the count of opens, for the answer holds for this open only.
    pub(crate) fn asked(&mut self, now: Instant) -> u64 {
        self.commit.asking = now;
        self.epoch
    }

    /// Invalidates a channel of which answers show for `commit_stall_timeout` that nothing is committed.
    fn check_stall(&mut self, now: Instant) {
        let timeout = self.limits.commit_stall_timeout;
        // What is in doubt may turn out to be another writer's token, which then is the reason.
        let is_in_doubt = self.commit.again.is_some();
        let doubt = if is_in_doubt {
            REPLICA_LAG
        } else {
            Duration::ZERO
        };
        if !self.is_waiting_since(self.commit.waiting_since, timeout + doubt) {
            return;
        }
        let ranges = self.report().at_risk();
        warn!(uncommitted = %ranges, "commits stall; the rows are accepted but may never reach the table");
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
    pub(crate) fn on_status_missed(&mut self, now: Instant, why: &Error) {
        self.commit.asked = self.commit.asking;
        if self.commit.again.is_some() {
            self.commit.doubt(now);
        }
        let asking = self.commit.asking;
        let since = *self.commit.unanswered_since.get_or_insert(asking);
        let retry_for = self.limits.retry_for;
        if !self.is_waiting_since(since.max(self.commit.waiting_since), retry_for) {
            return;
        }
        let ranges = self.report().at_risk();
        let text = format!(
            "rows are accepted ({ranges}) and for {retry_for:?} the server could not be asked whether they are committed: {}; reopen the channel and append from the committed token",
            why.message()
        );
        let cause = match why.kind() {
            ErrorKind::Authentication | ErrorKind::Forbidden => InvalidationCause::Unauthorized,
            _ => InvalidationCause::Unreachable,
        };
        let error = Error::new(ErrorKind::Unreachable, text).because_of(why.clone());
        self.invalidate(now, cause, error);
    }

    /// Whether accepted rows wait for their commit, and the latest question left `timeout` after `since` or later.
    fn is_waiting_since(&self, since: Instant, timeout: Duration) -> bool {
        matches!(self.phase, Phase::Open)
            && self.accepted > self.ledger.committed()
            && self.commit.asking >= since + timeout
    }

    /// An answer to a status poll: this channel's entry, or `None` if it has none.
    pub(crate) fn on_status(
        &mut self,
        now: Instant,
        status: Option<&ChannelStatus>,
    ) -> Option<CommitSample> {
        // Being opened again, it hears more from that.
        if self.is_ended() || self.is_reopening() {
            return None;
        }
        self.commit.again = None;
        self.commit.answered();
        let is_current = self.read_status(now, status);
        self.check_stall(now);
        let sample = self.commit.committed(self.ledger.committed());
        self.commit.asked = self.commit.asking;
        if is_current {
            self.commit.heard = self.commit.asking;
        }
        sample
    }

    /// Takes over what a status says, and returns whether it shows the channel as it is, as far as anybody can tell.
    fn read_status(&mut self, now: Instant, status: Option<&ChannelStatus>) -> bool {
        let asked = self.commit.asking;
        let Some(status) = status else {
            self.commit.absent += 1;
            self.commit.doubt(now);
            // A replica that lags may not know yet of a channel that is new.
            if self.commit.absent >= ABSENT_LIMIT && !self.ledger.may_predate_open(asked) {
                let text = "the server no longer knows the channel; it may have been dropped";
                self.give_up(
                    now,
                    InvalidationCause::Gone,
                    Error::new(ErrorKind::NotFound, text),
                );
            }
            return false;
        };
        self.commit.absent = 0;
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
                self.reopens.forget();
                self.let_go();
                debug!(rows = self.ledger.committed() - before, token = ?self.ledger.watermark(), "committed");
            }
            Reading::Unchanged if self.ledger.is_settled() => {
                self.ledger.rest();
                self.tokens.rest();
            }
            Reading::Unchanged => {}
            Reading::Outdated => return false,
            Reading::Suspicious => {
                self.commit.doubt(now);
                return false;
            }
            Reading::Conflict => {
                let text = format!(
                    "the server says that {:?} is committed, which this channel did not send; another writer uses its name, or it was dropped and made anew",
                    status.latest_committed_offset_token()
                );
                self.give_up(
                    now,
                    InvalidationCause::OffsetConflict,
                    Error::new(ErrorKind::InvalidOffset, text),
                );
                return false;
            }
        }
        if !self.count_rejects(status) && reading == Reading::Advanced {
            self.isolate(false);
        }
        if status.is_healthy() {
            if self.ledger.committed() == self.appended {
                self.reopens.is_well(now);
            }
        } else if matches!(self.phase, Phase::Open) {
            self.on_unhealthy(now, status);
        }
        true
    }

    /// The code of a current status is not healthy.
    fn on_unhealthy(&mut self, now: Instant, status: &ChannelStatus) {
        if self.ledger.may_predate_open(self.commit.asking) && !self.ledger.has_moved() {
            // It may be that of the state which the open has ended.
            self.commit.doubt(now);
            return;
        }
        let code = status.status_code().to_owned();
        let cause = retry_decision::of_status(&code);
        let error = Error::new(
            ErrorKind::Refused,
            "its status is not healthy; look at the pipe and its table, then reopen the channel and append from the committed token",
        )
        .with_code(Some(code));
        self.invalidate(now, cause, error);
    }

    /// Takes over windows of an earlier hold that no call has returned. They lie before all rows of this one.
    pub(crate) fn inherit_rejects(&mut self, untold: Vec<RejectWindow>) {
        let untold = untold
            .into_iter()
            .map(|window| RejectWindow { to: 0, ..window });
        let since = self.commit.windows.iter().cloned();
        self.commit.windows = Arc::new(untold.chain(since).collect());
    }

    /// Invalidates without asking on: no later status can tell more.
    pub(super) fn give_up(&mut self, now: Instant, cause: InvalidationCause, error: Error) {
        if !self.recovers(cause, &error) {
            self.surface(now, cause, error);
            self.phase = Phase::Ended;
        }
    }

    /// Notes a rise of the reject counter, and whether there was one. A lower one is that of a stale read.
    pub(super) fn count_rejects(&mut self, status: &ChannelStatus) -> bool {
        let count = status.rows_error_count();
        let has_risen = count > self.commit.rejected;
        if has_risen {
            self.isolate(true);
            let window = RejectWindow {
                count: count - self.commit.rejected,
                after: self.visible(self.commit.counted_token.as_ref()),
                through: self.visible(self.ledger.last_sent()),
                message: status.last_error_message().map(str::to_owned),
                bound: self.visible(status.last_error_offset_token_upper_bound()),
                from: self.commit.counted,
                // What was sent while the poll was under way may be counted already.
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
        self.commit.counted = self.ledger.committed();
        self.commit.counted_token = self.ledger.watermark().cloned();
        has_risen
    }
}

#[cfg(test)]
#[path = "commits_tests.rs"]
mod tests;
