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
use crate::customer_rows::CustomerRows;
use crate::customers::Customers;
use crate::generator::Generator;
use crate::instance::Instance;
use crate::plan::{Part, distribute};
use crate::target::Clients;

/// How often progress is shown.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// The orders of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) orders: u64,
    /// How many instances share the orders. `None`: a single run.
    pub(crate) instances: Option<u64>,
    pub(crate) customers: u64,
    pub(crate) seed: u64,
    pub(crate) now: DateTime,
}

/// How a run ended.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Whether the run was stopped before it was complete.
    pub(crate) interrupted: bool,
    /// The channels that failed, with their errors.
    pub(crate) failures: Vec<(String, anyhow::Error)>,
    pub(crate) elapsed: Duration,
}

/// The instances of a job. Counts the items of all orders, so it takes some time for many orders.
pub(crate) fn instances(job: Job) -> Vec<Instance> {
    let customers = Arc::new(Customers::generate(job.seed, job.customers));
    let instance = |part: Part| {
        let Part {
            instance,
            orders,
            customers: range,
        } = part;
        let rows = CustomerRows::new(job.seed, Arc::clone(&customers), range.clone(), job.now);
        let customers = Arc::clone(&customers);
        let generator = Generator::new(job.seed, instance, customers, range, job.now);
        Instance::new(instance, rows, generator, orders)
    };
    let parts = match job.instances {
        Some(instances) => distribute(job.orders, instances, job.customers),
        None => vec![Part::whole(job.orders, job.customers)],
    };
    parts.into_iter().map(instance).collect()
}

/// Runs all instances to their end, and calls `show` every second and once at the end. An instance that fails does not stop
/// the others.
pub(crate) async fn run(
    instances: &[Instance],
    clients: &Clients,
    config: &Arc<Config>,
    stop: &watch::Receiver<bool>,
    mut show: impl FnMut(),
) -> Outcome {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for instance in instances {
        let instance = instance.clone();
        let (clients, config, stop) = (clients.clone(), Arc::clone(config), stop.clone());
        tasks.spawn(async move { instance.run(&clients, &config, &stop).await });
    }
    let mut outcome = Outcome::default();
    let mut ticks = interval_at(started + PROGRESS_INTERVAL, PROGRESS_INTERVAL);
    loop {
        tokio::select! {
            biased;
            next = tasks.join_next() => match next {
                None => break,
                Some(Ok(results)) => results.into_iter().for_each(|result| outcome.add(result)),
                Some(Err(error)) => outcome.failures.push(("an instance".to_owned(), error.into())),
            },
            _ = ticks.tick() => show(),
        }
    }
    show();
    // Sorted, so that the order does not depend on which stream failed first.
    outcome
        .failures
        .sort_by(|(one, _), (other, _)| one.cmp(other));
    outcome.elapsed = started.elapsed();
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
