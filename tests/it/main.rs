//! The crate as its users see it: rings 1 and 2 of the tests.

mod bad_input;
mod channel;
mod compiles;
mod contract;
mod protocol;
mod secrets;
mod stage;
mod support;
mod tls;
