//! Samples the queue, the landing and the clients twice a second, and publishes the values.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use snowpipe_streaming::StreamingIngestClient;
use snowpipe_streaming::metrics::Metrics;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::counters::{Counters, Observer};
use crate::landing;
use crate::live::{Board, Live, Requests, State};
use crate::queue::{Queue, Span};
use crate::table::Table;

/// The interval of the samples.
const PAUSE: Duration = Duration::from_millis(500);
/// The number of samples for the rows a second, which are an average because rows are committed in batches.
const RATE_SAMPLES: usize = 5;

/// The sources of the samples.
#[derive(Debug)]
pub(crate) struct Monitor {
    board: Board,
    path: PathBuf,
    /// The queue, once it is open. Opening writes and may wait; reading never waits.
    queue: Option<Queue>,
    landing: Option<PathBuf>,
    streams: BTreeMap<Table, Watched>,
}

/// A monitored stream.
#[derive(Debug)]
struct Watched {
    client: StreamingIngestClient,
    counters: Observer,
    /// The committed rows of the last samples, the latest last.
    committed: VecDeque<(Instant, i64)>,
    was_open: bool,
}

/// One table's values in the files.
#[derive(Debug, Clone, Copy)]
struct Sample {
    span: Span,
    landed: Option<i64>,
    rejected: u64,
}

impl Monitor {
    pub(crate) fn new(board: Board, queue: &Path, landing: Option<&Path>) -> Self {
        Self {
            board,
            path: queue.to_owned(),
            queue: None,
            landing: landing.map(Path::to_owned),
            streams: BTreeMap::new(),
        }
    }

    /// Adds a stream to the samples.
    pub(crate) fn add(
        &mut self,
        table: Table,
        client: StreamingIngestClient,
        counters: Observer,
        channel: &str,
    ) {
        let watched = Watched {
            client,
            counters,
            committed: VecDeque::new(),
            was_open: false,
        };
        self.streams.insert(table, watched);
        self.board.write(|live| {
            if let Some(flow) = live.flow(table) {
                channel.clone_into(&mut flow.channel.name);
            }
        });
    }

    /// Samples until `stop` resolves or its sender is dropped, and then once more.
    pub(crate) async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let mut ticks = interval(PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = &mut stop => return self.update().await,
                _ = ticks.tick() => self.update().await,
            }
        }
    }

    /// The current values in the files.
    async fn samples(&mut self) -> Result<BTreeMap<Table, Sample>> {
        let queue = self.queue.take();
        let (path, landing) = (self.path.clone(), self.landing.clone());
        let read = move || {
            let queue = queue.map_or_else(|| Queue::open(&path), Ok)?;
            let samples = sample(&queue, landing.as_deref())?;
            anyhow::Ok((queue, samples))
        };
        let (queue, samples) = tokio::task::spawn_blocking(read).await??;
        self.queue = Some(queue);
        Ok(samples)
    }

    /// Samples once.
    pub(crate) async fn update(&mut self) {
        // A failed sample is not reported: if it matters, other parts fail as well.
        let Ok(samples) = self.samples().await else {
            return;
        };
        let now = Instant::now();
        let metrics: BTreeMap<_, _> = self
            .streams
            .iter()
            .map(|(table, stream)| (*table, stream.client.metrics()))
            .collect();
        let streams = &mut self.streams;
        self.board.write(|live| {
            for (table, sample) in samples {
                live.set_sample(table, sample);
            }
            for (table, stream) in streams {
                let counters = *stream.counters.borrow();
                let is_open = metrics.get(table).is_some_and(|m| m.channels > 0);
                live.set_counters(
                    *table,
                    counters,
                    stream.rate(now, counters),
                    is_open,
                    stream.was_open,
                );
                stream.was_open |= is_open;
            }
            if !metrics.is_empty() {
                live.set_metrics(metrics.values());
            }
            live.remember();
        });
    }
}

