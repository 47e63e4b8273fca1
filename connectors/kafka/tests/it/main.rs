//! Members as processes, on the mock cluster and the emulator. Each test compares the table with what was produced, by partition
//! and offset.

mod chaos;
mod logs;
mod membership;
mod records;
mod world;
