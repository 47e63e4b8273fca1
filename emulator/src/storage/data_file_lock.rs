//! The lock of a data file: one process at a time opens or deletes it, under whatever name it knows the file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::interface::StorageError;
use super::sqlite_file::{APPLICATION_ID, refusal};

/// The longest content of a lock: the id of a process and a line end.
const MOST_LOCK: u64 = 21;

/// How a SQLite file begins, and where its application id is ("Database File Format").
const MAGIC: &[u8] = b"SQLite format 3\0";
const APPLICATION_ID_AT: usize = 68;

type Check = fn(&Path) -> Result<(), StorageError>;

/// The data file of a path: where symbolic links lead, as SQLite follows them too. The file need not exist yet.
///
/// # Errors
/// When the path cannot name a data file, with a message that is clearer than SQLite's.
pub(crate) fn locate(path: &Path) -> Result<PathBuf, StorageError> {
    if path == Path::new(":memory:") {
        return Err(refusal(
            path,
            "is not a file: name one, or none to keep the tables in memory",
        ));
    }
    let file = real_path(path).map_err(|why| unusable(path, why))?;
    match fs::metadata(&file) {
        Ok(found) if found.is_dir() => Err(refusal(path, "is a directory: name a file")),
        Ok(found) if !found.is_file() => Err(refusal(path, "is not a regular file: name one")),
        // SQLite takes a file of one byte for an empty one, whatever is in it.
        Ok(found) if found.len() == 1 => Err(refusal(
            path,
            "is not a data file of the emulator: choose another name",
        )),
        _ => Ok(file),
    }
}

/// Locks the data file at this real path until the result is dropped. The lock is a separate file, so that the data file
/// itself stays open to readers. It is made only if the data file is the emulator's or yet to be made.
pub(crate) fn lock(path: &Path) -> Result<File, StorageError> {
    lock_if(path, check_header)
}

/// The same, if `check` agrees or there is a lock.
fn lock_if(path: &Path, check: Check) -> Result<File, StorageError> {
    let unusable = |why| unusable(path, why);
    let mut file = open(path, check)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Where locks are mandatory the holder's pid cannot be read: then it is not named.
            let _ = file.read_to_string(&mut holder);
            let holder = match holder.trim() {
                "" => "another process".to_owned(),
                pid => format!("process {pid}"),
            };
            let why = format!("is in use by {holder}: stop it, or choose another file");
            return Err(refusal(path, &why));
        }
        Err(TryLockError::Error(why)) => return Err(unusable(why)),
    }
    let mut holder = Vec::new();
    let read = (&file).take(MOST_LOCK + 1).read_to_end(&mut holder);
    let length = read.map_err(unusable)?;
    let is_ours = holder.trim_ascii_end().iter().all(u8::is_ascii_digit);
    if !is_ours || length as u64 > MOST_LOCK {
        return Err(not_a_lock(path));
    }
    file.set_len(0).map_err(unusable)?;
    file.rewind().map_err(unusable)?;
    writeln!(file, "{}", std::process::id()).map_err(unusable)?;
    Ok(file)
}

/// Opens the lock of the data file, or makes it if `check` agrees, but never through a link.
fn open(path: &Path, check: Check) -> Result<File, StorageError> {
    let at = beside(path, ".lock");
    let existing = || match fs::symlink_metadata(&at) {
        Ok(found) if !found.is_file() => Err(not_a_lock(path)),
        Ok(_) => OpenOptions::new()
            .read(true)
            .write(true)
            .open(&at)
            .map(Some)
            .map_err(|why| unusable(path, why)),
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(None),
        Err(why) => Err(unusable(path, why)),
    };
    if let Some(file) = existing()? {
        return Ok(file);
    }
    // Without a lock no process has the file open: reading it while this one has would release SQLite's own locks.
    check(path)?;
    match File::create_new(&at) {
        Err(why) if why.kind() == ErrorKind::AlreadyExists => {
            existing()?.ok_or_else(|| unusable(path, why))
        }
        created => created.map_err(|why| unusable(path, why)),
    }
}

/// Refuses a file that begins otherwise than an empty or a data file of the emulator.
fn check_header(path: &Path) -> Result<(), StorageError> {
    let mut header = Vec::new();
    let read = match File::open(path) {
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(()),
        file => file.and_then(|file| file.take(100).read_to_end(&mut header)),
    };
    read.map_err(|why| unusable(path, why))?;
    let id = header.get(APPLICATION_ID_AT..APPLICATION_ID_AT + 4);
    let id = id.and_then(|id| id.try_into().ok()).map(i32::from_be_bytes);
    // The id of a new file may be in its log only.
    let is_ours = header.is_empty()
        || header.starts_with(MAGIC) && id.is_some_and(|id| [0, APPLICATION_ID].contains(&id));
    if is_ours {
        return Ok(());
    }
    Err(refusal(
        path,
        "is not a data file of the emulator: choose another name",
    ))
}

/// Deletes the data file and what SQLite keeps beside it, while no process has it open.
pub(crate) fn delete(path: &Path) -> Result<(), StorageError> {
    let file = locate(path)?;
    // Also one that was damaged.
    let _lock = lock_if(&file, |_| Ok(()))?;
    for suffix in ["", "-wal", "-shm"] {
        match fs::remove_file(beside(&file, suffix)) {
            Err(why) if why.kind() != ErrorKind::NotFound => {
                return Err(StorageError {
                    message: format!("the data file {} cannot be deleted", path.display()),
                    source: Some(Box::new(why)),
                });
            }
            _ => {}
        }
    }
    Ok(())
}

/// The path without symbolic links. A link may lead to a file that is yet to be made.
fn real_path(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        found => return found,
    }
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let directory = parent.unwrap_or(Path::new("."));
    if let Ok(target) = fs::read_link(path) {
        // Links in a circle are another error than one that leads nowhere.
        return real_path(&directory.join(target));
    }
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    Ok(fs::canonicalize(directory)?.join(name))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn not_a_lock(path: &Path) -> StorageError {
    let lock = beside(path, ".lock");
    let why = format!(
        "cannot be locked: {} is not a lock of the emulator; choose another name",
        lock.display()
    );
    refusal(path, &why)
}

fn unusable(path: &Path, why: io::Error) -> StorageError {
    StorageError {
        message: format!(
            "the lock of the data file {} cannot be used",
            path.display()
        ),
        source: Some(Box::new(why)),
    }
}

#[cfg(test)]
#[path = "data_file_lock_tests.rs"]
mod tests;
