//! The machine and the versions of a measurement.

use std::process::Command;
use std::thread;

use serde::Serialize;

/// What else the figures depend on.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    /// The load average of the minute before, if the system reports it.
    pub(crate) load_before: Option<f64>,
    pub(crate) rustc: String,
    pub(crate) crate_version: &'static str,
    /// Whether the compiler optimized.
    pub(crate) optimized: bool,
}

impl Machine {
    /// Inspects the machine.
    pub(crate) fn look() -> Self {
        let rustc = Command::new("rustc").arg("--version").output().ok();
        let rustc = rustc.and_then(|output| String::from_utf8(output.stdout).ok());
        Self {
            cores: thread::available_parallelism().map_or(0, Into::into),
            load_before: load(),
            rustc: rustc.map_or_else(|| "rustc unknown".to_owned(), |text| text.trim().to_owned()),
            crate_version: env!("CARGO_PKG_VERSION"),
            optimized: !cfg!(debug_assertions),
        }
    }
}

/// The load average of the last minute.
pub(crate) fn load() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').next()?.parse().ok()
}
