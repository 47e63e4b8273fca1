//! When a call is given up. SQLite looks at the clock between its steps only, so a function that could take long looks at it as well.

use std::time::Instant;

use rusqlite::{Error, ffi};

use super::raised::Raised;
use crate::catalog::transforms::{MOST_OF_COMMIT, end};

/// When the calls of a connection are given up.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Deadline {
    Statement(Instant),
    /// With the commit whose rows the thread lands.
    Commit,
}

impl Deadline {
    pub(super) fn is_over(self) -> bool {
        let end = match self {
            Self::Statement(end) => Some(end),
            Self::Commit => end(),
        };
        end.is_some_and(|end| Instant::now() >= end)
    }

    /// Why a call of a function is given up.
    pub(super) fn stopped(self, function: &str) -> Error {
        match self {
            Self::Statement(_) => {
                Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_INTERRUPT), None)
            }
            Self::Commit => super::scalars::raised(Raised::unsupported(format!(
                "{function} that takes so long, or more than {} seconds with the other rows of a commit",
                MOST_OF_COMMIT.as_secs()
            ))),
        }
    }
}
