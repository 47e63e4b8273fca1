//! Names as a statement holds them.

use std::fmt;

use crate::types::error::{Error, ErrorKind, Result};

/// The full name of a table: database, schema and table.
///
/// Each part is the identifier itself, in the case Snowflake stores it in, without quotes. Shown as a statement names it,
/// with quotes.
///
/// ```
/// use snowpipe_streaming::sql::TableName;
/// let rides = TableName::new("RESORT", "PUBLIC", "LIFT_RIDE")?;
/// assert_eq!(rides.to_string(), r#""RESORT"."PUBLIC"."LIFT_RIDE""#);
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableName {
    database: String,
    schema: String,
    table: String,
}

impl TableName {
    /// A table by its three names.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if a part is blank.
    pub fn new(
        database: impl Into<String>,
        schema: impl Into<String>,
        table: impl Into<String>,
    ) -> Result<Self> {
        Ok(Self {
            database: part("database", database.into())?,
            schema: part("schema", schema.into())?,
            table: part("table", table.into())?,
        })
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{}.{}",
            quoted(&self.database),
            quoted(&self.schema),
            quoted(&self.table)
        )
    }
}

/// An identifier in quotes, so that a statement takes it as it is.
pub(super) fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

fn part(what: &str, name: String) -> Result<String> {
    if name.trim().is_empty() {
        return Err(Error::new(
            ErrorKind::Config,
            format!("the {what} of the table's name is empty; name it"),
        ));
    }
    Ok(name)
}
