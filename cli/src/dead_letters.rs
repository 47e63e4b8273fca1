//! The dead letter file: lines that are not rows, and ranges of rows of which the server rejected some. Each line of the file
//! is a JSON object with a `kind`. Several channels can share the file: each record has the `account`, the `pipe` (database,
//! schema and pipe) and the name of its `channel`.
//!
//! | `kind` | What it is |
//! |---|---|
//! | `unreadable` | a line that is not a row: `file`, `line`, `after` (the offset of the row before it), `why`, and `text`, or `base64` if the line is not UTF-8 or has control characters |
//! | `rejected` | a row of a range of which the server rejected some: `offset`, `row`, and of the range `count`, `after`, `through`, `message` |
//! | `counted` | the number of rejected rows of the channel that are recorded so far: `total`; the last one is at or before the offset `through` |

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use snowpipe_streaming::PipePath;
use snowpipe_streaming::ingest::Rejected;

use crate::input::{Bad, LONGEST_LINE, read_line};
use crate::row::{Key, Text};
use crate::say;

/// The longest record: a row, or a line of which every character is escaped, beside some names.
const LONGEST_RECORD: u64 = 2 * LONGEST_LINE + (1 << 20);

/// A channel, identified by its account, pipe and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChannelId {
    account: String,
    pipe: [String; 3],
    channel: String,
}

impl ChannelId {
    pub(crate) fn new(account: &str, pipe: &PipePath, channel: &str) -> Self {
        let pipe = [pipe.database(), pipe.schema(), pipe.pipe()].map(str::to_owned);
        Self {
            account: account.to_ascii_uppercase(),
            pipe,
            channel: channel.to_owned(),
        }
    }
}

/// A line of the file.
#[derive(Serialize)]
struct Record<'a, T> {
    kind: &'static str,
    #[serde(flatten)]
    channel: &'a ChannelId,
    #[serde(flatten)]
    what: T,
}

#[derive(Serialize)]
struct Unreadable<'a> {
    file: &'a str,
    line: u64,
    after: Option<&'a str>,
    why: &'a str,
    #[serde(flatten)]
    line_text: LineText,
}

/// The text of a line. Base64 keeps every byte, and JSON would make six bytes of a control character.
#[derive(Debug, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LineText {
    Text(String),
    Base64(String),
}

impl LineText {
    fn of(line: &[u8]) -> Self {
        let has_controls = |text: &str| text.chars().any(|c| c.is_ascii_control() && c != '\t');
        match std::str::from_utf8(line) {
            Ok(text) if !has_controls(text) => Self::Text(text.to_owned()),
            _ => Self::Base64(STANDARD.encode(line)),
        }
    }
}

/// The row is not a `Value`, which would round its numbers to doubles.
#[derive(Serialize)]
struct RejectedRow<'a> {
    offset: String,
    count: u64,
    after: Option<&'a str>,
    through: &'a str,
    message: Option<&'a str>,
    row: &'a Text,
}

/// The number of rejected rows of a channel that are recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Counted {
    total: u64,
    through: Option<String>,
}

/// The fields of an earlier run's records that are read again.
#[derive(Deserialize)]
struct Written {
    kind: String,
    #[serde(flatten)]
    channel: ChannelId,
    total: Option<u64>,
    through: Option<String>,
    file: Option<String>,
    line: Option<u64>,
    after: Option<String>,
    text: Option<String>,
    base64: Option<String>,
}

/// The dead letters of a channel, with the file if there is one.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    file: Option<File>,
    channel: ChannelId,
    /// The recorded rejects of the channel: those in the file or, without a file, those before this run.
    counted: Option<Counted>,
    /// Hashes of the `unreadable` lines in the file.
    unreadable: HashSet<u64>,
    hasher: RandomState,
    /// The number of rows of the current range that were in the input.
    rows_in_range: usize,
}

