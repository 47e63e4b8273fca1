//! Input of every kind, over all of the emulator.

mod answers;
#[cfg(feature = "server")]
mod answers_of_rows;
mod hostile;
mod parsers;
