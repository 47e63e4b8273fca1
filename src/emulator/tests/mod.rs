//! Input of every kind, over all of the emulator.

mod hostile;
mod parsers;
