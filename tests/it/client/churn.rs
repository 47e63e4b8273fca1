//! Concurrency over real HTTP and on several threads: writers, faults at every endpoint, and callers that reopen, close and
//! cancel. Each batch is compressed off the async threads. In the end every row has landed once, in order, byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::future::IntoFuture as _;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::time::Duration;

use serde_json::json;
use snowpipe_streaming::{
    Channel, Error, ErrorKind, OnUncommitted, Profile, Receipt, Recovery, Result,
    StreamingIngestClient,
};
use snowpipe_streaming_emulator::{Emulator, Endpoint, Fault, Limits, ReplayedToken, Rule, Server};
use tokio::task::JoinSet;

use crate::scripted_server;
use crate::support::TABLE;

const WRITERS: u64 = 6;
const ROWS: u64 = 240;

/// The faults, with the share of requests that they hit. There are no hangs, because they take real time here.
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

/// The output of `future`. The test fails if it takes very long.
async fn in_time<F: Future>(future: F) -> F::Output {
    let limit = Duration::from_secs(300);
    tokio::time::timeout(limit, future).await.expect("it hangs")
}

/// The content of a row: up to some hundred characters that no other row has.
fn content(channel: &str, row: u64) -> String {
    let seed = channel.bytes().fold(row, |seed, byte| {
        seed.wrapping_mul(131).wrapping_add(u64::from(byte))
    });
    let mut rng = fastrand::Rng::with_seed(seed);
    let len = rng.usize(..400);
    std::iter::repeat_with(|| rng.alphanumeric())
        .take(len)
        .collect()
}

/// The rows that landed: channel, number and content.
fn landed(emulator: &Emulator) -> impl Iterator<Item = (String, u64, String)> {
    let rows = emulator.rows(TABLE).unwrap().into_iter();
    rows.map(|row| {
        let row = row.get("ROW").unwrap_or(&row);
        let text = |column: &str| row[column].as_str().unwrap().to_owned();
        (text("C"), row["N"].as_u64().unwrap(), text("T"))
    })
}

/// Writes all rows of one channel, as a program does that keeps its rows until they are committed.
struct Writer {
    client: StreamingIngestClient,
    emulator: Emulator,
    name: String,
    dice: fastrand::Rng,
    receipts: JoinSet<()>,
    tally: Tally,
}

/// How often a writer did each operation.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    reopened: u32,
    cancelled: u32,
    /// Committed receipts and successful closes that were compared with the table at that moment.
    checked: u32,
}

impl Writer {
    async fn run(mut self) -> Tally {
        let mut channel = self.open().await;
        let mut next = resume(&channel);
        while next < ROWS {
            match self.write(&mut channel, next).await {
                Ok(after) if self.dice.bool() => {
                    next = after;
                    continue;
                }
                Ok(after) if self.dice.bool() => {
                    // The caller closes the channel and opens it again. Committed rows stay committed even if the close fails.
                    if channel.close().await.is_ok() {
                        self.check(0..after);
                    }
                    channel = self.open().await;
                }
                Ok(_) => reopen(&mut channel).await,
                Err(error) => {
                    assert_ne!(error.kind(), ErrorKind::TokenReused, "{error}");
                    reopen(&mut channel).await;
                }
            }
            next = resume(&channel);
            self.tally.reopened += 1;
        }
        if channel.close().await.is_ok() {
            self.check(0..ROWS);
        }
        while let Some(checked) = self.receipts.join_next().await {
            checked.unwrap();
        }
        self.tally
    }

    /// Makes some appends, starting at `next`, and may wait for their commits. Returns the next number.
    async fn write(&mut self, channel: &mut Channel, mut next: u64) -> Result<u64> {
        for _ in 0..self.dice.u32(1..8) {
            let end = (next + self.dice.u64(1..12)).min(ROWS);
            let rows =
                (next..end).map(|n| json!({ "C": self.name, "N": n, "T": content(&self.name, n) }));
            let mut append = channel.append_rows(rows, next..).into_future();
            if self.dice.u8(..6) == 0 {
                // The caller cancels the append after the first poll.
                let is_cancelled = futures_util::poll!(&mut append).is_pending();
                drop(append);
                self.tally.cancelled += u32::from(is_cancelled);
                next = channel
                    .last_appended()
                    .map_or(0, |last| last.parse::<u64>().unwrap() + 1);
            } else {
                let receipt = append.await?;
                if self.dice.bool() {
                    receipt.accepted().await?;
                }
                if self.dice.u8(..4) == 0 {
                    self.watch(receipt, next..end);
                }
                next = end;
            }
            if next == ROWS {
                break;
            }
        }
        if next == ROWS || self.dice.bool() {
            channel.wait_for_commit().await?;
        }
        Ok(next)
    }

