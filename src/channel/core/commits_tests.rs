//! When the status is polled, and what an answer means.

use super::*;
use crate::api::AppendAnswer;
use crate::api::failure::Failure;
use crate::base::options::Recovery;
use crate::channel::core::rig::Rig;
use crate::channel::core::schedule::Action;

#[test]
fn a_reject_window_spans_from_the_last_count_to_the_last_sent_row() {
    let mut rig = Rig::new();
    rig.accept(10, 5);
    rig.status(14, 2);
    assert_eq!(
        rig.windows(),
        [],
        "rejects from before the open are not ours"
    );
    rig.accept(15, 3);
    rig.accept(18, 2);
    rig.status(17, 3);
    assert_eq!(rig.windows(), [(1, 5, 10)]);
    let window = rig.core.commit.rejects().first().cloned().unwrap();
    assert_eq!(window.after, Some(14.into()));
    assert_eq!(window.through, Some(19.into()));
    rig.status(19, 3);
    rig.accept(20, 1);
    rig.status(20, 5);
    assert_eq!(rig.windows(), [(1, 5, 10), (2, 10, 11)]);
}

#[test]
fn rows_that_were_sent_when_rejects_were_counted_may_be_rejected_later() {
    let mut rig = Rig::new();
    rig.accept(10, 5);
    rig.send(15, 5);
    // The status does not include the request that is under way.
    rig.status(14, 2);
    rig.accepted();
    rig.send(20, 5);
    // The same if the counter rises.
    rig.status(19, 3);
    rig.status(24, 4);
    assert_eq!(rig.windows(), [(1, 5, 15), (1, 10, 15)]);
    let windows = rig.core.commit.rejects();
    let tokens: Vec<_> = windows.iter().map(|w| (&w.after, &w.through)).collect();
    let token = |n: i64| Some(OffsetToken::from(n));
    let expected = [(&token(14), &token(24)), (&token(19), &token(24))];
    assert_eq!(tokens, expected);
}

#[test]
fn a_stale_reject_counter_makes_no_second_window() {
    let mut rig = Rig::new();
    rig.accept(10, 1);
    rig.status(10, 2);
    rig.accept(11, 1);
    rig.status(11, 3);
    rig.status(10, 2);
    rig.status(11, 3);
    assert_eq!(rig.windows(), [(1, 1, 2)]);
}

#[test]
fn windows_beyond_the_limit_are_merged() {
    let mut rig = Rig::new();
    for (token, count) in (10..).zip(3..).take(MAX_WINDOWS + 3) {
        rig.accept(token, 1);
        rig.status(token, count);
    }
    let windows = rig.windows();
    assert_eq!(windows.len(), MAX_WINDOWS);
    let most = MAX_WINDOWS as u64;
    assert_eq!(windows.last(), Some(&(4, most - 1, most + 3)));
    let told: u64 = windows.iter().map(|w| w.0).sum();
    assert_eq!(told, most + 3);
    let last = rig.core.commit.rejects().last().cloned().unwrap();
    let first = i64::try_from(most - 1).unwrap() + 9;
    assert_eq!(last.after, Some(first.into()));
    assert_eq!(last.through, Some((first + 4).into()));
    assert_eq!(last.total, most + 5);
}

#[test]
fn windows_of_an_earlier_hold_lie_before_all_rows_of_this_one() {
    let mut rig = Rig::new();
    rig.accept(10, 5);
    rig.status(14, 3);
    let unreported = rig.core.commit.rejects().to_vec();
    let mut rig = Rig::new();
    rig.core.inherit(rig.now, unreported, None, None);
    rig.accept(15, 5);
    rig.status(19, 3);
    assert_eq!(rig.windows(), [(1, 0, 0), (1, 0, 5)]);
    let progress = rig.core.progress();
    let first = progress.rejects.first().unwrap();
    assert_eq!(
        (&first.after, &first.through),
        (&Some(9.into()), &Some(14.into()))
    );
    progress.committed_outcome(0, 5).unwrap().unwrap_err();
    rig.accept(20, 1);
    rig.status(20, 3);
    let outcome = rig.core.progress().committed_outcome(5, 6);
    outcome.unwrap().unwrap();
}

