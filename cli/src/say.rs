//! The output on stderr: notes, errors, and a progress line that is overwritten.

use std::io::{self, IsTerminal as _, Write};

use crate::text::printable;

/// Clears the progress line.
const CLEAR: &str = "\r\x1b[2K";
/// Switch off and on the wrapping of lines in the terminal, because `CLEAR` clears only one row.
const CUT: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

/// Prints a note.
pub(crate) fn note(text: &str) {
    write(&format!("{}{}\n", clear(), shown(text)));
}

/// Prints an error.
pub(crate) fn error(text: &str) {
    note(&format!("error: {text}"));
}

/// Prints a progress line, which is overwritten if stderr is a terminal.
pub(crate) fn progress(text: &str) {
    write(&if is_terminal() {
        overwritable(text)
    } else {
        format!("{}\n", shown(text))
    });
}

/// Formats a line that takes one row of the terminal, whatever its length and content.
fn overwritable(text: &str) -> String {
    let text = printable(text, usize::MAX);
    format!("{CLEAR}{CUT}{text}{WRAP}")
}

/// Whether lines can be overwritten.
pub(crate) fn is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// The writer for log lines, which clears the progress line first.
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

/// Escapes control characters in the lines of a text, which may contain offsets and messages from a server.
fn shown(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let indent = line.len() - line.trim_start().len();
        format!("{:indent$}{}", "", printable(line, usize::MAX))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn clear() -> &'static str {
    if is_terminal() { CLEAR } else { "" }
}

fn write(text: &str) {
    // Ignored: stderr may be closed.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::{CLEAR, overwritable};

    const WIDTH: usize = 80;

    /// A simple model of a terminal.
    struct Terminal {
        rows: Vec<String>,
        column: usize,
        wraps: bool,
    }

    impl Terminal {
        fn new() -> Self {
            Self {
                rows: vec![String::new()],
                column: 0,
                wraps: true,
            }
        }

        fn write(&mut self, text: &str) {
            let mut rest = text;
            while let Some(first) = rest.chars().next() {
                let (sequence, after) = match rest.strip_prefix("\x1b[") {
                    Some(sequence) => {
                        let end = sequence.find(char::is_alphabetic).unwrap() + 1;
                        sequence.split_at(end)
                    }
                    None => rest.split_at(first.len_utf8()),
                };
                rest = after;
                match sequence {
                    "\r" => self.column = 0,
                    "\n" => self.new_row(),
                    "2K" => self.rows.last_mut().unwrap().clear(),
                    "?7l" => self.wraps = false,
                    "?7h" => self.wraps = true,
                    character => self.put(character),
                }
            }
        }

        fn new_row(&mut self) {
            self.rows.push(String::new());
            self.column = 0;
        }

        fn put(&mut self, character: &str) {
            if self.column == WIDTH && self.wraps {
                self.new_row();
            }
            let row = self.rows.last_mut().unwrap();
            row.truncate(self.column.min(WIDTH - 1));
            row.push_str(character);
            self.column = row.len();
        }
    }

    #[test]
    fn a_long_progress_line_is_cleared_completely() {
        let mut terminal = Terminal::new();
        for text in [
            "x".repeat(WIDTH + 50),
            "one\ntwo".to_owned(),
            "x".repeat(WIDTH),
        ] {
            terminal.write(&overwritable(&text));
            assert_eq!(terminal.rows.len(), 1);
        }
        terminal.write(&format!("{CLEAR}done\n"));
        assert_eq!(terminal.rows, ["done", ""]);
    }
}
