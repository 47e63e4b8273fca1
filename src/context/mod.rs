//! What the channels of a client share: the endpoints, options, the byte budget, the size of requests, the clock, randomness and
//! compressors. Clients of other pipes share all but the endpoints.

pub(crate) mod retries;
mod row_checks;
mod slots;
mod uploads;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::warn;
use uuid::Uuid;

use self::row_checks::RowChecks;
use self::slots::Slots;
use self::uploads::Narrowed;
use crate::api::Api;
use crate::api::failure::Failure;
use crate::base::budget::Budget;
use crate::base::buffers::Buffers;
use crate::base::options::Options;
use crate::base::request_limit::RequestLimit;
use crate::base::time::TimeSource;
use crate::compress::Compressors;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::pipe::PipePath;

/// The limits of concurrent opens and appends. Each uses a connection, and memory for it on both sides.
const OPENS: usize = 128;
const APPENDS: usize = 256;

/// The state shared by channels, drivers and the poller.
#[derive(Debug)]
pub(crate) struct ClientContext {
    pub(crate) api: Api,
    pub(crate) options: Options,
    pub(crate) pipe: PipePath,
    pub(crate) row_checks: RowChecks,
    /// Whether the pipe is known to have existed: a refusal that does not find it may be temporary.
    has_seen_pipe: AtomicBool,
    pub(crate) budget: Arc<Budget>,
    pub(crate) request_limit: RequestLimit,
    pub(crate) time: Arc<dyn TimeSource>,
    rng: Arc<Mutex<fastrand::Rng>>,
    pub(crate) buffers: Arc<Buffers>,
    opens: Slots,
    appends: Slots,
    pub(crate) compressors: Arc<Compressors>,
    /// The runtime in which the client was built, for tasks that are spawned from outside a runtime.
    pub(crate) runtime: tokio::runtime::Handle,
}

impl ClientContext {
    /// Must be called inside a runtime, which it keeps.
    pub(crate) fn new(
        api: Api,
        options: Options,
        pipe: PipePath,
        time: Arc<dyn TimeSource>,
        rng: fastrand::Rng,
    ) -> Self {
        let buffers: Arc<Buffers> = Arc::default();
        let compressors = Compressors::new(
            options.compression_level,
            options.offload_threshold,
            Arc::clone(&buffers),
        );
        Self {
            api,
            request_limit: RequestLimit::new(options.max_request_bytes),
            budget: Budget::new(options.memory_budget),
            options,
            row_checks: RowChecks::new(&pipe),
            pipe,
            has_seen_pipe: AtomicBool::new(false),
            time,
            rng: Arc::new(Mutex::new(rng)),
            buffers,
            opens: Slots::new(OPENS),
            appends: Slots::new(APPENDS),
            compressors,
            runtime: tokio::runtime::Handle::current(),
        }
    }

    /// The state of a client of another pipe, which shares everything but the pipe and its counters.
    pub(crate) fn for_pipe(&self, pipe: PipePath) -> Self {
        Self {
            api: self.api.for_pipe(&pipe),
            options: self.options.clone(),
            row_checks: RowChecks::new(&pipe),
            pipe,
            has_seen_pipe: AtomicBool::new(false),
            budget: Arc::clone(&self.budget),
            request_limit: self.request_limit.for_pipe(),
            time: Arc::clone(&self.time),
            rng: Arc::clone(&self.rng),
            buffers: Arc::clone(&self.buffers),
            opens: self.opens.for_pipe(),
            appends: self.appends.for_pipe(),
            compressors: Arc::clone(&self.compressors),
            runtime: self.runtime.clone(),
        }
    }

    /// Refuses rows, in NDJSON, that do not fit the table's columns as far as these are known.
    pub(crate) fn check_rows(&self, rows: &[u8]) -> Result<()> {
        self.row_checks.check(&self.pipe, rows)
    }

    /// The pipe exists, or did when rows were sent to it.
    pub(crate) fn expect_pipe(&self) {
        self.has_seen_pipe.store(true, Ordering::Relaxed);
    }

    fn expects_pipe(&self) -> bool {
        self.has_seen_pipe.load(Ordering::Relaxed)
    }

    /// Opens a channel when there is a slot for it.
    pub(crate) async fn open<T>(
        &self,
        open: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let patience = self.options.attempt_timeout;
        let slot = self.opens.take(0, patience).await;
        let slot = slot.ok_or_else(|| no_slot("opening a channel", patience))?;
        let answer = open.await;
        match &answer {
            Ok(_) => {
                slot.succeeded(patience);
            }
            Err(failure) if is_of_service(failure) => slot.refused(),
            Err(_) => {}
        }
        answer
    }

    /// Sends an append of `bytes` when there is a slot for it, and learns from timeouts how many bytes may be under way.
    pub(crate) async fn append<T>(
        &self,
        bytes: usize,
        append: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let timeout = self.options.attempt_timeout;
        let slot = self.appends.take(bytes, timeout).await;
        let slot = slot.ok_or_else(|| no_slot("an append", timeout))?;
        let answer = append.await;
        match &answer {
            Err(failure) if is_timeout(failure) => match slot.timed_out(timeout) {
                Narrowed::No => {}
                Narrowed::To(window) => warn!(
                    pipe = %self.pipe,
                    "appends have no answer within {timeout:?}: at most {window} bytes, or one append, are under way at once until they are answered sooner"
                ),
                Narrowed::Alone => self.request_limit.timed_out(bytes),
            },
            Err(failure) if is_of_service(failure) => slot.refused(),
            Ok(_) if slot.succeeded(timeout) => self.request_limit.succeeded(bytes),
            Ok(_) | Err(_) => {}
        }
        answer
    }

    pub(crate) fn request_id(&self) -> Uuid {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        uuid::Builder::from_random_bytes(rng.u128(..).to_le_bytes()).into_uuid()
    }

    /// Random in [0, 1).
    pub(crate) fn random_unit(&self) -> f64 {
        self.rng
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .f64()
    }
}

/// Whether the request was sent and not answered in time.
fn is_timeout(failure: &Failure) -> bool {
    matches!(failure, Failure::Ambiguous(error) if error.kind() == ErrorKind::Timeout)
}

/// Whether the ingest host has answered.
fn is_of_service(failure: &Failure) -> bool {
    let is_before = matches!(failure, Failure::NotSent(_) | Failure::AccountRefused(_));
    !is_before && failure.error().http_status().is_some()
}

/// No request was sent, because there was no slot, and no sign that there will be one.
fn no_slot(what: &str, patience: Duration) -> Failure {
    let text = format!(
        "{what} was not sent: too many requests are under way, and for {patience:?} none of this pipe was answered"
    );
    Failure::NotSent(Error::new(ErrorKind::Timeout, text))
}