#[test]
fn a_status_changes_nothing_once_the_channel_has_ended_or_while_it_is_opened_again() {
    for recovery in [Recovery::Surface, Recovery::Replay] {
        let mut rig = Rig::new();
        rig.core.limits.recovery = recovery;
        rig.accept(10, 2);
        if recovery == Recovery::Replay {
            let why = Error::new(ErrorKind::Refused, "no");
            rig.core
                .invalidate(rig.now, InvalidationCause::MustReopen, why);
            assert!(rig.core.is_reopening());
        } else {
            let closed = Error::new(ErrorKind::ClientClosed, "no");
            rig.core.end(rig.now, closed, false);
        }
        let before = rig.core.progress();
        assert_eq!(rig.status(11, 5), None);
        assert_eq!(rig.core.progress(), before, "{recovery:?}");
        assert_eq!(rig.core.rows_rejected(), 2);
    }
}

#[test]
fn a_channel_absent_from_three_answers_is_gone() {
    let mut rig = Rig::new();
    rig.accept(10, 1);
    for _ in 0..5 {
        rig.status_absent();
        assert_eq!(rig.cause(), None, "a replica may not know it yet");
    }
    rig.outlast_replicas();
    rig.status(9, 2);
    for _ in 0..2 {
        rig.status_absent();
        assert_eq!(rig.cause(), None);
    }
    rig.status_absent();
    let gone = ErrorKind::Invalidated(InvalidationCause::Gone);
    assert_eq!(rig.cause(), Some(gone));
    assert!(rig.core.is_ended(), "there is nothing more to ask");
}

#[test]
fn a_token_that_was_not_sent_is_polled_once_more() {
    let mut rig = Rig::new();
    rig.outlast_replicas();
    rig.accept(10, 1);
    rig.status(77, 2);
    assert_eq!(rig.cause(), None);
    assert_eq!(rig.core.poll_interest(), PollInterest::At(rig.in_ms(1_000)));
    rig.status(10, 2);
    rig.status(77, 2);
    assert_eq!(rig.cause(), None, "a blip in between");
    rig.status(77, 9);
    let conflict = ErrorKind::Invalidated(InvalidationCause::OffsetConflict);
    assert_eq!(rig.cause(), Some(conflict));
    assert_eq!(rig.windows(), [], "another's rejects are not ours");
}

#[test]
fn a_channel_waits_for_a_commit_of_what_was_accepted_last_and_then_of_what_came_since() {
    let mut rig = Rig::new();
    assert_eq!(
        rig.core.poll_interest(),
        PollInterest::Heartbeat(rig.in_ms(30_000))
    );
    rig.wait(1_000);
    let first = PollInterest::Commit {
        accepted: rig.now,
        asked: rig.in_ms(0) - Duration::from_secs(1),
        is_lone: true,
    };
    rig.accept(10, 1);
    assert_eq!(rig.core.poll_interest(), first);
    rig.wait(400);
    let second = rig.now;
    rig.accept(11, 1);
    assert_eq!(
        rig.core.poll_interest(),
        first,
        "the one it waits for is still the first"
    );
    rig.wait(200);
    assert_eq!(rig.status(9, 2), None);
    rig.wait(150);
    let sample = CommitSample {
        missed: Duration::from_millis(600),
        seen: Duration::from_millis(750),
    };
    assert_eq!(rig.status(10, 2), Some(sample));
    let interest = PollInterest::Commit {
        accepted: second,
        asked: rig.now,
        is_lone: false,
    };
    assert_eq!(rig.core.poll_interest(), interest);
    assert_eq!(rig.status(11, 2).map(|s| s.seen), Some(rig.now - second));
    assert_eq!(
        rig.core.poll_interest(),
        PollInterest::Heartbeat(rig.in_ms(30_000))
    );
    rig.wait(2_150);
    rig.accept(12, 1);
    let PollInterest::Commit { is_lone, .. } = rig.core.poll_interest() else {
        panic!("{:?}", rig.core.poll_interest());
    };
    assert!(is_lone, "2.5 s after the accept before it");
}

#[test]
fn after_a_failed_poll_the_next_one_is_not_immediate() {
    let mut rig = Rig::new();
    rig.wait(30_000);
    rig.core.asked(rig.now);
    rig.wait(500);
    rig.fail_poll();
    assert_eq!(
        rig.core.poll_interest(),
        PollInterest::Heartbeat(rig.in_ms(29_500))
    );
    rig.core.on_status(rig.now, None);
    assert_eq!(rig.core.poll_interest(), PollInterest::At(rig.in_ms(1_000)));
    rig.wait(1_000);
    rig.core.asked(rig.now);
    rig.fail_poll();
    assert_eq!(
        rig.core.poll_interest(),
        PollInterest::At(rig.in_ms(1_000)),
        "it still wants to know"
    );
}

