//! The live state of the pipeline, for the terminal, the dashboard and Prometheus.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::table::Table;

/// The length of the history: two minutes of samples.
const MOST_POINTS: usize = 240;

/// The live state of the pipeline.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Live {
    pub(crate) phase: Phase,
    /// How the run ended, in a sentence.
    pub(crate) message: Option<String>,
    /// The destination of the rows.
    pub(crate) target: String,
    pub(crate) elapsed_s: Elapsed,
    /// Simulated time relative to wall-clock time: a number or `max`.
    pub(crate) speed: String,
    pub(crate) tables: Vec<Flow>,
    /// The requests of all clients, by endpoint.
    pub(crate) requests: Vec<Requests>,
    pub(crate) channels_open: u64,
    pub(crate) channels_invalidated: u64,
    pub(crate) channels_reopened: u64,
    pub(crate) bytes_sent: u64,
    /// Bytes of rows in memory, and the limit.
    pub(crate) memory_in_use: u64,
    pub(crate) memory_budget: u64,
    pub(crate) history: History,
    /// `current`, `none`, or a failure.
    pub(crate) reports: String,
}

/// Seconds since the run started. Computed when read, because the state may not change for a long time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elapsed {
    started: Instant,
    /// The duration of the run, once it has ended.
    total: Option<Duration>,
}

impl Elapsed {
    pub(crate) fn seconds(self) -> f64 {
        let elapsed = self.total.unwrap_or_else(|| self.started.elapsed());
        elapsed.as_secs_f64()
    }
}

impl Serialize for Elapsed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.seconds())
    }
}

/// The phase of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    Starting,
    Running,
    /// Streaming has ended, and the rows are being counted.
    Reconciling,
    Finished,
    Interrupted,
    Failed,
}

/// The rows of one table. The counts include all runs of the queue.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Flow {
    pub(crate) table: &'static str,
    pub(crate) generated: i64,
    pub(crate) queued: i64,
    pub(crate) appended: i64,
    pub(crate) accepted: i64,
    pub(crate) committed: i64,
    /// None if the tables cannot be read.
    pub(crate) landed: Option<i64>,
    pub(crate) rejected: u64,
    /// Recently committed rows a second.
    pub(crate) rows_per_s: i64,
    /// How long the oldest appended row has waited for its commit.
    pub(crate) lag_s: f64,
    pub(crate) channel: ChannelState,
}

/// A table's channel.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ChannelState {
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) reopens: u64,
}

/// The state of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Opening,
    Open,
    /// The channel was invalidated.
    Reopening,
    Closed,
    Failed,
}

/// The requests to one endpoint.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Requests {
    pub(crate) endpoint: &'static str,
    pub(crate) total: u64,
    pub(crate) retries: u64,
    pub(crate) unanswered: u64,
    pub(crate) throttled: u64,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    pub(crate) mean_ms: f64,
}

/// The last minutes, oldest first: the sums of all tables, and the largest lag.
#[derive(Debug, Clone, Default, Serialize)]
#[expect(clippy::struct_field_names, reason = "the names end in units")]
pub(crate) struct History {
    pub(crate) elapsed_s: VecDeque<f64>,
    pub(crate) rows_per_s: VecDeque<i64>,
    pub(crate) lag_s: VecDeque<f64>,
}

impl Live {
    fn new(speed: String, started: Instant) -> Self {
        Self {
            phase: Phase::Starting,
            message: None,
            target: String::new(),
            elapsed_s: Elapsed {
                started,
                total: None,
            },
            speed,
            tables: Table::ALL.map(Flow::new).to_vec(),
            requests: Vec::new(),
            channels_open: 0,
            channels_invalidated: 0,
            channels_reopened: 0,
            bytes_sent: 0,
            memory_in_use: 0,
            memory_budget: 0,
            history: History::default(),
            reports: "none".to_owned(),
        }
    }

    /// The flow of a table.
    pub(crate) fn flow(&mut self, table: Table) -> Option<&mut Flow> {
        self.tables
            .iter_mut()
            .find(|flow| flow.table == table.name())
    }

    /// Adds the current values to the history.
    pub(crate) fn remember(&mut self) {
        let rows = self.tables.iter().map(|flow| flow.rows_per_s).sum();
        let lag = self.tables.iter().map(|flow| flow.lag_s);
        let history = &mut self.history;
        history.elapsed_s.push_back(self.elapsed_s.seconds());
        history.rows_per_s.push_back(rows);
        history.lag_s.push_back(lag.fold(0.0, f64::max));
        if history.elapsed_s.len() > MOST_POINTS {
            history.elapsed_s.pop_front();
            history.rows_per_s.pop_front();
            history.lag_s.pop_front();
        }
    }
}

impl Flow {
    fn new(table: Table) -> Self {
        Self {
            table: table.name(),
            generated: 0,
            queued: 0,
            appended: 0,
            accepted: 0,
            committed: 0,
            landed: None,
            rejected: 0,
            rows_per_s: 0,
            lag_s: 0.0,
            channel: ChannelState {
                name: String::new(),
                state: State::Opening,
                reopens: 0,
            },
        }
    }
}

/// Publishes the live state. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Board {
    started: Instant,
    live: Arc<watch::Sender<Live>>,
}

impl Board {
    /// A board for a run that starts now.
    pub(crate) fn new(speed: String) -> Self {
        let started = Instant::now();
        Self {
            started,
            live: Arc::new(watch::channel(Live::new(speed, started)).0),
        }
    }

    /// When the run started.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Receives every change.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Live> {
        self.live.subscribe()
    }

    /// Changes the state.
    pub(crate) fn write(&self, change: impl FnOnce(&mut Live)) {
        self.live.send_modify(change);
    }

    /// Sets the end of the run.
    pub(crate) fn end(&self, phase: Phase, message: impl Into<String>) {
        let total = Some(self.started.elapsed());
        self.write(|live| {
            live.elapsed_s.total = total;
            live.phase = phase;
            live.message = Some(message.into());
        });
    }

    /// Marks all streams as ended.
    pub(crate) fn stop_flows(&self) {
        self.write(|live| {
            for flow in &mut live.tables {
                flow.rows_per_s = 0;
                flow.lag_s = 0.0;
                if flow.channel.state != State::Failed {
                    flow.channel.state = State::Closed;
                }
            }
        });
    }

    /// Sets the state of a table's channel.
    pub(crate) fn channel(&self, table: Table, state: State) {
        self.write(|live| {
            if let Some(flow) = live.flow(table) {
                flow.channel.state = state;
            }
        });
    }
}
