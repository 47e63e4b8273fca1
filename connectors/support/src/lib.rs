//! What the example programs and the connectors share: the frame of a program, signals and exit codes, files of dead letters and of JSON lines, the data file of
//! an emulator, a source that reads a table by its key, tables of text, the traces of tests, and generated data.

pub mod data_file;
pub mod dice;
pub mod error_text;
pub mod keyset;
pub mod lines;
pub mod people;
pub mod person;
#[cfg(feature = "program")]
pub mod program;
pub mod rejects;
pub mod signals;
pub mod text_table;
#[cfg(feature = "trace")]
pub mod trace;
