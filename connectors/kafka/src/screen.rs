//! The progress on a terminal: one line for each partition, written over every second.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::interval;

use crate::owner::Partition;
use crate::status::{PartitionStatus, Status};

const EVERY: Duration = Duration::from_secs(1);

/// Shows the owned partitions until it is dropped.
pub(crate) async fn show(status: Arc<Status>) {
    let mut interval = interval(EVERY);
    let mut shown = 0;
    loop {
        interval.tick().await;
        let table = table(&status);
        let mut text = String::new();
        if shown > 0 {
            // Up to the first line of the last table, and clear what follows.
            let _ = write!(text, "\x1b[{shown}A\x1b[J");
        }
        text += &table;
        shown = table.lines().count();
        // A failed write does not stop the program.
        let _ = io::stdout().write_all(text.as_bytes());
    }
}

fn table(status: &Status) -> String {
    let mut table = format!(
        "{:<32} {:>10} {:>14} {:>12} {:>10} {:>10}\n",
        "partition", "state", "committed", "lag", "in flight", "rejected"
    );
    for (partition, status) in status.partitions() {
        if status.is_owned() {
            table += &line(&partition, &status);
        }
    }
    table
}

fn line(partition: &Partition, status: &PartitionStatus) -> String {
    let shown = |number: Option<i64>| number.map_or("-".to_owned(), |number| number.to_string());
    let mut line = format!(
        "{:<32} {:>10} {:>14} {:>12} {:>10} {:>10}\n",
        partition.to_string(),
        status.state.as_str(),
        shown(status.committed),
        shown(status.lag()),
        status.rows_in_flight,
        status.rows_rejected,
    );
    if let Some(error) = &status.error {
        let first = error.lines().next().unwrap_or_default();
        let short: String = first.chars().take(100).collect();
        let _ = writeln!(line, "    {short}");
    }
    line
}
