//! Columns of tables: their types, their defaults, and how a value becomes a cell of one.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::value::RawValue;

use super::account_zone::AccountZone;
use super::cell::Cell;
use super::coercion::{DataType, Input};
use super::row_error::RowError;
use super::rules::Rules;
use super::sequences::Sequence;
use super::transforms::Program;
use crate::answers::{ExplicitNull, NullText};

/// A column of a table.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Column {
    /// Its name, upper-case unless it was quoted.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// Whether it may hold SQL NULL.
    pub nullable: bool,
    /// What it holds where a row has no such key; without one, SQL NULL.
    pub default: Option<ColumnDefault>,
}

impl Column {
    /// A column that may hold SQL NULL and has no default.
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        Self {
            name: name.into(),
            data_type,
            nullable: true,
            default: None,
        }
    }

    /// The same column as NOT NULL.
    #[must_use]
    pub fn not_null(mut self) -> Self {
        self.nullable = false;
        self
    }
}

/// The default of a column.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ColumnDefault {
    /// Always the same value.
    Constant(Cell),
    /// When the row is committed, cut down to what the column's type keeps of it.
    CurrentTimestamp,
    /// The next number of AUTOINCREMENT, IDENTITY or a sequence.
    Sequence(Sequence),
    /// `UUID_STRING()`: a random UUID.
    Uuid,
    /// An expression that is computed for each row.
    Computed(Computed),
}

/// The expression of a DEFAULT.
#[derive(Debug, Clone)]
pub struct Computed(pub(crate) Arc<dyn Program>);

impl Computed {
    pub(crate) fn cell(&self, column: &Column, now: SystemTime) -> Result<Cell, RowError> {
        let rules = Rules::of_casts();
        match self.0.cells("{}", now)?.first() {
            Some((cell, of)) => column.land_cell(cell, *of, rules),
            None => Ok(Cell::Null),
        }
    }
}

/// The expression in Snowflake's SQL.
impl fmt::Display for Computed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.text())
    }
}

impl PartialEq for Computed {
    fn eq(&self, other: &Self) -> bool {
        self.0.text() == other.0.text()
    }
}

impl Column {
    pub(super) fn land(&self, input: &Input<'_>, rules: Rules) -> Result<Cell, RowError> {
        self.data_type.land(input, rules)
    }

    /// Lands the value of a key; `None` is the column's DEFAULT.
    pub(super) fn land_field(
        &self,
        raw: &RawValue,
        rules: Rules,
    ) -> Result<Option<Cell>, RowError> {
        let input = match Input::from_json(raw)? {
            Input::Text(text) if text == "\\N" && rules.values.null_text == NullText::Null => {
                Input::Null
            }
            input => input,
        };
        let takes_default = rules.values.null_with_default == ExplicitNull::Default;
        if input == Input::Null && takes_default && self.default.is_some() {
            return Ok(None);
        }
        self.land(&input, rules).map(Some)
    }

    /// Lands a value of another type. Bytes have no text form of their own, so they stay as they are.
    pub(super) fn land_cell(
        &self,
        cell: &Cell,
        of: DataType,
        rules: Rules,
    ) -> Result<Cell, RowError> {
        match (cell, self.data_type) {
            (Cell::Null, _) | (Cell::Binary(_), DataType::Binary(_)) => Ok(cell.clone()),
            _ => self.land(&Input::from_cell(cell, of)?, rules),
        }
    }

    /// What the rows that were there before have in a column that was added.
    pub(crate) fn constant_default(&self) -> Cell {
        match &self.default {
            Some(ColumnDefault::Constant(cell)) => cell.clone(),
            _ => Cell::Null,
        }
    }

    pub(super) fn default_cell(
        &self,
        now: SystemTime,
        zone: AccountZone,
    ) -> Result<Cell, RowError> {
        match &self.default {
            None => Ok(Cell::Null),
            Some(ColumnDefault::Constant(cell)) => Ok(cell.clone()),
            Some(ColumnDefault::CurrentTimestamp) => moment(self.data_type, now, zone),
            Some(ColumnDefault::Sequence(sequence)) => sequence.take(self.data_type),
            Some(ColumnDefault::Uuid) => {
                let bytes = fastrand::u128(..).to_be_bytes();
                let uuid = uuid::Builder::from_random_bytes(bytes).into_uuid();
                self.land(&Input::Text(uuid.to_string().into()), Rules::default())
            }
            Some(ColumnDefault::Computed(computed)) => computed.cell(self, now),
        }
    }

    /// Whether its default was or is computed from a date or time in UTC.
    #[cfg(feature = "server")]
    pub(super) fn has_default_in_utc(&self) -> bool {
        match &self.default {
            Some(ColumnDefault::Constant(cell)) => {
                let has_zone = matches!(
                    self.data_type,
                    DataType::TimestampLtz(_) | DataType::TimestampTz(_)
                );
                has_zone && *cell != Cell::Null
            }
            Some(ColumnDefault::Computed(computed)) => computed.0.is_of_time(),
            _ => false,
        }
    }

    /// The sequence that its default takes numbers from.
    pub(crate) fn sequence(&self) -> Option<&Sequence> {
        match &self.default {
            Some(ColumnDefault::Sequence(sequence)) => Some(sequence),
            _ => None,
        }
    }
}

/// The cell that `now` is in a column of a type.
pub(crate) fn moment(of: DataType, now: SystemTime, zone: AccountZone) -> Result<Cell, RowError> {
    let failed = |why: String| RowError::new("100035", "22007", why);
    let instant = jiff::Timestamp::try_from(now)
        .map_err(|why| failed(why.to_string()))?
        .to_zoned(jiff::tz::TimeZone::UTC)
        .datetime();
    let (wall, seconds) = zone
        .at(instant)
        .ok_or_else(|| failed(format!("{instant} is beyond the times of the zone")))?;
    let text = if let DataType::Time(_) = of {
        format!("{:.9}", wall.time())
    } else {
        let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 60);
        format!("{wall:.9}{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    };
    let rules = Rules::of_casts();
    of.land(&Input::Text(text.into()), rules)
}
