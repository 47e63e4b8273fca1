//! Input of every kind, over all of the emulator.

mod answers;
mod hostile;
mod parsers;
