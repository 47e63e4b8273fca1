//! What the command says on stderr: notes, errors, and a line of progress that is written over.

use std::io::{self, IsTerminal as _, Write};

/// Clears what the line of progress left.
const CLEAR: &str = "\r\x1b[2K";

/// A note, which stays.
pub(crate) fn note(text: &str) {
    write(&format!("{}{text}\n", clear()));
}

/// An error, which stays.
pub(crate) fn error(text: &str) {
    note(&format!("error: {text}"));
}

/// A line of progress. Where there is no terminal to write over it, it stays.
pub(crate) fn progress(text: &str) {
    let end = if is_terminal() { "" } else { "\n" };
    write(&format!("{}{text}{end}", clear()));
}

/// Whether a line can be written over.
pub(crate) fn is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Where log lines go: they stay as well.
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr().lock();
        stderr.write_all(clear().as_bytes())?;
        stderr.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

fn clear() -> &'static str {
    if is_terminal() { CLEAR } else { "" }
}

fn write(text: &str) {
    // Nobody listens: no reason to fail.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
