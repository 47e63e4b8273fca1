//! E20, E21, E26, E37: tables of other kinds, and what statements do to open channels.

use std::time::Duration;

use tokio::time::Instant;

use crate::conformance::Broken;
use crate::conformance::lab::{Lab, Parts, Pipe};
use crate::conformance::outcome::{Outcome, Patience};
use crate::conformance::sending::{TO_BE_REFUSED, is_busy, token_of};
use crate::conformance::statements::refused;

/// How long the rows of a replaced table's channel may take to land.
const LATE: Duration = Duration::from_secs(30);
/// How long a dropped table's channel may go on accepting rows.
const SERVED: Duration = Duration::from_secs(30);
/// How long a table that was dropped and created again may not be streamed to. A test of `estuary/connectors` waits three minutes
/// (`materialize-snowflake/streamv2_test.go`).
const KNOWN_AGAIN: Duration = Duration::from_secs(240);
/// An open that takes longer had to wait for the service to know the new table.
const AT_ONCE: Duration = Duration::from_secs(10);
/// How long it may take until a status shows what has happened: twice as long as a replica may lag.
const NOTICED: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(5);

pub(super) async fn changes(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let mut parts = Parts::default();
    parts.add(truncated(lab).await)?;
    parts.add(replaced(lab).await)?;
    parts.add(widened(lab).await)?;
    parts.add(dropped(lab).await)?;
    parts.end()
}

/// Opens a channel and appends a row that can be read; the next continuation token.
async fn begun(lab: &mut Lab<'_>, table: &str) -> Result<String, Broken> {
    let token = lab.open(table, "c").await?;
    let next = lab
        .append((table, "c"), &token, "o1", "{\"A\":1}\n")
        .await?;
    lab.committed((table, "c"), "o1").await?;
    lab.visible(table, 1).await?;
    Ok(next)
}

async fn truncated(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let next = begun(lab, "TRUNCATED").await?;
    lab.sql("TRUNCATE TABLE {TRUNCATED}").await?;
    let at = ("TRUNCATED", "c");
    let answer = lab.append_within(at, &next, "o2", "{\"A\":2}\n").await?;
    lab.see("truncate.append", answer.outcome());
    if answer.is_success() {
        lab.committed(at, "o2").await?;
        lab.visible("TRUNCATED", 1).await?;
        let rows = lab.cells("SELECT COUNT(*) FROM {TRUNCATED}").await?;
        lab.see("truncate.rows", rows);
    }
    Ok(())
}

async fn replaced(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let next = begun(lab, "REPLACED").await?;
    lab.sql("CREATE OR REPLACE TABLE {REPLACED} (A NUMBER)")
        .await?;
    let at = ("REPLACED", "c");
    // Rows are sent at once, as by a writer that has not noticed anything.
    let answer = lab.append_within(at, &next, "o2", "{\"A\":2}\n").await?;
    let status = bad_status(lab, at).await?;
    lab.see("replace.status", status);
    if !answer.is_success() {
        let code = answer.code().unwrap_or_default();
        let word = if code.starts_with("ERR_CHANNEL_DOES_NOT_EXIST") {
            "refuse".to_owned()
        } else {
            answer.outcome()
        };
        lab.see("tables.replaced_table", word);
        lab.see("replace.refusal", answer.outcome());
        return Ok(());
    }
    // A channel that is opened afterwards lands its row; then that of the old channel would soon have landed as well.
    let at = ("REPLACED", "d");
    let opened = lab.open_within(at.0, at.1, KNOWN_AGAIN).await?;
    let token = token_of(&opened).ok_or_else(|| Broken::of("opening a channel", &opened))?;
    lab.append(at, &token, "o1", "{\"A\":3}\n").await?;
    lab.committed(at, "o1").await?;
    lab.at_least("SELECT COUNT(*) FROM {REPLACED} WHERE A = 3", 1)
        .await?;
    let twos = "SELECT COUNT(*) FROM {REPLACED} WHERE A = 2";
    let patience = Patience::of(LATE).with_pauses(PAUSE);
    let word = match lab.at_least_within(twos, 1, patience).await? {
        0 => "accept_and_lose",
        _ => "accept_and_land",
    };
    lab.see("tables.replaced_table", word);
    Ok(())
}

/// The code of a channel's status once it says that something is wrong.
async fn bad_status(lab: &mut Lab<'_>, (table, channel): (&str, &str)) -> Result<String, Broken> {
    let mut patience = Patience::of(NOTICED);
    loop {
        let status = lab.status(table, channel).await?;
        let code = status.code().unwrap_or("no code");
        if status.is_bad() {
            return Ok(code.to_owned());
        }
        if !patience.waits().await {
            return Ok(format!("{code} for {} s", NOTICED.as_secs()));
        }
    }
}

async fn widened(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let next = begun(lab, "WIDENED").await?;
    lab.sql("ALTER TABLE {WIDENED} ADD COLUMN B NUMBER").await?;
    let row = "{\"A\":2,\"B\":2}\n";
    let answer = lab
        .append_within(("WIDENED", "c"), &next, "o2", row)
        .await?;
    lab.see("add_column.append", answer.outcome());
    if answer.is_success() {
        lab.committed(("WIDENED", "c"), "o2").await?;
        lab.visible("WIDENED", 2).await?;
        let value = lab.cells("SELECT B FROM {WIDENED} WHERE A = 2").await?;
        lab.see("add_column.value", value);
    }
    Ok(())
}

