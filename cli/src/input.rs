//! Reads lines from files or stdin, on a separate thread because a terminal or a pipe may block for long.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::value::RawValue;
use snowpipe_streaming::append::check_row;
use tokio::sync::mpsc;

use crate::Stop;
use crate::line::{Field, Place, parse};

/// The longest row that a channel accepts, without its line end: a quarter of the client's memory budget.
pub(crate) const LONGEST_LINE: u64 = (32 << 20) - 1;
/// The size of a piece of lines in bytes, and the number of pieces that may wait.
const PIECE: usize = 256 << 10;
const PIECES: usize = 4;
/// The number of lines that are searched for the type of the offsets.
const MOST_PEEKED: usize = 1000;

/// The input files, or stdin.
pub(crate) struct Input {
    files: Vec<PathBuf>,
    reader: Option<BufReader<Box<dyn Read + Send>>>,
    place: Place,
    /// Lines that were read by `peek`.
    peeked: VecDeque<Line>,
}

/// A line of the input.
#[derive(Debug)]
struct Line {
    place: Place,
    /// The text, or the reason why it is not a row and the beginning of the line.
    text: Result<String, (String, Vec<u8>)>,
}

/// An item of the input.
#[derive(Debug)]
pub(crate) enum Item {
    Row(Row),
    Bad(Bad),
    /// Reading a file failed.
    Failed(String),
    /// There are no more lines.
    End,
}

/// A line that is a row.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) place: Place,
    pub(crate) field: Field,
    pub(crate) json: Arc<RawValue>,
}

/// A line that is not a row.
#[derive(Debug)]
pub(crate) struct Bad {
    pub(crate) place: Place,
    pub(crate) why: String,
    /// The line, or the beginning of one that is too long.
    pub(crate) line: Vec<u8>,
}

impl Input {
    /// Checks that the files exist. No file, or `-`, stands for stdin. Only regular files are opened for the check. A FIFO is
    /// opened once, for reading, because data written before a second open is lost.
    pub(crate) fn open(files: &[PathBuf]) -> Result<Self, Stop> {
        let files = match files {
            [] => vec![PathBuf::from("-")],
            files => files.to_vec(),
        };
        for file in files.iter().filter(|file| !is_stdin(file)) {
            check(file).map_err(|why| Stop::misused(format!("{}: {why}", file.display())))?;
        }
        if files.iter().filter(|file| is_stdin(file)).count() > 1 {
            return Err(Stop::misused("stdin can be read only once: give - once"));
        }
        Ok(Self {
            files,
            reader: None,
            place: Place::START,
            peeked: VecDeque::new(),
        })
    }

    /// Refuses an output that is an input as well.
    pub(crate) fn check_output(&self, output: &Path) -> Result<(), Stop> {
        let is_same = |input: &&PathBuf| {
            let input = if is_stdin(input) {
                Path::new("/dev/stdin")
            } else {
                input
            };
            is_one_file(input, output)
        };
        match self.files.iter().find(is_same) {
            Some(_) => Err(Stop::misused(format!(
                "{} is an input: choose another file for the dead letters",
                output.display()
            ))),
            None => Ok(()),
        }
    }

