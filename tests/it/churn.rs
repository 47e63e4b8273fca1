//! Everything at once over real HTTP: several writers, faults at every endpoint, and users who reopen. In the end every row
//! is there once and in order.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::json;
use snowpipe_streaming::emulator::{
    Emulator, Endpoint, Fault, Limits, ReplayedToken, Rule, Server,
};
use snowpipe_streaming::{
    Channel, Error, ErrorKind, OnUncommitted, Profile, Result, StreamingIngestClient,
};

use crate::stage::{self, within};
use crate::support::TABLE;

const WRITERS: u64 = 6;
const ROWS: u64 = 240;

/// What goes wrong with how many of the requests. Of each kind that a client is made for, but not a hang: with a real clock
/// that is a wait.
fn faults() -> Vec<Rule> {
    let late = Fault::Delay(Duration::from_millis(15));
    let lost = "ERR_CHANNEL_MUST_BE_REOPENED".to_owned();
    vec![
        Fault::Refuse.at_rate_on(None, 0.02),
        Fault::Lose.at_rate_on(None, 0.02),
        Fault::Cut.at_rate_on(None, 0.02),
        Fault::ServerError(503).at_rate_on(None, 0.02),
        Fault::Throttle(None).at_rate_on(None, 0.02),
        Fault::ExpireToken.at_rate_on(None, 0.01),
        Fault::Unauthorized.at_rate_on(None, 0.01),
        late.at_rate_on(None, 0.1),
        Fault::ApplyThenLose.at_rate_on(Some(Endpoint::Append), 0.05),
        Fault::ApplyThenServerError(500).at_rate_on(Some(Endpoint::Append), 0.03),
        Fault::Zombie.at_rate_on(Some(Endpoint::Append), 0.02),
        Fault::Stale.at_rate_on(Some(Endpoint::Append), 0.02),
        Fault::SecondWriter.at_rate_on(Some(Endpoint::Append), 0.02),
        Fault::Invalidate(lost).at_rate_on(Some(Endpoint::Append), 0.02),
        Fault::FailedOver.at_rate_on(Some(Endpoint::Append), 0.01),
        Fault::ApplyThenLose.at_rate_on(Some(Endpoint::Open), 0.05),
    ]
}

trait AtRate {
    fn at_rate_on(self, endpoint: Option<Endpoint>, rate: f64) -> Rule;
}

impl AtRate for Fault {
    fn at_rate_on(self, endpoint: Option<Endpoint>, rate: f64) -> Rule {
        match endpoint {
            Some(endpoint) => self.on(endpoint),
            None => Rule::from(self),
        }
        .at_rate(rate)
    }
}

/// Writes all rows of one channel, as a program does that keeps its rows until they are committed.
struct Writer {
    client: StreamingIngestClient,
    name: String,
    dice: fastrand::Rng,
    reopened: u32,
}

impl Writer {
    async fn run(mut self) -> u32 {
        let mut channel = self.open().await;
        let mut next = resume(&channel);
        while next < ROWS {
            match self.write(&mut channel, next).await {
                Ok(after) if self.dice.bool() => {
                    next = after;
                    continue;
                }
                Ok(_) if self.dice.bool() => {
                    // The user goes, and comes again. What is committed stays so, whatever becomes of the call.
                    drop(channel.close().await);
                    channel = self.open().await;
                }
                Ok(_) => reopen(&mut channel).await,
                Err(error) => {
                    assert_ne!(error.kind(), ErrorKind::TokenReused, "{error}");
                    reopen(&mut channel).await;
                }
            }
            next = resume(&channel);
            self.reopened += 1;
        }
        drop(channel.close().await);
        self.reopened
    }

    /// Some appends from `next` on, and a wait for what was appended, or none. What comes after them.
    async fn write(&mut self, channel: &mut Channel, mut next: u64) -> Result<u64> {
        for _ in 0..self.dice.u32(1..8) {
            let end = (next + self.dice.u64(1..12)).min(ROWS);
            let rows = (next..end).map(|n| json!({ "C": self.name, "N": n }));
            let receipt = channel.append_rows(rows, next..).await?;
            if self.dice.bool() {
                receipt.accepted().await?;
            }
            next = end;
            if next == ROWS {
                break;
            }
        }
        if next == ROWS || self.dice.bool() {
            channel.wait_for_commit().await?;
        }
        Ok(next)
    }

    /// Opens the channel, however often it takes.
    async fn open(&self) -> Channel {
        loop {
            let opened = self.client.open_channel(&self.name);
            match opened.on_uncommitted(OnUncommitted::Discard).await {
                Ok(channel) => return channel,
                Err(error) => may_pass(&error),
            }
        }
    }
}

/// Gives up what is not committed.
async fn reopen(channel: &mut Channel) {
    while let Err(error) = channel.reopen().await {
        may_pass(&error);
    }
}

/// The row after the last one that is committed.
fn resume(channel: &Channel) -> u64 {
    let committed = channel.resume_point::<u64>().unwrap();
    committed.map_or(0, |last| last + 1)
}

/// Whether another try may help, after what this test does to the server.
#[track_caller]
fn may_pass(error: &Error) {
    let passing = [
        ErrorKind::NotFound,
        ErrorKind::Refused,
        ErrorKind::Authentication,
    ];
    let kind = error.kind();
    assert!(
        error.is_retryable() || passing.contains(&kind),
        "{kind:?}: {error}"
    );
}

async fn churn(replay: ReplayedToken, seed: u64) {
    let emulator = Emulator::builder()
        .limits(Limits::off())
        .commit_delay(Duration::from_millis(15))
        .commit_every(Duration::ZERO)
        .replay(replay)
        .seed(seed);
    let address = (Ipv4Addr::LOCALHOST, 0).into();
    let server = Server::bind(emulator.build().unwrap(), address)
        .await
        .unwrap();
    let emulator = server.emulator().clone();
    let profile = Profile::from_json(&emulator.profile_json(&server.url())).unwrap();
    let mut clients = Vec::new();
    for _ in 0..2 {
        clients.push(stage::builder(profile.clone()).build().await.unwrap());
    }
    for rule in faults() {
        emulator.faults().push(rule);
    }
    let writers = (0..WRITERS).map(|n| {
        let writer = Writer {
            client: clients[usize::try_from(n % 2).unwrap()].clone(),
            name: format!("c{n}"),
            dice: fastrand::Rng::with_seed(seed ^ n),
            reopened: 0,
        };
        tokio::spawn(writer.run())
    });
    let writers: Vec<_> = writers.collect();
    let mut reopened = 0;
    for writer in writers {
        reopened += within(writer).await.unwrap();
    }
    emulator.faults().clear();
    for client in clients {
        within(client.close()).await.unwrap();
    }

    let mut landed: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for row in emulator.rows(TABLE).unwrap() {
        let row = row.get("ROW").unwrap_or(&row);
        let name = row["C"].as_str().unwrap().to_owned();
        landed
            .entry(name)
            .or_default()
            .push(row["N"].as_u64().unwrap());
    }
    let all: Vec<u64> = (0..ROWS).collect();
    assert_eq!(landed.len() as u64, WRITERS);
    for (name, rows) in landed {
        assert_eq!(rows, all, "{name}, seed {seed}");
    }
    let injected = emulator.faults().injected();
    assert!(
        reopened > 10 && injected.len() > 8,
        "too quiet: {reopened} {injected:?}"
    );
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_lands_once_where_a_repeated_token_is_known() {
    churn(ReplayedToken::Accept, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_lands_once_where_a_repeated_token_is_stale() {
    churn(ReplayedToken::Stale, 2).await;
}
