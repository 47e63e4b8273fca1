//! Names: as a statement has them, as Snowflake stores them, and as SQLite reads them.

use sqlparser::ast::{self, Ident};

use super::failure::Failure;
use crate::catalog::object_name::ObjectName;

/// The database and schema that a request names for what its statement does not.
#[derive(Debug, Default)]
pub(crate) struct Context {
    pub(crate) database: Option<String>,
    pub(crate) schema: Option<String>,
}

/// The table that a name in FROM means.
pub(crate) fn read_name(name: &ast::ObjectName, context: &Context) -> Result<ObjectName, Failure> {
    let mut parts = name
        .0
        .iter()
        .map(|part| part.as_ident().map(folded))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| Failure::unsupported(format!("{name} as the name of a table")))?;
    let table = parts.pop().unwrap_or_default();
    let schema = parts.pop().or_else(|| context.schema.clone());
    let database = parts.pop().or_else(|| context.database.clone());
    if !parts.is_empty() {
        return Err(Failure::no_object(&name.to_string()));
    }
    let Some(database) = database else {
        return Err(Failure::no_database());
    };
    Ok(ObjectName {
        database,
        // A schema of Snowflake's own; another one has to be named.
        schema: schema.unwrap_or_else(|| "PUBLIC".to_owned()),
        name: table,
    })
}

pub(crate) fn folded(ident: &Ident) -> String {
    identifier(&ident.value, ident.quote_style)
}

/// An identifier as Snowflake stores it: upper-case unless it is quoted.
pub(crate) fn identifier(value: &str, quote: Option<char>) -> String {
    if quote.is_some() {
        value.to_owned()
    } else {
        value.to_uppercase()
    }
}

/// A name as SQLite reads it letter by letter.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
