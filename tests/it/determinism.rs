//! One seed, one history: the same requests at the same instants with the same fates, faults included.

use std::time::Duration;

use snowpipe_streaming::emulator::{Endpoint, Fault, LoggedRequest, ReplayedToken};
use snowpipe_streaming::{ErrorKind, OnUncommitted};
use tokio::time::Instant;

use crate::support::{World, row};

/// Three channels that each stream their rows through random faults, reopening as they must.
async fn history(seed: u64) -> (Vec<LoggedRequest>, Vec<i64>, Duration) {
    let start = Instant::now();
    let replay = match seed % 2 {
        0 => ReplayedToken::Accept,
        _ => ReplayedToken::Stale,
    };
    let world = World::with(|e| e.seed(seed).replay(replay));
    let faults = world.emulator.faults();
    for (fault, rate) in [
        (Fault::Refuse, 0.05),
        (Fault::Lose, 0.05),
        (Fault::ApplyThenLose, 0.05),
        (Fault::ServerError(503), 0.05),
        (Fault::Throttle(Some(Duration::from_secs(1))), 0.05),
        (Fault::Stale, 0.02),
        (Fault::Zombie, 0.03),
        (Fault::Cut, 0.02),
        (Fault::ApplyThenHang, 0.01),
        (Fault::SecondWriter, 0.02),
        (Fault::ExpireToken, 0.02),
        (Fault::Delay(Duration::from_millis(700)), 0.1),
    ] {
        faults.push(fault.on(Endpoint::Append).at_rate(rate));
    }
    faults.push(Fault::ServerError(500).on(Endpoint::Status).at_rate(0.1));
    faults.push(Fault::BareNotFound.on(Endpoint::Status).at_rate(0.05));
    let client = world.builder().seed(seed).build().await.unwrap();
    let streams = (0..3).map(|i| stream(client.clone(), i));
    futures_util::future::join_all(streams).await;
    faults.clear();
    client.close().await.unwrap();
    (world.emulator.log(), world.landed(), start.elapsed())
}

/// Streams the numbers from `1000 i` on, each once, whatever happens.
async fn stream(client: snowpipe_streaming::StreamingIngestClient, i: i64) {
    let policy = OnUncommitted::WaitThenDiscard(Duration::from_secs(30));
    let opening = client.open_channel(format!("c{i}"));
    let mut channel = opening.on_uncommitted(policy).await.unwrap();
    let (first, end) = (1000 * i, 1000 * i + 300);
    loop {
        let next = channel
            .resume_point::<i64>()
            .unwrap()
            .map_or(first, |n| n + 1);
        let mut failed = None;
        for n in next..end {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if let Err(error) = channel.append_row(&row(n), n).await {
                failed = Some(error);
                break;
            }
        }
        let failed = match failed {
            Some(error) => error,
            None => match channel.wait_for_commit().await {
                Ok(_) => break,
                Err(error) => error,
            },
        };
        let kind = failed.kind();
        assert!(matches!(kind, ErrorKind::Invalidated(_)), "{failed:?}");
        channel.reopen().await.unwrap();
    }
    channel.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_is_the_same_history_and_no_row_is_lost_or_doubled_in_any() {
    let mut expected: Vec<i64> = (0..3).flat_map(|i| 1000 * i..1000 * i + 300).collect();
    expected.sort_unstable();
    let mut logs = Vec::new();
    for seed in 0..12 {
        let (log, landed, took) = history(seed).await;
        let mut sorted = landed.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, expected, "seed {seed}");
        let struck = log.iter().filter(|r| r.fault.is_some()).count();
        assert!(struck > 5, "seed {seed}: {struck} faults");
        let (again, landed_again, took_again) = history(seed).await;
        assert_eq!(log, again, "seed {seed}");
        assert_eq!((landed, took), (landed_again, took_again), "seed {seed}");
        assert!(!logs.contains(&log), "seed {seed} is another one's twin");
        logs.push(log);
    }
}
