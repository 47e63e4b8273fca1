//! The recovery of an invalidated channel: whether to reopen it, with which policy, and how often.
//!
//! After `Fenced` and `OffsetConflict` a reopen only waits. A run ends in `OffsetConflict` if its channel was dropped and
//! created again while rows were in flight. The creation time shows it; a missing token alone does not.

use std::time::Duration;

use tokio::time::Instant;

use super::source::Ownership;
use crate::base::options::OnUncommitted;
use crate::base::retry::Backoff;
use crate::types::error::{Error, ErrorKind, InvalidationCause, Result};

/// Sent rows get this long to be committed. Then they are discarded and sent again, because the source can be read again.
pub(super) const OWN_ROWS: OnUncommitted = OnUncommitted::WaitThenDiscard(Duration::from_secs(30));
/// The policy for rows that may be another writer's. They are never discarded.
const OTHERS_ROWS: OnUncommitted = OnUncommitted::Wait(Duration::from_secs(120));
/// How often a channel is reopened without a commit in between.
const MOST_REOPENS: u32 = 3;
/// A channel with nothing to commit that was healthy for this long counts as recovered.
const RECOVERED_AFTER: Duration = Duration::from_secs(600);
/// The first and the longest pause before a reopen.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The reopens since the last commit of this run's rows.
#[derive(Debug)]
pub(super) struct Attempts {
    /// The policy for rows that this run, or the last owner of its source, has sent.
    own_rows: OnUncommitted,
    reopens: u32,
    /// Those of them because another writer came late to a channel of this source's owner. They are counted apart.
    taken_back: u32,
    /// The causes that were tried and are worth one reopen only.
    tried: Vec<InvalidationCause>,
    backoff: Backoff,
    /// When the channel was last reopened.
    last: Option<Instant>,
}

impl Attempts {
    pub(super) fn new(own_rows: OnUncommitted) -> Self {
        Self {
            own_rows,
            reopens: 0,
            taken_back: 0,
            tried: Vec::new(),
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            last: None,
        }
    }

    /// This run's rows were committed, so the channel has recovered.
    pub(super) fn succeeded(&mut self) {
        *self = Self::new(self.own_rows);
    }

    /// A commit became known that was made before the last invalidation. Only that invalidation still counts.
    pub(super) fn succeeded_before_last(&mut self) {
        self.reopens = self.reopens.min(1);
        self.taken_back = self.taken_back.min(1);
        let last = self.tried.pop();
        self.tried = Vec::from_iter(last);
    }

    /// The channel was invalidated with nothing to commit. If it was healthy for long before, the last reopen has helped.
    pub(super) fn invalidated_when_idle(&mut self) {
        if self
            .last
            .is_some_and(|last| last.elapsed() >= RECOVERED_AFTER)
        {
            (self.reopens, self.taken_back) = (0, 0);
        }
    }

    /// The policy for a reopen because of `trouble` and the pause before it, or `None` if it should not be tried. `unit` is a
    /// random number in [0, 1).
    pub(super) fn next(
        &mut self,
        trouble: &Error,
        ownership: Ownership,
        unit: f64,
    ) -> Option<(OnUncommitted, Duration)> {
        use InvalidationCause::{
            Ambiguous, CommitStalled, Fenced, Gone, MustReopen, OffsetConflict, Rejected,
            Unauthorized, Unreachable,
        };
        let policy = match trouble.kind() {
            _ if ownership == Ownership::NotOwned => return None,
            ErrorKind::Invalidated(cause) => match cause {
                MustReopen | Gone | Ambiguous | Unreachable => self.own_rows,
                CommitStalled if self.is_first(cause) => self.own_rows,
                // The other writer is an earlier owner, whose rows this run can read again.
                Fenced | OffsetConflict if ownership == Ownership::Owned => {
                    self.taken_back += 1;
                    self.last = Some(Instant::now());
                    let policy = self.own_rows;
                    return (self.taken_back <= MOST_REOPENS)
                        .then(|| (policy, self.backoff.next(unit)));
                }
                // Two runs that take a channel from each other continue as long as each commits something.
                Fenced | OffsetConflict if self.is_first(cause) => OTHERS_ROWS,
                CommitStalled | Fenced | OffsetConflict | Rejected | Unauthorized => return None,
            },
            // The reopen itself failed, after its wait; or the source did, after the time for its retries.
            ErrorKind::UncommittedData | ErrorKind::Source => return None,
            _ if trouble.is_retryable() => self.last_policy(),
            _ => return None,
        };
        self.reopens += 1;
        self.last = Some(Instant::now());
        (self.reopens <= MOST_REOPENS).then(|| (policy, self.backoff.next(unit)))
    }

    fn is_first(&mut self, cause: InvalidationCause) -> bool {
        let is_first = !self.tried.contains(&cause);
        self.tried.push(cause);
        is_first
    }

