//! The end of a client with several channels: each is flushed, all share one deadline, and the first failure is returned.

use std::time::Duration;

use snowpipe_streaming::report::RowState;
use snowpipe_streaming::{ErrorKind, InvalidationCause};
use snowpipe_streaming_emulator::{Endpoint, Fault};
use tokio::time::Instant;

use crate::support::{World, row, rows};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn every_channel_is_flushed_and_committed_before_the_client_ends() {
    let world = World::new();
    let client = world.builder().max_client_lag(HOUR).build().await.unwrap();
    let mut receipts = Vec::new();
    let mut channels = Vec::new();
    for (n, name) in (0..).zip(["a", "b", "c"]) {
        let mut channel = client.open_channel(name).await.unwrap();
        receipts.push(channel.append_row(&row(n), 7).await.unwrap());
        channels.push(channel);
    }
    let started = Instant::now();
    client.close().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(10), "nothing lags");
    for receipt in receipts {
        receipt.committed().await.unwrap();
    }
    let mut landed = world.landed();
    landed.sort_unstable();
    assert_eq!(landed, [0, 1, 2]);
    for mut channel in channels {
        let error = channel.append_row(&row(9), 9).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ClientClosed);
    }
}

#[tokio::test(start_paused = true)]
async fn all_channels_share_one_deadline_and_the_first_failure_is_returned() {
    let limit = Duration::from_secs(5);
    let world = World::new();
    let builder = world.builder().close_timeout(limit);
    let client = builder.build().await.unwrap();
    for name in ["b", "c"] {
        let never = Fault::WithholdCommits(Duration::MAX).on(Endpoint::Append);
        world.emulator.faults().push(never.channel(name));
    }
    let mut receipts = Vec::new();
    let mut channels = Vec::new();
    for (n, name) in (0..).zip(["a", "b", "c", "d"]) {
        let mut channel = client.open_channel(name).await.unwrap();
        let own = 10 * n..10 * n + n + 1;
        receipts.push(channel.append_rows(rows(own), 0..).await.unwrap());
        channels.push(channel);
    }
    let started = Instant::now();
    let error = client.close().await.unwrap_err();
    assert_eq!(started.elapsed(), limit);
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("\"b\""), "{error}");
    let uncommitted = &error.close_report().unwrap().uncommitted;
    let states: Vec<_> = uncommitted.iter().map(|r| (r.state, r.rows)).collect();
    assert_eq!(states, [(RowState::Accepted, 2)]);

    // The close also waits for channels after a slow one.
    let mut landed = world.landed();
    landed.sort_unstable();
    assert_eq!(landed, [0, 30, 31, 32, 33]);
    for (receipt, is_late) in receipts.iter().zip([false, true, true, false]) {
        let outcome = receipt.committed().await;
        assert_eq!(outcome.is_err(), is_late);
        if let Err(error) = outcome {
            assert_eq!(error.kind(), ErrorKind::ClientClosed);
            assert!(error.is_ambiguous(), "accepted rows may still land");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_refused_does_not_cut_the_others_short() {
    let world = World::new();
    let client = world.builder().max_client_lag(HOUR).build().await.unwrap();
    let faults = world.emulator.faults();
    let bad = Fault::BadRequest("ERR_BAD".to_owned()).on(Endpoint::Append);
    faults.push(bad.channel("a"));
    let slow = Fault::WithholdCommits(Duration::from_secs(20)).on(Endpoint::Append);
    faults.push(slow.channel("b"));
    let mut a = client.open_channel("a").await.unwrap();
    let mut b = client.open_channel("b").await.unwrap();
    let _ = a.append_row(&row(0), 0).await.unwrap();
    let late = b.append_row(&row(1), 0).await.unwrap();
    let error = client.close().await.unwrap_err();
    let cause = InvalidationCause::Rejected;
    assert_eq!(error.kind(), ErrorKind::Invalidated(cause), "{error}");
    late.committed().await.unwrap();
    assert_eq!(world.landed(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_flush_of_all_channels_waits_for_each() {
    let world = World::new();
    let client = world.builder().max_client_lag(HOUR).build().await.unwrap();
    let slow = Fault::Delay(Duration::from_secs(3)).on(Endpoint::Append);
    world.emulator.faults().push(slow.channel("b"));
    let mut a = client.open_channel("a").await.unwrap();
    let mut b = client.open_channel("b").await.unwrap();
    let _ = a.append_row(&row(0), 0).await.unwrap();
    let late = b.append_row(&row(1), 0).await.unwrap();
    let started = Instant::now();
    client.wait_for_flush().await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(3));
    let accepted = started.elapsed();
    late.accepted().await.unwrap();
    assert_eq!(started.elapsed(), accepted, "it was accepted already");
}
