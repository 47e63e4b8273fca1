//! The changes of tables, read from the binary log, each one once.
//!
//! A change has an offset: the file and the position where its transaction begins, and its number among the rows of that
//! transaction that belong to the source's tables. A source continues after any offset, because it can be placed where the
//! transaction begins and can count from there. So a channel's tables must not change; a channel for each table is simplest.
//!
//! What the log does not say exactly stops the source with an error that names the remedy: see [`Stopped`](error::Stopped).

mod change;
mod error;
mod layout;
mod log;
mod place;
mod preflight;
mod source;
mod statement;
mod transactions;

pub(crate) use self::change::COLUMNS;
#[allow(unused_imports, reason = "the tests of the package use it")]
pub(crate) use self::change::Change;
pub(crate) use self::error::ChangesError;
#[allow(unused_imports, reason = "the tests of the package use it")]
pub(crate) use self::place::Offset;
pub(crate) use self::place::{Place, Start};
#[allow(unused_imports, reason = "the tests of the package use it")]
pub(crate) use self::preflight::preflight;
pub(crate) use self::preflight::{check, end_of_log, start};
pub(crate) use self::source::Changes;
