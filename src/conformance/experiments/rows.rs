//! E9, E10, E12, E13, E17: what becomes of values.

use serde_json::Value;

use crate::conformance::Broken;
use crate::conformance::lab::Lab;

pub(super) const EDGES_EXPECTED: &[(&str, &str)] = &[
    ("json.duplicate_key", "is rejected"),
    ("json.blank_line", "lands"),
    ("json.crlf", "lands"),
    ("json.invalid", "is rejected"),
    ("json.bad_utf8", "is rejected"),
    ("json.nan", "is rejected"),
];

const EDGES: &[(&str, &[u8])] = &[
    ("json.duplicate_key", b"{\"A\":\"1\",\"A\":\"2\"}\n"),
    ("json.null_text", b"{\"A\":\"\\\\N\"}\n"),
    ("json.nul_in_key", b"{\"A\\u0000\":\"1\"}\n"),
    ("json.array", b"[1]\n"),
    ("json.text", b"\"x\"\n"),
    ("json.null", b"null\n"),
    ("json.number", b"1\n"),
    ("json.huge_number", b"{\"A\":1e400}\n"),
    ("json.byte_order_mark", b"\xef\xbb\xbf{\"A\":\"1\"}\n"),
    ("json.blank_line", b"\n{\"A\":\"1\"}\n"),
    ("json.crlf", b"{\"A\":\"1\"}\r\n"),
    ("json.invalid", b"{\"A\":\n"),
    ("json.bad_utf8", b"{\"A\":\"\xff\"}\n"),
    ("json.nan", b"{\"A\":NaN}\n"),
];

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
        (_, Some(1)) => "is rejected",
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
    let nulls = lab
        .column("SELECT COUNT(*) FROM {T} WHERE A = '\\\\N'")
        .await?;
    let word = if nulls == ["0"] {
        "becomes NULL, or another text"
    } else {
        "stays a text"
    };
    lab.see("json.null_text_value", word);
    Ok(())
}

