//! The reports on the landed rows, in a separate SQLite file.
//!
//! Each landed row is read once, so the cost of a refresh does not grow with the history. One transaction stores a chunk of
//! rows with its watermark, a fingerprint of its last row, and the hours that the chunk made stale. A second transaction
//! computes those hours, days and weeks again. A kill at any moment loses nothing and counts nothing twice.
//!
//! The reports can be computed again from the landing. This happens if the file is damaged or from another version, or if the
//! watermark does not match, which means another landing. The file is claimed before streaming starts, so that a file with other
//! data is refused at once. Its content is checked while rows are streamed.

mod file;
mod keep;
mod landing;
mod rounding;

pub(crate) use self::file::reader;
pub(crate) use self::keep::keep;
#[cfg(test)]
pub(crate) use self::{landing::attach, rounding::round};

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use tracing::warn;

use self::landing::Mark;
use crate::table::Table;

/// Includes the rows read from the landing.
const TAKE: &str = include_str!("sql/take.sql");
/// Computes the stale hours, days and weeks.
const COMPUTE: &str = include_str!("sql/compute.sql");
/// How many rows of each table are included at once.
const CHUNK_ROWS: i64 = 50_000;

/// The one connection that writes the reports.
#[derive(Debug)]
pub(crate) struct Reports {
    connection: Connection,
    path: PathBuf,
    landing: PathBuf,
}

/// Reports whose content has not been checked.
#[derive(Debug)]
pub(crate) struct Claimed {
    file: file::Claimed,
    path: PathBuf,
    landing: PathBuf,
}

/// The result of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Whether rows were included, or the reports started over.
    pub(crate) changed: bool,
    /// Whether more rows may have landed.
    pub(crate) behind: bool,
}

impl Reports {
    /// Checks that a file can hold the reports of a landing.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::misconfigured::Misconfigured) if the file holds other data.
    pub(crate) fn claim(path: &Path, landing: &Path) -> Result<Claimed> {
        let file = file::claim(path).with_context(|| cannot_open(path))?;
        Ok(Claimed {
            file,
            path: path.to_owned(),
            landing: landing.to_owned(),
        })
    }

    /// Includes all landed rows in `DAILY_VISITS` and the other sources of the tables. True if something changed.
    pub(crate) fn refresh_visits(&mut self) -> Result<bool> {
        let mut changed = false;
        loop {
            let taken = self.take_chunk(CHUNK_ROWS)?;
            changed |= taken.changed;
            if !taken.behind {
                return Ok(changed);
            }
        }
    }

    /// Updates the tables from the visits. True if something changed.
    pub(crate) fn refresh_tables(&mut self) -> Result<bool> {
        let mut refresh = || -> rusqlite::Result<bool> {
            let transaction = writing(&mut self.connection)?;
            let any = "SELECT EXISTS (SELECT 1 FROM _STALE)";
            let changed = transaction.query_row(any, [], |row| row.get(0))?;
            if changed {
                transaction.execute_batch(COMPUTE)?;
            }
            transaction.commit()?;
            Ok(changed)
        };
        refresh().with_context(|| format!("cannot compute the reports {}", self.path.display()))
    }

    /// Includes at most `rows` rows of each table.
    pub(crate) fn take_chunk(&mut self, rows: i64) -> Result<Taken> {
        let chunk = landing::read(&self.connection, &self.landing, rows)
            .with_context(|| format!("cannot read the landing {}", self.landing.display()))?;
        let Some(chunk) = chunk else {
            warn!("the landing has been replaced: the reports start over");
            file::start_over(&mut self.connection).with_context(|| {
                format!("cannot start the reports {} over", self.path.display())
            })?;
            return Ok(Taken {
                changed: true,
                behind: true,
            });
        };
        if chunk.marks.is_empty() {
            return Ok(Taken {
                changed: false,
                behind: false,
            });
        }
        let mut take = || {
            let transaction = writing(&mut self.connection)?;
            // Unless another process has updated the same reports meanwhile.
            if marks(&transaction)? == chunk.after {
                transaction.execute_batch(TAKE)?;
                for mark in &chunk.marks {
                    transaction.execute(
                        "UPDATE _TAKEN SET THROUGH = ?2, PRINT = ?3 WHERE TABLE_NAME = ?1",
                        params![mark.table.name(), mark.through, mark.print],
                    )?;
                }
            }
            transaction.commit()
        };
        take().with_context(|| format!("cannot write the reports {}", self.path.display()))?;
        Ok(Taken {
            changed: true,
            behind: chunk.is_behind,
        })
    }
}

impl Claimed {
    /// Checks the reports, and creates them if they are missing. They start over if they are damaged or from another version,
    /// or, with the first update, of another landing.
    pub(crate) fn open(self) -> Result<Reports> {
        let connection = self.file.open().with_context(|| cannot_open(&self.path))?;
        Ok(Reports {
            connection,
            path: self.path,
            landing: self.landing,
        })
    }
}

fn cannot_open(path: &Path) -> String {
    format!("cannot open the reports {}", path.display())
}

/// The mark of each landing table.
fn marks(connection: &Connection) -> rusqlite::Result<Vec<Mark>> {
    let mark = |table: Table| {
        connection.query_row(
            "SELECT THROUGH, PRINT FROM _TAKEN WHERE TABLE_NAME = ?1",
            [table.name()],
            |row| {
                Ok(Mark {
                    table,
                    through: row.get(0)?,
                    print: row.get(1)?,
                })
            },
        )
    };
    Table::ALL.into_iter().map(mark).collect()
}

fn writing(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}
