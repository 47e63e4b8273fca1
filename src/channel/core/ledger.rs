//! The ledger: the end tokens of sent requests, and what the committed token of a status means for them.
//!
//! The ledger starts at the committed token in the open's answer. The token in a status is one of four things:
//!
//! - the watermark: nothing is new;
//! - the end token of a pending request: everything through that request is committed;
//! - one of the last 4,096 tokens before the watermark: the status is older than one already seen, and nothing in it is used;
//! - anything else, or missing, or the channel has another creation time: the poller asks again after a second. If the next
//!   answer is of this kind too, the channel is invalidated as `OffsetConflict`. Nothing is ever replayed over a conflict.
//!
//! A status may be from before the open if it was requested less than `REPLICA_LAG` after the open. A status without a token
//! may be from before the first token. Such a status is requested again each second and decides nothing: neither a token that
//! this channel did not send, nor an unhealthy code, nor a missing channel. A commit seen since the open proves that a status
//! with its token is newer. `guide::delivery` has the rule for users.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use tokio::time::Instant;

use super::used_tokens::UsedTokens;
use crate::types::offset::OffsetToken;

/// How far a replica of the server may lag: a status is at most this much older than its request.
pub(crate) const REPLICA_LAG: Duration = Duration::from_secs(30);
/// How many committed tokens are remembered to recognize stale reads.
const HISTORY: usize = UsedTokens::MAX;
/// How many are remembered of an idle channel, whose last state has reached every replica.
const HISTORY_IDLE: usize = UsedTokens::MAX_IDLE;

/// The rows of one request that was sent and is not known to be committed.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) start: Option<OffsetToken>,
    pub(crate) end: OffsetToken,
    /// The position of the last row.
    pub(crate) position: u64,
    pub(crate) rows: u64,
}

/// The committed token as a status reports it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observation<'a> {
    pub(crate) token: Option<&'a OffsetToken>,
    pub(crate) created_on_ms: Option<u64>,
    /// When the status was requested.
    pub(crate) asked: Instant,
    /// When the answer arrived.
    pub(crate) answered: Instant,
}

/// What the ledger concludes from a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Nothing new.
    Unchanged,
    /// The status is older than one already seen. Nothing in it is used.
    Outdated,
    /// Everything up to the ledger's `committed` position is committed now.
    Advanced,
    /// What this channel sent does not explain the status, but a lagging replica may. Poll again.
    Suspicious,
    /// A second unexplained status: another writer moved the channel's token.
    Conflict,
}

/// Where the ledger knows a token from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Watermark,
    /// Committed before the watermark.
    Past,
    /// The end token of the pending request at this index.
    Pending(usize),
}

/// A status that this channel's requests do not explain.
#[derive(Debug)]
struct SuspectStatus {
    token: Option<OffsetToken>,
    created_on_ms: Option<u64>,
    may_be_older: bool,
}

/// Follows the committed token, starting from the one in the answer to the open.
#[derive(Debug)]
pub(crate) struct Ledger {
    watermark: Option<OffsetToken>,
    committed: u64,
    pending: VecDeque<Pending>,
    /// The tokens that were committed before the watermark, as fingerprints because tokens may be long.
    past: VecDeque<u64>,
    created_on_ms: Option<u64>,
    suspect: Option<SuspectStatus>,
    /// When the last open was answered.
    opened: Instant,
    /// When the first token was seen, if the channel had none at its open.
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
            past: VecDeque::new(),
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

    /// The pending requests, oldest first.
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

    /// Whether this is the last token of a pending request.
    pub(crate) fn is_pending(&self, token: Option<&OffsetToken>) -> bool {
        let mut ends = self.pending.iter().map(|pending| &pending.end);
        token.is_some_and(|token| ends.any(|end| end == token))
    }

    /// Records a request when it is sent for the first time.
    pub(crate) fn sent(&mut self, request: Pending) {
        self.pending.push_back(request);
    }

    /// Removes the latest request, which the server refused without applying it.
    pub(crate) fn unsend(&mut self, end: &OffsetToken) {
        if self.pending.back().is_some_and(|p| p.end == *end) {
            self.pending.pop_back();
        }
    }

    /// Applies the token of a status. Calls `on_committed` with each end token that it commits.
    pub(crate) fn observe(
        &mut self,
        seen: Observation<'_>,
        mut on_committed: impl FnMut(&OffsetToken),
    ) -> Reading {
        let known = self.known(&seen);
        let Some(known) = known else {
            let suspect = SuspectStatus {
                token: seen.token.cloned(),
                created_on_ms: seen.created_on_ms,
                may_be_older: self.may_be_older(&seen),
            };
            // Another writer that goes on writing shows another token each time.
            let is_confirmed = self.suspect.as_ref().is_some_and(|before| {
                !before.may_be_older
                    || (&before.token, before.created_on_ms)
                        == (&suspect.token, suspect.created_on_ms)
            });
            if is_confirmed && !suspect.may_be_older {
                return Reading::Conflict;
            }
            self.suspect = Some(suspect);
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
        let is_past = || self.past.contains(&fingerprint(token));
        pending
            .map(Known::Pending)
            .or_else(|| is_past().then_some(Known::Past))
    }

    /// Whether a lagging replica explains a token that this channel did not send: the status may be from before the open, or,
    /// without a token, from before the first one.
    fn may_be_older(&self, seen: &Observation<'_>) -> bool {
        // A channel that was created later cannot be an earlier state of this one.
        if self.created_on_ms < seen.created_on_ms && self.created_on_ms.is_some() {
            return false;
        }
        match (seen.token, self.first_token) {
            (None, Some(first_token)) => seen.asked < first_token + REPLICA_LAG,
            _ => self.may_predate_open(seen.asked),
        }
    }

    /// Whether a status that was requested at `asked` may show the channel as it was before the open.
    pub(crate) fn may_predate_open(&self, asked: Instant) -> bool {
        asked < self.opened + REPLICA_LAG
    }

    /// Whether a commit was seen since the open. If so, a status with the watermark's token is newer than the open.
    pub(crate) fn has_moved(&self) -> bool {
        self.has_moved
    }

    /// The channel was reopened, with `token` committed. Requests after it were discarded and will never be committed.
    /// Returns `false` and changes nothing if this channel did not send the token.
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

    /// Whether a channel that was created at this time can be the one that was opened.
    pub(crate) fn is_same_channel(&self, created_on_ms: Option<u64>) -> bool {
        match (self.created_on_ms, created_on_ms) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => true,
        }
    }

    /// Releases memory that an idle channel does not need.
    pub(crate) fn shrink(&mut self) {
        let too_many = self.past.len().saturating_sub(HISTORY_IDLE);
        self.past.drain(..too_many);
        self.past.shrink_to_fit();
        self.pending.shrink_to_fit();
    }

    fn pop_through(&mut self, index: usize, on_committed: &mut impl FnMut(&OffsetToken)) {
        for done in self.pending.drain(..=index) {
            on_committed(&done.end);
            if let Some(old) = self.watermark.replace(done.end) {
                if self.past.len() == HISTORY {
                    self.past.pop_front();
                }
                self.past.push_back(fingerprint(&old));
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
#[path = "ledger_tests.rs"]
mod tests;
