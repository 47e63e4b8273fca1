//! E18, E19, E24, E27: pipes that CREATE PIPE makes, and pipes in addresses.

use std::time::Duration;

use http::Method;
use serde_json::json;

use crate::conformance::Broken;
use crate::conformance::lab::{Lab, Parts, Pipe, Place, path_at, segment};
use crate::conformance::outcome::{Outcome, Patience};
use crate::conformance::sending::{TO_BE_KNOWN, may_change, status_in};
use crate::conformance::service::{Answer, Request};
use crate::conformance::statements::refused;

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
        "pipes.file_format",
        "CREATE PIPE {PG} AS COPY INTO {T} FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) FILE_FORMAT = (TYPE = JSON) MATCH_BY_COLUMN_NAME = CASE_SENSITIVE",
    ),
    (
        "pipe.skip_file",
        "CREATE PIPE {PH} AS COPY INTO {T} FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) MATCH_BY_COLUMN_NAME = CASE_SENSITIVE ON_ERROR = SKIP_FILE",
    ),
    (
        "pipe.no_option",
        "CREATE PIPE {PI} AS COPY INTO {ONE} FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING'))",
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
        "CREATE PIPE {PL} AS COPY INTO {T} (A) FROM (SELECT F.VALUE::NUMBER FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) S, LATERAL FLATTEN(INPUT => S.$1:a) F)",
    ),
];

/// Functions that are not in the documented list of COPY, each in an expression.
const BEYOND_LIST: &[(&str, &str)] = &[
    ("B", "UPPER($1:b::VARCHAR)"),
    ("A", "ABS($1:a::NUMBER)"),
    ("A", "ROUND($1:a::NUMBER)"),
];

const WHERE: &str = "CREATE PIPE {PF} AS COPY INTO {T} (A) FROM (SELECT $1:a::NUMBER FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) WHERE $1:a IS NOT NULL)";

pub(super) async fn grammar(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let mut can_create = false;
    for (what, statement) in GRAMMAR {
        let answer = created(lab, statement).await;
        can_create |= matches!(answer, Ok(Ok(())));
        let word = answer.map(|answer| match answer {
            Err(why) if *what == "pipes.file_format" && can_create => {
                lab.see("pipe.file_format", why);
                "refuse".to_owned()
            }
            answer => answer.err().unwrap_or_else(|| "create".to_owned()),
        });
        lab.see_part(what, word)?;
    }
    if !can_create {
        return Err(Broken::new(
            "no pipe can be created, so no refusal says anything",
        ));
    }
    let word = functions(lab).await;
    lab.see_part("pipes.functions", word)?;
    let word = filtered(lab).await;
    lab.see_part("pipes.where_clause", word)
}

/// Creates a pipe and drops it, because a table may have ten. The inner error is what the statement is answered.
async fn created(lab: &mut Lab<'_>, statement: &str) -> Result<Result<(), String>, Broken> {
    if let Err(why) = lab.try_sql(statement).await? {
        return Ok(Err(refused(&why)));
    }
    let name = statement.split(' ').nth(2).unwrap_or_default();
    lab.sql(&format!("DROP PIPE {name}")).await?;
    Ok(Ok(()))
}

/// Which functions a select list may have.
async fn functions(lab: &mut Lab<'_>) -> Result<String, Broken> {
    let mut answers = Vec::new();
    for (column, item) in BEYOND_LIST {
        let statement = format!(
            "CREATE PIPE {{PE}} AS COPY INTO {{T}} ({column}) FROM (SELECT {item} FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')))"
        );
        answers.push((*item, created(lab, &statement).await?));
    }
    let count = answers.iter().filter(|(_, answer)| answer.is_ok()).count();
    Ok(match count {
        0 => {
            let why = answers.into_iter().filter_map(|(_, answer)| answer.err());
            lab.see("pipe.functions", why.collect::<Vec<_>>().join(", "));
            "listed".to_owned()
        }
        _ if count == answers.len() => "all".to_owned(),
        _ => {
            let words = answers.into_iter().map(|(item, answer)| {
                let word = answer.err().unwrap_or_else(|| "create".to_owned());
                format!("{item}: {word}")
            });
            words.collect::<Vec<_>>().join(", ")
        }
    })
}