impl DeadLetters {
    /// Opens or creates the file, and reads the records of a channel.
    pub(crate) fn open(path: Option<&Path>, channel: ChannelId) -> io::Result<Self> {
        let mut letters = Self {
            file: None,
            channel,
            counted: None,
            unreadable: HashSet::new(),
            hasher: RandomState::new(),
            rows_in_range: 0,
        };
        let Some(path) = path else {
            return Ok(letters);
        };
        let mut file = create(path)?;
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        loop {
            let is_whole = read_line(&mut reader, LONGEST_RECORD, &mut line)?;
            if line.is_empty() {
                break;
            }
            // A crash may have cut the last record.
            if is_whole
                && let Ok(written) = serde_json::from_slice::<Written>(&line)
                && written.channel == letters.channel
            {
                letters.read(written);
            }
            line.clear();
        }
        close_last_line(&mut file)?;
        letters.file = Some(file);
        Ok(letters)
    }

    fn read(&mut self, written: Written) {
        let Written {
            kind,
            total,
            through,
            file,
            line,
            after,
            text,
            base64,
            ..
        } = written;
        let text = text.map(LineText::Text).or(base64.map(LineText::Base64));
        match (kind.as_str(), total, file.zip(line).zip(text)) {
            ("counted", Some(total), _) => self.counted = Some(Counted { total, through }),
            ("unreadable", _, Some(((file, line), text))) => {
                let hash = self.hasher.hash_one((file, line, after, text));
                self.unreadable.insert(hash);
            }
            _ => {}
        }
    }

    /// Records the current count of rejects as the start, unless an earlier run has done so.
    pub(crate) fn begin(&mut self, rejected: u64, committed: Option<String>) -> io::Result<()> {
        let through = committed.filter(|_| rejected > 0);
        match &mut self.counted {
            None => self.count(Counted {
                total: rejected,
                through,
            }),
            Some(counted) => {
                // A channel that was dropped and created again has no rejects.
                counted.through.take_if(|_| rejected == 0);
                Ok(())
            }
        }
    }

    /// The number of recorded rejects of the channel.
    pub(crate) fn total(&self) -> u64 {
        self.counted.as_ref().map_or(0, |counted| counted.total)
    }

    /// The offset at or before which the last recorded reject is.
    pub(crate) fn rejected_through(&self) -> Option<&str> {
        self.counted.as_ref()?.through.as_deref()
    }

    /// Writes a line that is not a row, unless the file has it. Returns whether the line was new.
    pub(crate) fn unreadable(
        &mut self,
        file: &str,
        after: Option<&str>,
        bad: &Bad,
    ) -> io::Result<bool> {
        let line = bad.place.line;
        let line_text = LineText::of(&bad.line);
        let hash = self.hasher.hash_one((file, line, after, &line_text));
        if self.unreadable.contains(&hash) {
            return Ok(false);
        }
        say::note(&format!("{file}:{line}: skipped: {}", bad.why));
        let record = self.record(
            "unreadable",
            Unreadable {
                file,
                line,
                after,
                why: &bad.why,
                line_text,
            },
        )?;
        self.write(&record)?;
        if self.file.is_some() {
            self.unreadable.insert(hash);
        }
        Ok(true)
    }

    /// Writes a range of rows of which the server rejected some. The rows are on disk when it returns.
    pub(crate) fn rejected<K: Key>(
        &mut self,
        rejected: &Rejected<K>,
        rows: &[(K, Text)],
    ) -> io::Result<()> {
        let Rejected {
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
            text.push_str(&self.record(
                "rejected",
                RejectedRow {
                    offset: offset.to_string(),
                    count: *count,
                    after: after.as_deref(),
                    through: &through,
                    message: message.as_deref(),
                    row,
                },
            )?);
        }
        self.write(&text)?;
        self.rows_in_range += rows.len();
        if *total == self.total() {
            return Ok(());
        }
        let why = message.as_deref().unwrap_or("without a reason");
        let after = after.as_deref().unwrap_or("the beginning");
        let kept = match (std::mem::take(&mut self.rows_in_range), &self.file) {
            (0, _) => "the input has none of these rows, so none is stored".to_owned(),
            (_, None) => "use --dead-letters to store them".to_owned(),
            (rows, Some(_)) => {
                format!(
                    "the {rows} rows of this range in the input were written to the dead letters"
                )
            }
        };
        say::note(&format!(
            "the server rejected {count} of the rows after {after} through {through}: {why}; {kept}"
        ));
        self.count(Counted {
            total: *total,
            through: Some(through),
        })
    }

