//! Literals and bindings, as values in the forms of their types.

use std::fmt::Write as _;

use serde::Deserialize;
use sqlparser::ast::Value;

use super::state::{Compiler, Slot};
use super::types::{BYTES, Constant, TEXT, Typed, is_narrow, number};
use crate::catalog::coercion::DataType;
use crate::sql::failure::Failure;
use crate::sql::functions::moments::{self, Form};
use crate::sql::functions::numbers::{self, MOST_DIGITS};
use crate::sql::functions::raised::Raised;
use crate::sql::functions::{floats, texts};

/// A value that is known when the statement is compiled.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Null,
    Boolean(bool),
    /// A number by its digits.
    Number(String),
    Float(f64),
    Text(String),
    /// A date or time in its form.
    Moment(DataType, String),
    Binary(Vec<u8>),
}

/// A value that a request binds: its type and its text.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Binding {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) value: Option<String>,
}

impl Binding {
    /// The value, as the [SQL API] describes it: dates in milliseconds, times and timestamps in nanoseconds.
    ///
    /// [SQL API]: https://docs.snowflake.com/en/developer-guide/sql-api/submitting-requests#using-bind-variables-in-a-statement
    pub(crate) fn literal(&self) -> Result<Literal, Failure> {
        let Some(value) = &self.value else {
            return Ok(Literal::Null);
        };
        let kind = self.kind.to_ascii_uppercase();
        let refused = || Failure::binding(&kind, value);
        let since = || value.trim().parse::<i128>().map_err(|_| refused());
        let moment = |of, form, since| {
            moments::from_nanoseconds(since)
                .and_then(|wall| moments::show(wall, form))
                .map(|shown| Literal::Moment(of, shown))
                .map_err(|_| refused())
        };
        match kind.as_str() {
            "FIXED" => {
                number_type(value).ok_or_else(refused)?;
                Ok(Literal::Number(value.trim().to_owned()))
            }
            "REAL" => floats::parse(value)
                .map(Literal::Float)
                .map_err(|_| refused()),
            "TEXT" => Ok(Literal::Text(value.clone())),
            "BOOLEAN" => texts::boolean(value)
                .map(Literal::Boolean)
                .map_err(|_| refused()),
            "BINARY" => {
                let bytes = crate::catalog::binary::BinaryFormat::Hex.decode(value);
                bytes.map(Literal::Binary).ok_or_else(refused)
            }
            "DATE" => {
                let nanoseconds = since()?.checked_mul(1_000_000).ok_or_else(refused)?;
                moment(DataType::Date, Form::Date, nanoseconds)
            }
            "TIME" => moment(DataType::Time(9), Form::Time, since()?),
            "TIMESTAMP_NTZ" => moment(DataType::TimestampNtz(9), Form::Ntz, since()?),
            "TIMESTAMP_LTZ" => moment(DataType::TimestampLtz(9), Form::Ltz, since()?),
            _ => Err(Failure::unsupported(format!("bindings of the type {kind}"))),
        }
    }
}

/// The type of a number as it is written: as many digits as it takes. None for what is no number, or has more than 38 digits.
fn number_type(text: &str) -> Option<(u8, u8)> {
    let digits = text.trim().trim_start_matches(['-', '+']);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = || whole.bytes().chain(fraction.bytes());
    if all().next().is_none() || !all().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole = whole.trim_start_matches('0').len();
    let precision = u8::try_from((whole + fraction.len()).max(1)).ok()?;
    let scale = u8::try_from(fraction.len()).ok()?;
    (precision <= MOST_DIGITS && scale < MOST_DIGITS).then_some((precision, scale))
}

/// A number of a known scale as SQL.
pub(crate) fn number_sql(units: i128, precision: u8) -> String {
    if is_narrow(precision) {
        return format!("({units})");
    }
    blob_sql(&numbers::encode(units))
}

fn blob_sql(bytes: &[u8]) -> String {
    let mut sql = "x'".to_owned();
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(sql, "{byte:02x}");
    }
    sql.push('\'');
    sql
}

impl Compiler<'_> {
    /// A literal as an expression.
    pub(crate) fn literal(&mut self, literal: &Literal) -> Result<Typed, Failure> {
        let constant = |sql: String, of| Typed {
            sql,
            of: Some(of),
            constant: Some(Constant::Other),
        };
        Ok(match literal {
            Literal::Null => Typed::null(),
            Literal::Boolean(is) => constant(u8::from(*is).to_string(), DataType::Boolean),
            Literal::Number(digits) => return number_literal(digits),
            Literal::Float(float) if float.is_nan() => {
                let sql = self.text("NaN");
                constant(sql, DataType::Float)
            }
            Literal::Float(float) if float.is_finite() => {
                constant(format!("({float:?})"), DataType::Float)
            }
            Literal::Float(float) => {
                let sign = if *float < 0.0 { "-" } else { "" };
                constant(format!("({sign}9e999)"), DataType::Float)
            }
            Literal::Text(text) => Typed {
                sql: self.text(text),
                of: Some(TEXT),
                constant: Some(Constant::Text(text.clone())),
            },
            Literal::Moment(of, text) => {
                let sql = self.text(text);
                constant(sql, *of)
            }
            Literal::Binary(bytes) => constant(blob_sql(bytes), BYTES),
        })
    }

    /// A literal of the statement.
    pub(crate) fn value(&mut self, value: &Value) -> Result<Typed, Failure> {
        let literal = match value {
            Value::Null => Literal::Null,
            Value::Boolean(is) => Literal::Boolean(*is),
            Value::Number(digits, false) => Literal::Number(digits.clone()),
            Value::SingleQuotedString(raw) => Literal::Text(unescaped(raw)?),
            Value::DollarQuotedString(text) if text.tag.is_none() => {
                Literal::Text(text.value.clone())
            }
            Value::Placeholder(sign) if sign == "$1" && self.settings.of_pipe.is_some() => {
                return Ok(Typed::new(self.slot(Slot::Row, ""), DataType::Variant));
            }
            Value::Placeholder(sign) => {
                let position = match sign.strip_prefix(':') {
                    Some(number) => number.parse::<usize>().ok().and_then(|n| n.checked_sub(1)),
                    None if sign == "?" => {
                        self.bound += 1;
                        Some(self.bound - 1)
                    }
                    None => None,
                };
                let Some(position) = position else {
                    return Err(Failure::unsupported(format!("the placeholder {sign}")));
                };
                let given = self.settings.bindings.len();
                let bound = self.settings.bindings.get(position).cloned();
                bound.ok_or_else(|| Failure::bindings(position + 1, given))?
            }
            odd => return Err(Failure::unsupported(format!("the literal {odd}"))),
        };
        self.literal(&literal)
    }
}

