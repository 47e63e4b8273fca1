//! Opening, reopening and dropping channels when the server's answers are unusual or the client is dropped meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use snowpipe_streaming::{ErrorKind, OnUncommitted, Recovery};
use snowpipe_streaming_emulator::{Endpoint, Fault};
use tokio::time::Instant;

use crate::support::{World, answer, row};

#[tokio::test(start_paused = true)]
async fn an_open_ends_if_the_server_does_not_discard_rows() {
    let world = World::new();
    let opens = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&opens);
    let client = world
        .intercepted(move |request| {
            (request.method() == "PUT").then(|| {
                // A timeout could not end a loop that never yields.
                assert!(seen.fetch_add(1, Ordering::Relaxed) < 100, "a busy loop");
                answer(409, &json!({"code": "ERR_CHANNEL_HAS_UNCOMMITTED_DATA"}))
            })
        })
        .build()
        .await
        .unwrap();
    for policy in [
        OnUncommitted::Discard,
        OnUncommitted::WaitThenDiscard(Duration::from_secs(1)),
    ] {
        let error = client
            .open_channel("c")
            .on_uncommitted(policy)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UncommittedData, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_that_waits_returns_when_the_client_is_closed() {
    let world = World::new();
    let client = world.client().await;
    world
        .emulator
        .faults()
        .push(Fault::Refuse.on(Endpoint::Open).always());
    let opening = tokio::spawn(client.open_channel("c").into_future());
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.close().await.unwrap();
    let start = Instant::now();
    let error = opening.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClientClosed);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_drop_whose_answer_was_lost_succeeds() {
    let world = World::new();
    let client = world.client().await;
    client
        .open_channel("c")
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
    world
        .emulator
        .faults()
        .push(Fault::ApplyThenLose.on(Endpoint::Drop));
    let dropping = client.clone();
    tokio::spawn(async move { dropping.drop_channel("c").await })
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        client.drop_channel("c").await.unwrap_err().kind(),
        ErrorKind::NotFound,
        "the second is another matter"
    );
}

#[tokio::test(start_paused = true)]
async fn a_name_that_no_channel_can_have_is_neither_opened_nor_dropped() {
    let world = World::new();
    let client = world.client().await;
    let long = "x".repeat(256);
    for name in ["", "ELASTIC", "Elastic", &long] {
        let open = client.open_channel(name).await.unwrap_err();
        let drop = client.drop_channel(name).await.unwrap_err();
        for error in [open, drop] {
            assert_eq!(error.kind(), ErrorKind::Config, "{name:?}: {error}");
        }
    }
    assert_eq!(world.requests(Endpoint::Open), 0);
    assert_eq!(world.requests(Endpoint::Drop), 0);
}

