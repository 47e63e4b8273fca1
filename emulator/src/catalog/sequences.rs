//! Sequences: the numbers of AUTOINCREMENT and IDENTITY columns and of CREATE SEQUENCE.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::cell::Cell;
use super::coercion::{DataType, Input};
use super::row_error::RowError;
use super::rules::Rules;

/// A sequence of numbers. Clones share it: no number comes twice.
#[derive(Clone)]
pub struct Sequence {
    /// Its full name, under which a storage keeps its next number.
    name: Arc<str>,
    start: i64,
    step: i64,
    /// Whether it belongs to one column.
    is_identity: bool,
    is_ordered: bool,
    next: Arc<AtomicI64>,
}

impl Sequence {
    /// A sequence of this full name: a storage keeps the next number under it.
    pub fn new(name: &str, start: i64, step: i64) -> Self {
        Self {
            name: name.into(),
            start,
            step,
            is_identity: false,
            is_ordered: false,
            next: Arc::new(AtomicI64::new(start)),
        }
    }

    /// The same as the sequence of an AUTOINCREMENT or IDENTITY column.
    #[must_use]
    pub fn of_column(mut self) -> Self {
        self.is_identity = true;
        self
    }

    /// The same with ORDER or NOORDER. The emulator gives numbers in order either way.
    #[must_use]
    pub fn ordered(mut self, is_ordered: bool) -> Self {
        self.is_ordered = is_ordered;
        self
    }

    pub(crate) fn is_identity(&self) -> bool {
        self.is_identity
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The number that comes next.
    pub(crate) fn number(&self) -> i64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Goes on at a number.
    pub(crate) fn resume(&self, number: i64) {
        self.next.store(number, Ordering::Relaxed);
    }

    /// Starts anew.
    pub(crate) fn restart(&self) {
        self.resume(self.start);
    }

    /// Takes the next number, for a column of a type.
    pub(crate) fn take(&self, of: DataType) -> Result<Cell, RowError> {
        let after = |number: i64| number.checked_add(self.step);
        let taken = self
            .next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, after);
        let number = taken.map_err(|_| {
            RowError::new(
                "100132",
                "22003",
                format!("Sequence {} is exhausted", self.name),
            )
        })?;
        let rules = Rules::of_casts();
        of.land(&Input::Number(number.to_string().into()), rules)
    }
}

/// The definition, as DESC TABLE shows a column's default.
impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_identity() {
            return write!(f, "{}.NEXTVAL", self.name);
        }
        let order = if self.is_ordered { "ORDER" } else { "NOORDER" };
        let (start, step) = (self.start, self.step);
        write!(f, "IDENTITY START {start} INCREMENT {step} {order}")
    }
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sequence")
            .field("name", &self.name)
            .field("start", &self.start)
            .field("step", &self.step)
            .field("is_ordered", &self.is_ordered)
            .finish_non_exhaustive()
    }
}

/// Two sequences are the same if they are defined alike, wherever they are.
impl PartialEq for Sequence {
    fn eq(&self, other: &Self) -> bool {
        let definition = |it: &Self| (it.start, it.step, it.is_identity, it.is_ordered);
        self.name == other.name && definition(self) == definition(other)
    }
}

impl Eq for Sequence {}
