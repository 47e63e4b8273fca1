//! Names on the command line, by SQL's rules.

use snowpipe_streaming::sql::TableName;
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
    let parts = parts(text).map_err(Stop::misused)?;
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
    match parts(text)?.as_slice() {
        [name] => Ok(name.clone()),
        _ => Err(format!(
            "{text:?} is not the name of a column; quote it if it has a dot"
        )),
    }
}

/// The parts between dots, in upper case unless quoted.
fn parts(text: &str) -> Result<Vec<String>, String> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let after = if let Some(quoted) = rest.strip_prefix('"') {
            let (part, after) = unquoted(quoted)
                .ok_or_else(|| format!("{text:?} has a quote that is not closed"))?;
            parts.push(part);
            after
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            let (part, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            parts.push(part.to_uppercase());
            after
        };
        if parts.last().is_some_and(|part| part.trim().is_empty()) {
            return Err(format!("{text:?} has an empty part"));
        }
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(parts),
            None => {
                return Err(format!(
                    "{text:?} has text after a closing quote; separate the parts with a dot"
                ));
            }
        }
    }
}

/// Splits at the closing quote. Two quotes stand for one.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        part.push_str(before);
        match after.strip_prefix('"') {
            Some(next) => {
                part.push('"');
                rest = next;
            }
            None => return Some((part, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{identifier, parts};

    #[test]
    fn names_follow_sqls_rules() {
        assert_eq!(parts("db.public.rides").unwrap(), ["DB", "PUBLIC", "RIDES"]);
        assert_eq!(parts("rides-streaming").unwrap(), ["RIDES-STREAMING"]);
        assert_eq!(
            parts(r#"Db."my.schema"."say ""hi""""#).unwrap(),
            ["DB", "my.schema", "say \"hi\""]
        );
        assert_eq!(identifier("txid").unwrap(), "TXID");
        assert_eq!(identifier(r#""TxId""#).unwrap(), "TxId");
    }

    #[test]
    fn invalid_names_are_refused() {
        for text in ["", ".", "a.", ".a", "a..b", r#""a"#, r#""a"b"#, r#""""#] {
            assert!(parts(text).is_err(), "{text:?}");
        }
        assert!(identifier("a.b").is_err());
    }
}