/// The text of a literal, whose escapes are still in it: a doubled quote, and those with a backslash, as [String constants] lists
/// them.
///
/// [String constants]: https://docs.snowflake.com/en/sql-reference/data-types-text#escape-sequences-in-single-quoted-string-constants
pub(crate) fn unescaped(raw: &str) -> Result<String, Failure> {
    let odd =
        |what: &str| Failure::from(Raised::unsupported(format!("the escape sequence \\{what}")));
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw.chars();
    while let Some(letter) = rest.next() {
        match letter {
            '\'' => {
                rest.next();
                text.push('\'');
            }
            '\\' => match rest.next() {
                Some('b') => text.push('\u{8}'),
                Some('f') => text.push('\u{c}'),
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some('t') => text.push('\t'),
                Some('u') => {
                    let code: String = rest.by_ref().take(4).collect();
                    let code_point = u32::from_str_radix(&code, 16).ok();
                    let found = code_point.and_then(char::from_u32);
                    let found = found.filter(|_| code.len() == 4);
                    text.push(found.ok_or_else(|| odd(&format!("u{code}")))?);
                }
                Some('x') => {
                    let code: String = rest.by_ref().take(2).collect();
                    let found = ascii(&code, 16).filter(|_| code.len() == 2);
                    text.push(found.ok_or_else(|| odd(&format!("x{code}")))?);
                }
                Some(first @ '0'..='7') => {
                    let mut code = first.to_string();
                    while let Some(digit @ '0'..='7') = rest.clone().next()
                        && code.len() < 3
                    {
                        rest.next();
                        code.push(digit);
                    }
                    text.push(ascii(&code, 8).ok_or_else(|| odd(&code))?);
                }
                Some(other) => text.push(other),
                None => text.push('\\'),
            },
            _ => text.push(letter),
        }
    }
    Ok(text)
}

pub(crate) fn number_literal(digits: &str) -> Result<Typed, Failure> {
    let Some((precision, scale)) = number_type(digits) else {
        return Err(Failure::unsupported(format!(
            "the number {digits}: the emulator has literals of at most {MOST_DIGITS} digits without an exponent"
        )));
    };
    let units = numbers::parse(digits, precision, scale).map_err(Failure::from)?;
    let whole = (scale == 0).then(|| i64::try_from(units).ok()).flatten();
    Ok(Typed {
        sql: number_sql(units, precision),
        of: Some(number(precision, scale)),
        constant: Some(whole.map_or(Constant::Other, Constant::Whole)),
    })
}

/// A text that a constant holds, as a value of another type, read while the statement is compiled.
pub(crate) fn number_in(text: &str) -> Result<Typed, Failure> {
    if number_type(text).is_some() {
        return number_literal(text.trim());
    }
    // Read for its message, or for an exponent.
    numbers::parse(text, MOST_DIGITS, 0).map_err(Failure::from)?;
    Err(Failure::unsupported(format!(
        "the number '{text}' with an exponent"
    )))
}

/// A character by its number. Numbers beyond ASCII are bytes of an encoding that is not documented.
fn ascii(code: &str, radix: u32) -> Option<char> {
    let number = u8::from_str_radix(code, radix).ok()?;
    number.is_ascii().then_some(char::from(number))
}

/// A text as [`unescaped`] reads it.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "''")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read() {
        for (raw, wanted) in [
            ("it''s", "it's"),
            (r"it\'s", "it's"),
            (r"a\nb\\c\t", "a\nb\\c\t"),
            (r"\u26c4", "\u{26c4}"),
            (r"\x41\101\0611", "AA11"),
            (r"\z", "z"),
        ] {
            assert_eq!(unescaped(raw).unwrap(), wanted, "{raw}");
        }
        for text in ["it's", r"a\b", "\n"] {
            assert_eq!(unescaped(&escaped(text)).unwrap(), text);
        }
        for raw in [r"\xe9", r"\x4", r"\ud800", r"\377"] {
            assert!(unescaped(raw).is_err(), "{raw}");
        }
    }

    #[test]
    fn numbers_have_the_digits_they_are_written_with() {
        for (text, wanted) in [
            ("1", Some((1, 0))),
            ("2.50", Some((3, 2))),
            ("0.05", Some((2, 2))),
            ("-007", Some((1, 0))),
            ("0", Some((1, 0))),
            ("1e3", None),
            ("", None),
            ("99999999999999999999999999999999999999", Some((38, 0))),
            ("199999999999999999999999999999999999999", None),
        ] {
            assert_eq!(number_type(text), wanted, "{text}");
        }
    }
}
