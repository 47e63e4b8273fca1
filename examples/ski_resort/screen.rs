//! The output while the program runs: notes, log lines and live progress share stderr.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;

/// The terminal or another stderr. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Screen {
    bars: MultiProgress,
    is_terminal: bool,
}

impl Screen {
    /// Takes over stderr.
    pub(crate) fn new() -> Self {
        Self {
            bars: MultiProgress::new(),
            is_terminal: io::stderr().is_terminal(),
        }
    }

    /// Writes log lines here: warnings, unless `RUST_LOG` sets another level.
    pub(crate) fn take_logs(&self) {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
        let screen = self.clone();
        let colours = self.is_terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(colours)
            .with_writer(move || screen.clone())
            .init();
    }

    /// Whether stderr is a terminal, where lines can be redrawn.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// The live lines.
    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Writes a line.
    pub(crate) fn note(&self, text: impl Display) {
        // An error while writing to stderr cannot be reported.
        let _ = self.bars.suspend(|| writeln!(io::stderr(), "{text}"));
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bars.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
