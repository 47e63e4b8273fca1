//! The database and schema that a script is in.

use sqlparser::tokenizer::Location;

use super::statements::DdlError;
use crate::catalog::object_name::ObjectName;

/// The database and schema that unqualified names belong to.
#[derive(Debug, Default)]
pub(crate) struct Session {
    database: Option<String>,
    schema: Option<String>,
}

impl Session {
    pub(crate) fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    pub(crate) fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// Completes a name of one, two or three parts.
    pub(crate) fn object(
        &self,
        mut parts: Vec<String>,
        at: Location,
    ) -> Result<ObjectName, DdlError> {
        let shown = parts.join(".");
        let name = parts.pop();
        let schema = parts.pop().or_else(|| self.schema.clone());
        let database = parts.pop().or_else(|| self.database.clone());
        match (database, schema, name) {
            (Some(database), Some(schema), Some(name)) if parts.is_empty() => Ok(ObjectName {
                database,
                schema,
                name,
            }),
            (None, _, _) | (_, None, _) if parts.is_empty() => Err(DdlError::at(
                at,
                format!(
                    "{shown} is in no database and schema: put USE DATABASE and USE SCHEMA before it, or write DATABASE.SCHEMA.{shown}"
                ),
            )),
            _ => Err(DdlError::at(
                at,
                format!("{shown} has too many parts: write DATABASE.SCHEMA.NAME"),
            )),
        }
    }

    pub(crate) fn use_database(&mut self, database: String) {
        self.database = Some(database);
        self.schema = Some("PUBLIC".to_owned());
    }

    pub(crate) fn use_schema(&mut self, mut parts: Vec<String>) {
        self.schema = parts.pop();
        if let Some(database) = parts.pop() {
            self.database = Some(database);
        }
    }
}
