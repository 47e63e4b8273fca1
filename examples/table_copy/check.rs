//! Compares source and target row by row, in the order of the key, by a hash of each row.

use std::cmp::Ordering;
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use rusqlite::{Row, Rows};
use sha2::{Digest, Sha256};
use snowpipe_connector_support::data_file::open_read_only;

/// The copied columns under their names in source and target, with the key first.
const SOURCE: &str =
    "SELECT USER_ID, EMAIL, PHONE, DATE_OF_BIRTH FROM PEOPLE_100K ORDER BY USER_ID";
const TARGET: &str =
    "SELECT CUSTOMER_ID, EMAIL, PHONE, DATE_OF_BIRTH FROM SF_CUSTOMER_RAW ORDER BY CUSTOMER_ID";
const COLUMNS: usize = 4;

/// The result of a comparison, in rows.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Comparison {
    pub(crate) source: u64,
    pub(crate) landed: u64,
    /// In both, with the same key and the same hash.
    pub(crate) equal: u64,
    /// In both, with the same key and another hash.
    pub(crate) different: u64,
    /// Only in the source.
    pub(crate) missing: u64,
    /// Only in the target.
    pub(crate) extra: u64,
    /// A further copy in the target of a row that was already compared.
    pub(crate) repeated: u64,
}

impl Comparison {
    /// Compares the source file with the data file of an emulator.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub(crate) fn of(source: &Path, landing: &Path) -> Result<Self> {
        let compare = || -> rusqlite::Result<Self> {
            let (source, landing) = (open_read_only(source)?, open_read_only(landing)?);
            let (mut source, mut landing) = (source.prepare(SOURCE)?, landing.prepare(TARGET)?);
            Self::merge(source.query([])?, landing.query([])?)
        };
        compare().with_context(|| {
            format!(
                "cannot compare {} with {}",
                source.display(),
                landing.display()
            )
        })
    }

    /// Whether source and target hold the same rows.
    pub(crate) fn is_equal(&self) -> bool {
        self.source == self.equal && self.landed == self.equal
    }

    fn merge(mut source: Rows<'_>, mut target: Rows<'_>) -> rusqlite::Result<Self> {
        let mut found = Self::default();
        let mut expected = next(&mut source)?;
        let mut landed = next(&mut target)?;
        let mut last_found = None;
        loop {
            let order = match (&expected, &landed) {
                (None, None) => return Ok(found),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(expected), Some(landed)) => expected.key.cmp(&landed.key),
            };
            match order {
                Ordering::Less => found.missing += 1,
                Ordering::Equal if expected == landed => found.equal += 1,
                Ordering::Equal => found.different += 1,
                Ordering::Greater if landed.as_ref().map(|row| &row.key) == last_found.as_ref() => {
                    found.repeated += 1;
                }
                Ordering::Greater => found.extra += 1,
            }
            if order.is_le() {
                found.source += 1;
                expected = next(&mut source)?;
            }
            if order.is_ge() {
                found.landed += 1;
                last_found = landed.map(|row| row.key);
                landed = next(&mut target)?;
            }
        }
    }
}

/// The key and the hash of a row.
#[derive(Debug, PartialEq, Eq)]
struct Hashed {
    key: String,
    hash: [u8; 32],
}

fn next(rows: &mut Rows<'_>) -> rusqlite::Result<Option<Hashed>> {
    rows.next()?.map(hashed).transpose()
}

fn hashed(row: &Row<'_>) -> rusqlite::Result<Hashed> {
    let mut hash = Sha256::new();
    for column in 0..COLUMNS {
        // The length separates the columns, and the first byte distinguishes null from an empty text.
        match row.get::<_, Option<String>>(column)? {
            None => hash.update([0]),
            Some(text) => {
                hash.update([1]);
                hash.update((text.len() as u64).to_le_bytes());
                hash.update(text);
            }
        }
    }
    Ok(Hashed {
        key: row.get(0)?,
        hash: hash.finalize().into(),
    })
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "compared by USER_ID and hash of the row: {} in the source, {} landed, {} equal, {} different, {} missing, \
             {} extra, {} repeated",
            self.source,
            self.landed,
            self.equal,
            self.different,
            self.missing,
            self.extra,
            self.repeated
        )?;
        f.write_str(if self.is_equal() {
            "the tables are equal"
        } else {
            "the tables are NOT equal"
        })
    }
}
