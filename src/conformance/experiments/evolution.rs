//! E15, E16: the columns that schema evolution adds.

use serde_json::Value;

use crate::conformance::Broken;
use crate::conformance::lab::Lab;
use crate::sql::Rows;

pub(super) const TYPES_EXPECTED: &[(&str, &str)] = &[
    ("evolved.name", "INTEGER_1"),
    ("evolved.integer", "NUMBER(38,0)"),
    ("evolved.boolean", "BOOLEAN"),
    ("evolved.text", "VARCHAR(16777216)"),
    ("evolved.null", "VARCHAR(16777216)"),
    ("evolved.object", "VARIANT"),
];

/// The keys of the row, each with the question that its type answers.
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

/// The types of points, and what they answer.
const WORDS: &[(&str, &str, &str)] = &[
    ("evolution.fraction", "FLOAT", "float"),
    ("evolution.fraction", "NUMBER(38,2)", "number"),
    ("evolution.time", "TIME(9)", "time"),
    ("evolution.time", "VARCHAR(16777216)", "varchar"),
    ("evolution.moment", "TIMESTAMP_NTZ(9)", "moment"),
    ("evolution.moment", "VARCHAR(16777216)", "varchar"),
    ("evolution.array", "ARRAY", "array"),
    ("evolution.array", "VARIANT", "variant"),
];

/// The columns of a table: name and type.
struct Columns(Vec<(String, String)>);

impl Columns {
    async fn of(lab: &mut Lab<'_>, table: &str) -> Result<Self, Broken> {
        let described = lab.sql(&format!("DESC TABLE {{{table}}}")).await?;
        let (names, types) = (column(&described, "name")?, column(&described, "type")?);
        Ok(Self(names.into_iter().zip(types).collect()))
    }

    /// The column of a key, whatever the case.
    fn find(&self, key: &str) -> Option<&(String, String)> {
        let mut columns = self.0.iter();
        columns.find(|(name, _)| name.to_uppercase() == key.to_uppercase())
    }
}

/// The cells of a column, by its name.
fn column(rows: &Rows, name: &str) -> Result<Vec<String>, Broken> {
    let mut columns = rows.columns.iter();
    let place = columns.position(|column| column.eq_ignore_ascii_case(name));
    let place = place.ok_or_else(|| Broken::new(format!("DESC TABLE has no column {name}")))?;
    let cells = rows.rows.iter().map(|row| row.get(place).cloned());
    Ok(cells
        .map(|cell| cell.flatten().unwrap_or_default())
        .collect())
}

pub(super) async fn types(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let token = lab.open("T", "c").await?;
    let fields = KEYS
        .iter()
        .map(|(_, key, value)| format!("\"{key}\":{value}"));
    let row = format!("{{\"K\":1,{}}}\n", fields.collect::<Vec<_>>().join(","));
    lab.append(("T", "c"), &token, "o1", row).await?;
    lab.committed(("T", "c"), "o1").await?;
    let columns = Columns::of(lab, "T").await?;
    let missing = || "no column".to_owned();
    for (what, key, _) in KEYS {
        let found = columns.find(key);
        let of = found.map_or_else(missing, |(_, of)| of.clone());
        let mut words = WORDS.iter();
        let known = words.find(|(point, text, _)| point == what && *text == of);
        lab.see(what, known.map_or(of, |(_, _, word)| (*word).to_owned()));
        if *what == "evolved.integer" {
            let name = found.map_or_else(missing, |(name, _)| name.clone());
            lab.see("evolved.name", name);
        }
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
    let token = lab.open("T", "c").await?;
    let rows = "{\"K\":1,\"mixed\":1}\n{\"K\":2,\"mixed\":\"x\"}\n";
    lab.append(("T", "c"), &token, "o1", rows).await?;
    let status = lab.committed(("T", "c"), "o1").await?;
    let is_there = Columns::of(lab, "T").await?.find("mixed").is_some();
    let word = if is_there {
        "the column is there"
    } else {
        "the column is not there yet"
    };
    lab.see("evolution.when_committed", word);
    let count = |name: &str| status.get(name).and_then(Value::as_u64);
    let rejected = count("rows_error_count").or_else(|| count("rows_errors"));
    let (landed, rejected) = (
        count("rows_inserted").unwrap_or_default(),
        rejected.unwrap_or_default(),
    );
    lab.see(
        "evolution.rows_of_two_types",
        format!("{landed} lands, {rejected} is rejected"),
    );
    for (what, channel, key) in [
        ("evolution.name_with_space", "space", "a b"),
        ("evolution.name_of_umlaut", "umlaut", "ä"),
        ("evolution.name_with_quote", "quote", "a\"b"),
    ] {
        let row = row_of(&[key.to_owned()]);
        let word = if let Some(why) = fate(lab, channel, row).await? {
            why
        } else {
            let columns = Columns::of(lab, "T").await?;
            let found = columns.find(key);
            found.map_or_else(|| "no column".to_owned(), |(name, _)| name.clone())
        };
        lab.see(what, word);
    }
    for (what, channel, length) in [
        ("evolution.name_of_255", "255", 255),
        ("evolution.name_of_256", "256", 256),
    ] {
        let row = row_of(&["n".repeat(length)]);
        let word = fate(lab, channel, row).await?;
        lab.see(what, word.unwrap_or_else(|| "as long".to_owned()));
    }
    for (what, channel, count) in [
        ("evolution.100_keys", "few", 100),
        ("evolution.101_keys", "many", 101),
    ] {
        let before = Columns::of(lab, "T").await?.0.len();
        let keys: Vec<String> = (0..count).map(|key| format!("{channel}_{key}")).collect();
        let word = if let Some(why) = fate(lab, channel, row_of(&keys)).await? {
            why
        } else {
            let columns = Columns::of(lab, "T").await?.0.len();
            format!("{} columns", columns.saturating_sub(before))
        };
        lab.see(what, word);
    }
    Ok(())
}

/// A row with these keys.
fn row_of(keys: &[String]) -> String {
    let fields = keys
        .iter()
        .map(|key| format!("{}:1", Value::from(key.as_str())));
    format!("{{{}}}\n", fields.collect::<Vec<_>>().join(","))
}

/// Why a row does not commit on a new channel; none if it does.
async fn fate(lab: &mut Lab<'_>, channel: &str, row: String) -> Result<Option<String>, Broken> {
    let at = ("T", channel);
    let token = lab.open(at.0, at.1).await?;
    let answer = lab.try_append(at, &token, "o1", row).await?;
    if !answer.is_success() {
        return Ok(Some(format!(
            "the request is refused: {}",
            answer.outcome()
        )));
    }
    let status = lab.settled(at, "o1").await?;
    let is_committed = status.get("last_committed_offset_token") == Some(&Value::from("o1"));
    Ok((!is_committed).then(|| "the channel is invalidated".to_owned()))
}
