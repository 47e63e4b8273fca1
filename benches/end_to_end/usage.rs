//! The processor time and the memory that this process has used.

use rustix::time::{ClockId, clock_gettime};

/// User and system time of all threads so far.
pub(crate) fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    std::time::Duration::new(seconds, nanos).as_secs_f64()
}

/// The resident memory; `None` if there is no `/proc`.
pub(crate) fn rss_bytes() -> Option<u64> {
    status("VmRSS:")
}

/// The peak of resident memory since the start or [`forget_peak`]; `None` if there is no `/proc`.
pub(crate) fn peak_rss_bytes() -> Option<u64> {
    status("VmHWM:")
}

/// Resets the peak to the current resident memory, if the system supports it, so that making the rows does not count.
pub(crate) fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn status(field: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
