//! E9, E10, E17: rows at the edges of JSON, nulls and unknown keys.

use bytes::Bytes;

use crate::conformance::Broken;
use crate::conformance::lab::{Lab, Parts, Pipe};
use crate::conformance::outcome::Outcome;
use crate::conformance::sending::TO_BE_KNOWN;

pub(super) const EDGES_EXPECTED: &[(&str, &str)] = &[
    ("json.blank_line", "lands"),
    ("json.crlf", "lands"),
    ("json.bad_utf8", "is rejected"),
    ("json.nan", "is rejected"),
];

const EDGES: &[(&str, &[u8])] = &[
    ("json.nul_in_key", b"{\"A\\u0000\":\"1\"}\n"),
    ("json.array", b"[1]\n"),
    ("json.text", b"\"x\"\n"),
    ("json.null", b"null\n"),
    ("json.number", b"1\n"),
    ("json.huge_number", b"{\"A\":1e400}\n"),
    ("json.byte_order_mark", b"\xef\xbb\xbf{\"A\":\"1\"}\n"),
    ("json.blank_line", b"\n{\"A\":\"1\"}\n"),
    ("json.crlf", b"{\"A\":\"1\"}\r\n"),
    ("json.bad_utf8", b"{\"A\":\"\xff\"}\n"),
    ("json.nan", b"{\"A\":NaN}\n"),
];

const LANDS: &str = "lands";
const REJECTED: &str = "is rejected";

pub(super) async fn json_edges(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let rows = EDGES.iter();
    let rows = rows.map(|(what, row)| ((Pipe::OfTable("T"), *what), Bytes::from_static(row)));
    let rows = rows.collect::<Vec<_>>();
    // Without a pipe there is nothing to ask.
    lab.open("T", "first").await?;
    let outcomes = lab.each_row(&rows, TO_BE_KNOWN).await?;
    for ((what, _), outcome) in EDGES.iter().zip(outcomes) {
        lab.see_part(what, outcome.map(|outcome| outcome.word()))?;
    }
    let mut parts = Parts::default();
    parts.add(duplicate_keys(lab).await)?;
    parts.add(malformed(lab).await)?;
    parts.add(null_text(lab).await)?;
    parts.end()
}

async fn duplicate_keys(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let row = "{\"A\":\"first\",\"A\":\"last\"}\n";
    let word = lab.row(("TWICE", "c"), row).await?.word();
    let word = match &*word {
        REJECTED => "reject".to_owned(),
        LANDS => {
            lab.visible("TWICE", 1).await?;
            lab.cells("SELECT A FROM {TWICE}").await?
        }
        _ => word,
    };
    lab.see("values.duplicate_key", word);
    Ok(())
}

async fn malformed(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let outcome = lab.row(("T", "malformed"), "{\"A\":\n").await?;
    let word = match &outcome {
        Outcome::AppendRefused(answer) if answer.status == 400 => "refuse_request".to_owned(),
        _ => outcome.word(),
    };
    let word = if word == REJECTED {
        "reject".to_owned()
    } else {
        word
    };
    lab.see("values.malformed_row", word);
    Ok(())
}

/// A text that is kept as it is can be found again.
async fn null_text(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let word = lab.row(("TEXT", "c"), "{\"A\":\"\\\\N\"}\n").await?.word();
    let word = if word == LANDS {
        lab.visible("TEXT", 1).await?;
        let cell = lab.cells("SELECT A FROM {TEXT}").await?;
        match &*cell {
            "\\N" => "text".to_owned(),
            "NULL" => "null".to_owned(),
            _ => cell,
        }
    } else {
        word
    };
    lab.see("values.null_text", word);
    Ok(())
}

pub(super) async fn unknown_keys(lab: &mut Lab<'_>) -> Result<(), Broken> {
    for (what, channel, row) in [
        ("values.unknown_key", "beside", "{\"A\":1,\"ZZ\":2}\n"),
        ("unknown_key.alone", "alone", "{\"ZZ\":2}\n"),
    ] {
        let outcome = lab.row(("T", channel), row).await;
        let word = outcome.map(|outcome| match &*outcome.word() {
            LANDS => "ignore".to_owned(),
            REJECTED => "reject".to_owned(),
            other => other.to_owned(),
        });
        lab.see_part(what, word)?;
    }
    Ok(())
}

pub(super) async fn defaults(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let explicit = default(lab, "explicit", "{\"K\":1,\"A\":null}\n", 1).await;
    let word = explicit.map(|word| match &*word {
        "NULL" => "null".to_owned(),
        "7" => "default".to_owned(),
        _ => word,
    });
    lab.see_part("values.null_with_default", word)?;
    let missing = default(lab, "missing", "{\"K\":2}\n", 2).await;
    lab.see_part("default.missing_key", missing)
}

/// What the column `A` of a row holds, or how far the row gets.
async fn default(lab: &mut Lab<'_>, channel: &str, row: &str, key: u64) -> Result<String, Broken> {
    let word = lab.row(("T", channel), row.to_owned()).await?.word();
    if word != LANDS {
        return Ok(word);
    }
    let is_there = format!("SELECT COUNT(*) FROM {{T}} WHERE K = {key}");
    lab.at_least(&is_there, 1).await?;
    let select = format!("SELECT A FROM {{T}} WHERE K = {key}");
    lab.cells(&select).await
}
