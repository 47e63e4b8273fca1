//! E18, E19, E24, E27: pipes that CREATE PIPE makes, and pipes in addresses.

use http::Method;
use serde_json::{Value, json};

use crate::conformance::Broken;
use crate::conformance::lab::{Lab, Pipe, refused, segment};
use crate::conformance::service::Request;

pub(super) const GRAMMAR_EXPECTED: &[(&str, &str)] = &[
    ("pipe.case_sensitive", "create"),
    ("pipe.case_insensitive", "create"),
    ("pipe.select", "create"),
    ("pipe.function", "create"),
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
        "pipes.functions",
        "CREATE PIPE {PE} AS COPY INTO {T} (B) FROM (SELECT UPPER($1:b::VARCHAR) FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')))",
    ),
    (
        "pipe.where",
        "CREATE PIPE {PF} AS COPY INTO {T} (A) FROM (SELECT $1:a::NUMBER FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) WHERE $1:a IS NOT NULL)",
    ),
    (
        "pipes.file_format",
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
    (
        "pipe.truncate_columns",
        "CREATE PIPE {PJ} AS COPY INTO {T} FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) MATCH_BY_COLUMN_NAME = CASE_SENSITIVE TRUNCATECOLUMNS = TRUE",
    ),
    (
        "pipe.select_and_match",
        "CREATE PIPE {PK} AS COPY INTO {T} (A) FROM (SELECT $1:a::NUMBER FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING'))) MATCH_BY_COLUMN_NAME = CASE_SENSITIVE",
    ),
    (
        "pipe.flatten",
        "CREATE PIPE {PL} AS COPY INTO {T} (A) FROM (SELECT F.VALUE::NUMBER FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) S, LATERAL FLATTEN(S.$1:a) F)",
    ),
];

pub(super) async fn grammar(lab: &mut Lab<'_>) -> Result<(), Broken> {
    for (what, statement) in GRAMMAR {
        let created = lab.try_sql(statement).await?;
        if *what == "pipe.where" {
            let word = match created {
                Ok(_) => filtered(lab).await?,
                Err(_) => "refuse",
            };
            lab.see("pipes.where_clause", word);
        }
        if created.is_ok() {
            // A table may have ten pipes.
            let name = statement.split(' ').nth(2).unwrap_or_default();
            lab.sql(&format!("DROP PIPE {name}")).await?;
        }
        let is_point = *what == "pipes.file_format";
        let word = match created {
            Ok(_) if *what == "pipes.functions" => "all".to_owned(),
            Err(_) if *what == "pipes.functions" => "listed".to_owned(),
            Ok(_) => "create".to_owned(),
            Err(_) if is_point => "refuse".to_owned(),
            Err(why) => refused(&why),
        };
        lab.see(what, word);
    }
    Ok(())
}

