//! The name of a table or a pipe.

/// The full name of a table or a pipe.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct ObjectName {
    /// The database.
    pub database: String,
    /// The schema.
    pub schema: String,
    /// The table or the pipe.
    pub name: String,
}

impl ObjectName {
    /// A name, with the case that the server uses: upper case unless it was quoted.
    pub fn new(
        database: impl Into<String>,
        schema: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self {
            database: database.into(),
            schema: schema.into(),
            name: name.into(),
        }
    }

    /// Reads `DATABASE.SCHEMA.NAME`, in upper case, as Snowflake treats names without quotes.
    pub(crate) fn from_dotted(name: &str) -> Option<Self> {
        let parts: Vec<String> = name.split('.').map(str::to_uppercase).collect();
        let [database, schema, name] = <[String; 3]>::try_from(parts).ok()?;
        Some(Self::new(database, schema, name))
    }
}
