//! Exact decimals in SQLite: how they are passed around there, and what is computed with them.
//!
//! A NUMBER(p,s) is its value in units of its last digit: `10.50` of a NUMBER(7,2) is 1050. Up to 18 digits it is an INTEGER, beyond
//! them a BLOB of 16 bytes whose order is that of the numbers. So SQLite compares, sorts and groups both by itself, as long as both
//! sides have the same scale and the same form, which the compiler sees to.

use rusqlite::types::{Value, ValueRef};

use super::raised::Raised;
use crate::catalog::decimal::{self, Unreadable};

/// Numbers of at most so many digits are INTEGERs.
pub(crate) const MOST_INTEGER_DIGITS: u8 = 18;
/// The digits of the widest NUMBER.
pub(crate) const MOST_DIGITS: u8 = 38;

/// 10 to the power of `exponent`; none beyond 38.
pub(crate) fn power_of_ten(exponent: u8) -> Option<i128> {
    10_i128.checked_pow(exponent.into())
}

/// The form of a number with more than 18 digits.
pub(crate) fn encode(units: i128) -> [u8; 16] {
    // With the sign inverted the bytes have the order of the numbers.
    (units ^ i128::MIN).to_be_bytes()
}

/// The units that an argument has, in either form.
pub(crate) fn decode(value: ValueRef<'_>) -> Result<i128, Raised> {
    match value {
        ValueRef::Integer(units) => Ok(units.into()),
        ValueRef::Blob(bytes) => match <[u8; 16]>::try_from(bytes) {
            Ok(bytes) => Ok(i128::from_be_bytes(bytes) ^ i128::MIN),
            Err(_) => Err(Raised::internal("a number of another length")),
        },
        _ => Err(Raised::internal("a number in another form")),
    }
}

/// Units as a number of `precision` digits.
pub(crate) fn number(units: i128, precision: u8) -> Result<Value, Raised> {
    if power_of_ten(precision).is_none_or(|limit| units.unsigned_abs() >= limit.unsigned_abs()) {
        return Err(Raised::out_of_range(&units.to_string(), precision));
    }
    Ok(match i64::try_from(units) {
        Ok(units) if precision <= MOST_INTEGER_DIGITS => Value::Integer(units),
        _ => Value::Blob(encode(units).to_vec()),
    })
}

/// The units of a text that is a number, rounded half away from zero.
pub(crate) fn parse(text: &str, precision: u8, scale: u8) -> Result<i128, Raised> {
    let units = decimal::units(text, scale).map_err(|why| match why {
        Unreadable::NotANumber => Raised::not_a_number(text),
        Unreadable::OutOfRange => Raised::out_of_range(text, precision),
    })?;
    if power_of_ten(precision).is_none_or(|limit| units.unsigned_abs() >= limit.unsigned_abs()) {
        return Err(Raised::out_of_range(text, precision));
    }
    Ok(units)
}

/// A number as the SQL API and casts to text show it: with all digits of its scale.
pub(crate) fn show(units: i128, scale: u8) -> String {
    let digits = units.unsigned_abs().to_string();
    let scale = usize::from(scale);
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if units < 0 { "-" } else { "" };
    if fraction.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    }
}

/// The value of a table's column, as it is kept.
pub(crate) fn read_column(value: ValueRef<'_>, precision: u8, scale: u8) -> Result<Value, Raised> {
    let units = match value {
        ValueRef::Integer(whole) => power_of_ten(scale)
            .and_then(|shift| i128::from(whole).checked_mul(shift))
            .ok_or_else(|| Raised::out_of_range(&whole.to_string(), precision))?,
        // Columns of at most 15 digits, which a float holds exactly.
        ValueRef::Real(real) => parse(&real.to_string(), precision, scale)?,
        ValueRef::Text(bytes) => parse(&String::from_utf8_lossy(bytes), precision, scale)?,
        _ => return Err(Raised::internal("a column that holds no number")),
    };
    number(units, precision)
}

/// The same value at another scale; where digits go, it is rounded half away from zero.
pub(crate) fn rescale(units: i128, from: u8, to: u8) -> Option<i128> {
    if to >= from {
        units.checked_mul(power_of_ten(to - from)?)
    } else {
        Some(divide_rounding(units, power_of_ten(from - to)?))
    }
}

/// `units` at a scale that is larger by `shift`, in the wide form. What is too large for it is the largest there is: it is compared
/// with numbers that do fit.
pub(crate) fn widen(units: i128, shift: u8) -> Value {
    let limit = if units < 0 { i128::MIN } else { i128::MAX };
    let moved = power_of_ten(shift).and_then(|shift| units.checked_mul(shift));
    Value::Blob(encode(moved.unwrap_or(limit)).to_vec())
}

