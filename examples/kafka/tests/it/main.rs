//! Members as processes, on the mock cluster and the emulator. Each test compares the table with what was produced, by partition
//! and offset.

#[path = "../../src/demo/cluster.rs"]
mod cluster;
#[path = "../../src/demo/landing.rs"]
mod landing;
#[path = "../../src/demo/process.rs"]
mod process;

mod chaos;
mod logs;
mod membership;
mod records;
mod world;
