//! A server that accepts less in one request than the client assumed (413), and where batches are split.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::StatusCode;
use snowpipe_streaming::report::RowState;
use snowpipe_streaming::transport::Response;
use snowpipe_streaming::{ErrorKind, InvalidationCause, OffsetToken, Pacing};
use snowpipe_streaming_emulator::answers::Answers;
use snowpipe_streaming_emulator::{Endpoint, Fault, Limits};

use crate::support::{World, noisy, row};

fn narrow(bytes: usize) -> World {
    let mut limits = Limits::off();
    limits.request_bytes = Some(bytes);
    World::with(|e| e.limits(limits))
}

/// How many requests were answered 413.
fn refused(world: &World) -> usize {
    let log = world.emulator.log();
    log.iter().filter(|r| r.status == Some(413)).count()
}

#[tokio::test(start_paused = true)]
async fn a_batch_too_large_for_the_server_is_split_and_the_limit_is_learned() {
    let world = narrow(60_000);
    let builder = world.builder().pacing(Pacing::Off);
    let client = builder.max_request_bytes(1 << 20).build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    for part in 0..4 {
        let (from, to) = (part * 5_000, (part + 1) * 5_000);
        drop(channel.append_rows(noisy(from..to), from..).await.unwrap());
    }
    channel.wait_for_commit().await.unwrap();
    assert_eq!(world.landed(), (0..20_000).collect::<Vec<_>>());
    assert_eq!(channel.latest_committed_offset_token(), Some(19_999.into()));
    assert_eq!(client.memory_in_use(), 0);
    let log = world.emulator.log();
    let appends: Vec<_> = log
        .iter()
        .filter(|r| r.endpoint == Endpoint::Append)
        .collect();
    let refused = appends.iter().filter(|r| r.status == Some(413)).count();
    assert!((1..=8).contains(&refused), "{refused} of {}", appends.len());
    let learned = appends
        .iter()
        .rposition(|r| r.status == Some(413))
        .expect("some were");
    assert!(appends.len() - learned > 20, "none is refused after that");
    let ends: Vec<i64> = appends
        .iter()
        .filter(|r| r.status == Some(200))
        .map(|r| r.end_offset_token.as_ref().unwrap().parse().unwrap())
        .collect();
    assert!(ends.is_sorted(), "each request's token is its last row's");
    assert!(channel.close().await.unwrap().is_clean());
}

