//! The order of compressions and requests, and when each is due.

use super::*;
use crate::base::buffers::EAGER_BATCH_BYTES;
use crate::base::request_limit::RequestLimit;
use crate::channel::core::MIN_ISOLATED_BATCH;
use crate::channel::core::rig::Rig;
use crate::types::error::{Error, ErrorKind, InvalidationCause};

/// The first and the last token of the core's next action, which has to be a request.
fn sent(rig: &mut Rig) -> (OffsetToken, OffsetToken) {
    let request = rig.sent();
    (request.start.unwrap(), request.end)
}

#[test]
fn no_batch_overtakes_one_that_is_to_be_cut() {
    let mut rig = Rig::new();
    rig.send(10, 4);
    rig.append(14, 1);
    let behind = rig.compression();
    rig.refuse(413);
    assert!(rig.waits(), "what is too large is not sent as it is");
    rig.compress(behind);
    let cut = rig.compression();
    assert!(matches!(cut, Action::Split(..)));
    assert!(rig.waits(), "what is behind it is not sent before it");
    rig.compress(cut);
    for token in 10..15_i64 {
        assert_eq!(sent(&mut rig), (token.into(), token.into()));
        assert!(rig.waits(), "one at a time");
        rig.accepted();
    }
    assert!(rig.waits());
    assert_eq!(rig.core.progress().accepted, 5);
}

#[test]
fn a_unit_that_is_compressed_already_keeps_its_place() {
    let mut rig = Rig::new();
    rig.append(10, 2);
    rig.append_sealed(12);
    rig.append_sealed(13);
    rig.append(14, 1);
    let before = rig.compression();
    assert!(rig.waits(), "nothing overtakes what is being compressed");
    rig.compress(before);
    assert_eq!(sent(&mut rig), (10.into(), 11.into()));
    rig.append_sealed(15);
    let between = rig.compression();
    rig.accepted();
    for token in [12, 13] {
        assert_eq!(sent(&mut rig), (token.into(), token.into()));
        rig.accepted();
    }
    assert!(rig.waits(), "nothing overtakes what is being compressed");
    rig.compress(between);
    for token in [14, 15] {
        assert_eq!(sent(&mut rig), (token.into(), token.into()));
        rig.accepted();
    }
    assert!(rig.waits());
    assert_eq!(rig.core.progress().accepted, 6);
    assert_eq!(rig.charged(), 0);
    rig.append_sealed(16);
    assert_eq!(
        sent(&mut rig),
        (16.into(), 16.into()),
        "there is nothing before it"
    );
}

#[test]
fn the_report_has_units_that_are_compressed_already_in_their_order() {
    let mut rig = Rig::new();
    rig.append(10, 2);
    rig.append_sealed(12);
    rig.append(13, 1);
    let why = Error::new(ErrorKind::Refused, "no");
    let cause = InvalidationCause::Rejected;
    rig.core.invalidate(rig.now, cause, why);
    let ranges = rig.core.report().uncommitted;
    let ranges: Vec<_> = ranges.iter().map(|r| (r.state, r.rows)).collect();
    let appended = |rows| (RowState::Appended, rows);
    assert_eq!(ranges, [appended(2), (RowState::Sealed, 1), appended(1)]);
    assert_eq!(rig.charged(), 0);
}

#[test]
fn a_batch_is_cut_when_its_turn_comes() {
    let mut rig = Rig::new();
    rig.send(10, 4);
    rig.seal(14, 4);
    // Another channel learned the limit.
    rig.core.limits.request_limit = RequestLimit::new(1);
    assert!(rig.waits(), "a request is under way");
    rig.accepted();
    let cut = rig.compression();
    assert!(matches!(cut, Action::Split(..)));
    rig.compress(cut);
    assert_eq!(sent(&mut rig), (14.into(), 14.into()));
}

