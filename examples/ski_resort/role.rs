//! Locks for roles: a queue has at most one generator and one streamer, and one process writes the reports.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::misconfigured::Misconfigured;
use crate::place::real_path;

/// The role of a process for a queue or for reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Generator,
    Streamer,
    Reporter,
}

/// Holds a role on a file until it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct RoleLock {
    _file: File,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Generator => "generator",
            Self::Streamer => "streamer",
            Self::Reporter => "reporter",
        }
    }

    /// The flag that names the file.
    fn flag(self) -> &'static str {
        match self {
            Self::Generator | Self::Streamer => "--queue",
            Self::Reporter => "--reports",
        }
    }
}

impl RoleLock {
    /// Takes the role.
    ///
    /// # Errors
    /// [`Misconfigured`], with the process id, if another process has the role, or if the lock file cannot be written.
    pub(crate) fn take(file: &Path, role: Role) -> Result<Self> {
        if let Some(directory) = file.parent() {
            std::fs::create_dir_all(directory)
                .map_err(|error| no_place("create", directory, role, error))?;
        }
        // All links to the file share one lock.
        let real = real_path(file).map_err(|error| no_place("find", file, role, error))?;
        let path = lock_path(&real, role);
        if path.is_symlink() {
            return Err(not_a_lock(&path, role));
        }
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| no_place("open", &path, role, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(&mut lock, file, role)),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        let mut holder = String::new();
        // The longest process id has twenty digits.
        let found = (&lock).take(21).read_to_string(&mut holder);
        let is_ours = found.is_ok_and(|length| length < 21)
            && holder.trim().bytes().all(|byte| byte.is_ascii_digit());
        if !is_ours {
            return Err(not_a_lock(&path, role));
        }
        lock.set_len(0)?;
        lock.rewind()?;
        write!(lock, "{}", std::process::id())?;
        Ok(Self { _file: lock })
    }
}

fn lock_path(file: &Path, role: Role) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}.lock", role.name()));
    PathBuf::from(name)
}

/// The error if the lock file cannot be created. Most causes require another path.
fn no_place(action: &str, path: &Path, role: Role, error: io::Error) -> anyhow::Error {
    let message = format!("cannot {action} {}", path.display());
    match error.kind() {
        ErrorKind::NotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory
        | ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem => {
            Misconfigured::new(format!("{message}: {error}: give another {}", role.flag()))
        }
        _ => anyhow::Error::new(error).context(message),
    }
}

/// The error if another program's file has the name of the lock.
fn not_a_lock(path: &Path, role: Role) -> anyhow::Error {
    Misconfigured::new(format!(
        "{} is not a lock of this program: give another {}",
        path.display(),
        role.flag()
    ))
}

fn taken(lock: &mut File, file: &Path, role: Role) -> anyhow::Error {
    let mut holder = String::new();
    // The process id is unknown where a lock also prevents reading, or if the holder has not written it yet.
    let holder = match lock.read_to_string(&mut holder) {
        Ok(length) if length > 0 => format!("process {holder}"),
        _ => "another process".to_owned(),
    };
    Misconfigured::new(format!(
        "{holder} is already the {} of {}: stop it first, or give another {}",
        role.name(),
        file.display(),
        role.flag()
    ))
}
