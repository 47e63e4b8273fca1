//! How often a channel is reopened, and the state after a reopen.

use http::HeaderValue;

use super::*;
use crate::api::AppendAnswer;
use crate::api::failure::Failure;
use crate::channel::core::rig::Rig;
use crate::channel::core::schedule::Action;
use crate::channel::polling::timer::{HEARTBEAT, PollInterest};

#[test]
fn a_cause_that_a_reopen_cannot_fix_or_has_not_fixed_surfaces() {
    use InvalidationCause::{
        Ambiguous, CommitStalled, Fenced, Gone, MustReopen, OffsetConflict, Rejected, Unauthorized,
        Unreachable,
    };
    let wait = Some(OnUncommitted::Wait(OTHERS_ROWS_WAIT));
    let ours = Some(OnUncommitted::WaitThenDiscard(OWN_ROWS_WAIT));
    for never in [OffsetConflict, Unreachable, Rejected, Unauthorized] {
        assert_eq!(Reopens::default().next(never, true), None, "{never:?}");
    }
    for (cause, times) in [(MustReopen, 3), (Gone, 3), (CommitStalled, 1)] {
        let mut reopens = Reopens::default();
        for _ in 0..times {
            assert_eq!(reopens.next(cause, true), ours, "{cause:?}");
        }
        assert_eq!(reopens.next(cause, true), None, "{cause:?}");
        reopens.reset_except_fenced();
        assert_eq!(
            reopens.next(cause, false),
            wait,
            "{cause:?}: never discards what it did not send"
        );
    }
    let mut reopens = Reopens::default();
    for _ in 0..3 {
        assert_eq!(reopens.next(Ambiguous, true), wait);
    }
    assert_eq!(reopens.next(Ambiguous, true), None);
    let mut reopens = Reopens::default();
    assert_eq!(reopens.next(Fenced, true), wait);
    reopens.reset_except_fenced();
    assert_eq!(reopens.next(Fenced, true), None);
    reopens.reset();
    assert_eq!(reopens.next(Fenced, true), wait);
}

fn replaying() -> Rig {
    let mut rig = Rig::new();
    rig.core.limits.recovery = Recovery::Replay;
    rig
}

fn refuse(rig: &mut Rig, after: Option<Duration>) {
    let error = Error::new(ErrorKind::Throttled, "no").with_retry_after(after);
    let failure = Failure::Throttled(error);
    rig.core.on_response(rig.now, Err(failure), 0.5);
}

