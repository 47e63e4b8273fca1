//! The expressions of a pipe's select, as the catalog knows them: what computes them is above it.

use std::cell::Cell as Shared;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::cell::Cell;
use super::coercion::DataType;
use super::row_error::RowError;
use super::sequences::Sequence;

/// How long the programs may compute for the rows of a commit: everybody waits meanwhile.
pub(crate) const MOST_OF_COMMIT: Duration = Duration::from_secs(5);

thread_local! {
    /// When the programs that compute on this thread are given up.
    static END: Shared<Option<Instant>> = const { Shared::new(None) };
}

/// Lands rows on this thread, whose values may be computed until `end`.
pub(crate) fn until<T>(end: Instant, land: impl FnOnce() -> T) -> T {
    let before = END.replace(Some(end));
    let landed = land();
    END.set(before);
    landed
}

/// When the programs that compute on this thread are given up.
#[cfg(feature = "server")]
pub(crate) fn end() -> Option<Instant> {
    END.get()
}

/// Computes the values of a select list.
pub(crate) trait Program: fmt::Debug + Send + Sync {
    /// The select list, by which two programs are compared.
    fn text(&self) -> &str;

    /// Whether a value depends on the time zone, for all of them are computed in UTC.
    #[cfg(feature = "server")]
    fn is_of_time(&self) -> bool;

    /// The values for `row`, a JSON object, that is committed at `now`, each with its type.
    ///
    /// # Errors
    ///
    /// Why the row is rejected: a value cannot be computed.
    fn cells(&self, row: &str, now: SystemTime) -> Result<Vec<(Cell, DataType)>, RowError>;
}

/// The expressions of a pipe's select list, and the columns that their values go to.
#[derive(Debug, Clone)]
pub struct Transform {
    /// The positions of the columns in their table, in the order of the select list.
    pub(crate) columns: Vec<usize>,
    pub(crate) program: Arc<dyn Program>,
    /// The columns that take the next number of a sequence.
    pub(crate) numbers: Vec<(usize, Sequence)>,
    /// The condition of WHERE, which computes one BOOLEAN.
    pub(crate) filter: Option<Arc<dyn Program>>,
}

impl Transform {
    /// Whether the row is one that WHERE selects.
    pub(super) fn selects(&self, row: &str, now: SystemTime) -> Result<bool, RowError> {
        let Some(filter) = &self.filter else {
            return Ok(true);
        };
        let cells = filter.cells(row, now)?;
        Ok(matches!(cells.first(), Some((Cell::Boolean(true), _))))
    }

    /// Whether something of it depends on the time zone.
    #[cfg(feature = "server")]
    pub(super) fn is_of_time(&self) -> bool {
        let mut programs = std::iter::once(&self.program).chain(&self.filter);
        programs.any(|program| program.is_of_time())
    }
}

impl PartialEq for Transform {
    fn eq(&self, other: &Self) -> bool {
        let filter = |of: &Self| of.filter.as_ref().map(|filter| filter.text().to_owned());
        self.columns == other.columns
            && self.program.text() == other.program.text()
            && self.numbers == other.numbers
            && filter(self) == filter(other)
    }
}

impl Eq for Transform {}
