//! All instances of a run at once.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use jiff::civil::DateTime;
use snowpipe_streaming::ingest::Finish;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at};

use crate::config::Config;
use crate::customers::Customers;
use crate::generator::Generator;
use crate::instance::Instance;
use crate::plan::{Part, share_out};
use crate::target::Clients;

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What a run makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) orders: u64,
    pub(crate) instances: u64,
    pub(crate) customers: u64,
    pub(crate) seed: u64,
    pub(crate) now: DateTime,
}

/// How a run ended.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Whether it was told to stop before it was complete.
    pub(crate) interrupted: bool,
    /// What failed: the channel, and why.
    pub(crate) failures: Vec<(String, anyhow::Error)>,
    pub(crate) elapsed: Duration,
}

/// The instances of a job. Counts the items of all orders, so it takes a moment for many.
pub(crate) fn instances(job: Job) -> Vec<Instance> {
    let customers = Arc::new(Customers::generate(job.seed, job.customers));
    let instance = |part: Part| {
        let customers = Arc::clone(&customers);
        let number = part.instance;
        let generator = Generator::new(job.seed, number, customers, part.customers, job.now);
        Instance::new(number, generator, part.orders)
    };
    let parts = share_out(job.orders, job.instances, job.customers);
    parts.into_iter().map(instance).collect()
}

/// Runs all instances until each has ended, and calls `tell` every second and once at the end. An instance that fails does
/// not stop the others.
pub(crate) async fn run(
    instances: &[Instance],
    clients: &Clients,
    config: &Arc<Config>,
    stop: &watch::Receiver<bool>,
    mut tell: impl FnMut(),
) -> Outcome {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for instance in instances.iter().cloned() {
        let (clients, config, stop) = (clients.clone(), Arc::clone(config), stop.clone());
        tasks.spawn(async move {
            let ended = instance.run(&clients, &config, &stop).await;
            ended.map(|(table, result)| (config.names(table).channel_of(instance.number), result))
        });
    }
    let mut outcome = Outcome::default();
    let mut ticks = interval_at(began + TELL_EVERY, TELL_EVERY);
    loop {
        tokio::select! {
            biased;
            next = tasks.join_next() => match next {
                None => break,
                Some(Ok(ended)) => ended.into_iter().for_each(|stream| outcome.add(stream)),
                Some(Err(error)) => outcome.failures.push(("an instance".to_owned(), error.into())),
            },
            _ = ticks.tick() => tell(),
        }
    }
    tell();
    // In no order that depends on who was first.
    outcome
        .failures
        .sort_by(|(one, _), (other, _)| one.cmp(other));
    outcome.elapsed = began.elapsed();
    outcome
}

impl Outcome {
    fn add(&mut self, (channel, result): (String, Result<Finish>)) {
        match result {
            Ok(Finish::Stopped) => self.interrupted = true,
            Ok(_) => {}
            Err(error) => self.failures.push((channel, error)),
        }
    }
}
