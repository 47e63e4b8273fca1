//! Checks the paths of the pipeline's files before anything is written.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf, is_separator};

use anyhow::Result;
use rusqlite::ErrorCode;

use crate::misconfigured::Misconfigured;

/// Refuses paths for which SQLite's own error would be unclear.
///
/// # Errors
/// [`Misconfigured`], with the `flag` to change.
pub(crate) fn check_database(path: &Path, flag: &str) -> Result<()> {
    let name = path.to_string_lossy();
    if name == ":memory:" || name.starts_with("file:") {
        return Err(Misconfigured::new(format!(
            "SQLite does not accept {name} as a file name: give a file with {flag}"
        )));
    }
    let Ok(file) = fs::metadata(path) else {
        return Ok(());
    };
    if file.is_dir() {
        return Err(Misconfigured::new(format!(
            "{} is a directory: give a file with {flag}",
            path.display()
        )));
    }
    // SQLite treats a file of one byte as empty.
    if file.len() == 1 {
        return Err(something_else(path, flag));
    }
    Ok(())
}

/// The error for a file that is not one of the pipeline's, or has another purpose.
pub(crate) fn something_else(path: &Path, flag: &str) -> anyhow::Error {
    Misconfigured::new(format!(
        "{} holds other data and is not changed: give another {flag}",
        path.display()
    ))
}

/// Whether the remedy is another file.
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

/// Refuses a path to which no text can be written at the end of a run. Creates no file.
///
/// # Errors
/// [`Misconfigured`], with the `flag` to change.
pub(crate) fn check_text(path: &Path, flag: &str) -> Result<()> {
    let result = match fs::metadata(path) {
        Ok(file) if file.is_file() || file.is_dir() => {
            OpenOptions::new().write(true).open(path).map(drop)
        }
        // Opening a pipe may block until it has a reader, and closing it ends the reader's input.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => try_to_create(path),
        Err(error) => Err(error),
    };
    result.map_err(|error| {
        Misconfigured::new(format!(
            "cannot write {}: {error}: give another {flag}",
            path.display()
        ))
    })
}

/// The path without symbolic links, as SQLite follows them. A link may lead to a file that does not exist yet.
pub(crate) fn real_path(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        found => return found,
    }
    let path = end_of_links(path);
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    Ok(fs::canonicalize(directory(&path))?.join(name))
}

/// The target of a link whose target does not exist.
fn end_of_links(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    while let Ok(target) = fs::read_link(&path) {
        path = directory(&path).join(target);
    }
    path
}

/// Checks that a file can be created at a path, without creating it.
fn try_to_create(path: &Path) -> io::Result<()> {
    let path = end_of_links(path);
    if path.to_string_lossy().ends_with(is_separator) {
        return Err(ErrorKind::IsADirectory.into());
    }
    // A file without a name disappears when this process ends, even if it is killed.
    tempfile::tempfile_in(directory(&path)).map(drop)
}

fn directory(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    parent.unwrap_or(Path::new("."))
}
