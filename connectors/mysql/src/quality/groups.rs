//! Reads several tables side by side in the order of their key, one key at a time.

use anyhow::{Result, bail};

use super::gold::Customer;
use super::text::shown;

/// Rows in the order of the key's bytes, NULL first.
pub(crate) type Rows<'a> = Box<dyn Iterator<Item = Result<Customer>> + 'a>;

/// How many rows of a table may have the same key. The rows of a key are held in memory.
const MAX_COPIES: usize = 1_000;

/// A table and its next row.
pub(crate) struct Ordered<'a> {
    name: &'static str,
    rows: Rows<'a>,
    next: Option<Customer>,
}

impl<'a> Ordered<'a> {
    /// # Errors
    /// If the first row cannot be read.
    pub(crate) fn new(name: &'static str, mut rows: Rows<'a>) -> Result<Self> {
        let next = rows.next().transpose()?;
        Ok(Self { name, rows, next })
    }

    /// The next row; none at the end.
    fn next(&self) -> Option<&Customer> {
        self.next.as_ref()
    }

    /// Takes the rows with this key, if it is the next one.
    ///
    /// # Errors
    /// If a row cannot be read, if the rows are not in the order of the key, or if too many have this key.
    pub(crate) fn take(&mut self, key: Option<&str>) -> Result<Vec<Customer>> {
        let mut taken = Vec::new();
        while let Some(row) = self.next.take_if(|row| row.customer_id.as_deref() == key) {
            if taken.len() == MAX_COPIES {
                bail!(
                    "more than {MAX_COPIES} rows of {} have the key {}: name the column that is unique as the key",
                    self.name,
                    shown(key)
                );
            }
            taken.push(row);
            self.next = self.rows.next().transpose()?;
            if self
                .next
                .as_ref()
                .is_some_and(|next| next.customer_id.as_deref() < key)
            {
                bail!(
                    "the rows of {} are not in the order of the bytes of the key, after {}",
                    self.name,
                    shown(key)
                );
            }
        }
        Ok(taken)
    }
}

/// A next row with the smallest key; none at the end of all tables.
pub(crate) fn first<'a>(tables: [Option<&'a Ordered<'_>>; 3]) -> Option<&'a Customer> {
    let next = tables.into_iter().flatten().filter_map(Ordered::next);
    next.min_by_key(|row| &row.customer_id)
}
