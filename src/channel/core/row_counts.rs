//! Which committed rows the server's row counters account for.
//!
//! The committed token may be visible before the row counters of the same commit (observed: supabase/etl,
//! `src/snowflake/streaming/channel.rs`, `status_proves_durability`). Until the counters follow, it is not known how many of
//! the rows were rejected. And a token may pass over rows that never reached the table, if the server acknowledges appends
//! of a superseded writer without taking them. So rows count as committed only when `rows_inserted` and `rows_error_count`
//! together account for them.
//!
//! What receipts, commits, closes and metrics call committed is what the ledger and the counters both cover. Replay and the
//! choice of the rows to send use the ledger alone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::{Core, Phase};
use crate::base::options::CommitEvidence;
use crate::types::channel_status::ChannelStatus;
use crate::types::error::{Error, ErrorKind, InvalidationCause};
use crate::types::offset::OffsetToken;
use crate::types::reject_window::RejectWindow;

/// Counters that have not moved for this long after a commit are taken for counters that the server does not keep.
const UNKEPT_AFTER: Duration = Duration::from_secs(30);
/// How long after an open rows may be counted that were committed before it.
pub(crate) const COUNTED_AFTER: Duration = Duration::from_secs(5);
/// The number of commits that are remembered one by one. Further ones are merged into the last.
const MAX_UNCOUNTED: usize = 256;

/// A commit that the token shows and that the counters do not account for yet.
#[derive(Debug)]
struct Uncounted {
    /// The position of its last row; 0 for the rows from before the open.
    position: u64,
    token: Option<OffsetToken>,
    /// When the token was seen.
    shown: Instant,
}

/// Compares the committed token with the row counters, since the open.
#[derive(Debug)]
pub(super) struct RowCounts {
    evidence: CommitEvidence,
    /// How many of the counted rows are not this channel's: those from before the open, and those of other writers.
    others: u64,
    /// The highest count that a status has shown.
    counted: u64,
    has_moved: bool,
    /// Until when rows from before the open may be counted; `None` if there are none, or if it is known how many they are.
    earlier_until: Option<Instant>,
    /// Whether the last count included more rows than this channel has sent.
    is_exceeded: bool,
    uncounted: VecDeque<Uncounted>,
    /// Rows through this position are committed, and all of them are counted.
    committed: u64,
    token: Option<OffsetToken>,
}

/// What a reopened channel has to know of the counters of its earlier state.
#[derive(Debug)]
pub(crate) struct Handover {
    /// The count at which every row that was committed before the reopen is counted.
    pub(super) expected: u64,
    /// Rows after this token may still be counted as rejected.
    pub(super) counted_token: Option<OffsetToken>,
}

/// Rows that the token covers, and that the counters have not accounted for in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The counters do not move at all.
    Unkept,
    /// The counters move, and account for this many rows less than the token covers.
    Short { missing: u64 },
}

impl RowCounts {
    /// `count` is that of the open's answer, or `None` if the server does not report row counts.
    pub(super) fn new(
        now: Instant,
        evidence: CommitEvidence,
        count: Option<u64>,
        token: Option<OffsetToken>,
    ) -> Self {
        let evidence = count.map_or(CommitEvidence::Token, |_| evidence);
        let may_be_late = token.is_some() && evidence == CommitEvidence::RowCounts;
        Self {
            evidence,
            others: count.unwrap_or(0),
            counted: count.unwrap_or(0),
            has_moved: false,
            earlier_until: may_be_late.then(|| now + COUNTED_AFTER),
            is_exceeded: false,
            uncounted: VecDeque::new(),
            committed: 0,
            token,
        }
    }

    /// Rows through this position are committed and counted.
    pub(super) fn committed(&self) -> u64 {
        self.committed
    }

    /// The token that belongs to `committed`.
    pub(super) fn token(&self) -> Option<&OffsetToken> {
        self.token.as_ref()
    }

