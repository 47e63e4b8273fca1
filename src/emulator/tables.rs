//! Tables and pipes as the emulator knows them.

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
    /// Its columns in order.
    pub columns: Vec<Column>,
}

impl Table {
    /// A row's cells in column order, or why the row is rejected.
    ///
    /// # Errors
    ///
    /// When the row does not fit the table.
    pub fn land(
        &self,
        row: &serde_json::Map<String, serde_json::Value>,
        _match_by: MatchBy,
    ) -> Result<Vec<Cell>, String> {
        let text = serde_json::to_string(row).map_err(|why| why.to_string())?;
        Ok(vec![Cell::Json(text)])
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
        Self {
            any: Table { columns },
        }
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
            table.name = stem.to_owned();
        }
        Some(Pipe {
            name,
            table,
            match_by: MatchBy::CaseInsensitive,
        })
    }

    /// A table by name.
    pub fn table(&self, _name: &ObjectName) -> Option<&Table> {
        Some(&self.any)
    }
}
