//! The server that a client is measured against, as a separate process. It discards what it receives, but checks that no row
//! is missing or repeated.
//!
//! It implements the part of the service's protocol that this crate and the official SDK 1.9.1 use, over TLS 1.3 on loopback.
//! The offset token of a row is its number in the channel, from 0. A request is refused if its rows do not continue those of the
//! channel, or if its body is too short for them; otherwise its body is discarded. With `--check FILE` every body is
//! decompressed, the files of the official SDK are decrypted as well, and each row is compared with the row of its number.
//!
//! It first prints its address:
//!
//! ```json
//! {"url":"https://127.0.0.1:40123","ca":"/tmp/x/ca.pem","profile":"/tmp/x/profile.json"}
//! ```
//!
//! Then it answers each line `stats` on its standard input with its counters since the start or the last `reset`, and each
//! line `reset` with `{}`. It ends when its input ends.

mod account;
mod files;
pub(crate) mod judge;
pub(crate) mod requests;
mod socket;
pub(crate) mod state;

use std::io::{BufRead as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use snowpipe_streaming_emulator::Emulator;

use self::judge::Pool;
use self::requests::Service;
use self::socket::Tls;
use self::state::State;

/// The options of the sink.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SinkArgs {
    /// The latency of answers to rows, files and uploads
    #[arg(long, default_value_t = 0)]
    pub(crate) delay_ms: u64,
    /// The time from accepting a request to committing it
    #[arg(long, default_value_t = 0)]
    pub(crate) commit_ms: u64,
    /// Read the rows, and refuse requests whose rows are not those of this file
    #[arg(long)]
    pub(crate) check: Option<PathBuf>,
}

/// Serves until the standard input ends.
///
/// # Errors
///
/// If it cannot listen, cannot write its files, or reads an unknown command.
pub(crate) fn run(args: &SinkArgs) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    let url = format!("https://{}", listener.local_addr()?);
    let tls = Tls::generate()?;
    let files = tempfile::tempdir().context("there is no room for the sink's files")?;
    let (ca, profile) = (
        files.path().join("ca.pem"),
        files.path().join("profile.json"),
    );
    std::fs::write(&ca, tls.certificate_pem())?;
    // Only the emulator's key is used.
    let emulator = Emulator::builder().build()?;
    std::fs::write(&profile, emulator.profile_json(&url))?;

    let state = Arc::new(State::new(Duration::from_millis(args.commit_ms)));
    let service = Service {
        state: state.clone(),
        delay: Duration::from_millis(args.delay_ms),
        pool: args
            .check
            .as_deref()
            .map(Pool::read)
            .transpose()?
            .map(Arc::new),
    };
    listener.set_nonblocking(true)?;
    // Runs until the process ends.
    thread::spawn(move || {
        if let Err(why) = socket::serve(listener, &tls, &service) {
            eprintln!("the sink cannot serve any more: {why}");
            std::process::exit(1);
        }
    });

    say(&json!({ "url": url, "ca": ca, "profile": profile }))?;
    for line in std::io::stdin().lock().lines() {
        match line?.trim() {
            "stats" => say(&state.stats())?,
            "reset" => {
                state.reset();
                say(&json!({}))?;
            }
            other => bail!("the sink knows stats and reset, not {other:?}"),
        }
    }
    Ok(())
}

fn say(line: &Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