/// Half away from zero.
fn divide_rounding(units: i128, by: i128) -> i128 {
    let (quotient, rest) = (units / by, units % by);
    if rest.unsigned_abs() >= by.unsigned_abs() - rest.unsigned_abs() {
        quotient + if (units < 0) == (by < 0) { 1 } else { -1 }
    } else {
        quotient
    }
}

/// The four operations that are computed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

/// What is on one side of an operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operand {
    pub(crate) units: i128,
    pub(crate) scale: u8,
}

/// Computes with two numbers; the result has the scale `scale`. None where it has more digits than there can be.
pub(crate) fn compute(
    operation: Operation,
    left: Operand,
    right: Operand,
    scale: u8,
) -> Result<Option<i128>, Raised> {
    let both_at = left.scale.max(right.scale);
    let aligned = || {
        Some((
            rescale(left.units, left.scale, both_at)?,
            rescale(right.units, right.scale, both_at)?,
        ))
    };
    let is_zero = right.units == 0;
    if is_zero && matches!(operation, Operation::Divide | Operation::Modulo) {
        return Err(Raised::division_by_zero());
    }
    Ok(match operation {
        Operation::Add => {
            aligned().and_then(|(left, right)| rescale(left.checked_add(right)?, both_at, scale))
        }
        Operation::Subtract => {
            aligned().and_then(|(left, right)| rescale(left.checked_sub(right)?, both_at, scale))
        }
        Operation::Modulo => {
            aligned().and_then(|(left, right)| rescale(left.checked_rem(right)?, both_at, scale))
        }
        Operation::Multiply => {
            let product_scale = left.scale + right.scale;
            power_of_ten(product_scale.saturating_sub(scale))
                .and_then(|reduced| multiply_divide(left.units, right.units, reduced))
        }
        Operation::Divide => {
            // left/10^a ÷ right/10^b in units of 10^-s is left·10^(s-a+b) ÷ right.
            let shift = i16::from(scale) - i16::from(left.scale) + i16::from(right.scale);
            match u8::try_from(shift) {
                Ok(shift) => power_of_ten(shift)
                    .and_then(|shift| multiply_divide(left.units, shift, right.units)),
                Err(_) => None,
            }
        }
    })
}

/// `left · right ÷ by`, rounded half away from zero, with 256 bits in between.
fn multiply_divide(left: i128, right: i128, by: i128) -> Option<i128> {
    if let Some(product) = left.checked_mul(right) {
        return Some(divide_rounding(product, by));
    }
    let is_negative = (left < 0) ^ (right < 0) ^ (by < 0);
    let (high, low) = multiply(left.unsigned_abs(), right.unsigned_abs());
    let by = by.unsigned_abs();
    // Long division, a bit at a time. `by` has fewer than 127 bits, so the rest never overflows.
    let (mut quotient, mut rest) = (0_u128, 0_u128);
    for bit in (0..256_u32).rev() {
        let next = if bit >= 128 {
            (high >> (bit - 128)) & 1
        } else {
            (low >> bit) & 1
        };
        rest = (rest << 1) | next;
        if quotient >> 126 != 0 {
            return None;
        }
        quotient <<= 1;
        if rest >= by {
            rest -= by;
            quotient |= 1;
        }
    }
    if rest >= by - rest {
        quotient += 1;
    }
    let magnitude = i128::try_from(quotient).ok()?;
    Some(if is_negative { -magnitude } else { magnitude })
}

/// The upper and the lower half of a product.
fn multiply(left: u128, right: u128) -> (u128, u128) {
    const HALF: u128 = u64::MAX as u128;
    let (left_high, left_low) = (left >> 64, left & HALF);
    let (right_high, right_low) = (right >> 64, right & HALF);
    let low = left_low * right_low;
    let (one, other) = (left_low * right_high, left_high * right_low);
    let middle = (low >> 64) + (one & HALF) + (other & HALF);
    let high = left_high * right_high + (one >> 64) + (other >> 64) + (middle >> 64);
    (high, (middle << 64) | (low & HALF))
}

/// How a number loses digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounding {
    HalfAway,
    Truncate,
    Up,
    Down,
}

