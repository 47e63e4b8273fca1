//! The assignment of rows to shards, and the offsets up to which rows may be released.
//!
//! A *mark* is a place up to which the source was read. The highest mark below the first uncommitted row of every shard is
//! released. Rows that an invalidated shard has given up are no longer in flight, so the marks beyond them are dropped in the
//! same step.

use std::collections::VecDeque;

use super::options::Hash;

/// A hash that never changes, for [`Run::shards`](super::run::Run::shards): FNV-1a with 64 bits over the bytes of a key.
///
/// ```
/// use snowpipe_streaming::ingest::stable_hash;
/// assert_eq!(stable_hash(b"rider 7") % 4, 2);
/// ```
pub fn stable_hash(key: &[u8]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    key.iter().fold(BASIS, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    })
}

/// Assigns rows to shards.
pub(super) struct Router<'a, R> {
    shards: Option<(usize, Hash<'a, R>)>,
}

impl<'a, R> Router<'a, R> {
    pub(super) fn new(shards: Option<(usize, Hash<'a, R>)>) -> Self {
        Self { shards }
    }

    pub(super) fn shard_of(&mut self, row: &R) -> usize {
        match &mut self.shards {
            Some((count, hash)) => {
                let remainder = hash(row) % (*count).max(1) as u64;
                usize::try_from(remainder).unwrap_or(0)
            }
            None => 0,
        }
    }
}

/// Offsets up to which the source was read, in order. Each may be released once nothing up to it is in flight.
#[derive(Debug)]
pub(super) struct ReleasePoints<O> {
    marks: VecDeque<O>,
}

impl<O: Ord + Clone> ReleasePoints<O> {
    pub(super) fn new() -> Self {
        Self {
            marks: VecDeque::new(),
        }
    }

    /// The source was read through `mark`. `bare`: there were no rows since the last mark, which this one then replaces.
    pub(super) fn push(&mut self, mark: O, bare: bool) {
        if bare || self.marks.back() == Some(&mark) {
            self.marks.pop_back();
        }
        self.marks.push_back(mark);
    }

    /// The last mark below `lowest`, or the last mark if nothing is in flight.
    pub(super) fn below(&self, lowest: Option<&O>) -> Option<&O> {
        match lowest {
            Some(lowest) => self.marks.iter().rev().find(|mark| *mark < lowest),
            None => self.marks.back(),
        }
    }

    /// Forgets the marks up to this one.
    pub(super) fn release(&mut self, through: &O) {
        while self.marks.front().is_some_and(|mark| mark <= through) {
            self.marks.pop_front();
        }
    }

    /// Drops the marks beyond `to`, because the rows there will be read again.
    pub(super) fn rewind(&mut self, to: Option<&O>) {
        while self.marks.back().is_some_and(|mark| Some(mark) > to) {
            self.marks.pop_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_has_its_published_values() {
        // The values published with the algorithm.
        assert_eq!(stable_hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(stable_hash(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(stable_hash(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_row_has_one_shard() {
        let mut plain = Router::<u64>::new(None);
        assert_eq!(plain.shard_of(&7), 0);
        let mut three = Router::new(Some((3, Box::new(|row: &u64| *row))));
        let shards: Vec<_> = [0, 1, 2, 3, u64::MAX]
            .map(|row| three.shard_of(&row))
            .into();
        assert_eq!(shards, [0, 1, 2, 0, 0]);
    }

    #[test]
    fn offsets_below_the_first_in_flight_may_be_released() {
        let mut marks = ReleasePoints::new();
        assert_eq!(marks.below(None), None);
        for mark in [10, 20, 30] {
            marks.push(mark, false);
        }
        assert_eq!(marks.below(None), Some(&30));
        assert_eq!(marks.below(Some(&30)), Some(&20));
        assert_eq!(marks.below(Some(&21)), Some(&20));
        assert_eq!(marks.below(Some(&10)), None);
        marks.release(&20);
        assert_eq!(marks.below(Some(&30)), None);
        assert_eq!(marks.below(None), Some(&30));
    }

    #[test]
    fn a_point_without_new_rows_replaces_the_previous_one() {
        let mut marks = ReleasePoints::new();
        marks.push(10, false);
        marks.push(10, false);
        for mark in 11..1_000 {
            marks.push(mark, true);
        }
        assert_eq!(marks.marks, [999]);
        marks.push(1_000, false);
        assert_eq!(marks.marks, [999, 1_000]);
    }

    #[test]
    fn a_rewind_removes_later_points() {
        let mut marks = ReleasePoints::new();
        for mark in [10, 20, 30] {
            marks.push(mark, false);
        }
        marks.rewind(Some(&20));
        assert_eq!(marks.marks, [10, 20]);
        marks.rewind(None);
        assert!(marks.marks.is_empty());
    }
}
