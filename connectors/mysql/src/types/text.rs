//! The text of dates, times, decimals, JSON and addresses, in one form for pages and the log.

use std::fmt::Display;
use std::str::{self, FromStr};
use std::sync::atomic::{AtomicU64, Ordering};

use mysql_async::Value as Sql;
use serde_json::value::RawValue;

use super::{Charset, Unsupported};
use crate::schema::Column;
use crate::value::Value;

/// How many zero dates became null.
static ZERO_DATES: AtomicU64 = AtomicU64::new(0);

/// How many dates were read whose year, month or day is zero, such as `0000-00-00` and `2026-02-00`. No date of Snowflake
/// has these, so they become null.
pub fn zero_dates() -> u64 {
    ZERO_DATES.load(Ordering::Relaxed)
}

pub(super) fn zero_date() -> Value {
    ZERO_DATES.fetch_add(1, Ordering::Relaxed);
    Value::Null
}

pub(super) fn date(year: u16, month: u8, day: u8) -> Value {
    if month == 0 || day == 0 {
        return zero_date();
    }
    Value::Text(format!("{year:04}-{month:02}-{day:02}"))
}

/// A date with a time, in the form of ISO 8601. A fraction of zero is left out.
pub(super) fn date_time(column: &Column, value: &Sql, zone: &str) -> Result<Value, Unsupported> {
    let Sql::Date(year, month, day, hour, minute, second, micros) = value else {
        return Err(Unsupported::value(column, "no date"));
    };
    Ok(match date(*year, *month, *day) {
        Value::Text(date) => {
            let fraction = fraction(*micros);
            Value::Text(format!(
                "{date}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}"
            ))
        }
        zero => zero,
    })
}

/// A time as the database prints it, with its days as hours.
pub(super) fn time(column: &Column, value: &Sql) -> Result<Value, Unsupported> {
    let Sql::Time(is_negative, days, hours, minutes, seconds, micros) = value else {
        return Err(Unsupported::value(column, "no time"));
    };
    let sign = if *is_negative { "-" } else { "" };
    let hours = days.saturating_mul(24).saturating_add(u32::from(*hours));
    let fraction = fraction(*micros);
    Ok(Value::Text(format!(
        "{sign}{hours:02}:{minutes:02}:{seconds:02}{fraction}"
    )))
}

fn fraction(micros: u32) -> String {
    if micros == 0 {
        return String::new();
    }
    format!(".{micros:06}")
}

/// A decimal without leading zeros and without the sign of a zero, which the log's decoder may add.
pub(super) fn decimal(text: &str) -> String {
    let (sign, digits) = text
        .strip_prefix('-')
        .map_or(("", text), |digits| ("-", digits));
    let digits = digits.trim_start_matches('0');
    let zero = if digits.is_empty() || digits.starts_with('.') {
        "0"
    } else {
        ""
    };
    let is_zero = digits.bytes().all(|digit| matches!(digit, b'0' | b'.'));
    format!("{}{zero}{digits}", if is_zero { "" } else { sign })
}

/// JSON as it is, in one line: a line break can only be between its tokens.
pub(super) fn json(column: &Column, mut bytes: Vec<u8>) -> Result<Value, Unsupported> {
    for byte in &mut bytes {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    let text = String::from_utf8(bytes).ok();
    let json = text.and_then(|text| RawValue::from_string(text).ok());
    json.map(Value::Json).ok_or_else(|| {
        let remedy = "correct the row; a CHECK (JSON_VALID(…)) keeps others out";
        Unsupported::new(column, "the text is not JSON", remedy)
    })
}

pub(super) fn big_endian(column: &Column, bytes: &[u8]) -> Result<u64, Unsupported> {
    let mut wide = [0; 8];
    let tail = wide
        .len()
        .checked_sub(bytes.len())
        .and_then(|start| wide.get_mut(start..));
    let tail = tail.ok_or_else(|| Unsupported::value(column, "a longer integer"))?;
    tail.copy_from_slice(bytes);
    Ok(u64::from_be_bytes(wide))
}

/// Bytes of a fixed length, to which the zeros are added that are missing at the end.
pub(super) fn padded(
    column: &Column,
    mut bytes: Vec<u8>,
    length: usize,
) -> Result<Vec<u8>, Unsupported> {
    if bytes.len() > length {
        return Err(Unsupported::value(column, "a longer one"));
    }
    bytes.resize(length, 0);
    Ok(bytes)
}

pub(super) fn address<A: FromStr + Display>(
    column: &Column,
    text: &str,
) -> Result<Value, Unsupported> {
    let address: A = text
        .parse()
        .map_err(|_| Unsupported::value(column, "other text"))?;
    Ok(Value::Text(address.to_string()))
}

/// Text of the log, in the column's character set.
pub(super) fn decode(
    column: &Column,
    charset: Charset,
    bytes: &[u8],
) -> Result<String, Unsupported> {
    match charset {
        Charset::Utf8 => str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| Unsupported::value(column, "text that is not UTF-8")),
        // The database's latin1 is windows-1252 with the five bytes that it leaves out as control characters.
        Charset::Latin1 => {
            let (text, _) = encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes);
            Ok(text.into_owned())
        }
    }
}
