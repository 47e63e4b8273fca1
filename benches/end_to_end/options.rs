//! The command line.

use std::path::{Path, PathBuf};

use crate::rows::Form;

/// With any of `--rows`, `--batch`, `--channels`, `--delay-ms` and `--form`, the table has only the line with these values.
#[derive(Debug, Clone, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate flag")]
pub(crate) struct Options {
    /// Rows of a run
    #[arg(long)]
    pub(crate) rows: Option<u64>,
    /// Rows of one append
    #[arg(long)]
    pub(crate) batch: Option<usize>,
    /// Concurrent channels
    #[arg(long)]
    pub(crate) channels: Option<usize>,
    /// The latency of the server's answers
    #[arg(long)]
    pub(crate) delay_ms: Option<u64>,
    /// What is appended
    #[arg(long)]
    pub(crate) form: Option<Form>,
    /// Runs per line; the table shows the medians
    #[arg(long)]
    runs: Option<usize>,
    /// Every combination, which takes long
    #[arg(long)]
    pub(crate) full: bool,
    /// Keep to the service's limits for a channel
    #[arg(long)]
    pub(crate) paced: bool,
    /// Rows per second of each channel; 0 for as many as the client accepts
    #[arg(long, default_value_t = 0)]
    pub(crate) rate: u64,
    /// HTTP/2 instead of HTTP/1.1
    #[arg(long)]
    pub(crate) http2: bool,
    /// The file to which the figures are written as JSON
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Few rows, each of them checked by the server
    #[arg(long)]
    pub(crate) test: bool,
}

impl Options {
    /// Whether the options name one line of the table.
    pub(crate) fn names_one(&self) -> bool {
        let numbers = self.rows.is_some() || self.batch.is_some() || self.channels.is_some();
        numbers || self.delay_ms.is_some() || self.form.is_some()
    }

    /// Runs per line.
    pub(crate) fn runs(&self) -> usize {
        self.runs.unwrap_or(if self.test { 1 } else { 3 }).max(1)
    }

    /// The file for the table. A test writes none by default.
    pub(crate) fn table_json(&self) -> Option<PathBuf> {
        let usual =
            || Some(Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("end_to_end.json"));
        match &self.json {
            Some(path) => Some(path.clone()),
            None if self.test => None,
            None => usual(),
        }
    }
}
