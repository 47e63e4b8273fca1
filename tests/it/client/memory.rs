//! The byte budget: appends wait for memory, and every path returns its charges.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use snowpipe_streaming::{ErrorKind, PipePath, RowBatch};
use snowpipe_streaming_emulator::{Endpoint, Fault};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{World, ndjson, noisy, row, rows};

const BUDGET: usize = 512 << 10;

#[tokio::test(start_paused = true)]
async fn a_stalled_server_makes_appends_wait_and_the_budget_holds() {
    let world = World::new();
    let client = world.builder().memory_budget(BUDGET).build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    world
        .emulator
        .faults()
        .push(Fault::Refuse.on(Endpoint::Append).always());
    let mut most = 0;
    let watch = async {
        for _ in 0..3_000 {
            most = most.max(client.memory_in_use());
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        _ = channel.append_rows(noisy(0..20_000), 0..) => panic!("it waits"),
        () = watch => {}
    }
    assert!((1..=BUDGET).contains(&most), "{most}");
    assert_eq!(world.landed(), Vec::<i64>::new());
    let reached = channel.last_appended().unwrap().parse::<i64>().unwrap();
    assert!(
        reached > 0 && reached < 20_000,
        "a prefix was appended: {reached}"
    );

    world.emulator.faults().clear();
    channel
        .append_rows(noisy(reached + 1..20_000), reached + 1..)
        .await
        .unwrap()
        .committed()
        .await
        .unwrap();
    assert_eq!(world.landed(), (0..20_000).collect::<Vec<_>>());
    channel.close().await.unwrap();
    assert_eq!(client.memory_in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_channel_cannot_use_the_whole_budget() {
    let world = World::new();
    let client = world.builder().memory_budget(BUDGET).build().await.unwrap();
    let mut greedy = client.open_channel("greedy").await.unwrap();
    world.emulator.faults().push(
        Fault::Refuse
            .on(Endpoint::Append)
            .channel("greedy")
            .always(),
    );
    let wait = greedy.append_rows(noisy(0..20_000), 0..);
    assert!(
        tokio::time::timeout(Duration::from_secs(5), wait)
            .await
            .is_err()
    );
    assert!(client.memory_in_use() <= BUDGET / 2);
    let mut modest = client.open_channel("modest").await.unwrap();
    modest
        .append_rows(rows(0..100), 0..)
        .await
        .unwrap()
        .committed()
        .await
        .unwrap();
    assert_eq!(world.landed(), (0..100).collect::<Vec<_>>());
    assert!(greedy.last_appended().is_some());
}

#[tokio::test(start_paused = true)]
async fn an_append_timeout_is_backpressure_with_nothing_appended() {
    let world = World::new();
    let client = world
        .builder()
        .memory_budget(BUDGET)
        .append_timeout(Duration::from_secs(2))
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    world
        .emulator
        .faults()
        .push(Fault::Refuse.on(Endpoint::Append).always());
    let mut next = 0;
    let error = loop {
        match channel
            .append_row(&noisy(next..next + 1).next(), next)
            .await
        {
            Ok(_) => next += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Backpressure);
    assert!(error.is_retryable());
    assert_eq!(
        channel.last_appended().unwrap().parse::<i64>().unwrap(),
        next - 1
    );
    let batch = RowBatch::from_ndjson(ndjson(&rows(next..next + 4_000))).unwrap();
    let error = channel.try_append_batch(&batch, next..).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Backpressure);
    world.emulator.faults().clear();
    channel.wait_for_commit().await.unwrap();
    channel
        .try_append_batch(&batch, next..)
        .unwrap()
        .committed()
        .await
        .unwrap();
    assert_eq!(world.landed(), (0..next + 4_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_batch_under_long_tokens_is_appended_whole_or_refused() {
    let world = World::new();
    let client = world.builder().memory_budget(BUDGET).build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let token = |letter: &str, n: i64| format!("{}{n:04}", letter.repeat(400));
    let refuse = Fault::Refuse.on(Endpoint::Append).always();
    world.emulator.faults().push(refuse);
    let mut appended = 0;
    let refused = loop {
        let n = appended;
        let batch = RowBatch::from_ndjson(ndjson(&rows(10 * n..10 * n + 10))).unwrap();
        let tokens = (token("a", n), token("b", n));
        match channel.try_append_batch(&batch, tokens) {
            Ok(_) => appended += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::Backpressure);
    assert!(appended > 100, "{appended}");
    world.emulator.faults().clear();
    channel.close().await.unwrap();
    assert_eq!(world.landed(), (0..10 * appended).collect::<Vec<_>>());
    assert_eq!(client.memory_in_use(), 0);
}

/// With many waiting channels, an append needs all of its channel's memory. It must not wait for its own bytes, or for those of
/// another waiting append.
#[tokio::test(start_paused = true)]
async fn an_append_holds_nothing_while_it_waits() {
    let world = World::new();
    let lag = Duration::from_secs(60);
    let builder = world.builder().max_client_lag(lag);
    let builder = builder.memory_budget(256 << 10).channel_memory(256 << 10);
    let client = builder.build().await.unwrap();
    let open = async |name: &str| client.open_untracked_channel(name).await.unwrap();
    for (channel, seconds) in [("first", 30), ("filler", 5)] {
        let slow = Fault::Delay(Duration::from_secs(seconds)).on(Endpoint::Append);
        world.emulator.faults().push(slow.channel(channel));
    }
    // While its request is unanswered, its batch stays open, and the next piece costs less there than it was charged.
    let mut first = open("first").await;
    first.append_row(&row(0)).await.unwrap();
    first.initiate_flush();
    sleep(Duration::from_secs(1)).await;
    first.append_row(&row(1)).await.unwrap();
    let mut filler = open("filler").await;
    let filling = filler.append_rows(noisy(1_000..2_400)).await.unwrap();
    filler.initiate_flush();
    sleep(Duration::from_secs(1)).await;
    // By now the batch in flight is compressed.
    filler.append_rows(noisy(2_400..2_760)).await.unwrap();
    let mut appends = JoinSet::new();
    appends.spawn(async move {
        first.append_rows(noisy(2..1_000)).await.unwrap();
        first
    });
    let mut landing: Vec<_> = (0..2_760).collect();
    for n in (0..20).map(|n| 3_000 + 150 * n) {
        sleep(Duration::from_millis(1)).await;
        let mut other = open(&n.to_string()).await;
        let rows: Vec<_> = noisy(n..n + 150).collect();
        let batch = RowBatch::from_ndjson(ndjson(&rows)).unwrap();
        landing.extend(n..n + 150);
        appends.spawn(async move {
            other.append_batch(&batch).await.unwrap();
            other
        });
    }
    let hour = Duration::from_secs(3_600);
    let channels = timeout(hour, appends.join_all()).await;
    for channel in channels.expect("none waits forever") {
        channel.close().await.unwrap();
    }
    filling.accepted().await.unwrap();
    filler.close().await.unwrap();
    let mut landed = world.landed();
    landed.sort_unstable();
    assert_eq!(landed, landing);
    assert_eq!(client.memory_in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_append_that_waits_returns_at_once_when_the_channel_is_invalidated() {
    let world = World::new();
    let client = world.builder().memory_budget(BUDGET).build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    world
        .emulator
        .faults()
        .push(Fault::Refuse.on(Endpoint::Append).times(3));
    world
        .emulator
        .faults()
        .push(Fault::Stale.on(Endpoint::Append).after(3).always());
    let emulator = world.emulator.clone();
    let refusal = async {
        while !emulator.faults().injected().contains_key("stale") {
            sleep(Duration::from_millis(1)).await;
        }
        Instant::now()
    };
    let append = async {
        let error = channel.append_rows(noisy(0..20_000), 0..).await;
        (error.unwrap_err(), Instant::now())
    };
    let (refused, (error, returned)) = tokio::join!(refusal, append);
    assert!(matches!(error.kind(), ErrorKind::Invalidated(_)), "{error}");
    assert!(
        returned <= refused,
        "{:?} after the refusal",
        returned - refused
    );
    assert_eq!(world.landed(), Vec::<i64>::new());
    assert_eq!(client.memory_in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_unit_is_not_appended_at_all() {
    let world = World::new();
    let client = world.builder().memory_budget(BUDGET).build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    world
        .emulator
        .faults()
        .push(Fault::Refuse.on(Endpoint::Append).always());
    let mut next = 0;
    loop {
        let unit = channel.append_rows(noisy(next..next + 500), next..=next + 499);
        match tokio::time::timeout(Duration::from_secs(1), unit).await {
            Ok(receipt) => drop(receipt.unwrap()),
            Err(_) => break,
        }
        next += 500;
    }
    assert_eq!(
        channel.last_appended().unwrap().parse::<i64>().unwrap(),
        next - 1
    );
    world.emulator.faults().clear();
    channel
        .append_rows(rows(next..next + 500), next..=next + 499)
        .await
        .unwrap()
        .committed()
        .await
        .unwrap();
    assert_eq!(world.landed(), (0..next + 500).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_unit_too_large_for_the_budget_is_refused_without_waiting() {
    let world = World::new();
    let client = world.builder().memory_budget(BUDGET).build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let start = Instant::now();
    let error = channel
        .append_rows(noisy(0..10_000), 0..=9_999)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(
        error.to_string().contains("raise the memory budget"),
        "{error}"
    );
    assert_eq!(client.memory_in_use(), 0);
    channel
        .append_row(&row(0), 0)
        .await
        .unwrap()
        .committed()
        .await
        .unwrap();
    assert_eq!(world.landed(), [0]);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_two_full_batches_wait_to_be_compressed() {
    let world = World::new();
    let client = world
        .builder()
        .memory_budget(128 << 20)
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let rows = long_batch();
    let mut append = channel.append_batch(&rows, 0..);
    assert!(futures_util::poll!(&mut append).is_pending());
    let in_use = client.memory_in_use();
    assert!(in_use > 3 << 20, "two batches of 2 MiB: {in_use}");
    assert!(in_use < 5 << 20, "and not more: {in_use}");
    append.await.unwrap().committed().await.unwrap();

    // An append that does not wait is refused only for lack of memory.
    channel
        .try_append_batch(&rows, 1_000..)
        .unwrap()
        .committed()
        .await
        .unwrap();
    let (mut expected, again) = (long_rows(), long_rows());
    expected.extend(again);
    assert!(world.landed_rows() == expected);
}

#[tokio::test(start_paused = true)]
async fn an_append_that_waits_for_the_driver_learns_of_the_end() {
    let world = World::new();
    let client = world.builder().build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let mut append = channel.append_batch(&long_batch(), 0..);
    assert!(futures_util::poll!(&mut append).is_pending());
    client.abort();
    let error = append.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClientClosed);
}

/// Rows of 64 KiB each, 20 MiB in all. Neighbours differ in every byte of the note.
fn long_rows() -> Vec<Value> {
    let letters = ('a'..='z').cycle();
    let notes = letters.map(|letter| letter.to_string().repeat(64 << 10));
    let rows = (0..320).zip(notes);
    rows.map(|(n, note)| json!({ "N": n, "NOTE": note }))
        .collect()
}

/// These rows encoded: to append them takes no time.
fn long_batch() -> RowBatch {
    RowBatch::from_ndjson(ndjson(&long_rows())).unwrap()
}

#[tokio::test(start_paused = true)]
async fn rows_that_were_bytes_are_let_go_of_once_they_are_appended() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    let held = Arc::new(row(1).to_string() + "\n");
    let bytes = Bytes::from_owner(Held(Arc::clone(&held)));
    let batch = RowBatch::from_ndjson(bytes).unwrap();
    channel.append_batch(&batch, 1..).await.unwrap();
    channel.try_append_batch(&batch, 2..).unwrap();
    drop(batch);
    assert_eq!(Arc::strong_count(&held), 1, "the channel keeps none of it");
    channel.wait_for_commit().await.unwrap();
    assert_eq!(world.landed(), [1, 1]);
}

struct Held(Arc<String>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

#[tokio::test(start_paused = true)]
async fn there_is_no_backpressure_while_there_is_memory() {
    let world = World::new();
    let builder = world.builder().append_timeout(Duration::ZERO);
    let client = builder.build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_batch(&long_batch(), 0..).await.unwrap();
    receipt.committed().await.unwrap();
    assert!(world.landed_rows() == long_rows());
}

/// Channels whose rows the server does not take fill what they may, row by row. The others go on, and so do those of another pipe
/// and elastic ones.
#[tokio::test(start_paused = true)]
async fn channels_that_stand_still_leave_memory_to_the_others() {
    for stalled in [2_usize, 5] {
        let world = World::new();
        let client = world.builder().memory_budget(BUDGET).build().await.unwrap();
        let mut greedy = Vec::new();
        for n in 0..stalled {
            let name = format!("greedy{n}");
            let refuse = Fault::Refuse.on(Endpoint::Append).channel(&name);
            world.emulator.faults().push(refuse.always());
            greedy.push(client.open_channel(name).await.unwrap());
        }
        let filling = greedy.iter_mut().map(async |channel| {
            let fill = async {
                for n in 0.. {
                    let row = noisy(n..n + 1).next().unwrap();
                    channel.append_row(&row, n).await.unwrap();
                }
            };
            timeout(Duration::from_secs(5), fill).await.unwrap_err();
        });
        futures_util::future::join_all(filling).await;
        assert!(client.memory_in_use() > BUDGET / 2);
        let start = Instant::now();
        let mut modest = client.open_channel("modest").await.unwrap();
        modest.append_rows(rows(0..100), 0..).await.unwrap();
        modest.wait_for_commit().await.unwrap();
        let other = PipePath::new("DB", "PUBLIC", "OTHER_PIPE").unwrap();
        let other = client.for_pipe(other);
        let mut of_other = other.open_untracked_channel("modest").await.unwrap();
        of_other.append_rows(rows(0..100)).await.unwrap();
        of_other.wait_for_commit().await.unwrap();
        let elastic = client.elastic_channel();
        let ack = elastic.append_rows(rows(100..200), ()).await.unwrap();
        ack.await.unwrap();
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{:?}",
            start.elapsed()
        );
    }
}
