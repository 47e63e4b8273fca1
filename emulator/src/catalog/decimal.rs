//! Exact decimals: a number's text, rounded to a column's scale without ever becoming a float.

use std::iter::repeat_n;

use super::cell::Cell;

/// More digits in front of the point than this overflow every NUMBER there is.
const MOST_DIGITS: i64 = 38;

/// Reads `text` as a decimal number, rounds it half away from zero at `scale` digits behind the point, and checks that
/// the result has no more than `precision` digits. The cell is an integer where it fits one, plain text elsewhere.
pub(crate) fn land(text: &str, precision: u8, scale: u8) -> Result<Cell, String> {
    if scale == 0
        && let Some(integer) = integer(text, precision)
    {
        return Ok(Cell::Integer(integer));
    }
    let number = Decimal::parse(text.trim()).ok_or_else(|| format!("{text:?} is not a number"))?;
    let out_of_range = || format!("{text} is out of the range of NUMBER({precision},{scale})");
    if number.point > MOST_DIGITS {
        return Err(out_of_range());
    }
    let negative = number.negative;
    let units = number.into_units(scale);
    if units.len() > usize::from(precision) {
        return Err(out_of_range());
    }
    Ok(cell(negative, &units, scale))
}

/// Why a text has no units.
#[cfg(feature = "server")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    NotANumber,
    /// More than 38 digits.
    OutOfRange,
}

/// The number that `text` is, in units of the last of `scale` digits behind the point, rounded half away from zero.
#[cfg(feature = "server")]
pub(crate) fn units(text: &str, scale: u8) -> Result<i128, Unreadable> {
    let number = Decimal::parse(text.trim()).ok_or(Unreadable::NotANumber)?;
    if number.point > MOST_DIGITS {
        return Err(Unreadable::OutOfRange);
    }
    let is_negative = number.negative;
    let digits = number.into_units(scale);
    let units = digits.iter().try_fold(0_i128, |units, digit| {
        units.checked_mul(10)?.checked_add((*digit).into())
    });
    let units = units.ok_or(Unreadable::OutOfRange)?;
    Ok(if is_negative { -units } else { units })
}

/// The most frequent case: text that is an integer of 64 bits and no more than `precision` digits.
fn integer(text: &str, precision: u8) -> Option<i64> {
    let integer: i64 = text.trim().parse().ok()?;
    let digits = integer
        .unsigned_abs()
        .checked_ilog10()
        .map_or(0, |log| log + 1);
    (digits <= u32::from(precision)).then_some(integer)
}

/// Sign, significant digits and where the point stands: the value is `0.digits × 10^point`.
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    point: i64,
}

impl Decimal {
    fn parse(text: &str) -> Option<Self> {
        let (negative, text) = match text.as_bytes().first()? {
            b'-' => (true, text.get(1..)?),
            b'+' => (false, text.get(1..)?),
            _ => (false, text),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = whole.bytes().chain(fraction.bytes());
        if whole.len() + fraction.len() == 0 || !all.clone().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let zeros = all.clone().take_while(|b| *b == b'0').count();
        let digits: Vec<u8> = all.skip(zeros).map(|b| b - b'0').collect();
        let point = i64::try_from(whole.len()).ok()? - i64::try_from(zeros).ok()?;
        Some(Self {
            negative,
            point: if digits.is_empty() {
                0
            } else {
                point.saturating_add(exponent)
            },
            digits,
        })
    }

    /// The magnitude in units of the last digit that `scale` keeps, without leading zeros; empty is zero.
    fn into_units(self, scale: u8) -> Vec<u8> {
        let keep = self.point.saturating_add(i64::from(scale));
        let Ok(keep) = usize::try_from(keep) else {
            return Vec::new();
        };
        let mut units = self.digits;
        let rounds_up = units.get(keep).is_some_and(|next| *next >= 5);
        // Only digits that exist are ever padded: zero has none, and `point` is bounded for the others.
        if !units.is_empty() {
            units.resize(keep, 0);
        }
        if rounds_up {
            increment(&mut units);
        }
        units
    }
}

/// A decimal exponent. One that is too long for an integer keeps its sign.
fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let far = if text.starts_with('-') {
        i64::MIN / 2
    } else {
        i64::MAX / 2
    };
    Some(
        text.parse()
            .unwrap_or(far)
            .clamp(i64::MIN / 2, i64::MAX / 2),
    )
}

