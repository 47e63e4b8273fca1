//! What may be asked on the command line.

use std::path::{Path, PathBuf};

use crate::rows::Form;

/// Of any of `--rows`, `--batch`, `--channels`, `--delay-ms` and `--form` the table has the one line they name.
#[derive(Debug, Clone, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Options {
    /// Rows of a run
    #[arg(long)]
    pub(crate) rows: Option<u64>,
    /// Rows of one append
    #[arg(long)]
    pub(crate) batch: Option<usize>,
    /// Channels side by side
    #[arg(long)]
    pub(crate) channels: Option<usize>,
    /// How long the server takes to answer
    #[arg(long)]
    pub(crate) delay_ms: Option<u64>,
    /// What is appended
    #[arg(long)]
    pub(crate) form: Option<Form>,
    /// How often each line is measured; the table has the medians
    #[arg(long)]
    runs: Option<usize>,
    /// Every combination, which takes long
    #[arg(long)]
    pub(crate) full: bool,
    /// Keep to the service's limits for a channel
    #[arg(long)]
    pub(crate) paced: bool,
    /// Rows a second of each channel; 0 for as many as the client takes
    #[arg(long, default_value_t = 0)]
    pub(crate) rate: u64,
    /// HTTP/2 and not HTTP/1.1
    #[arg(long)]
    pub(crate) http2: bool,
    /// Where the figures go as JSON
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Few rows, each of them counted by the server
    #[arg(long)]
    pub(crate) test: bool,
}

impl Options {
    /// Whether one line of the table is named.
    pub(crate) fn names_one(&self) -> bool {
        let numbers = self.rows.is_some() || self.batch.is_some() || self.channels.is_some();
        numbers || self.delay_ms.is_some() || self.form.is_some()
    }

    /// How often each line is measured.
    pub(crate) fn runs(&self) -> usize {
        self.runs.unwrap_or(if self.test { 1 } else { 3 }).max(1)
    }

    /// Where the table goes. That of a test is worth no file unless one is named.
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
