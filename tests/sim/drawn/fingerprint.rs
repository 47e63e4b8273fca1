//! A hash of each history, which shows whether a refactoring changes behaviour. With `SIM_TRACES=FILE` both simulators append a
//! line for each seed. Two versions that send the same requests at the same virtual times write the same lines.

use std::fs::OpenOptions;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;

/// Appends the hash of a history's requests and their answers.
pub fn record(simulator: &str, seed: u64, trace: &[String]) {
    let Some(path) = std::env::var_os("SIM_TRACES") else {
        return;
    };
    let mut hasher = DefaultHasher::new();
    for line in trace.iter().filter(|line| line.contains(" -> ")) {
        line.hash(&mut hasher);
    }
    let file = OpenOptions::new().create(true).append(true).open(path);
    writeln!(file.unwrap(), "{simulator} {seed} {:016x}", hasher.finish()).unwrap();
}
