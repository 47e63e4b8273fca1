//! Statements over Snowflake's SQL API: a small client for checks of what has landed.
//!
//! The client logs in like the streaming client, submits a statement, waits for it, and returns its rows as text. It is meant
//! for checks such as [`SqlClient::count`]. Results with several partitions are refused.
//!
//! ```no_run
//! use snowpipe_streaming::Profile;
//! use snowpipe_streaming::sql::{SqlClient, TableName};
//! # async fn example() -> snowpipe_streaming::Result<()> {
//! let sql = SqlClient::builder(Profile::from_file("profile.json")?).warehouse("CHECKS").build()?;
//! let table = TableName::new("RESORT", "PUBLIC", "LIFT_RIDE")?;
//! let counts = sql.count(&table, Some("TXID")).await?;
//! assert_eq!(Some(counts.rows), counts.distinct);
//! # Ok(()) }
//! ```

mod client;
mod names;

#[cfg(test)]
mod tests;

pub use self::client::{Counts, Rows, SqlClient, SqlClientBuilder, Statement};
pub use self::names::{TableName, identifiers};
