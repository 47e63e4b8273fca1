//! The figures of a report as text, and the report as a table for a terminal.

use std::fmt::{self, Write as _};

use snowpipe_connector_support::text_table::{Align, aligned};

use super::comparison::{Comparison, Difference, Kind};
use super::defects;
use super::gold::COLUMNS;
use super::report::{Check, Report, Status, TableReport};

/// A figure, and its values in the source, the raw and the gold table.
pub(super) type Figure = [String; 4];

/// What a table without the figure shows.
const NONE: &str = "-";
/// The digits of a hash that the terminal shows.
const SHORT_HASH: usize = 12;

impl Report {
    /// The figures of the tables by themselves.
    pub(super) fn table_figures(&self) -> Vec<Figure> {
        let figure = |name: &str, value: fn(&TableReport) -> u64| {
            self.figure(name.to_owned(), |table| Some(value(table).to_string()))
        };
        let mut figures = vec![
            figure("rows", |table| table.rows),
            figure("different keys", |table| table.keys),
            figure("rows with the key of another", |table| table.duplicates),
        ];
        for (position, column) in COLUMNS.iter().enumerate() {
            figures.push(self.figure(format!("{column} is NULL"), |table| {
                Some(table.nulls.get(position)?.rows.to_string())
            }));
        }
        for (position, name) in defects::NAMES.iter().enumerate() {
            figures.push(self.figure((*name).to_owned(), |table| {
                Some(table.defects.counts().get(position)?.to_string())
            }));
        }
        figures
    }

    /// How the landed tables differ from what they should hold.
    pub(super) fn comparison_figures(&self) -> Vec<Figure> {
        let figure = |name: &str, value: fn(&Comparison) -> u64| {
            self.compared(name.to_owned(), |comparison| {
                Some(value(comparison).to_string())
            })
        };
        let mut figures = vec![
            figure("equal rows", |comparison| comparison.equal),
            figure("missing rows", |comparison| comparison.missing),
            figure("extra rows", |comparison| comparison.extra),
            figure("doubled rows", |comparison| comparison.doubled),
            figure("changed rows", |comparison| comparison.changed),
        ];
        for (position, column) in COLUMNS.iter().enumerate() {
            figures.push(self.compared(format!("changed in {column}"), |comparison| {
                Some(comparison.columns.get(position)?.changed.to_string())
            }));
        }
        figures
    }

    /// The hashes of each column: what it should have, and what it has if that is different.
    pub(super) fn hash_figures(&self, digits: usize) -> Vec<Figure> {
        let of_column = |(position, column): (usize, &&str)| {
            self.compared(format!("hash of {column}"), |comparison| {
                let column = comparison.columns.get(position)?;
                let short = |hash: &dyn fmt::Display| {
                    hash.to_string().chars().take(digits).collect::<String>()
                };
                let (expected, found) = (short(&column.expected_hash), short(&column.found_hash));
                Some(if column.expected_hash == column.found_hash {
                    expected
                } else {
                    format!("{found} instead of {expected}")
                })
            })
        };
        COLUMNS.iter().enumerate().map(of_column).collect()
    }

    /// The named differences, each with its table.
    pub(super) fn differences(&self) -> impl Iterator<Item = (&'static str, &Difference)> {
        let compared = self
            .tables
            .iter()
            .filter_map(|table| Some((table.name, table.comparison.as_ref()?)));
        compared.flat_map(|(table, comparison)| {
            comparison
                .examples
                .iter()
                .map(move |example| (table, example))
        })
    }

    /// How many differences are not among the named ones.
    pub(super) fn unnamed(&self) -> u64 {
        let unnamed = |comparison: &Comparison| {
            let all = [Kind::Missing, Kind::Extra, Kind::Doubled, Kind::Changed]
                .map(|kind| comparison.unnamed(kind));
            all.iter().sum::<u64>()
        };
        self.tables
            .iter()
            .filter_map(|table| table.comparison.as_ref())
            .map(unnamed)
            .sum()
    }

    /// What the report comes to.
    pub(super) fn summary(&self) -> String {
        let count = |status| {
            self.checks
                .iter()
                .filter(|check| check.status == status)
                .count()
        };
        let (failed, warnings) = (count(Status::Failed), count(Status::Warning));
        let all = self.checks.len();
        match (failed, warnings) {
            (0, 0) => format!("all {all} checks passed"),
            (0, _) => format!("no check of {all} failed, {warnings} with a warning"),
            (_, 0) => format!("{failed} of {all} checks FAILED"),
            _ => format!("{failed} of {all} checks FAILED, {warnings} with a warning"),
        }
    }

    fn figure(&self, name: String, value: impl Fn(&TableReport) -> Option<String>) -> Figure {
        let of = |position: usize| {
            let value = self.tables.get(position).and_then(&value);
            value.unwrap_or_else(|| NONE.to_owned())
        };
        [name, of(0), of(1), of(2)]
    }

    fn compared(&self, name: String, value: impl Fn(&Comparison) -> Option<String>) -> Figure {
        self.figure(name, |table| value(table.comparison.as_ref()?))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = |name: &str| [name, "source", "raw", "gold"].map(str::to_owned);
        let mut rows = vec![head("figures")];
        rows.extend(self.table_figures());
        rows.push(head("compared with the source"));
        rows.extend(self.comparison_figures());
        f.write_str(&aligned(
            [Align::Left, Align::Right, Align::Right, Align::Right],
            &rows,
        ))?;
        for [name, _, raw, gold] in self.hash_figures(SHORT_HASH) {
            writeln!(f, "{name}: raw {raw}, gold {gold}")?;
        }
        for (table, difference) in self.differences() {
            writeln!(f, "{table}: {}", sentence(difference))?;
        }
        match self.unnamed() {
            0 => {}
            more => writeln!(f, "and {more} more differences")?,
        }
        for check in &self.checks {
            if check.status != Status::Passed {
                writeln!(f, "{}: {}", status(check.status), result(check))?;
            }
        }
        f.write_str(&self.summary())
    }
}

/// What a check found, in words.
pub(super) fn result(check: &Check) -> String {
    let Check {
        table,
        name,
        found,
        limit,
        ..
    } = check;
    let mut text = format!("{table}: {name}: {found}");
    if *limit > 0 {
        let _ = write!(text, ", at most {limit}");
    }
    text
}

pub(super) fn status(status: Status) -> &'static str {
    match status {
        Status::Passed => "passed",
        Status::Warning => "warning",
        Status::Failed => "FAILED",
    }
}

pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Missing => "missing",
        Kind::Extra => "extra",
        Kind::Doubled => "doubled",
        Kind::Changed => "changed",
    }
}

/// A value as a reader tells NULL from the text "NULL". Control characters are escaped.
pub(super) fn shown(value: Option<&str>) -> String {
    value.map_or_else(|| "NULL".to_owned(), |text| format!("{text:?}"))
}

fn sentence(difference: &Difference) -> String {
    let Difference {
        kind: what,
        key,
        change,
    } = difference;
    let mut text = format!("{} row {}", kind(*what), shown(key.as_deref()));
    if let Some(change) = change {
        let (expected, found) = (
            shown(change.expected.as_deref()),
            shown(change.found.as_deref()),
        );
        let _ = write!(text, ": {} is {found} instead of {expected}", change.column);
    }
    text
}
