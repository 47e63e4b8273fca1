//! The durations of appends.

use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::figures::float;

/// Measures one append after the other.
#[derive(Debug)]
pub(crate) struct Laps {
    started: Instant,
    nanos: Histogram<u32>,
}

impl Laps {
    /// Allocates all memory, so that measuring allocates none.
    pub(crate) fn new() -> Result<Self> {
        let longest = Duration::from_secs(600);
        Ok(Self {
            started: Instant::now(),
            nanos: Histogram::new_with_max(u64::try_from(longest.as_nanos())?, 2)?,
        })
    }

    /// An append begins.
    pub(crate) fn start(&mut self) {
        self.started = Instant::now();
    }

    /// The append has ended.
    pub(crate) fn lap(&mut self) {
        let nanos = self.started.elapsed().as_nanos();
        self.nanos
            .saturating_record(u64::try_from(nanos).unwrap_or(u64::MAX));
    }

    /// Adds the measurements of another.
    pub(crate) fn add(&mut self, other: &Self) -> Result<()> {
        Ok(self.nanos.add(&other.nanos)?)
    }

    /// The duration in microseconds that `percent` percent of the appends did not exceed.
    pub(crate) fn percentile_us(&self, percent: f64) -> f64 {
        float(self.nanos.value_at_percentile(percent)) / 1e3
    }

    /// The longest, in microseconds.
    pub(crate) fn max_us(&self) -> f64 {
        float(self.nanos.max()) / 1e3
    }
}