/// The backoff after a failed request.
fn pause(rig: &mut Rig) -> Duration {
    refuse(rig, None);
    match rig.poll() {
        Action::Wait(Some(until)) => until - rig.now,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_channel_that_closes_leaves_its_name_to_another_writer() {
    use InvalidationCause::{Fenced, MustReopen};
    for (cause, closes, reopens) in [
        (Fenced, false, true),
        (Fenced, true, false),
        (MustReopen, true, true),
    ] {
        let mut rig = replaying();
        rig.send(10, 1);
        if closes {
            rig.core.drain(rig.in_ms(60_000));
        }
        let why = Error::new(ErrorKind::Refused, "no");
        rig.core.invalidate(rig.now, cause, why);
        assert_eq!(rig.core.is_reopening(), reopens, "{cause:?} {closes}");
    }
}

#[test]
fn the_session_of_an_answer_goes_with_the_next_request_and_ends_with_a_reopen() {
    let mut rig = replaying();
    rig.send(10, 1);
    let answer = AppendAnswer {
        next_continuation_token: "2".to_owned(),
        session: Some(HeaderValue::from_static("near")),
    };
    rig.core.on_response(rig.now, Ok(answer), 0.0);
    assert_eq!(rig.send(11, 1).session.unwrap(), "near");
    rig.reopen(9, 2);
    let order = rig.sent();
    assert_eq!(order.session, None);
    assert_eq!(order.continuation_token, "3");
    // An answer without one ends it as well.
    let answer = AppendAnswer {
        next_continuation_token: "4".to_owned(),
        session: Some(HeaderValue::from_static("far")),
    };
    rig.core.on_response(rig.now, Ok(answer), 0.0);
    assert_eq!(rig.sent().session.unwrap(), "far");
    let answer = AppendAnswer {
        next_continuation_token: "5".to_owned(),
        session: None,
    };
    rig.core.on_response(rig.now, Ok(answer), 0.0);
    assert_eq!(rig.send(12, 1).session, None);
}

#[test]
fn a_batch_keeps_its_request_id_and_the_next_one_has_another() {
    let mut rig = replaying();
    let first = rig.send(10, 1).attempt;
    assert_eq!(first.retry_count, 0);
    refuse(&mut rig, None);
    rig.wait(60_000);
    let retry = rig.sent().attempt;
    assert_eq!((retry.request_id, retry.retry_count), (first.request_id, 1));
    let answer = AppendAnswer {
        next_continuation_token: "2".to_owned(),
        session: None,
    };
    rig.core.on_response(rig.now, Ok(answer), 0.0);
    let next = rig.send(11, 1).attempt;
    assert_ne!(next.request_id, first.request_id);
    assert_eq!(next.retry_count, 0);
    // Sent again after a reopen, it is another request: its continuation token is another.
    rig.reopen(10, 2);
    let again = rig.sent().attempt;
    assert_ne!(again.request_id, next.request_id);
    assert_eq!(again.retry_count, 0);
}

#[test]
fn an_ended_channel_is_not_open_again_by_an_open_that_was_under_way() {
    let mut rig = replaying();
    rig.send(10, 1);
    invalidate(&mut rig);
    assert!(matches!(rig.poll(), Action::Reopen(_)));
    let closed = Error::new(ErrorKind::ClientClosed, "the client was closed");
    rig.core.end(rig.now, closed, false);
    rig.core.on_recovered(rig.now, Ok(opened(9)));
    assert!(rig.core.is_ended());
    assert!(matches!(rig.poll(), Action::Stop));
}

#[test]
fn an_open_that_is_refused_for_its_credential_is_tried_three_more_times() {
    for kind in [ErrorKind::Authentication, ErrorKind::Forbidden] {
        let mut rig = replaying();
        rig.send(10, 1);
        invalidate(&mut rig);
        let Action::Reopen(first) = rig.poll() else {
            panic!("nothing to reopen");
        };
        for _ in 0..REFUSALS {
            assert!(matches!(rig.poll(), Action::Wait(_)), "one at a time");
            rig.core.on_recovered(rig.now, Err(Error::new(kind, "no")));
            assert!(matches!(rig.poll(), Action::Reopen(how) if how == first));
        }
        rig.core.on_recovered(rig.now, Err(Error::new(kind, "no")));
        let must_reopen = ErrorKind::Invalidated(InvalidationCause::MustReopen);
        assert_eq!(rig.cause(), Some(must_reopen));
    }
    // Any other failure of the open is final: the open itself was retried.
    let mut rig = replaying();
    rig.send(10, 1);
    invalidate(&mut rig);
    rig.poll();
    let why = Error::new(ErrorKind::Unreachable, "no");
    rig.core.on_recovered(rig.now, Err(why));
    assert!(rig.cause().is_some());
}

fn opened(token: i64) -> Opened {
    Opened {
        next_continuation_token: "3".to_owned(),
        status: ChannelStatus {
            status_code: "SUCCESS".to_owned(),
            latest_committed_offset_token: Some(token.into()),
            created_on_ms: Some(1),
            ..ChannelStatus::default()
        },
    }
}

#[test]
fn a_channel_that_is_unhealthy_after_its_reopen_surfaces() {
    let mut rig = replaying();
    rig.send(10, 1);
    invalidate(&mut rig);
    rig.poll();
    let mut answer = opened(9);
    answer.status.status_code = "ERR_PIPE_IN_INVALID_STATE".to_owned();
    rig.core.on_recovered(rig.now, Ok(answer));
    let gone = ErrorKind::Invalidated(InvalidationCause::Gone);
    assert_eq!(rig.cause(), Some(gone));
    assert!(rig.core.ready.is_empty(), "nothing is sent into it");
}

#[test]
fn a_reopened_channel_sends_at_once_and_its_pauses_are_short_again() {
    let mut rig = replaying();
    rig.send(10, 1);
    let first = pause(&mut rig);
    let mut last = first;
    for _ in 0..5 {
        rig.now += last;
        rig.sent();
        last = pause(&mut rig);
    }
    assert!(last >= 8 * first, "{last:?} after {first:?}");
    rig.now += last;
    rig.sent();
    // The server asks for a long delay, and then for a reopen.
    refuse(&mut rig, Some(Duration::from_secs(300)));
    rig.reopen(9, 2);
    assert_eq!(rig.sent().attempt.retry_count, 0);
    assert_eq!(pause(&mut rig), first);
}

#[test]
fn an_accept_makes_pauses_short_again() {
    let mut rig = replaying();
    rig.send(10, 1);
    let first = pause(&mut rig);
    rig.now += first;
    rig.sent();
    let second = pause(&mut rig);
    assert!(second > first);
    rig.now += second;
    rig.sent();
    let answer = AppendAnswer {
        next_continuation_token: "2".to_owned(),
        session: None,
    };
    rig.core.on_response(rig.now, Ok(answer), 0.0);
    rig.send(11, 1);
    assert_eq!(pause(&mut rig), first);
}

#[test]
fn a_reopened_channel_is_absent_only_after_three_answers_of_its_own() {
    let mut rig = replaying();
    rig.outlast_replicas();
    rig.status_absent();
    rig.status_absent();
    rig.reopen(9, 2);
    assert_eq!(
        rig.core.poll_interest(),
        PollInterest::Heartbeat(rig.now + HEARTBEAT),
        "the doubt is over"
    );
    rig.outlast_replicas();
    rig.status_absent();
    rig.status_absent();
    assert!(!rig.core.is_reopening());
    rig.status_absent();
    assert!(rig.core.is_reopening());
}

#[test]
fn an_answer_that_has_the_channel_ends_its_absence() {
    let mut rig = Rig::new();
    rig.outlast_replicas();
    for _ in 0..3 {
        rig.status_absent();
        rig.status_absent();
        rig.status(9, 2);
    }
    assert_eq!(rig.cause(), None);
}

#[test]
fn rows_that_an_open_shows_as_committed_are_not_sent_again() {
    let mut rig = replaying();
    rig.accept(10, 2);
    rig.accept(12, 3);
    rig.send(15, 4);
    rig.reopen(11, 2);
    assert_eq!(rig.core.progress().committed, 2);
    assert_eq!(
        rig.core.progress().accepted,
        2,
        "accepted rows that were not committed are not there"
    );
    let order = rig.sent();
    assert_eq!((order.start, order.end), (Some(12.into()), 14.into()));
    let answer = AppendAnswer {
        next_continuation_token: "4".to_owned(),
        session: None,
    };
    rig.core.on_response(rig.now, Ok(answer), 0.0);
    let order = rig.sent();
    assert_eq!((order.start, order.end), (Some(15.into()), 18.into()));
}

#[test]
fn rows_are_sent_again_in_the_order_of_their_tokens() {
    let mut rig = replaying();
    for first in [10, 12, 14] {
        rig.accept(first, 2);
    }
    rig.send(16, 2);
    rig.seal(18, 2);
    rig.reopen(9, 2);
    for first in [10, 12, 14, 16, 18] {
        assert_eq!(rig.sent().start, Some(first.into()));
        rig.accepted();
    }
    assert!(rig.waits());
}

#[test]
fn a_channel_that_ends_returns_the_memory_of_all_rows_at_once() {
    let mut rig = replaying();
    let mut charged = vec![rig.charged()];
    rig.accept(10, 2);
    charged.push(rig.charged());
    rig.send(12, 2);
    charged.push(rig.charged());
    rig.seal(14, 2);
    charged.push(rig.charged());
    rig.append(16, 2);
    charged.push(rig.charged());
    assert!(charged.is_sorted_by(|a, b| a < b), "{charged:?}");
    let why = Error::new(ErrorKind::Refused, "no");
    rig.core
        .invalidate(rig.now, InvalidationCause::Rejected, why);
    assert!(!rig.core.is_ended(), "it asks whether rows are committed");
    assert_eq!(rig.charged(), 0);
}

#[test]
fn a_commit_that_an_open_shows_is_no_sample_of_the_latency() {
    let mut rig = replaying();
    rig.accept(10, 1);
    rig.wait(400_000);
    rig.reopen(10, 2);
    assert_eq!(rig.status(10, 2), None);
    assert_eq!(
        rig.core.poll_interest(),
        PollInterest::Heartbeat(rig.now + HEARTBEAT)
    );
}

#[test]
fn an_outage_before_a_reopen_is_not_counted_after_it() {
    let mut rig = replaying();
    rig.accept(10, 1);
    rig.wait(590_000);
    rig.core.asked(rig.now - Duration::from_secs(500));
    rig.fail_poll();
    rig.reopen(9, 2);
    accept_all(&mut rig);
    for _ in 0..6 {
        rig.wait(100_000);
        rig.poll_fails();
        assert_eq!(rig.cause(), None);
    }
    // The first of these left 100 s after the accept.
    rig.wait(99_999);
    rig.poll_fails();
    assert_eq!(rig.cause(), None);
    rig.wait(1);
    rig.poll_fails();
    let unreachable = ErrorKind::Invalidated(InvalidationCause::Unreachable);
    assert_eq!(rig.cause(), Some(unreachable));
}

#[test]
fn a_stall_before_a_reopen_is_not_counted_after_it() {
    let mut rig = replaying();
    rig.accept(10, 1);
    rig.wait(119_000);
    assert_eq!(rig.status(9, 2), None);
    rig.reopen(9, 2);
    accept_all(&mut rig);
    rig.wait(119_000);
    rig.status(9, 2);
    assert!(!rig.core.is_reopening(), "119 s of 120");
    rig.wait(1_000);
    rig.status(9, 2);
    assert!(rig.core.is_reopening());
}

#[test]
fn rejects_that_an_open_counts_lie_in_what_it_shows_to_be_committed() {
    let mut rig = replaying();
    rig.accept(10, 2);
    rig.accept(12, 3);
    rig.reopen(11, 3);
    assert_eq!(rig.windows(), [(1, 0, 2)]);
}

#[test]
fn the_pause_before_a_reopen_doubles_until_something_is_committed() {
    let mut rig = replaying();
    rig.accept(10, 1);
    for ms in [500, 1_000, 2_000] {
        assert_eq!(rig.reopen(9, 2).pause, Duration::from_millis(ms));
        accept_all(&mut rig);
    }
    rig.status(10, 2);
    assert_eq!(rig.reopen(10, 2).pause, Duration::from_millis(500));
    // Each kind of trouble counts.
    let mut reopens = Reopens::default();
    assert_eq!(reopens.count(), 0);
    reopens.next(InvalidationCause::Fenced, true);
    reopens.next(InvalidationCause::CommitStalled, true);
    reopens.next(InvalidationCause::Gone, true);
    assert_eq!(reopens.count(), 3);
}

fn invalidate(rig: &mut Rig) {
    let why = Error::new(ErrorKind::Refused, "no");
    rig.core
        .invalidate(rig.now, InvalidationCause::MustReopen, why);
}

/// Has all ready batches accepted.
fn accept_all(rig: &mut Rig) {
    while let Action::Send(_) = rig.poll() {
        let answer = AppendAnswer {
            next_continuation_token: "4".to_owned(),
            session: None,
        };
        rig.core.on_response(rig.now, Ok(answer), 0.0);
    }
}

#[test]
fn after_three_reopens_only_a_commit_allows_another() {
    for seen_by in ["nothing", "an open", "a status"] {
        let mut rig = replaying();
        rig.accept(10, 1);
        rig.accept(11, 1);
        for token in [9, 9, if seen_by == "an open" { 10 } else { 9 }] {
            rig.reopen(token, 2);
            accept_all(&mut rig);
        }
        if seen_by == "a status" {
            rig.status(10, 2);
        }
        invalidate(&mut rig);
        assert_eq!(rig.core.is_reopening(), seen_by != "nothing", "{seen_by}");
    }
}

#[test]
fn an_idle_channel_that_was_healthy_for_long_may_be_reopened() {
    for well_for in [RECOVERED_AFTER, RECOVERED_AFTER / 2] {
        let mut rig = replaying();
        for _ in 0..3 {
            rig.reopen(9, 2);
        }
        rig.now += well_for;
        rig.status(9, 2);
        invalidate(&mut rig);
        assert_eq!(rig.core.is_reopening(), well_for == RECOVERED_AFTER);
    }
}
