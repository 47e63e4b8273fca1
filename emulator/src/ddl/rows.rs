//! INSERT and DELETE in a script: the rows that fixtures put into tables.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::insert::{self, Insert};
use super::literal::{Literal, ValueError};
use super::script::{Cursor, Statement};
use super::statements::{Change, DdlError, ErrorCode, Run};
use crate::catalog::account_zone::AccountZone;
use crate::catalog::cell::Cell;
use crate::catalog::columns::Column;
use crate::catalog::object_name::ObjectName;
use crate::catalog::row_error::RowError;
use crate::catalog::tables::{Given, Table, kept_as};

const NO_COLUMN: ErrorCode = ErrorCode("000904", "42000");
const TWICE: ErrorCode = ErrorCode("002028", "42601");
const OTHER_COUNT: ErrorCode = ErrorCode("002020", "21S01");
const OTHER_BINDINGS: ErrorCode = ErrorCode("002049", "42601");
const NULL: ErrorCode = ErrorCode("100072", "22000");

/// What becomes of the statements of a script that change rows.
#[derive(Debug)]
pub(crate) enum Rows<'a> {
    /// They are refused, because the script only describes tables.
    Refused,
    /// They were carried out when the script came, and the storage has their rows.
    Skipped,
    Changed(RowChanges<'a>),
}

/// The rows that a script inserts.
#[derive(Debug)]
pub(crate) struct RowChanges<'a> {
    now: SystemTime,
    /// The values of placeholders: for each execution of the statement, the values in order.
    bindings: &'a [Vec<Literal>],
    /// By the name under which the table is kept. A later statement of the script may take them away.
    inserted: BTreeMap<ObjectName, Vec<Vec<Cell>>>,
}

impl<'a> Rows<'a> {
    /// Statements change rows at `now`.
    pub(crate) fn changed(now: SystemTime, bindings: &'a [Vec<Literal>]) -> Self {
        Self::Changed(RowChanges {
            now,
            bindings,
            inserted: BTreeMap::new(),
        })
    }

    pub(super) fn into_inserted(self) -> BTreeMap<ObjectName, Vec<Vec<Cell>>> {
        match self {
            Self::Changed(changes) => changes.inserted,
            Self::Refused | Self::Skipped => BTreeMap::new(),
        }
    }

    /// Takes away what the script has inserted into a table that is emptied or dropped.
    pub(super) fn forget(&mut self, table: &ObjectName) {
        if let Self::Changed(changes) = self {
            changes.inserted.remove(table);
        }
    }

    /// Gives the rows of the script a cell for each column that their table has got since.
    pub(super) fn widen(&mut self, table: &Table) {
        let Self::Changed(changes) = self else {
            return;
        };
        for row in changes.inserted.get_mut(&table.name).into_iter().flatten() {
            let added = table.columns.iter().skip(row.len());
            row.extend(added.map(Column::constant_default));
        }
    }
}

