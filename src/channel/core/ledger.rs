//! The ledger: which end tokens are on their way, and what a committed token seen in a status means for them.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use tokio::time::Instant;

use super::used_tokens::UsedTokens;
use crate::types::offset::OffsetToken;

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
#[path = "ledger_tests.rs"]
mod tests;
