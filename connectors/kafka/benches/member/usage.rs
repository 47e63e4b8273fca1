//! The processor time and the memory of a process, as Linux counts them.

use std::fs;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Linux counts in hundredths of a second on all common machines.
const TICKS_PER_SECOND: f64 = 100.0;
const MIB: f64 = 1024.0;

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// User and system time of all threads.
    pub(crate) cpu_s: f64,
    pub(crate) peak_mib: f64,
}

impl Usage {
    /// Of a running process.
    ///
    /// # Errors
    /// If it has ended, or the system is not Linux.
    pub(crate) fn of(process: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The name of the program, in parentheses, can contain spaces.
        let (_, fields) = stat
            .rsplit_once(')')
            .context("the statistics have no name")?;
        let mut fields = fields.split_whitespace().skip(11);
        let mut ticks = || -> Result<f64> { Ok(fields.next().context("no time")?.parse()?) };
        let cpu_s = (ticks()? + ticks()?) / TICKS_PER_SECOND;
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
        let peak_kib: f64 = peak.context("the status has no peak")?.parse()?;
        Ok(Self {
            cpu_s,
            peak_mib: peak_kib / MIB,
        })
    }

    pub(crate) fn own() -> Result<Self> {
        Self::of(std::process::id())
    }
}
