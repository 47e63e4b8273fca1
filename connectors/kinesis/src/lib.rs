//! Streams records of Kinesis into Snowflake, each once, and loads the same records in micro-batches beside it.
//!
//! The program `snowpipe-kinesis` is [`run`] with the options of [`Arguments`]. Its README tells how it is used. The public modules are
//! what the demo and its tests are made of.

mod batching;
pub mod bucket;
mod cli;
mod compare;
pub mod csv;
mod cursor;
pub mod demo;
mod discovery;
mod letters;
mod lineage;
mod loading;
mod producer;
mod say;
pub mod sensor;
pub mod sequence;
mod stopping;
pub mod stream;
mod streaming;

use anyhow::Result;
use tokio::sync::watch;

pub use self::cli::Arguments;
use self::cli::Command;

/// Runs a command until its end, or until `stop` is true. Returns whether everything that was asked for is done and in order.
///
/// # Errors
/// If the stream, the bucket, the account or a file fails, with the remedy where there is one.
pub async fn run(arguments: Arguments, stop: watch::Receiver<bool>) -> Result<bool> {
    match arguments.command {
        Command::Stream(args) => streaming::run(args, stop).await,
        Command::Batch(args) => batching::run(&args, stop).await,
        Command::Load(args) => loading::run(args, stop).await,
        Command::Compare(args) => compare::run(args).await,
        Command::Produce(args) => producer::run(&args, stop).await,
    }
}
