//! The server that a client is measured against, as a separate process. It discards what it receives, but checks that no row
//! is missing or repeated.
//!
//! It speaks what this crate and the official SDK 1.9.1 need of the service, over TLS 1.3 on loopback. The offset tokens of a row
//! are its number in the channel, from 0. A request is refused whose rows do not continue those of the channel, or whose body is
//! too short for them; otherwise what is sent is thrown away. With `--check FILE` every body is decompressed, the files of the
//! official SDK are decrypted as well, and each row is compared with the one that its number stands for.
//!
//! On its standard output it says first where it is:
//!
//! ```json
//! {"url":"https://127.0.0.1:40123","ca":"/tmp/x/ca.pem","profile":"/tmp/x/profile.json"}
//! ```
//!
//! Then a line `stats` on its standard input is answered with what was counted since the start or the last `reset`, and
//! `reset` with `{}`. It ends with its input.

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
use snowpipe_streaming::emulator::Emulator;

use self::judge::Pool;
use self::requests::Service;
use self::socket::Tls;
use self::state::State;

/// How the sink behaves.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SinkArgs {
    /// How long an answer to rows, files and uploads takes
    #[arg(long, default_value_t = 0)]
    pub(crate) delay_ms: u64,
    /// How long after its acceptance a request's end token is the committed one
    #[arg(long, default_value_t = 0)]
    pub(crate) commit_ms: u64,
    /// Read the rows, and refuse a request in which they are not those of this file
    #[arg(long)]
    pub(crate) check: Option<PathBuf>,
}

/// Serves until the standard input ends.
///
/// # Errors
///
/// If it cannot listen, cannot write its files, or is told something it does not know.
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
    // Of the emulator only its key is used.
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
    // Ends with the process, or the process with it.
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
