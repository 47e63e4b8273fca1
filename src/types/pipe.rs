//! The name of a pipe.

use std::fmt;

use super::error::{Error, ErrorKind, Result};

/// The full name of a pipe: database, schema and pipe.
///
/// Each part is an identifier without quotes, in the case in which Snowflake stores it. The path is displayed as
/// `DB.SCHEMA.PIPE`.
///
/// ```
/// use snowpipe_streaming::PipePath;
/// let pipe = PipePath::new("RESORTS", "PUBLIC", "LIFT_RIDE_PIPE")?;
/// assert_eq!(pipe.to_string(), "RESORTS.PUBLIC.LIFT_RIDE_PIPE");
/// let default_pipe = PipePath::for_table("RESORTS", "PUBLIC", "LIFT_RIDE")?;
/// assert_eq!(default_pipe.pipe(), "LIFT_RIDE-STREAMING");
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PipePath {
    database: String,
    schema: String,
    pipe: String,
}

impl PipePath {
    /// Creates a path from three names.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a part is blank, `.` or `..`; URLs cannot contain the latter two.
    pub fn new(
        database: impl Into<String>,
        schema: impl Into<String>,
        pipe: impl Into<String>,
    ) -> Result<Self> {
        Ok(Self {
            database: path_part("database", database.into())?,
            schema: path_part("schema", schema.into())?,
            pipe: path_part("pipe", pipe.into())?,
        })
    }

    /// The default pipe of a table, `<TABLE>-STREAMING`, which Snowflake creates when it is first used.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a part is blank, `.` or `..`; URLs cannot contain the latter two.
    pub fn for_table(
        database: impl Into<String>,
        schema: impl Into<String>,
        table: impl Into<String>,
    ) -> Result<Self> {
        let table = path_part("table", table.into())?;
        Self::new(database, schema, format!("{table}-STREAMING"))
    }

    /// The database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The schema.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The pipe.
    pub fn pipe(&self) -> &str {
        &self.pipe
    }
}

impl fmt::Display for PipePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.database, self.schema, self.pipe)
    }
}

fn path_part(name: &str, value: String) -> Result<String> {
    if value.trim().is_empty() {
        return Err(config(format!(
            "the {name} of the pipe path is empty; name it"
        )));
    }
    if value == "." || value == ".." {
        return Err(config(format!(
            "the {name} of the pipe path is {value:?}, which a URL cannot contain; rename it"
        )));
    }
    Ok(value)
}

fn config(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message)
}