async fn dropped(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let mut token = begun(lab, "DROPPED").await?;
    lab.sql("DROP TABLE {DROPPED}").await?;
    let at = ("DROPPED", "c");
    let mut patience = Patience::of(SERVED).with_pauses(PAUSE);
    let mut accepted = 0;
    let answer = loop {
        let request = lab.append_request(at, &token, "o2", "{\"A\":2}\n");
        let answer = lab.ingest_while(is_busy, request).await?;
        match token_of(&answer) {
            Some(next) if patience.waits().await => token = next,
            _ => break answer,
        }
        accepted += 1;
    };
    // The table is gone, so each accepted row is lost.
    let word = match (answer.status, answer.code()) {
        (200..300, _) => "accept_and_lose".to_owned(),
        _ if accepted > 0 => {
            let end = format!("{accepted} rows, then {}", answer.outcome());
            lab.see("drop.accepted", end);
            "accept_and_lose".to_owned()
        }
        (404, Some(code)) if code.starts_with("ERR_PIPE_DOES_NOT_EXIST") => "refuse".to_owned(),
        _ => answer.outcome(),
    };
    lab.see("tables.dropped_table", word);
    let status = lab.statuses(at.0, &[at.1]).await?;
    lab.see("drop.status", status.outcome());
    recreated(lab).await
}

/// How long opens of a dropped table's channel are refused after the table was created again.
async fn recreated(lab: &mut Lab<'_>) -> Result<(), Broken> {
    lab.sql("CREATE TABLE {DROPPED} (A NUMBER)").await?;
    let created = Instant::now();
    let answer = lab.open_within("DROPPED", "c", KNOWN_AGAIN).await?;
    let took = created.elapsed();
    let word = if answer.is_success() && took < AT_ONCE {
        "at_once".to_owned()
    } else if answer.is_success() {
        "not_yet".to_owned()
    } else {
        answer.outcome()
    };
    lab.see("tables.recreated_table", word);
    if answer.is_success() {
        lab.see("reopen_after_drop_s", took.as_secs().to_string());
    }
    Ok(())
}

pub(super) async fn functions(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let token = lab.open("T", "c").await?;
    let pipe = lab.pipe_name("T").replace('\'', "''");
    let statement = format!("SELECT SYSTEM$STREAMING_CHANNEL_INVALIDATE('{pipe}', 'c')");
    let word = match lab.try_sql(&statement).await? {
        Ok(_) => {
            let at = ("T", "c");
            let status = bad_status(lab, at).await?;
            let answer = lab.try_append(at, &token, "o1", "{\"A\":1}\n").await?;
            let answer = answer.outcome();
            format!("carried out; the status is {status}, and an append is answered {answer}")
        }
        Err(why) => refused(&why),
    };
    lab.see("function.invalidate", word);
    Ok(())
}

pub(super) const KINDS_EXPECTED: &[(&str, &str)] =
    &[("table.transient", "lands"), ("table.clustered", "lands")];

/// Questions about kinds of tables: what follows CREATE, with a column `A`.
const KINDS: &[(&str, &str, &str)] = &[
    (
        "table.transient",
        "TRANSIENT",
        "TRANSIENT TABLE {TRANSIENT} (A NUMBER)",
    ),
    (
        "table.clustered",
        "CLUSTERED",
        "TABLE {CLUSTERED} (A NUMBER) CLUSTER BY (A)",
    ),
    (
        "table.collated",
        "COLLATED",
        "TABLE {COLLATED} (A VARCHAR COLLATE 'en-ci')",
    ),
    ("table.view", "VIEW", "VIEW {VIEW} AS SELECT A FROM {BASE}"),
    (
        "table.vector",
        "VECTOR",
        "TABLE {VECTOR} (A VECTOR(FLOAT, 2))",
    ),
    (
        "table.structured_object",
        "STRUCTURED",
        "TABLE {STRUCTURED} (A OBJECT(B NUMBER))",
    ),
    (
        "table.map",
        "MAPPED",
        "TABLE {MAPPED} (A MAP(VARCHAR, NUMBER))",
    ),
    ("table.geography", "PLACES", "TABLE {PLACES} (A GEOGRAPHY)"),
];

/// The value of `A` in the row for a kind.
fn value_of(what: &str) -> &'static str {
    match what {
        "table.vector" => "[1.5,2.5]",
        "table.structured_object" => "{\"B\":1}",
        "table.map" => "{\"k\":1}",
        "table.geography" => "\"POINT(1 2)\"",
        _ => "1",
    }
}

pub(super) async fn kinds(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let mut created = Vec::new();
    let mut rows = Vec::new();
    for (what, name, create) in KINDS {
        if let Err(why) = lab.try_sql(&format!("CREATE {create}")).await? {
            lab.see(what, format!("CREATE is {}", refused(&why)));
            continue;
        }
        let row = format!("{{\"A\":{}}}\n", value_of(what));
        created.push(*what);
        rows.push(((Pipe::OfTable(name), "c"), row.into()));
    }
    let outcomes = lab.each_row(&rows, TO_BE_REFUSED).await?;
    for (what, outcome) in created.into_iter().zip(outcomes) {
        lab.see_part(what, outcome.map(|outcome| outcome.word()))?;
    }
    Ok(())
}

pub(super) async fn checks(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let create = "CREATE TABLE {T} (A NUMBER CHECK (A > 0))";
    if let Err(why) = lab.try_sql(create).await? {
        lab.see("check.create", refused(&why));
        return Ok(());
    }
    lab.see("check.create", "created");
    let rows = "{\"A\":1}\n{\"A\":-1}\n{\"A\":2}\n";
    let word = match lab.row(("T", "c"), rows).await? {
        Outcome::Committed(status) => format!(
            "committed, inserted {}, rejected {}, status {}",
            status.field("rows_inserted"),
            status.field("rows_error_count"),
            status.code().unwrap_or("no code")
        ),
        other => other.word(),
    };
    lab.see("check.rows", word);
    Ok(())
}