    /// The names of the files, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let name = |file: &PathBuf| {
            if is_stdin(file) {
                "stdin".to_owned()
            } else {
                file.display().to_string()
            }
        };
        self.files.iter().map(name).collect()
    }

    /// The value of a field in the first row. Blocks until there is a row.
    pub(crate) fn peek(&mut self, field: &str) -> io::Result<Field> {
        while self.peeked.len() < MOST_PEEKED {
            let Some(line) = self.read()? else {
                break;
            };
            let found = match &line.text {
                Ok(text) => parse(text, Some(field)).ok(),
                Err(_) => None,
            };
            self.peeked.push_back(line);
            if let Some((_, field)) = found {
                return Ok(field);
            }
        }
        Ok(Field::Absent)
    }

    /// Starts reading on a thread.
    pub(crate) fn start(self, field: Option<String>) -> io::Result<mpsc::Receiver<Vec<Item>>> {
        let (sender, receiver) = mpsc::channel(PIECES);
        std::thread::Builder::new()
            .name("input".to_owned())
            .spawn(move || self.hand_over(field.as_deref(), &sender))?;
        Ok(receiver)
    }

    /// Reads to the end, or until the receiver is dropped.
    fn hand_over(mut self, field: Option<&str>, sender: &mpsc::Sender<Vec<Item>>) {
        let mut piece = Vec::new();
        let mut bytes = 0;
        loop {
            let (item, is_last) = match self.next() {
                Ok(Some(line)) => (item(line, field), false),
                Ok(None) => (Item::End, true),
                Err(why) => (Item::Failed(self.failed(&why)), true),
            };
            bytes += match &item {
                Item::Row(row) => row.json.get().len(),
                Item::Bad(bad) => bad.line.len(),
                Item::Failed(_) | Item::End => 0,
            };
            piece.push(item);
            // Items are sent before a read that may block.
            if is_last || bytes >= PIECE || self.may_wait() {
                bytes = 0;
                if sender.blocking_send(std::mem::take(&mut piece)).is_err() {
                    return;
                }
            }
            if is_last {
                return;
            }
        }
    }

    fn failed(&self, why: &io::Error) -> String {
        let at = usize::try_from(self.place.file).unwrap_or(usize::MAX);
        let name = self.names().into_iter().nth(at.saturating_sub(1));
        format!("{} cannot be read: {why}", name.unwrap_or_default())
    }

    /// Whether reading the next line may block.
    fn may_wait(&self) -> bool {
        let is_there = |reader: &BufReader<Box<dyn Read + Send>>| reader.buffer().contains(&b'\n');
        self.peeked.is_empty() && !self.reader.as_ref().is_some_and(is_there)
    }

    fn next(&mut self) -> io::Result<Option<Line>> {
        match self.peeked.pop_front() {
            Some(line) => Ok(Some(line)),
            None => self.read(),
        }
    }

    /// The next line that is not blank.
    fn read(&mut self) -> io::Result<Option<Line>> {
        loop {
            let Some(reader) = &mut self.reader else {
                let at = usize::try_from(self.place.file).unwrap_or(usize::MAX);
                let Some(file) = self.files.get(at) else {
                    return Ok(None);
                };
                self.place = self.place.next_file();
                let reader: Box<dyn Read + Send> = if is_stdin(file) {
                    Box::new(io::stdin())
                } else {
                    Box::new(File::open(file)?)
                };
                self.reader = Some(BufReader::with_capacity(PIECE, reader));
                continue;
            };
            let mut bytes = Vec::new();
            let is_whole = read_line(reader, LONGEST_LINE, &mut bytes)?;
            if bytes.is_empty() {
                self.reader = None;
                continue;
            }
            self.place.line += 1;
            let place = self.place;
            if !is_whole {
                bytes.truncate(200);
                let why =
                    format!("it is longer than {LONGEST_LINE} bytes, the longest row of a channel");
                let text = Err((why, bytes));
                return Ok(Some(Line { place, text }));
            }
            let mark: &[u8] = "\u{feff}".as_bytes();
            if place.line == 1 && bytes.starts_with(mark) {
                bytes.drain(..mark.len());
            }
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            let text = String::from_utf8(bytes)
                .map_err(|why| ("it is not UTF-8".to_owned(), why.into_bytes()));
            return Ok(Some(Line { place, text }));
        }
    }
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// Checks that a file exists and, if it is a regular file, that it can be opened.
fn check(file: &Path) -> io::Result<()> {
    let about = fs::metadata(file)?;
    if about.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if about.is_file() {
        File::open(file)?;
    }
    Ok(())
}

/// Whether two paths lead to one file that exists.
#[cfg(unix)]
fn is_one_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |path| fs::metadata(path).map(|about| (about.dev(), about.ino()));
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(not(unix))]
fn is_one_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// Reads a line with its end, or the beginning of one that is longer than `longest` bytes with its end, whose rest is skipped. Returns
/// whether the line is whole.
pub(crate) fn read_line(
    reader: &mut impl BufRead,
    longest: u64,
    line: &mut Vec<u8>,
) -> io::Result<bool> {
    reader.take(longest + 1).read_until(b'\n', line)?;
    let is_whole = line.len() as u64 <= longest;
    if !is_whole && !line.ends_with(b"\n") {
        skip_line(reader)?;
    }
    Ok(is_whole)
}

