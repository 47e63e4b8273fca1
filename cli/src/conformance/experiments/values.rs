//! E12, E13, E14: what values become in columns.

use serde_json::Value;

use crate::conformance::Broken;
use crate::conformance::lab::{Lab, Pipe};
use crate::conformance::outcome::Outcome;
use crate::conformance::sending::TO_BE_KNOWN;
use crate::conformance::statements::listed;

const REJECTED: &str = "is rejected";

const NUMBERS: &[(&str, &str)] = &[
    ("variant.trailing_zero", "1.50"),
    ("variant.exponent", "1e2"),
    ("values.variant_number", "12345678901234567890"),
    ("variant.fraction_of_17_digits", "0.12345678901234567"),
    (
        "variant.fifty_digits",
        "12345678901234567890123456789012345678901234567890",
    ),
];

/// Appends rows on a channel, of which some may be rejected; waits until the others can be read, and says how many are rejected.
async fn landed(lab: &mut Lab<'_>, rows: Vec<String>) -> Result<u64, Broken> {
    let together = lab.row(("T", "c"), rows.concat()).await?;
    let outcomes = if let Outcome::Committed(_) = together {
        vec![Ok(together)]
    } else {
        // A row that takes the others with it is found if each has its channel.
        let names: Vec<String> = (0..rows.len()).map(|row| format!("c{row}")).collect();
        let rows = names.iter().zip(rows);
        let rows = rows.map(|(name, row)| ((Pipe::OfTable("T"), name.as_str()), row.into()));
        let rows: Vec<_> = rows.collect();
        lab.each_row(&rows, TO_BE_KNOWN).await?
    };
    let (mut inserted, mut rejected) = (0, 0);
    for outcome in outcomes {
        if let Ok(Outcome::Committed(status)) = outcome {
            let uncounted = || Broken::new("the status does not count its rows");
            inserted += status.inserted().ok_or_else(uncounted)?;
            rejected += status.rejected().ok_or_else(uncounted)?;
        }
    }
    lab.visible("T", inserted).await?;
    Ok(rejected)
}

pub(super) async fn numbers_in_variants(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let rows = NUMBERS.iter().enumerate();
    let rows = rows.map(|(key, (_, number))| format!("{{\"K\":{key},\"V\":{number}}}\n"));
    let rejected = landed(lab, rows.collect()).await?;
    for (key, (what, number)) in NUMBERS.iter().enumerate() {
        let statement = format!("SELECT V FROM {{T}} WHERE K = {key}");
        let value = lab.column(&statement).await?;
        let word = match (*what, value.first().map(String::as_str)) {
            ("values.variant_number", Some(exact)) if exact == *number => "exact",
            ("values.variant_number", Some(other)) if other.parse::<f64>().is_ok() => "double",
            (_, Some(value)) => value,
            (_, None) => missing(rejected),
        };
        lab.see(what, word);
    }
    Ok(())
}

/// What is said of a row that cannot be found.
fn missing(rejected: u64) -> &'static str {
    if rejected > 0 { REJECTED } else { "is missing" }
}

pub(super) const CONVERSIONS_SETUP: &[&str] = &[
    "CREATE TABLE {T} (K NUMBER, N NUMBER(10,2), W NUMBER, F FLOAT, C VARCHAR(10), B BOOLEAN, D DATE, T TIME, S TIMESTAMP_NTZ, L TIMESTAMP_LTZ, Z TIMESTAMP_TZ, X BINARY, V VARIANT, O OBJECT, R ARRAY)",
];

