//! Functions whose values differ from call to call: `UUID_STRING()` and `RANDOM()`.

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

use super::numbers;

/// What the compiler writes for them.
pub(crate) const UUID: &str = "sf_uuid()";
pub(crate) const RANDOM: &str = "sf_random()";
/// The digits of a random number of 64 bits.
pub(crate) const RANDOM_DIGITS: u8 = 19;

pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("sf_uuid", 0, flags, |_| {
        let bytes = fastrand::u128(..).to_be_bytes();
        Ok(uuid::Builder::from_random_bytes(bytes)
            .into_uuid()
            .to_string())
    })?;
    connection.create_scalar_function("sf_random", 0, flags, |_| {
        numbers::number(fastrand::i64(..).into(), RANDOM_DIGITS).map_err(super::scalars::raised)
    })
}

/// How many such calls an expression has.
pub(crate) fn calls(sql: &str) -> usize {
    [UUID, RANDOM]
        .iter()
        .map(|call| sql.matches(call).count())
        .sum()
}
