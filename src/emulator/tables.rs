//! Tables and pipes as the emulator knows them.

use std::time::SystemTime;

use super::landing::{Cell, ObjectName};

/// How a pipe matches a row's keys to columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchBy {
    /// Letter by letter.
    CaseSensitive,
    /// Whatever the case.
    CaseInsensitive,
}

/// A streaming pipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipe {
    /// Its name.
    pub name: ObjectName,
    /// Where its rows go.
    pub table: ObjectName,
    /// How keys find their columns.
    pub match_by: MatchBy,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its name.
    pub name: ObjectName,
    /// Its columns in order.
    pub columns: Vec<Column>,
}

impl Table {
    /// The cells, in column order, that `row`, a JSON text, lands as through `pipe` when it is committed at `now`.
    ///
    /// # Errors
    ///
    /// Why the row is rejected.
    pub fn land(&self, _pipe: &Pipe, row: &str, _now: SystemTime) -> Result<Vec<Cell>, String> {
        match serde_json::from_str(row) {
            Ok(serde_json::Value::Object(_)) => Ok(vec![Cell::Json(row.to_owned())]),
            Ok(_) => Err("the row is not a JSON object".to_owned()),
            Err(why) => Err(format!("the row is not JSON: {why}")),
        }
    }
}

/// Tables and pipes.
#[derive(Debug, Clone)]
pub struct Catalog {
    any: Table,
}

impl Catalog {
    /// A catalog with a pipe and a one-column table for whatever name is asked.
    pub fn anything() -> Self {
        let columns = vec![Column { name: "ROW".into() }];
        let name =
            ObjectName { database: "ANY".to_owned(), schema: "ANY".to_owned(), name: "ANY".to_owned() };
        Self { any: Table { name, columns } }
    }

    /// A pipe by name.
    pub fn pipe(&self, name: &ObjectName) -> Option<Pipe> {
        let name = ObjectName {
            database: name.database.to_uppercase(),
            schema: name.schema.to_uppercase(),
            name: name.name.to_uppercase(),
        };
        let mut table = name.clone();
        if let Some(stem) = name.name.strip_suffix("-STREAMING") {
            stem.clone_into(&mut table.name);
        }
        Some(Pipe { name, table, match_by: MatchBy::CaseInsensitive })
    }

    /// A table by name.
    pub fn table(&self, _name: &ObjectName) -> Option<&Table> {
        Some(&self.any)
    }
}
