//! Where a setting came from.

use std::fmt;
use std::path::PathBuf;

/// Where a setting of a [`Profile`](crate::Profile) came from. It is displayed as a phrase, such as `SNOWFLAKE_ROLE in the
/// environment`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The program set it: a `with_…` method, or [`ProfileLoader::set`](crate::config::ProfileLoader::set).
    Program,
    /// The text given to [`Profile::from_json`](crate::Profile::from_json) or
    /// [`Profile::from_properties`](crate::Profile::from_properties).
    Text,
    /// This profile file.
    File(PathBuf),
    /// A connection of the Snowflake CLI.
    Connection {
        /// The connection's name.
        name: String,
        /// The file with the connection.
        file: PathBuf,
    },
    /// This environment variable.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program => f.write_str("the program"),
            Self::Text => f.write_str("the profile's text"),
            Self::File(path) => path.display().fmt(f),
            Self::Connection { name, file } => {
                write!(f, "connection {name:?} in {}", file.display())
            }
            Self::Variable(name) => write!(f, "{name} in the environment"),
        }
    }
}
