//! How a JSON row becomes the cells of a table.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::time::SystemTime;

use serde_json::value::RawValue;

use super::account_zone::AccountZone;
use super::cell::Cell;
use super::coercion::Input;
use super::columns::Column;
use super::fields::Fields;
use super::row_error::RowError;
use super::rules::Rules;
use super::tables::{Given, Mapping, MatchBy, Pipe, Selected, Table};
use crate::answers::UnknownKey;

impl Table {
    /// The cells, in column order, that `row`, a JSON text, lands as through `pipe` when it is committed at `now`.
    ///
    /// `None` is a row that the pipe's WHERE does not select. Keys that no column matches are ignored, unless the pipe's rules say
    /// otherwise. Numbers keep the digits they were written with.
    ///
    /// # Errors
    ///
    /// Why the row is rejected: it is not a JSON object, it or an object in it has a key twice, a value does not fit its column, or
    /// a NOT NULL column has none.
    pub fn land(
        &self,
        pipe: &Pipe,
        row: &str,
        now: SystemTime,
    ) -> Result<Option<Vec<Cell>>, RowError> {
        if !row.trim_start().starts_with('{') {
            serde_json::from_str::<&RawValue>(row).map_err(RowError::json)?;
            return Err(RowError::json("the row is not a JSON object"));
        }
        let rules = pipe.rules;
        let fields = Fields::of_row(row, rules.values.duplicate_key)?;
        let at = (now, rules.zone);
        let landed = match &pipe.mapping {
            Mapping::ByName(match_by) => {
                // Most rows spell all keys as the columns are spelled.
                let folded = OnceCell::new();
                let in_any_case = |name: &str| {
                    if *match_by == MatchBy::CaseSensitive {
                        return None;
                    }
                    let folded = folded.get_or_init(|| fields.folded());
                    folded.get(&name.to_uppercase()).copied()
                };
                if rules.values.unknown_key == UnknownKey::Reject {
                    self.knows_keys(&fields, *match_by)?;
                }
                self.fill(at, |_, column| {
                    let exact = fields.get(&column.name);
                    match exact.or_else(|| in_any_case(&column.name)) {
                        Some(raw) => column.land_field(raw, rules).map(Given::from),
                        None => Ok(Given::Default),
                    }
                })
            }
            Mapping::WholeRow => self.fill(at, |_, column| {
                let row = Input::Nested(row.trim().into());
                column.land(&row, rules).map(Given::Value)
            }),
            Mapping::Transform(transform) => {
                if !transform.selects(row, now)? {
                    return Ok(None);
                }
                let cells = transform.program.cells(row, now)?;
                self.fill(at, |position, column| {
                    let mut pairs = transform.columns.iter().zip(&cells);
                    if let Some((_, (cell, of))) = pairs.find(|(column, _)| **column == position) {
                        return column.land_cell(cell, *of, rules).map(Given::Value);
                    }
                    let mut numbers = transform.numbers.iter();
                    let number = numbers.find(|(column, _)| *column == position);
                    let number = number.map(|(_, sequence)| Given::Number(sequence));
                    Ok(number.unwrap_or_else(|| rules.omitted_cell().into()))
                })
            }
            Mapping::Select(items) => self.fill(at, |position, column| {
                match items.iter().find(|item| item.column == position) {
                    Some(item) => item.land(column, row, &fields, rules).map(Given::Value),
                    None => Ok(rules.omitted_cell().into()),
                }
            }),
        };
        landed.map(Some)
    }

    /// Checks that each key of a row has a column.
    fn knows_keys(&self, fields: &Fields<'_>, match_by: MatchBy) -> Result<(), RowError> {
        let spelled = |name: &str| match match_by {
            MatchBy::CaseSensitive => name.to_owned(),
            MatchBy::CaseInsensitive => name.to_uppercase(),
        };
        let known: BTreeSet<String> = self.columns.iter().map(|c| spelled(&c.name)).collect();
        match fields
            .iter()
            .find(|(key, _)| !known.contains(&spelled(key)))
        {
            Some((key, _)) => Err(RowError::unknown_key(key)),
            None => Ok(()),
        }
    }

    /// A cell for each column: what `value` finds for it, or its default at a time in a zone.
    pub(crate) fn fill<'a>(
        &'a self,
        (now, zone): (SystemTime, AccountZone),
        mut value: impl FnMut(usize, &Column) -> Result<Given<'a>, RowError>,
    ) -> Result<Vec<Cell>, RowError> {
        let mut cells = Vec::with_capacity(self.columns.len());
        // A row that is rejected takes no number.
        let mut numbered = Vec::new();
        for (position, column) in self.columns.iter().enumerate() {
            let given = value(position, column).map_err(|why| why.in_column(&column.name))?;
            let cell = match (given, column.sequence()) {
                (Given::Value(cell), _) => cell,
                (Given::Number(sequence), _) | (Given::Default, Some(sequence)) => {
                    numbered.push((position, column, sequence));
                    cells.push(Cell::Null);
                    continue;
                }
                (Given::Default, None) => column.default_cell(now, zone)?,
            };
            if cell == Cell::Null && !column.nullable {
                return Err(RowError::null().in_column(&column.name));
            }
            cells.push(cell);
        }
        for (position, column, sequence) in numbered {
            let number = sequence.take(column.data_type);
            let number = number.map_err(|why| why.in_column(&column.name))?;
            if let Some(cell) = cells.get_mut(position) {
                *cell = number;
            }
        }
        Ok(cells)
    }
}

impl Selected {
    fn land(
        &self,
        column: &Column,
        row: &str,
        fields: &Fields<'_>,
        rules: Rules,
    ) -> Result<Cell, RowError> {
        let Some((first, rest)) = self.path.split_first() else {
            return self.cast_into(column, &Input::Nested(row.trim().into()), rules);
        };
        let mut found = fields.get(first);
        for key in rest {
            found = match found.map(RawValue::get) {
                Some(object) if object.starts_with('{') => Fields::read(object)?.get(key),
                // As in Snowflake, a path through anything else leads to NULL.
                _ => None,
            };
        }
        match found {
            Some(raw) => self.cast_into(column, &Input::from_json(raw)?, rules),
            None => Ok(Cell::Null),
        }
    }

    fn cast_into(
        &self,
        column: &Column,
        input: &Input<'_>,
        rules: Rules,
    ) -> Result<Cell, RowError> {
        let Some(cast) = self.cast else {
            return column.land(input, rules);
        };
        let cell = cast.land(input, rules)?;
        column.land_cell(&cell, cast, rules)
    }
}
