//! What is checked of a row before it is sent: its keys against the columns of the table. And the warning about the first row.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tracing::warn;

use crate::rows::{Columns, lowercase_key};
use crate::types::error::Result;
use crate::types::pipe::PipePath;

/// The checks of the rows of one pipe.
#[derive(Debug)]
pub(crate) struct RowChecks {
    /// Whether there is anything to check. Without columns, only the first row is looked at.
    is_active: AtomicBool,
    is_first: AtomicBool,
    columns: RwLock<Option<Arc<Columns>>>,
}

impl RowChecks {
    /// The default pipe of a table matches names in any case, so that lower-case keys are nothing to warn of.
    pub(super) fn new(pipe: &PipePath) -> Self {
        let warns = !pipe.is_default();
        Self {
            is_active: AtomicBool::new(warns),
            is_first: AtomicBool::new(warns),
            columns: RwLock::default(),
        }
    }

    pub(crate) fn set_columns(&self, columns: Columns) {
        let mut place = self.columns.write().unwrap_or_else(PoisonError::into_inner);
        *place = Some(Arc::new(columns));
        self.is_active.store(true, Ordering::Release);
    }

    /// Checks rows in NDJSON.
    pub(crate) fn check(&self, pipe: &PipePath, rows: &[u8]) -> Result<()> {
        if self.is_active.load(Ordering::Acquire) {
            self.check_each(pipe, rows)
        } else {
            Ok(())
        }
    }

    fn check_each(&self, pipe: &PipePath, rows: &[u8]) -> Result<()> {
        let columns = self.columns();
        let each = rows.split(|byte| *byte == b'\n');
        let mut each = each.filter(|row| !row.is_empty());
        if let Some(columns) = columns {
            return each.try_for_each(|row| columns.check(row));
        }
        let first = each.next();
        let first = first.filter(|_| self.is_first.swap(false, Ordering::AcqRel));
        if let Some(key) = first.and_then(lowercase_key) {
            warn!(
                %pipe,
                key,
                "the first row has a key in lower case; if the pipe matches columns case-sensitively and the column is {}, its value is lost: set ClientBuilder::keys(Keys::Uppercase) or rename the key; check_columns refuses keys without a column",
                key.to_ascii_uppercase()
            );
        }
        self.end_first();
        Ok(())
    }

    /// A copy, so that no lock is held while rows are checked.
    fn columns(&self) -> Option<Arc<Columns>> {
        let columns = self.columns.read().unwrap_or_else(PoisonError::into_inner);
        columns.clone()
    }

    /// The first row was looked at: without columns nothing is left to do.
    fn end_first(&self) {
        let columns = self.columns.read().unwrap_or_else(PoisonError::into_inner);
        if columns.is_none() && !self.is_first.load(Ordering::Acquire) {
            self.is_active.store(false, Ordering::Release);
        }
    }
}