/// Skips the rest of the line.
fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let (read, is_end) = match end {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        reader.consume(read);
        if is_end {
            return Ok(());
        }
    }
}

fn item(line: Line, field: Option<&str>) -> Item {
    let place = line.place;
    let bad = |why, line: Vec<u8>| {
        let line = line.trim_ascii_end().to_vec();
        Item::Bad(Bad { place, why, line })
    };
    match line.text {
        Err((why, line)) => bad(why, line),
        Ok(text) => match parse(&text, field).and_then(|row| fits(&row.0).map(|()| row)) {
            Ok((json, field)) => Item::Row(Row {
                place,
                field,
                json: json.into(),
            }),
            Err(why) => bad(why, text.into_bytes()),
        },
    }
}

/// Refuses a row that the channel would refuse.
fn fits(row: &RawValue) -> Result<(), String> {
    check_row(row.get().as_bytes()).map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::{Input, Item, LONGEST_LINE};
    use crate::line::Field;

    fn read(contents: &[&[u8]], field: Option<&str>) -> Vec<(u64, u64, Result<String, String>)> {
        let directory = tempfile::tempdir().unwrap();
        let write = |(number, content): (usize, &&[u8])| {
            let path = directory.path().join(number.to_string());
            std::fs::File::create(&path)
                .unwrap()
                .write_all(content)
                .unwrap();
            path
        };
        let files: Vec<_> = contents.iter().enumerate().map(write).collect();
        let mut input = Input::open(&files).unwrap();
        if let Some(field) = field {
            assert_eq!(input.peek(field).unwrap(), Field::Integer(1));
        }
        let mut receiver = input.start(field.map(str::to_owned)).unwrap();
        let mut lines = Vec::new();
        while let Some(piece) = receiver.blocking_recv() {
            for item in piece {
                match item {
                    Item::Row(row) => {
                        lines.push((
                            row.place.file,
                            row.place.line,
                            Ok(row.json.get().to_owned()),
                        ));
                    }
                    Item::Bad(bad) => lines.push((bad.place.file, bad.place.line, Err(bad.why))),
                    Item::Failed(why) => panic!("{why}"),
                    Item::End => return lines,
                }
            }
        }
        panic!("it did not say that it was at its end");
    }

    #[test]
    fn files_are_read_in_order_and_blank_lines_count() {
        let first = "\u{feff}{\"a\":1}\r\n\n{\"a\":2}\n".as_bytes();
        let row = |text: &str| Ok(text.to_owned());
        assert_eq!(
            read(&[first, b"", b"{\"a\":3}"], None),
            [
                (1, 1, row("{\"a\":1}")),
                (1, 3, row("{\"a\":2}")),
                (3, 1, row("{\"a\":3}"))
            ]
        );
        assert_eq!(read(&[b""], None), []);
    }

    #[test]
    fn a_peeked_line_is_read_again() {
        let lines = read(&[b"nothing\n{\"a\":1}\n{\"a\":2}"], Some("a"));
        let places: Vec<_> = lines.iter().map(|(_, line, _)| *line).collect();
        assert_eq!(places, [1, 2, 3]);
    }

    #[test]
    fn lines_that_are_not_rows_are_reported_with_their_position() {
        let mut long = vec![b' '; usize::try_from(LONGEST_LINE).unwrap() * 2];
        long.extend(b"\n{\"a\":1}\n\xff\n");
        let lines = read(&[&long], None);
        let [(1, 1, Err(long)), (1, 2, Ok(_)), (1, 3, Err(odd))] = lines.as_slice() else {
            panic!("{lines:?}");
        };
        assert!(long.contains("longer than 33554431 bytes"), "{long}");
        assert_eq!(odd, "it is not UTF-8");
    }

    #[test]
    fn missing_files_and_repeated_stdin_are_refused() {
        let refused = |files: &[std::path::PathBuf]| Input::open(files).err().unwrap().why;
        let why = refused(&["/nonexistent/x".into()]);
        assert!(why.starts_with("/nonexistent/x: "), "{why}");
        let twice = refused(&["-".into(), "-".into()]);
        assert!(twice.contains("stdin can be read only once"), "{twice}");
    }
}
