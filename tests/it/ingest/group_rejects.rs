//! Rows that the table rejects after their program is gone become dead letters of the partition's next owner.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use snowpipe_streaming::ingest::group::{Event, NextEvent, Partitions};
use snowpipe_streaming::ingest::{self, Batch, Rejected, Source};
use snowpipe_streaming_emulator::tables::Catalog;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::support::World;

/// The row that the table rejects.
const BAD: i64 = 30;

/// What the engine stores, and what the sources have done.
#[derive(Debug, Default)]
pub struct Stored {
    end: i64,
    released: Option<i64>,
    rejects_kept: u64,
    letters: BTreeSet<i64>,
    lowest_read: Option<i64>,
}

#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Stored>>);

impl Log {
    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.0.lock().unwrap()
    }
}

impl Source for Log {
    type Offset = i64;
    type Row = Value;
    type Error = std::io::Error;

    async fn read_after(
        &mut self,
        after: Option<&i64>,
        max: usize,
    ) -> std::io::Result<Batch<i64, Value>> {
        let mut stored = self.stored();
        let next = after.map_or(0, |after| after + 1);
        if next < stored.end {
            stored.lowest_read = stored.lowest_read.min(Some(next)).or(Some(next));
        }
        let row = |n: i64| match n {
            BAD => (n, json!({ "LIFT": "Elkhorn" })),
            n => (n, json!({ "N": n })),
        };
        Ok(Batch::new((next..stored.end).take(max).map(row).collect()))
    }

    async fn release_through(&mut self, through: &i64) -> std::io::Result<()> {
        self.stored().released = Some(*through);
        Ok(())
    }

    async fn released(&mut self) -> std::io::Result<Option<i64>> {
        Ok(self.stored().released)
    }

    async fn rejects_seen(&mut self, _: &str) -> std::io::Result<Option<u64>> {
        Ok(Some(self.stored().rejects_kept))
    }

    async fn dead_letter(
        &mut self,
        rejected: &Rejected<i64>,
        rows: Vec<(i64, Value)>,
    ) -> std::io::Result<()> {
        let mut stored = self.stored();
        stored.letters.extend(rows.iter().map(|(offset, _)| offset));
        stored.rejects_kept = rejected.total;
        Ok(())
    }
}

/// An engine with one partition.
pub struct Engine(pub Option<Log>);

impl Partitions for Engine {
    type Partition = &'static str;
    type Source = Log;
    type Error = std::io::Error;

    async fn next(&mut self) -> NextEvent<Self> {
        match self.0.take() {
            Some(log) => Ok(Some(Event::Assigned(vec![("log", log)]))),
            None => std::future::pending().await,
        }
    }
}

/// Streams until the counters are as wanted, and then crashes.
async fn stream(world: &World, log: &Log, is_enough: impl Fn(Counts) -> bool + Send) {
    let client = world.client().await;
    let (sender, mut counts) = watch::channel(Counts::default());
    let mut engine = Engine(Some(log.clone()));
    let group = ingest::group(&client, "g", &mut engine).observe(|progress| {
        sender.send_replace(Counts {
            released: progress.report.progress.released,
            accepted: progress.report.progress.accepted,
        });
    });
    let enough = counts.wait_for(|counts| is_enough(*counts));
    let end = async {
        tokio::select! {
            ended = group.into_future() => panic!("the group ended: {ended:?}"),
            enough = enough => assert!(enough.is_ok()),
        }
    };
    timeout(Duration::from_secs(600), end).await.unwrap();
    client.abort();
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    released: Option<i64>,
    accepted: Option<i64>,
}

#[tokio::test(start_paused = true)]
async fn rejects_of_rows_that_a_dead_owner_sent_are_dead_letters_of_the_next_one() {
    let ddl = "CREATE TABLE DB.PUBLIC.RIDES (N NUMBER NOT NULL, LIFT VARCHAR);
        CREATE PIPE DB.PUBLIC.RIDES_PIPE AS COPY INTO DB.PUBLIC.RIDES FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING'))
        MATCH_BY_COLUMN_NAME=CASE_SENSITIVE;";
    let catalog = Catalog::from_ddl(ddl).unwrap();
    let world = World::with(|e| e.catalog(catalog).commit_delay(Duration::from_secs(5)));
    let log = Log::default();
    log.stored().end = 20;
    stream(&world, &log, |counts| counts.released == Some(19)).await;
    // These are rejected when their owner is gone.
    log.stored().end = 50;
    stream(&world, &log, |counts| counts.accepted == Some(49)).await;
    assert_eq!(log.stored().released, Some(19));
    assert!(log.stored().letters.is_empty());

    log.stored().lowest_read = None;
    log.stored().end = 60;
    stream(&world, &log, |counts| counts.released == Some(59)).await;
    let stored = log.stored();
    assert_eq!(stored.letters, (20..50).collect::<BTreeSet<_>>());
    assert_eq!(stored.lowest_read, Some(20), "released rows are read again");
    let landed = world.emulator.rows("DB.PUBLIC.RIDES").unwrap();
    assert_eq!(landed.len(), 59);
}