    /// When the receipt resolves as committed, checks that the rows are in the table.
    fn watch(&mut self, receipt: Receipt, rows: Range<u64>) {
        let (emulator, name) = (self.emulator.clone(), self.name.clone());
        self.tally.checked += 1;
        self.receipts.spawn(async move {
            if receipt.committed().await.is_ok() {
                check(&emulator, &name, rows);
            }
        });
    }

    fn check(&mut self, rows: Range<u64>) {
        self.tally.checked += 1;
        check(&self.emulator, &self.name, rows);
    }

    /// Opens the channel, with as many attempts as needed.
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

/// Reopens a channel. Its uncommitted rows are lost.
async fn reopen(channel: &mut Channel) {
    while let Err(error) = channel.reopen().await {
        may_pass(&error);
    }
}

/// The row after the last one that is committed.
fn resume(channel: &Channel) -> u64 {
    let committed = channel.resume_after::<u64>().unwrap();
    committed.map_or(0, |last| last + 1)
}

/// Checks that the error may be temporary under the faults of this test.
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

/// Checks that these rows, which were reported as committed, have landed.
fn check(emulator: &Emulator, name: &str, rows: Range<u64>) {
    let landed = landed(emulator).filter(|(channel, ..)| channel == name);
    let landed: BTreeSet<u64> = landed.map(|(_, n, _)| n).collect();
    let missing = rows.into_iter().find(|n| !landed.contains(n));
    assert_eq!(
        missing, None,
        "a row of {name} was reported as committed and is missing"
    );
}

async fn churn(replay: ReplayedToken, recovery: Recovery, seed: u64) {
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
        let client = scripted_server::builder(profile.clone())
            .recovery(recovery)
            .offload_threshold(0);
        clients.push(client.build().await.unwrap());
    }
    for rule in faults() {
        emulator.faults().push(rule);
    }
    let writers = (0..WRITERS).map(|n| {
        let writer = Writer {
            client: clients[usize::try_from(n % 2).unwrap()].clone(),
            emulator: emulator.clone(),
            name: format!("c{n}"),
            dice: fastrand::Rng::with_seed(seed ^ n),
            receipts: JoinSet::new(),
            tally: Tally::default(),
        };
        tokio::spawn(writer.run())
    });
    let writers: Vec<_> = writers.collect();
    let mut all = Tally::default();
    for writer in writers {
        let tally = in_time(writer).await.unwrap();
        all.reopened += tally.reopened;
        all.cancelled += tally.cancelled;
        all.checked += tally.checked;
    }
    emulator.faults().clear();
    for client in clients {
        in_time(client.close()).await.unwrap();
    }

    let mut rows: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (name, n, text) in landed(&emulator) {
        assert_eq!(text, content(&name, n), "row {n} of {name}, seed {seed}");
        rows.entry(name).or_default().push(n);
    }
    assert_eq!(rows.len() as u64, WRITERS);
    for (name, rows) in rows {
        assert!(rows.into_iter().eq(0..ROWS), "{name}, seed {seed}");
    }
    let injected = emulator.faults().injected();
    assert!(
        all.reopened > 5 && all.checked > 20 && injected.len() > 8,
        "too quiet: {all:?} {injected:?}"
    );
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_row_lands_once_where_a_repeated_token_is_known() {
    churn(ReplayedToken::Accept, Recovery::Surface, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_row_lands_once_where_a_repeated_token_is_stale() {
    churn(ReplayedToken::Stale, Recovery::Surface, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_row_lands_once_where_channels_replay_and_a_repeated_token_is_known() {
    churn(ReplayedToken::Accept, Recovery::Replay, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_row_lands_once_where_channels_replay_and_a_repeated_token_is_stale() {
    churn(ReplayedToken::Stale, Recovery::Replay, 4).await;
}
