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

pub use self::change::{COLUMNS, Change, Operation};
pub use self::error::{ChangesError, Stopped};
pub use self::place::{NoStart, Offset, Place, Start};
pub use self::preflight::{check, end_of_log, preflight, start};
pub use self::source::Changes;
