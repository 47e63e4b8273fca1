//! A file that keeps what did not become a row of the table: lines that are no rows, and rows among which the server rejected
//! some. Each line of it is a JSON object whose `kind` says what it is.
//!
//! | `kind` | what it is |
//! |---|---|
//! | `unreadable` | a line that is no row: `file`, `line`, `why`, `text` |
//! | `rejected` | a row among which the server rejected some: `offset`, `row`, and of the stretch `count`, `after`, `through`, `message` |
//! | `counted` | how many rows the server has rejected of the `channel` ever, as far as they are in this file: `total` |

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};
use snowpipe_streaming::ingest::Rejected;

use crate::input::Bad;
use crate::say;
use crate::source::{Key, Text};

/// A row among which the server rejected some. It is not a `Value`, which would round the row's numbers to doubles.
#[derive(Serialize)]
struct RejectedRow<'a> {
    kind: &'static str,
    channel: &'a str,
    offset: String,
    count: u64,
    after: Option<&'a str>,
    through: &'a str,
    message: Option<&'a str>,
    row: &'a Text,
}

/// The file, or none.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    file: Option<File>,
    /// How many rows of the channel were rejected ever, as far as they were told here.
    total: Option<u64>,
}

impl DeadLetters {
    /// Opens the file, or makes it, and finds out what it counted last of a channel.
    pub(crate) fn open(path: Option<&Path>, channel: &str) -> io::Result<Self> {
        let Some(path) = path else {
            return Ok(Self {
                file: None,
                total: None,
            });
        };
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)?;
        let mut total = None;
        for line in BufReader::new(&file).split(b'\n') {
            // A crash may have cut the last one.
            let record: Value = serde_json::from_slice(&line?).unwrap_or_default();
            if record.get("kind") == Some(&json!("counted"))
                && record.get("channel") == Some(&json!(channel))
            {
                total = record.get("total").and_then(Value::as_u64).or(total);
            }
        }
        close_last_line(&mut file)?;
        Ok(Self {
            file: Some(file),
            total,
        })
    }

    /// Begins to count a channel from what it has rejected by now, unless an earlier run began.
    pub(crate) fn begin(&mut self, channel: &str, total: u64) -> io::Result<()> {
        if self.total.is_none() {
            self.write(&counted(channel, total))?;
            self.total = Some(total);
        }
        Ok(())
    }

    /// How many rejected rows are in the file; `None` if there is no file.
    pub(crate) fn total(&self) -> Option<u64> {
        self.total.filter(|_| self.file.is_some())
    }

    /// Keeps a line that is no row.
    pub(crate) fn unreadable(&mut self, file: &str, bad: &Bad) -> io::Result<()> {
        say::note(&format!("{file}:{}: skipped: {}", bad.place.line, bad.why));
        let line = bad.place.line;
        let record = json!({"kind": "unreadable", "file": file, "line": line, "why": bad.why, "text": bad.text});
        self.write(&format!("{record}\n"))
    }

    /// Keeps rows among which the server rejected some. They are on the disk when it returns.
    pub(crate) fn rejected<K: Key>(
        &mut self,
        rejected: &Rejected<K>,
        rows: &[(K, Text)],
    ) -> io::Result<()> {
        let Rejected {
            channel,
            count,
            through,
            message,
            total,
            ..
        } = rejected;
        let through = through.to_string();
        let after = rejected.after.as_ref().map(ToString::to_string);
        let mut text = String::new();
        for (offset, row) in rows {
            let record = RejectedRow {
                kind: "rejected",
                channel,
                offset: offset.to_string(),
                count: *count,
                after: after.as_deref(),
                through: &through,
                message: message.as_deref(),
                row,
            };
            text.push_str(&serde_json::to_string(&record)?);
            text.push('\n');
        }
        let is_last = self.total != Some(*total);
        if is_last {
            let why = message.as_deref().unwrap_or("it gave no reason");
            let which = if self.file.is_some() {
                "they are among the dead letters"
            } else {
                "--dead-letters would have kept them"
            };
            say::note(&format!(
                "the server rejected {count} of the rows after {} through {through}: {why}; {which}",
                after.as_deref().unwrap_or("the beginning")
            ));
            text.push_str(&counted(channel, *total));
        }
        self.write(&text)?;
        self.total = Some(*total);
        Ok(())
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        file.write_all(text.as_bytes())?;
        file.sync_data()
    }
}

fn counted(channel: &str, total: u64) -> String {
    let record = json!({"kind": "counted", "channel": channel, "total": total});
    format!("{record}\n")
}

/// Ends a line that a crash has cut, so that the next one is a line of its own.
fn close_last_line(file: &mut File) -> io::Result<()> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(());
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    if last == *b"\n" {
        return Ok(());
    }
    file.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::{DeadLetters, close_last_line};

    #[test]
    fn the_count_goes_on_where_an_earlier_run_left_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dead");
        let open = |channel| DeadLetters::open(Some(&path), channel).unwrap();
        let mut letters = open("c");
        assert_eq!(letters.total(), None);
        letters.begin("c", 3).unwrap();
        assert_eq!(letters.total(), Some(3));
        assert_eq!(open("c").total(), Some(3));
        assert_eq!(open("d").total(), None);
        // What the server counted since is news, and not where the count begins.
        open("c").begin("c", 9).unwrap();
        assert_eq!(open("c").total(), Some(3));
        assert_eq!(DeadLetters::open(None, "c").unwrap().total(), None);
    }

    #[test]
    fn a_line_that_a_crash_has_cut_spoils_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dead");
        std::fs::write(&path, "{\"kind\": \"counted\", \"channel\": \"c\", \"tot").unwrap();
        let mut letters = DeadLetters::open(Some(&path), "c").unwrap();
        assert_eq!(letters.total(), None);
        letters.begin("c", 1).unwrap();
        assert_eq!(
            DeadLetters::open(Some(&path), "c").unwrap().total(),
            Some(1)
        );
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");

        let mut empty = tempfile::tempfile().unwrap();
        close_last_line(&mut empty).unwrap();
        assert_eq!(empty.metadata().unwrap().len(), 0);
    }
}
