//! The latest text tokens that a channel has used, as fingerprints because tokens may be long.
//!
//! A channel remembers the last 4,096 tokens; once everything is committed, the last 256. A token that is reused after more
//! tokens than that would be acknowledged by an old status.

use std::collections::{HashSet, VecDeque};

use super::ledger::fingerprint;
use crate::types::offset::OffsetToken;

/// A bounded set that forgets its oldest tokens first.
#[derive(Debug, Default)]
pub(super) struct UsedTokens {
    oldest_first: VecDeque<u64>,
    known: HashSet<u64>,
}

impl UsedTokens {
    /// How many tokens are remembered.
    pub(super) const MAX: usize = 4096;
    /// How many tokens of an idle channel are remembered.
    pub(super) const MAX_IDLE: usize = 256;

    pub(super) fn contains(&self, token: &OffsetToken) -> bool {
        !self.known.is_empty() && self.known.contains(&fingerprint(token))
    }

    pub(super) fn push(&mut self, token: &OffsetToken) {
        let fingerprint = fingerprint(token);
        if self.known.insert(fingerprint) {
            self.oldest_first.push_back(fingerprint);
            self.keep(Self::MAX);
        }
    }

    /// Releases memory that an idle channel does not need.
    pub(super) fn shrink(&mut self) {
        self.keep(Self::MAX_IDLE);
        self.oldest_first.shrink_to_fit();
        self.known.shrink_to_fit();
    }

    fn keep(&mut self, most: usize) {
        let too_many = self.oldest_first.len().saturating_sub(most);
        for oldest in self.oldest_first.drain(..too_many) {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(n: usize) -> OffsetToken {
        OffsetToken::new(format!("t{n}")).unwrap()
    }

    #[test]
    fn the_oldest_tokens_are_forgotten_first() {
        let mut used = UsedTokens::default();
        for n in 0..UsedTokens::MAX + 10 {
            used.push(&token(n));
            used.push(&token(n));
        }
        assert!(!used.contains(&token(9)) && used.contains(&token(10)));
        assert_eq!(used.known.len(), UsedTokens::MAX);
        used.shrink();
        let first_kept = UsedTokens::MAX + 10 - UsedTokens::MAX_IDLE;
        assert!(!used.contains(&token(first_kept - 1)) && used.contains(&token(first_kept)));
        assert!(used.known.capacity() < 4 * UsedTokens::MAX_IDLE);
    }
}