    /// Whether a status with this count is newer than all that were seen.
    pub(super) fn is_exceeded_by(&self, count: Option<u64>) -> bool {
        count.is_some_and(|count| count > self.counted)
    }

    /// Whether the token covers rows that are not counted yet.
    pub(super) fn is_waiting(&self) -> bool {
        !self.uncounted.is_empty()
    }

    /// Whether the count of a status that was requested at `asked` may have risen by rows from before the open.
    pub(super) fn may_include_earlier_rows(&self, asked: Instant) -> bool {
        self.is_exceeded || self.earlier_until.is_some_and(|until| asked < until)
    }

    /// Whether rows from before the open are known not to be counted yet.
    pub(super) fn waits_for_earlier_rows(&self) -> bool {
        self.uncounted
            .front()
            .is_some_and(|first| first.position == 0)
    }

    /// The committed token covers the rows through `position` now.
    pub(super) fn shown(&mut self, now: Instant, position: u64, token: Option<&OffsetToken>) {
        let known = self.uncounted.back().map_or(0, |last| last.position);
        if position <= known.max(self.committed) {
            return;
        }
        let next = Uncounted {
            position,
            token: token.cloned(),
            shown: now,
        };
        if self.uncounted.len() < MAX_UNCOUNTED {
            self.uncounted.push_back(next);
        } else if let Some(last) = self.uncounted.back_mut() {
            *last = next;
        }
        self.settle();
    }

    /// A status of the channel shows this count. Its token need not be believed: the server keeps counters in any case.
    pub(super) fn saw(&mut self, count: Option<u64>) {
        self.has_moved |= self.is_exceeded_by(count);
    }

    /// A current status shows this count. `sent` is the position of the last row that the server may have.
    pub(super) fn observe(&mut self, count: Option<u64>, sent: u64) {
        let Some(count) = count else {
            return self.trust_token();
        };
        self.is_exceeded = self.others < count.saturating_sub(sent);
        if count > self.counted {
            self.counted = count;
            self.has_moved = true;
            // More rows than were sent: the count at the open lacked some, or another writer's rows are among them.
            self.others = self.others.max(count.saturating_sub(sent));
        }
        self.settle();
    }

    /// From now on the committed token alone decides.
    pub(super) fn trust_token(&mut self) {
        self.evidence = CommitEvidence::Token;
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(first) = self.uncounted.front() {
            let is_counted = self.others.saturating_add(first.position) <= self.counted;
            if !is_counted && self.evidence == CommitEvidence::RowCounts {
                return;
            }
            if let Some(first) = self.uncounted.pop_front() {
                self.committed = first.position;
                self.token = first.token;
            }
        }
    }

    /// What is overdue, if the counters lag for `timeout` behind the token in a status that was requested at `asked`.
    pub(super) fn overdue(&self, asked: Instant, timeout: Duration) -> Option<Overdue> {
        let first = self.uncounted.front()?;
        let waited = asked.saturating_duration_since(first.shown);
        if !self.has_moved && waited >= UNKEPT_AFTER.min(timeout) {
            return Some(Overdue::Unkept);
        }
        let covered = self.uncounted.back().map_or(0, |last| last.position);
        (waited >= timeout).then(|| Overdue::Short {
            missing: (self.others.saturating_add(covered)).saturating_sub(self.counted),
        })
    }

    /// For the channel's next state, if the rows through `committed` are not all counted.
    pub(super) fn handover(
        &self,
        committed: u64,
        counted_token: Option<OffsetToken>,
    ) -> Option<Handover> {
        let expected = self.others.saturating_add(committed);
        let is_counted = expected <= self.counted || self.evidence == CommitEvidence::Token;
        (!is_counted).then_some(Handover {
            expected,
            counted_token,
        })
    }

