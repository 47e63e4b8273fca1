//! Which rows are committed while the row counters trail the committed token.

use super::*;
use crate::base::options::Recovery;
use crate::channel::core::Opening;
use crate::channel::core::rig::{Rig, opening};
use crate::channel::core::schedule::Action;
use crate::types::close_report::RowState;

#[test]
fn rows_are_committed_once_the_counters_account_for_them() {
    let mut rig = Rig::counting(Recovery::Surface);
    rig.accept(10, 4);
    rig.status_counting(13, 98, 2);
    let progress = rig.core.progress();
    assert_eq!((progress.accepted, progress.committed), (4, 0));
    assert_eq!(progress.committed_token, Some(9.into()));
    let soon = PollInterest::At(rig.now + RECHECK_COUNTS);
    assert_eq!(rig.core.poll_interest(), soon);
    // Two of the four rows are rejected.
    rig.status_counting(13, 100, 4);
    let progress = rig.core.progress();
    assert_eq!(progress.committed, 4);
    assert_eq!(progress.committed_token, Some(13.into()));
    assert_eq!(rig.windows(), [(2, 0, 4)]);
    assert!(!matches!(rig.core.poll_interest(), PollInterest::At(_)));
}

#[test]
fn a_reject_that_is_counted_late_is_in_the_window_of_its_rows() {
    let mut rig = Rig::counting(Recovery::Surface);
    rig.accept(10, 2);
    rig.status_counting(11, 98, 2);
    rig.accept(12, 2);
    rig.status_counting(13, 99, 3);
    assert_eq!(rig.core.progress().committed, 2);
    assert_eq!(rig.windows(), [(1, 0, 4)]);
    rig.status_counting(13, 100, 4);
    assert_eq!(rig.windows(), [(1, 0, 4), (1, 2, 4)]);
    assert_eq!(rig.core.progress().committed, 4);
}

#[test]
fn a_close_waits_for_the_counters() {
    let mut rig = Rig::counting(Recovery::Surface);
    rig.accept(10, 4);
    rig.core.drain(rig.in_ms(60_000));
    rig.status_counting(13, 98, 2);
    assert!(rig.waits());
    rig.status_counting(13, 102, 2);
    assert!(matches!(rig.poll(), Action::Stop));
    assert_eq!(rig.cause(), Some(ErrorKind::ChannelClosed));
    assert!(rig.core.report().is_clean());
}

#[test]
fn a_close_that_ends_before_the_counters_come_says_which_rows_are_in_doubt() {
    let mut rig = Rig::counting(Recovery::Surface);
    rig.accept(10, 4);
    rig.core.drain(rig.in_ms(1_000));
    rig.status_counting(13, 100, 2);
    rig.wait(1_000);
    assert!(matches!(rig.poll(), Action::Stop));
    assert_eq!(rig.cause(), Some(ErrorKind::Timeout));
    let report = rig.core.report();
    assert_eq!(report.rows_committed, 0);
    let rows: Vec<_> = report
        .uncommitted
        .iter()
        .map(|r| (r.state, r.rows))
        .collect();
    assert_eq!(rows, [(RowState::Accepted, 4)]);
}

#[test]
fn rows_that_are_never_counted_are_not_committed() {
    for recovery in [Recovery::Surface, Recovery::Replay] {
        let mut rig = Rig::counting(recovery);
        rig.accept(10, 4);
        // The server has dropped two of them.
        rig.status_counting(13, 100, 2);
        rig.wait(119_000);
        rig.status_counting(13, 100, 2);
        assert_eq!(rig.cause(), None);
        rig.wait(1_000);
        rig.status_absent();
        assert_eq!(rig.cause(), None);
        rig.status_counting(13, 100, 2);
        let conflict = ErrorKind::Invalidated(InvalidationCause::OffsetConflict);
        assert_eq!(rig.cause(), Some(conflict));
        let progress = rig.core.progress();
        let error = progress.committed_outcome(0, 4).unwrap().unwrap_err();
        assert!(error.is_ambiguous(), "{error}");
        assert!(error.to_string().contains("2 rows more"), "{error}");
    }
}

