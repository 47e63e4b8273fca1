//! The rows of both runs: lift rides as in the crate's own benches, about 200 bytes each.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context, Result};
use fastrand::Rng;
use serde_json::json;

const LIFTS: [&str; 6] = [
    "Gondola",
    "Summit Express",
    "North",
    "Larch",
    "Glacier",
    "Paradise",
];
const RESORTS: [&str; 3] = ["Vail", "Heavenly", "Breckenridge"];

/// Writes rides as lines of JSON. Each partition has all of them.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn write(path: &Path, count: u64) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut random = Rng::with_seed(9);
    for _ in 0..count {
        let seconds = random.u32(0..8 * 3_600);
        let ride = json!({
            "TXID": format!("{:032x}", random.u128(..)),
            "RFID": format!("{:#x}", random.u128(..) >> 32),
            "RIDE_TIME": format!(
                "2026-01-{:02}T{:02}:{:02}:{:02}+00:00",
                random.u8(17..24), 15 + seconds / 3_600, seconds / 60 % 60, seconds % 60
            ),
            "LIFT": random.choice(LIFTS),
            "RESORT": random.choice(RESORTS),
            "ACTIVATION_DAY_COUNT": random.u8(1..8),
        });
        writeln!(file, "{ride}")?;
    }
    file.flush().context("cannot write the rows")
}
