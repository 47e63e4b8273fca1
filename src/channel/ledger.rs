//! The ledger: which end tokens are on their way, and what a committed token seen in a status means for them.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use tokio::time::Instant;

use super::used_tokens::UsedTokens;
use crate::offset::OffsetToken;

/// How far a replica of the server may lag: a status shows a state that the channel had so long before the question, or later.
pub(crate) const REPLICA_LAG: Duration = Duration::from_secs(30);
/// How many committed tokens are remembered, so that a stale read is known for one.
const HISTORY: usize = UsedTokens::MOST;
/// And how many of a channel that rests, whose last state every replica has had time to learn.
const HISTORY_AT_REST: usize = UsedTokens::MOST_AT_REST;

/// A request's rows, sent and not known to be committed.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) start: Option<OffsetToken>,
    pub(crate) end: OffsetToken,
    /// The position of its last row: rows appended since open, up to and including it.
    pub(crate) position: u64,
    pub(crate) rows: u64,
}

/// What a status says of the committed token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observation<'a> {
    pub(crate) token: Option<&'a OffsetToken>,
    pub(crate) created_on_ms: Option<u64>,
    /// When the question left.
    pub(crate) asked: Instant,
    /// When the answer arrived.
    pub(crate) answered: Instant,
}

/// What a status means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Nothing new.
    Unchanged,
    /// An older state than one already seen: nothing in the status holds any more.
    Outdated,
    /// Everything up to the ledger's `committed` position is committed now.
    Advanced,
    /// Not explicable by what this channel sent, unless it is an older state. Ask again.
    Suspicious,
    /// The same inexplicable answer again: somebody else moved the channel's token.
    Conflict,
}

