//! The name of a pipe.

use std::fmt;
use std::str::FromStr;

use super::error::{Error, ErrorKind, Result};
use super::sql_names;

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
/// let parsed: PipePath = "resorts.public.lift_ride_pipe".parse()?;
/// assert_eq!(parsed, pipe);
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

    /// Whether this is the name of a table's default pipe.
    pub(crate) fn is_default(&self) -> bool {
        self.pipe.ends_with("-STREAMING")
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

/// Parses `DATABASE.SCHEMA.PIPE` by the rules of SQL: unquoted parts are converted to upper case, and a part in double quotes
/// stays as it is, with `""` for a quote.
///
/// [`Display`](fmt::Display) does not quote, so its text parses to the same path only if no part needs quotes.
///
/// ```
/// use snowpipe_streaming::PipePath;
/// let pipe: PipePath = r#"resorts."Winter.2026".lift_ride_pipe"#.parse()?;
/// assert_eq!((pipe.schema(), pipe.pipe()), ("Winter.2026", "LIFT_RIDE_PIPE"));
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
///
/// # Errors
///
/// [`ErrorKind::Config`](crate::ErrorKind::Config) if the text does not have three parts, or a part is empty, `.` or `..`.
impl FromStr for PipePath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = sql_names::parts(text).map_err(config)?;
        let [database, schema, pipe] = <[String; 3]>::try_from(parts).map_err(|parts| {
            config(format!(
                "{text:?} has {} of the three parts of a pipe's name; write DATABASE.SCHEMA.PIPE, and quote a part that has a dot",
                parts.len()
            ))
        })?;
        Self::new(database, schema, pipe)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_parsed_by_the_rules_of_sql() {
        let parse = |text: &str| text.parse::<PipePath>();
        let rides = PipePath::for_table("DB", "my.schema", "RIDES").unwrap();
        assert_eq!(parse(r#"db."my.schema".rides-streaming"#).unwrap(), rides);
        for (text, why) in [
            ("rides", "1 of the three parts"),
            ("a.b.c.d", "4 of the three parts"),
            ("a..c", "empty part"),
            (r#"a."b"#, "quote that is not closed"),
            (r#"a.".".c"#, "a URL cannot contain"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{text}");
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
