//! The arguments of a function in the forms that the compiler gives them, and results in the same forms.

use rusqlite::functions::Context;
use rusqlite::types::{Value, ValueRef};

use super::numbers;
use super::raised::Raised;

/// The text that SQLite has in place of the float that it does not have.
const NAN: &str = "NaN";

/// What a function computes.
pub(crate) type Outcome = Result<Value, Raised>;

pub(crate) fn text<'a>(context: &'a Context<'_>, position: usize) -> Result<&'a str, Raised> {
    match context.get_raw(position) {
        ValueRef::Text(bytes) => {
            str::from_utf8(bytes).map_err(|_| Raised::internal("a text that is not UTF-8"))
        }
        _ => Err(Raised::internal("a text in another form")),
    }
}

pub(crate) fn whole(context: &Context<'_>, position: usize) -> Result<i64, Raised> {
    match context.get_raw(position) {
        ValueRef::Integer(number) => Ok(number),
        _ => Err(Raised::internal("an integer in another form")),
    }
}

/// A count of digits, which the compiler writes.
pub(crate) fn digits(context: &Context<'_>, position: usize) -> Result<u8, Raised> {
    u8::try_from(whole(context, position)?).map_err(|_| Raised::internal("a count of digits"))
}

pub(crate) fn units(context: &Context<'_>, position: usize) -> Result<i128, Raised> {
    numbers::decode(context.get_raw(position))
}

pub(crate) fn float(context: &Context<'_>, position: usize) -> Result<f64, Raised> {
    float_of(context.get_raw(position))
}

pub(crate) fn float_of(value: ValueRef<'_>) -> Result<f64, Raised> {
    match value {
        ValueRef::Real(number) => Ok(number),
        // A whole number that SQLite keeps as such in a column of floats is read back as a float; this is for literals.
        ValueRef::Integer(number) => Ok(numbers::to_float(number.into(), 0)),
        ValueRef::Text(bytes) if bytes == NAN.as_bytes() => Ok(f64::NAN),
        _ => Err(Raised::internal("a float in another form")),
    }
}

/// A float; NaN is a text, which SQLite sorts behind all numbers, as Snowflake does.
pub(crate) fn real(number: f64) -> Value {
    if number.is_nan() {
        Value::Text(NAN.to_owned())
    } else {
        Value::Real(number)
    }
}

pub(crate) fn boolean(is: bool) -> Value {
    Value::Integer(is.into())
}

pub(crate) fn integer(number: usize) -> Outcome {
    i64::try_from(number)
        .map(Value::Integer)
        .map_err(|_| Raised::internal("a count"))
}

/// What a function for TRY_ gives: NULL for a value that is not recognized, and errors of other kinds.
pub(crate) fn or_null(outcome: Outcome) -> Outcome {
    match outcome {
        Err(why) if why.is_unsupported() => Err(why),
        Err(_) => Ok(Value::Null),
        found => found,
    }
}
