//! Measures a member of the group beside the client alone: the same rows, from the mock cluster and from memory, into the same
//! sink, each in a separate process. Then how long the partitions of a member stand still after a kill and after a clean end.
//!
//! The sink is that of the crate's bench `end_to_end`: it discards the bodies, and refuses a request whose rows do not continue
//! those of its channel.

mod alone;
mod brokers;
mod rows;
mod sink;
mod stream;
mod takeover;
mod usage;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Measures a member of the group beside the client alone
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// How often each of the two streams the rows, in turn
    #[arg(long, default_value_t = 5)]
    pairs: u32,
    /// How many partitions, and channels, there are
    #[arg(long, default_value_t = 64)]
    partitions: u32,
    /// How many rows each partition has. A partition of the mock cluster has room for 5 MiB of compressed rows
    #[arg(long, default_value_t = 40_000)]
    rows: u64,
    /// How often a member is killed, and how often one ends
    #[arg(long, default_value_t = 3)]
    takeovers: u32,
    /// One small run of each, with the profile dev
    #[arg(long)]
    test: bool,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// The process with the brokers
    #[command(hide = true)]
    Brokers {
        pool: PathBuf,
        partitions: u32,
        rows: u64,
    },
    /// The process with the client alone
    #[command(hide = true)]
    Alone {
        pool: PathBuf,
        profile: PathBuf,
        partitions: u32,
        rows: u64,
    },
}

fn main() -> Result<()> {
    // Cargo passes this to every bench.
    let arguments = std::env::args_os().filter(|argument| argument != "--bench");
    let arguments = Arguments::parse_from(arguments);
    // The same runtime as that of `#[tokio::main]`.
    let runtime = Runtime::new()?;
    match arguments.role {
        Some(Role::Brokers {
            pool,
            partitions,
            rows,
        }) => brokers::run(&pool, partitions, rows),
        Some(Role::Alone {
            pool,
            profile,
            partitions,
            rows,
        }) => runtime.block_on(alone::run(&pool, &profile, partitions, rows)),
        None => runtime.block_on(measure(&arguments)),
    }
}

async fn measure(arguments: &Arguments) -> Result<()> {
    let folder = TempDir::new()?;
    let pool = folder.path().join("rides.ndjson");
    let (pairs, partitions, rows, takeovers) = if arguments.test {
        (1, 4, 1_000, 1)
    } else {
        let &Arguments {
            pairs,
            partitions,
            rows,
            takeovers,
            ..
        } = arguments;
        (pairs, partitions, rows, takeovers)
    };
    rows::write(&pool, rows)?;
    stream::compare(&pool, partitions, rows, pairs, arguments.test).await?;
    takeover::measure(takeovers).await
}