#[test]
fn after_rejects_requests_are_small_and_leave_one_by_one_until_commits_are_clean() {
    for isolates in [true, false] {
        let mut rig = Rig::new();
        rig.core.limits.isolate_rejects = isolates;
        rig.accept(10, 5);
        rig.status(14, 2);
        let usual = rig.core.request_full_at();
        assert_eq!(rig.core.full_at(), usual, "nothing was rejected yet");
        rig.accept(15, 5);
        assert_eq!(rig.core.last_len, 15);
        rig.core.last_len = 400 << 10;
        rig.status(19, 3);
        let full_at = if isolates { 100 << 10 } else { usual };
        assert_eq!(rig.core.full_at(), full_at);
        rig.accept(20, 5);
        rig.seal(25, 5);
        if !isolates {
            rig.sent();
            continue;
        }
        assert!(rig.waits(), "the request before it is not committed yet");
        rig.status(24, 4);
        assert_eq!(rig.core.full_at(), MIN_ISOLATED_BATCH, "it was a small one");
        rig.sent();
        rig.accepted();
        rig.status(29, 4);
        let size = MIN_ISOLATED_BATCH + MIN_ISOLATED_BATCH / 4;
        assert_eq!(rig.core.full_at(), size);
        for token in 30..60 {
            rig.accept(token, 1);
            rig.status(token, 4);
        }
        assert_eq!(rig.core.isolating, None, "they are as large as before");
        rig.accept(60, 1);
        rig.send(61, 1);
    }
}

#[test]
fn batches_are_small_while_the_server_keeps_up_and_as_large_as_a_request_otherwise() {
    let mut rig = Rig::new();
    rig.core.limits.max_uncompressed = 8 * EAGER_BATCH_BYTES;
    rig.core.limits.request_limit = RequestLimit::new(8 * EAGER_BATCH_BYTES);
    rig.poll();
    assert_eq!(rig.core.full_at(), EAGER_BATCH_BYTES);
    rig.send(10, 1);
    assert_eq!(rig.core.full_at(), EAGER_BATCH_BYTES);
    rig.seal(11, 1);
    assert!(rig.core.full_at() > EAGER_BATCH_BYTES);
}

#[test]
fn a_close_ends_a_settling_channel_at_the_earlier_of_the_two_deadlines() {
    for (drain, end) in [(10_000, 10_000), (40_000, 30_000)] {
        let mut rig = Rig::new();
        rig.accept(10, 1);
        let why = Error::new(ErrorKind::Refused, "no");
        rig.core
            .invalidate(rig.now, InvalidationCause::MustReopen, why);
        rig.core.drain(rig.in_ms(drain));
        let Action::Wait(until) = rig.poll() else {
            panic!("it still asks");
        };
        assert_eq!(until, Some(rig.in_ms(end)));
        rig.wait(end - 1);
        assert!(rig.waits());
        rig.wait(1);
        assert!(matches!(rig.poll(), Action::Stop));
        assert!(rig.core.is_ended());
    }
}

#[test]
fn a_later_close_does_not_postpone_an_earlier_one() {
    for closes in [[1_000, 5_000], [5_000, 1_000]] {
        let mut rig = Rig::new();
        rig.accept(10, 1);
        for ms in closes {
            rig.core.drain(rig.in_ms(ms));
        }
        rig.wait(999);
        assert!(rig.waits());
        rig.wait(1);
        assert!(matches!(rig.poll(), Action::Stop));
    }
}

#[test]
fn a_channel_that_is_opened_again_while_it_closes_ends_in_time_and_says_why_it_was_not_open() {
    let mut rig = Rig::new();
    rig.core.limits.recovery = crate::base::options::Recovery::Replay;
    rig.accept(10, 1);
    rig.core.drain(rig.in_ms(5_000));
    let why = Error::new(ErrorKind::Refused, "the pipe is stale");
    rig.core
        .invalidate(rig.now, InvalidationCause::MustReopen, why);
    assert!(matches!(rig.poll(), Action::Reopen(_)));
    let Action::Wait(until) = rig.poll() else {
        panic!("it waits for the open");
    };
    assert_eq!(until, Some(rig.in_ms(5_000)));
    rig.wait(5_000);
    assert!(matches!(rig.poll(), Action::Stop));
    assert_eq!(rig.core.refusal().unwrap().kind(), ErrorKind::ChannelClosed);
    let error = rig.core.end.unwrap();
    let cause = InvalidationCause::MustReopen;
    assert_eq!(error.kind(), ErrorKind::Invalidated(cause));
    assert!(error.to_string().contains("the pipe is stale"), "{error}");
}

#[test]
fn a_close_ends_a_channel_as_soon_as_all_is_committed() {
    let mut rig = Rig::new();
    rig.accept(10, 1);
    rig.append(11, 1);
    rig.core.drain(rig.in_ms(60_000));
    rig.status(10, 2);
    let work = rig.compression();
    rig.compress(work);
    rig.sent();
    rig.accepted();
    assert!(rig.waits(), "the last row is not committed");
    rig.status(11, 2);
    assert!(matches!(rig.poll(), Action::Stop));
    let error = rig.core.refusal().unwrap();
    assert_eq!(error.kind(), ErrorKind::ChannelClosed);
    assert!(rig.core.report().is_clean());
}