    /// The rows from before the open are counted only when the count reaches `expected`.
    fn take_over(&mut self, now: Instant, expected: u64) {
        self.others = self.others.max(expected);
        if self.counted < self.others {
            self.uncounted.push_front(Uncounted {
                position: 0,
                token: self.token.clone(),
                shown: now,
            });
            self.settle();
        }
    }
}

impl Core {
    /// Whether the server's row counters are evidence of commits.
    pub(crate) fn counts_rows(&self) -> bool {
        self.counts.evidence == CommitEvidence::RowCounts
    }

    /// What the channel's next state takes over, after a reopen with `status` in its answer.
    pub(crate) fn handover(&self, status: &ChannelStatus) -> Option<Handover> {
        let committed = self.ledger.committed();
        let handover = self
            .counts
            .handover(committed, self.commit.counted_token.clone());
        handover.filter(|_| self.is_same_channel(status))
    }

    /// Reads the counters of a current status, whose token the ledger has read: rejected rows, and which rows are committed.
    pub(super) fn count_rows(&mut self, now: Instant, status: &ChannelStatus) {
        let (before, shown) = (self.counts.committed(), self.ledger.committed());
        self.counts.shown(now, shown, self.ledger.watermark());
        let sent = self.sent.max(shown);
        self.counts.observe(status.rows_accounted(), sent);
        let were_rejected = self.count_rejects(status);
        if !were_rejected && self.counts.committed() > before {
            self.isolate(false);
        }
        if !self.counts.waits_for_earlier_rows() {
            self.commit.counted = self.counts.committed();
            self.commit.counted_token = self.counts.token().cloned();
        }
    }

    /// Decides what happens if the row counters have not followed the committed token in time.
    pub(super) fn check_counts(&mut self, now: Instant) {
        let timeout = self.limits.commit_stall_timeout;
        let asked = self.commit.poll_sent;
        match self.counts.overdue(asked, timeout) {
            Some(Overdue::Unkept) => {
                warn!(
                    channel = self.name,
                    "the server does not count the rows of the channel; from now on its committed token alone decides"
                );
                self.counts.trust_token();
            }
            Some(Overdue::Short { missing }) if matches!(self.phase, Phase::Open) => {
                let text = format!(
                    "for {timeout:?} the committed token has covered {missing} rows more than the server counts as inserted or rejected ({}); another writer uses the channel, or the pipe leaves rows out (then build the client with CommitEvidence::Token)",
                    self.report().at_risk()
                );
                let error = Error::new(ErrorKind::InvalidOffset, text);
                self.give_up(now, InvalidationCause::OffsetConflict, error);
            }
            None | Some(Overdue::Short { .. }) => {}
        }
    }

