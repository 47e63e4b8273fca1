//! Names on the command line, by SQL's rules.

use snowpipe_streaming::sql::TableName;
use snowpipe_streaming::sql::identifiers;
use snowpipe_streaming::{PipePath, Profile};

use crate::Stop;

/// The suffix of a table's default pipe.
const DEFAULT_PIPE: &str = "-STREAMING";

/// The table or pipe to stream into.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Target {
    /// The table, whose default pipe is used
    #[arg(long, value_name = "[[DB.]SCHEMA.]TABLE")]
    table: Option<String>,

    /// The pipe; with --table, the table that it feeds
    #[arg(long, value_name = "[[DB.]SCHEMA.]PIPE")]
    pipe: Option<String>,
}

impl Target {
    /// The pipe.
    pub(crate) fn pipe(&self, profile: &Profile) -> Result<PipePath, Stop> {
        pipe(self.pipe.as_deref(), self.table.as_deref(), profile)
    }

    /// The table, if it is known.
    pub(crate) fn table(&self, profile: &Profile) -> Result<Option<TableName>, Stop> {
        let [database, schema, table] = match (&self.table, &self.pipe) {
            (Some(table), _) => full(table, profile)?,
            (None, Some(pipe)) => {
                let [database, schema, pipe] = full(pipe, profile)?;
                match pipe.strip_suffix(DEFAULT_PIPE) {
                    Some(table) => [database, schema, table.to_owned()],
                    None => return Ok(None),
                }
            }
            (None, None) => return Ok(None),
        };
        TableName::new(database, schema, table)
            .map(Some)
            .map_err(|error| Stop::misused(error.to_string()))
    }
}

/// The pipe, or the table's default pipe if none is given.
pub(crate) fn pipe(
    pipe: Option<&str>,
    table: Option<&str>,
    profile: &Profile,
) -> Result<PipePath, Stop> {
    let [database, schema, name] = full(pipe.or(table).unwrap_or_default(), profile)?;
    let path = match pipe {
        Some(_) => PipePath::new(database, schema, name),
        None => PipePath::for_table(database, schema, name),
    };
    path.map_err(|error| Stop::misused(error.to_string()))
}

/// Database, schema and name; missing parts are taken from the profile.
fn full(text: &str, profile: &Profile) -> Result<[String; 3], Stop> {
    let parts = identifiers(text).map_err(|why| Stop::misused(why.to_string()))?;
    let missing = |what: &str| {
        Stop::misused(format!(
            "neither {text:?} nor the profile has a {what}; write DATABASE.SCHEMA.NAME"
        ))
    };
    let database = || profile.database().ok_or_else(|| missing("database"));
    let schema = || profile.schema().ok_or_else(|| missing("schema"));
    match parts.as_slice() {
        [name] => Ok([database()?.to_owned(), schema()?.to_owned(), name.clone()]),
        [schema, name] => Ok([database()?.to_owned(), schema.clone(), name.clone()]),
        [database, schema, name] => Ok([database.clone(), schema.clone(), name.clone()]),
        _ => Err(Stop::misused(format!(
            "{text:?} has {} parts; write DATABASE.SCHEMA.NAME, and quote a part that has a dot",
            parts.len()
        ))),
    }
}

/// A single identifier, such as a column's name.
pub(crate) fn identifier(text: &str) -> Result<String, String> {
    match identifiers(text).map_err(|why| why.to_string())?.as_slice() {
        [name] => Ok(name.clone()),
        _ => Err(format!(
            "{text:?} is not a single name; quote it if it has a dot"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::identifier;

    #[test]
    fn an_identifier_is_a_single_part() {
        assert_eq!(identifier("txid").unwrap(), "TXID");
        assert_eq!(identifier(r#""TxId""#).unwrap(), "TxId");
        assert!(identifier("a.b").is_err());
        assert!(identifier("").is_err());
    }
}