pub(super) async fn unknown_keys(lab: &mut Lab<'_>) -> Result<(), Broken> {
    for (what, channel, row) in [
        ("unknown_key.beside_known", "beside", "{\"A\":1,\"ZZ\":2}\n"),
        ("unknown_key.alone", "alone", "{\"ZZ\":2}\n"),
    ] {
        let word = fate(lab, channel, row).await?;
        let word = if word == "lands" {
            "ignored".to_owned()
        } else {
            word
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
    for (what, statement) in [
        ("default.explicit_null", "SELECT A FROM {T} WHERE K = 1"),
        ("default.missing_key", "SELECT A FROM {T} WHERE K = 2"),
    ] {
        let value = lab.column(statement).await?;
        lab.see(what, value.first().map_or("is rejected", String::as_str));
    }
    Ok(())
}

const NUMBERS: &[(&str, &str)] = &[
    ("variant.trailing_zero", "1.50"),
    ("variant.exponent", "1e2"),
    ("variant.twenty_digits", "12345678901234567890"),
    ("variant.fraction_of_17_digits", "0.12345678901234567"),
    (
        "variant.fifty_digits",
        "12345678901234567890123456789012345678901234567890",
    ),
];

pub(super) const NUMBERS_EXPECTED: &[(&str, &str)] =
    &[("variant.twenty_digits", "12345678901234567890")];

pub(super) async fn numbers_in_variants(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let token = lab.open("T", "c").await?;
    let rows = NUMBERS.iter().enumerate();
    let rows = rows.map(|(key, (_, number))| format!("{{\"K\":{key},\"V\":{number}}}\n"));
    let rows: String = rows.collect();
    lab.append(("T", "c"), &token, "o1", rows).await?;
    lab.committed(("T", "c"), "o1").await?;
    for (key, (what, _)) in NUMBERS.iter().enumerate() {
        let statement = format!("SELECT V FROM {{T}} WHERE K = {key}");
        let value = lab.column(&statement).await?;
        lab.see(what, value.first().map_or("is rejected", String::as_str));
    }
    Ok(())
}

pub(super) const CONVERSIONS_SETUP: &[&str] = &[
    "CREATE TABLE {T} (K NUMBER, N NUMBER(10,2), W NUMBER, F FLOAT, C VARCHAR(10), B BOOLEAN, D DATE, T TIME, S TIMESTAMP_NTZ, L TIMESTAMP_LTZ, Z TIMESTAMP_TZ, X BINARY, V VARIANT, O OBJECT, R ARRAY)",
];

/// Questions about conversions: the column, the JSON value, and the cell that is expected.
const CONVERSIONS: &[(&str, &str, &str, Option<&str>)] = &[
    ("number.text", "N", "\"1.5\"", Some("1.50")),
    ("number.rounded", "N", "1.005", Some("1.01")),
    ("number.negative_rounded", "N", "-1.005", Some("-1.01")),
    ("number.boolean", "N", "true", None),
    ("number.exponent", "N", "1e5", Some("100000.00")),
    ("number.too_wide", "N", "123456789", Some("is rejected")),
    ("number.empty_text", "N", "\"\"", None),
    ("number.spaces", "N", "\" 1 \"", None),
    ("number.object", "N", "{}", Some("is rejected")),
    (
        "number.38_digits",
        "W",
        "99999999999999999999999999999999999999",
        Some("99999999999999999999999999999999999999"),
    ),
    (
        "number.39_digits",
        "W",
        "999999999999999999999999999999999999999",
        Some("is rejected"),
    ),
    ("float.nan_text", "F", "\"NaN\"", Some("NaN")),
    ("float.infinity_text", "F", "\"-inf\"", Some("-inf")),
    ("float.text", "F", "\"1.5\"", Some("1.5")),
    ("float.word", "F", "\"none\"", Some("is rejected")),
    ("varchar.number", "C", "1.50", None),
    ("varchar.boolean", "C", "true", Some("true")),
    ("varchar.object", "C", "{\"a\":1}", Some("{\"a\":1}")),
    (
        "varchar.too_long",
        "C",
        "\"12345678901\"",
        Some("is rejected"),
    ),
    ("varchar.empty", "C", "\"\"", Some("")),
    ("boolean.number", "B", "1", Some("is rejected")),
    ("boolean.text_of_number", "B", "\"1\"", None),
    ("boolean.word", "B", "\"yes\"", Some("true")),
    ("date.text", "D", "\"2026-01-17\"", Some("20470")),
    ("date.number", "D", "1768608000", None),
    ("date.timestamp", "D", "\"2026-01-17T14:00:00\"", None),
    ("time.text", "T", "\"14:00:00.5\"", Some("50400.500000000")),
    (
        "time.offset",
        "T",
        "\"14:00:00+07:00\"",
        Some("is rejected"),
    ),
    (
        "ntz.text",
        "S",
        "\"2026-01-17T14:00:00.123456789\"",
        Some("1768658400.123456789"),
    ),
    (
        "ntz.offset",
        "S",
        "\"2026-01-17T14:00:00+07:00\"",
        Some("1768658400.000000000"),
    ),
    ("ntz.seconds", "S", "1768658400", None),
    ("ntz.milliseconds", "S", "1768658400000", None),
    ("ltz.text", "L", "\"2026-01-17T14:00:00\"", None),
    (
        "ltz.offset",
        "L",
        "\"2026-01-17T14:00:00+07:00\"",
        Some("1768633200.000000000"),
    ),
    (
        "tz.offset",
        "Z",
        "\"2026-01-17T14:00:00+07:00\"",
        Some("1768633200.000000000 1860"),
    ),
    ("tz.text", "Z", "\"2026-01-17T14:00:00\"", None),
    ("binary.base64", "X", "\"YWJj\"", Some("616263")),
    ("binary.hex", "X", "\"616263\"", None),
    ("binary.invalid", "X", "\"!\"", Some("is rejected")),
    ("variant.null", "V", "null", Some("null")),
    (
        "variant.text_of_object",
        "V",
        "\"{\\\"a\\\":1}\"",
        Some("\"{\\\"a\\\":1}\""),
    ),
    ("object.text", "O", "\"{\\\"a\\\":1}\"", Some("{\"a\":1}")),
    ("object.word", "O", "\"x\"", Some("is rejected")),
    ("object.null", "O", "null", Some("NULL")),
    ("array.text", "R", "\"[1,2]\"", Some("[\"[1,2]\"]")),
    ("array.number", "R", "1", None),
    ("array.object", "R", "{\"a\":1}", None),
];
pub(super) const CONVERSIONS_COUNT: u32 = 47;

/// The cell that is expected of a conversion.
pub(super) fn expected_conversion(what: &str) -> Option<&'static str> {
    let found = CONVERSIONS.iter().find(|(known, ..)| *known == what);
    found.and_then(|(.., expected)| *expected)
}

pub(super) async fn conversions(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let token = lab.open("T", "c").await?;
    let rows = CONVERSIONS.iter().enumerate();
    let rows =
        rows.map(|(key, (_, column, json, _))| format!("{{\"K\":{key},\"{column}\":{json}}}\n"));
    let rows: String = rows.collect();
    lab.append(("T", "c"), &token, "o1", rows).await?;
    lab.committed(("T", "c"), "o1").await?;
    let columns = "K, N, W, F, C, B, D, T, S, L, Z, X, V, O, R";
    let found = lab.sql(&format!("SELECT {columns} FROM {{T}}")).await?;
    for (key, (what, column, ..)) in CONVERSIONS.iter().enumerate() {
        let key = Some(key.to_string());
        let row = found.rows.iter().find(|row| row.first() == Some(&key));
        let place = columns.split(", ").position(|name| name == *column);
        let cell = row.zip(place).and_then(|(row, place)| row.get(place));
        let word = match cell {
            None => "is rejected".to_owned(),
            Some(None) => "NULL".to_owned(),
            Some(Some(text)) => text.clone(),
        };
        lab.see(what, word);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{CONVERSIONS, CONVERSIONS_COUNT};

    #[test]
    fn the_number_of_rows_is_that_of_the_conversions() {
        assert_eq!(usize::try_from(CONVERSIONS_COUNT), Ok(CONVERSIONS.len()));
    }
}
