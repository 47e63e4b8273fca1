//! The report after a refused request, and the charge of rows until then.

use super::*;
use crate::api::failure::Failure;
use crate::channel::core::rig::Rig;
use crate::channel::core::schedule::Action;
use crate::types::close_report::{RowState, UncommittedRange};

type Range = (RowState, u64, Option<OffsetToken>, Option<OffsetToken>);

/// Closes the channel at its deadline. Returns the uncommitted ranges and how many rows may have reached the server.
fn closed(rig: &mut Rig) -> (Vec<Range>, u64) {
    rig.core.drain(rig.now);
    assert!(matches!(rig.poll(), Action::Stop));
    let listed = |r: UncommittedRange| (r.state, r.rows, r.first, r.last);
    let uncommitted = rig.core.report().uncommitted;
    let sent = rig.core.progress().end.unwrap().sent;
    (uncommitted.into_iter().map(listed).collect(), sent)
}

/// The request under way breaks off: it may have been applied.
fn no_answer(rig: &mut Rig) {
    let failure = Failure::Ambiguous(Error::new(ErrorKind::Timeout, "no"));
    rig.core.on_response(rig.now, Err(failure), 0.0);
}

#[test]
fn rows_that_are_being_cut_at_the_end_were_not_sent() {
    let mut rig = Rig::new();
    rig.send(10, 4);
    rig.seal(14, 2);
    rig.refuse(413);
    assert!(matches!(rig.compression(), Action::Split(..)));
    rig.append(16, 1);
    let expected = [
        (RowState::Sealed, 6, Some(10.into()), Some(15.into())),
        (RowState::Appended, 1, Some(16.into()), Some(16.into())),
    ];
    assert_eq!(closed(&mut rig), (expected.to_vec(), 0));
}

#[test]
fn rows_that_wait_to_be_cut_at_the_end_were_not_sent() {
    let mut rig = Rig::new();
    rig.accept(10, 2);
    rig.send(12, 4);
    rig.refuse(413);
    let expected = [
        (RowState::Accepted, 2, Some(10.into()), Some(11.into())),
        (RowState::Sealed, 4, Some(12.into()), Some(15.into())),
    ];
    assert_eq!(closed(&mut rig), (expected.to_vec(), 2));
}

#[test]
fn rows_that_are_being_compressed_at_the_end_come_after_those_that_were() {
    let mut rig = Rig::new();
    rig.send(10, 4);
    rig.seal(14, 2);
    // A full batch is compressed although another is ready.
    rig.core.limits.max_uncompressed = 3;
    rig.append(16, 1);
    assert!(matches!(rig.compression(), Action::Seal(..)));
    rig.append(17, 1);
    let expected = [
        (RowState::Sent, 4, Some(10.into()), Some(13.into())),
        (RowState::Sealed, 3, Some(14.into()), Some(16.into())),
        (RowState::Appended, 1, Some(17.into()), Some(17.into())),
    ];
    assert_eq!(closed(&mut rig), (expected.to_vec(), 4));
}

#[test]
fn a_refused_batch_was_not_sent_unless_an_attempt_had_no_answer() {
    for in_doubt in [false, true] {
        let mut rig = Rig::new();
        rig.send(10, 4);
        if in_doubt {
            no_answer(&mut rig);
            rig.wait(1_000);
            rig.sent();
        }
        rig.refuse(400);
        let progress = rig.core.progress();
        let (sent, state) = if in_doubt {
            (4, RowState::Sent)
        } else {
            (0, RowState::Sealed)
        };
        assert_eq!(progress.end.unwrap().sent, sent);
        let uncommitted = rig.core.report().uncommitted;
        let states: Vec<_> = uncommitted.iter().map(|r| (r.state, r.rows)).collect();
        assert_eq!(states, [(state, 4)]);
        assert_eq!(rig.core.is_ended(), !in_doubt, "nothing is left to ask");
    }
}

#[test]
fn an_unanswered_attempt_is_remembered_after_answered_ones() {
    for last in [409, 413] {
        let mut rig = Rig::new();
        rig.send(10, 4);
        no_answer(&mut rig);
        // A refusal that may pass.
        rig.wait(1_000);
        rig.sent();
        rig.refuse(401);
        rig.wait(1_000);
        rig.sent();
        rig.refuse(last);
        let ambiguous = ErrorKind::Invalidated(InvalidationCause::Ambiguous);
        assert_eq!(rig.cause(), Some(ambiguous), "{last}");
        assert_eq!(rig.core.progress().end.unwrap().sent, 4);
    }
}

#[test]
fn rows_that_go_on_a_run_cost_their_bytes_alone_and_a_new_batch_its_unit() {
    let mut rig = Rig::new();
    let open = |rig: &Rig| rig.core.open.as_ref().unwrap().charge.bytes();
    rig.append(10, 1);
    let first = open(&rig);
    rig.append(11, 1);
    assert_eq!(open(&rig), first + 3);
    rig.append(20, 1);
    assert_eq!(open(&rig), 2 * first + 3, "a gap begins another unit");
    // The next row is one too many for the batch.
    rig.core.limits.max_uncompressed = 10;
    rig.append(21, 1);
    assert_eq!(open(&rig), first);
}

#[test]
fn rows_that_another_run_committed_are_not_split_and_sent_again() {
    let mut rig = Rig::new();
    rig.send(10, 4);
    // A status shows the batch's token before its request is answered.
    rig.status(13, 0);
    rig.refuse(413);
    assert!(rig.core.ready.is_empty());
    assert!(rig.core.flight.is_none());
    assert_eq!(closed(&mut rig), (Vec::new(), 4));
}

#[test]
fn an_append_that_is_answered_with_a_token_of_another_open_is_not_accepted() {
    for (sent, next, is_fenced) in [
        ("1_5", "1_6", false),
        ("1_5", "2_1", true),
        ("1_5", "2_9", true),
        ("a5", "b6", false),
        ("1_5", "opaque", false),
        ("1_x", "2_x", false),
    ] {
        let mut rig = Rig::new();
        rig.core.continuation_token = sent.to_owned();
        rig.send(10, 4);
        let answer = AppendAnswer {
            next_continuation_token: next.to_owned(),
            session: None,
        };
        rig.core.on_response(rig.now, Ok(answer), 0.0);
        let fenced = ErrorKind::Invalidated(InvalidationCause::Fenced);
        assert_eq!(rig.cause(), is_fenced.then_some(fenced), "{sent}, {next}");
        let accepted = if is_fenced { 0 } else { 4 };
        assert_eq!(rig.core.progress().accepted, accepted, "{sent}, {next}");
    }
}

#[test]
fn rows_of_such_an_append_are_replayed() {
    let mut rig = Rig::counting(Recovery::Replay);
    rig.core.continuation_token = "1_5".to_owned();
    rig.send(10, 4);
    let answer = AppendAnswer {
        next_continuation_token: "2_1".to_owned(),
        session: None,
    };
    rig.core.on_response(rig.now, Ok(answer), 0.0);
    assert!(matches!(rig.poll(), Action::Reopen(_)));
}
