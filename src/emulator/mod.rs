//! A local Snowpipe Streaming server: for tests, for examples, and for programs without an account.

mod coerce;
#[cfg(feature = "emulator-server")]
mod data_file;
mod datetime;
#[cfg(feature = "emulator-server")]
mod ddl;
mod decimal;
pub mod landing;
#[cfg(feature = "emulator-server")]
mod pipe_ddl;
#[cfg(feature = "emulator-server")]
mod script;
#[cfg(feature = "emulator-server")]
mod sqlite;
pub mod tables;

pub use self::coerce::DataType;
#[cfg(feature = "emulator-server")]
pub use self::data_file::Ddl;
#[cfg(feature = "emulator-server")]
pub use self::ddl::DdlError;
#[cfg(feature = "emulator-server")]
pub use self::sqlite::SqliteLanding;