impl Watched {
    /// Rows a second over the last samples.
    fn rate(&mut self, now: Instant, counters: Counters) -> i64 {
        if self.committed.is_empty() && counters.committed == 0 {
            return 0;
        }
        if self.committed.is_empty() {
            // Rows of earlier runs do not count.
            self.committed
                .push_back((now - PAUSE, counters.resumed_after));
        }
        self.committed.push_back((now, counters.committed));
        if self.committed.len() > RATE_SAMPLES {
            self.committed.pop_front();
        }
        let Some((since, before)) = self.committed.front() else {
            return 0;
        };
        let millis = i64::try_from((now - *since).as_millis().max(1)).unwrap_or(i64::MAX);
        (counters.committed - before).saturating_mul(1_000) / millis
    }
}

impl Live {
    fn set_sample(&mut self, table: Table, sample: Sample) {
        if let Some(flow) = self.flow(table) {
            flow.generated = sample.span.issued;
            flow.queued = sample.span.queued();
            flow.landed = sample.landed;
            flow.rejected = sample.rejected;
            // What is no longer in the queue is committed, whichever run did it.
            flow.committed = flow.committed.max(sample.span.released);
            flow.accepted = flow.accepted.max(flow.committed);
            flow.appended = flow.appended.max(flow.accepted);
        }
    }

    fn set_counters(
        &mut self,
        table: Table,
        counters: Counters,
        rate: i64,
        is_open: bool,
        was_open: bool,
    ) {
        if let Some(flow) = self.flow(table) {
            let lag = counters.waiting_since.map(|since| since.elapsed());
            flow.committed = flow.committed.max(counters.committed);
            flow.accepted = counters.accepted.max(flow.committed);
            flow.appended = counters.appended.max(flow.accepted);
            flow.rows_per_s = rate;
            flow.lag_s = lag.unwrap_or_default().as_secs_f64();
            flow.channel.reopens = counters.reopens;
            // The stream itself sets the final states.
            if !matches!(flow.channel.state, State::Closed | State::Failed) {
                flow.channel.state = match (is_open, was_open) {
                    (true, _) => State::Open,
                    (false, true) => State::Reopening,
                    (false, false) => State::Opening,
                };
            }
        }
    }

    fn set_metrics<'a>(&mut self, clients: impl Iterator<Item = &'a Metrics> + Clone) {
        let sum = |count: fn(&Metrics) -> u64| clients.clone().map(count).sum::<u64>();
        self.channels_open = sum(|m| m.channels);
        self.channels_invalidated = sum(|m| m.channels_invalidated);
        // `ingest::run` reopens the channels, which the clients do not count.
        self.channels_reopened = self.tables.iter().map(|flow| flow.channel.reopens).sum();
        self.bytes_sent = sum(|m| m.bytes_sent);
        self.memory_in_use = sum(|m| m.memory_in_use);
        self.memory_budget = sum(|m| m.memory_budget);
        let mut endpoints: BTreeMap<&str, (Requests, Duration)> = BTreeMap::new();
        for (endpoint, more) in clients.flat_map(|m| &m.requests) {
            let (requests, duration) = endpoints.entry(endpoint).or_default();
            requests.endpoint = endpoint;
            requests.total += more.total;
            requests.retries += more.retries;
            requests.unanswered += more.unanswered;
            requests.throttled += more.throttled;
            requests.refused += more.refused;
            requests.failed += more.failed;
            *duration += more.duration;
        }
        let mean = |(requests, duration): (Requests, Duration)| {
            let total = u32::try_from(requests.total.max(1)).unwrap_or(u32::MAX);
            let mean_ms = (duration / total).as_secs_f64() * 1_000.0;
            Requests {
                mean_ms,
                ..requests
            }
        };
        self.requests = endpoints.into_values().map(mean).collect();
    }
}

fn sample(queue: &Queue, landing: Option<&Path>) -> Result<BTreeMap<Table, Sample>> {
    let mut samples = BTreeMap::new();
    for table in Table::ALL {
        let sample = Sample {
            span: queue.span(table)?,
            landed: landing.map(|path| landing::rows(path, table)).transpose()?,
            rejected: queue.rejects(table)?,
        };
        samples.insert(table, sample);
    }
    Ok(samples)
}
