//! `snowpipe status`: shows channels as the server sees them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use snowpipe_streaming::{ChannelStatus, OffsetToken, StreamingIngestClient};

use crate::account::{Account, duration};
use crate::names::Target;
use crate::text::{escaped_json, printable};
use crate::{Stop, code, say, signals};

/// Show channels as the server sees them
///
/// Counters start when a channel is created. ELASTIC is the elastic channel of a pipe. With --watch, stderr says when the server
/// has rejected further rows.
///
/// Exit status: 0 if every channel is healthy, 1 if one is missing or has to be reopened, 2 if the command line or the profile
/// is wrong, 3 if the server did not answer (with --watch, the last time), 4 with --fail-on-rejects if it has rejected rows.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    account: Account,

    #[command(flatten)]
    target: Target,

    /// The names of the channels, which are case-sensitive
    #[arg(required = true, value_name = "CHANNEL")]
    channels: Vec<String>,

    /// Print JSON, one array each time
    #[arg(long)]
    json: bool,

    /// Repeat at this interval, at least a second, until stopped, also if the server does not answer
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    watch: Option<Duration>,

    /// Exit with status 4 if the server has rejected rows; with --watch, as soon as it has rejected further ones
    #[arg(long)]
    fail_on_rejects: bool,
}

pub(crate) async fn run(args: Args) -> Result<u8, Stop> {
    let profile = args.account.usable_profile()?;
    let pipe = args.target.pipe(&profile)?;
    let transport = args.account.transport(Some(&profile))?;
    let stop = signals::listen()?;
    let mut client = None;
    let mut code = code::NOT_COMMITTED;
    let mut rejects = Rejects::default();
    loop {
        let found = tokio::select! {
            biased;
            () = signals::stopped(stop.clone()) => return Ok(code),
            found = async {
                let client = match &mut client {
                    Some(client) => client,
                    // The server may be unreachable when the watch begins.
                    none => {
                        let builder = StreamingIngestClient::builder(profile.clone(), pipe.clone());
                        none.insert(builder.transport(transport.clone()).build().await?)
                    }
                };
                client.channel_statuses(&args.channels).await
            } => found,
        };
        let is_read;
        (is_read, code) = match found {
            Ok(found) => {
                let has_new = rejects.look(&found, args.watch.is_some());
                let (is_read, code) = args.show(&found);
                if has_new && args.fail_on_rejects {
                    return Ok(code::REJECTS);
                }
                (is_read, code)
            }
            // A watch continues, so that the end of an outage shows.
            Err(error) if args.watch.is_some() && error.is_retryable() => {
                say::error(&error.to_string());
                (true, code::NOT_COMMITTED)
            }
            Err(error) => return Err(Stop::before(&error)),
        };
        let Some(pause) = args.watch.filter(|_| is_read) else {
            return Ok(code);
        };
        tokio::select! {
            biased;
            () = signals::stopped(stop.clone()) => return Ok(code),
            () = tokio::time::sleep(pause.max(Duration::from_secs(1))) => {}
        }
    }
}

type Found = BTreeMap<String, ChannelStatus>;

/// How many rows of each channel the server had rejected at the last look.
#[derive(Debug, Default)]
struct Rejects(Option<BTreeMap<String, u64>>);

impl Rejects {
    /// Says on stderr which channels have more rejected rows than at the last look. Returns whether one has, or, if this is the only
    /// look, whether one has any.
    fn look(&mut self, found: &Found, is_watch: bool) -> bool {
        let counts = found
            .iter()
            .map(|(name, status)| (name.clone(), status.rows_error_count()));
        let counts: BTreeMap<String, u64> = counts.collect();
        let Some(before) = self.0.replace(counts) else {
            return !is_watch && found.values().any(|status| status.rows_error_count() > 0);
        };
        let mut has_new = false;
        for (name, status) in found {
            let all = status.rows_error_count();
            // A channel that was dropped and created anew counts from zero.
            let new = all.saturating_sub(before.get(name).copied().unwrap_or_default());
            if new > 0 {
                has_new = true;
                let why = status.last_error_message().unwrap_or("no reason is given");
                say::note(&format!(
                    "{name}: {new} more rows rejected, {all} in all: {why}"
                ));
            }
        }
        has_new
    }
}

