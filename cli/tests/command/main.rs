//! The `snowpipe` program against an emulator: what it sends, says, keeps and ends with.
#![expect(
    clippy::expect_used,
    reason = "a test that cannot go on says what it lacks"
)]

mod bad_lines;
mod conformance;
mod files;
mod send;
mod show;
mod world;
