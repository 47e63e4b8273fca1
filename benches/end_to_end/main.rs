//! Measures the client against a server that costs next to nothing, each in a separate process, and the cost of the work
//! without a client. `cargo bench --bench end_to_end` prints a table; `-- --help` lists the other measurements.

mod client;
mod client_process;
mod extremes;
mod figures;
mod floor;
mod grid;
mod job;
mod known;
mod lab;
mod laps;
mod machine;
mod modes;
mod official;
mod options;
mod process;
mod report;
#[path = "../../examples/ski_resort/resorts.rs"]
#[expect(
    dead_code,
    reason = "the example uses more than the lifts of its resorts"
)]
mod resorts;
mod rows;
mod sink;
mod stream;
mod table;
mod usage;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::modes::Mode;
use crate::official::OfficialArgs;
use crate::options::Options;
use crate::sink::SinkArgs;

/// Measures the client end to end
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// One property alone
    Only {
        mode: Mode,
        #[command(flatten)]
        options: Options,
    },
    /// This crate and the official SDK in turn
    Official(OfficialArgs),
    /// The process that is streamed to
    #[command(hide = true)]
    Sink(SinkArgs),
    /// The process of one run
    #[command(hide = true)]
    Client { job: String },
    /// The process of the work alone
    #[command(hide = true)]
    Floor { job: String },
    /// The process that does the same work beside a floor process
    #[command(hide = true)]
    Neighbour { pool: PathBuf },
    /// `cargo bench NAME` is for benches of that name
    #[command(external_subcommand)]
    Other(Vec<String>),
}

fn main() -> Result<()> {
    // Cargo passes this to every bench.
    let arguments = std::env::args_os().filter(|argument| argument != "--bench");
    let Arguments { part, options } = Arguments::parse_from(arguments);
    match part {
        None => {
            table::run(&options)?;
            if options.test {
                modes::test_all(&options)?;
            }
            Ok(())
        }
        Some(Part::Only { mode, options }) => modes::run(mode, &options),
        Some(Part::Official(args)) => official::run(&args),
        Some(Part::Sink(args)) => sink::run(&args),
        Some(Part::Client { job }) => client_process::run(&job),
        Some(Part::Floor { job }) => floor::run(&job),
        Some(Part::Neighbour { pool }) => floor::be_neighbour(&pool),
        Some(Part::Other(filter)) => {
            eprintln!("nothing of end_to_end is called {}", filter.join(" "));
            Ok(())
        }
    }
}