fn increment(units: &mut Vec<u8>) {
    for digit in units.iter_mut().rev() {
        if *digit < 9 {
            *digit += 1;
            return;
        }
        *digit = 0;
    }
    units.insert(0, 1);
}

fn cell(negative: bool, units: &[u8], scale: u8) -> Cell {
    let scale = usize::from(scale);
    let missing = (scale + 1).saturating_sub(units.len());
    let whole = units.len() + missing - scale;
    let mut text = String::with_capacity(whole + scale + 2);
    if negative && units.iter().any(|digit| *digit != 0) {
        text.push('-');
    }
    let digits = repeat_n(0, missing).chain(units.iter().copied());
    for (position, digit) in digits.enumerate() {
        if position == whole {
            text.push('.');
        }
        text.push(char::from(b'0' + digit));
    }
    if scale == 0
        && let Ok(integer) = text.parse()
    {
        return Cell::Integer(integer);
    }
    Cell::Text(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(input: &str, precision: u8, scale: u8) -> String {
        match land(input, precision, scale) {
            Ok(Cell::Text(text)) => text,
            Ok(Cell::Integer(integer)) => format!("int {integer}"),
            Ok(other) => format!("{other:?}"),
            Err(why) => why,
        }
    }

    #[test]
    fn rounds_half_away_from_zero_at_the_scale() {
        assert_eq!(text("1.005", 7, 2), "1.01");
        assert_eq!(text("1.004999", 7, 2), "1.00");
        assert_eq!(text("-1.005", 7, 2), "-1.01");
        assert_eq!(text("0.005", 7, 2), "0.01");
        assert_eq!(text("0.0049", 7, 2), "0.00");
        assert_eq!(text("-0.001", 7, 2), "0.00");
        assert_eq!(text("9.995", 7, 2), "10.00");
        assert_eq!(text("2.5", 38, 0), "int 3");
        assert_eq!(text("-2.5", 38, 0), "int -3");
        assert_eq!(text("0.5", 38, 0), "int 1");
    }

    #[test]
    fn keeps_every_digit() {
        assert_eq!(text("120", 7, 2), "120.00");
        assert_eq!(text("12345678901234567.89", 38, 2), "12345678901234567.89");
        assert_eq!(
            text("9223372036854775807", 38, 0),
            "int 9223372036854775807"
        );
        assert_eq!(text("9223372036854775808", 38, 0), "9223372036854775808");
        assert_eq!(text("1.5e3", 38, 0), "int 1500");
        assert_eq!(text("15E-1", 4, 2), "1.50");
        assert_eq!(text(" +.5 ", 4, 2), "0.50");
        assert_eq!(text("5.", 4, 2), "5.00");
        assert_eq!(text("000", 1, 0), "int 0");
        assert_eq!(text(" -007 ", 1, 0), "int -7");
        assert_eq!(text("+12", 2, 0), "int 12");
        assert_eq!(text("-0", 1, 0), "int 0");
        assert_eq!(
            text("-9223372036854775808", 19, 0),
            "int -9223372036854775808"
        );
        assert_eq!(text("0.12", 3, 3), "0.120");
        assert_eq!(text("-12.3456", 8, 4), "-12.3456");
        assert_eq!(text("0e999999999999999999999", 1, 0), "int 0");
        assert_eq!(text("1e-999999999999999999999", 1, 0), "int 0");
    }

    #[test]
    fn refuses_what_does_not_fit_or_is_no_number() {
        let range = |input: &str| format!("{input} is out of the range of NUMBER(7,2)");
        assert_eq!(text("99999.99", 7, 2), "99999.99");
        for input in [
            "99999.995",
            "100000",
            "1e5",
            "1e400",
            "1e99999999999999999999",
        ] {
            assert_eq!(text(input, 7, 2), range(input));
        }
        for (input, precision) in [("10", 1), ("-10", 1), ("9223372036854775807", 18)] {
            let why = format!("{input} is out of the range of NUMBER({precision},0)");
            assert_eq!(text(input, precision, 0), why);
        }
        for input in [
            "", "-", ".", "abc", "1.2.3", "0x10", "1e", "1e+", "NaN", "1 2", "١",
        ] {
            assert_eq!(text(input, 7, 2), format!("{input:?} is not a number"));
        }
    }
}
