//! Lines for the terminal, or a program that reads along.

use std::fmt;
use std::io::{self, Write as _};

/// Prints a line. A reader that is gone does not stop the program.
pub(crate) fn say(line: impl fmt::Display) {
    let _ = writeln!(io::stdout(), "{line}");
}
