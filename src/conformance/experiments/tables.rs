//! E20, E21, E26, E37: tables of other kinds, and what statements do to open channels.

use serde_json::{Value, json};

use crate::conformance::Broken;
use crate::conformance::lab::{Lab, refused};

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
    let word = match (answer.status, answer.code()) {
        (200..300, _) => "accept_and_lose".to_owned(),
        (404, Some(code)) if code.starts_with("ERR_PIPE_DOES_NOT_EXIST") => "refuse".to_owned(),
        _ => answer.outcome(),
    };
    lab.see("tables.dropped_table", word);
    let status = lab.statuses("DROPPED", &["c"]).await?;
    lab.see("drop.status", status.outcome());
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
        "table.temporary",
        "TEMPORARY",
        "TEMPORARY TABLE {TEMPORARY} (A NUMBER)",
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
    for (what, name, create) in KINDS {
        let word = kind(lab, name, create, value_of(what)).await?;
        lab.see(what, word);
    }
    Ok(())
}

/// How far a row gets in a table of a kind.
async fn kind(lab: &mut Lab<'_>, name: &str, create: &str, value: &str) -> Result<String, Broken> {
    if let Err(why) = lab.try_sql(&format!("CREATE {create}")).await? {
        return Ok(format!("CREATE is {}", refused(&why)));
    }
    let answer = lab.try_open(name, "c", &json!({})).await?;
    let Some(token) = answer.field("next_continuation_token") else {
        return Ok(format!("an open is answered {}", answer.outcome()));
    };
    let at = (name, "c");
    let row = format!("{{\"A\":{value}}}\n");
    let answer = lab.try_append(at, &token, "o1", row).await?;
    if !answer.is_success() {
        return Ok(format!("an append is answered {}", answer.outcome()));
    }
    let status = lab.settled(at, "o1").await?;
    let field = |name: &str| status.get(name).cloned().unwrap_or_default();
    Ok(match field("last_committed_offset_token").as_str() {
        Some("o1") if field("rows_inserted") == 1 => "lands".to_owned(),
        Some("o1") => "is rejected".to_owned(),
        _ => format!("does not commit: {}", field("channel_status_code")),
    })
}

pub(super) async fn checks(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let create = "CREATE TABLE {T} (A NUMBER CHECK (A > 0))";
    if let Err(why) = lab.try_sql(create).await? {
        lab.see("check.create", refused(&why));
        return Ok(());
    }
    lab.see("check.create", "created");
    let answer = lab.try_open("T", "c", &json!({})).await?;
    let Some(token) = answer.field("next_continuation_token") else {
        lab.see("check.open", answer.outcome());
        return Ok(());
    };
    let rows = "{\"A\":1}\n{\"A\":-1}\n{\"A\":2}\n";
    lab.append(("T", "c"), &token, "o3", rows).await?;
    let status = lab.settled(("T", "c"), "o3").await?;
    let field = |name: &str| status.get(name).map_or_else(String::new, Value::to_string);
    lab.see(
        "check.rows",
        format!(
            "committed {}, inserted {}, rejected {}, status {}",
            field("last_committed_offset_token"),
            field("rows_inserted"),
            field("rows_error_count"),
            field("channel_status_code")
        ),
    );
    Ok(())
}
