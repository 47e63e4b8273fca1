//! Rounds half away from zero on the decimal value, as Snowflake does.
//!
//! SQLite's own function rounds the binary value: that of 1.005 is slightly less and becomes 1.00.

use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};

/// The decimal places of every number in the reports.
const PLACES: u32 = 8;
/// Up to this value every whole number has an exact double.
const LARGEST: f64 = 9e15;

/// Replaces SQLite's `round` on a connection.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("round", 1, flags, |context| {
        Ok(number(context)?.map(|number| round(number, 0)))
    })?;
    connection.create_scalar_function("round", 2, flags, |context| {
        let places: Option<u32> = context.get(1)?;
        Ok(number(context)?
            .zip(places)
            .map(|(number, places)| round(number, places)))
    })
}

fn number(context: &Context<'_>) -> rusqlite::Result<Option<f64>> {
    context.get(0)
}

/// The number with at most this many decimal places, at most [`PLACES`], and fewer if its precision does not allow them.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "conversions between whole numbers below 2^53"
)]
pub(crate) fn round(number: f64, places: u32) -> f64 {
    let units_of = |places: u32| number * 10_i64.pow(places) as f64;
    let has_room = |places: &u32| units_of(*places).abs() <= LARGEST;
    let Some(kept) = (0..=PLACES).rev().find(has_room) else {
        return number;
    };
    // This removes the binary error of a sum or a quotient.
    let units = units_of(kept).round() as i64;
    let places = places.min(kept);
    let step = 10_i64.pow(kept - places);
    let half = step / 2 * units.signum();
    let whole = (units + half) / step;
    whole as f64 / 10_i64.pow(places) as f64
}