    /// The policy of the last reopen: uncommitted rows may still be another writer's.
    fn last_policy(&self) -> OnUncommitted {
        let is_theirs = |cause: &InvalidationCause| {
            matches!(
                cause,
                InvalidationCause::Fenced | InvalidationCause::OffsetConflict
            )
        };
        if self.tried.iter().any(is_theirs) {
            OTHERS_ROWS
        } else {
            self.own_rows
        }
    }
}

/// Checks whether a run can continue after a reopen that found `committed`, if everything through `known` was committed
/// before. A higher offset is from another run of the same source. No offset is fine if the channel was gone and created
/// again.
///
/// # Errors
///
/// [`InvalidationCause::OffsetConflict`] if committed rows are missing.
pub(super) fn check_committed<O: Ord + std::fmt::Display>(
    channel: &str,
    trouble: &Error,
    known: Option<&O>,
    committed: Option<&O>,
) -> Result<()> {
    let is_gone = trouble.kind() == ErrorKind::Invalidated(InvalidationCause::Gone);
    if is_gone && committed.is_none() {
        return Ok(());
    }
    check_not_behind(channel, known, committed)
}

/// Checks that `committed` is not below `known`, which was committed before.
///
/// # Errors
///
/// [`InvalidationCause::OffsetConflict`] if committed rows are missing.
pub(super) fn check_not_behind<O: Ord + std::fmt::Display>(
    channel: &str,
    known: Option<&O>,
    committed: Option<&O>,
) -> Result<()> {
    if committed >= known {
        return Ok(());
    }
    let name = |offset: Option<&O>| offset.map_or_else(|| "none".to_owned(), ToString::to_string);
    Err(Error::new(
        ErrorKind::Invalidated(InvalidationCause::OffsetConflict),
        format!(
            "the channel {channel:?} had committed the offset {}, but after a reopen it reports {}; it was dropped and created again, or another program writes to it; choose another name, or find out which rows the table has",
            name(known),
            name(committed),
        ),
    ))
}

/// The error if the outcome of sent rows is unknown: sending them again may duplicate them, and skipping them may lose them.
pub(super) fn in_doubt(channel: &str) -> Error {
    Error::new(
        ErrorKind::Invalidated(InvalidationCause::OffsetConflict),
        format!(
            "the channel {channel:?} was dropped and created again while sent rows were not yet known to be committed, so their outcome is unknown; find out which rows the table has, and start the source after them"
        ),
    )
}

#[cfg(test)]
mod tests {
    use InvalidationCause::{
        Ambiguous, CommitStalled, Fenced, Gone, MustReopen, OffsetConflict, Rejected, Unauthorized,
        Unreachable,
    };

    use super::*;
    use Ownership::{NotOwned, Owned, Unknown};

    fn invalidated(cause: InvalidationCause) -> Error {
        Error::new(ErrorKind::Invalidated(cause), "no")
    }

    fn policies(causes: &[InvalidationCause]) -> Vec<Option<OnUncommitted>> {
        let mut attempts = Attempts::new(OWN_ROWS);
        let mut next =
            |cause: &InvalidationCause| attempts.next(&invalidated(*cause), Unknown, 0.5);
        causes
            .iter()
            .map(|cause| next(cause).map(|(policy, _)| policy))
            .collect()
    }

    #[test]
    fn a_channel_is_opened_three_times_without_a_commit() {
        for cause in [MustReopen, Gone, Ambiguous, Unreachable] {
            assert_eq!(
                policies(&[cause; 4]),
                [Some(OWN_ROWS), Some(OWN_ROWS), Some(OWN_ROWS), None],
                "{cause:?}"
            );
        }
        assert_eq!(
            policies(&[MustReopen, Gone, CommitStalled, Fenced]),
            [Some(OWN_ROWS), Some(OWN_ROWS), Some(OWN_ROWS), None],
            "all count together"
        );
    }

    #[test]
    fn some_causes_are_worth_one_reopen() {
        assert_eq!(policies(&[CommitStalled; 2]), [Some(OWN_ROWS), None]);
        assert_eq!(policies(&[Fenced; 2]), [Some(OTHERS_ROWS), None]);
        assert_eq!(policies(&[OffsetConflict; 2]), [Some(OTHERS_ROWS), None]);
        assert_eq!(
            policies(&[Fenced, OffsetConflict, Fenced]),
            [Some(OTHERS_ROWS), Some(OTHERS_ROWS), None]
        );
    }

    #[test]
    fn an_owner_takes_its_channel_back_three_times_and_a_former_owner_never() {
        for cause in [Fenced, OffsetConflict] {
            let mut attempts = Attempts::new(OWN_ROWS);
            let mut next = |ownership| {
                let next = attempts.next(&invalidated(cause), ownership, 0.0);
                next.map(|(policy, _)| policy)
            };
            let tries = [Owned, Owned, Owned, Owned].map(&mut next);
            assert_eq!(
                tries,
                [Some(OWN_ROWS), Some(OWN_ROWS), Some(OWN_ROWS), None]
            );
        }
        let mut attempts = Attempts::new(OWN_ROWS);
        for _ in 0..3 {
            assert!(attempts.next(&invalidated(Gone), Owned, 0.0).is_some());
        }
        let after_others = attempts.next(&invalidated(Fenced), Owned, 0.0);
        assert!(after_others.is_some(), "counted apart from other causes");
        for cause in [Fenced, OffsetConflict, MustReopen, Gone] {
            let mut attempts = Attempts::new(OWN_ROWS);
            assert_eq!(attempts.next(&invalidated(cause), NotOwned, 0.0), None);
        }
    }

