//! A local Snowpipe Streaming server: for tests, for examples, and for programs without an account.

mod coerce;
mod datetime;
mod decimal;
pub mod landing;
pub mod tables;

pub use self::coerce::DataType;
