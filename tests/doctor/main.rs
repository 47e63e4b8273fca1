//! Faults that are planted one by one: the doctor finds each at the right check, names its remedy, and reveals no secret.
#![expect(
    clippy::expect_used,
    reason = "a test that cannot go on says what it lacks"
)]

mod server;
mod way;
mod world;
