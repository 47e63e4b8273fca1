//! Whether our own files can be where somebody wants them, found out before anything is written there.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf, is_separator};

use anyhow::Result;
use rusqlite::ErrorCode;

use crate::misconfigured::Misconfigured;

/// Refuses a path at which SQLite would not say what is wrong.
///
/// # Errors
/// [`Misconfigured`], with the `flag` to change.
pub(crate) fn check_database(path: &Path, flag: &str) -> Result<()> {
    let name = path.to_string_lossy();
    if name == ":memory:" || name.starts_with("file:") {
        return Err(Misconfigured::new(format!(
            "SQLite does not take {name} as the name of a file: name a file with {flag}"
        )));
    }
    let Ok(file) = fs::metadata(path) else {
        return Ok(());
    };
    if file.is_dir() {
        return Err(Misconfigured::new(format!(
            "{} is a directory: name a file with {flag}",
            path.display()
        )));
    }
    // SQLite takes a file of one byte for an empty one, whatever is in it.
    if file.len() == 1 {
        return Err(something_else(path, flag));
    }
    Ok(())
}

/// A file that is not ours, or not for this.
pub(crate) fn something_else(path: &Path, flag: &str) -> anyhow::Error {
    Misconfigured::new(format!(
        "{} holds something else and is left alone: give another {flag}",
        path.display()
    ))
}

/// Whether it takes another file to fix this.
pub(crate) fn is_wrong_file(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::NotADatabase
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
        )
    )
}

/// Refuses a path to which no text could be written at the end of a run. Leaves nothing there.
///
/// # Errors
/// [`Misconfigured`], with the `flag` to change.
pub(crate) fn check_text(path: &Path, flag: &str) -> Result<()> {
    let tried = match fs::metadata(path) {
        Ok(file) if file.is_file() || file.is_dir() => {
            OpenOptions::new().write(true).open(path).map(drop)
        }
        // Opening a pipe may wait for its reader, and closing it again is the end of what that reads.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => try_to_make(path),
        Err(error) => Err(error),
    };
    tried.map_err(|error| {
        Misconfigured::new(format!(
            "cannot write {}: {error}: give another {flag}",
            path.display()
        ))
    })
}

/// The path without symbolic links, as SQLite follows them. A link may lead to a file that is yet to be made.
pub(crate) fn real_path(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        found => return found,
    }
    let path = end_of_links(path);
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    Ok(fs::canonicalize(directory(&path))?.join(name))
}

/// Where a link leads that is there, and whose end is not.
fn end_of_links(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    while let Ok(target) = fs::read_link(&path) {
        path = directory(&path).join(target);
    }
    path
}

/// Whether a file could be made there, found out without making one.
fn try_to_make(path: &Path) -> io::Result<()> {
    let path = end_of_links(path);
    if path.to_string_lossy().ends_with(is_separator) {
        return Err(ErrorKind::IsADirectory.into());
    }
    // A file without a name is gone with this process, however it ends.
    tempfile::tempfile_in(directory(&path)).map(drop)
}

fn directory(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    parent.unwrap_or(Path::new("."))
}
