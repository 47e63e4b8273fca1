//! Measures how far the changes are behind: a private MariaDB gets rows at a steady rate, each with the time at which it is written,
//! and each change is timed when it is read from the log, and when it is committed in an emulator.

#[path = "../tests/it/server.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests use all of it, and fail with them"
)]
mod server;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use snowpipe_streaming::ingest::{self, Batch, Rejected, Source};
use snowpipe_streaming::{PipePath, Profile, StreamingIngestClient};
use snowpipe_streaming_emulator::Emulator;
use snowpipe_streaming_emulator::tables::Catalog;
use tokio::time::{MissedTickBehavior, interval};

use crate::server::MariaDb;
use snowpipe_mysql::changes::{self, Changes, preflight};
use snowpipe_mysql::connection::Database;
use snowpipe_mysql::value::Value;
use snowpipe_mysql::{schema, sql};

/// How many changes a second, and how many of them in a transaction.
const RATES: [(u64, u64); 3] = [(1_000, 1), (1_000, 10), (10_000, 100)];
const SECONDS: u64 = 20;
const TABLE: &str =
    "CREATE TABLE written (id BIGINT PRIMARY KEY AUTO_INCREMENT, at BIGINT, name VARCHAR(100))";
const NAME: &str = "a text of some length, as a name or an address has it";

#[tokio::main]
async fn main() -> Result<()> {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let (rates, seconds) = if is_test {
        (&RATES[..1], 1)
    } else {
        (&RATES[..], SECONDS)
    };
    println!(
        "{:>9} {:>9} {:>9} {:>30} {:>30}",
        "changes/s", "a commit", "reached", "read after ms (50, 99, 100 %)", "committed after ms"
    );
    for (rate, size) in rates {
        measure(*rate, *size, seconds).await?;
    }
    Ok(())
}

async fn measure(rate: u64, size: u64, seconds: u64) -> Result<()> {
    let server = MariaDb::start(&[]).await;
    let mut conn = server.connect().await;
    for statement in ["CREATE DATABASE shop", "USE shop", TABLE] {
        conn.query_drop(statement).await?;
    }
    let table = Arc::new(schema::load(&mut conn, "shop", "written").await?);
    let start = preflight(&mut conn, std::slice::from_ref(&table)).await?;
    let target = sql::Target {
        database: "LAKE",
        schema: "PUBLIC",
        table: "WRITTEN",
    };
    let catalog = Catalog::from_ddl(&sql::tables(&table, target)?)?;
    let emulator = Emulator::builder().catalog(catalog).build()?;
    let profile = Profile::from_json(&emulator.profile_json("http://127.0.0.1"))?;
    let pipe = PipePath::for_table("LAKE", "PUBLIC", "WRITTEN_CHANGES")?;
    let builder = StreamingIngestClient::builder(profile, pipe).transport(emulator.transport());
    let client = builder.build().await?;

    let database = Database::new(&server.url("root", "", "shop"), None, None)?;
    let writer = tokio::spawn(write(server.connect().await, rate, size, seconds));
    let mut timed = Timed {
        changes: Changes::new(database.opts(), "bench", vec![table], start),
        sent: VecDeque::new(),
        read: Vec::new(),
        committed: Vec::new(),
    };
    let took = {
        let run = ingest::run(&client, "bench", &mut timed);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let run = run.until(async {
            // The sender is dropped if the writer fails.
            let _ = stopped.await;
        });
        let (report, took) = tokio::join!(run.into_future(), async {
            let took = writer.await;
            // What is in the log is read within this time.
            tokio::time::sleep(Duration::from_secs(5)).await;
            let _ = stop.send(());
            took
        });
        report?;
        took??
    };
    client.close().await?;
    let count = timed.committed.len() as u64;
    anyhow::ensure!(
        count == rate * seconds,
        "{count} changes of {} were committed",
        rate * seconds
    );
    println!(
        "{rate:>9} {size:>9} {:>9.0} {:>30} {:>30}",
        float(count) / took.as_secs_f64(),
        percentiles(&mut timed.read),
        percentiles(&mut timed.committed)
    );
    Ok(())
}

/// Writes rows at a rate. Returns how long it took.
async fn write(mut conn: Conn, rate: u64, size: u64, seconds: u64) -> Result<Duration> {
    conn.query_drop("USE shop").await?;
    let began = std::time::Instant::now();
    let mut ticks = interval(Duration::from_secs_f64(float(size) / float(rate)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let rows = vec!["(?, ?)"; usize::try_from(size)?].join(", ");
    let insert = conn
        .prep(format!("INSERT INTO written (at, name) VALUES {rows}"))
        .await?;
    for _ in 0..rate * seconds / size {
        ticks.tick().await;
        let at = now();
        let values: Vec<mysql_async::Value> =
            (0..size).flat_map(|_| [at.into(), NAME.into()]).collect();
        conn.exec_drop(&insert, values).await?;
    }
    Ok(began.elapsed())
}

/// The changes with their times, in microseconds.
struct Timed {
    changes: Changes,
    sent: VecDeque<(changes::Offset, u64)>,
    read: Vec<u64>,
    committed: Vec<u64>,
}

impl Source for Timed {
    type Offset = changes::Offset;
    type Row = changes::Change;
    type Error = changes::ChangesError;

    async fn read_after(
        &mut self,
        after: Option<&changes::Offset>,
        max: usize,
    ) -> Result<Batch<changes::Offset, changes::Change>, changes::ChangesError> {
        let batch = self.changes.read_after(after, max).await?;
        let now = now();
        for (offset, change) in &batch.rows {
            if let Some(Value::Int(at)) = change.row.values.get(1) {
                let at = at.unsigned_abs();
                self.read.push(now.saturating_sub(at));
                self.sent.push_back((*offset, at));
            }
        }
        Ok(batch)
    }

    async fn ready(&mut self) -> Result<(), changes::ChangesError> {
        self.changes.ready().await
    }

    async fn release_through(
        &mut self,
        through: &changes::Offset,
    ) -> Result<(), changes::ChangesError> {
        let now = now();
        let is_new = self.sent.partition_point(|(offset, _)| offset <= through);
        let committed = self.sent.drain(..is_new);
        self.committed
            .extend(committed.map(|(_, at)| now.saturating_sub(at)));
        self.changes.release_through(through).await
    }

    async fn dead_letter(
        &mut self,
        rejected: &Rejected<changes::Offset>,
        rows: Vec<(changes::Offset, changes::Change)>,
    ) -> Result<(), changes::ChangesError> {
        self.changes.dead_letter(rejected, rows).await
    }
}

fn percentiles(figures: &mut [u64]) -> String {
    figures.sort_unstable();
    let at = |percent: usize| {
        let index = figures.len().saturating_sub(1) * percent / 100;
        float(figures.get(index).copied().unwrap_or(0)) / 1e3
    };
    format!("{:.1} {:.1} {:.1}", at(50), at(99), at(100))
}

fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "the counts are far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}
