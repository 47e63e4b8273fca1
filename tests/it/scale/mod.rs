//! What one process carries against the service's limits: rates in virtual time, with as many rows as the memory budget
//! takes. `cargo test --test it scale -- --nocapture` prints the table of `benches/README.md`.

mod service;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use snowpipe_streaming::emulator::Emulator;
use snowpipe_streaming::{
    Channel, PipePath, Profile, RowBatch, StreamingIngestClient, TokioClock,
};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::service::{Admitted, CHANNEL_BYTES, Network, Service};

/// Bytes of one row: few and long ones, because what a row costs is not what is asked here.
const ROW: usize = 64 << 10;
/// Rows of one append.
const ROWS: u64 = 8;

/// One line of the table.
#[derive(Debug, Clone, Copy)]
struct Setup {
    channels: usize,
    network: Network,
    /// The memory of the client.
    budget: usize,
    /// How long, in virtual time, channels are given all rows they take.
    lasts: Duration,
}

/// What came of it.
#[derive(Debug)]
struct Carried {
    /// MB a second once the burst is spent: the slowest channel's, and the fastest's.
    slowest: f64,
    fastest: f64,
    /// Requests a second of one channel.
    requests: f64,
    /// The most that one channel sent in any second, in MB.
    peak: f64,
    over_limit: usize,
    injected: usize,
    /// Uncompressed over compressed.
    ratio: f64,
    memory: u64,
}

/// Appends for as long as the setup says, and reads off what the service saw.
fn carried(setup: Setup) -> Carried {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let service = Service::new(setup.network);
        let client = client(&service, setup.budget).await;
        let until = Instant::now() + setup.lasts;
        let rows = Arc::new(rows());
        let mut producers = JoinSet::new();
        for i in 0..setup.channels {
            let channel = client.open_channel(format!("c{i}")).await.unwrap();
            producers.spawn(produce(channel, Arc::clone(&rows)));
        }
        let mut memory = 0;
        while Instant::now() < until {
            memory = memory.max(client.metrics().memory_in_use);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        producers.abort_all();
        read_off(&service, setup, memory)
    })
}

async fn client(service: &Service, budget: usize) -> StreamingIngestClient {
    // Of the emulator only its key is used.
    let emulator = Emulator::builder().build().unwrap();
    let profile = Profile::from_json(&emulator.profile_json("http://127.0.0.1")).unwrap();
    let pipe = PipePath::new("DB", "PUBLIC", "RIDES_PIPE").unwrap();
    let epoch = SystemTime::UNIX_EPOCH + Duration::from_secs(1_768_658_400);
    StreamingIngestClient::builder(profile, pipe)
        .transport(service.clone())
        .time_source(TokioClock::starting_at(epoch))
        .seed(7)
        .offload_threshold(usize::MAX)
        .memory_budget(budget)
        .build()
        .await
        .unwrap()
}

/// As many rows as the channel takes.
async fn produce(mut channel: Channel, rows: Arc<Vec<RowBatch>>) {
    let mut next = 0;
    for batch in rows.iter().cycle() {
        let append = channel.append_batch(batch.clone(), next..);
        drop(append.await.unwrap());
        next += batch.len();
    }
}

/// Batches of rows that compress about as well as lift rides do: a quarter is noise.
fn rows() -> Vec<RowBatch> {
    let mut rng = fastrand::Rng::with_seed(1);
    let noise = ROW / 4;
    // Together longer than what zstd looks back at this level.
    let batch = |_| {
        let mut ndjson = Vec::new();
        for _ in 0..ROWS {
            ndjson.extend_from_slice(b"{\"NOTE\":\"");
            ndjson.extend(std::iter::repeat_with(|| rng.alphanumeric() as u8).take(noise));
            ndjson.resize(ndjson.len() + ROW - noise - "{\"NOTE\":\"\"}\n".len(), b'.');
            ndjson.extend_from_slice(b"\"}\n");
        }
        RowBatch::from_ndjson(ndjson).unwrap()
    };
    (0..4).map(batch).collect()
}

fn read_off(service: &Service, setup: Setup, memory: u64) -> Carried {
    let seen = service.seen();
    let rates: Vec<f64> = seen.admitted.values().map(|of| sustained(of)).collect();
    let requests: usize = seen.admitted.values().map(Vec::len).sum();
    let bytes: f64 = seen.admitted.values().flatten().map(|one| one.bytes).sum();
    let channels = u32::try_from(setup.channels).unwrap();
    Carried {
        slowest: rates.iter().copied().fold(f64::MAX, f64::min),
        fastest: rates.iter().copied().fold(0.0, f64::max),
        requests: requests as f64 / f64::from(channels) / setup.lasts.as_secs_f64(),
        peak: seen.admitted.values().map(|of| peak(of)).fold(0.0, f64::max),
        over_limit: seen.over_limit,
        injected: seen.injected,
        ratio: bytes / seen.wire_bytes as f64,
        memory,
    }
}

/// MB a second from the first request after the burst to the last one, which paid for nothing yet.
fn sustained(admitted: &[Admitted]) -> f64 {
    let burst = admitted.first().unwrap().at + Duration::from_secs(2);
    let steady: Vec<_> = admitted.iter().filter(|one| one.at >= burst).collect();
    let (last, paid) = steady.split_last().unwrap();
    let bytes: f64 = paid.iter().map(|one| one.bytes).sum();
    bytes / (last.at - steady[0].at).as_secs_f64() / 1e6
}

/// The most MB in any second.
fn peak(admitted: &[Admitted]) -> f64 {
    let from = |i: usize| {
        let window = admitted[i].at + Duration::from_secs(1);
        admitted[i..].iter().take_while(move |one| one.at < window)
    };
    (0..admitted.len())
        .map(|i| from(i).map(|one| one.bytes).sum::<f64>() / 1e6)
        .fold(0.0, f64::max)
}

#[test]
fn probe() {
    let started = std::time::Instant::now();
    for (channels, delay, budget, secs, thr) in [
        (1, 0, 128, 8, None), (1, 50, 128, 8, None), (1, 200, 128, 8, None), (1, 50, 128, 8, Some(10)),
        (4, 50, 128, 6, None), (10, 50, 128, 6, None), (10, 50, 64, 6, None), (10, 50, 32, 6, None)] {
        let setup = Setup { channels, network: Network { delay: Duration::from_millis(delay), throttles_every: thr }, budget: budget << 20, lasts: Duration::from_secs(secs) };
        let c = carried(setup);
        println!("{channels} {delay} {budget} {c:?} {:?}", started.elapsed());
    }
}
