//! The channels whose commits fail, and which causes were logged.

use std::collections::BTreeSet;

use super::state::Key;

/// Failed commits. Each is logged once, because commits are retried many times a second.
#[derive(Debug, Default)]
pub(crate) struct FailedCommits {
    channels: BTreeSet<Key>,
    logged: BTreeSet<String>,
}

impl FailedCommits {
    /// Records a failed commit. Whether its cause was not logged before.
    pub(crate) fn is_news(&mut self, key: &Key, why: &str) -> bool {
        self.channels.insert(key.clone());
        self.logged.insert(why.to_owned())
    }

    /// Removes the channels that have nothing left to commit. Whether the last failed channel was among them.
    pub(crate) fn is_over(&mut self, has_more: impl Fn(&Key) -> bool) -> bool {
        let was_there = !self.channels.is_empty();
        self.channels.retain(has_more);
        let is_gone = self.channels.is_empty();
        if is_gone {
            self.logged.clear();
        }
        was_there && is_gone
    }
}
