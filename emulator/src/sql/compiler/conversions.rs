//! Conversions that lose nothing: from a type to one that the values of several types have in common.

use super::types::{Kind, Type, Typed, is_narrow, kind};
use crate::catalog::coercion::DataType;
use crate::sql::failure::Failure;
use crate::sql::functions::moments::Form;
use crate::sql::functions::numbers::{MOST_INTEGER_DIGITS, power_of_ten};

/// The midnight behind a date.
const MIDNIGHT: &str = " 00:00:00.000000000";

/// A date as a timestamp without a zone.
pub(crate) fn date_to_ntz(sql: &str) -> String {
    format!("({sql} || '{MIDNIGHT}')")
}

/// The SQL of an expression in the form of a type that [`common`](super::types::common) has found for it.
pub(crate) fn fitted(typed: &Typed, to: Type) -> Result<String, Failure> {
    let (Some(from), Some(to)) = (typed.of, to) else {
        return Ok(typed.sql.clone());
    };
    let sql = &typed.sql;
    Ok(match (from, to) {
        (
            DataType::Number {
                precision: p1,
                scale: s1,
            },
            DataType::Number {
                precision: p2,
                scale: s2,
            },
        ) => number_to(sql, (p1, s1), (p2, s2)),
        (DataType::Number { scale, .. }, DataType::Float) => {
            format!("sf_number_float({sql},{scale})")
        }
        (DataType::Date, DataType::TimestampNtz(_)) => date_to_ntz(sql),
        _ if kind(from) == kind(to) => sql.clone(),
        _ => {
            return Err(Failure::unsupported(format!(
                "{from} where {to} is expected: cast it"
            )));
        }
    })
}

/// The SQL by which GROUP BY, DISTINCT and PARTITION BY distinguish values.
pub(crate) fn grouping_key(typed: &Typed) -> String {
    let sql = &typed.sql;
    match typed.of.map(kind) {
        Some(Kind::Moment(Form::Tz)) => format!("sf_instant({sql})"),
        Some(kind) if kind.is_structured() => format!("sf_variant_key({sql})"),
        // SQLite computes some conditions as it reads them, and takes the number it finds for the position of a column.
        Some(Kind::Boolean) => format!("coalesce({sql},NULL)"),
        _ => sql.clone(),
    }
}

/// The SQL by which ORDER BY, MIN and MAX compare values.
pub(crate) fn sorting_key(typed: &Typed, what: &str) -> Result<String, Failure> {
    match typed.of.map(kind) {
        Some(kind) if kind.is_structured() => Err(Failure::unsupported(format!(
            "{what} of the type {kind}: cast it"
        ))),
        _ => Ok(grouping_key(typed)),
    }
}

/// A number at another precision and scale, which hold it.
fn number_to(sql: &str, (p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> String {
    if s1 == s2 && is_narrow(p1) == is_narrow(p2) {
        return sql.to_owned();
    }
    format!("sf_rescale({sql},{s1},{p2},{s2})")
}

/// Numbers at one scale and in one form, to be compared.
pub(crate) fn aligned(numbers: &[(String, u8, u8)]) -> Vec<String> {
    let scale = numbers.iter().map(|(_, _, scale)| *scale).max();
    let scale = scale.unwrap_or_default();
    let is_all_narrow = numbers
        .iter()
        .all(|(_, precision, own)| precision + (scale - own) <= MOST_INTEGER_DIGITS);
    let moved = numbers.iter().map(|(sql, precision, own)| {
        let shift = scale - own;
        match power_of_ten(shift) {
            Some(_) if shift == 0 && is_all_narrow => sql.clone(),
            Some(factor) if is_all_narrow => format!("({sql} * {factor})"),
            _ if shift == 0 && !is_narrow(*precision) => sql.clone(),
            _ => format!("sf_widen({sql},{shift})"),
        }
    });
    moved.collect()
}
