//! Rows of many megabytes. What bounds them is the size of a request, compressed, and a quarter of the memory budget.

use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use snowpipe_streaming::{ErrorKind, Recovery, RowBatch};
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{DataFile, Ddl, Endpoint, Fault};
use tokio::time::{Instant, sleep};

use crate::support::{TABLE, World, ndjson, noisy};

/// The default length of a VARCHAR column, in characters.
const VARCHAR: usize = 16_777_216;

fn text(length: usize) -> String {
    let words = (0..).flat_map(|n| format!("Elkhorn {n} ").into_bytes());
    let text = words.take(length).collect();
    String::from_utf8(text).unwrap()
}

fn noise(length: usize) -> String {
    let mut rng = fastrand::Rng::with_seed(1);
    let noise = std::iter::repeat_with(|| rng.alphanumeric());
    noise.take(length).collect()
}

fn batch(rows: &[Value]) -> RowBatch {
    RowBatch::from_ndjson(ndjson(rows)).unwrap()
}

fn document(n: i64, length: usize) -> Value {
    json!({ "N": n, "DOC": text(length) })
}

/// A table whose column `DOC` is a VARCHAR without a length.
const DDL: &str = "CREATE TABLE DB.PUBLIC.RIDES_PIPE (N INTEGER, DOC VARCHAR);
    CREATE PIPE DB.PUBLIC.RIDES_PIPE AS COPY INTO DB.PUBLIC.RIDES_PIPE
    FROM TABLE (DATA_SOURCE (TYPE => 'STREAMING')) MATCH_BY_COLUMN_NAME=CASE_SENSITIVE;";

fn documents() -> World {
    World::with(|e| e.catalog(Catalog::from_ddl(DDL).unwrap()))
}

/// Observed: supabase/etl, `tests/snowflake/large_rows.rs`.
#[tokio::test(start_paused = true)]
async fn a_varchar_of_16_777_216_characters_lands() {
    let world = documents();
    let client = world.client().await;
    let mut named = client.open_channel("c").await.unwrap();
    let longest = document(1, VARCHAR);
    drop(named.append_row(&longest, 1).await.unwrap());
    let rows = [document(2, VARCHAR), document(3, 10)];
    drop(named.append_rows(&rows, 2..).await.unwrap());
    named.wait_for_commit().await.unwrap();
    let elastic = client.elastic_channel();
    let ack = elastic.append_row(&document(4, VARCHAR), ()).await.unwrap();
    ack.await.unwrap();
    world.emulator.commit_now();
    let landed = world.landed_rows();
    let [first, second, third] = [longest, rows[0].clone(), rows[1].clone()];
    assert!(landed == [first, second, third, document(4, VARCHAR)]);
    assert_eq!(world.emulator.error_rows(TABLE).unwrap().len(), 0);
    assert_eq!(client.memory_in_use(), 0);

    let too_long = named.append_row(&document(5, VARCHAR + 1), 5).await;
    let error = too_long.unwrap().committed().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RowsRejected, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_data_file_takes_a_varchar_of_16_777_216_characters() {
    let dir = tempfile::tempdir().unwrap();
    let file = DataFile::open(&dir.path().join("e.db"), &Ddl::Bootstrap(DDL.to_owned())).unwrap();
    let world = World::with(|e| e.data_file(file));
    let (_client, mut channel) = world.channel().await;
    let rows = [document(1, VARCHAR), document(2, VARCHAR + 1)];
    drop(channel.append_rows(&rows, 1..).await.unwrap());
    let error = channel.wait_for_commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RowsRejected, "{error}");
    let [longest, _] = rows;
    assert!(world.landed_rows() == [longest]);
}

#[tokio::test(start_paused = true)]
async fn rows_that_share_a_token_may_have_more_than_16_mib() {
    let world = documents();
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let rows: Vec<_> = (0..3).map(|n| document(n, 7 << 20)).collect();
    let receipt = channel.append_rows(&rows, ("a", "b")).await.unwrap();
    receipt.committed().await.unwrap();
    assert!(world.landed_rows() == rows);
    assert_eq!(world.requests(Endpoint::Append), 1);
}

/// Observed: supabase/etl, `tests/snowflake/large_rows.rs`, `repeated_blocks_beyond_default_window_are_stored`.
#[tokio::test(start_paused = true)]
async fn a_row_fits_if_a_larger_window_makes_it_short_enough() {
    let world = documents();
    let client = world.client().await;
    let block = noise(4 << 20);
    let row = |n: i64| json!({ "N": n, "DOC": block.repeat(2) });
    let mut named = client.open_channel("c").await.unwrap();
    drop(named.append_row(&row(1), 1).await.unwrap());
    let shared = [document(2, 10), row(3)];
    drop(named.append_rows(&shared, 2..=3).await.unwrap());
    named.wait_for_commit().await.unwrap();
    let elastic = client.elastic_channel();
    let ack = elastic.append_row(&row(4), ()).await.unwrap();
    ack.await.unwrap();
    world.emulator.commit_now();
    let [second, third] = shared;
    assert!(world.landed_rows() == [row(1), second, third, row(4)]);

    let hopeless = json!({ "N": 5, "DOC": noise(8 << 20) });
    let error = named.append_row(&hopeless, 5).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let text = error.to_string();
    assert!(text.contains("the 4194304 bytes of one request"), "{text}");
    assert!(text.contains("in the column \"DOC\""), "{text}");
}

