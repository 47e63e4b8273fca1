//! Opens after earlier holders, drops and closes of channels. Paused clock throughout.

use std::time::Duration;

use snowpipe_streaming::report::RowState;
use snowpipe_streaming::{ErrorKind, InvalidationCause, OnUncommitted, Recovery};
use snowpipe_streaming_emulator::{Endpoint, Fault};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::support::{World, cause, row, rows};

#[tokio::test(start_paused = true)]
async fn uncommitted_rows_of_an_earlier_holder_are_awaited_or_discarded() {
    let world = World::new();
    let first = world.client().await;
    let mut channel = first.open_channel("c").await.unwrap();
    world
        .emulator
        .faults()
        .push(Fault::WithholdCommits(Duration::from_secs(60)).on(Endpoint::Append));
    channel
        .append_row(&row(0), 0)
        .await
        .unwrap()
        .accepted()
        .await
        .unwrap();

    let second = world.client().await;
    let start = Instant::now();
    let error = second
        .open_channel("c")
        .on_uncommitted(OnUncommitted::Wait(Duration::from_secs(10)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UncommittedData);
    assert!(error.is_retryable());
    assert_eq!(start.elapsed(), Duration::from_secs(10));
    let waited = second.open_channel("c").await.unwrap();
    assert_eq!(
        waited.resume_after::<i64>().unwrap(),
        Some(0),
        "the default waits"
    );
    assert_eq!(world.landed(), [0]);
    drop(waited);

    let mut channel = first.open_channel("d").await.unwrap();
    world
        .emulator
        .faults()
        .push(Fault::WithholdCommits(Duration::MAX).on(Endpoint::Append));
    let lost = channel.append_row(&row(1), 1).await.unwrap();
    lost.accepted().await.unwrap();
    let policy = OnUncommitted::WaitThenDiscard(Duration::from_secs(5));
    let taken = second
        .open_channel("d")
        .on_uncommitted(policy)
        .await
        .unwrap();
    assert_eq!(taken.resume_after::<i64>().unwrap(), None);
    assert!(lost.committed().await.is_err());
    assert_eq!(world.landed(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_channel_drains_and_frees_its_name() {
    let world = World::new();
    let (client, mut channel) = world.channel().await;
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    drop(channel);
    assert_eq!(
        client.open_channel("C").await.unwrap_err().kind(),
        ErrorKind::ChannelAlreadyOpen,
        "still draining"
    );
    receipt.committed().await.unwrap();
    tokio::task::yield_now().await;
    let channel = client.open_channel("c").await.unwrap();
    assert_eq!(channel.resume_after::<i64>().unwrap(), Some(0));
    assert_eq!(world.landed(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_channel_works_after_its_client_is_dropped() {
    let world = World::new();
    let mut channel = async {
        let client = world.client().await;
        client.open_channel("c").await.unwrap()
    }
    .await;
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    receipt.committed().await.unwrap();
    channel.reopen().await.unwrap();
    assert_eq!(channel.resume_after::<i64>().unwrap(), Some(0));
    let _ = channel.append_row(&row(1), 1).await.unwrap();
    channel.close().await.unwrap();
    assert_eq!(world.landed(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_channel_dropped_with_its_client_drains() {
    let world = World::new();
    let (client, mut channel) = world.channel().await;
    let open = client.open_untracked_channel("d");
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    drop((client, channel));
    receipt.committed().await.unwrap();
    let mut other = open.await.unwrap();
    let last = other.append_row(&row(1)).await.unwrap();
    drop(other);
    last.committed().await.unwrap();
    assert_eq!(world.landed(), [0, 1]);
    // Neither drivers nor the status poller are left.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_abort_ends_all_channels() {
    let world = World::new();
    let (client, mut channel) = world.channel().await;
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    client.abort();
    assert_eq!(
        receipt.committed().await.unwrap_err().kind(),
        ErrorKind::ClientClosed
    );
    assert_eq!(
        channel.append_row(&row(1), 1).await.unwrap_err().kind(),
        ErrorKind::ClientClosed
    );
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.requests(Endpoint::Append), 0);
    assert_eq!(world.landed(), Vec::<i64>::new());
}

#[tokio::test(start_paused = true)]
async fn close_keeps_its_deadline_and_lists_what_is_not_committed() {
    let world = World::new();
    let client = world
        .builder()
        .close_timeout(Duration::from_secs(5))
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    world
        .emulator
        .faults()
        .push(Fault::WithholdCommits(Duration::MAX).on(Endpoint::Append));
    let accepted = channel.append_rows(rows(0..4), 0..).await.unwrap();
    accepted.accepted().await.unwrap();
    world
        .emulator
        .faults()
        .push(Fault::Hang.on(Endpoint::Append).always());
    let _ = channel.append_row(&row(4), 4).await.unwrap();
    let start = Instant::now();
    let error = channel.close().await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let states: Vec<_> = error
        .close_report()
        .unwrap()
        .uncommitted
        .iter()
        .map(|r| (r.state, r.rows, r.first.clone(), r.last.clone()))
        .collect();
    let expected = [
        (RowState::Accepted, 4, Some(0.into()), Some(3.into())),
        (RowState::Sent, 1, Some(4.into()), Some(4.into())),
    ];
    assert_eq!(states, expected);
    assert_eq!(world.landed(), Vec::<i64>::new());
    assert_eq!(client.memory_in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_channel_that_cannot_be_opened_again_is_given_up_in_time() {
    let world = World::new();
    let builder = world.builder().recovery(Recovery::Replay);
    let client = builder.build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let faults = world.emulator.faults();
    let must = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
    faults.push(must.on(Endpoint::Append));
    faults.push(Fault::Refuse.on(Endpoint::Open).always());
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    drop(channel);
    let started = Instant::now();
    let error = receipt.committed().await.unwrap_err();
    assert_eq!(started.elapsed(), Duration::from_secs(120), "{error}");
    faults.clear();
    tokio::task::yield_now().await;
    let channel = client.open_channel("c").await.unwrap();
    assert_eq!(channel.resume_after::<i64>().unwrap(), None);
    assert_eq!(client.memory_in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_close_keeps_its_deadline() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    let never = Fault::WithholdCommits(Duration::MAX).on(Endpoint::Append);
    world.emulator.faults().push(never);
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    receipt.accepted().await.unwrap();
    let started = Instant::now();
    let half = tokio::time::timeout(Duration::from_secs(30), channel.close());
    assert!(half.await.is_err());
    receipt.committed().await.unwrap_err();
    assert_eq!(started.elapsed(), Duration::from_secs(120));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_reopen_leaves_the_channel_invalidated() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    let given_up = channel.append_row(&row(0), 0).await.unwrap();
    world.emulator.faults().push(Fault::Hang.on(Endpoint::Open));
    // The lag of the row passes meanwhile.
    let half = tokio::time::timeout(Duration::from_secs(5), channel.reopen());
    assert!(half.await.is_err());
    let error = given_up.committed().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ChannelClosed);
    let error = channel.append_row(&row(1), 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ChannelClosed);
    assert_eq!(world.requests(Endpoint::Append), 0);
    channel.reopen().await.unwrap();
    assert_eq!(channel.resume_after::<i64>().unwrap(), None);
    drop(channel.append_rows(rows(0..2), 0..).await.unwrap());
    channel.close().await.unwrap();
    assert_eq!(world.landed(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_name_is_free_as_soon_as_its_close_returns() {
    let world = World::new();
    let (client, mut channel) = world.channel().await;
    let faults = world.emulator.faults();
    faults.push(Fault::WithholdCommits(Duration::MAX).on(Endpoint::Append));
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    receipt.accepted().await.unwrap();
    // The poller ends the channel: the close returns before the driver runs again.
    faults.push(Fault::Absent.on(Endpoint::Status).always());
    let closing = tokio::spawn(async move {
        let error = channel.close().await.unwrap_err();
        let discard = OnUncommitted::Discard;
        (
            error,
            client.open_channel("c").on_uncommitted(discard).await,
        )
    });
    let (error, again) = closing.await.unwrap();
    assert_eq!(cause(&error), InvalidationCause::Gone);
    again.unwrap();
}
