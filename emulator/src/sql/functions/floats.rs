//! FLOAT: its casts and its functions. NaN is equal to itself and greater than every number.
//!
//! In SQLite NaN is a text, which sorts behind all floats.

use rusqlite::types::Value;

use super::numbers;
use super::raised::Raised;

/// Reads a text as a float.
pub(crate) fn parse(text: &str) -> Result<f64, Raised> {
    let trimmed = text.trim();
    match trimmed.to_ascii_lowercase().as_str() {
        "nan" => return Ok(f64::NAN),
        "inf" | "infinity" => return Ok(f64::INFINITY),
        "-inf" | "-infinity" => return Ok(f64::NEG_INFINITY),
        _ => {}
    }
    let is_digit = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E');
    let number = trimmed
        .parse()
        .ok()
        .filter(|number: &f64| trimmed.chars().all(is_digit) && number.is_finite());
    number.ok_or_else(|| Raised::not_a_number(text))
}

/// A float as a number of `precision` digits, rounded half away from zero in decimal.
pub(crate) fn to_number(number: f64, precision: u8, scale: u8) -> Result<Value, Raised> {
    if !number.is_finite() {
        return Err(Raised::out_of_range(&number.to_string(), precision));
    }
    numbers::number(
        numbers::parse(&number.to_string(), precision, scale)?,
        precision,
    )
}

/// A float as text, where its digits are beyond doubt: at most 15, and no exponent.
pub(crate) fn to_text(number: f64) -> Result<String, Raised> {
    if number == 0.0 {
        return Ok("0".to_owned());
    }
    let shown = number.to_string();
    let digits = shown.bytes().filter(u8::is_ascii_digit).count();
    if number.is_finite() && digits <= 15 && number.abs() >= 1e-4 {
        return Ok(shown);
    }
    if number.is_nan() {
        return Ok("NaN".to_owned());
    }
    Err(Raised::unsupported(format!(
        "the float {number} as text: cast it to NUMBER first"
    )))
}

/// Rounds half away from zero at `places` digits behind the point.
pub(crate) fn round(number: f64, places: i64, rounding: numbers::Rounding) -> f64 {
    let Ok(places) = i32::try_from(places.clamp(-400, 400)) else {
        return number;
    };
    let factor = 10_f64.powi(places.abs());
    let scaled = if places >= 0 {
        number * factor
    } else {
        number / factor
    };
    if !scaled.is_finite() {
        return number;
    }
    let rounded = match rounding {
        numbers::Rounding::HalfAway => scaled.round(),
        numbers::Rounding::Truncate => scaled.trunc(),
        numbers::Rounding::Up => scaled.ceil(),
        numbers::Rounding::Down => scaled.floor(),
    };
    if places >= 0 {
        rounded / factor
    } else {
        rounded * factor
    }
}

/// Computes with two floats.
pub(crate) fn compute(operation: numbers::Operation, left: f64, right: f64) -> Result<f64, Raised> {
    use numbers::Operation;
    if right == 0.0 && matches!(operation, Operation::Divide | Operation::Modulo) {
        return Err(Raised::division_by_zero());
    }
    Ok(match operation {
        Operation::Add => left + right,
        Operation::Subtract => left - right,
        Operation::Multiply => left * right,
        Operation::Divide => left / right,
        Operation::Modulo => left % right,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_read_and_shown() {
        for (text, wanted) in [("1e3", 1000.0), (" -0.5 ", -0.5), ("inf", f64::INFINITY)] {
            assert_eq!(parse(text).unwrap().to_bits(), wanted.to_bits(), "{text}");
        }
        assert!(parse("NaN").unwrap().is_nan());
        for text in ["", "abc", "0x10", "1e999", "infinit"] {
            assert_eq!(parse(text).unwrap_err().code, "100038", "{text}");
        }
        assert_eq!(to_text(1.5).unwrap(), "1.5");
        assert_eq!(to_text(-3.0).unwrap(), "-3");
        assert!(to_text(0.1 + 0.2).unwrap_err().is_unsupported());
        assert!(to_text(1e300).unwrap_err().is_unsupported());
    }
}