/// Where a status's token is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Watermark,
    /// It was committed before the watermark.
    Past,
    /// It ends the pending request at this index.
    Pending(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Sight {
    token: Option<OffsetToken>,
    created_on_ms: Option<u64>,
}

/// Starts at the token of the open response and follows the committed token from there.
#[derive(Debug)]
pub(crate) struct Ledger {
    watermark: Option<OffsetToken>,
    committed: u64,
    pending: VecDeque<Pending>,
    /// Fingerprints of the tokens that were committed before the watermark. The tokens may be long.
    popped: VecDeque<u64>,
    created_on_ms: Option<u64>,
    suspect: Option<Sight>,
    /// When the open was answered.
    opened: Instant,
    /// When the first token was seen, if the open told of none.
    first_token: Option<Instant>,
    /// Whether a commit was seen since the open.
    has_moved: bool,
}

impl Ledger {
    pub(crate) fn new(
        now: Instant,
        open_token: Option<OffsetToken>,
        created_on_ms: Option<u64>,
    ) -> Self {
        Self {
            watermark: open_token,
            committed: 0,
            pending: VecDeque::new(),
            popped: VecDeque::new(),
            created_on_ms,
            suspect: None,
            opened: now,
            first_token: None,
            has_moved: false,
        }
    }

    /// The last committed token.
    pub(crate) fn watermark(&self) -> Option<&OffsetToken> {
        self.watermark.as_ref()
    }

    /// The position of the last committed row.
    pub(crate) fn committed(&self) -> u64 {
        self.committed
    }

    /// What was sent and is not known to be committed, oldest first.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &Pending> {
        self.pending.iter()
    }

    /// The last token sent, or the committed one if nothing is pending.
    pub(crate) fn last_sent(&self) -> Option<&OffsetToken> {
        self.pending
            .back()
            .map(|p| &p.end)
            .or(self.watermark.as_ref())
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// Notes a request the first time it is sent.
    pub(crate) fn sent(&mut self, request: Pending) {
        self.pending.push_back(request);
    }

    /// Takes back the latest request: the server refused it without applying it.
    pub(crate) fn unsend(&mut self, end: &OffsetToken) {
        if self.pending.back().is_some_and(|p| p.end == *end) {
            self.pending.pop_back();
        }
    }

    /// Reads a status's token. `on_committed` is called with each end token that is committed by it.
    pub(crate) fn observe(
        &mut self,
        seen: Observation<'_>,
        mut on_committed: impl FnMut(&OffsetToken),
    ) -> Reading {
        let known = self.known(&seen);
        let Some(known) = known else {
            let sight = Sight {
                token: seen.token.cloned(),
                created_on_ms: seen.created_on_ms,
            };
            if self.suspect.as_ref() == Some(&sight) && !self.may_be_older(&seen) {
                return Reading::Conflict;
            }
            self.suspect = Some(sight);
            return Reading::Suspicious;
        };
        self.suspect = None;
        match known {
            Known::Watermark => Reading::Unchanged,
            Known::Past => Reading::Outdated,
            Known::Pending(index) => {
                if self.watermark.is_none() {
                    self.first_token = Some(seen.answered);
                }
                self.has_moved = true;
                self.pop_through(index, &mut on_committed);
                Reading::Advanced
            }
        }
    }

    fn known(&self, seen: &Observation<'_>) -> Option<Known> {
        if !self.is_same_channel(seen.created_on_ms) {
            return None;
        }
        if self.watermark.as_ref() == seen.token {
            return Some(Known::Watermark);
        }
        let token = seen.token?;
        let pending = self.pending.iter().position(|p| p.end == *token);
        let is_past = || self.popped.contains(&fingerprint(token));
        pending
            .map(Known::Pending)
            .or_else(|| is_past().then_some(Known::Past))
    }

    /// Whether a replica that lags explains what this channel did not send: a state from before the open, or from before
    /// the first token.
    fn may_be_older(&self, seen: &Observation<'_>) -> bool {
        // A channel that was created later is not an earlier state of this one.
        if self.created_on_ms < seen.created_on_ms && self.created_on_ms.is_some() {
            return false;
        }
        match (seen.token, self.first_token) {
            (None, Some(first_token)) => seen.asked < first_token + REPLICA_LAG,
            _ => self.may_predate_open(seen.asked),
        }
    }

    /// Whether a status that was asked for then may show the channel as it was before the open.
    pub(crate) fn may_predate_open(&self, asked: Instant) -> bool {
        asked < self.opened + REPLICA_LAG
    }

    /// Whether a commit was seen since the open. A status with the same token is from after the open.
    pub(crate) fn has_moved(&self) -> bool {
        self.has_moved
    }

    /// The channel was opened again, and this is the open's token: what was sent beyond it is not in and will never be.
    /// `false` if the token is not one of this channel's; then nothing is changed.
    pub(crate) fn restart(
        &mut self,
        now: Instant,
        token: Option<&OffsetToken>,
        created_on_ms: Option<u64>,
        mut on_committed: impl FnMut(&OffsetToken),
    ) -> bool {
        if !self.is_same_channel(created_on_ms) {
            return false;
        }
        let sent = self.pending.iter().position(|p| Some(&p.end) == token);
        match sent {
            Some(i) => self.pop_through(i, &mut on_committed),
            None if self.watermark.as_ref() == token => {}
            None => return false,
        }
        self.pending.clear();
        self.suspect = None;
        self.opened = now;
        self.first_token = None;
        self.has_moved = false;
        true
    }

    /// Whether a channel made then can be the one that was opened.
    pub(crate) fn is_same_channel(&self, created_on_ms: Option<u64>) -> bool {
        match (self.created_on_ms, created_on_ms) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => true,
        }
    }

    /// Gives back what a busy channel needs and one that rests does not.
    pub(crate) fn rest(&mut self) {
        let too_many = self.popped.len().saturating_sub(HISTORY_AT_REST);
        self.popped.drain(..too_many);
        self.popped.shrink_to_fit();
        self.pending.shrink_to_fit();
    }

    fn pop_through(&mut self, index: usize, on_committed: &mut impl FnMut(&OffsetToken)) {
        for done in self.pending.drain(..=index) {
            on_committed(&done.end);
            if let Some(old) = self.watermark.replace(done.end) {
                if self.popped.len() == HISTORY {
                    self.popped.pop_front();
                }
                self.popped.push_back(fingerprint(&old));
            }
            self.committed = done.position;
        }
    }
}