/// Rounds to `places` digits behind the point, which may be negative. The result has the scale `to`.
pub(crate) fn round(
    units: i128,
    scale: u8,
    places: i64,
    rounding: Rounding,
    to: u8,
) -> Option<i128> {
    let dropped = i64::from(scale) - places;
    let Ok(dropped) = u8::try_from(dropped.max(0)) else {
        return Some(0);
    };
    let Some(step) = power_of_ten(dropped) else {
        return Some(0);
    };
    let steps = match rounding {
        Rounding::HalfAway => divide_rounding(units, step),
        Rounding::Truncate => units / step,
        Rounding::Up => units.div_euclid(step) + i128::from(units.rem_euclid(step) != 0),
        Rounding::Down => units.div_euclid(step),
    };
    rescale(steps.checked_mul(step)?, scale, to)
}

/// A number as the nearest float.
pub(crate) fn to_float(units: i128, scale: u8) -> f64 {
    show(units, scale).parse().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn computed(operation: Operation, left: (i128, u8), right: (i128, u8), scale: u8) -> String {
        let operand = |(units, scale)| Operand { units, scale };
        match compute(operation, operand(left), operand(right), scale) {
            Ok(Some(units)) => show(units, scale),
            Ok(None) => "too many digits".to_owned(),
            Err(why) => why.to_string(),
        }
    }

    #[test]
    fn the_wide_form_sorts_as_the_numbers_do() {
        let numbers = [i128::MIN, -(10_i128.pow(37)), -1, 0, 1, 5, 10_i128.pow(37)];
        let encoded = numbers.map(encode);
        assert!(encoded.is_sorted());
        for (number, form) in numbers.iter().zip(&encoded) {
            assert_eq!(decode(ValueRef::Blob(form)).unwrap(), *number);
        }
    }

    #[test]
    fn products_and_quotients_are_exact_beyond_128_bits() {
        let ten = |exponent| 10_i128.pow(exponent);
        let cases = [
            (Operation::Divide, (7, 0), (2, 0), 6, "3.500000"),
            (Operation::Divide, (2, 0), (-3, 0), 6, "-0.666667"),
            (
                Operation::Divide,
                (ten(37), 0),
                (3, 0),
                1,
                "3333333333333333333333333333333333333.3",
            ),
            (
                Operation::Multiply,
                (ten(22), 12),
                (ten(22), 12),
                12,
                "100000000000000000000.000000000000",
            ),
            (Operation::Multiply, (-15, 1), (15, 1), 1, "-2.3"),
            (
                Operation::Multiply,
                (ten(37), 0),
                (ten(37), 0),
                0,
                "too many digits",
            ),
            (Operation::Modulo, (-75, 1), (2, 0), 1, "-1.5"),
            (Operation::Add, (105, 1), (1, 2), 2, "10.51"),
            (Operation::Subtract, (0, 0), (1, 2), 2, "-0.01"),
        ];
        for (operation, left, right, scale, wanted) in cases {
            assert_eq!(computed(operation, left, right, scale), wanted);
        }
        assert!(computed(Operation::Divide, (1, 0), (0, 3), 6).contains("Division by zero"));
    }

    #[test]
    fn the_long_way_agrees_with_the_short_one() {
        for (left, right, by) in [(7, 9, 2), (-7, 9, 2), (1 << 90, 3, 7), (12_345, -678, 91)] {
            let (high, low) = multiply(i128::unsigned_abs(left), i128::unsigned_abs(right));
            assert_eq!(high, 0);
            assert_eq!(low, (left * right).unsigned_abs());
            assert_eq!(
                multiply_divide(left, right, by),
                Some(divide_rounding(left * right, by))
            );
        }
        // (2^100)² ÷ 2^80 = 2^120.
        assert_eq!(multiply_divide(1 << 100, 1 << 100, 1 << 80), Some(1 << 120));
        assert_eq!(
            multiply_divide(-(1 << 100), 1 << 100, 1 << 80),
            Some(-(1 << 120))
        );
    }

    #[test]
    fn numbers_are_rounded_at_any_place() {
        let cases = [
            (Rounding::HalfAway, 25, 1, 0, "3"),
            (Rounding::HalfAway, -25, 1, 0, "-3"),
            (Rounding::HalfAway, 155, 0, -1, "160"),
            (Rounding::HalfAway, 155, 0, -50, "0"),
            (Rounding::Truncate, -199, 2, 0, "-1"),
            (Rounding::Up, -199, 2, 0, "-1"),
            (Rounding::Up, 101, 2, 0, "2"),
            (Rounding::Down, -101, 2, 0, "-2"),
        ];
        for (rounding, units, scale, places, wanted) in cases {
            assert_eq!(
                show(round(units, scale, places, rounding, 0).unwrap(), 0),
                wanted
            );
        }
    }
}
