//! E15, E16: the columns that schema evolution adds.

use std::time::Duration;

use serde_json::Value;

use crate::conformance::Broken;
use crate::conformance::lab::{Lab, Parts};
use crate::conformance::outcome::{Outcome, Patience};
use crate::conformance::statements::listed;

/// How long a column may be missing after the row that it was added for is committed.
const COLUMN: Duration = Duration::from_secs(120);

pub(super) const TYPES_EXPECTED: &[(&str, &str)] = &[
    ("evolved.name", "INTEGER_1"),
    ("evolved.integer", "NUMBER(38,0)"),
    ("evolved.boolean", "BOOLEAN"),
    ("evolved.text", "VARCHAR(16777216)"),
    ("evolved.null", "VARCHAR(16777216)"),
    ("evolved.object", "VARIANT"),
];
pub(super) const KEYS_COUNT: u32 = 11;

/// The keys, one for each row, with the question that its type answers.
const KEYS: &[(&str, &str, &str)] = &[
    ("evolved.integer", "integer_1", "42"),
    ("evolution.fraction", "fraction_1", "0.99"),
    ("evolved.exponent", "exponent_1", "1e-10"),
    ("evolved.boolean", "boolean_1", "true"),
    ("evolved.text", "text_1", "\"x\""),
    ("evolved.date", "date_1", "\"2026-01-02\""),
    ("evolution.time", "time_1", "\"12:34:56\""),
    ("evolution.moment", "timestamp_1", "\"2026-01-02T03:04:05\""),
    ("evolved.null", "null_1", "null"),
    ("evolved.object", "object_1", "{\"a\":1}"),
    ("evolution.array", "array_1", "[1]"),
];

/// What a type answers at a point. Lengths and precisions differ between accounts.
fn word_of(what: &str, of: &str) -> Option<&'static str> {
    let family = of.split('(').next().unwrap_or_default();
    let has_scale = of.ends_with(')') && !of.ends_with(",0)");
    Some(match (what, family) {
        ("evolution.fraction", "FLOAT") => "float",
        ("evolution.fraction", "NUMBER") if has_scale => "number",
        ("evolution.time", "TIME") => "time",
        ("evolution.moment", "TIMESTAMP_NTZ") => "moment",
        ("evolution.time" | "evolution.moment", "VARCHAR") => "varchar",
        ("evolution.array", "ARRAY") => "array",
        ("evolution.array", "VARIANT") => "variant",
        _ => return None,
    })
}

/// The columns of a table: name and type.
struct Columns(Vec<(String, String)>);

impl Columns {
    async fn of(lab: &mut Lab<'_>, table: &str) -> Result<Self, Broken> {
        let described = lab.sql(&format!("DESC TABLE {{{table}}}")).await?;
        let column = |name: &str| {
            let cells = listed(&described, name);
            cells.ok_or_else(|| Broken::new(format!("DESC TABLE has no column {name}")))
        };
        let (names, types) = (column("name")?, column("type")?);
        Ok(Self(names.into_iter().zip(types).collect()))
    }

    /// The columns once they are as many, or the time is over.
    async fn as_many(lab: &mut Lab<'_>, table: &str, count: usize) -> Result<Self, Broken> {
        let mut patience = Patience::of(COLUMN);
        loop {
            let columns = Self::of(lab, table).await?;
            if columns.0.len() >= count || !patience.waits().await {
                return Ok(columns);
            }
        }
    }

    /// The column of a key, whatever the case.
    fn find(&self, key: &str) -> Option<&(String, String)> {
        let mut columns = self.0.iter();
        columns.find(|(name, _)| name.to_uppercase() == key.to_uppercase())
    }
}

pub(super) async fn types(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let mut committed = 0;
    let mut fates = Vec::new();
    for (what, key, value) in KEYS {
        // Each key has its row and its channel, so that the others go on if one is refused.
        let row = format!("{{\"K\":1,\"{key}\":{value}}}\n");
        let outcome = match lab.row(("T", key), row).await {
            Err(why) if why.is_last => return Err(why),
            outcome => outcome,
        };
        committed += usize::from(matches!(outcome, Ok(Outcome::Committed(_))));
        fates.push((what, key, outcome));
    }
    let columns = Columns::as_many(lab, "T", 1 + committed).await?;
    for (what, key, outcome) in fates {
        let word = match (columns.find(key), outcome) {
            (Some((name, of)), _) => {
                if *what == "evolved.integer" {
                    lab.see("evolved.name", name);
                }
                word_of(what, of).map_or_else(|| of.clone(), str::to_owned)
            }
            (None, Ok(Outcome::Committed(_))) => "no column".to_owned(),
            (None, Ok(outcome)) => outcome.word(),
            (None, Err(why)) => why.why,
        };
        lab.see(what, word);
    }
    Ok(())
}