/// Questions about conversions: the column, the JSON value, and the cell that is expected.
const CONVERSIONS: &[(&str, &str, &str, Option<&str>)] = &[
    ("number.text", "N", "\"1.5\"", Some("1.50")),
    ("number.rounded", "N", "1.005", Some("1.01")),
    ("number.negative_rounded", "N", "-1.005", Some("-1.01")),
    ("values.boolean_as_number", "N", "true", None),
    ("number.exponent", "N", "1e5", Some("100000.00")),
    ("number.too_wide", "N", "123456789", Some(REJECTED)),
    ("number.empty_text", "N", "\"\"", None),
    ("number.spaces", "N", "\" 1 \"", None),
    ("number.object", "N", "{}", Some(REJECTED)),
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
        Some(REJECTED),
    ),
    ("values.float_words", "F", "\"NaN\"", None),
    ("float.infinity_text", "F", "\"-inf\"", Some("-inf")),
    ("float.text", "F", "\"1.5\"", Some("1.5")),
    ("float.word", "F", "\"none\"", Some(REJECTED)),
    ("varchar.number", "C", "1.50", None),
    ("varchar.boolean", "C", "true", Some("true")),
    ("values.json_as_text", "C", "{\"a\":1}", None),
    ("varchar.too_long", "C", "\"12345678901\"", Some(REJECTED)),
    ("varchar.empty", "C", "\"\"", Some("")),
    ("values.number_as_boolean", "B", "1", None),
    ("boolean.text_of_number", "B", "\"1\"", None),
    ("boolean.word", "B", "\"yes\"", Some("true")),
    ("date.text", "D", "\"2026-01-17\"", Some("20470")),
    ("date.number", "D", "1768608000", None),
    (
        "values.timestamp_as_date",
        "D",
        "\"2026-01-17T14:00:00\"",
        None,
    ),
    ("time.text", "T", "\"14:00:00.5\"", Some("50400.500000000")),
    ("values.time_with_offset", "T", "\"14:00:00+07:00\"", None),
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
    // Base64 of three bytes, and the hexadecimal digits of two.
    ("values.binary_text", "X", "\"abcd\"", None),
    ("binary.invalid", "X", "\"!\"", Some(REJECTED)),
    ("values.variant_null", "V", "null", None),
    (
        "variant.text_of_object",
        "V",
        "\"{\\\"a\\\":1}\"",
        Some("\"{\\\"a\\\":1}\""),
    ),
    ("values.text_as_object", "O", "\"{\\\"a\\\":1}\"", None),
    ("object.word", "O", "\"x\"", Some(REJECTED)),
    ("object.null", "O", "null", Some("NULL")),
    ("values.text_as_array", "R", "\"[1,2]\"", None),
    ("array.number", "R", "1", None),
    ("values.value_as_array", "R", "{\"a\":1}", None),
];
pub(super) const CONVERSIONS_COUNT: u32 = 46;

/// The cells of conversions that are points, and what they answer.
const WORDS: &[(&str, &str, &str)] = &[
    ("values.boolean_as_number", "1.00", "accept"),
    ("values.float_words", "NaN", "accept"),
    ("values.json_as_text", "{\"a\":1}", "accept"),
    ("values.number_as_boolean", "true", "accept"),
    ("values.timestamp_as_date", "20470", "accept"),
    ("values.time_with_offset", "50400.000000000", "accept"),
    ("values.binary_text", "69B71D", "base64"),
    ("values.binary_text", "ABCD", "hex"),
    ("values.variant_null", "null", "json_null"),
    ("values.variant_null", "NULL", "sql_null"),
    ("values.text_as_object", "{\"a\":1}", "parse"),
    ("values.text_as_array", "[\"[1,2]\"]", "wrap"),
    ("values.text_as_array", "[1,2]", "parse"),
    ("values.value_as_array", "[{\"a\":1}]", "wrap"),
];

/// What a cell says about a conversion.
fn word_of(what: &str, cell: String) -> String {
    let known = WORDS
        .iter()
        .find(|(of, text, _)| *of == what && *text == cell);
    match known {
        Some((_, _, word)) => (*word).to_owned(),
        None if what.starts_with("values.") && cell == REJECTED => "reject".to_owned(),
        None => cell,
    }
}

/// A cell of VARIANT, OBJECT or ARRAY without white space, which some answers have.
fn compact(text: &str) -> String {
    let value = serde_json::from_str::<Value>(text);
    value.map_or_else(|_| text.to_owned(), |value| value.to_string())
}

/// The cell that is expected of a conversion.
pub(super) fn expected(what: &str) -> Option<&'static str> {
    let found = CONVERSIONS.iter().find(|(known, ..)| *known == what);
    found.and_then(|(.., expected)| *expected)
}

