//! The crate's single flight of tokens.

#[path = "../../../src/auth/cache.rs"]
pub(crate) mod cache;
#[path = "../../../src/auth/flight.rs"]
pub(crate) mod flight;