/// What becomes of a row that the WHERE of the pipe does not select.
async fn filtered(lab: &mut Lab<'_>) -> Result<&'static str, Broken> {
    let at = (Pipe::Made("PF"), "c");
    let token = lab.open(at.0, at.1).await?;
    lab.append(at, &token, "o1", "{\"a\":1}\n{\"b\":2}\n")
        .await?;
    let status = lab.committed(at, "o1").await?;
    let count = |name: &str| status.get(name).and_then(Value::as_u64);
    let rejected = count("rows_error_count").or_else(|| count("rows_errors"));
    Ok(match (count("rows_inserted"), rejected) {
        (Some(1), Some(0)) => "filter",
        (Some(1), _) => "reject",
        _ => "ignore",
    })
}

pub(super) const SELECT_EXPECTED: &[(&str, &str)] = &[
    ("pipe.wrong_path", "NULL"),
    ("pipe.failed_try", "NULL"),
    ("pipe.omitted_identity", "1"),
    ("pipe.division_by_zero", "is rejected"),
    ("pipe.bad_cast", "is rejected"),
];

pub(super) async fn select_lists(lab: &mut Lab<'_>) -> Result<(), Broken> {
    lab.sql(
        "CREATE PIPE {P} AS COPY INTO {T} (K, W, Y) FROM (SELECT $1:k::NUMBER, $1:none.at.all::NUMBER, TRY_TO_NUMBER('x') FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')))",
    )
    .await?;
    let at = (Pipe::Made("P"), "c");
    let token = lab.open(at.0, at.1).await?;
    lab.append(at, &token, "o1", "{\"k\":1}\n").await?;
    lab.committed(at, "o1").await?;
    for (what, column) in [
        ("pipes.omitted_column", "D"),
        ("pipe.wrong_path", "W"),
        ("pipe.failed_try", "Y"),
        ("pipe.omitted_identity", "I"),
    ] {
        let statement = format!("SELECT {column} FROM {{T}} WHERE K = 1");
        let value = lab.column(&statement).await?;
        let word = match (what, value.first().map(String::as_str)) {
            ("pipes.omitted_column", Some("7")) => "default",
            ("pipes.omitted_column", Some("NULL")) => "null",
            (_, Some(value)) => value,
            (_, None) => "is rejected",
        };
        lab.see(what, word);
    }
    for (what, name, item) in [
        ("pipe.omitted_not_null", "N", "$1:k::NUMBER"),
        ("pipe.division_by_zero", "Z", "$1:k::NUMBER / 0"),
        ("pipe.bad_cast", "B", "$1:x::NUMBER"),
    ] {
        let table = if name == "N" { "STRICT" } else { "T" };
        lab.sql(&format!(
            "CREATE PIPE {{{name}}} AS COPY INTO {{{table}}} (K) FROM (SELECT {item} FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')))"
        ))
        .await?;
        let at = (Pipe::Made(name), "c");
        let token = lab.open(at.0, at.1).await?;
        lab.append(at, &token, "o1", "{\"k\":2,\"x\":\"word\"}\n")
            .await?;
        let status = lab.committed(at, "o1").await?;
        let landed = status.get("rows_inserted").and_then(Value::as_u64);
        let word = if landed == Some(1) {
            "lands"
        } else {
            "is rejected"
        };
        lab.see(what, word);
    }
    Ok(())
}

pub(super) const ADDRESSES_EXPECTED: &[(&str, &str)] = &[
    ("address.quoted_pipe", "200"),
    ("address.lower_case_table", "200"),
    (
        "address.wrong_schema",
        "404 ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED",
    ),
];

pub(super) async fn addresses(lab: &mut Lab<'_>) -> Result<(), Broken> {
    lab.open("T", "c").await?;
    let pipe = lab.pipe("T");
    let open = |path: String| Request::new(Method::PUT, path).json(&json!({}));
    let lower = segment(&pipe.to_lowercase());
    let path = lab.path(false, &format!("pipes/{lower}/channels/c"));
    let answer = lab.service.ingest(&open(path)).await?;
    let word = match answer.status {
        200 => "folded".to_owned(),
        404 => "exact".to_owned(),
        _ => answer.outcome(),
    };
    lab.see("pipes.name_case", word);
    let quoted = segment(&format!("\"{pipe}\""));
    let path = lab.path(false, &format!("pipes/{quoted}/channels/c"));
    let answer = lab.service.ingest(&open(path)).await?;
    lab.see("address.quoted_pipe", answer.outcome());
    let answer = lab.try_open("lower", "c", &json!({})).await?;
    lab.see("address.lower_case_table", answer.outcome());
    let channel = format!("pipes/{}/channels/c", segment(&pipe));
    let path = lab.path_in("NO_SUCH_SCHEMA", false, &channel);
    let answer = lab.service.ingest(&open(path)).await?;
    lab.see("address.wrong_schema", answer.outcome());
    Ok(())
}

pub(super) async fn recreated(lab: &mut Lab<'_>) -> Result<(), Broken> {
    const CREATE: &str = "CREATE PIPE {P} AS COPY INTO {T} FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE";
    let at = (Pipe::Made("P"), "c");
    lab.sql(CREATE).await?;
    let token = lab.open(at.0, at.1).await?;
    lab.append(at, &token, "o1", "{\"A\":1}\n").await?;
    lab.committed(at, "o1").await?;
    lab.sql("DROP PIPE {P}").await?;
    lab.sql(CREATE).await?;
    let answer = lab.try_open(at.0, at.1, &json!({})).await?;
    let word = match answer.code() {
        _ if answer.is_success() => "at_once".to_owned(),
        Some(code) if code.contains("STALE_PIPE") => "stale".to_owned(),
        _ => answer.outcome(),
    };
    lab.see("pipes.recreated_pipe", word);
    let token = lab.open(at.0, at.1).await?;
    let paused = "ALTER PIPE {P} SET PIPE_EXECUTION_PAUSED = TRUE";
    let word = match lab.try_sql(paused).await? {
        Ok(_) => {
            let answer = lab.try_append(at, &token, "o2", "{\"A\":2}\n").await?;
            format!("paused; an append is answered {}", answer.outcome())
        }
        Err(why) => refused(&why),
    };
    lab.see("pipe.paused", word);
    Ok(())
}
