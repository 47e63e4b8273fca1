//! What an append whose answer is lost costs under each answer to a replayed continuation token. Paused clock throughout.

use std::time::Duration;

use snowpipe_streaming::Recovery;
use snowpipe_streaming_emulator::{Endpoint, Fault, ReplayedToken};
use tokio::time::Instant;

use crate::support::{World, rows};

/// Requests of a client that appends ten rows, loses the answer, and appends ten more: opens and appends.
async fn requests(answer: ReplayedToken) -> (usize, usize) {
    let world = World::with(|e| e.replay(answer));
    let builder = world.builder().recovery(Recovery::Replay);
    let client = builder.build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let faults = world.emulator.faults();
    faults.push(Fault::ApplyThenLose.on(Endpoint::Append));
    let lost = channel.append_rows(rows(0..10), 0..).await.unwrap();
    lost.committed().await.unwrap();
    let next = channel.append_rows(rows(10..20), 10..).await.unwrap();
    next.committed().await.unwrap();
    assert!(channel.close().await.unwrap().is_clean());
    assert_eq!(world.landed(), (0..20).collect::<Vec<_>>());
    let of = |endpoint| world.requests(endpoint);
    (of(Endpoint::Open), of(Endpoint::Append))
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_costs_a_request_where_replays_are_accepted_and_a_reopen_elsewhere() {
    // The append that is answered, the one whose answer is lost, and its repetition.
    assert_eq!(requests(ReplayedToken::Accept).await, (1, 3));
    assert_eq!(requests(ReplayedToken::Stale).await, (2, 3));
    assert_eq!(requests(ReplayedToken::Conflict).await, (2, 3));
}

#[tokio::test(start_paused = true)]
async fn a_channel_survives_a_lost_answer_only_where_replays_are_accepted() {
    for answer in ReplayedToken::ALL {
        let world = World::with(|e| e.replay(*answer));
        let (_client, mut channel) = world.channel().await;
        let faults = world.emulator.faults();
        faults.push(Fault::ApplyThenLose.on(Endpoint::Append));
        let lost = channel.append_rows(rows(0..10), 0..).await.unwrap();
        // The committed token covers the rows in any case.
        lost.committed().await.unwrap();
        let next = channel.append_rows(rows(10..11), 10..).await;
        assert_eq!(next.is_ok(), *answer == ReplayedToken::Accept, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_accepted_replay_delays_the_next_rows_by_no_more_than_the_pause_before_it() {
    let mut waits = Vec::new();
    for is_lost in [false, true] {
        let world = World::new();
        let (_client, mut channel) = world.channel().await;
        if is_lost {
            let faults = world.emulator.faults();
            faults.push(Fault::ApplyThenLose.on(Endpoint::Append));
        }
        let began = Instant::now();
        let receipt = channel.append_rows(rows(0..10), 0..).await.unwrap();
        channel.wait_for_flush().await.unwrap();
        receipt.accepted().await.unwrap();
        waits.push(began.elapsed());
    }
    let pause = waits[1].saturating_sub(waits[0]);
    assert!(pause <= Duration::from_secs(1), "{waits:?}");
}