/// What is read of each column.
const READ: &[(&str, &str)] = &[
    ("N", "N"),
    ("W", "W"),
    ("F", "F"),
    ("C", "C"),
    ("B", "B"),
    ("D", "D"),
    ("T", "T"),
    ("S", "S"),
    ("L", "L"),
    ("Z", "Z"),
    ("X", "TO_VARCHAR(X, 'HEX')"),
    ("V", "V"),
    ("O", "O"),
    ("R", "R"),
];

pub(super) async fn conversions(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let rows = CONVERSIONS.iter().enumerate();
    let rows =
        rows.map(|(key, (_, column, json, _))| format!("{{\"K\":{key},\"{column}\":{json}}}\n"));
    let rejected = landed(lab, rows.collect()).await?;
    let items: Vec<&str> = READ.iter().map(|(_, item)| *item).collect();
    let select = format!(
        "SELECT K, {}, IS_NULL_VALUE(V) FROM {{T}}",
        items.join(", ")
    );
    let found = lab.sql(&select).await?;
    for (key, (what, column, ..)) in CONVERSIONS.iter().enumerate() {
        let key = Some(key.to_string());
        let row = found.rows.iter().find(|row| row.first() == Some(&key));
        let place = READ.iter().position(|(name, _)| name == column);
        let cell = row.zip(place).and_then(|(row, place)| row.get(place + 1));
        let is_json_null = row.and_then(|row| row.last()?.as_deref()) == Some("true");
        let cell = match cell {
            None => missing(rejected).to_owned(),
            // A JSON null may be shown as a SQL NULL is.
            Some(_) if is_json_null => "null".to_owned(),
            Some(None) => "NULL".to_owned(),
            Some(Some(text)) if ["V", "O", "R"].contains(column) => compact(text),
            Some(Some(text)) => text.clone(),
        };
        lab.see(what, word_of(what, cell));
    }
    Ok(())
}

/// An instant, and the text of its wall clock in UTC.
const INSTANT: &str = "1768658400";
const WALL: &str = "2026-01-17T14:00:00";

pub(super) async fn zones(lab: &mut Lab<'_>) -> Result<(), Broken> {
    const PARAMETER: &str = "SHOW PARAMETERS LIKE 'TIMEZONE'";
    let shown = match lab.try_sql(&format!("{PARAMETER} IN ACCOUNT")).await? {
        Ok(shown) => shown,
        // Of the session, if the role may not look at the account's.
        Err(_) => lab.sql(PARAMETER).await?,
    };
    let zone = listed(&shown, "value").and_then(|values| values.into_iter().next());
    let zone = zone.ok_or_else(|| Broken::new("SHOW PARAMETERS has no value for TIMEZONE"))?;
    lab.see("zone.of_account", &*zone);
    let row = format!("{{\"K\":1,\"N\":{INSTANT},\"L\":\"{WALL}\"}}\n");
    let rejected = landed(lab, vec![row]).await?;
    let zone = zone.replace('\'', "''");
    let wall = format!("'{WALL}'::TIMESTAMP_NTZ");
    for (what, not_asked, column, of_account) in [
        (
            "values.integer_zone",
            "zone.integer",
            "N",
            format!("CONVERT_TIMEZONE('UTC', '{zone}', {wall})"),
        ),
        (
            "values.text_zone",
            "zone.text",
            "L",
            format!("CONVERT_TIMEZONE('{zone}', 'UTC', {wall})"),
        ),
    ] {
        let select = format!("SELECT {column}, {of_account} FROM {{T}} WHERE K = 1");
        let rows = lab.sql(&select).await?;
        let cells = rows.rows.into_iter().next().unwrap_or_default();
        let seconds = cells.into_iter().map(|cell| {
            let cell = cell?;
            cell.split('.').next().map(str::to_owned)
        });
        let seconds: Vec<Option<String>> = seconds.collect();
        let word = match seconds.as_slice() {
            [Some(_), Some(account)] if account == INSTANT => {
                lab.see(not_asked, "not asked: the account's time zone is UTC");
                continue;
            }
            [Some(seen), _] if seen == INSTANT => "utc",
            [Some(seen), Some(account)] if seen == account => "account",
            [Some(seen), _] => seen,
            _ => missing(rejected),
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
