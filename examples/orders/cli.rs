//! The command line.

use std::path::PathBuf;

use clap::{CommandFactory, Parser};
use jiff::Timestamp;

/// Makes orders of a shop, with their items, and streams both into the tables of orders and of order items.
///
/// Without a profile the rows go to an emulator in this process. A run that was killed goes on where it was when it is
/// started again with the same arguments.
#[derive(Debug, Parser)]
#[command(name = "orders")]
pub(crate) struct Args {
    /// How many orders there are in all [default: num.orders.per.batch of the configuration]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) total_orders: Option<u64>,

    /// How many instances share them, each with two channels of its own and with its own customers
    #[arg(default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub(crate) instances: u64,

    /// The configuration, as the config.properties beside this example's source, which is the default
    #[arg(value_name = "CONFIG.PROPERTIES")]
    pub(crate) config: Option<PathBuf>,

    /// The account or server to stream to [default: profile.path of the configuration; without that, the emulator]
    #[arg(value_name = "PROFILE.JSON")]
    pub(crate) profile: Option<PathBuf>,

    /// What customers and orders are drawn from
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// How many customers there are
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) customers: u64,

    /// The time that orders are dated back from, like 2026-01-17T14:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) now: Option<Timestamp>,

    /// Keeps the emulator's tables in this file, so that a later run goes on with them [default: forgotten at the end]; with
    /// a profile, the data file of the emulator it leads to, to count what landed
    #[arg(long, value_name = "FILE")]
    pub(crate) landing: Option<PathBuf>,
}

/// What to tell somebody whose command line was not understood, or who asked for help.
pub(crate) fn explain(refused: &clap::Error) -> String {
    let text = refused.render().to_string();
    if text.contains("Usage:") {
        text
    } else {
        format!("{text}\n{}\n", Args::command().render_usage())
    }
}