impl Args {
    /// Prints the statuses. Returns whether stdout is still open, and the exit status.
    fn show(&self, found: &Found) -> (bool, u8) {
        let text = if self.json {
            as_json(&self.channels, found)
        } else {
            as_table(&self.channels, found)
        };
        // A closed stdout ends a watch, and is not an error.
        let is_read = std::io::stdout().write_all(text.as_bytes()).is_ok();
        let is_healthy = |name| found.get(name).is_some_and(ChannelStatus::is_healthy);
        let is_fine = self.channels.iter().all(is_healthy);
        (is_read, if is_fine { code::FINE } else { code::FINDINGS })
    }
}

fn as_json(names: &[String], found: &Found) -> String {
    let text = |token: Option<&OffsetToken>| token.map(ToString::to_string);
    let channel = |name: &String| -> Value {
        let Some(status) = found.get(name) else {
            return json!({ "channel": name, "found": false });
        };
        json!({
            "channel": name,
            "found": true,
            "healthy": status.is_healthy(),
            "status_code": status.status_code(),
            "committed_offset_token": text(status.latest_committed_offset_token()),
            "rows_inserted": status.rows_inserted_count(),
            "rows_parsed": status.rows_parsed_count(),
            "rows_rejected": status.rows_error_count(),
            "last_error_message": status.last_error_message(),
            "last_error_offset_token": text(status.last_error_offset_token_upper_bound()),
            "last_error_timestamp_ms": status.last_error_timestamp().and_then(epoch_ms),
            "created_on_ms": status.created_on().and_then(epoch_ms),
            "server_latency_ms": status
                .server_avg_processing_latency()
                .and_then(|latency| u64::try_from(latency.as_millis()).ok()),
        })
    };
    let channels: Vec<_> = names.iter().map(channel).collect();
    escaped_json(&format!("{:#}\n", Value::from(channels)))
}

fn as_table(names: &[String], found: &Found) -> String {
    let header = [
        "channel",
        "status",
        "committed",
        "inserted",
        "parsed",
        "rejected",
        "latency",
    ];
    let mut rows = vec![header.map(str::to_owned)];
    let mut errors = String::new();
    for name in names {
        let Some(status) = found.get(name) else {
            let mut cells = <[String; 7]>::default();
            let [channel, status, ..] = &mut cells;
            channel.clone_from(name);
            "not found".clone_into(status);
            rows.push(cells);
            continue;
        };
        let token = status.latest_committed_offset_token();
        let latency = status.server_avg_processing_latency();
        rows.push([
            name.clone(),
            status.status_code().to_owned(),
            token.map_or_else(|| "none".to_owned(), shown),
            status.rows_inserted_count().to_string(),
            status.rows_parsed_count().to_string(),
            status.rows_error_count().to_string(),
            latency.map_or_else(String::new, |latency| format!("{latency:?}")),
        ]);
        if let Some(message) = status.last_error_message() {
            let at = status.last_error_offset_token_upper_bound();
            let at = at.map_or_else(String::new, |token| {
                format!(" (at or before {})", shown(token))
            });
            let _ = writeln!(errors, "{name}: last rejected row{at}: {message}");
        }
    }
    aligned(&rows) + &errors
}

/// A token with control characters escaped, because another program may have written it.
fn shown(token: &OffsetToken) -> String {
    printable(token.as_str(), 200)
}

fn aligned(rows: &[[String; 7]]) -> String {
    let mut widths = [0; 7];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Milliseconds since the Unix epoch.
fn epoch_ms(at: std::time::SystemTime) -> Option<u64> {
    let since = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}
