//! The throughput of one process under the service's limits: rates in virtual time, with producers that append as fast as memory
//! allows. With `--nocapture` each test prints its lines of the table in the notes on performance. `SCALE=full` adds lines that
//! move too many bytes for every run.

mod members;
mod service;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use snowpipe_streaming::time::TokioClock;
use snowpipe_streaming::{Channel, Pacing, PipePath, Profile, RowBatch, StreamingIngestClient};
use snowpipe_streaming_emulator::Emulator;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::service::{Admitted, Network, Service};

/// The length of a row in bytes. Rows are long, because the cost per row is not measured here.
const ROW: usize = 64 << 10;
/// Rows of one append.
const ROWS: u64 = 8;

/// One line of the table.
#[derive(Debug, Clone, Copy)]
struct Setup {
    channels: usize,
    /// The latency of answers.
    delay: Duration,
    /// Answers one out of this many appends with 429 although it is within the limits.
    throttles_every: Option<usize>,
    /// Bytes a second of all uploads together.
    uplink: Option<f64>,
    pacing: Pacing,
    /// The memory of the client.
    budget: usize,
    /// How long rows are appended, in virtual time.
    lasts: Duration,
}

impl Setup {
    fn new(channels: usize, delay_ms: u64) -> Self {
        Self {
            channels,
            delay: Duration::from_millis(delay_ms),
            throttles_every: None,
            uplink: None,
            pacing: Pacing::Named,
            budget: 128 << 20,
            lasts: Duration::from_secs(10),
        }
    }

    fn budget_mib(self, budget: usize) -> Self {
        Self {
            budget: budget << 20,
            ..self
        }
    }
}

/// The throughput in MB per second over the second half of the time, when the bursts of the channels are used up.
#[derive(Debug)]
struct Carried {
    all: f64,
    slowest: f64,
    fastest: f64,
    /// Requests per second of one channel.
    requests: f64,
    /// Requests refused with 429 because a limit was exceeded.
    over_limit: usize,
    /// The compression ratio.
    ratio: f64,
}

fn carried(setup: Setup) -> Carried {
    let (service, half) = run(setup);
    let carried = read_off(&service, setup, half);
    println!(
        "| {} | {} | {} | {:?} | {} | {:.1} | {:.1}–{:.1} | {:.1} | {} |",
        setup.channels,
        setup.delay.as_millis(),
        setup.throttles_every.unwrap_or_default(),
        setup.pacing,
        setup.budget >> 20,
        carried.all,
        carried.slowest,
        carried.fastest,
        carried.requests,
        carried.over_limit
    );
    carried
}

/// Returns the service and the middle of the time.
fn run(setup: Setup) -> (Service, Instant) {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let service = Service::new(Network {
        delay: setup.delay,
        throttles_every: setup.throttles_every,
        uplink: setup.uplink,
    });
    runtime.block_on(async {
        let client = client(&service, setup.budget, setup.pacing).await;
        let rows = Arc::new(rows());
        let mut producers = JoinSet::new();
        for i in 0..setup.channels {
            let channel = client.open_channel(format!("c{i}")).await.unwrap();
            producers.spawn(produce(channel, Arc::clone(&rows)));
        }
        let half = Instant::now() + setup.lasts / 2;
        tokio::time::sleep(setup.lasts).await;
        let ended = producers.try_join_next();
        assert!(ended.is_none(), "a channel has ended: {ended:?}");
        (service, half)
    })
}

async fn client(service: &Service, budget: usize, pacing: Pacing) -> StreamingIngestClient {
    // Only the emulator's key is used.
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
        .pacing(pacing)
        .build()
        .await
        .unwrap()
}

/// Appends as many rows as the channel accepts.
async fn produce(mut channel: Channel, rows: Arc<Vec<RowBatch>>) {
    let mut next = 0;
    for batch in rows.iter().cycle() {
        let append = channel.append_batch(batch, next..);
        drop(append.await.unwrap());
        next += batch.len();
    }
}

