//! The options of a run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use snowpipe_streaming::time::{SystemClock, TimeSource};
use snowpipe_streaming::transport::{HttpTransport, HttpTransportBuilder, Transport};

/// What a run does next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// The schema is created.
    Preparing,
    /// An experiment begins.
    Experiment {
        /// Its id, such as `E7`.
        id: &'static str,
        /// How many experiments came before it, of all runs.
        done: usize,
        /// How many experiments there are in all runs.
        of: usize,
    },
    /// A soak streams.
    Streaming {
        /// How many rows were appended so far.
        rows: u64,
        /// How long it goes on.
        left: Duration,
    },
    /// The rows of a soak are counted.
    Counting,
    /// The schema is dropped.
    CleaningUp,
    /// The schema could not be dropped. A report does not show its name.
    LeftBehind {
        /// Its full name, as in a statement.
        schema: String,
    },
}

/// The options of [`run`](super::run()).
#[derive(Clone)]
#[must_use]
pub struct Options {
    pub(super) database: String,
    pub(super) schema: Option<String>,
    pub(super) only: Vec<String>,
    pub(super) runs: u32,
    pub(super) timeout: Duration,
    pub(super) transport: Option<Arc<dyn Transport>>,
    /// Used if there is no transport.
    pub(super) http: HttpTransportBuilder,
    pub(super) time: Arc<dyn TimeSource>,
    pub(super) progress: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("database", &self.database)
            .field("schema", &self.schema)
            .field("only", &self.only)
            .field("runs", &self.runs)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// The default options, for a schema in this database. The name is in the case in which Snowflake stores it.
    pub fn new(database: impl Into<String>) -> Self {
        Self {
            database: database.into(),
            schema: None,
            only: Vec::new(),
            runs: 2,
            timeout: Duration::from_secs(60),
            transport: None,
            http: HttpTransport::builder(),
            time: Arc::new(SystemClock),
            progress: None,
        }
    }

    pub(super) fn progress(&self, step: Progress) {
        if let Some(observer) = &self.progress {
            observer(step);
        }
    }

    /// Uses this schema, in which the [`statements`](super::statements()) were carried out, and carries out no statement itself.
    /// Experiments that need statements are skipped. By default a run creates a schema and drops it.
    pub fn prepared_schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    /// Carries out only the experiments with these ids. By default all.
    pub fn only(mut self, ids: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.only = ids.into_iter().map(Into::into).collect();
        self
    }

    /// How often each experiment is carried out; twice by default. An answer that was seen only once is listed as unsure.
    pub fn runs(mut self, runs: u32) -> Self {
        self.runs = runs.max(1);
        self
    }

    /// The deadline of each request. Default: a minute.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how connections are made: proxies, certificates, timeouts. Default: the default settings of an
    /// [`HttpTransport`](snowpipe_streaming::transport::HttpTransport).
    pub fn http(mut self, http: HttpTransportBuilder) -> Self {
        self.http = http;
        self
    }

    /// Uses this transport and makes no connections. [`http`](Self::http) has no effect then.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Sets the wall clock. Default: the operating system's.
    pub fn time_source(mut self, time: impl TimeSource) -> Self {
        self.time = Arc::new(time);
        self
    }

    /// Calls `observer` before each step.
    pub fn on_progress(mut self, observer: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.progress = Some(Arc::new(observer));
        self
    }
}