pub(super) fn fingerprint(token: &OffsetToken) -> u64 {
    let mut hasher = DefaultHasher::new();
    token.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> OffsetToken {
        OffsetToken::new(text).unwrap()
    }

    fn ledger(open: Option<&str>, sent: &[(&str, u64)]) -> Ledger {
        let mut ledger = Ledger::new(Instant::now(), open.map(token), Some(7));
        for (end, position) in sent {
            ledger.sent(Pending {
                start: None,
                end: token(end),
                position: *position,
                rows: 1,
            });
        }
        ledger
    }

    /// What a status means that is asked for when no replica lags behind the open any more.
    fn see(ledger: &mut Ledger, text: &str) -> Reading {
        see_at(ledger, REPLICA_LAG, Some(text), Some(7))
    }

    /// What a status means that is asked for so long after the open.
    fn see_at(
        ledger: &mut Ledger,
        after_open: Duration,
        text: Option<&str>,
        created_on_ms: Option<u64>,
    ) -> Reading {
        let token = text.map(token);
        let asked = ledger.opened + after_open;
        let seen = Observation {
            token: token.as_ref(),
            created_on_ms,
            asked,
            answered: asked,
        };
        ledger.observe(seen, |_| ())
    }

    #[test]
    fn the_open_token_is_no_news() {
        let mut l = ledger(Some("5"), &[("7", 2)]);
        assert_eq!(see(&mut l, "5"), Reading::Unchanged);
        assert_eq!(l.committed(), 0);
        let mut fresh = ledger(None, &[("7", 2)]);
        assert_eq!(
            see_at(&mut fresh, REPLICA_LAG, None, Some(7)),
            Reading::Unchanged
        );
    }

    #[test]
    fn a_pending_token_commits_everything_before_it() {
        let mut l = ledger(None, &[("9", 3), ("10", 5), ("11", 6)]);
        assert_eq!(see(&mut l, "10"), Reading::Advanced);
        assert_eq!((l.committed(), l.watermark().unwrap().as_str()), (5, "10"));
        assert_eq!(see(&mut l, "11"), Reading::Advanced);
        assert!(l.is_settled());
    }

    #[test]
    fn a_stale_read_is_ignored_and_never_moves_backward() {
        let mut l = ledger(Some("5"), &[("9", 3), ("10", 5)]);
        assert_eq!(see(&mut l, "10"), Reading::Advanced);
        for old in ["9", "5"] {
            assert_eq!(see(&mut l, old), Reading::Outdated, "{old}");
            assert_eq!(see(&mut l, old), Reading::Outdated, "{old} again");
        }
        assert_eq!((l.committed(), l.watermark().unwrap().as_str()), (5, "10"));
    }

    #[test]
    fn at_rest_the_latest_tokens_are_still_known_for_committed() {
        let mut l = ledger(None, &[]);
        for n in 0..1_000_u64 {
            l.sent(Pending {
                start: None,
                end: n.into(),
                position: n + 1,
                rows: 1,
            });
        }
        assert_eq!(see(&mut l, "999"), Reading::Advanced);
        l.rest();
        assert_eq!(see(&mut l, "743"), Reading::Outdated);
        assert_eq!(see(&mut l, "742"), Reading::Suspicious);
        assert!(l.popped.capacity() < 2 * HISTORY_AT_REST && l.pending.capacity() == 0);
    }

    #[test]
    fn an_unknown_token_is_asked_for_twice() {
        let mut l = ledger(Some("5"), &[("9", 3)]);
        assert_eq!(see(&mut l, "77"), Reading::Suspicious);
        assert_eq!(see(&mut l, "5"), Reading::Unchanged, "a blip is forgiven");
        assert_eq!(see(&mut l, "77"), Reading::Suspicious);
        assert_eq!(see(&mut l, "78"), Reading::Suspicious, "another blip");
        assert_eq!(see(&mut l, "78"), Reading::Conflict);
        assert_eq!(l.committed(), 0);
    }

    #[test]
    fn a_token_that_vanishes_or_a_channel_made_anew_is_a_conflict() {
        for (open, later) in [(Some("5"), Duration::ZERO), (None, REPLICA_LAG)] {
            let mut l = ledger(open, &[("6", 1)]);
            assert_eq!(see(&mut l, "6"), Reading::Advanced);
            let vanished = |l: &mut Ledger| see_at(l, REPLICA_LAG + later, None, Some(7));
            assert_eq!(vanished(&mut l), Reading::Suspicious);
            assert_eq!(vanished(&mut l), Reading::Conflict);
        }
        let mut l = ledger(Some("5"), &[("6", 1)]);
        let anew = |l: &mut Ledger| see_at(l, Duration::ZERO, Some("6"), Some(8));
        assert_eq!(anew(&mut l), Reading::Suspicious, "even our own token");
        assert_eq!(anew(&mut l), Reading::Conflict);
        assert_eq!(l.committed(), 0);
    }

    #[test]
    fn what_may_be_from_before_the_open_is_no_conflict() {
        let almost = REPLICA_LAG.saturating_sub(Duration::from_millis(1));
        for (token, created_on_ms) in [(Some("4"), 7), (None, 7), (Some("5"), 6)] {
            let mut l = ledger(Some("5"), &[("6", 1)]);
            let mut at = |after_open| see_at(&mut l, after_open, token, Some(created_on_ms));
            for _ in 0..5 {
                assert_eq!(at(almost), Reading::Suspicious, "{token:?}");
            }
            assert_eq!(at(REPLICA_LAG), Reading::Conflict, "{token:?}");
        }
    }

    #[test]
    fn what_may_be_from_before_the_first_token_is_no_conflict() {
        let mut l = ledger(None, &[("6", 1)]);
        let hour = Duration::from_secs(3600);
        assert_eq!(see_at(&mut l, hour, Some("6"), Some(7)), Reading::Advanced);
        for _ in 0..5 {
            assert_eq!(see_at(&mut l, hour, None, Some(7)), Reading::Suspicious);
        }
        let later = hour + REPLICA_LAG;
        assert_eq!(see_at(&mut l, later, None, Some(7)), Reading::Conflict);
    }

    #[test]
    fn after_another_open_older_states_are_looked_out_for_again() {
        let mut l = ledger(Some("5"), &[("6", 1), ("7", 2)]);
        assert_eq!(see(&mut l, "6"), Reading::Advanced);
        assert!(l.has_moved());
        let now = l.opened + REPLICA_LAG;
        assert!(!l.may_predate_open(now));
        assert!(l.restart(now, Some(&token("7")), Some(7), |_| ()));
        assert!(!l.has_moved() && l.may_predate_open(now));
        assert_eq!(
            see_at(&mut l, Duration::ZERO, Some("6"), Some(7)),
            Reading::Outdated
        );
    }

    #[test]
    fn a_missing_creation_time_is_not_a_change() {
        let mut l = ledger(None, &[("6", 1)]);
        let reading = see_at(&mut l, Duration::ZERO, Some("6"), None);
        assert_eq!(reading, Reading::Advanced);
    }

    #[test]
    fn a_refused_request_is_taken_back() {
        let mut l = ledger(None, &[("6", 1), ("7", 2)]);
        l.unsend(&token("6"));
        assert_eq!(l.pending().count(), 2, "only the latest can be");
        l.unsend(&token("7"));
        assert_eq!(see(&mut l, "7"), Reading::Suspicious);
    }

    #[test]
    fn the_history_is_bounded() {
        let mut l = Ledger::new(Instant::now(), None, None);
        for n in 0..HISTORY as u64 + 10 {
            l.sent(Pending {
                start: None,
                end: n.into(),
                position: n + 1,
                rows: 1,
            });
        }
        let last = (HISTORY + 9).to_string();
        assert_eq!(see(&mut l, &last), Reading::Advanced);
        assert_eq!(l.popped.len(), HISTORY);
        assert_eq!(see(&mut l, "0"), Reading::Suspicious);
    }

    proptest::proptest! {
        /// Whatever a server says, in whatever order: the watermark only rises, and only through tokens that were sent.
        #[test]
        fn the_watermark_only_rises(steps in proptest::collection::vec((0_u8..4, 0_u64..30), 1..200)) {
            let now = Instant::now();
            let mut ledger = Ledger::new(now, None, None);
            let mut sent = 0;
            let mut committed = 0;
            for (kind, value) in steps {
                if kind == 0 {
                    sent += 1;
                    ledger.sent(Pending { start: None, end: sent.into(), position: sent, rows: 1 });
                    continue;
                }
                let mut heard = Vec::new();
                let token = OffsetToken::from(value);
                let seen = Observation { token: Some(&token), created_on_ms: None, asked: now, answered: now };
                let reading = ledger.observe(seen, |t| heard.push(t.parse::<u64>().unwrap()));
                let news = committed < value && value <= sent;
                assert_eq!(reading == Reading::Advanced, news);
                if news {
                    assert_eq!(heard, (committed + 1..=value).collect::<Vec<_>>());
                    committed = value;
                } else {
                    assert!(heard.is_empty());
                }
                assert_eq!(ledger.committed(), committed);
                assert_eq!(ledger.pending().count() as u64, sent - committed);
                assert_eq!(ledger.is_settled(), sent == committed);
            }
        }
    }
}