/// What becomes of a row that the WHERE of a pipe does not select.
async fn filtered(lab: &mut Lab<'_>) -> Result<String, Broken> {
    if let Err(why) = lab.try_sql(WHERE).await? {
        lab.see("pipe.where", refused(&why));
        return Ok("refuse".to_owned());
    }
    lab.see("pipe.where", "create");
    let at = (Pipe::Made("PF"), "c");
    let outcome = lab.row(at, "{\"a\":1}\n{\"b\":2}\n").await?;
    let Outcome::Committed(status) = outcome else {
        return Ok(outcome.word());
    };
    let word = match (status.inserted(), status.rejected()) {
        (Some(1), Some(0)) => "filter",
        (Some(1), Some(1)) => "reject",
        (Some(2), _) => "ignore",
        _ => "the rows are committed and not counted",
    };
    Ok(word.to_owned())
}

pub(super) const SELECT_EXPECTED: &[(&str, &str)] = &[
    ("pipe.wrong_path", "NULL"),
    ("pipe.failed_try", "NULL"),
    ("pipe.omitted_identity", "1"),
    ("pipe.division_by_zero", "is rejected"),
    ("pipe.bad_cast", "is rejected"),
];

/// Creates a pipe with a select list, and appends a row to it; how far it gets.
async fn through(
    lab: &mut Lab<'_>,
    name: &str,
    (table, columns): (&str, &str),
    items: &str,
    row: &'static str,
) -> Result<String, Broken> {
    let create = format!(
        "CREATE PIPE {{{name}}} AS COPY INTO {{{table}}} ({columns}) FROM (SELECT {items} FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')))"
    );
    if let Err(why) = lab.try_sql(&create).await? {
        return Ok(format!("CREATE PIPE is {}", refused(&why)));
    }
    let word = lab.row((Pipe::Made(name), "c"), row).await?.word();
    Ok(word)
}

pub(super) async fn select_lists(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let mut parts = Parts::default();
    let items = "$1:k::NUMBER, $1:none.at.all::NUMBER";
    let left_out = [
        ("pipes.omitted_column", "D"),
        ("pipe.wrong_path", "W"),
        ("pipe.omitted_identity", "I"),
    ];
    let word = through(lab, "P", ("T", "K, W"), items, "{\"k\":1}\n").await;
    parts.add(see_columns(lab, word, 1, &left_out).await)?;
    let items = "$1:k::NUMBER, TRY_TO_NUMBER($1:x::VARCHAR)";
    let row = "{\"k\":2,\"x\":\"word\"}\n";
    let word = through(lab, "Q", ("T", "K, Y"), items, row).await;
    parts.add(see_columns(lab, word, 2, &[("pipe.failed_try", "Y")]).await)?;
    for (what, name, table, item) in [
        ("pipe.omitted_not_null", "N", "STRICT", "$1:k::NUMBER"),
        (
            "pipe.division_by_zero",
            "Z",
            "T",
            "$1:k::NUMBER / $1:zero::NUMBER",
        ),
        ("pipe.bad_cast", "B", "T", "$1:x::NUMBER"),
    ] {
        let row = "{\"k\":3,\"x\":\"word\",\"zero\":0}\n";
        let word = through(lab, name, (table, "K"), item, row).await;
        lab.see_part(what, word)?;
    }
    parts.end()
}

