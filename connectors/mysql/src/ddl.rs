//! The statements that make the tables in Snowflake. The emulator reads them as they are.

use std::fmt::Write as _;

use anyhow::Result;
use snowpipe_streaming::PipePath;

use crate::schema::Table;
use crate::{plan, sql};

/// A table and what it becomes.
pub(crate) struct Target<'a> {
    pub(crate) source: &'a Table,
    pub(crate) path: &'a TablePath,
}

/// The name of a table in Snowflake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TablePath {
    pub(crate) database: String,
    pub(crate) schema: String,
    pub(crate) table: String,
}

impl TablePath {
    /// A table of the same schema.
    pub(crate) fn sibling(&self, table: &str) -> Self {
        Self {
            table: table.to_owned(),
            ..self.clone()
        }
    }

    /// The table with the changes.
    pub(crate) fn changes(&self) -> Self {
        self.sibling(&format!("{}_CHANGES", self.table))
    }

    /// The default pipe of the table.
    ///
    /// # Errors
    /// If a name cannot be that of a pipe.
    pub(crate) fn pipe(&self) -> Result<PipePath> {
        Ok(PipePath::for_table(
            &self.database,
            &self.schema,
            &self.table,
        )?)
    }

    /// The table as the generated statements name it.
    pub(crate) fn target(&self) -> sql::Target<'_> {
        sql::Target {
            database: &self.database,
            schema: &self.schema,
            table: &self.table,
        }
    }

    /// The name in a statement.
    pub(crate) fn sql(&self) -> String {
        let parts = [&self.database, &self.schema, &self.table];
        parts.map(|part| quoted(part)).join(".")
    }
}

impl std::str::FromStr for TablePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A table's name has the same form as that of a pipe.
        let path: PipePath = text.parse().map_err(|_| {
            format!("{text:?} is not the name of a table: write DATABASE.SCHEMA.TABLE, and quote a part that has a dot")
        })?;
        Ok(Self {
            database: path.database().to_owned(),
            schema: path.schema().to_owned(),
            table: path.pipe().to_owned(),
        })
    }
}

/// The statements for these tables.
///
/// # Errors
/// If a column has a type that is not copied.
pub(crate) fn script(targets: &[Target<'_>], more: &[(TablePath, &str)]) -> Result<String> {
    let mut script = String::new();
    let mut begun = Vec::new();
    for target in targets {
        let place = (&target.path.database, &target.path.schema);
        if !begun.contains(&place) {
            begun.push(place);
            let (database, schema) = (quoted(place.0), quoted(place.1));
            let _ = writeln!(script, "CREATE DATABASE IF NOT EXISTS {database};");
            let _ = writeln!(script, "CREATE SCHEMA IF NOT EXISTS {database}.{schema};");
            create(
                &mut script,
                &target.path.sibling(plan::TABLE),
                plan::COLUMNS,
            );
        }
        script += &sql::tables(target.source, target.path.target())?;
    }
    for (path, columns) in more {
        create(&mut script, path, columns);
    }
    Ok(script)
}

fn create(script: &mut String, path: &TablePath, columns: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(
        script,
        "CREATE TABLE IF NOT EXISTS {} (\n    {columns}\n);",
        path.sql()
    );
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
