//! The command line.

use std::path::PathBuf;

use clap::{CommandFactory, Parser};
use jiff::Timestamp;

/// Generates the orders of a shop, with their items, and streams both into the tables of orders and of order items.
///
/// Without a profile the rows go to an emulator in this process. After a kill, the same command continues where the run
/// stopped.
#[derive(Debug, Parser)]
#[command(name = "orders")]
pub(crate) struct Args {
    /// The total number of orders [default: num.orders.per.batch of the configuration]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) total_orders: Option<u64>,

    /// The number of instances, each with its own two channels and its own customers
    #[arg(default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub(crate) instances: u64,

    /// The configuration [default: the config.properties beside this example's source]
    #[arg(value_name = "CONFIG.PROPERTIES")]
    pub(crate) config: Option<PathBuf>,

    /// The account or server to stream to [default: profile.path of the configuration; without that, the emulator]
    #[arg(value_name = "PROFILE.JSON")]
    pub(crate) profile: Option<PathBuf>,

    /// The seed of customers and orders
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// The number of customers
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) customers: u64,

    /// The time before which all orders are dated, like 2026-01-17T14:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) now: Option<Timestamp>,

    /// Keeps the emulator's tables in this file, so that a later run continues with them [default: a temporary file]; with a
    /// profile, the data file of the emulator that it leads to, to count the landed rows
    #[arg(long, value_name = "FILE")]
    pub(crate) landing: Option<PathBuf>,
}

/// The text for a command line that is not valid, or for `--help`.
pub(crate) fn explain(error: &clap::Error) -> String {
    let text = error.render().to_string();
    if text.contains("Usage:") {
        text
    } else {
        format!("{text}\n{}\n", Args::command().render_usage())
    }
}
