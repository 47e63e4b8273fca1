//! E9, E10, E17: rows at the edges of JSON, nulls and unknown keys.

use serde_json::Value;

use crate::conformance::Broken;
use crate::conformance::lab::Lab;

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

const REJECTED: &str = "is rejected";

/// What became of one row on a new channel.
async fn fate(
    lab: &mut Lab<'_>,
    channel: &str,
    row: impl Into<bytes::Bytes>,
) -> Result<String, Broken> {
    let at = ("T", channel);
    let token = lab.open(at.0, at.1).await?;
    let answer = lab.try_append(at, &token, "o1", row).await?;
    if !answer.is_success() {
        return Ok(format!("the request is refused: {}", answer.outcome()));
    }
    let status = lab.committed(at, "o1").await?;
    let count = |name: &str| status.get(name).and_then(Value::as_u64);
    let rejected = count("rows_error_count").or_else(|| count("rows_errors"));
    let word = match (count("rows_inserted"), rejected) {
        (Some(1), _) => "lands",
        (_, Some(1)) => REJECTED,
        (Some(0), Some(0)) => "disappears",
        _ => {
            return Err(Broken::new(format!(
                "the status does not count its row: {status}"
            )));
        }
    };
    Ok(word.to_owned())
}

pub(super) async fn json_edges(lab: &mut Lab<'_>) -> Result<(), Broken> {
    for (what, row) in EDGES {
        let word = fate(lab, what, *row).await?;
        lab.see(what, word);
    }
    let twice = fate(lab, "twice", "{\"A\":\"first\",\"A\":\"last\"}\n").await?;
    let word = match twice.as_str() {
        REJECTED => "reject".to_owned(),
        "lands" => {
            let found = lab
                .column("SELECT A FROM {T} WHERE A IN ('first', 'last')")
                .await?;
            found.join(", ")
        }
        _ => twice,
    };
    lab.see("values.duplicate_key", word);
    let malformed = fate(lab, "malformed", "{\"A\":\n").await?;
    let word = match malformed.as_str() {
        REJECTED => "reject",
        refused if refused.starts_with("the request") => "refuse_request",
        other => other,
    };
    lab.see("values.malformed_row", word);
    // A text that is kept as it is can be found again.
    fate(lab, "null", "{\"A\":\"\\\\N\"}\n").await?;
    let texts = lab
        .column("SELECT COUNT(*) FROM {T} WHERE A = '\\\\N'")
        .await?;
    let word = if texts == ["1"] { "text" } else { "null" };
    lab.see("values.null_text", word);
    Ok(())
}

pub(super) async fn unknown_keys(lab: &mut Lab<'_>) -> Result<(), Broken> {
    for (what, channel, row) in [
        ("values.unknown_key", "beside", "{\"A\":1,\"ZZ\":2}\n"),
        ("unknown_key.alone", "alone", "{\"ZZ\":2}\n"),
    ] {
        let word = fate(lab, channel, row).await?;
        let word = match word.as_str() {
            "lands" => "ignore",
            REJECTED => "reject",
            other => other,
        };
        lab.see(what, word);
    }
    Ok(())
}

pub(super) async fn defaults(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let token = lab.open("T", "c").await?;
    let rows = "{\"K\":1,\"A\":null}\n{\"K\":2}\n";
    lab.append(("T", "c"), &token, "o1", rows).await?;
    lab.committed(("T", "c"), "o1").await?;
    let explicit = lab.column("SELECT A FROM {T} WHERE K = 1").await?;
    let word = match explicit.first().map(String::as_str) {
        Some("NULL") => "null",
        Some("7") => "default",
        Some(other) => other,
        None => REJECTED,
    };
    lab.see("values.null_with_default", word);
    let missing = lab.column("SELECT A FROM {T} WHERE K = 2").await?;
    let word = missing.first().map_or(REJECTED, String::as_str);
    lab.see("default.missing_key", word);
    Ok(())
}