/// A long row is compressed once, off the async threads, and takes no more memory than its frame.
#[tokio::test(start_paused = true)]
async fn a_long_row_is_compressed_when_it_is_appended() {
    let world = documents();
    let builder = world.builder().offload_threshold(256 << 10);
    let client = builder.build().await.unwrap();
    let outage = Fault::Refuse.on(Endpoint::Append).always();
    world.emulator.faults().push(outage);
    let long = document(1, VARCHAR);
    let mut named = client.open_channel("c").await.unwrap();
    let mut append = named.append_row(&long, 1);
    // A thread without a runtime.
    let first_poll = || (&mut append).now_or_never().map(drop);
    let polled = std::thread::scope(|s| s.spawn(first_poll).join());
    assert!(polled.unwrap().is_none(), "it is being compressed");
    drop(append.await.unwrap());
    let elastic = client.elastic_channel();
    let mut append = elastic.append_row(&long, ());
    assert!(futures_util::poll!(&mut append).is_pending());
    drop(append.await.unwrap());
    let held = client.memory_in_use();
    assert!((1..VARCHAR / 2).contains(&held), "{held}");
    world.emulator.faults().clear();
    elastic.checkpoint().await.unwrap();
    named.wait_for_commit().await.unwrap();
    world.emulator.commit_now();
    assert!(world.landed_rows() == [long.clone(), long]);
    assert_eq!(client.memory_in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_long_row_that_an_elastic_channel_gives_up_is_handed_back() {
    let world = documents();
    let client = world.client().await;
    let elastic = client.elastic_channel();
    let refused = Fault::BadRequest("ERR_BAD_ROWS".to_owned());
    world.emulator.faults().push(refused.on(Endpoint::Append));
    let long = document(1, VARCHAR);
    let failed = elastic.append_row(&long, ()).await.unwrap().await;
    let rows = failed.unwrap_err().rows().unwrap();
    assert!(rows == batch(std::slice::from_ref(&long)));
    let ack = elastic.append_batch(&rows, ()).await.unwrap();
    ack.await.unwrap();
    world.emulator.commit_now();
    assert!(world.landed_rows() == [long]);
    drop(rows);
    assert_eq!(client.memory_in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn rows_keep_their_order_around_long_ones() {
    for seed in 0..20 {
        let world = documents();
        let builder = world.builder().max_request_bytes(128 << 10);
        let builder = builder.recovery(Recovery::Replay);
        let client = builder.build().await.unwrap();
        let mut channel = client.open_channel("c").await.unwrap();
        let mut rng = fastrand::Rng::with_seed(seed);
        let reopen = Fault::BadRequest("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
        for fault in [Fault::Lose, Fault::ApplyThenLose, reopen] {
            let after = rng.u64(..10);
            let fault = fault.on(Endpoint::Append).after(after);
            world.emulator.faults().push(fault);
        }
        let length = |n: i64| if n % 4 == 0 { 80_000 } else { 10 };
        let row = |n: i64| json!({ "N": n, "DOC": noise(length(n)) });
        let mut next = 0;
        while next < 40 {
            let end = next + rng.i64(1..6);
            let rows: Vec<_> = (next..end).map(row).collect();
            match rng.u8(..3) {
                0 => drop(channel.append_rows(&rows, next..).await.unwrap()),
                1 => drop(channel.append_batch(&batch(&rows), next..).await.unwrap()),
                _ => {
                    for (row, n) in rows.iter().zip(next..) {
                        drop(channel.append_row(row, n).await.unwrap());
                    }
                }
            }
            sleep(Duration::from_millis(rng.u64(..700))).await;
            next = end;
        }
        channel.wait_for_commit().await.unwrap();
        let landed = world.landed_rows();
        assert!(landed == (0..next).map(row).collect::<Vec<_>>(), "{seed}");
        assert_eq!(client.memory_in_use(), 0, "{seed}");
    }
}

/// An append that waits for memory holds none, so the largest unit enters however much other channels hold.
#[tokio::test(start_paused = true)]
async fn the_largest_unit_enters_a_budget_that_other_channels_have_used_up() {
    let budget = 4 << 20;
    let world = documents();
    let client = world.builder().memory_budget(budget).build().await.unwrap();
    let outage = Fault::Refuse.on(Endpoint::Append).always();
    world.emulator.faults().push(outage);
    let mut others = Vec::new();
    for name in ["d", "e"] {
        let mut other = client.open_untracked_channel(name).await.unwrap();
        let patience = Duration::from_secs(5);
        let filled = tokio::time::timeout(patience, other.append_rows(noisy(0..100_000)));
        filled.await.unwrap_err();
        others.push(other);
    }
    assert!(client.memory_in_use() > budget / 2);
    let mut channel = client.open_channel("c").await.unwrap();
    let framing = "{\"N\":1,\"DOC\":\"\"}\n".len();
    let largest = document(1, budget / 4 - framing);
    let start = Instant::now();
    let recovery = async {
        sleep(Duration::from_secs(30)).await;
        world.emulator.faults().clear();
    };
    let (receipt, ()) = tokio::join!(channel.append_row(&largest, 1), recovery);
    assert!(start.elapsed() >= Duration::from_secs(30), "it waited");
    receipt.unwrap().committed().await.unwrap();
    assert!(world.landed_rows().contains(&largest));
    let more = document(2, budget / 4 - framing + 1);
    let error = channel.append_row(&more, 2).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let text = error.to_string();
    assert!(text.contains("1048577 bytes does not fit"), "{text}");
    assert!(text.contains("to four times its size"), "{text}");
}