    #[test]
    fn some_causes_are_worth_none() {
        assert_eq!(policies(&[Rejected]), [None]);
        assert_eq!(policies(&[Unauthorized]), [None]);
    }

    #[test]
    fn a_reopen_that_failed_is_tried_again_under_the_same_policy() {
        let mut attempts = Attempts::new(OWN_ROWS);
        let server = Error::new(ErrorKind::Server, "no");
        let policy = |next: Option<(OnUncommitted, Duration)>| next.map(|(policy, _)| policy);
        assert_eq!(
            policy(attempts.next(&invalidated(Fenced), Unknown, 0.0)),
            Some(OTHERS_ROWS)
        );
        assert_eq!(
            policy(attempts.next(&server, Unknown, 0.0)),
            Some(OTHERS_ROWS)
        );
        attempts.succeeded();
        assert_eq!(
            policy(attempts.next(&invalidated(Gone), Unknown, 0.0)),
            Some(OWN_ROWS)
        );
        assert_eq!(policy(attempts.next(&server, Unknown, 0.0)), Some(OWN_ROWS));
        let theirs = Error::new(ErrorKind::UncommittedData, "no");
        assert_eq!(attempts.next(&theirs, Unknown, 0.0), None);
        let forbidden = Error::new(ErrorKind::Forbidden, "no");
        assert_eq!(attempts.next(&forbidden, Unknown, 0.0), None);
    }

    #[test]
    fn a_source_that_was_given_up_is_not_asked_again() {
        let mut attempts = Attempts::new(OWN_ROWS);
        assert!(attempts.next(&invalidated(Fenced), Unknown, 0.0).is_some());
        // A further run may succeed, but this one has waited for as long as it may.
        let given_up = Error::new(ErrorKind::Source, "no").with_retryable(true);
        assert_eq!(attempts.next(&given_up, Unknown, 0.0), None);
    }

    #[test]
    fn after_a_commit_everything_is_tried_again_and_pauses_grow_before() {
        let mut attempts = Attempts::new(OWN_ROWS);
        let pause = |attempts: &mut Attempts, cause| {
            attempts
                .next(&invalidated(cause), Unknown, 1.0)
                .map(|(_, pause)| pause.as_millis())
        };
        assert_eq!(pause(&mut attempts, Fenced), Some(250));
        assert_eq!(pause(&mut attempts, MustReopen), Some(500));
        assert_eq!(pause(&mut attempts, Fenced), None);
        attempts.succeeded();
        assert_eq!(pause(&mut attempts, Fenced), Some(250));
    }

    #[test]
    fn a_commit_before_the_trouble_forgives_what_was_before_and_not_the_trouble() {
        let mut attempts = Attempts::new(OWN_ROWS);
        for cause in [MustReopen, MustReopen, Fenced] {
            attempts.next(&invalidated(cause), Unknown, 0.0).unwrap();
        }
        attempts.succeeded_before_last();
        assert_eq!(attempts.next(&invalidated(Fenced), Unknown, 0.0), None);
        attempts
            .next(&invalidated(MustReopen), Unknown, 0.0)
            .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_channel_that_was_well_for_long_may_be_opened_again_as_often_as_before() {
        let just_less = RECOVERED_AFTER.checked_sub(Duration::from_millis(1));
        for (well_for, again) in [(RECOVERED_AFTER, 3), (just_less.unwrap(), 0)] {
            let mut attempts = Attempts::new(OWN_ROWS);
            attempts.invalidated_when_idle();
            while attempts.next(&invalidated(Gone), Unknown, 0.0).is_some() {}
            tokio::time::advance(well_for).await;
            attempts.invalidated_when_idle();
            let mut allowed = 0;
            while attempts.next(&invalidated(Gone), Unknown, 0.0).is_some() {
                allowed += 1;
            }
            assert_eq!(allowed, again, "after {well_for:?}");
        }
    }

    #[test]
    fn a_committed_offset_never_goes_backward() {
        let fenced = invalidated(Fenced);
        let gone = invalidated(Gone);
        let check = |why: &Error, known: Option<u8>, now: Option<u8>| {
            check_committed("c", why, known.as_ref(), now.as_ref())
        };
        check(&fenced, None, None).unwrap();
        check(&fenced, None, Some(9)).unwrap();
        check(&fenced, Some(9), Some(9)).unwrap();
        check(&fenced, Some(9), Some(12)).unwrap();
        check(&gone, Some(9), None).unwrap();
        for (why, now) in [(&fenced, Some(8)), (&fenced, None), (&gone, Some(8))] {
            let error = check(why, Some(9), now).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalidated(OffsetConflict));
            assert!(error.to_string().contains("the offset 9"), "{error}");
        }
    }
}
