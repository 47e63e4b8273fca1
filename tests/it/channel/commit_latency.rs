//! How long it takes to notice a commit, and with how many polls, in virtual time.

use std::time::Duration;

use futures_util::future::join_all;
use snowpipe_streaming::{Channel, Receipt, StreamingIngestClient};
use snowpipe_streaming_emulator::Endpoint;
use tokio::time::{Instant, sleep, sleep_until};

use crate::support::{World, row};

/// When a server commits accepted rows.
#[derive(Debug, Clone, Copy)]
struct Pace {
    delay_ms: u64,
    every_ms: u64,
}

const AT_ONCE: Pace = pace(0, 0);

const fn pace(delay_ms: u64, every_ms: u64) -> Pace {
    Pace { delay_ms, every_ms }
}

impl Pace {
    fn world(self) -> World {
        World::with(|e| {
            e.commit_delay(Duration::from_millis(self.delay_ms))
                .commit_every(Duration::from_millis(self.every_ms))
        })
    }

    /// When rows are committed that were accepted at `accepted`. Both times count from the start of the world.
    fn commits(self, accepted: Duration) -> Duration {
        let due = u64::try_from(accepted.as_millis()).unwrap() + self.delay_ms;
        let tick = self.every_ms.max(1);
        Duration::from_millis(due.div_ceil(tick) * tick)
    }
}

/// The delays from each commit until its receipt resolved.
#[derive(Debug, Default)]
struct Delays(Vec<Duration>);

impl Delays {
    fn p95_ms(mut self) -> u128 {
        self.0.sort();
        self.0[self.0.len() * 95 / 100].as_millis()
    }
}

/// Awaits a receipt and returns how long the commit went unnoticed. Times count from `start`, when the world began.
async fn unnoticed(pace: Pace, start: Instant, receipt: Receipt) -> Duration {
    receipt.accepted().await.unwrap();
    let committed = pace.commits(start.elapsed());
    receipt.committed().await.unwrap();
    start.elapsed().checked_sub(committed).unwrap()
}

/// Flushes single rows, each after the channel was idle for more than ten seconds.
async fn lone_flushes(channel: &mut Channel, pace: Pace, start: Instant, count: i64) -> Delays {
    let mut delays = Delays::default();
    for n in 0..count {
        let odd = u64::try_from(n * 377 % 1_000).unwrap();
        sleep(Duration::from_millis(10_000 + odd)).await;
        let receipt = channel.append_row(&row(n), n).await.unwrap();
        channel.initiate_flush();
        delays.0.push(unnoticed(pace, start, receipt).await);
    }
    delays
}

/// Appends a row every 400 ms, for `time`.
async fn stream(channel: &mut Channel, pace: Pace, start: Instant, time: Duration) -> Delays {
    let mut followed = Vec::new();
    let begin = Instant::now();
    let mut n = 0;
    while begin.elapsed() < time {
        let receipt = channel.append_row(&row(n), n).await.unwrap();
        followed.push(tokio::spawn(unnoticed(pace, start, receipt)));
        n += 1;
        sleep_until(begin + Duration::from_millis(400) * u32::try_from(n).unwrap()).await;
    }
    let delays = join_all(followed).await;
    Delays(delays.into_iter().map(Result::unwrap).collect())
}

/// Polls per second since `start`, without the burst.
fn polls_a_second(world: &World, start: Instant) -> f64 {
    let polls = u32::try_from(world.requests(Endpoint::Status)).unwrap();
    (f64::from(polls) - 5.0) / start.elapsed().as_secs_f64()
}

/// Servers with a constant commit latency.
const STEADY: [Pace; 7] = [
    AT_ONCE,
    pace(30, 0),
    pace(300, 0),
    pace(1_000, 0),
    pace(2_345, 0),
    pace(5_000, 0),
    pace(29_990, 0),
];

/// Servers with a variable commit latency: a commit takes up to the second number of milliseconds longer.
const UNSTEADY: [Pace; 5] = [
    pace(500, 250),
    pace(1_000, 300),
    pace(5_000, 100),
    pace(0, 1_000),
    pace(0, 5_000),
];

