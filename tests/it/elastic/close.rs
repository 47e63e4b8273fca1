//! How an elastic channel ends, and what happens to its rows.

use std::time::Duration;

use snowpipe_streaming::{ErrorKind, PipePath};
use snowpipe_streaming_emulator::{Endpoint, Fault};
use tokio::time::Instant;

use super::{appends, channel, landed};
use crate::support::{World, row, rows};

#[tokio::test(start_paused = true)]
async fn a_close_sends_the_remaining_rows_and_ends_all_clones() {
    let world = World::new();
    let (client, channel) = channel(&world).await;
    let clone = channel.clone();
    let ack = clone.append_rows(rows(0..10), 1).await.unwrap();
    let start = Instant::now();
    assert!(!clone.is_closed());
    channel.close().await.unwrap();
    assert_eq!(
        start.elapsed(),
        Duration::ZERO,
        "without waiting for the lag"
    );
    assert!(ack.await.is_ok() && clone.is_closed());
    let error = clone.append_row(&row(1), 2).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ChannelClosed);
    clone.checkpoint().await.unwrap();
    clone.close().await.unwrap();
    assert_eq!(landed(&world), (0..10).collect::<Vec<_>>());
    assert_eq!(client.memory_in_use(), 0);
    let another = client.elastic_channel();
    another
        .append_row(&row(10), ())
        .await
        .unwrap()
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_close_keeps_its_deadline_and_hands_back_the_rest() {
    let world = World::new();
    let builder = world
        .builder()
        .close_timeout(Duration::from_secs(5))
        .elastic_requests(1);
    let client = builder.build().await.unwrap();
    let channel = client.elastic_channel();
    world
        .emulator
        .faults()
        .push(Fault::Hang.on(Endpoint::Append).always());
    for n in 0..3 {
        drop(channel.append_row(&row(n), n).await.unwrap());
        channel.initiate_flush();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let start = Instant::now();
    let error = channel.close().await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    assert_eq!(error.error().kind(), ErrorKind::Timeout);
    let mut failed: Vec<_> = error
        .failed()
        .iter()
        .map(|failed| {
            (
                *failed.tag(),
                failed.is_ambiguous(),
                failed.rows().unwrap().len(),
            )
        })
        .collect();
    failed.sort_unstable();
    // The first batch was sent and not answered; the others were not sent.
    assert_eq!(failed, [(0, true, 1), (1, false, 1), (2, false, 1)]);
    assert_eq!(client.memory_in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_channel_continues_in_the_background() {
    let world = World::new();
    let (client, channel) = channel(&world).await;
    world
        .emulator
        .faults()
        .push(Fault::Refuse.on(Endpoint::Append).times(3));
    let ack = channel.append_rows(rows(0..10), 1).await.unwrap();
    drop(channel);
    assert_eq!(ack.await.unwrap().into_tag(), 1);
    assert_eq!(landed(&world), (0..10).collect::<Vec<_>>());
    assert_eq!(client.memory_in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_channel_works_after_its_client_is_dropped() {
    let world = World::new();
    let (client, channel) = channel(&world).await;
    drop(client);
    drop(channel.append_row(&row(1), 1).await.unwrap());
    channel.checkpoint().await.unwrap();
    let ack = channel.append_row(&row(2), 2).await.unwrap();
    drop(channel);
    assert_eq!(ack.await.unwrap().tag(), &2);
    assert_eq!(landed(&world), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn an_abort_hands_everything_back() {
    let world = World::new();
    let (client, channel) = channel(&world).await;
    world
        .emulator
        .faults()
        .push(Fault::Hang.on(Endpoint::Append).always());
    let sent = channel.append_row(&row(1), 1).await.unwrap();
    channel.initiate_flush();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let open = channel.append_row(&row(2), 2).await.unwrap();
    client.abort();
    for (ack, ambiguous) in [(sent, true), (open, false)] {
        let failed = ack.await.unwrap_err();
        assert_eq!(failed.error().kind(), ErrorKind::ClientClosed);
        assert_eq!(failed.is_ambiguous(), ambiguous, "tag {}", failed.tag());
        assert_eq!(failed.rows().unwrap().len(), 1);
    }
    let error = channel.append_row(&row(3), 3).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClientClosed);
}

#[tokio::test(start_paused = true)]
async fn a_close_of_the_client_sends_the_remaining_rows() {
    let world = World::new();
    let (client, channel) = channel(&world).await;
    drop(channel.append_rows(rows(0..10), 1).await.unwrap());
    client.close().await.unwrap();
    assert_eq!(landed(&world), (0..10).collect::<Vec<_>>());
    let error = channel.append_row(&row(1), 2).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClientClosed);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_returns_the_unreported_failures() {
    let world = World::new();
    let (client, channel) = channel(&world).await;
    let refused = Fault::BadRequest("ERR_BAD_ROWS".to_owned());
    world.emulator.faults().push(refused.on(Endpoint::Append));
    drop(channel.append_row(&row(1), 1).await.unwrap());
    let error = client.close().await.unwrap_err();
    assert_eq!(error.code(), Some("ERR_BAD_ROWS"));
    let error = channel.checkpoint().await.unwrap_err();
    assert_eq!(error.into_failed()[0].tag(), &1);

    let world = World::new();
    let builder = world.builder().close_timeout(Duration::from_secs(5));
    let client = builder.build().await.unwrap();
    let channel = client.elastic_channel();
    world
        .emulator
        .faults()
        .push(Fault::Hang.on(Endpoint::Append).always());
    let ack = channel.append_row(&row(1), ()).await.unwrap();
    let start = Instant::now();
    assert_eq!(client.close().await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    assert!(ack.await.unwrap_err().is_ambiguous());
}

#[tokio::test(start_paused = true)]
async fn a_channel_of_a_closed_client_accepts_nothing() {
    let world = World::new();
    let client = world.client().await;
    client.clone().close().await.unwrap();
    let channel = client.elastic_channel();
    match channel.append_row(&row(1), 7).await {
        Ok(ack) => {
            let failed = ack.await.unwrap_err();
            assert_eq!(
                (failed.error().kind(), *failed.tag()),
                (ErrorKind::ClientClosed, 7)
            );
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::ClientClosed),
    }
}

#[tokio::test(start_paused = true)]
async fn accepted_rows_survive_a_server_that_loses_its_buffer() {
    use snowpipe_streaming_emulator::MemoryStorage;
    let memory = MemoryStorage::new();
    let world = World::with(|e| e.memory(memory.clone()));
    let (_client, channel) = channel(&world).await;
    drop(channel.append_rows(rows(0..10), 1).await.unwrap());
    channel.checkpoint().await.unwrap();
    drop(world);
    let world = World::with(|e| e.memory(memory).lose_buffer(true));
    assert_eq!(landed(&world), (0..10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_tables_default_pipe_has_an_elastic_channel_too() {
    let world = World::new();
    let pipe = PipePath::for_table("DB", "PUBLIC", "RIDES").unwrap();
    let client = world.builder_for(pipe).build().await.unwrap();
    let channel = client.elastic_channel();
    channel
        .append_rows(rows(0..3), ())
        .await
        .unwrap()
        .await
        .unwrap();
    world.emulator.commit_now();
    let landed = world.emulator.rows("DB.PUBLIC.RIDES").unwrap();
    let contents: Vec<_> = landed.iter().map(|row| row["ROW"].clone()).collect();
    assert_eq!(contents, rows(0..3));
    assert_eq!(
        channel.status().await.unwrap().pipe_name(),
        "RIDES-STREAMING"
    );
    assert_eq!(appends(&world)[0].channels, ["ELASTIC"]);
}
