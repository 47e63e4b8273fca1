//! E15, E18, E26, E37: statements and what they do to channels.

use serde_json::Value;

use crate::conformance::Broken;
use crate::conformance::lab::Lab;

pub(super) const EVOLVED_EXPECTED: &[(&str, &str)] = &[
    ("evolved.name", "INTEGER_1"),
    ("evolved.integer", "NUMBER(38,0)"),
    ("evolved.fraction", "FLOAT"),
    ("evolved.boolean", "BOOLEAN"),
    ("evolved.text", "VARCHAR(16777216)"),
    ("evolved.time", "TIME(9)"),
    ("evolved.null", "VARCHAR(16777216)"),
    ("evolved.object", "VARIANT"),
    ("evolved.array", "ARRAY"),
];

/// The keys of the row, each with the question that its type answers.
const EVOLVED: &[(&str, &str, &str)] = &[
    ("evolved.integer", "integer_1", "42"),
    ("evolved.fraction", "fraction_1", "0.99"),
    ("evolved.exponent", "exponent_1", "1e-10"),
    ("evolved.boolean", "boolean_1", "true"),
    ("evolved.text", "text_1", "\"x\""),
    ("evolved.date", "date_1", "\"2026-01-02\""),
    ("evolved.time", "time_1", "\"12:34:56\""),
    (
        "evolved.timestamp",
        "timestamp_1",
        "\"2026-01-02T03:04:05\"",
    ),
    ("evolved.null", "null_1", "null"),
    ("evolved.object", "object_1", "{\"a\":1}"),
    ("evolved.array", "array_1", "[1]"),
];

pub(super) async fn evolved_types(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let token = lab.open("T", "c").await?;
    let fields = EVOLVED
        .iter()
        .map(|(_, key, value)| format!("\"{key}\":{value}"));
    let row = format!("{{\"K\":1,{}}}\n", fields.collect::<Vec<_>>().join(","));
    lab.append(("T", "c"), &token, "o1", row).await?;
    lab.committed(("T", "c"), "o1").await?;
    let described = lab.sql("DESC TABLE {T}").await?;
    let place = |name: &str| {
        described
            .columns
            .iter()
            .position(|column| column.eq_ignore_ascii_case(name))
    };
    let (name, kind) = place("name")
        .zip(place("type"))
        .ok_or_else(|| Broken::new("DESC TABLE has no columns name and type"))?;
    let cell = |row: &[Option<String>], place: usize| row.get(place).cloned().flatten();
    for (what, key, _) in EVOLVED {
        let is_it = |row: &&Vec<Option<String>>| {
            cell(row, name).is_some_and(|name| name.eq_ignore_ascii_case(key))
        };
        let found = described.rows.iter().find(is_it);
        let word = found.and_then(|row| cell(row, kind));
        lab.see(what, word.unwrap_or_else(|| "no column".to_owned()));
        if *what == "evolved.integer" {
            let word = found.and_then(|row| cell(row, name));
            lab.see(
                "evolved.name",
                word.unwrap_or_else(|| "no column".to_owned()),
            );
        }
    }
    Ok(())
}

pub(super) const GRAMMAR_EXPECTED: &[(&str, &str)] = &[
    ("pipe.case_sensitive", "created"),
    ("pipe.case_insensitive", "created"),
    ("pipe.select", "created"),
    ("pipe.function", "created"),
];

/// Questions about CREATE PIPE: the name of the pipe, and what follows the table.
const GRAMMAR: &[(&str, &str)] = &[
    (
        "pipe.case_sensitive",
        "CREATE PIPE {PA} AS COPY INTO {T} FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) MATCH_BY_COLUMN_NAME = CASE_SENSITIVE",
    ),
    (
        "pipe.case_insensitive",
        "CREATE PIPE {PB} AS COPY INTO {T} FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE",
    ),
    (
        "pipe.select",
        "CREATE PIPE {PC} AS COPY INTO {T} (A) FROM (SELECT $1:a::NUMBER FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')))",
    ),
    (
        "pipe.function",
        "CREATE PIPE {PD} AS COPY INTO {T} (A, B) FROM (SELECT COALESCE($1:a::NUMBER, 0), TRIM($1:b::VARCHAR) FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')))",
    ),
    (
        "pipe.upper",
        "CREATE PIPE {PE} AS COPY INTO {T} (B) FROM (SELECT UPPER($1:b::VARCHAR) FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')))",
    ),
    (
        "pipe.where",
        "CREATE PIPE {PF} AS COPY INTO {T} (A) FROM (SELECT $1:a::NUMBER FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) WHERE $1:a IS NOT NULL)",
    ),
    (
        "pipe.file_format",
        "CREATE PIPE {PG} AS COPY INTO {T} FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) FILE_FORMAT = (TYPE = JSON) MATCH_BY_COLUMN_NAME = CASE_SENSITIVE",
    ),
    (
        "pipe.skip_file",
        "CREATE PIPE {PH} AS COPY INTO {T} FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) MATCH_BY_COLUMN_NAME = CASE_SENSITIVE ON_ERROR = SKIP_FILE",
    ),
    (
        "pipe.no_option",
        "CREATE PIPE {PI} AS COPY INTO {T} FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING'))",
    ),
];

