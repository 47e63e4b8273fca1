//! How the rows of a table map belong to the columns of the table, and the rows that it describes.

use std::sync::Arc;

use mysql_async::binlog::events::{OptionalMetaExtractor, OptionalMetadataField, TableMapEvent};
use mysql_async::binlog::row::BinlogRow;
use mysql_async::binlog::value::BinlogValue;
use mysql_async::consts::ColumnType;

use super::error::{COPY_AGAIN, Stopped};
use crate::schema::Table;
use crate::types::{Labels, from_binlog, is_logged_as};
use crate::value::{Row, Value};

/// The prefix of hidden columns, which MariaDB adds for unique keys over texts, and logs.
const HIDDEN: &str = "DB_ROW_HASH_";

/// The columns of a captured table as the log has them.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) table: Arc<Table>,
    /// How many columns a complete row has.
    width: usize,
    /// For each column of the table: where it is in a row. None: it was added after the row was logged.
    places: Vec<Option<Logged>>,
}

#[derive(Debug)]
struct Logged {
    index: usize,
    labels: Labels,
}

impl Layout {
    /// Matches the columns by name. Values of a column that is unknown here must not vanish, so such a row stops the run.
    pub(super) fn new(map: &TableMapEvent<'_>, table: Arc<Table>) -> Result<Self, Stopped> {
        let columns = read(map).map_err(|problem| {
            Stopped::new(
                format!(
                    "the columns of {}.{} are not described: {problem}",
                    table.database, table.name
                ),
                format!("set the global binlog_row_metadata=FULL, and {COPY_AGAIN}"),
            )
        })?;
        let is_known = |name: &str| {
            table
                .columns
                .iter()
                .any(|column| column.name.eq_ignore_ascii_case(name))
        };
        if let Some(new) = columns
            .iter()
            .find(|c| !is_known(&c.name) && !c.name.starts_with(HIDDEN))
        {
            return Err(Stopped::new(
                format!(
                    "the table {}.{} has the new column `{}`",
                    table.database, table.name, new.name
                ),
                "add it to the tables in Snowflake if they do not evolve, and start the program again, which reads the \
                 columns again; if the column was dropped since, copy the table again under another --source-id",
            ));
        }
        let mut places = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            let mut all = columns.iter().enumerate();
            let Some((index, logged)) =
                all.find(|(_, logged)| logged.name.eq_ignore_ascii_case(&column.name))
            else {
                places.push(None);
                continue;
            };
            let fits = is_logged_as(column, logged.data_type)
                .map_err(|e| Stopped::new(e.problem, e.remedy))?;
            let is_unsigned = column.column_type.contains("unsigned") || column.data_type == "year";
            if !fits || logged.is_unsigned != is_unsigned {
                return Err(Stopped::new(
                    format!(
                        "column `{}` of {}.{} is logged as {:?}{}, which is not the form of {}",
                        column.name,
                        table.database,
                        table.name,
                        logged.data_type,
                        if logged.is_unsigned {
                            " without sign"
                        } else {
                            ""
                        },
                        column.column_type,
                    ),
                    format!(
                        "rebuild a table of an old format with ALTER TABLE … FORCE, and {COPY_AGAIN}"
                    ),
                ));
            }
            places.push(Some(Logged {
                index,
                labels: logged.labels.clone(),
            }));
        }
        Ok(Self {
            width: columns.len(),
            table,
            places,
        })
    }

    /// The row, if all columns were logged.
    pub(super) fn row(&self, mut row: BinlogRow) -> Result<Row, Stopped> {
        self.is_complete(&row)?;
        let mut values = Vec::with_capacity(self.places.len());
        for (column, place) in self.table.columns.iter().zip(&self.places) {
            let value = match place {
                None => Value::Null,
                Some(logged) => {
                    let value = row
                        .take(logged.index)
                        .unwrap_or(BinlogValue::Value(mysql_async::Value::NULL));
                    from_binlog(column, &logged.labels, value).map_err(|error| {
                        let (database, table) = (&self.table.database, &self.table.name);
                        let problem = format!(
                            "a row of {database}.{table}: column `{}`: {}",
                            error.column, error.problem
                        );
                        Stopped::new(problem, error.remedy)
                    })?
                }
            };
            values.push(value);
        }
        let row = Row {
            table: Arc::clone(&self.table),
            values,
        };
        if let Some(column) = row.null_in_key() {
            let (database, table) = (&self.table.database, &self.table.name);
            let problem = format!(
                "a row of {database}.{table}: the column `{column}` of the key has a date whose month or day is 0, which \
                 becomes null"
            );
            return Err(Stopped::new(
                problem,
                format!("correct the row, and {COPY_AGAIN}"),
            ));
        }
        Ok(row)
    }

    /// A session with another row image logs the changed columns only.
    pub(super) fn is_complete(&self, row: &BinlogRow) -> Result<(), Stopped> {
        if row.len() == self.width {
            return Ok(());
        }
        let (database, table) = (&self.table.database, &self.table.name);
        Err(Stopped::new(
            format!(
                "a row of {database}.{table} has {} of {} columns: a session used a binlog_row_image other than FULL",
                row.len(),
                self.width
            ),
            format!("set binlog_row_image=FULL in every session, and {COPY_AGAIN}"),
        ))
    }

    /// Whether two rows have the same primary key.
    pub(super) fn same_key(&self, before: &BinlogRow, after: &BinlogRow) -> bool {
        let mut key = self
            .table
            .key
            .iter()
            .filter_map(|column| self.places.get(*column)?.as_ref());
        key.all(|logged| before.as_ref(logged.index) == after.as_ref(logged.index))
    }
}

