//! Makes runs with a pool of rows and sinks, and checks their results.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tempfile::TempDir;

use crate::figures::float;
use crate::floor::{self, Floor, Floors};
use crate::job::{Config, Job, Outcome, Task};
use crate::process::{self, Companion, Counts, Sink};
use crate::rows::{self, Form};

/// The pool and the sinks of one orchestrator, which end when this is dropped.
#[derive(Debug)]
pub(crate) struct Lab {
    dir: TempDir,
    /// By their delay.
    sinks: BTreeMap<u64, Sink>,
    runs: u64,
    check: bool,
    commit_ms: u64,
}

/// The result of one run, as the client and as the sink counted it.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) outcome: Outcome,
    pub(crate) counts: Counts,
}

impl Lab {
    /// Writes the pool. With `check` the sinks read the rows and compare them with the pool's.
    pub(crate) fn new(check: bool) -> Result<Self> {
        let lab = Self {
            dir: tempfile::tempdir()?,
            sinks: BTreeMap::new(),
            runs: 0,
            check,
            commit_ms: 0,
        };
        rows::write_pool(&lab.pool())?;
        Ok(lab)
    }

    /// Lets the sinks commit this long after they have accepted, instead of at once.
    pub(crate) fn commit_after(self, commit_ms: u64) -> Self {
        Self { commit_ms, ..self }
    }

    /// The file of rows.
    pub(crate) fn pool(&self) -> PathBuf {
        self.dir.path().join("rides.ndjson")
    }

    /// Runs this crate's client once.
    pub(crate) fn run(&mut self, task: Task, config: Config, flushes: u32) -> Result<Sample> {
        self.run_with(task, config, flushes, |job| {
            process::run_child("client", job)
        })
    }

    /// Runs `client` once against the sink that the configuration needs.
    pub(crate) fn run_with(
        &mut self,
        task: Task,
        config: Config,
        flushes: u32,
        client: impl FnOnce(&Job) -> Result<Outcome>,
    ) -> Result<Sample> {
        self.runs += 1;
        let name = format!("run-{}", self.runs);
        let pool = self.pool();
        let sink = self.sink(config.delay_ms)?;
        sink.reset()?;
        let job = Job {
            task,
            config,
            flushes,
            profile: sink.place.profile.clone(),
            ca: sink.place.ca.clone(),
            url: sink.place.url.clone(),
            pool,
            name,
        };
        let outcome = client(&job);
        let counts = sink.counts()?;
        // The refusals of the sink explain why a client fails.
        let outcome = outcome.with_context(|| format!("{config:?}; {}", counts.refused()))?;
        let sample = Sample { outcome, counts };
        // A stalled server has not accepted anything yet.
        if !matches!(task, Task::Stalled { .. }) {
            sample.is_complete(self.check)?;
        }
        Ok(sample)
    }

    fn sink(&mut self, delay_ms: u64) -> Result<&mut Sink> {
        let pool = self.pool();
        match self.sinks.entry(delay_ms) {
            Entry::Occupied(sink) => Ok(sink.into_mut()),
            Entry::Vacant(place) => {
                let mut args = vec![
                    format!("--delay-ms={delay_ms}").into(),
                    format!("--commit-ms={}", self.commit_ms).into(),
                ];
                if self.check {
                    args.extend([OsString::from("--check"), pool.into()]);
                }
                Ok(place.insert(Sink::start(&args)?))
            }
        }
    }

    /// The cost of the cheapest bodies without a client, alone and beside a busy neighbour.
    pub(crate) fn floors(&self, form: Form, rows: u64) -> Result<Floors> {
        let alone = self.floor(form, rows)?;
        let (neighbour, Empty {}) = Companion::start("neighbour", &[self.pool().into()])?;
        let beside = self.floor(form, rows)?;
        drop(neighbour);
        Ok(Floors { alone, beside })
    }

    fn floor(&self, form: Form, rows: u64) -> Result<Floor> {
        let pool = self.pool();
        let floors: Vec<Floor> = process::run_child("floor", &floor::Job { pool, form, rows })?;
        floors
            .into_iter()
            .min_by(|a, b| a.cpu_us_per_row.total_cmp(&b.cpu_us_per_row))
            .context("there are bodies of some size")
    }
}

/// The output of a process without results.
#[derive(Debug, Deserialize)]
struct Empty {}

impl Sample {
    /// Checks that the sink has every row of each channel exactly once and, if it reads rows, that it has read all of them.
    pub(crate) fn is_complete(&self, is_read: bool) -> Result<()> {
        let (sent, landed) = (&self.outcome.channels, &self.counts.channels);
        ensure!(self.counts.fault_count == 0, "{}", self.counts.refused());
        ensure!(
            sent == landed,
            "the rows streamed to each channel, {sent:?}, are not the rows that arrived, {landed:?}"
        );
        let (rows, read) = (self.counts.rows(), self.counts.rows_read);
        ensure!(!is_read || read == rows, "{read} of {rows} rows were read");
        Ok(())
    }

    pub(crate) fn rows_per_s(&self) -> f64 {
        float(self.outcome.rows) / self.outcome.wall_s
    }

    pub(crate) fn cpu_us_per_row(&self) -> f64 {
        self.outcome.cpu_s * 1e6 / float(self.outcome.rows)
    }

    /// Only bodies count.
    pub(crate) fn wire_bytes_per_row(&self) -> f64 {
        float(self.counts.body_bytes) / float(self.counts.rows())
    }

    pub(crate) fn sink_cpu_us_per_row(&self) -> f64 {
        self.counts.cpu_s * 1e6 / float(self.counts.rows())
    }

    /// For each awaited token, the milliseconds from the server's commit until the caller learned of it.
    pub(crate) fn known_ms(&self) -> Vec<f64> {
        let since_commit = |(channel, token, at): &(String, String, u64)| {
            let row: u64 = token.parse().ok()?;
            let mut commits = self.counts.commits.iter();
            let (.., committed) = commits.find(|(of, end, _)| {
                of == channel && end.parse::<u64>().is_ok_and(|end| end >= row)
            })?;
            Some(float(at.saturating_sub(*committed)) / 1e3)
        };
        let known = self.outcome.known.iter();
        known.filter_map(since_commit).collect()
    }
}
