//! Batching, concurrent requests, retries and memory of an elastic channel.

use std::time::Duration;

use futures_util::future::join_all;
use snowpipe_streaming::{ErrorKind, RowBatch};
use snowpipe_streaming_emulator::{Endpoint, Fault};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{appends, channel, landed, narrow};
use crate::support::{World, noisy, row, rows};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn many_tasks_append_through_clones_and_share_requests() {
    let world = World::new();
    let (client, channel) = channel(&world).await;
    let mut tasks = JoinSet::new();
    for task in 0..20 {
        let channel = channel.clone();
        tasks.spawn(async move {
            let mut acks = Vec::new();
            for n in 0..50 {
                let n = task * 50 + n;
                acks.push((n, channel.append_row(&row(n), n).await.unwrap()));
            }
            for (n, ack) in acks {
                let accepted = ack.await.unwrap();
                assert_eq!(accepted.tag(), &n);
                assert_eq!(
                    (accepted.retry_count(), accepted.may_be_duplicated()),
                    (0, false)
                );
                assert_eq!(accepted.request_ids().count(), 1);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    assert_eq!(appends(&world).len(), 1, "all within one lag");
    assert_eq!(landed(&world), (0..1000).collect::<Vec<_>>());
    assert_eq!(client.memory_in_use(), 0);
    let status = channel.status().await.unwrap();
    assert_eq!(
        (status.channel_name(), status.rows_inserted_count()),
        ("ELASTIC", 1000)
    );
    assert_eq!(status.latest_committed_offset_token(), None);
}

#[tokio::test(start_paused = true)]
async fn rows_wait_for_the_lag_and_not_longer() {
    let world = World::new();
    let (_client, channel) = channel(&world).await;
    let start = Instant::now();
    let first = channel.append_row(&row(1), 1).await.unwrap();
    tokio::time::sleep(SECOND / 2).await;
    let second = channel.append_row(&row(2), 2).await.unwrap();
    let ids: Vec<_> = first.await.unwrap().request_ids().collect();
    assert_eq!(start.elapsed(), SECOND);
    assert_eq!(second.await.unwrap().request_ids().collect::<Vec<_>>(), ids);
    let third = channel.append_row(&row(3), 3).await.unwrap();
    channel.initiate_flush();
    third.await.unwrap();
    assert_eq!(start.elapsed(), SECOND, "a flush does not wait");
}

#[tokio::test(start_paused = true)]
async fn several_requests_are_on_their_way_at_once() {
    let world = World::new();
    let slow = Fault::Delay(10 * SECOND).on(Endpoint::Append).always();
    world.emulator.faults().push(slow);
    for (most, builder) in [
        (4, world.builder()),
        (2, world.builder().elastic_requests(2)),
    ] {
        let client = builder.build().await.unwrap();
        let channel = client.elastic_channel();
        let before = appends(&world).len();
        let mut acks = Vec::new();
        for n in 0..6 {
            acks.push(channel.append_row(&row(n), ()).await.unwrap());
            channel.initiate_flush();
            tokio::time::sleep(SECOND / 10).await;
        }
        assert_eq!(appends(&world).len() - before, most);
        for outcome in join_all(acks).await {
            outcome.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_request_is_repeated_and_reported_as_a_possible_duplicate() {
    for (fault, times) in [
        (Fault::ApplyThenLose, 2),
        (Fault::ApplyThenHang, 2),
        (Fault::ApplyThenServerError(503), 2),
        (Fault::Cut, 2),
        (Fault::Lose, 1),
        (Fault::ServerError(500), 1),
        (Fault::Hang, 1),
    ] {
        let world = World::new();
        let (_client, channel) = channel(&world).await;
        world
            .emulator
            .faults()
            .push(fault.clone().on(Endpoint::Append));
        let ack = channel.append_row(&row(7), 70).await.unwrap();
        let accepted = ack.await.unwrap();
        assert!(accepted.may_be_duplicated(), "{fault:?}: who knows");
        assert_eq!(
            (accepted.retry_count(), *accepted.tag()),
            (1, 70),
            "{fault:?}"
        );
        let log = appends(&world);
        assert_eq!(log.len(), 2, "{fault:?}");
        let id = accepted.request_ids().next();
        for (request, retry) in log.iter().zip(0..) {
            assert_eq!(request.request_id, id, "{fault:?}");
            assert_eq!(request.retry_count, Some(retry), "{fault:?}");
            assert_eq!(
                (&request.continuation_token, &request.end_offset_token),
                (&None, &None)
            );
        }
        assert_eq!(landed(&world).len(), times, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_not_carried_out_is_repeated_unambiguously() {
    for fault in [
        Fault::Refuse,
        Fault::Throttle(None),
        Fault::Unauthorized,
        Fault::ExpireToken,
        Fault::Forbidden,
        Fault::BareNotFound,
        Fault::FailedOver,
    ] {
        let world = World::new();
        let (_client, channel) = channel(&world).await;
        world
            .emulator
            .faults()
            .push(fault.clone().on(Endpoint::Append));
        let ack = channel.append_row(&row(7), 70).await.unwrap();
        assert!(!ack.await.unwrap().may_be_duplicated(), "{fault:?}");
        assert_eq!(landed(&world), [7], "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_429_requests_go_one_by_one_for_a_while_and_not_before_the_delay() {
    let world = World::new();
    let (_client, channel) = channel(&world).await;
    let faults = world.emulator.faults();
    faults.push(Fault::Throttle(Some(7 * SECOND)).on(Endpoint::Append));
    let start = Instant::now();
    let mut acks = vec![channel.append_row(&row(0), 0).await.unwrap()];
    channel.initiate_flush();
    tokio::time::sleep(SECOND).await;
    // Each request after the first takes ten seconds.
    faults.push(Fault::Delay(10 * SECOND).on(Endpoint::Append).always());
    for n in 1..8 {
        acks.push(channel.append_row(&row(n), n).await.unwrap());
        channel.initiate_flush();
        tokio::time::sleep(SECOND / 10).await;
    }
    assert_eq!(
        appends(&world).len(),
        1,
        "nothing goes out before the delay"
    );
    let mut sent = Vec::new();
    for seconds in [8, 18] {
        tokio::time::sleep_until(start + seconds * SECOND).await;
        sent.push(appends(&world).len() - 1);
    }
    // First one request, and two after its success.
    assert_eq!(sent, [1, 3]);
    for outcome in join_all(acks).await {
        assert!(!outcome.unwrap().may_be_duplicated());
    }
    assert_eq!(landed(&world), (0..8).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_batch_too_large_for_the_server_is_split_and_the_limit_is_learned() {
    let world = narrow(60_000);
    let builder = world.builder().max_request_bytes(1 << 20);
    let client = builder.build().await.unwrap();
    let channel = client.elastic_channel();
    let mut acks = Vec::new();
    for part in 0..4 {
        let rows = noisy(part * 5_000..(part + 1) * 5_000);
        acks.push(channel.append_rows(rows, part).await.unwrap());
    }
    channel.checkpoint().await.unwrap();
    for (part, ack) in (0..).zip(acks) {
        let accepted = ack.await.unwrap();
        assert_eq!(*accepted.tag(), part);
        assert!(accepted.request_ids().count() > 5, "they came in pieces");
        assert!(!accepted.may_be_duplicated());
    }
    assert_eq!(landed(&world), (0..20_000).collect::<Vec<_>>());
    assert_eq!(client.memory_in_use(), 0);
    let log = appends(&world);
    let refused = log.iter().filter(|r| r.status == Some(413)).count();
    assert!((1..=16).contains(&refused), "{refused} of {}", log.len());
    // The halves are new rowsets: no id is used for two bodies.
    let mut ids: Vec<_> = log.iter().map(|r| &r.request_id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), log.len());
}

#[tokio::test(start_paused = true)]
#[expect(
    clippy::large_futures,
    clippy::large_stack_arrays,
    reason = "a tag that is too large"
)]
async fn rows_that_no_request_can_carry_are_refused_at_the_call() {
    let world = World::new();
    let builder = world.builder().max_request_bytes(128 << 10);
    let client = builder.memory_budget(4 << 20).build().await.unwrap();
    let channel = client.elastic_channel();
    let mut rng = fastrand::Rng::with_seed(1);
    let noise: String = std::iter::repeat_with(|| rng.alphanumeric())
        .take(300_000)
        .collect();
    let long = serde_json::json!({ "N": 1, "NOISE": noise });
    let many = || noisy(0..10_000);
    let batch = RowBatch::from_ndjson(long.to_string()).unwrap();
    for (append, why) in [
        (channel.append_row(&long, ()), "smaller row"),
        (channel.append_batch(&batch, ()), "smaller row"),
        (channel.append_rows(many(), ()), "fewer rows"),
    ] {
        let error = append.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(error.to_string().contains(why), "{error}");
        let column = "in the column \"NOISE\"";
        assert!(error.to_string().contains(column), "{error}");
    }
    let small = world.builder().memory_budget(256 << 10).build().await;
    let heavy = small.unwrap().elastic_channel();
    let append = heavy.append_row(&row(1), [0_u8; 70_000]);
    let error = append.await.unwrap_err();
    assert!(error.to_string().contains("in a `Box`"), "{error}");
    let error = channel.append_rows([1, 2], ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRow);
    channel
        .append_rows(rows(0..0), ())
        .await
        .unwrap()
        .await
        .unwrap();
    channel.checkpoint().await.unwrap();
    assert_eq!(appends(&world).len(), 0);
    assert_eq!(client.memory_in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_server_makes_appends_wait_and_the_budget_holds() {
    const BUDGET: usize = 512 << 10;
    let world = World::new();
    let client = world.builder().memory_budget(BUDGET).build().await.unwrap();
    let channel = client.elastic_channel();
    world
        .emulator
        .faults()
        .push(Fault::Refuse.on(Endpoint::Append).always());
    let mut acks = Vec::new();
    let stuck = async {
        // The acknowledgements of tiny rows take more memory than the rows.
        for n in 0.. {
            acks.push(channel.append_row(&row(n), n).await.unwrap());
            assert!(
                client.memory_in_use() <= BUDGET / 2,
                "{}",
                client.memory_in_use()
            );
        }
    };
    assert!(timeout(30 * SECOND, stuck).await.is_err(), "it waits");
    let appended = i64::try_from(acks.len()).unwrap();
    assert!((100..1000).contains(&appended), "{appended}");
    world.emulator.faults().clear();
    channel.checkpoint().await.unwrap();
    for (n, ack) in (0..).zip(acks) {
        assert_eq!(ack.await.unwrap().into_tag(), n);
    }
    assert_eq!(landed(&world), (0..appended).collect::<Vec<_>>());
    assert_eq!(client.memory_in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_append_timeout_is_backpressure_with_nothing_appended() {
    let world = World::new();
    let builder = world.builder().memory_budget(512 << 10);
    let client = builder.append_timeout(SECOND).build().await.unwrap();
    let channel = client.elastic_channel();
    world
        .emulator
        .faults()
        .push(Fault::Refuse.on(Endpoint::Append).always());
    let mut accepted = 0;
    let error = loop {
        match channel
            .append_rows(noisy(accepted * 100..(accepted + 1) * 100), accepted)
            .await
        {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Backpressure);
    assert!(error.is_retryable() && !error.is_ambiguous());
    world.emulator.faults().clear();
    channel.checkpoint().await.unwrap();
    assert_eq!(landed(&world), (0..accepted * 100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn an_append_cancelled_while_it_waits_appends_nothing() {
    let world = World::new();
    let client = world
        .builder()
        .memory_budget(512 << 10)
        .build()
        .await
        .unwrap();
    let channel = client.elastic_channel();
    world
        .emulator
        .faults()
        .push(Fault::Refuse.on(Endpoint::Append).always());
    let mut appended = 0;
    while timeout(
        SECOND,
        channel.append_rows(noisy(appended..appended + 500), ()),
    )
    .await
    .is_ok()
    {
        appended += 500;
    }
    world.emulator.faults().clear();
    channel.checkpoint().await.unwrap();
    assert_eq!(landed(&world), (0..appended).collect::<Vec<_>>());
    assert_eq!(client.memory_in_use(), 0);
}

/// A named channel whose rows the server does not take keeps an append waiting. The elastic channel has memory of its own and goes on
/// with large requests.
#[tokio::test(start_paused = true)]
async fn requests_stay_large_while_another_channel_waits_for_memory() {
    let world = World::new();
    let slow = world.transport().with_latency(Duration::from_millis(50));
    let builder = world.builder().memory_budget(1 << 20).transport(slow);
    let client = builder.build().await.unwrap();
    let mut stalled = client.open_channel("c").await.unwrap();
    let refuse = Fault::Refuse.on(Endpoint::Append).channel("c");
    world.emulator.faults().push(refuse.always());
    let channel = client.elastic_channel();
    let elastic = async {
        let mut acks = Vec::new();
        for n in 0..1_000 {
            acks.push(channel.append_row(&row(n), n).await.unwrap());
            tokio::task::yield_now().await;
        }
        for ack in acks {
            ack.await.unwrap();
        }
    };
    tokio::select! {
        _ = stalled.append_rows(noisy(0..100_000), 0..) => panic!("it waits"),
        () = elastic => {}
    }
    let requests = appends(&world).len();
    assert!(requests < 50, "{requests}");
}