/// A column of a table map.
struct MapColumn {
    name: String,
    data_type: ColumnType,
    is_unsigned: bool,
    labels: Labels,
}

fn read(map: &TableMapEvent<'_>) -> Result<Vec<MapColumn>, String> {
    let meta =
        OptionalMetaExtractor::new(map.iter_optional_meta()).map_err(|error| error.to_string())?;
    let (mut names, mut unsigned) = (meta.iter_column_name(), meta.iter_signedness());
    let (mut enums, mut sets) = (Vec::new(), Vec::new());
    for field in map.iter_optional_meta() {
        match field.map_err(|error| error.to_string())? {
            OptionalMetadataField::EnumStrValue(columns) => {
                for column in columns.iter_values() {
                    let column = column.map_err(|error| error.to_string())?;
                    enums.push(
                        column
                            .values()
                            .iter()
                            .map(|label| label.value_raw().to_vec())
                            .collect(),
                    );
                }
            }
            OptionalMetadataField::SetStrValue(columns) => {
                for column in columns.iter_values() {
                    let column = column.map_err(|error| error.to_string())?;
                    sets.push(
                        column
                            .values()
                            .iter()
                            .map(|label| label.value_raw().to_vec())
                            .collect(),
                    );
                }
            }
            _ => {}
        }
    }
    let (mut enums, mut sets) = (enums.into_iter(), sets.into_iter());
    let count = usize::try_from(map.columns_count()).map_err(|error| error.to_string())?;
    let mut columns = Vec::new();
    for index in 0..count {
        let name = names
            .next()
            .ok_or("it has no names")?
            .map_err(|error| error.to_string())?;
        let data_type = map
            .get_column_type(index)
            .map_err(|error| error.to_string())?;
        let data_type = data_type.ok_or("it has no type")?;
        let labels: Option<Labels> = match data_type {
            ColumnType::MYSQL_TYPE_ENUM => {
                Some(enums.next().ok_or("the members of an ENUM are missing")?)
            }
            ColumnType::MYSQL_TYPE_SET => {
                Some(sets.next().ok_or("the members of a SET are missing")?)
            }
            _ => None,
        };
        columns.push(MapColumn {
            name: name.name().into_owned(),
            is_unsigned: data_type.is_numeric_type() && unsigned.next().unwrap_or(false),
            data_type,
            labels: labels.unwrap_or_default(),
        });
    }
    Ok(columns)
}