impl Run<'_> {
    /// The name under which the rows of a table are kept, if there is such a table.
    pub(super) fn kept_table(&self, name: &ObjectName) -> Option<ObjectName> {
        let table = self.catalog.table_in_sql(name)?;
        Some(kept_as(table, name).clone())
    }

    /// Deletes all rows of a table, those of the script included.
    pub(super) fn empty(&mut self, table: ObjectName) {
        self.rows.forget(&table);
        self.changes.push(Change::TruncateTable(table));
    }

    pub(super) fn delete(
        &mut self,
        statement: &Statement,
        mut cursor: Cursor<'_>,
    ) -> Result<(), DdlError> {
        if !self.changes_rows(statement)? {
            return Ok(());
        }
        cursor.expect_keyword("FROM")?;
        let (parts, at) = cursor.name()?;
        if cursor.peek().is_some() {
            return Err(DdlError::at(
                cursor.at(),
                "the emulator has no DELETE with WHERE or USING: it deletes all rows of a table",
            ));
        }
        let name = self.session.object(parts, at)?;
        let table = self.kept_table(&name);
        self.empty(table.ok_or_else(|| no_table(at, &name))?);
        Ok(())
    }

    pub(super) fn insert(
        &mut self,
        statement: &Statement,
        cursor: Cursor<'_>,
    ) -> Result<(), DdlError> {
        if !self.changes_rows(statement)? {
            return Ok(());
        }
        let insert = insert::read(cursor)?;
        let at = insert.at;
        let name = self.session.object(insert.table.clone(), at)?;
        let table = self.catalog.table_in_sql(&name);
        let table = table.ok_or_else(|| no_table(at, &name))?;
        let Rows::Changed(changes) = &mut self.rows else {
            return Ok(());
        };
        let positions = positions(table, &insert)?;
        let executions = match changes.bindings {
            [] => &[Vec::new()],
            some => some,
        };
        if executions.len() > 1 && insert.rows.len() > 1 {
            let text = "a list of bindings goes with one row of placeholders";
            return Err(DdlError::at(at, text));
        }
        let rules = self.catalog.cast_rules();
        let mut rows = Vec::with_capacity(insert.rows.len().max(executions.len()));
        for bindings in executions {
            if bindings.len() != insert.placeholders {
                let text = format!(
                    "The statement has {} bind variables, and {} are given.",
                    insert.placeholders,
                    bindings.len()
                );
                return Err(DdlError::at(at, text).with_code(OTHER_BINDINGS));
            }
            for row in &insert.rows {
                let mut values = Vec::with_capacity(row.len());
                for value in row {
                    let value = value.evaluate(bindings, changes.now);
                    values.push(value.map_err(|why| why.at(at))?);
                }
                if values.len() != positions.len() {
                    let text = format!(
                        "Insert value list does not match column list expecting {} but got {}",
                        positions.len(),
                        values.len()
                    );
                    return Err(DdlError::at(at, text).with_code(OTHER_COUNT));
                }
                // What is wrong with a value, besides the words for it.
                let mut code = NULL;
                let cells = table.fill((changes.now, AccountZone::UTC), |position, column| {
                    let found = positions.iter().position(|known| *known == position);
                    match found.and_then(|index| values.get(index)).map(AsRef::as_ref) {
                        None | Some(Literal::Default) => Ok(Given::Default),
                        Some(literal) => literal.land(column, rules).map(Given::Value).map_err(
                            |ValueError { code: found, text }| {
                                code = found;
                                RowError::new(found.0, found.1, text)
                            },
                        ),
                    }
                });
                rows.push(cells.map_err(|why| in_statement(why, at).with_code(code))?);
            }
        }
        let kept = kept_as(table, &name).clone();
        changes.inserted.entry(kept).or_default().extend(rows);
        Ok(())
    }

    /// Whether statements change rows.
    fn changes_rows(&self, statement: &Statement) -> Result<bool, DdlError> {
        match self.rows {
            Rows::Changed(_) => Ok(true),
            Rows::Skipped => Ok(false),
            Rows::Refused => Err(DdlError::at(
                statement.at,
                format!(
                    "{} changes rows, and this script only describes tables: send it to a running emulator, with POST /_emulator/ddl or a connector",
                    statement.head()
                ),
            )),
        }
    }
}

/// The columns that a row has values for, by their positions in the table.
fn positions(table: &Table, insert: &Insert) -> Result<Vec<usize>, DdlError> {
    let Some(names) = &insert.columns else {
        return Ok((0..table.columns.len()).collect());
    };
    let mut positions = Vec::with_capacity(names.len());
    for name in names {
        let mut columns = table.columns.iter();
        let position = columns.position(|column| column.name == *name);
        let Some(position) = position else {
            let text = format!("invalid identifier '{name}'");
            return Err(DdlError::at(insert.at, text).with_code(NO_COLUMN));
        };
        if positions.contains(&position) {
            let text = format!("duplicate column name '{name}'");
            return Err(DdlError::at(insert.at, text).with_code(TWICE));
        }
        positions.push(position);
    }
    Ok(positions)
}

fn in_statement(why: RowError, at: sqlparser::tokenizer::Location) -> DdlError {
    let RowError {
        message, column, ..
    } = why;
    DdlError::at(
        at,
        match column {
            Some(column) => format!("column {column}: {message}"),
            None => message,
        },
    )
}

fn no_table(at: sqlparser::tokenizer::Location, name: &ObjectName) -> DdlError {
    let text = format!(
        "Table '{}.{}.{}' does not exist or not authorized.",
        name.database, name.schema, name.name
    );
    DdlError::at(at, text).with_code(ErrorCode::NO_OBJECT)
}