fn all() -> impl Iterator<Item = Pace> {
    STEADY.into_iter().chain(UNSTEADY)
}

async fn client_with_lag(world: &World, lag_ms: u64) -> StreamingIngestClient {
    let lag = Duration::from_millis(lag_ms);
    world.builder().max_client_lag(lag).build().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_commit_of_a_lone_flush_is_known_within_a_tenth_of_a_second() {
    let spread_300_ms = UNSTEADY.into_iter().take(3);
    for pace in STEADY.into_iter().chain(spread_300_ms) {
        let world = pace.world();
        let start = Instant::now();
        let (_client, mut channel) = world.channel().await;
        let delays = lone_flushes(&mut channel, pace, start, 200).await;
        let p95 = delays.p95_ms();
        assert!(p95 <= 100, "{pace:?}: {p95} ms");
        // One poll a second until the commit is due, and from then on at most the burst.
        let polls = world.requests(Endpoint::Status) as u64;
        let most = 200 * (pace.delay_ms / 1_000 + 5);
        assert!(polls <= most, "{pace:?}: {polls} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn the_commits_of_a_stream_are_known_within_a_second_or_so_at_two_polls_a_second() {
    for pace in all() {
        for lag_ms in [100, 1_000] {
            let world = pace.world();
            let start = Instant::now();
            let client = client_with_lag(&world, lag_ms).await;
            let mut channel = client.open_channel("c").await.unwrap();
            let delays = stream(&mut channel, pace, start, Duration::from_secs(60)).await;
            let (p95, polls) = (delays.p95_ms(), polls_a_second(&world, start));
            assert!(p95 <= 1_200, "{pace:?}, lag {lag_ms} ms: {p95} ms");
            assert!(polls <= 2.0, "{pace:?}, lag {lag_ms} ms: {polls} polls/s");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_leaves_enough_polls_for_lone_flushes_beside_it() {
    for pace in [AT_ONCE, pace(1_000, 0), pace(5_000, 0)] {
        for lag_ms in [100, 1_000] {
            let world = pace.world();
            let start = Instant::now();
            let client = client_with_lag(&world, lag_ms).await;
            let mut busy = client.open_channel("busy").await.unwrap();
            let mut lone = client.open_channel("lone").await.unwrap();
            let (busy, lone) = tokio::join!(
                stream(&mut busy, pace, start, Duration::from_secs(800)),
                lone_flushes(&mut lone, pace, start, 80),
            );
            let polls = polls_a_second(&world, start);
            let (busy, lone) = (busy.p95_ms(), lone.p95_ms());
            assert!(busy <= 1_200, "{pace:?}, lag {lag_ms} ms: stream {busy} ms");
            assert!(lone <= 100, "{pace:?}, lag {lag_ms} ms: alone {lone} ms");
            assert!(polls <= 2.0, "{pace:?}, lag {lag_ms} ms: {polls} polls/s");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_after_a_stream_learns_of_its_commits_soon() {
    for pace in [AT_ONCE, pace(300, 0), pace(1_000, 0)] {
        let mut delays = Delays::default();
        for odd_ms in (0..400).step_by(20) {
            let world = pace.world();
            let start = Instant::now();
            let client = client_with_lag(&world, 100).await;
            let mut channel = client.open_channel("c").await.unwrap();
            let time = Duration::from_secs(10);
            stream(&mut channel, pace, start, time).await;
            for n in 25..30 {
                channel.append_row(&row(n), n).await.unwrap();
                sleep(Duration::from_millis(400)).await;
            }
            sleep(Duration::from_millis(odd_ms)).await;
            let receipt = channel.append_row(&row(30), 30).await.unwrap();
            let (delay, closed) = tokio::join!(unnoticed(pace, start, receipt), channel.close());
            closed.unwrap();
            delays.0.push(delay);
        }
        let p95 = delays.p95_ms();
        assert!(p95 <= 250, "{pace:?}: {p95} ms");
    }
}
