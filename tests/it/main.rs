//! The crate as its users see it: rings 1 and 2 of the tests.

mod channel;
mod contract;
mod protocol;
mod stage;
mod support;
mod tls;
