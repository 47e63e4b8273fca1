//! The program against a private MariaDB server and the emulator, both as processes.

#![cfg(test)]

mod cases;
mod changes;
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
mod types;
