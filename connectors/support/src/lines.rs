//! A file of JSON objects, one in each line, that is only appended to.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::task::spawn_blocking;

/// The open file. Clones append to the same one.
#[derive(Debug, Clone)]
pub struct Lines(Arc<Mutex<Appended<File>>>);

#[derive(Debug)]
struct Appended<F> {
    file: F,
    /// A failed write may have left a part of a line.
    is_torn: bool,
}

impl Lines {
    /// Opens a file for appending. A line that a killed program has left unfinished is ended.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn open(path: &Path) -> Result<Self> {
        let open = || {
            let mut file = OpenOptions::new()
                .read(true)
                .append(true)
                .create(true)
                .open(path)?;
            let mut last = [b'\n'];
            if file.metadata()?.len() > 0 {
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
            }
            if last != [b'\n'] {
                file.write_all(b"\n")?;
            }
            std::io::Result::Ok(file)
        };
        let file = open().with_context(|| format!("cannot write {}", path.display()))?;
        let is_torn = false;
        Ok(Self(Arc::new(Mutex::new(Appended { file, is_torn }))))
    }

    /// Appends lines, and waits until they are on the disk.
    ///
    /// # Errors
    /// If the file cannot be written. Some of the lines may be in it nevertheless.
    pub async fn append<T: Serialize + Send + 'static>(&self, values: Vec<T>) -> Result<()> {
        let file = Arc::clone(&self.0);
        spawn_blocking(move || {
            let mut lines = Vec::new();
            for value in values {
                serde_json::to_writer(&mut lines, &value)?;
                lines.push(b'\n');
            }
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.append(&lines)?;
            Ok(file.file.sync_data()?)
        })
        .await?
    }
}

impl<F: Write> Appended<F> {
    /// Begins a new line after a failure. Nothing is cut off, because other programs may append to the same file.
    fn append(&mut self, lines: &[u8]) -> std::io::Result<()> {
        if self.is_torn {
            self.file.write_all(b"\n")?;
        }
        self.is_torn = true;
        self.file.write_all(lines)?;
        self.is_torn = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// Takes a few bytes, and then no more until it is emptied.
    struct Full {
        written: Vec<u8>,
        room: usize,
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let taken = bytes.len().min(self.room);
            self.room -= taken;
            self.written.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_after_a_failed_write_is_complete() {
        let mut lines = Appended {
            file: Full {
                written: Vec::new(),
                room: 5,
            },
            is_torn: false,
        };
        assert!(lines.append(b"{}\n{\"a\":1}\n").is_err());
        assert!(lines.append(b"{\"a\":1}\n").is_err());
        lines.file.room = 100;
        lines.append(b"{\"a\":1}\n").unwrap();
        lines.append(b"{}\n").unwrap();
        assert_eq!(lines.file.written, b"{}\n{\"\n{\"a\":1}\n{}\n");
    }

    #[test]
    fn an_unfinished_line_does_not_spoil_the_next_one() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("letters.ndjson");
        for (before, after) in [("", ""), ("{}\n", "{}\n"), ("{}\n{\"to", "{}\n{\"to\n")] {
            std::fs::write(&path, before).unwrap();
            drop(Lines::open(&path).unwrap());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
        }
    }
}