#[test]
fn an_outdated_status_does_not_say_that_nothing_was_committed() {
    let mut rig = Rig::new();
    rig.accept(10, 1);
    rig.status(10, 2);
    rig.accept(11, 1);
    rig.wait(100);
    assert_eq!(rig.status(10, 2), None);
    rig.wait(200);
    assert_eq!(rig.status(9, 2), None, "a replica lags");
    rig.wait(300);
    let sample = CommitSample {
        missed: Duration::from_millis(100),
        seen: Duration::from_millis(600),
    };
    assert_eq!(rig.status(11, 2), Some(sample));
}

#[test]
fn statuses_that_are_refused_for_the_credential_end_the_channel_as_unauthorized() {
    use InvalidationCause::{Unauthorized, Unreachable};
    for (kind, cause) in [
        (ErrorKind::Authentication, Unauthorized),
        (ErrorKind::Forbidden, Unauthorized),
        (ErrorKind::Timeout, Unreachable),
    ] {
        let mut rig = Rig::new();
        rig.accept(10, 1);
        rig.poll_fails();
        rig.wait(600_000);
        rig.core.asked(rig.now);
        rig.core.on_status_failed(rig.now, &Error::new(kind, "no"));
        assert_eq!(rig.cause(), Some(ErrorKind::Invalidated(cause)));
    }
}

#[test]
fn a_failed_poll_does_not_show_that_nothing_was_committed() {
    let mut rig = Rig::new();
    rig.accept(10, 1);
    rig.wait(100);
    assert_eq!(rig.status(9, 2), None);
    for _ in 0..600 {
        rig.wait(1_000);
        rig.core.asked(rig.now);
        rig.fail_poll();
    }
    rig.wait(400);
    let sample = CommitSample {
        missed: Duration::from_millis(100),
        seen: Duration::from_millis(600_500),
    };
    assert_eq!(rig.status(10, 2), Some(sample));
}

#[test]
fn a_channel_that_drains_is_polled_for_its_last_rows_only() {
    let mut rig = Rig::new();
    rig.accept(10, 1);
    let first = rig.now;
    rig.wait(100);
    rig.accept(11, 1);
    let waits_for = |rig: &Rig| match rig.core.poll_interest() {
        PollInterest::Commit {
            accepted, is_lone, ..
        } => (accepted, is_lone),
        interest => panic!("{interest:?}"),
    };
    assert_eq!(waits_for(&rig), (first, true));
    rig.status(10, 2);
    assert_eq!(waits_for(&rig), (rig.now, false));
    rig.wait(100);
    rig.accept(12, 1);
    rig.core.drain(rig.in_ms(10_000));
    assert_eq!(waits_for(&rig), (rig.now, true));
}

#[test]
fn an_invalidated_channel_is_polled_soon_and_then_as_after_an_accept() {
    let mut rig = Rig::new();
    rig.send(10, 4);
    let why = Error::new(ErrorKind::Refused, "no");
    rig.core
        .invalidate(rig.now, InvalidationCause::MustReopen, why);
    assert_eq!(rig.core.poll_interest(), PollInterest::At(rig.in_ms(50)));
    let invalidated = rig.now;
    rig.wait(50);
    assert_eq!(rig.status(9, 2), None);
    let interest = PollInterest::Commit {
        accepted: invalidated,
        asked: rig.now,
        is_lone: true,
    };
    assert_eq!(rig.core.poll_interest(), interest);
    rig.wait(50);
    assert_eq!(
        rig.status(13, 2),
        None,
        "nothing is learned of rows without an accept"
    );
}

#[test]
fn an_invalidated_channel_is_polled_each_second_for_its_last_rows() {
    let mut rig = Rig::new();
    rig.accept(10, 1);
    rig.send(11, 1);
    let why = Error::new(ErrorKind::Refused, "no");
    rig.core
        .invalidate(rig.now, InvalidationCause::MustReopen, why);
    rig.wait(50);
    rig.status(10, 2);
    let interest = rig.core.poll_interest();
    assert_eq!(interest, PollInterest::At(rig.in_ms(1_000)));
}

