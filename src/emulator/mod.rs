//! A local Snowpipe Streaming server: for tests, for examples, and for programs without an account.

pub mod landing;
pub mod tables;
