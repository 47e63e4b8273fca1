//! What a quality check found: figures of each table, differences from the source, and checks that pass or fail.

use jiff::civil::Date;
use serde::Serialize;

use super::comparison::Comparison;
use super::defects::{self, Defects};
use super::gold::{COLUMNS, Customer};

/// The report, which [`Serialize`] writes as JSON with the names of the fields.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    /// Whether every check passed. A warning is not a failure.
    pub(crate) clean: bool,
    /// The day of the check in UTC, after which a date of birth is in the future.
    pub(crate) today: String,
    pub(crate) checks: Vec<Check>,
    /// The source, the raw table, and the gold table if there is one.
    pub(crate) tables: Vec<TableReport>,
}

/// One of the tables.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TableReport {
    /// `source`, `raw` or `gold`.
    pub(crate) name: &'static str,
    pub(crate) rows: u64,
    /// Different keys. NULL is a key.
    pub(crate) keys: u64,
    /// Rows whose key an earlier row has.
    pub(crate) duplicates: u64,
    /// How many values are NULL, in the order of the columns.
    pub(crate) nulls: Vec<Nulls>,
    pub(crate) defects: Defects,
    /// The comparison with what the table should hold by the source. The source itself has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) comparison: Option<Comparison>,
}

/// How many values of a column are NULL.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Nulls {
    pub(crate) column: &'static str,
    pub(crate) rows: u64,
}

/// A condition that was checked.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Check {
    pub(crate) table: &'static str,
    /// What may not be, such as `missing rows`.
    pub(crate) name: &'static str,
    /// How many there are.
    pub(crate) found: u64,
    /// How many there may be at most.
    pub(crate) limit: u64,
    pub(crate) status: Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// There are none.
    Passed,
    /// There are some, within the limit.
    Warning,
    /// There are more than the limit.
    Failed,
}

/// The defects that a table may have, in percent of its rows.
///
/// A difference from the source is an error of the copy and always fails. A defect of the values comes from the source, so it
/// is a warning up to a limit. About 16 % of the phone numbers that Faker generates begin with 001 and get 11 digits, which is
/// below the limit for them.
#[derive(Debug, Clone, Copy, PartialEq, clap::Args)]
pub(crate) struct Limits {
    /// Malformed e-mail addresses that are accepted, in percent of the rows
    #[arg(long = "max-malformed-emails", value_name = "PERCENT", default_value_t = Self::DEFAULT.malformed_emails)]
    pub(crate) malformed_emails: f64,
    /// Phone numbers of 11 digits that are accepted, in percent of the rows
    #[arg(long = "max-phones-of-11-digits", value_name = "PERCENT", default_value_t = Self::DEFAULT.phones_of_11_digits)]
    pub(crate) phones_of_11_digits: f64,
    /// Phones without a phone number that are accepted, in percent of the rows
    #[arg(long = "max-not-phones", value_name = "PERCENT", default_value_t = Self::DEFAULT.not_phones)]
    pub(crate) not_phones: f64,
    /// Dates of birth in the future that are accepted, in percent of the rows
    #[arg(long = "max-future-births", value_name = "PERCENT", default_value_t = Self::DEFAULT.future_births)]
    pub(crate) future_births: f64,
    /// Dates of birth that are not a date and are accepted, in percent of the rows
    #[arg(long = "max-not-dates", value_name = "PERCENT", default_value_t = Self::DEFAULT.not_dates)]
    pub(crate) not_dates: f64,
}

impl Limits {
    const DEFAULT: Self = Self {
        malformed_emails: 1.0,
        phones_of_11_digits: 20.0,
        not_phones: 1.0,
        future_births: 0.0,
        not_dates: 1.0,
    };

    /// The limits in the order of [`defects::NAMES`].
    fn percents(&self) -> [f64; defects::NAMES.len()] {
        [
            self.malformed_emails,
            self.phones_of_11_digits,
            self.not_phones,
            self.future_births,
            self.not_dates,
        ]
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl TableReport {
    pub(crate) fn new(name: &'static str, comparison: Option<Comparison>) -> Self {
        Self {
            name,
            rows: 0,
            keys: 0,
            duplicates: 0,
            nulls: COLUMNS.map(|column| Nulls { column, rows: 0 }).into(),
            defects: Defects::default(),
            comparison,
        }
    }

    /// Adds the rows of one key, with the national numbers of their phones, and compares them with the `expected` rows.
    pub(crate) fn add(
        &mut self,
        rows: &[Customer],
        nationals: impl IntoIterator<Item = String>,
        today: Date,
        expected: &[Customer],
    ) {
        let count = rows.len() as u64;
        self.rows += count;
        self.keys += count.min(1);
        self.duplicates += count.saturating_sub(1);
        for (row, national) in rows.iter().zip(nationals) {
            for (nulls, value) in self.nulls.iter_mut().zip(row.values()) {
                nulls.rows += u64::from(value.is_none());
            }
            self.defects.add(row, &national, today);
        }
        if let Some(comparison) = &mut self.comparison {
            comparison.add(expected, rows);
        }
    }

    fn checks(&self, source_rows: u64, limits: &Limits) -> Vec<Check> {
        let check = |name, found, limit| Check {
            table: self.name,
            name,
            found,
            limit,
            status: match found {
                0 => Status::Passed,
                found if found <= limit => Status::Warning,
                _ => Status::Failed,
            },
        };
        let null_keys = self.nulls.first().map_or(0, |nulls| nulls.rows);
        let mut checks = Vec::new();
        if let Some(comparison) = &self.comparison {
            checks.extend([
                check(
                    "rows more or fewer than in the source",
                    self.rows.abs_diff(source_rows),
                    0,
                ),
                check("missing rows", comparison.missing, 0),
                check("extra rows", comparison.extra, 0),
                check("doubled rows", comparison.doubled, 0),
                check("changed rows", comparison.changed, 0),
                check(
                    "columns with another hash",
                    comparison.different_hashes(),
                    0,
                ),
            ]);
        }
        checks.extend([
            check("keys that are NULL", null_keys, 0),
            check("rows with the key of another", self.duplicates, 0),
        ]);
        let defects = defects::NAMES.into_iter().zip(self.defects.counts());
        let limited = defects.zip(limits.percents());
        checks.extend(
            limited
                .map(|((name, found), percent)| check(name, found, share_of(self.rows, percent))),
        );
        checks
    }
}

impl Report {
    pub(crate) fn new(today: String, tables: Vec<TableReport>, limits: &Limits) -> Self {
        let source_rows = tables.first().map_or(0, |source| source.rows);
        let checks: Vec<_> = tables
            .iter()
            .flat_map(|table| table.checks(source_rows, limits))
            .collect();
        Self {
            clean: checks.iter().all(|check| check.status != Status::Failed),
            today,
            checks,
            tables,
        }
    }

    /// Whether every check passed. A warning is not a failure.
    pub(crate) fn is_clean(&self) -> bool {
        self.clean
    }

    /// The report as indented JSON.
    ///
    /// # Errors
    /// Does not fail; serde's interface has an error.
    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

/// How many rows `percent` of `rows` are, rounded down.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a limit is not exact, and a cast to an integer stays in its range"
)]
fn share_of(rows: u64, percent: f64) -> u64 {
    (rows as f64 * percent / 100.0) as u64
}