#[test]
fn a_long_time_without_a_commit_is_a_stall_and_a_commit_restarts_it() {
    let mut rig = Rig::new();
    rig.accept(10, 1);
    rig.wait(100_000);
    rig.accept(11, 1);
    rig.status(10, 2);
    rig.wait(119_999);
    rig.status(10, 2);
    assert_eq!(rig.cause(), None);
    rig.wait(1);
    assert_eq!(rig.cause(), None, "only an answer can say so");
    rig.status(10, 2);
    let stalled = ErrorKind::Invalidated(InvalidationCause::CommitStalled);
    assert_eq!(rig.cause(), Some(stalled));
    // It is still polled, and commits still count.
    assert!(!rig.core.is_ended());
    rig.status(11, 2);
    assert!(matches!(rig.poll(), Action::Stop));
    assert!(rig.core.report().uncommitted.is_empty());
}

#[test]
fn a_stall_counts_the_time_between_answers_alone() {
    let mut rig = Rig::new();
    rig.accept(10, 1);
    for _ in 0..119 {
        rig.wait(1_000);
        rig.poll_fails();
        rig.wait(1_000);
        rig.status(9, 2);
    }
    assert_eq!(rig.cause(), None, "119 s of 238 s");
    rig.wait(1_000);
    rig.status(9, 2);
    let stalled = ErrorKind::Invalidated(InvalidationCause::CommitStalled);
    assert_eq!(rig.cause(), Some(stalled));
}

#[test]
fn an_implausible_status_shows_no_stall() {
    let mut rig = Rig::new();
    rig.outlast_replicas();
    rig.accept(10, 1);
    rig.wait(120_000);
    rig.status(77, 2);
    assert_eq!(rig.cause(), None);
    rig.wait(1_000);
    rig.status(77, 2);
    let conflict = ErrorKind::Invalidated(InvalidationCause::OffsetConflict);
    assert_eq!(rig.cause(), Some(conflict));
}

#[test]
fn rows_accepted_in_an_outage_wait_for_its_end_as_long_as_others() {
    let mut rig = Rig::new();
    rig.poll_fails();
    rig.wait(500_000);
    rig.accept(10, 1);
    rig.wait(599_999);
    rig.poll_fails();
    assert_eq!(rig.cause(), None);
    rig.wait(1);
    rig.poll_fails();
    let unreachable = ErrorKind::Invalidated(InvalidationCause::Unreachable);
    assert_eq!(rig.cause(), Some(unreachable));
}

#[test]
fn a_commit_may_be_seen_before_the_answer_to_its_request() {
    let mut rig = Rig::new();
    rig.send(10, 4);
    rig.status(13, 2);
    assert_eq!(rig.core.progress().committed, 4);
    let answer = AppendAnswer {
        next_continuation_token: "2".to_owned(),
        session: None,
    };
    rig.core.on_response(rig.now, Ok(answer), 0.0);
    assert!(!rig.core.awaits_commits());
    rig.wait(10);
    rig.accept(14, 1);
    let sample = CommitSample {
        missed: Duration::ZERO,
        seen: Duration::from_millis(20),
    };
    rig.wait(20);
    assert_eq!(rig.status(14, 2), Some(sample));
}

#[test]
fn rows_that_another_writer_committed_are_not_listed_as_lost_when_ours_are_refused() {
    let mut rig = Rig::new();
    rig.send(10, 4);
    // Another reader of the same source has sent the same rows with the same token.
    rig.status(13, 2);
    let stale = Failure::Answered {
        status: 400,
        code: Some("STALE_CONTINUATION_TOKEN_SEQUENCER".to_owned()),
        error: Error::new(ErrorKind::Refused, "no"),
    };
    rig.core.on_response(rig.now, Err(stale), 0.0);
    let fenced = ErrorKind::Invalidated(InvalidationCause::Fenced);
    assert_eq!(rig.cause(), Some(fenced));
    let report = rig.core.report();
    assert_eq!((report.rows_appended, report.rows_committed), (4, 4));
    assert_eq!(report.uncommitted, []);
}

#[test]
fn an_open_that_counts_fewer_rejects_makes_no_window_of_old_ones() {
    let mut rig = Rig::new();
    rig.core.limits.recovery = Recovery::Replay;
    rig.accept(10, 5);
    rig.status(14, 3);
    assert_eq!(rig.windows(), [(1, 0, 5)]);
    // The counter comes from a lagging replica.
    rig.reopen(14, 2);
    rig.accept(15, 5);
    rig.status(19, 3);
    assert_eq!(rig.windows(), [(1, 0, 5)], "none is told twice");
}