#[test]
fn rows_that_cannot_be_counted_because_no_status_is_answered_end_in_doubt() {
    let mut rig = Rig::counting(Recovery::Surface);
    rig.accept(10, 4);
    rig.status_counting(13, 98, 2);
    rig.poll_fails();
    rig.wait(599_999);
    rig.poll_fails();
    assert_eq!(rig.cause(), None);
    rig.wait(1);
    rig.poll_fails();
    let unreachable = ErrorKind::Invalidated(InvalidationCause::Unreachable);
    assert_eq!(rig.cause(), Some(unreachable));
    // It settles before its receipts end.
    rig.wait(30_000);
    assert!(matches!(rig.poll(), Action::Stop));
    let outcome = rig.core.progress().committed_outcome(0, 4).unwrap();
    assert!(outcome.unwrap_err().is_ambiguous());
}

#[test]
fn counters_that_never_move_are_not_waited_for_again() {
    let mut rig = Rig::counting(Recovery::Surface);
    rig.accept(10, 4);
    rig.status_counting(13, 98, 2);
    rig.wait(30_000);
    rig.status_counting(13, 98, 2);
    assert_eq!(rig.core.progress().committed, 4);
    rig.accept(14, 1);
    rig.status_counting(14, 98, 2);
    assert_eq!(rig.core.progress().committed, 5);
}

#[test]
fn after_a_replay_the_counters_are_still_awaited() {
    let mut rig = Rig::counting(Recovery::Replay);
    rig.accept(10, 2);
    rig.accept(12, 2);
    rig.status_counting(11, 98, 2);
    // The answer to the reopen has no counts: the token alone decides from then on.
    rig.reopen(11, 2);
    assert_eq!(rig.core.progress().committed, 2);
    let mut rig = Rig::counting(Recovery::Replay);
    rig.accept(10, 2);
    rig.accept(12, 2);
    rig.status_counting(11, 98, 2);
    rig.reopen_counting(11, 98, 2);
    assert_eq!(rig.core.progress().committed, 0);
    rig.sent();
    rig.accepted();
    rig.status_counting(13, 101, 2);
    assert_eq!(rig.core.progress().committed, 2);
    rig.status_counting(13, 102, 2);
    assert_eq!(rig.core.progress().committed, 4);
}

#[test]
fn the_next_state_of_a_reopened_channel_waits_for_the_counters_of_the_one_before() {
    let mut old = Rig::counting(Recovery::Surface);
    old.accept(10, 4);
    old.status_counting(13, 98, 2);
    let status = ChannelStatus {
        latest_committed_offset_token: Some(13.into()),
        created_on_ms: Some(1),
        rows_inserted_count: 99,
        rows_error_count: 2,
        has_row_counts: true,
        ..ChannelStatus::default()
    };
    let gone = Error::new(ErrorKind::ChannelClosed, "reopened");
    old.core.on_reopened(old.now, gone, &status);
    let error = old.core.progress().committed_outcome(0, 4).unwrap();
    assert!(
        error.unwrap_err().is_ambiguous(),
        "the receipt cannot learn whether they are rejected"
    );
    assert_eq!(old.core.report_by_token().rows_committed, 4);
    assert!(old.core.report_by_token().is_clean());
    let handover = old.core.handover(&status);
    assert!(handover.is_some());
    let opening = Opening {
        committed_token: Some(13.into()),
        row_count: Some(101),
        ..opening()
    };
    let limits = old.core.limits.clone();
    let mut new = Rig::new();
    new.core = Core::new(old.now, limits, opening, "m".to_owned());
    new.core.inherit(new.now, Vec::new(), handover, None);
    assert!(new.core.progress().waits_for_earlier_rows);
    // Two of the earlier rows are rejected.
    new.status_counting(13, 100, 4);
    assert!(!new.core.progress().waits_for_earlier_rows);
    let window = &new.core.commit.rejects()[0];
    assert_eq!((window.count, window.after.clone()), (2, Some(9.into())));
}
