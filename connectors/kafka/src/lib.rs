//! Streams topics of Kafka into tables of Snowflake, each record once, on as many machines as you like.
//!
//! The program `snowpipe-kafka` is [`run`] with the options of [`Args`]. Its README tells how it is used.

mod cli;
#[cfg(feature = "demo")]
pub mod demo;
mod letters;
mod log;
mod member;
mod metrics;
mod owner;
mod partition;
mod place;
mod program;
mod reading;
mod row;
mod screen;
mod settings;
mod status;

pub use self::cli::Args;
pub use self::program::run;
