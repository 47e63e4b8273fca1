//! Pages of a table of MariaDB: the rows of a range of its primary key.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row as SqlRow, Value as Sql};
use snowpipe_connector_support::keyset::{Page, Pages};

use crate::connection::{Database, answered, is_temporary};
use crate::key::{self, Key, Position};
use crate::schema::{Table, quoted};
use crate::types::from_page;
use crate::value::Row;

/// The first page has fewer rows, because nothing is known about their length.
const FIRST_PAGE: usize = 10;
/// A page has at most so many times the rows of the last one, because its rows may be longer.
const GROWTH: usize = 8;
/// A page is read with fewer rows, if the rows of the last one were so long that more of them would exceed this.
const PAGE_BYTES: usize = 16 << 20;

/// A range of a key: after one key and through another one, or without a bound.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) after: Option<Key>,
    pub(crate) through: Option<Key>,
}

/// The rows of a table in a range. They are read without a transaction: each page has what is committed by then.
pub(crate) struct TablePages {
    database: Database,
    table: Arc<Table>,
    range: Range,
    connection: Option<Conn>,
    /// How many rows the last page had, and their length.
    last: (usize, usize),
}

impl TablePages {
    pub(crate) fn new(database: Database, table: Arc<Table>, range: Range) -> Self {
        Self {
            database,
            table,
            range,
            connection: None,
            last: (0, 0),
        }
    }

    async fn query(&mut self, query: &str, parameters: Vec<Sql>) -> Result<Vec<SqlRow>> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.database.connect().await?,
        };
        // After an error the connection is not used again: an answer that comes late would be that of the next query.
        let rows = answered(connection.exec(query, parameters)).await?;
        self.connection = Some(connection);
        Ok(rows)
    }

    /// The query of the rows in the range that come after a key, and its parameters.
    fn select(&self, after: Option<&Key>, limit: usize) -> Result<(String, Vec<Sql>)> {
        let table = &self.table;
        let mut parameters = Vec::new();
        let mut bounds = Vec::new();
        for (key, bound) in [
            (after, Bound::After),
            (self.range.through.as_ref(), Bound::Through),
        ] {
            if let Some(key) = key {
                bounds.push(condition(table, key, bound, &mut parameters)?);
            }
        }
        let bounds = if bounds.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", bounds.join(" AND "))
        };
        let columns: Vec<_> = table
            .columns
            .iter()
            .map(|column| quoted(&column.name))
            .collect();
        let order: Vec<_> = table
            .key_columns()
            .map(|column| quoted(&column.name))
            .collect();
        let select = format!(
            "SELECT {} FROM {}.{}{bounds} ORDER BY {} LIMIT {limit}",
            columns.join(", "),
            quoted(&table.database),
            quoted(&table.name),
            order.join(", ")
        );
        Ok((select, parameters))
    }

    fn row(&self, row: SqlRow, last: Option<&Position>) -> Result<(Position, Row)> {
        let table = &self.table;
        let values = row.unwrap();
        let key = table.key.iter().map(|at| {
            let column = table.columns.get(*at).zip(values.get(*at));
            let (column, value) = column.context("the page has no key")?;
            key::part(column, value)
        });
        let position = Position::next(last, key.collect::<Result<_>>()?);
        let values = table.columns.iter().zip(values);
        let values = values.map(|(column, value)| from_page(column, value));
        let values = values
            .collect::<Result<_, _>>()
            .with_context(|| format!("{}.{}, row {position}", table.database, table.name))?;
        let row = Row {
            table: Arc::clone(table),
            values,
        };
        if let Some(column) = row.null_in_key() {
            bail!(
                "{}.{}, row {position}: the column `{column}` of the key has a date whose month or day is 0, which becomes \
                 null; correct the row",
                table.database,
                table.name
            );
        }
        Ok((position, row))
    }
}

/// How many rows the next page has, after one with so many rows of this length together.
fn next_page((rows, bytes): (usize, usize)) -> usize {
    if rows == 0 {
        return FIRST_PAGE;
    }
    let fitting = PAGE_BYTES / (bytes / rows).max(1);
    fitting.clamp(1, rows.saturating_mul(GROWTH))
}

