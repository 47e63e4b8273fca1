//! The name of a table or a pipe.

/// A database, a schema and an object's name, as the server knows them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// The database.
    pub database: String,
    /// The schema.
    pub schema: String,
    /// The table or the pipe.
    pub name: String,
}