#[tokio::test(start_paused = true)]
async fn the_limit_is_kept_for_the_channels_that_are_opened_afterwards() {
    let world = narrow(60_000);
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let run = channel.append_rows(noisy(0..2_000), 0..).await.unwrap();
    run.committed().await.unwrap();
    let learned = refused(&world);
    assert!(learned > 0);
    channel.reopen().await.unwrap();
    let run = channel.append_rows(noisy(2_000..4_000), 2_000..);
    run.await.unwrap().committed().await.unwrap();
    let mut other = client.open_channel("d").await.unwrap();
    let run = other.append_rows(noisy(4_000..6_000), 0..).await.unwrap();
    run.committed().await.unwrap();
    let elastic = client.elastic_channel();
    drop(elastic.append_rows(noisy(6_000..8_000), ()).await.unwrap());
    elastic.checkpoint().await.unwrap();
    assert_eq!(refused(&world), learned);
    world.emulator.commit_now();
    let mut landed = world.landed();
    landed.sort_unstable();
    assert_eq!(landed, (0..8_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn batches_are_split_only_between_units_and_a_unit_too_large_ends_the_channel() {
    let world = narrow(60_000);
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    // Each unit has about 25 kB compressed: two fit into a request, all do not.
    for unit in 0..8 {
        let (from, to) = (unit * 200, (unit + 1) * 200);
        let tokens = (format!("{unit}a"), format!("{unit}z"));
        drop(channel.append_rows(noisy(from..to), tokens).await.unwrap());
    }
    channel.wait_for_commit().await.unwrap();
    assert_eq!(world.landed(), (0..1600).collect::<Vec<_>>());
    let all_ends = world.emulator.log();
    for token in all_ends.iter().filter_map(|r| r.end_offset_token.as_ref()) {
        assert!(token.ends_with('z'), "{token}");
    }

    let huge = channel
        .append_rows(noisy(1600..2600), ("8a", "8z"))
        .await
        .unwrap();
    let error = huge.committed().await.unwrap_err();
    let rejected = ErrorKind::Invalidated(InvalidationCause::Rejected);
    assert_eq!(error.kind(), rejected, "{error}");
    assert!(!error.is_ambiguous());
    assert_eq!(
        error.committed_token(),
        Some(&OffsetToken::new("7z").unwrap())
    );
    assert_eq!(client.memory_in_use(), 0);
    let error = channel.close().await.unwrap_err();
    let report = error.close_report().unwrap();
    let left: Vec<_> = report
        .uncommitted
        .iter()
        .map(|r| (r.state, r.rows))
        .collect();
    assert_eq!(left, [(RowState::Sealed, 1000)]);
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_cannot_be_cut_is_tried_above_the_learned_limit() {
    let world = narrow(60_000);
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let run = channel.append_rows(noisy(0..2_000), 0..).await.unwrap();
    run.committed().await.unwrap();
    let before = refused(&world);
    assert!(
        before > 0,
        "the limit is learned, and halving made it less than the server's"
    );
    // About 50 kB compressed.
    let unit = channel.append_rows(noisy(2_000..2_400), 2_000..=2_399);
    unit.await.unwrap().committed().await.unwrap();
    assert_eq!(refused(&world), before);
    assert_eq!(world.landed(), (0..2_400).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn the_receipt_of_rows_that_were_cut_is_ambiguous_if_the_first_of_them_are_in() {
    let world = World::new();
    let builder = world.builder().max_request_bytes(128 << 10);
    let client = builder.build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let second = Fault::Refuse.on(Endpoint::Append).after(1).always();
    world.emulator.faults().push(second);
    let cut = channel.append_rows(noisy(0..3_000), 0..).await.unwrap();
    let unsent = channel.append_row(&row(3_000), 3_000).await.unwrap();
    channel.commits().changed().await.unwrap();
    channel.reopen().await.unwrap();
    let landed = world.landed();
    assert!((1..3_000).contains(&landed.len()), "{}", landed.len());
    assert!(landed.iter().zip(0..).all(|(n, expected)| *n == expected));
    assert!(cut.accepted().await.unwrap_err().is_ambiguous());
    assert!(cut.committed().await.unwrap_err().is_ambiguous());
    assert!(!unsent.committed().await.unwrap_err().is_ambiguous());
}

/// The service accepts 4,194,304 bytes (observed: supabase/etl, `tests/snowflake/large_rows.rs`). A proxy may accept less, and the
/// other reading of "4 MB" stays a possible answer.
#[tokio::test(start_paused = true)]
async fn a_request_longer_than_4_000_000_bytes_is_split_only_where_less_is_accepted() {
    for (word, refusals) in [("4194304", 0), ("4000000", 1)] {
        let answers = Answers::default().with("wire.max_body", word).unwrap();
        let world = World::with(|e| e.answers(answers));
        let client = world.client().await;
        let channel = client.elastic_channel();
        let ack = channel.append_rows(noisy(0..LONGEST), ()).await.unwrap();
        ack.await.unwrap();
        assert_eq!(refused(&world), refusals, "{word}");
        let log = world.emulator.log();
        let longest = log.iter().map(|r| r.body_bytes).max().unwrap();
        assert!((4_000_001..=4_194_304).contains(&longest), "{longest}");
        world.emulator.commit_now();
        let mut landed = world.landed();
        landed.sort_unstable();
        assert_eq!(landed, (0..LONGEST).collect::<Vec<_>>(), "{word}");
    }
}

/// How many rows have between 4,000,000 and 4,194,304 bytes when compressed.
const LONGEST: i64 = 41_900;

/// A proxy refuses one request of a few bytes. What follows goes out as before.
#[tokio::test(start_paused = true)]
async fn a_tiny_request_that_is_refused_once_cripples_no_channel() {
    let world = World::new();
    let first = AtomicBool::new(true);
    let builder = world.intercepted(move |request| {
        let is_append = request.uri().path().ends_with("/rows");
        (is_append && first.swap(false, Ordering::Relaxed)).then(|| {
            let mut answer = Response::new(Bytes::new());
            *answer.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            answer
        })
    });
    let client = builder.build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    channel.append_rows([row(0), row(1)], 0..).await.unwrap();
    channel.wait_for_commit().await.unwrap();
    assert_eq!(
        world.requests(Endpoint::Append),
        2,
        "the refused one was split"
    );
    let rows = (2..2_000).map(row);
    channel.append_rows(rows, 2..).await.unwrap();
    channel.close().await.unwrap();
    assert!(world.requests(Endpoint::Append) < 10);
    assert_eq!(world.landed(), (0..2_000).collect::<Vec<_>>());
}

/// Below the floor of what the client learns, each batch is split until it fits.
#[tokio::test(start_paused = true)]
async fn a_server_that_takes_very_little_gets_all_rows() {
    let world = narrow(5_000);
    let builder = world.builder().pacing(Pacing::Off);
    let client = builder.build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    channel.append_rows(noisy(0..2_000), 0..).await.unwrap();
    channel.close().await.unwrap();
    let elastic = client.elastic_channel();
    let ack = elastic.append_rows(noisy(2_000..3_000), ()).await.unwrap();
    ack.await.unwrap();
    elastic.close().await.unwrap();
    world.emulator.commit_now();
    let mut landed = world.landed();
    landed.sort_unstable();
    assert_eq!(landed, (0..3_000).collect::<Vec<_>>());
}
