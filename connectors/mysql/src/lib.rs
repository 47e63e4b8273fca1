//! Copies tables of MariaDB into Snowflake and follows their changes, each row once.
//!
//! The program `snowpipe-mysql` is [`run`] with the options of [`Arguments`]. Its README tells how it is used. The modules are the parts
//! of which it is made: reading tables and the log of changes ([`changes`]), and what their columns become in Snowflake ([`sql`],
//! [`types`]).

pub mod changes;
mod cli;
pub mod connection;
mod copy;
mod ddl;
mod demo;
mod key;
mod load;
mod pages;
mod people_pages;
mod plan;
mod program;
mod quality;
pub mod schema;
pub mod sql;
mod target;
pub mod types;
pub mod value;

pub use self::cli::Arguments;
pub use self::demo::run as demo;
pub use self::program::run;
