//! An HTTP service that streams what it receives: each request appends its rows to one channel of Snowpipe Streaming.
//!
//! ```sh
//! cargo run --example http_service
//! curl --json '{ "ID": 1, "LIFT": "Elkhorn" }' http://127.0.0.1:8090/rides
//! curl --json '{ "ID": 2, "LIFT": "Larkspur" }' 'http://127.0.0.1:8090/rides?wait=commit'
//! ```
//!
//! Without `--profile` the rows go to the emulator, in memory. `--profile` streams to an account that has the table of
//! [`TABLE`]. The service has no login and needs one in front: see `service.rs`. Ctrl-C ends it when the requests under way are
//! answered and their rows are committed.

mod service;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use snowpipe_connector_support::signals;
use snowpipe_streaming::{ClientBuilder, PipePath, Profile, StreamingIngestClient};
use snowpipe_streaming_emulator::Emulator;
use snowpipe_streaming_emulator::tables::Catalog;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

const TABLE: &str = "CREATE TABLE RESORT.PUBLIC.LIFT_RIDE (ID NUMBER NOT NULL, LIFT VARCHAR)";
/// How long a request waits for memory before it is answered with 503.
const PATIENCE: Duration = Duration::from_secs(2);
const FAILED: u8 = 1;

/// An HTTP service that appends the rows it receives to one channel.
#[derive(Debug, Parser)]
#[command(name = "http_service")]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,

    /// Stream to an account: a profile.json, or "env" for the SNOWFLAKE_* variables
    #[arg(long, value_name = "FILE|env")]
    profile: Option<PathBuf>,

    /// The channel; each instance of the service needs another name
    #[arg(long, default_value = "http-service-0")]
    channel: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

async fn run(args: Args) -> Result<()> {
    let mut stopped = signals::listen()?;
    let client = match &args.profile {
        Some(profile) => account(profile)?,
        None => local(&emulator()?)?,
    };
    let client = client.append_timeout(PATIENCE).build().await?;
    let rides = client.open_untracked_channel(args.channel).await?;
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    println!("listening on http://{}/rides", listener.local_addr()?);
    let stop = async move {
        // An error means that no signal can come any more.
        if stopped.wait_for(|stopped| *stopped).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let report = service::serve(listener, rides.into_sender(), stop).await?;
    client.close().await?;
    println!("stopped: {} rows committed", report.rows_committed);
    Ok(())
}

/// An emulator with the table.
fn emulator() -> Result<Emulator> {
    let catalog = Catalog::from_ddl(TABLE)?;
    Ok(Emulator::builder().catalog(catalog).build()?)
}

/// A client of the emulator.
fn local(emulator: &Emulator) -> Result<ClientBuilder> {
    Ok(builder(emulator.profile()?)?.transport(emulator.transport()))
}

/// A client of the account that a profile leads to.
fn account(profile: &Path) -> Result<ClientBuilder> {
    builder(if profile == Path::new("env") {
        Profile::from_env()?
    } else {
        Profile::from_file(profile)?
    })
}

fn builder(profile: Profile) -> Result<ClientBuilder> {
    let database = profile.database().unwrap_or("RESORT");
    let schema = profile.schema().unwrap_or("PUBLIC");
    let pipe = PipePath::for_table(database, schema, "LIFT_RIDE")?;
    Ok(StreamingIngestClient::builder(profile, pipe))
}