    /// Takes over from the state before a reopen: the reject windows that its handle has not returned, which precede all rows
    /// of this channel, committed rows that were not counted, and until when statuses may be from before a set-back.
    pub(crate) fn inherit(
        &mut self,
        now: Instant,
        unreported: Vec<RejectWindow>,
        uncounted: Option<Handover>,
        set_back_until: Option<Instant>,
    ) {
        self.set_back_until = set_back_until;
        // It is known how many rows precede the open.
        self.counts.earlier_until = None;
        if let Some(Handover {
            expected,
            counted_token,
        }) = uncounted
        {
            self.counts.take_over(now, expected);
            self.commit.counted_token = counted_token;
        }
        let unreported = unreported
            .into_iter()
            .map(|window| RejectWindow { to: 0, ..window });
        let since = self.commit.windows.iter().cloned();
        self.commit.windows = Arc::new(unreported.chain(since).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(count: Option<u64>) -> RowCounts {
        RowCounts::new(
            Instant::now(),
            CommitEvidence::RowCounts,
            count,
            Some(9.into()),
        )
    }

    fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const TIMEOUT: Duration = Duration::from_secs(120);

    #[test]
    fn rows_are_committed_when_the_token_and_the_counters_cover_them() {
        let now = Instant::now();
        let mut counts = counts(Some(100));
        counts.shown(now, 5, Some(&14.into()));
        counts.observe(Some(100), 8);
        assert_eq!((counts.committed(), counts.token()), (0, Some(&9.into())));
        counts.shown(now, 8, Some(&17.into()));
        counts.observe(Some(106), 8);
        assert_eq!((counts.committed(), counts.token()), (5, Some(&14.into())));
        assert!(counts.is_waiting());
        // An older status changes nothing.
        counts.observe(Some(103), 8);
        assert_eq!(counts.committed(), 5);
        counts.observe(Some(108), 8);
        assert_eq!((counts.committed(), counts.token()), (8, Some(&17.into())));
        assert!(!counts.is_waiting());
    }

    #[test]
    fn counters_that_are_ahead_of_the_token_commit_nothing() {
        let mut counts = counts(Some(0));
        counts.observe(Some(3), 3);
        assert_eq!(counts.committed(), 0);
        counts.shown(Instant::now(), 3, Some(&12.into()));
        assert_eq!(counts.committed(), 3);
    }

    #[test]
    fn rows_of_others_account_for_nothing() {
        let now = Instant::now();
        let mut counts = counts(Some(0));
        // Ten rows from before the open are counted late.
        counts.observe(Some(10), 0);
        counts.shown(now, 4, Some(&13.into()));
        assert_eq!(counts.committed(), 0);
        counts.observe(Some(14), 4);
        assert_eq!(counts.committed(), 4);
    }

    #[test]
    fn without_counters_the_token_decides() {
        let now = Instant::now();
        for mut counts in [
            counts(None),
            RowCounts::new(now, CommitEvidence::Token, Some(0), None),
        ] {
            counts.shown(now, 4, Some(&13.into()));
            assert_eq!(counts.committed(), 4);
        }
        let mut counts = counts(Some(0));
        counts.shown(now, 4, Some(&13.into()));
        counts.observe(None, 4);
        assert_eq!(counts.committed(), 4);
    }

    #[test]
    fn what_is_not_counted_in_time_is_overdue() {
        let now = Instant::now();
        let mut counts = counts(Some(7));
        assert_eq!(counts.overdue(now + after(999), TIMEOUT), None);
        counts.shown(now, 4, Some(&13.into()));
        assert_eq!(counts.overdue(now + after(29), TIMEOUT), None);
        assert_eq!(
            counts.overdue(now + after(30), TIMEOUT),
            Some(Overdue::Unkept)
        );
        counts.observe(Some(10), 4);
        assert_eq!(counts.overdue(now + after(119), TIMEOUT), None);
        let short = Overdue::Short { missing: 1 };
        assert_eq!(counts.overdue(now + after(120), TIMEOUT), Some(short));
    }

    #[test]
    fn a_reopened_channel_waits_for_the_rows_of_its_earlier_state() {
        let now = Instant::now();
        let mut old = counts(Some(100));
        old.shown(now, 5, Some(&14.into()));
        old.observe(Some(102), 5);
        let handover = old.handover(5, Some(9.into())).unwrap();
        assert_eq!(handover.expected, 105);
        let mut new = counts(Some(102));
        new.take_over(now, handover.expected);
        assert!(new.waits_for_earlier_rows());
        new.shown(now, 2, Some(&16.into()));
        new.observe(Some(105), 2);
        assert!(!new.waits_for_earlier_rows());
        assert_eq!(new.committed(), 0);
        new.observe(Some(107), 2);
        assert_eq!(new.committed(), 2);
        assert!(new.handover(2, None).is_none());
    }

    #[test]
    fn commits_are_remembered_within_a_bound() {
        let now = Instant::now();
        let mut counts = counts(Some(0));
        for position in 1..=10_000 {
            counts.shown(now, position, Some(&position.into()));
        }
        assert_eq!(counts.uncounted.len(), MAX_UNCOUNTED);
        counts.observe(Some(10_000), 10_000);
        assert_eq!(counts.committed(), 10_000);
    }
}