pub(super) async fn pipe_grammar(lab: &mut Lab<'_>) -> Result<(), Broken> {
    for (what, statement) in GRAMMAR {
        let word = match lab.try_sql(statement).await? {
            Ok(_) => {
                // A table may have ten pipes.
                let name = statement.split(' ').nth(2).unwrap_or_default();
                lab.sql(&format!("DROP PIPE {name}")).await?;
                "created".to_owned()
            }
            Err(why) => format!("refused {}", why.code().unwrap_or("without a code")),
        };
        lab.see(what, word);
    }
    Ok(())
}

pub(super) async fn changes(lab: &mut Lab<'_>) -> Result<(), Broken> {
    truncated(lab).await?;
    replaced(lab).await?;
    widened(lab).await?;
    dropped(lab).await
}

/// Opens a channel and appends a row that is committed; the next continuation token.
async fn begun(lab: &mut Lab<'_>, table: &str) -> Result<String, Broken> {
    let token = lab.open(table, "c").await?;
    let next = lab
        .append((table, "c"), &token, "o1", "{\"A\":1}\n")
        .await?;
    lab.committed((table, "c"), "o1").await?;
    Ok(next)
}

async fn truncated(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let next = begun(lab, "TRUNCATED").await?;
    lab.sql("TRUNCATE TABLE {TRUNCATED}").await?;
    let answer = lab
        .try_append(("TRUNCATED", "c"), &next, "o2", "{\"A\":2}\n")
        .await?;
    lab.see("truncate.append", answer.outcome());
    if answer.is_success() {
        lab.committed(("TRUNCATED", "c"), "o2").await?;
        let rows = lab.column("SELECT COUNT(*) FROM {TRUNCATED}").await?;
        lab.see("truncate.rows", rows.join(","));
    }
    Ok(())
}

async fn replaced(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let next = begun(lab, "REPLACED").await?;
    lab.sql("CREATE OR REPLACE TABLE {REPLACED} (A NUMBER)")
        .await?;
    let answer = lab.statuses("REPLACED", &["c"]).await?;
    let body = answer.json();
    let code = body.pointer("/channel_statuses/c/channel_status_code");
    let code = code.and_then(Value::as_str).map(str::to_owned);
    lab.see("replace.status", code.unwrap_or_else(|| answer.outcome()));
    let answer = lab
        .try_append(("REPLACED", "c"), &next, "o2", "{\"A\":2}\n")
        .await?;
    if !answer.is_success() {
        lab.see("tables.replaced_table", "refuse");
        lab.see("replace.refusal", answer.outcome());
        return Ok(());
    }
    // A channel that is opened afterwards lands its row; then that of the old channel would have landed as well.
    let token = lab.open("REPLACED", "d").await?;
    lab.append(("REPLACED", "d"), &token, "o1", "{\"A\":3}\n")
        .await?;
    lab.committed(("REPLACED", "d"), "o1").await?;
    let twos = lab
        .column("SELECT COUNT(*) FROM {REPLACED} WHERE A = 2")
        .await?;
    let word = if twos == ["0"] {
        "accept_and_lose"
    } else {
        "accept_and_land"
    };
    lab.see("tables.replaced_table", word);
    Ok(())
}

async fn widened(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let next = begun(lab, "WIDENED").await?;
    lab.sql("ALTER TABLE {WIDENED} ADD COLUMN B NUMBER").await?;
    let row = "{\"A\":2,\"B\":2}\n";
    let answer = lab.try_append(("WIDENED", "c"), &next, "o2", row).await?;
    lab.see("add_column.append", answer.outcome());
    if answer.is_success() {
        lab.committed(("WIDENED", "c"), "o2").await?;
        let value = lab.column("SELECT B FROM {WIDENED} WHERE A = 2").await?;
        lab.see("add_column.value", value.join(","));
    }
    Ok(())
}

async fn dropped(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let next = begun(lab, "DROPPED").await?;
    lab.sql("DROP TABLE {DROPPED}").await?;
    let answer = lab
        .try_append(("DROPPED", "c"), &next, "o2", "{\"A\":2}\n")
        .await?;
    lab.see("drop.append", answer.outcome());
    Ok(())
}

pub(super) async fn functions(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let token = lab.open("T", "c").await?;
    let pipe = lab.pipe_name("T").replace('\'', "''");
    let statement = format!("SELECT SYSTEM$STREAMING_CHANNEL_INVALIDATE('{pipe}', 'c')");
    let word = match lab.try_sql(&statement).await? {
        Ok(_) => {
            let answer = lab
                .try_append(("T", "c"), &token, "o1", "{\"A\":1}\n")
                .await?;
            format!("carried out; an append is answered {}", answer.outcome())
        }
        Err(why) => format!("refused {}", why.code().unwrap_or("without a code")),
    };
    lab.see("function.invalidate", word);
    Ok(())
}
