//! The command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use jiff::Timestamp;

const USAGE: &str = "orders [OPTIONS] [ORDERS] [CONFIG.PROPERTIES] [PROFILE.JSON]
       orders [OPTIONS] <ORDERS> <INSTANCES> [CONFIG.PROPERTIES] [PROFILE.JSON]";

/// Generates the orders of a shop, with their items, and streams both into the tables of orders and of order items, and the
/// customers into a third one.
///
/// Without a profile the rows go to an emulator in this process. After a kill, the same command continues where the run
/// stopped.
#[derive(Debug, Parser)]
#[command(name = "orders", override_usage = USAGE)]
pub(crate) struct Args {
    /// The number of orders [default: num.orders.per.batch of the configuration]
    #[arg(value_name = "ORDERS", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) orders: Option<u64>,

    /// A number: so many instances share the orders, each with its own channels and its own customers; else the configuration
    /// [default: a single run with the config.properties beside this example's source]
    #[arg(value_name = "INSTANCES|CONFIG.PROPERTIES")]
    second: Option<Second>,

    /// The configuration after a number of instances; else the account or server to stream to
    #[arg(value_name = "CONFIG.PROPERTIES|PROFILE.JSON")]
    third: Option<PathBuf>,

    /// The account or server to stream to [default: profile.path of the configuration; without that, the emulator]
    #[arg(value_name = "PROFILE.JSON")]
    fourth: Option<PathBuf>,

    /// The seed of customers and orders
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// The number of customers
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) customers: u64,

    /// The time before which all orders are dated, like 2026-01-17T14:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) now: Option<Timestamp>,

    /// At the end of a complete run, deletes what other writers have left in the emulator's tables: copies of a row but one,
    /// orders without items, and items without an order. For an account, sql/clean.sql does the same
    #[arg(long)]
    pub(crate) clean: bool,

    /// Keeps the emulator's tables in this file, so that a later run continues with them [default: a temporary file]; with a
    /// profile, the data file of the emulator that it leads to, to count the landed rows
    #[arg(long, value_name = "FILE")]
    pub(crate) landing: Option<PathBuf>,
}

/// The second argument.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Second {
    Instances(u64),
    Config(PathBuf),
}

impl FromStr for Second {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.parse::<i128>().is_err() {
            return Ok(Self::Config(text.into()));
        }
        match text.parse() {
            Ok(instances @ 1..=1_000) => Ok(Self::Instances(instances)),
            _ => Err("the number of instances is 1 to 1000".to_owned()),
        }
    }
}

impl Args {
    /// Reads a command line.
    ///
    /// # Errors
    /// What is wrong with it, or the help that was asked for.
    pub(crate) fn read(
        line: impl IntoIterator<Item: Into<OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        let args = Self::try_parse_from(line)?;
        if matches!(args.second, Some(Second::Config(_))) && args.fourth.is_some() {
            let why = "a single run has the number of orders, the configuration and the profile; an orchestrated one has the number of \
                       instances as its second argument";
            return Err(Self::command().error(ErrorKind::TooManyValues, why));
        }
        Ok(args)
    }

    /// How many instances share the orders. `None`: a single run.
    pub(crate) fn instances(&self) -> Option<u64> {
        match self.second {
            Some(Second::Instances(instances)) => Some(instances),
            _ => None,
        }
    }

    /// The configuration, if there is one.
    pub(crate) fn config(&self) -> Option<&Path> {
        match &self.second {
            Some(Second::Config(path)) => Some(path),
            _ => self.third.as_deref(),
        }
    }

    /// The profile, if there is one.
    pub(crate) fn profile(&self) -> Option<&Path> {
        match self.second {
            Some(Second::Config(_)) => self.third.as_deref(),
            _ => self.fourth.as_deref(),
        }
    }
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