pub(super) const LIMITS_EXPECTED: &[(&str, &str)] = &[
    ("evolution.when_committed", "the column is there"),
    ("evolution.rows_of_two_types", "1 lands, 1 is rejected"),
    ("evolution.name_with_space", "A B"),
    ("evolution.name_of_umlaut", "Ä"),
    ("evolution.name_with_quote", "A\"B"),
    ("evolution.name_of_255", "as long"),
    ("evolution.name_of_256", "the channel is invalidated"),
    ("evolution.100_keys", "100 columns"),
    ("evolution.101_keys", "the channel is invalidated"),
];

pub(super) async fn limits(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let mut parts = Parts::default();
    parts.add(mixed(lab).await)?;
    for (what, table, key) in [
        ("evolution.name_with_space", "SPACE", "a b"),
        ("evolution.name_of_umlaut", "UMLAUT", "ä"),
        ("evolution.name_with_quote", "QUOTE", "a\"b"),
    ] {
        let word = added(lab, table, &[key.to_owned()]).await.map(|added| {
            let found = added.map(|columns| columns.find(key).map(|(name, _)| name.clone()));
            found.map_or_else(|why| why, |name| name.unwrap_or_else(no_column))
        });
        lab.see_part(what, word)?;
    }
    for (what, table, length) in [
        ("evolution.name_of_255", "LONG", 255),
        ("evolution.name_of_256", "LONGER", 256),
    ] {
        let key = "n".repeat(length);
        let word = added(lab, table, std::slice::from_ref(&key)).await;
        let word = word.map(|added| match added {
            Err(why) => why,
            Ok(columns) if columns.find(&key).is_some() => "as long".to_owned(),
            Ok(columns) if columns.0.len() > 1 => "another name".to_owned(),
            Ok(_) => no_column(),
        });
        lab.see_part(what, word)?;
    }
    for (what, table, count) in [
        ("evolution.100_keys", "MANY", 100),
        ("evolution.101_keys", "MORE", 101),
    ] {
        let keys: Vec<String> = (0..count).map(|key| format!("key_{key}")).collect();
        let word = added(lab, table, &keys).await.map(|added| {
            let count = added.map(|columns| format!("{} columns", columns.0.len() - 1));
            count.unwrap_or_else(|why| why)
        });
        lab.see_part(what, word)?;
    }
    parts.end()
}

/// Two rows that want a column of two types.
async fn mixed(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let rows = "{\"K\":1,\"mixed\":1}\n{\"K\":2,\"mixed\":\"x\"}\n";
    let outcome = lab.row(("T", "c"), rows).await?;
    let Outcome::Committed(status) = outcome else {
        lab.see("evolution.rows_of_two_types", outcome.word());
        return Ok(());
    };
    let is_there = Columns::of(lab, "T").await?.find("mixed").is_some();
    let word = if is_there {
        "the column is there"
    } else {
        "the column is not there yet"
    };
    lab.see("evolution.when_committed", word);
    let word = match (status.inserted(), status.rejected()) {
        (Some(landed), Some(rejected)) => format!("{landed} lands, {rejected} is rejected"),
        _ => "they are committed and not counted".to_owned(),
    };
    lab.see("evolution.rows_of_two_types", word);
    Ok(())
}

fn no_column() -> String {
    "no column".to_owned()
}

/// Creates a table and lands a row with these keys in it; the table's columns then, or how far the row gets.
async fn added(
    lab: &mut Lab<'_>,
    table: &str,
    keys: &[String],
) -> Result<Result<Columns, String>, Broken> {
    let create = format!("CREATE TABLE {{{table}}} (K NUMBER) ENABLE_SCHEMA_EVOLUTION = TRUE");
    lab.sql(&create).await?;
    let fields = keys
        .iter()
        .map(|key| format!("{}:1", Value::from(key.as_str())));
    let row = format!("{{{}}}\n", fields.collect::<Vec<_>>().join(","));
    Ok(match lab.row((table, "c"), row).await? {
        Outcome::Committed(_) => Ok(Columns::as_many(lab, table, 1 + keys.len()).await?),
        Outcome::Invalidated(_) => Err("the channel is invalidated".to_owned()),
        other => Err(other.word()),
    })
}