    fn count(&mut self, counted: Counted) -> io::Result<()> {
        let record = self.record("counted", &counted)?;
        self.write(&record)?;
        self.counted = Some(counted);
        Ok(())
    }

    fn record(&self, kind: &'static str, what: impl Serialize) -> io::Result<String> {
        let channel = &self.channel;
        let record = Record {
            kind,
            channel,
            what,
        };
        Ok(serde_json::to_string(&record)? + "\n")
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        file.write_all(text.as_bytes())?;
        file.sync_data()
    }
}

/// Opens or creates the file. It holds rows, so it is created for its owner only.
fn create(path: &Path) -> io::Result<File> {
    // Reading from a pipe or a device may never end.
    if std::fs::metadata(path).is_ok_and(|about| !about.is_file()) {
        let why = "it is not a regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

/// Ends the last line if a crash has cut it, so that the next record starts a new line.
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
    use snowpipe_streaming::PipePath;

    use super::{ChannelId, DeadLetters, close_last_line};
    use crate::input::Bad;
    use crate::line::Place;

    fn channel(account: &str, table: &str, name: &str) -> ChannelId {
        ChannelId::new(
            account,
            &PipePath::for_table("D", "S", table).unwrap(),
            name,
        )
    }

    fn counted(letters: &DeadLetters) -> Option<(u64, Option<&str>)> {
        let counted = letters.counted.as_ref()?;
        Some((counted.total, counted.through.as_deref()))
    }

    #[test]
    fn the_count_continues_where_an_earlier_run_ended() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dead");
        let open = |id: &ChannelId| DeadLetters::open(Some(&path), id.clone()).unwrap();
        let c = channel("a-b", "T", "c");
        let mut letters = open(&c);
        assert_eq!(counted(&letters), None);
        letters.begin(3, Some("7".to_owned())).unwrap();
        assert_eq!(counted(&letters), Some((3, Some("7"))));
        assert_eq!(counted(&open(&c)), Some((3, Some("7"))));
        assert_eq!(open(&channel("A-B", "T", "c")).total(), 3);
        // Rejects since the earlier run are new, and do not change the start.
        open(&c).begin(9, None).unwrap();
        assert_eq!(open(&c).total(), 3);
        assert_eq!(DeadLetters::open(None, c).unwrap().total(), 0);
    }

    #[test]
    fn channels_of_one_name_are_distinguished_by_pipe_and_account() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dead");
        let open = |id: &ChannelId| DeadLetters::open(Some(&path), id.clone()).unwrap();
        let bad = || Bad {
            place: Place::START,
            why: "it is bad".to_owned(),
            line: b"x".to_vec(),
        };
        let first = channel("a", "T", "c");
        open(&first).begin(3, None).unwrap();
        assert!(open(&first).unreadable("rides", None, &bad()).unwrap());
        assert!(!open(&first).unreadable("rides", None, &bad()).unwrap());
        let others = [
            channel("a", "T", "d"),
            channel("a", "U", "c"),
            channel("b", "T", "c"),
        ];
        for other in &others {
            let mut letters = open(other);
            assert_eq!(counted(&letters), None);
            letters.begin(1, None).unwrap();
            assert!(letters.unreadable("rides", None, &bad()).unwrap());
            assert_eq!(open(other).total(), 1);
            assert_eq!(open(&first).total(), 3);
        }
    }

    #[test]
    fn a_line_cut_by_a_crash_does_not_affect_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dead");
        std::fs::write(&path, "{\"kind\": \"counted\", \"channel\": \"c\", \"tot").unwrap();
        let id = channel("a", "T", "c");
        let mut letters = DeadLetters::open(Some(&path), id.clone()).unwrap();
        assert_eq!(counted(&letters), None);
        letters.begin(1, None).unwrap();
        assert_eq!(DeadLetters::open(Some(&path), id).unwrap().total(), 1);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");

        let mut empty = tempfile::tempfile().unwrap();
        close_last_line(&mut empty).unwrap();
        assert_eq!(empty.metadata().unwrap().len(), 0);
    }
}
