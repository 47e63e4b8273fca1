//! What the command says on stderr: notes, errors, and a line of progress that is written over.

use std::io::{IsTerminal as _, Write as _};

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

fn clear() -> &'static str {
    if is_terminal() { CLEAR } else { "" }
}

fn write(text: &str) {
    // Nobody listens: no reason to fail.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
