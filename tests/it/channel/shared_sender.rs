//! Senders that own an untracked channel together. Paused clock throughout.

use std::time::Duration;

use snowpipe_streaming::{
    ChannelSender, ErrorKind, InvalidationCause, Recovery, StreamingIngestClient,
};
use snowpipe_streaming_emulator::{Endpoint, Fault};
use tokio::time::sleep;

use crate::support::{World, cause, row, rows};

fn must_reopen() -> Fault {
    Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned())
}

/// The channel is a temporary value.
async fn sender(client: &StreamingIngestClient) -> ChannelSender {
    let channel = client.open_untracked_channel("u").await.unwrap();
    channel.into_sender()
}

#[tokio::test(start_paused = true)]
async fn a_sender_of_a_temporary_channel_keeps_it_open() {
    let world = World::new();
    let client = world.client().await;
    let rides = sender(&client).await;
    let other = rides.clone();
    rides.append_row(&row(0)).await.unwrap();
    drop(rides);
    sleep(Duration::from_secs(600)).await;
    let receipt = other.append_rows(rows(1..4)).await.unwrap();
    receipt.committed().await.unwrap();
    let report = other.close().await.unwrap();
    assert!(
        report.is_clean() && report.rows_committed == 4,
        "{report:?}"
    );
    assert_eq!(world.landed(), [0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn the_channel_drains_with_its_last_sender() {
    let world = World::new();
    let client = world.client().await;
    let rides = sender(&client).await;
    let receipt = rides.append_rows(rows(0..10)).await.unwrap();
    drop((rides.clone(), rides));
    receipt.committed().await.unwrap();
    assert_eq!(world.landed(), (0..10).collect::<Vec<_>>());
    drop(client);
    // Neither the owner nor drivers nor the status poller are left.
    sleep(Duration::from_secs(60)).await;
    let metrics = tokio::runtime::Handle::current().metrics();
    assert_eq!(metrics.num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_clone_closes_the_channel_for_all() {
    let world = World::new();
    let client = world.client().await;
    let rides = sender(&client).await;
    let other = rides.clone();
    assert!(!other.is_closed());
    rides.append_row(&row(0)).await.unwrap();
    rides.close().await.unwrap();
    let error = other.append_row(&row(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ChannelClosed);
    assert!(other.is_closed());
    assert!(other.take_uncommitted_rows().await.is_empty());
    assert_eq!(
        other.close().await.unwrap_err().kind(),
        ErrorKind::ChannelClosed
    );
    assert_eq!(world.landed(), [0]);
}

/// Each recovery by the owner takes longer than the one before. Rows that were given up are handed back, and those that nobody
/// takes are in the error of the close.
#[tokio::test(start_paused = true)]
async fn an_invalidated_channel_is_opened_again_by_itself() {
    let world = World::new();
    let builder = world.builder().recovery(Recovery::Surface);
    let client = builder.build().await.unwrap();
    let rides = sender(&client).await;
    let faults = world.emulator.faults();
    for n in 0..2 {
        faults.push(must_reopen().on(Endpoint::Append));
        let lost = rides.append_row(&row(n)).await.unwrap();
        let error = lost.committed().await.unwrap_err();
        assert_eq!(cause(&error), InvalidationCause::MustReopen);
        let error = rides.append_row(&row(9)).await.unwrap_err();
        assert_eq!(cause(&error), InvalidationCause::MustReopen);
        sleep(Duration::from_secs(3)).await;
        if n == 0 {
            let rows = rides.take_uncommitted_rows().await;
            assert_eq!((rows.unsent_count(), rows.sent_count()), (1, 0));
            let again = rides.append_batch(&rows.unsent().unwrap()).await;
            again.unwrap().committed().await.unwrap();
        }
    }
    rides
        .append_row(&row(2))
        .await
        .unwrap()
        .committed()
        .await
        .unwrap();
    let error = rides.close().await.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::MustReopen);
    assert_eq!(error.uncommitted_rows().unwrap().unsent_count(), 1);
    assert!(error.close_report().unwrap().uncommitted.is_empty());
    assert_eq!(world.landed(), [0, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_reopen_that_fails_is_tried_again() {
    let world = World::new();
    let builder = world.builder().recovery(Recovery::Surface);
    let client = builder.build().await.unwrap();
    let rides = sender(&client).await;
    let faults = world.emulator.faults();
    faults.push(must_reopen().on(Endpoint::Append));
    faults.push(Fault::Refuse.on(Endpoint::Open).always());
    let lost = rides.append_row(&row(0)).await.unwrap();
    lost.committed().await.unwrap_err();
    sleep(Duration::from_secs(600)).await;
    rides.append_row(&row(1)).await.unwrap_err();
    faults.clear();
    sleep(Duration::from_secs(180)).await;
    rides.append_row(&row(1)).await.unwrap();
    drop(rides.take_uncommitted_rows().await);
    rides.close().await.unwrap();
    assert_eq!(world.landed(), [1]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_client_ends_the_owner() {
    let world = World::new();
    let client = world.client().await;
    let rides = sender(&client).await;
    client.close().await.unwrap();
    let error = rides.append_row(&row(0)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClientClosed);
    drop(rides);
    sleep(Duration::from_secs(60)).await;
    let metrics = tokio::runtime::Handle::current().metrics();
    assert_eq!(metrics.num_alive_tasks(), 0);
}

/// Handlers that spool rows ask for them all the time. The owner opens the channel again nevertheless.
#[tokio::test(start_paused = true)]
async fn taking_rows_does_not_delay_the_reopen() {
    let world = World::new();
    let builder = world.builder().recovery(Recovery::Surface);
    let client = builder.build().await.unwrap();
    let rides = sender(&client).await;
    world
        .emulator
        .faults()
        .push(must_reopen().on(Endpoint::Append));
    let lost = rides.append_row(&row(0)).await.unwrap();
    lost.committed().await.unwrap_err();
    let mut unsent = 0;
    for _ in 0..100 {
        unsent += rides.take_uncommitted_rows().await.unsent_count();
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(unsent, 1);
    rides.append_row(&row(1)).await.unwrap();
    rides.close().await.unwrap();
    assert_eq!(world.landed(), [1]);
}
