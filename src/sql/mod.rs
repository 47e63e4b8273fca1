//! Statements over Snowflake's SQL API: a small client to look at what has landed.
//!
//! It logs in as the streaming client does. A statement is submitted, waited for, and its rows come back as text. Meant for
//! checks, such as [`SqlClient::count`]; a result that Snowflake hands out in several partitions is refused.
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
pub use self::names::TableName;
