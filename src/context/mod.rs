//! What the channels of a client share: the endpoints, options, the byte budget, the clock, randomness, compressors.

pub(crate) mod retries;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use crate::api::Api;
use crate::base::budget::Budget;
use crate::base::buffers::Buffers;
use crate::base::options::Options;
use crate::base::time::TimeSource;
use crate::compress::Compressors;
use crate::types::pipe::PipePath;

/// How many opens and how many appends are under way at once. Each takes a connection, and memory for it on both sides.
const OPENS: usize = 128;
const APPENDS: usize = 256;

/// What channels, drivers and the poller share.
#[derive(Debug)]
pub(crate) struct ClientContext {
    pub(crate) api: Api,
    pub(crate) options: Options,
    pub(crate) pipe: PipePath,
    pub(crate) budget: Arc<Budget>,
    pub(crate) time: Arc<dyn TimeSource>,
    rng: Mutex<fastrand::Rng>,
    pub(crate) buffers: Arc<Buffers>,
    opens: Semaphore,
    appends: Semaphore,
    pub(crate) compressors: Arc<Compressors>,
    /// Where the client was built, for what is started outside a task.
    pub(crate) runtime: tokio::runtime::Handle,
}

impl ClientContext {
    /// Takes the runtime it is called in.
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
            budget: Budget::new(options.memory_budget),
            options,
            pipe,
            time,
            rng: Mutex::new(rng),
            buffers,
            opens: Semaphore::new(OPENS),
            appends: Semaphore::new(APPENDS),
            compressors,
            runtime: tokio::runtime::Handle::current(),
        }
    }

    /// Waits for the turn of an open, which is over when the permit is dropped.
    pub(crate) async fn turn_to_open(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed: there is always a permit.
        self.opens.acquire().await.ok()
    }

    /// The same for an append.
    pub(crate) async fn turn_to_append(&self) -> Option<SemaphorePermit<'_>> {
        self.appends.acquire().await.ok()
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