/// Notes what columns of a row hold, or how far the row got.
async fn see_columns(
    lab: &mut Lab<'_>,
    row: Result<String, Broken>,
    key: u64,
    columns: &[(&'static str, &str)],
) -> Result<(), Broken> {
    let row = row?;
    if row == "lands" {
        let is_there = format!("SELECT COUNT(*) FROM {{T}} WHERE K = {key}");
        lab.at_least(&is_there, 1).await?;
    }
    for (what, column) in columns {
        let word = if row == "lands" {
            let statement = format!("SELECT {column} FROM {{T}} WHERE K = {key}");
            lab.cells(&statement).await?
        } else {
            row.clone()
        };
        let word = match (*what, &*word) {
            ("pipes.omitted_column", "7") => "default".to_owned(),
            ("pipes.omitted_column", "NULL") => "null".to_owned(),
            _ => word,
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

/// A name in another case.
fn other_case(name: &str) -> String {
    let lower = name.to_lowercase();
    if lower == name {
        name.to_uppercase()
    } else {
        lower
    }
}

/// Opens a channel of a pipe by an address that may not be known everywhere yet.
async fn open_at_within(lab: &mut Lab<'_>, place: &Place, pipe: &str) -> Result<Answer, Broken> {
    // The pipe itself is known by now.
    let mut patience = Patience::of(Duration::from_secs(10));
    loop {
        let answer = open_at(lab, place, pipe).await?;
        if !may_change(&answer) || !patience.waits().await {
            return Ok(answer);
        }
    }
}

async fn open_at(lab: &mut Lab<'_>, place: &Place, pipe: &str) -> Result<Answer, Broken> {
    let path = path_at(place, false, &format!("pipes/{}/channels/c", segment(pipe)));
    let request = Request::new(Method::PUT, path).json(&json!({}));
    lab.service.ingest(&request).await
}

pub(super) async fn addresses(lab: &mut Lab<'_>) -> Result<(), Broken> {
    lab.open("T", "c").await?;
    let pipe = lab.pipe("T");
    let place = lab.place.clone();
    let of_schema = Place {
        schema: other_case(&place.schema),
        ..place.clone()
    };
    let of_database = Place {
        database: other_case(&place.database),
        ..place.clone()
    };
    let mut words = Vec::new();
    for (part, place, pipe) in [
        ("pipe", &place, other_case(&pipe)),
        ("schema", &of_schema, pipe.clone()),
        ("database", &of_database, pipe.clone()),
    ] {
        let answer = open_at_within(lab, place, &pipe).await?;
        let word = match answer.status {
            200 => "folded".to_owned(),
            404 => "exact".to_owned(),
            _ => answer.outcome(),
        };
        words.push((part, word));
    }
    let first = words.first().map(|(_, word)| word.clone());
    let first = first.unwrap_or_default();
    let word = if words.iter().all(|(_, word)| *word == first) {
        first
    } else {
        let words = words.iter().map(|(part, word)| format!("{part} {word}"));
        words.collect::<Vec<_>>().join(", ")
    };
    lab.see("pipes.name_case", word);
    let answer = open_at_within(lab, &place, &format!("\"{pipe}\"")).await?;
    lab.see("address.quoted_pipe", answer.outcome());
    let answer = lab.open_within("lower", "c", TO_BE_KNOWN).await?;
    lab.see("address.lower_case_table", answer.outcome());
    let wrong = Place {
        schema: "NO_SUCH_SCHEMA".to_owned(),
        ..place
    };
    let answer = open_at(lab, &wrong, &pipe).await?;
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
    let status = status_in(&answer);
    let word = match answer.code() {
        _ if status.is_bad() => format!("200, and {}", status.code().unwrap_or_default()),
        _ if answer.is_success() && status.field("last_committed_offset_token") == "o1" => {
            "200, with the offset of the dropped pipe".to_owned()
        }
        _ if answer.is_success() => "at_once".to_owned(),
        Some(code) if code.contains("STALE_PIPE") => "stale".to_owned(),
        _ => answer.outcome(),
    };
    lab.see("pipes.recreated_pipe", word);
    let token = lab.open(at.0, at.1).await?;
    let token = lab.append(at, &token, "o2", "{\"A\":2}\n").await?;
    let word = lab.settled(at, "o2").await?.word();
    lab.see("pipe.recreated_row", word);
    let paused = "ALTER PIPE {P} SET PIPE_EXECUTION_PAUSED = TRUE";
    let word = match lab.try_sql(paused).await? {
        Ok(_) => {
            let answer = lab.try_append(at, &token, "o3", "{\"A\":3}\n").await?;
            format!("paused; an append is answered {}", answer.outcome())
        }
        Err(why) => refused(&why),
    };
    lab.see("pipe.paused", word);
    Ok(())
}