/// Rows that compress about as well as lift rides: three eighths of each are random.
fn rows() -> Vec<RowBatch> {
    let mut rng = fastrand::Rng::with_seed(1);
    let batch = |_| {
        let mut ndjson = Vec::new();
        for _ in 0..ROWS {
            let start = ndjson.len();
            ndjson.extend_from_slice(b"{\"NOTE\":\"");
            ndjson.extend((0..ROW * 3 / 8).map(|_| u8::try_from(rng.alphanumeric()).unwrap()));
            ndjson.resize(start + ROW - "\"}\n".len(), b'.');
            ndjson.extend_from_slice(b"\"}\n");
        }
        RowBatch::from_ndjson(ndjson).unwrap()
    };
    // Together they are longer than the window of zstd.
    (0..4).map(batch).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^52")]
fn read_off(service: &Service, setup: Setup, half: Instant) -> Carried {
    let seen = service.seen();
    let steady: Vec<Vec<Admitted>> = seen
        .admitted
        .values()
        .map(|of| of.iter().copied().filter(|one| one.at >= half).collect())
        .collect();
    let rates: Vec<f64> = steady.iter().map(|of| rate(of)).collect();
    let requests: usize = steady.iter().map(Vec::len).sum();
    let bytes: f64 = seen.admitted.values().flatten().map(|one| one.bytes).sum();
    Carried {
        all: rates.iter().sum(),
        slowest: rates.iter().copied().fold(f64::MAX, f64::min),
        fastest: rates.iter().copied().fold(0.0, f64::max),
        requests: requests as f64 / setup.channels as f64 / (setup.lasts / 2).as_secs_f64(),
        over_limit: seen.over_limit,
        ratio: bytes / seen.wire_bytes as f64,
    }
}

/// The rate from the first request to the last one. Each request waits until the pacing allows for those before it.
fn rate(admitted: &[Admitted]) -> f64 {
    let (last, paid) = admitted.split_last().unwrap();
    let bytes: f64 = paid.iter().map(|one| one.bytes).sum();
    bytes / (last.at - admitted[0].at).as_secs_f64() / 1e6
}

#[test]
fn one_channel_reaches_the_services_limit_at_any_latency() {
    for delay in [0, 50, 200] {
        let carried = carried(Setup::new(1, delay));
        assert!((19.5..20.1).contains(&carried.all), "{carried:?}");
        assert_eq!(carried.over_limit, 0, "{delay} ms");
        assert!((3.0..4.0).contains(&carried.ratio), "{carried:?}");
    }
}

#[test]
fn a_429_costs_no_more_than_its_request_at_the_channels_pace() {
    let carried = carried(Setup {
        throttles_every: Some(10),
        lasts: Duration::from_secs(20),
        ..Setup::new(1, 50)
    });
    // The lower bound: one request in ten is paced twice.
    assert!((17.0..20.1).contains(&carried.all), "{carried:?}");
    assert_eq!(carried.over_limit, 0);
}

/// All uploads share the bandwidth. If each of the sixteen channels kept one under way, none would be complete within a minute.
#[test]
fn a_slow_uplink_carries_fewer_uploads_at_once() {
    for uplink in [30e3, 60e3] {
        let setup = Setup {
            uplink: Some(uplink),
            lasts: Duration::from_secs(1_200),
            ..Setup::new(16, 50).budget_mib(16)
        };
        let (service, half) = run(setup);
        let seen = service.seen();
        let all = seen.admitted.values().flatten();
        let landed = |since| {
            let of = all.clone().filter(|one| one.at >= since);
            of.map(|one| one.bytes).sum::<f64>()
        };
        let start = half - setup.lasts / 2;
        let ratio = landed(start) / service::bytes(seen.wire_bytes);
        let used = landed(half) / ratio / (setup.lasts / 2).as_secs_f64() / uplink;
        let channels = seen.admitted.len();
        println!("{uplink} B/s: {used:.2} of the uplink in the second half, {channels} channels");
        assert!(used > 0.8, "{used:.2} of {uplink} B/s");
        assert_eq!(channels, setup.channels);
    }
}

#[test]
fn without_pacing_the_service_throttles() {
    let carried = carried(Setup {
        pacing: Pacing::Off,
        ..Setup::new(1, 50)
    });
    assert!(carried.over_limit > 10, "{carried:?}");
    // A little more, because a request that starts in one second may count in the next.
    assert!((19.5..22.0).contains(&carried.all), "{carried:?}");
}

#[test]
fn channels_add_up_and_share_fairly() {
    let mut setups = vec![
        Setup::new(4, 50).budget_mib(32),
        Setup::new(10, 50).budget_mib(64),
    ];
    if std::env::var("SCALE").is_ok_and(|scale| scale == "full") {
        for (channels, delay, budget, seconds) in [
            (10, 0, 128, 10),
            (10, 50, 32, 10),
            (10, 200, 128, 10),
            (50, 50, 128, 20),
            (50, 200, 256, 20),
            (100, 50, 256, 20),
        ] {
            setups.push(Setup {
                lasts: Duration::from_secs(seconds),
                ..Setup::new(channels, delay).budget_mib(budget)
            });
        }
    }
    for setup in setups {
        let carried = carried(setup);
        // The service does not accept more from one channel.
        assert!(carried.slowest > 19.5, "{setup:?}: {carried:?}");
        assert_eq!(carried.over_limit, 0, "{setup:?}");
    }
}
