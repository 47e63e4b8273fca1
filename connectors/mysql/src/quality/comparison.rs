//! The rows of a landed table compared with the rows that it should have.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::gold::{COLUMNS, Customer};

/// The differences between a landed table and what it should hold by the source.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Comparison {
    /// Rows that are as expected.
    pub(crate) equal: u64,
    /// Rows of which no copy has landed.
    pub(crate) missing: u64,
    /// Landed rows with a key that the source does not have.
    pub(crate) extra: u64,
    /// Further landed rows with a key that the source has.
    pub(crate) doubled: u64,
    /// Landed rows with the right key and at least one other value.
    pub(crate) changed: u64,
    /// The columns, in the order of the table.
    pub(crate) columns: Vec<ColumnComparison>,
    /// The first differences of each kind, in the order of the key.
    pub(crate) examples: Vec<Difference>,
    #[serde(skip)]
    max_examples: u64,
}

/// A column of a landed table compared with what it should hold.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ColumnComparison {
    pub(crate) name: &'static str,
    /// The changed rows with another value in this column.
    pub(crate) changed: u64,
    /// The hash of what the column should hold.
    pub(crate) expected_hash: ColumnHash,
    /// The hash of what the column holds.
    pub(crate) found_hash: ColumnHash,
}

/// A hash of a column: the sum, modulo 2^128, of the hashes of its values with their keys. It does not depend on the order of
/// the rows, but on how often each occurs. In JSON, 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ColumnHash(u128);

/// What is different about a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Missing,
    Extra,
    Doubled,
    Changed,
}

/// A difference, with the value if it is a changed one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    pub(crate) kind: Kind,
    /// The key of the row; null for NULL.
    pub(crate) key: Option<String>,
    /// The changed column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) change: Option<Change>,
}

/// A changed value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    pub(crate) column: &'static str,
    /// What the column should hold; null for NULL.
    pub(crate) expected: Option<String>,
    /// What the column holds; null for NULL.
    pub(crate) found: Option<String>,
}

impl Comparison {
    /// Names at most `max_examples` rows of each kind.
    pub(crate) fn new(max_examples: u64) -> Self {
        let column = |name| ColumnComparison {
            name,
            changed: 0,
            expected_hash: ColumnHash::default(),
            found_hash: ColumnHash::default(),
        };
        Self {
            equal: 0,
            missing: 0,
            extra: 0,
            doubled: 0,
            changed: 0,
            columns: COLUMNS.map(column).into(),
            examples: Vec::new(),
            max_examples,
        }
    }

    /// Adds the rows of one key: `expected` by the source, `found` in the landed table.
    pub(crate) fn add(&mut self, expected: &[Customer], found: &[Customer]) {
        if expected == found {
            self.equal += found.len() as u64;
            for row in found {
                self.hash(row, |column| {
                    [&mut column.expected_hash, &mut column.found_hash].map(Some)
                });
            }
            return;
        }
        for row in expected {
            self.hash(row, |column| [Some(&mut column.expected_hash), None]);
        }
        for row in found {
            self.hash(row, |column| [None, Some(&mut column.found_hash)]);
        }
        let mut left: Vec<&Customer> = found.iter().collect();
        let mut unmatched = Vec::new();
        for row in expected {
            if let Some(position) = left.iter().position(|found| *found == row) {
                left.remove(position);
                self.equal += 1;
            } else {
                unmatched.push(row);
            }
        }
        let mut left = left.into_iter();
        for expected in unmatched {
            match left.next() {
                Some(found) => self.add_changed(expected, found),
                None => self.add_whole(Kind::Missing, expected),
            }
        }
        let kind = if expected.is_empty() {
            Kind::Extra
        } else {
            Kind::Doubled
        };
        for row in left {
            self.add_whole(kind, row);
        }
    }

    /// How many rows of a kind are not named by the examples.
    pub(super) fn unnamed(&self, kind: Kind) -> u64 {
        self.count(kind).saturating_sub(self.max_examples)
    }

    /// How many columns have another hash than they should.
    pub(crate) fn different_hashes(&self) -> u64 {
        let is_different = |column: &&ColumnComparison| column.expected_hash != column.found_hash;
        self.columns.iter().filter(is_different).count() as u64
    }

    fn add_whole(&mut self, kind: Kind, row: &Customer) {
        let counter = match kind {
            Kind::Missing => &mut self.missing,
            Kind::Extra => &mut self.extra,
            Kind::Doubled => &mut self.doubled,
            Kind::Changed => &mut self.changed,
        };
        *counter += 1;
        if *counter <= self.max_examples {
            let key = row.customer_id.clone();
            self.examples.push(Difference {
                kind,
                key,
                change: None,
            });
        }
    }

    fn add_changed(&mut self, expected: &Customer, found: &Customer) {
        self.changed += 1;
        let is_example = self.changed <= self.max_examples;
        let values = expected.values().into_iter().zip(found.values());
        for (column, (expected_value, value)) in self.columns.iter_mut().zip(values) {
            if expected_value == value {
                continue;
            }
            column.changed += 1;
            if is_example {
                self.examples.push(Difference {
                    kind: Kind::Changed,
                    key: expected.customer_id.clone(),
                    change: Some(Change {
                        column: column.name,
                        expected: expected_value.map(str::to_owned),
                        found: value.map(str::to_owned),
                    }),
                });
            }
        }
    }

    fn count(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Missing => self.missing,
            Kind::Extra => self.extra,
            Kind::Doubled => self.doubled,
            Kind::Changed => self.changed,
        }
    }

    fn hash(
        &mut self,
        row: &Customer,
        sums: impl Fn(&mut ColumnComparison) -> [Option<&mut ColumnHash>; 2],
    ) {
        let key = row.customer_id.as_deref();
        for (column, value) in self.columns.iter_mut().zip(row.values()) {
            let hash = hash(key, value);
            for sum in sums(column).into_iter().flatten() {
                sum.0 = sum.0.wrapping_add(hash);
            }
        }
    }
}

/// The first 128 bits of the SHA-256 of a key and a value.
fn hash(key: Option<&str>, value: Option<&str>) -> u128 {
    let mut bytes = Vec::with_capacity(64);
    for text in [key, value] {
        // The length separates the two, and the first byte distinguishes NULL from an empty text.
        bytes.push(u8::from(text.is_some()));
        let text = text.unwrap_or_default();
        bytes.extend((text.len() as u64).to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    let first = hash.first_chunk().copied().unwrap_or_default();
    u128::from_be_bytes(first)
}

impl std::fmt::Display for ColumnHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for ColumnHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
