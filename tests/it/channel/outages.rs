//! Status calls that keep failing: how long the client waits, and the error in the end. Paused clock throughout.

use std::future::IntoFuture;
use std::time::Duration;

use futures_util::future::join_all;
use snowpipe_streaming::{Channel, InvalidationCause, Recovery, ingest};
use snowpipe_streaming_emulator::{Endpoint, Fault};
use tokio::time::{Instant, sleep, timeout};

use crate::source::Shelf;
use crate::support::{World, cause, row};

/// The kind of outage.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outage {
    /// The status call: no connection.
    StatusRefused,
    /// The status call: 503.
    StatusFailed,
    /// The status call: no answer.
    StatusHangs,
    /// Both hosts.
    Everything,
    /// The account host, which issues no new token for one that expires.
    AccountHost,
}

const OUTAGES: [Outage; 5] = [
    Outage::StatusRefused,
    Outage::StatusFailed,
    Outage::StatusHangs,
    Outage::Everything,
    Outage::AccountHost,
];

impl Outage {
    fn begin(self, world: &World) {
        let faults = world.emulator.faults();
        let always = |fault: Fault, endpoint| faults.push(fault.on(endpoint).always());
        match self {
            Self::StatusRefused => always(Fault::Refuse, Endpoint::Status),
            Self::StatusFailed => always(Fault::ServerError(503), Endpoint::Status),
            Self::StatusHangs => always(Fault::Hang, Endpoint::Status),
            Self::Everything => {
                for endpoint in [
                    Endpoint::Hostname,
                    Endpoint::Token,
                    Endpoint::Open,
                    Endpoint::Append,
                    Endpoint::Status,
                ] {
                    always(Fault::Refuse, endpoint);
                }
            }
            Self::AccountHost => {
                faults.push(Fault::ExpireToken.on(Endpoint::Status));
                always(Fault::Refuse, Endpoint::Hostname);
                always(Fault::Refuse, Endpoint::Token);
            }
        }
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_steady_stream_survives_an_outage_shorter_than_the_retry_time() {
    for recovery in [Recovery::Surface, Recovery::Replay] {
        for outage in OUTAGES {
            let world = World::new();
            let client = world.builder().recovery(recovery).build().await.unwrap();
            let mut channel = client.open_channel("c").await.unwrap();
            let first = channel.append_row(&row(0), 0).await.unwrap();
            first.accepted().await.unwrap();
            outage.begin(&world);
            for n in 1..57 {
                let appended = channel.append_row(&row(n), n).await;
                drop(appended.unwrap_or_else(|e| panic!("{outage:?}, row {n}: {e}")));
                sleep(seconds(10)).await;
            }
            world.emulator.faults().clear();
            let committed = channel.wait_for_commit().await;
            committed.unwrap_or_else(|e| panic!("{outage:?}: {e}"));
            assert_eq!(world.landed(), (0..57).collect::<Vec<_>>(), "{outage:?}");
            assert_eq!(world.requests(Endpoint::Open), 1, "{outage:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_longer_than_the_retry_time_is_reported() {
    for recovery in [Recovery::Surface, Recovery::Replay] {
        for outage in OUTAGES {
            let world = World::new();
            let client = world.builder().recovery(recovery).build().await.unwrap();
            let mut channel = client.open_channel("c").await.unwrap();
            let receipt = channel.append_row(&row(0), 0).await.unwrap();
            receipt.accepted().await.unwrap();
            outage.begin(&world);
            let started = Instant::now();
            let error = channel.invalidated().await;
            let text = format!("{recovery:?}, {outage:?}: {error}");
            assert_eq!(cause(&error), InvalidationCause::Unreachable, "{text}");
            let lasted = started.elapsed();
            assert!(
                (seconds(600)..seconds(632)).contains(&lasted),
                "{text}: {lasted:?}"
            );
            assert!(!text.contains("look at the pipe"), "{text}");
            assert!(text.contains("1 accepted (\"0\" through \"0\")"), "{text}");
            let error = receipt.committed().await.unwrap_err();
            assert!(error.is_ambiguous(), "{text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_survives_an_outage_shorter_than_the_retry_time() {
    for outage in OUTAGES {
        let world = World::new();
        let client = world.client().await;
        let mut shelf = Shelf::of(0..10);
        let run = ingest::run(&client, "c", &mut shelf).into_future();
        let meanwhile = async {
            while world.requests(Endpoint::Append) == 0 {
                sleep(Duration::from_millis(10)).await;
            }
            outage.begin(&world);
            sleep(seconds(570)).await;
            world.emulator.faults().clear();
        };
        let (outcome, ()) = tokio::join!(run, meanwhile);
        outcome.unwrap_or_else(|e| panic!("{outage:?}: {e}"));
        assert_eq!(world.landed(), (0..10).collect::<Vec<_>>(), "{outage:?}");
        assert_eq!(shelf.stock().released, Some(9));
        assert_eq!(world.requests(Endpoint::Open), 1, "{outage:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn time_without_statuses_does_not_count_as_a_stall() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    let faults = world.emulator.faults();
    faults.push(Fault::WithholdCommits(Duration::MAX).on(Endpoint::Append));
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    receipt.accepted().await.unwrap();
    let accepted = Instant::now();
    sleep(seconds(60)).await;
    Outage::StatusFailed.begin(&world);
    sleep(seconds(300)).await;
    faults.clear();
    let error = channel.invalidated().await;
    assert_eq!(cause(&error), InvalidationCause::CommitStalled);
    let waited = accepted.elapsed();
    assert!((seconds(599)..seconds(603)).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn every_channel_of_a_status_call_that_fails_learns_of_the_outage() {
    let world = World::new();
    let client = world.client().await;
    Outage::StatusFailed.begin(&world);
    let mut channels = Vec::new();
    for name in ["a", "b", "c"] {
        let mut channel = client.open_channel(name).await.unwrap();
        drop(channel.append_row(&row(0), 0).await.unwrap());
        channels.push(channel);
    }
    let all = join_all(channels.iter().map(Channel::invalidated));
    let errors = timeout(seconds(632), all).await;
    for error in errors.expect("they end with the retry time") {
        assert_eq!(cause(&error), InvalidationCause::Unreachable, "{error}");
    }
}
