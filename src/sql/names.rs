//! Names in statements.

use std::fmt;

use crate::types::error::{Error, ErrorKind, Result};
use crate::types::sql_names;

/// The full name of a table: database, schema and table.
///
/// Each part is an identifier without quotes, in the case in which Snowflake stores it. The name is displayed with quotes, as
/// in a statement.
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
    /// Creates a table name from three parts.
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

/// The parts of a name as SQL writes it, such as `db.public."Rides"`: in upper case unless quoted, and without quotes. Two quotes inside
/// of quotes stand for one ("Identifier requirements" in Snowflake's SQL reference). How many parts a name may have is for the caller.
///
/// # Errors
///
/// [`ErrorKind::Config`] if a part is blank, a quote is not closed, or text follows a closing quote.
///
/// ```
/// use snowpipe_streaming::sql::identifiers;
/// assert_eq!(identifiers(r#"db.public."Rides""#)?, ["DB", "PUBLIC", "Rides"]);
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
pub fn identifiers(text: &str) -> Result<Vec<String>> {
    sql_names::parts(text).map_err(|why| Error::new(ErrorKind::Config, why))
}

/// Quotes an identifier for a statement.
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
