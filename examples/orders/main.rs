//! Several instances generate the orders of a shop and their items, and stream them into two related tables: each row exactly
//! once, and no order without its items or items without their order, even if the program is killed many times.

mod belonging;
mod catalogue;
mod clean;
mod cli;
mod config;
mod customer_rows;
mod customers;
mod generator;
mod instance;
mod landing;
mod meter;
mod model;
mod money;
mod numbers;
mod offsets;
mod orchestrate;
mod pace;
mod pauses;
mod plan;
mod profile;
mod report;
mod rows;
mod source;
mod table;
mod target;

#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use jiff::tz::Offset;
use snowpipe_connector_support::error_text::with_causes;
use snowpipe_connector_support::signals::{self, INTERRUPTED};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::cli::Args;
use crate::config::Config;
use crate::instance::Instance;
use crate::orchestrate::{Job, Outcome};
use crate::report::Report;
use crate::table::Table;
use crate::target::Target;

const FAILED: u8 = 1;

// More threads than most machines have cores: the emulator in this process works on the threads of the requests, one at a time,
// and the others wait for it. With a thread left, other streams continue meanwhile.
#[tokio::main(worker_threads = 8)]
async fn main() -> ExitCode {
    let args = match Args::read(std::env::args_os()) {
        Ok(args) => args,
        // An error while writing to the terminal cannot be reported.
        Err(refused) if refused.use_stderr() => {
            let _ = write!(io::stderr(), "{}", cli::explain(&refused));
            return ExitCode::from(FAILED);
        }
        Err(help) => {
            let _ = write!(io::stdout(), "{}", cli::explain(&help));
            return ExitCode::SUCCESS;
        }
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    // The run continues without a terminal.
    let mut print = |line: &str| drop(writeln!(io::stdout(), "{line}"));
    let result = match signals::listen() {
        Ok(stop) => run(args, stop, &mut print).await,
        Err(error) => Err(error),
    };
    ExitCode::from(result.unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "error: {}", with_causes(error.as_ref()));
        FAILED
    }))
}

/// Streams and reconciles, prints its progress line by line, and returns the exit code.
async fn run(args: Args, stop: watch::Receiver<bool>, print: &mut impl FnMut(&str)) -> Result<u8> {
    let config = Arc::new(Config::load(args.config())?);
    let target = match args.profile().or(config.profile.as_deref()) {
        Some(profile) => Target::account(profile, &config, args.landing.clone())?,
        None => Target::emulator(&config, args.landing.clone())?,
    };
    let now = args.now.unwrap_or_else(Timestamp::now);
    if args.clean && target.landing.is_none() {
        bail!(
            "--clean needs the emulator's tables: add --landing, or run sql/clean.sql in the account"
        );
    }
    let job = Job {
        orders: args.orders.unwrap_or(config.total_orders),
        instances: args.instances(),
        customers: args.customers,
        seed: args.seed,
        now: Offset::UTC.to_datetime(now),
    };
    let instances = tokio::task::spawn_blocking(move || orchestrate::instances(job)).await?;
    print(&format!(
        "streaming {} orders to {}, schema {}.{}, {}",
        job.orders,
        target.name()?,
        target.schema.database,
        target.schema.name,
        match job.instances {
            Some(instances) => format!("instances: {instances}"),
            None => "a single run".to_owned(),
        }
    ));
    let clients = target.clients(&config).await?;
    belonging::check(&instances, &clients, &config, &target).await?;
    let show = || print(&progress(&instances));
    let outcome = orchestrate::run(&instances, &clients, &config, &stop, show).await;
    print(&speed(&outcome, &instances));
    // Before the report, which needs the server: the server may be the reason of the failure.
    for (channel, error) in &outcome.failures {
        print(&format!(
            "failed: {channel}: {}",
            with_causes(error.as_ref())
        ));
    }
    let reconcile = async || {
        let report = Report::new(&instances, &clients, &config, &target).await;
        report.context("the rows cannot be reconciled")
    };
    let mut report = reconcile().await?;
    print(&format!("\n{report}"));
    if args.clean
        && report.is_committed()
        && let Some(landing) = target.landing.clone()
    {
        let schema = target.schema.clone();
        let cleaned =
            tokio::task::spawn_blocking(move || clean::clean(&landing, &schema)).await??;
        print(&format!("{cleaned}"));
        report = reconcile().await?;
        print(&format!("\n{report}"));
    }
    clients.close().await;
    if !outcome.failures.is_empty() {
        print(
            "some channels failed: these counts are not final, the server may still commit rows of these channels",
        );
    }
    Ok(if !outcome.failures.is_empty() {
        FAILED
    } else if outcome.interrupted {
        print(if target.is_kept() {
            "interrupted; the same command continues"
        } else {
            "interrupted; the same command starts over, because the tables were not kept: --landing FILE keeps them"
        });
        INTERRUPTED
    } else if report.is_exact() {
        print("every row is in its table, exactly once");
        0
    } else {
        print("the tables are not correct");
        FAILED
    })
}

fn progress(instances: &[Instance]) -> String {
    let sum = |of: fn(&Instance) -> u64| instances.iter().map(of).sum::<u64>();
    format!(
        "Progress: {}/{} orders streamed ({} order items)",
        sum(|i| i.meter(Table::Orders).committed()),
        sum(|i| i.rows(Table::Orders)),
        sum(|i| i.meter(Table::OrderItems).committed()),
    )
}

fn speed(outcome: &Outcome, instances: &[Instance]) -> String {
    let streamed = instances.iter().map(|i| i.meter(Table::Orders).new_rows());
    let streamed: u64 = streamed.sum();
    let millis = outcome.elapsed.max(Duration::from_millis(1)).as_millis();
    format!(
        "{streamed} orders in {:.1} s, {} orders/s",
        outcome.elapsed.as_secs_f64(),
        u128::from(streamed) * 1_000 / millis
    )
}
