//! Schema evolution: the columns that a table gets from the keys of its rows, and the NOT NULL that it loses.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::value::RawValue;

use super::coercion::{DEFAULT_VARCHAR, DataType, Input};
use super::columns::Column;
use super::datetime;
use super::fields::Fields;
use super::tables::{Mapping, MatchBy, Pipe, Table};
use crate::answers::{self, EvolvedArray, EvolvedFraction, EvolvedMoment, EvolvedTime};

/// The most columns that one commit may add, as in an account.
const MOST_COLUMNS: usize = 100;
/// The longest name of a column, in characters.
const MOST_CHARACTERS: usize = 255;

/// The changes of a table that rows need before they land.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Evolution {
    added: Vec<Column>,
    /// The columns that become nullable, by their positions.
    nullable: Vec<usize>,
}

impl Evolution {
    /// What `rows` need in `table`; `None` if nothing. Rows that are no JSON objects need nothing: they are rejected when they land.
    ///
    /// # Errors
    ///
    /// Why the rows cannot be taken at all: they need too many columns, or a name that no column can have.
    pub(crate) fn of<'a>(
        table: &Table,
        pipe: &Pipe,
        answers: answers::Evolution,
        rows: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Option<Self>, String> {
        let Mapping::ByName(match_by) = pipe.mapping else {
            return Ok(None);
        };
        let known: Vec<String> = table
            .columns
            .iter()
            .map(|column| column.name.to_uppercase())
            .collect();
        // The type of a new column, by its name; `None` while all values were null. In the order in which the keys came.
        let mut added: Vec<(String, Option<DataType>)> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        let mut nullable = Vec::new();
        for row in rows {
            let Some(fields) = str::from_utf8(row)
                .ok()
                .and_then(|row| Fields::of_row(row, pipe.rules.values.duplicate_key).ok())
            else {
                continue;
            };
            for (key, value) in fields.iter() {
                let upper = key.to_uppercase();
                let is_known = match match_by {
                    MatchBy::CaseSensitive => table.columns.iter().any(|column| column.name == key),
                    MatchBy::CaseInsensitive => known.contains(&upper),
                };
                if is_known {
                    continue;
                }
                let name = match match_by {
                    MatchBy::CaseSensitive => key.to_owned(),
                    MatchBy::CaseInsensitive => upper,
                };
                if name.is_empty() || name.chars().count() > MOST_CHARACTERS {
                    return Err(format!(
                        "schema evolution: the key {name:?} is no name of a column: it has from 1 to {MOST_CHARACTERS} characters"
                    ));
                }
                let place = *places.entry(name.clone()).or_insert_with(|| {
                    added.push((name, None));
                    added.len() - 1
                });
                if added.len() > MOST_COLUMNS {
                    return Err(format!(
                        "schema evolution: the rows have more than {MOST_COLUMNS} new keys, and a commit adds at most as many columns"
                    ));
                }
                if let Some((_, data_type @ None)) = added.get_mut(place) {
                    *data_type = inferred(value, answers);
                }
            }
            for (position, column) in table.columns.iter().enumerate() {
                let is_required = !column.nullable && column.default.is_none();
                if is_required
                    && !nullable.contains(&position)
                    && !has(&fields, &column.name, match_by)
                {
                    nullable.push(position);
                }
            }
        }
        let added = added.into_iter().map(|(name, data_type)| {
            Column::new(
                name,
                data_type.unwrap_or(DataType::Varchar(DEFAULT_VARCHAR)),
            )
        });
        let evolution = Self {
            added: added.collect(),
            nullable,
        };
        let is_needed = !evolution.added.is_empty() || !evolution.nullable.is_empty();
        Ok(is_needed.then_some(evolution))
    }

    /// Changes the table.
    pub(crate) fn apply(&self, table: &mut Table) {
        for position in &self.nullable {
            if let Some(column) = table.columns.get_mut(*position) {
                column.nullable = true;
            }
        }
        table.columns.extend(self.added.iter().cloned());
    }

    /// The changes as statements.
    pub(crate) fn to_ddl(&self, table: &Table) -> String {
        let name = &table.name;
        let alter = format!(
            "ALTER TABLE {}.{}.{}",
            quoted(&name.database),
            quoted(&name.schema),
            quoted(&name.name)
        );
        let mut script = String::new();
        for column in self
            .nullable
            .iter()
            .filter_map(|position| table.columns.get(*position))
        {
            let column = quoted(&column.name);
            // Writing to a String does not fail.
            let _ = writeln!(script, "{alter} ALTER COLUMN {column} DROP NOT NULL;");
        }
        for column in &self.added {
            let _ = writeln!(
                script,
                "{alter} ADD COLUMN {} {};",
                quoted(&column.name),
                column.data_type
            );
        }
        script
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn has(fields: &Fields<'_>, column: &str, match_by: MatchBy) -> bool {
    let is_exact = fields.get(column).is_some();
    is_exact
        || match_by == MatchBy::CaseInsensitive
            && fields.folded().contains_key(&column.to_uppercase())
}

/// The type of a new column by its first value; `None` for null, of which a later value may say more.
fn inferred(value: &RawValue, answers: answers::Evolution) -> Option<DataType> {
    Some(match Input::from_json(value).ok()? {
        Input::Null => return None,
        Input::Boolean(_) => DataType::Boolean,
        Input::Number(text) => of_number(&text, answers.fraction),
        Input::Text(text) => of_text(&text, answers),
        Input::Nested(text) if text.starts_with('[') && answers.array == EvolvedArray::Array => {
            DataType::Array
        }
        Input::Nested(_) => DataType::Variant,
    })
}

fn of_number(text: &str, answer: EvolvedFraction) -> DataType {
    const MOST_DIGITS: u8 = 37;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_decimal = are_digits(whole) && are_digits(fraction);
    let scale = u8::try_from(fraction.len()).unwrap_or(u8::MAX);
    let is_number = fraction.is_empty() || answer == EvolvedFraction::Number;
    if is_decimal && is_number && scale <= MOST_DIGITS {
        DataType::Number {
            precision: 38,
            scale,
        }
    } else {
        DataType::Float
    }
}

fn of_text(text: &str, answers: answers::Evolution) -> DataType {
    let has_time = text.contains(':');
    if has_time && datetime::time(text, 9, false).is_some() {
        return match answers.time {
            EvolvedTime::Time => DataType::Time(9),
            EvolvedTime::Varchar => DataType::Varchar(DEFAULT_VARCHAR),
        };
    }
    let is_moment = answers.moment == EvolvedMoment::Moment && datetime::is_without_offset(text);
    match (is_moment, has_time) {
        (true, true) => DataType::TimestampNtz(9),
        (true, false) => DataType::Date,
        (false, _) => DataType::Varchar(DEFAULT_VARCHAR),
    }
}

#[cfg(test)]
#[path = "evolution_tests.rs"]
mod tests;
