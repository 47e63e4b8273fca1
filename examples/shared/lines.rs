//! A file of JSON objects, one in each line, that is only appended to.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::task::spawn_blocking;

/// The open file. Clones append to the same one.
#[derive(Debug, Clone)]
pub(crate) struct Lines(Arc<Mutex<File>>);

impl Lines {
    /// Opens a file for appending. A line that a killed program has left unfinished is ended.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn open(path: &Path) -> Result<Self> {
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
        Ok(Self(Arc::new(Mutex::new(file))))
    }

    /// Appends lines, and waits until they are on the disk.
    ///
    /// # Errors
    /// If the file cannot be written. Some of the lines may be in it nevertheless.
    pub(crate) async fn append<T: Serialize + Send + 'static>(&self, values: Vec<T>) -> Result<()> {
        let file = Arc::clone(&self.0);
        spawn_blocking(move || {
            let mut lines = Vec::new();
            for value in values {
                serde_json::to_writer(&mut lines, &value)?;
                lines.push(b'\n');
            }
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.write_all(&lines)?;
            Ok(file.sync_data()?)
        })
        .await?
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

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
