//! A writer: it streams numbered rows in sessions, each of which ends with a close, a crash, or the channel in other hands.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior};

use super::ledger::Ledger;
use snowpipe_streaming::PipePath;
use snowpipe_streaming::Profile;
use snowpipe_streaming::StreamingIngestClient;
use snowpipe_streaming::time::TimeSource;
use snowpipe_streaming::transport::Transport;
use snowpipe_streaming::{Error, ErrorKind, InvalidationCause, Result};

/// How long a session lasts at most, and how long a writer rests after one.
const MOST_SESSION: Duration = Duration::from_secs(30);
const MOST_REST: Duration = Duration::from_secs(3);
/// How often rows are appended.
const TICK: Duration = Duration::from_millis(100);

/// A row of a soak.
#[derive(Debug, Serialize)]
struct Row<'a> {
    #[serde(rename = "C")]
    channel: &'a str,
    #[serde(rename = "N")]
    number: u64,
    /// Filler, so that rows have the length of usual ones.
    #[serde(rename = "TEXT")]
    text: &'static str,
}

const TEXT: &str = "the quick brown fox jumps over the lazy dog, and then it does so once more";

/// A writer of a channel.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    pub(super) profile: Profile,
    pub(super) pipe: PipePath,
    pub(super) channel: String,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) time: Arc<dyn TimeSource>,
    /// Rows each tick.
    pub(super) rows: u64,
    pub(super) seed: u64,
    pub(super) ledger: Arc<Ledger>,
    /// Until when the pipe of the new table may be unknown to a part of the service.
    pub(super) known_by: Instant,
    pub(super) until: Instant,
}

/// How a session ends when its time is over.
#[derive(Debug, Clone, Copy)]
enum End {
    Close,
    Crash,
}

impl Writer {
    /// The rows that a second of the soak has, as rows of a tick.
    pub(super) fn rows_of(rate: u64) -> u64 {
        let ticks = u64::try_from(Duration::from_secs(1).as_millis() / TICK.as_millis());
        (rate / ticks.unwrap_or(1)).max(1)
    }

    /// Writes until the end of the soak.
    ///
    /// # Errors
    ///
    /// An error that a further session would meet again: a refused login, a missing table.
    pub(super) async fn run(mut self) -> Result<()> {
        let mut rng = fastrand::Rng::with_seed(self.seed);
        while Instant::now() < self.until {
            self.seed = rng.u64(..);
            let length = MOST_SESSION.mul_f64(rng.f64());
            let end = if rng.bool() { End::Close } else { End::Crash };
            if let Err(error) = self.session(length, end).await {
                self.note(error)?;
            }
            tokio::time::sleep(MOST_REST.mul_f64(rng.f64())).await;
        }
        Ok(())
    }

    /// Counts the end of a session; the error if no further one can succeed.
    fn note(&self, error: Error) -> Result<()> {
        let mut known = self.ledger.known();
        let may_be_new = known.opened == 0 && Instant::now() < self.known_by;
        match error.kind() {
            ErrorKind::Invalidated(InvalidationCause::Fenced) => known.fenced += 1,
            ErrorKind::NotFound if may_be_new => known.failed += 1,
            ErrorKind::Config | ErrorKind::Forbidden | ErrorKind::NotFound => return Err(error),
            _ => {
                known.failed += 1;
                known.last_error = Some(error.to_string());
            }
        }
        Ok(())
    }

    async fn session(&self, length: Duration, end: End) -> Result<()> {
        let client = self.client().await?;
        let streamed = self.stream(&client, Instant::now() + length, end).await;
        match (&streamed, end) {
            (Ok(()), End::Close) => client.close().await?,
            _ => client.abort(),
        }
        streamed
    }

    async fn client(&self) -> Result<StreamingIngestClient> {
        let builder = StreamingIngestClient::builder(self.profile.clone(), self.pipe.clone());
        let builder = builder.transport(Arc::clone(&self.transport));
        let builder = builder.time_source(Arc::clone(&self.time)).seed(self.seed);
        builder.build().await
    }

    async fn stream(
        &self,
        client: &StreamingIngestClient,
        session_end: Instant,
        end: End,
    ) -> Result<()> {
        let mut channel = client.open_channel(self.channel.as_str()).await?;
        self.ledger.known().opened += 1;
        let mut next = channel.resume_after::<u64>()?.map_or(0, |last| last + 1);
        let mut commits = channel.commits();
        let mut pending: VecDeque<(u64, Instant)> = VecDeque::new();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let session_end = session_end.min(self.until);
        while Instant::now() < session_end {
            tokio::select! {
                committed = commits.changed() => {
                    self.ledger.committed(committed?.parse::<u64>()?, &mut pending);
                }
                _ = ticks.tick() => {
                    let numbers = next..next + self.rows;
                    let row = |number| Row { channel: &self.channel, number, text: TEXT };
                    let rows: Vec<Row<'_>> = numbers.clone().map(row).collect();
                    let now = Instant::now();
                    channel.append_rows(&rows, next..).await?;
                    next = numbers.end;
                    pending.extend(numbers.map(|number| (number, now)));
                    self.ledger.known().appended += self.rows;
                }
            }
        }
        match end {
            End::Crash => self.ledger.known().crashed += 1,
            End::Close => {
                channel.close().await?;
                if let Some(last) = next.checked_sub(1) {
                    self.ledger.committed(last, &mut pending);
                }
                self.ledger.known().closed += 1;
            }
        }
        Ok(())
    }

    /// The last committed row after everything: what was accepted and not committed is discarded by the open.
    pub(super) async fn last_committed(&self) -> Result<Option<u64>> {
        let client = self.client().await?;
        let channel = client.open_channel(self.channel.as_str()).await?;
        let last = channel.resume_after::<u64>()?;
        channel.close().await?;
        client.close().await?;
        Ok(last)
    }
}