impl Pages for TablePages {
    type Offset = Position;
    type Row = Row;

    async fn page(&mut self, after: Option<&Position>, max: usize) -> Result<Page<Position, Row>> {
        let limit = next_page(self.last).min(max.max(1));
        let key = after
            .map(Position::key)
            .or_else(|| self.range.after.clone());
        let (query, parameters) = self.select(key.as_ref(), limit)?;
        let found = self.query(&query, parameters).await?;
        let is_end = found.len() < limit;
        let bytes: usize = found.iter().map(length).sum();
        self.last = (found.len(), bytes);
        let mut rows = Vec::with_capacity(found.len());
        let mut last = after.cloned();
        for row in found {
            let (position, row) = self.row(row, last.as_ref())?;
            last = Some(position.clone());
            rows.push((position, row));
        }
        Ok(Page { rows, is_end })
    }

    /// The row may have been deleted since, so it proves nothing if it is gone.
    async fn check(&mut self, channel: &str, committed: &Position) -> Result<()> {
        let is_known = match committed {
            Position::Integer(value) => {
                let bound = |key: &Option<Key>| key.as_deref().and_then(key::as_integer);
                bound(&self.range.after).is_none_or(|after| *value > after)
                    && bound(&self.range.through).is_none_or(|through| *value <= through)
                    && key::is_integer_key(&self.table)
            }
            // The order of such keys depends on a collation.
            Position::Counted(_, key) => key.len() == self.table.key.len(),
        };
        if !is_known {
            bail!(
                "the channel {channel} is committed through row {committed}, which is not in its range: it was used for \
                 another table; choose another --source-id"
            );
        }
        Ok(())
    }

    fn is_temporary(&self, error: &anyhow::Error) -> bool {
        is_temporary(error)
    }
}

#[derive(Clone, Copy)]
enum Bound {
    After,
    Through,
}

/// `a > ? OR (a = ? AND b > ?)`: MariaDB uses the index for this, but not for `(a, b) > (?, ?)`.
fn condition(table: &Table, key: &Key, bound: Bound, parameters: &mut Vec<Sql>) -> Result<String> {
    let columns: Vec<_> = table.key_columns().zip(key).collect();
    let mut alternatives = Vec::new();
    for (last, (column, value)) in columns.iter().enumerate() {
        let mut terms = Vec::new();
        for (column, value) in columns.iter().take(last) {
            terms.push(format!(
                "{} = {}",
                quoted(&column.name),
                key::placeholder(column)
            ));
            parameters.push(key::parameter(value)?);
        }
        let sign = match bound {
            Bound::After => ">",
            Bound::Through if last + 1 == columns.len() => "<=",
            Bound::Through => "<",
        };
        terms.push(format!(
            "{} {sign} {}",
            quoted(&column.name),
            key::placeholder(column)
        ));
        parameters.push(key::parameter(value)?);
        alternatives.push(format!("({})", terms.join(" AND ")));
    }
    Ok(format!("({})", alternatives.join(" OR ")))
}

/// How long a row is, roughly.
fn length(row: &SqlRow) -> usize {
    let columns = (0..row.len()).map(|at| match row.as_ref(at) {
        Some(Sql::Bytes(bytes)) => bytes.len(),
        _ => size_of::<Sql>(),
    });
    columns.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_grow_step_by_step_and_are_short_when_rows_are_long() {
        let mut rows = next_page((0, 0));
        let mut sizes = vec![rows];
        for _ in 0..3 {
            rows = next_page((rows, rows * 100));
            sizes.push(rows);
        }
        assert_eq!(sizes, [10, 80, 640, 5_120]);
        assert_eq!(next_page((10, 10 << 20)), 16);
        assert_eq!(next_page((10, 160 << 20)), 1);
        assert_eq!(next_page((1, 64 << 20)), 1);
        assert_eq!(next_page((3, 0)), 24);
    }
}
