//! The program against a private MariaDB server and the emulator, both as processes.

#![cfg(test)]

#[path = "../../src/changes/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use a part of it")]
mod changes;
#[path = "../../src/connection.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use a part of it")]
mod connection;
#[path = "../../src/schema.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use a part of it")]
mod schema;
#[path = "../../src/sql/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use a part of it")]
mod sql;
#[path = "../../src/types/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use a part of it")]
mod types;
#[path = "../../src/value.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use a part of it")]
mod value;

mod cases;
#[path = "changes.rs"]
mod changes_tests;
mod copying;
mod faults;
mod following;
mod kills;
mod program;
mod proxy;
mod refusals;
mod server;
mod tls;
mod traps;
#[path = "types.rs"]
mod types_tests;
