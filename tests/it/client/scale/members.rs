//! The throughput of a group: members with a client each, partitions that are streamed as fast as memory allows, and a rebalance
//! in the middle.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use snowpipe_streaming::Pacing;
use snowpipe_streaming::ingest::group::{Event, Partitions};
use snowpipe_streaming::ingest::{self, Batch, Rejected, Source};
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::service::{CHANNEL_BYTES, Network, Service, TABLE_BYTES};
use super::{ROW, client};

/// The length of each phase: before the rebalance, and after it. A channel has used up its burst after the first half.
const PHASE: Duration = Duration::from_secs(4);
/// The memory of a channel at a delay of 50 ms.
const CHANNEL_MEMORY: usize = 3 << 20;

/// A row whose note is shared by many.
#[derive(Clone)]
struct Row(Arc<str>);

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("NOTE", &*self.0)?;
        map.end()
    }
}

/// A partition without end.
#[derive(Clone)]
struct Endless(Arc<Vec<Row>>);

impl Source for Endless {
    type Offset = usize;
    type Row = Row;
    type Error = Infallible;

    async fn read_after(
        &mut self,
        after: Option<&usize>,
        max: usize,
    ) -> Result<Batch<usize, Row>, Infallible> {
        let next = after.map_or(0, |after| after + 1);
        let row = |n: usize| (n, self.0[n % self.0.len()].clone());
        Ok(Batch::new((next..next + max).map(row).collect()))
    }

    async fn dead_letter(
        &mut self,
        _: &Rejected<usize>,
        _: Vec<(usize, Row)>,
    ) -> Result<(), Infallible> {
        Ok(())
    }
}

/// What a member hears.
struct Notices(mpsc::UnboundedReceiver<Event<usize, Endless>>);

impl Partitions for Notices {
    type Partition = usize;
    type Source = Endless;
    type Error = Infallible;

    async fn next(&mut self) -> Result<Option<Event<usize, Endless>>, Infallible> {
        Ok(self.0.recv().await)
    }
}

/// One line of the table: MB per second before and after a rebalance that moves a quarter of the partitions.
#[derive(Debug)]
struct Carried {
    before: f64,
    after: f64,
    /// The longest time in which a partition that moved sent nothing.
    pause: Duration,
    /// Requests refused with 429 before the rebalance, and in all.
    over_limit: [usize; 2],
}

fn carried(members: usize, partitions: usize) -> Carried {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let service = Service::new(Network {
        delay: Duration::from_millis(50),
        throttles_every: None,
        uplink: None,
    });
    let carried = runtime.block_on(stream(&service, members, partitions));
    println!(
        "| {members} | {partitions} | {:.1} | {:.1} | {:.2} | {} | {} |",
        carried.before,
        carried.after,
        carried.pause.as_secs_f64(),
        carried.over_limit[0],
        carried.over_limit[1]
    );
    carried
}

async fn stream(service: &Service, members: usize, partitions: usize) -> Carried {
    let source = Endless(Arc::new(notes()));
    let mut groups = JoinSet::new();
    let mut engines = Vec::new();
    for _ in 0..members {
        let budget = CHANNEL_MEMORY * (partitions / members).max(8) * 2;
        let client = client(service, budget, Pacing::Named).await;
        let (engine, notices) = mpsc::unbounded_channel();
        engines.push(engine);
        groups.spawn(async move {
            let mut notices = Notices(notices);
            let group = ingest::group(&client, "scale", &mut notices).batch_rows(8);
            group.await.map(drop)
        });
    }
    for partition in 0..partitions {
        let assigned = vec![(partition, source.clone())];
        let sent = engines[partition % members].send(Event::Assigned(assigned));
        assert!(sent.is_ok());
    }
    sleep(PHASE).await;
    let rebalance = Instant::now();
    let before = rate(service, rebalance - PHASE / 2, rebalance);
    let over_limit = service.seen().over_limit;
    let moved: Vec<usize> = (0..partitions).step_by(4).collect();
    for partition in &moved {
        let (from, to) = (partition % members, (partition + 1) % members);
        let revoked = engines[from].send(Event::Revoked(vec![*partition]));
        assert!(revoked.is_ok());
        let assigned = vec![(*partition, source.clone())];
        assert!(engines[to].send(Event::Assigned(assigned)).is_ok());
    }
    sleep(PHASE).await;
    let after = rate(service, rebalance + PHASE / 2, rebalance + PHASE);
    let seen = service.seen();
    let pauses = moved.iter().map(|partition| {
        let admitted = &seen.admitted[&format!("scale:{partition}")];
        let split = admitted.partition_point(|one| one.at < rebalance);
        admitted[split].at - admitted[split - 1].at
    });
    Carried {
        before,
        after,
        pause: pauses.max().unwrap(),
        over_limit: [over_limit, seen.over_limit],
    }
}

/// The rate of all channels together, each from its first request in this time to its last one.
fn rate(service: &Service, from: Instant, to: Instant) -> f64 {
    let seen = service.seen();
    let rates = seen.admitted.values().map(|admitted| {
        let here = admitted.iter().filter(|one| (from..to).contains(&one.at));
        let here: Vec<_> = here.copied().collect();
        super::rate(&here)
    });
    rates.sum()
}

/// Notes that compress about as well as lift rides.
fn notes() -> Vec<Row> {
    let mut rng = fastrand::Rng::with_seed(1);
    let note = |_| {
        let mut note: String = (0..ROW * 3 / 8).map(|_| rng.alphanumeric()).collect();
        note.extend(std::iter::repeat_n('.', ROW - note.len()));
        Row(note.into())
    };
    // Together they are longer than the window of zstd.
    (0..32).map(note).collect()
}

#[test]
fn members_carry_what_the_service_admits_before_and_after_a_rebalance() {
    let mut setups = vec![(2, 2)];
    if std::env::var("SCALE").is_ok_and(|scale| scale == "full") {
        setups.extend([(1, 64), (4, 64), (16, 64), (4, 256), (16, 256), (64, 1_024)]);
    }
    for (members, partitions) in setups {
        let carried = carried(members, partitions);
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let limit = (partitions as f64 * CHANNEL_BYTES).min(TABLE_BYTES) / 1e6;
        assert!(carried.before > limit * 0.97, "{carried:?} of {limit}");
        assert!(carried.after > limit * 0.97, "{carried:?} of {limit}");
        assert!(carried.pause < Duration::from_secs(3), "{carried:?}");
        // The limit of the table is not known to a client, so it refuses some requests when all channels together exceed it.
        if limit < TABLE_BYTES / 1e6 {
            assert_eq!(carried.over_limit[0], 0, "{carried:?}");
        }
    }
}