#[tokio::test(start_paused = true)]
async fn receipts_resolve_correctly_after_a_failed_reopen() {
    let world = World::with(|e| e.commit_delay(Duration::from_secs(5)));
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    receipt.accepted().await.unwrap();
    world
        .emulator
        .faults()
        .push(Fault::Forbidden.on(Endpoint::Open).always());
    channel.reopen().await.unwrap_err();
    receipt.committed().await.unwrap();
    assert_eq!(world.landed(), [0]);
    // The name is free again when the old channel has ended.
    world.emulator.faults().clear();
    channel.reopen().await.unwrap();
    assert_eq!(channel.resume_after::<i64>().unwrap(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_reopen_decides_about_rows_sent_before_it() {
    let world = World::new();
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    world
        .emulator
        .faults()
        .push(Fault::WithholdCommits(Duration::MAX).on(Endpoint::Append));
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    receipt.accepted().await.unwrap();
    drop(client.open_channel("c").await.unwrap_err());
    world.emulator.faults().clear();
    let taker = world.client().await;
    let policy = OnUncommitted::Discard;
    drop(
        taker
            .open_channel("c")
            .on_uncommitted(policy)
            .await
            .unwrap(),
    );
    channel.reopen().await.unwrap();
    let error = receipt.committed().await.unwrap_err();
    assert!(
        !error.is_ambiguous(),
        "the new hold's token says that they are not in the table"
    );
    assert_eq!(world.landed(), Vec::<i64>::new());
}

#[tokio::test(start_paused = true)]
async fn a_channel_opened_in_another_case_is_followed_by_the_servers_name() {
    for recovery in [Recovery::Surface, Recovery::Replay] {
        let world = World::new();
        let earlier = world.client().await;
        let mut channel = earlier.open_channel("Rides").await.unwrap();
        let receipt = channel.append_row(&row(0), 0).await.unwrap();
        receipt.committed().await.unwrap();
        drop((channel, earlier));

        let client = world.builder().recovery(recovery).build().await.unwrap();
        let mut channel = client.open_channel("RIDES").await.unwrap();
        assert_eq!(channel.name(), "Rides");
        assert_eq!(channel.resume_after::<i64>().unwrap(), Some(0));
        assert_eq!(channel.status().await.unwrap().channel_name(), "Rides");
        let receipt = channel.append_row(&row(1), 1).await.unwrap();
        receipt.committed().await.unwrap();
        // The channel is idle and reopened.
        tokio::time::sleep(Duration::from_secs(120)).await;
        let must = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
        world.emulator.faults().push(must.on(Endpoint::Append));
        if recovery == Recovery::Surface {
            let receipt = channel.append_row(&row(2), 2).await.unwrap();
            receipt.committed().await.unwrap_err();
            channel.reopen().await.unwrap();
            assert_eq!(channel.name(), "Rides");
        }
        let receipt = channel.append_row(&row(2), 2).await.unwrap();
        receipt.committed().await.unwrap();
        assert!(channel.error_table_sql("T").contains("= 'Rides'"));
        // In this client the name stays in use until the channel is closed.
        let error = client.open_channel("rides").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ChannelAlreadyOpen);
        channel.close().await.unwrap();
        let again = client.open_channel("rides").await.unwrap();
        assert_eq!(again.name(), "Rides");
        assert_eq!(world.landed(), [0, 1, 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_answered_without_a_status_is_followed_by_a_status_call() {
    let world = World::new();
    let (earlier, mut channel) = world.channel().await;
    let receipt = channel.append_row(&row(6), 6).await.unwrap();
    receipt.committed().await.unwrap();
    drop((channel, earlier));
    let opens = || {
        world.intercepted(|request| {
            let bare = json!({ "next_continuation_token": "0_2" });
            (request.method() == "PUT").then(|| answer(200, &bare))
        })
    };
    let faults = world.emulator.faults();
    // A replica that does not know the channel, one that is away, and one that lags: its status is from before the commit.
    for fault in [
        Fault::Absent,
        Fault::ServerError(503),
        Fault::StaleStatus(Duration::from_secs(20)),
    ] {
        faults.push(fault.clone().on(Endpoint::Status));
        let client = opens().build().await.unwrap();
        let channel = client.open_channel("c").await.unwrap();
        let resumes_after = channel.resume_after::<i64>().unwrap();
        assert_eq!(resumes_after, Some(6), "{fault:?}");
    }
    faults.push(Fault::Forbidden.on(Endpoint::Status).always());
    let client = opens().build().await.unwrap();
    let error = client.open_channel("c").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_channel_is_not_reopened_over_another_one_of_its_name() {
    let world = World::new();
    let (client, mut first) = world.channel().await;
    let refusal = Fault::BadRequest("NEW".to_owned()).on(Endpoint::Append);
    world.emulator.faults().push(refusal);
    let refused = first.append_row(&row(0), 0).await.unwrap();
    refused.committed().await.unwrap_err();
    tokio::task::yield_now().await;
    let mut second = client.open_channel("C").await.unwrap();
    let error = first.reopen().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ChannelAlreadyOpen);
    let receipt = second.append_row(&row(0), 0).await.unwrap();
    receipt.committed().await.unwrap();
    assert_eq!(world.requests(Endpoint::Open), 2);
    second.close().await.unwrap();
    first.reopen().await.unwrap();
    assert_eq!(first.resume_after::<i64>().unwrap(), Some(0));
    assert_eq!(world.landed(), [0]);
}
