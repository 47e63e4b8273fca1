//! A queue has at most one generator and one streamer.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::misconfigured::Misconfigured;

/// What a process does with a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Generator,
    Streamer,
}

/// Holds a role on a queue until it is dropped, or the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct RoleLock {
    _file: File,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Generator => "generator",
            Self::Streamer => "streamer",
        }
    }
}

impl RoleLock {
    /// Takes the role.
    ///
    /// # Errors
    /// [`Misconfigured`], with the process id, if another process has it.
    pub(crate) fn take(queue: &Path, role: Role) -> Result<Self> {
        let path = lock_path(queue, role);
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(&mut file, queue, role)),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        file.set_len(0)?;
        write!(file, "{}", std::process::id())?;
        Ok(Self { _file: file })
    }
}

fn lock_path(queue: &Path, role: Role) -> PathBuf {
    let mut name = queue.as_os_str().to_owned();
    name.push(format!(".{}.lock", role.name()));
    PathBuf::from(name)
}

fn taken(file: &mut File, queue: &Path, role: Role) -> anyhow::Error {
    let mut holder = String::new();
    // Where locks also keep others from reading, or the holder has not written yet, its process id stays unknown.
    let holder = match file.read_to_string(&mut holder) {
        Ok(length) if length > 0 => format!("process {holder}"),
        _ => "another process".to_owned(),
    };
    Misconfigured::new(format!(
        "{holder} is already the {} of {}: stop it first, or give another --queue",
        role.name(),
        queue.display()
    ))
}
