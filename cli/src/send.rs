//! `snowpipe send`: streams lines of NDJSON into a table, each exactly once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use snowpipe_streaming::ingest::{self, Finish, Progress, Report};
use snowpipe_streaming::sql::SqlClient;
use snowpipe_streaming::{ChannelStatus, Error, ErrorKind, StreamingIngestClient};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::account::{Account, duration};
use crate::dead_letters::{ChannelId, DeadLetters};
use crate::input::Input;
use crate::line::Field;
use crate::names::{Target, identifier};
use crate::row::{FileLine, Key};
use crate::source::{Lines, Meter, OnBadLine};
use crate::verify::Verifier;
use crate::{Stop, code, say, signals};

/// Send lines of NDJSON, each once
///
/// Each line is a JSON object whose keys are columns. Lines go into one channel, in order. The offset of a line is its
/// number, with several files the numbers of file and line and the count of lines in the files before, or with
/// --offset-from the value of a field. Offsets have to rise. The server keeps the last committed offset, so the same
/// command can be given again after an interruption: it skips what is committed. Give the same files in the same order,
/// of which only the last may have grown; stdin has to begin with the same line. Files in which the last committed row
/// has moved are refused.
///
/// Ctrl-C waits for commits and reports where the next run continues; a second one ends at once.
///
/// Exit status, for the whole input, including what an earlier run sent:
///   0  every row is committed
///   1  every row is committed, but the server rejected some, or lines were skipped
///   2  the command line, the profile or a file is wrong; nothing was sent
///   3  not every row is committed, or the server did not answer: give the same command again
///   4  with --verify-sql: the table does not contain what the server reports
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    account: Account,

    #[command(flatten)]
    target: Target,

    /// The channel; no other program may write to it
    #[arg(long, value_name = "NAME")]
    channel: String,

    /// Files of NDJSON, - for stdin [default: -]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The field with a row's offset: integers, or texts that are compared by their bytes; the first row decides which
    #[arg(long, value_name = "FIELD")]
    offset_from: Option<String>,

    /// What to do about a line that is not a row
    #[arg(long, value_enum, default_value_t = OnBadLine::Stop)]
    on_bad_line: OnBadLine,

    /// Append lines that are not rows, and ranges of rows of which the server rejected some, to this file as NDJSON
    #[arg(long, value_name = "FILE")]
    dead_letters: Option<PathBuf>,

    /// How long a row may wait for further rows before it is sent
    #[arg(long, value_parser = duration, default_value = "1s")]
    max_client_lag: Duration,

    /// How long a first Ctrl-C waits for commits
    #[arg(long, value_parser = duration, default_value = "60s")]
    drain_timeout: Duration,

    /// Count the table's rows and the distinct values of this unique column with SQL, before and after
    #[arg(long, value_name = "COLUMN")]
    verify_sql: Option<String>,

    /// The warehouse for the count [default: the profile's, or the user's]
    #[arg(long, value_name = "NAME", requires = "verify_sql")]
    warehouse: Option<String>,

    /// Print only errors and warnings
    #[arg(long)]
    quiet: bool,
}

pub(crate) async fn run(args: Args) -> Result<u8, Stop> {
    let profile = args.account.usable_profile()?;
    let pipe = args.target.pipe(&profile)?;
    let input = Input::open(&args.files)?;
    let channel = ChannelId::new(profile.account(), &pipe, &args.channel);
    if let Some(path) = &args.dead_letters {
        input.check_output(path)?;
    }
    let letters = DeadLetters::open(args.dead_letters.as_deref(), channel).map_err(|why| {
        let path = args.dead_letters.as_deref().unwrap_or(Path::new(""));
        Stop::misused(format!("the dead letters {}: {why}", path.display()))
    })?;
    let verifier = verifier(&args, &profile)?;
    let client = StreamingIngestClient::builder(profile.clone(), pipe)
        .transport(args.account.transport(Some(&profile))?)
        .max_client_lag(args.max_client_lag)
        .isolate_rejects(args.dead_letters.is_some())
        .build()
        .await
        .map_err(|error| Stop::before(&error))?;
    let letters = begin(&client, &args.channel, letters).await?;
    let before = match &verifier {
        Some(verifier) => Some(verifier.look(&client).await?),
        None => None,
    };
    let stop = signals::listen()?;
    let sender = Sender {
        args: &args,
        client: &client,
        stop,
        meter: Arc::default(),
    };
    let sent = sender.send(input, letters).await?;
    let code = match (verifier.zip(before), sent) {
        (None, code) => code,
        (Some(_), code::NOT_COMMITTED) => {
            say::note("the table was not counted, because not every row is committed");
            code::NOT_COMMITTED
        }
        (Some((verifier, before)), code) => {
            let compared = match verifier.look(&client).await {
                Ok(now) => verifier.compare(before, now),
                Err(stop) => Err(stop.why),
            };
            match compared {
                Ok(found) => {
                    sender.note(&format!("verified: {found}"));
                    code
                }
                Err(why) => {
                    say::error(&why);
                    code::NOT_THERE
                }
            }
        }
    };
    Ok(code)
}

fn verifier(args: &Args, profile: &snowpipe_streaming::Profile) -> Result<Option<Verifier>, Stop> {
    let Some(column) = &args.verify_sql else {
        return Ok(None);
    };
    let key = identifier(column).map_err(Stop::misused)?;
    let table = args.target.table(profile)?.ok_or_else(|| {
        Stop::misused(
            "the table of the pipe is unknown; name it with --table in addition to --pipe",
        )
    })?;
    let mut sql =
        SqlClient::builder(profile.clone()).transport(args.account.transport(Some(profile))?);
    if let Some(warehouse) = &args.warehouse {
        sql = sql.warehouse(warehouse);
    }
    let sql = sql.build().map_err(|error| Stop::before(&error))?;
    Ok(Some(Verifier::new(sql, table, key, args.channel.clone())))
}

/// Records the current count of rejects of the channel.
async fn begin(
    client: &StreamingIngestClient,
    channel: &str,
    mut letters: DeadLetters,
) -> Result<DeadLetters, Stop> {
    let statuses = client.channel_statuses([channel]).await;
    let statuses = statuses.map_err(|error| Stop::before(&error))?;
    let status = statuses.get(channel);
    let rejected = status.map_or(0, ChannelStatus::rows_error_count);
    let committed = status.and_then(ChannelStatus::latest_committed_offset_token);
    letters
        .begin(rejected, committed.map(ToString::to_string))
        .map_err(|why| Stop::misused(format!("the dead letters: {why}")))?;
    Ok(letters)
}

/// The parts of a run that do not depend on the type of its offsets.
struct Sender<'a> {
    args: &'a Args,
    client: &'a StreamingIngestClient,
    stop: watch::Receiver<bool>,
    meter: Arc<Meter>,
}

impl Sender<'_> {
    /// Finds the type of the offsets, and streams.
    async fn send(&self, mut input: Input, letters: DeadLetters) -> Result<u8, Stop> {
        let Some(field) = self.args.offset_from.clone() else {
            return if self.args.files.len() > 1 {
                self.stream::<FileLine>(input, None, letters).await
            } else {
                self.stream::<u64>(input, None, letters).await
            };
        };
        let name = field.clone();
        let peeking =
            tokio::task::spawn_blocking(move || input.peek(&name).map(|found| (input, found)));
        let peeked = tokio::select! {
            biased;
            () = signals::stopped(self.stop.clone()) => return Err(nothing_sent("stopped")),
            peeked = peeking => peeked,
        };
        let (input, found) = match peeked {
            Ok(Ok(peeked)) => peeked,
            Ok(Err(why)) => return Err(nothing_sent(&why.to_string())),
            Err(why) => return Err(nothing_sent(&why.to_string())),
        };
        match found {
            Field::Integer(_) => self.stream::<i128>(input, Some(field), letters).await,
            Field::Text(_) => self.stream::<String>(input, Some(field), letters).await,
            Field::Absent | Field::Other => Err(Stop::misused(format!(
                "no row has an integer or a text in the field {field:?} of --offset-from; field names are case-sensitive"
            ))),
        }
    }

    async fn stream<K: Key>(
        &self,
        input: Input,
        field: Option<String>,
        letters: DeadLetters,
    ) -> Result<u8, Stop> {
        let names = input.names();
        let items = input
            .start(field)
            .map_err(|why| nothing_sent(&why.to_string()))?;
        let meter = Arc::clone(&self.meter);
        let mut lines: Lines<K> = Lines::new(items, names, self.args.on_bad_line, letters, meter);
        let began = Instant::now();
        let mut last_shown: Option<Instant> = None;
        let pause = if say::is_terminal() { 200 } else { 10_000 };
        let observe = |progress: &Progress<K>| {
            let is_due = last_shown.unwrap_or(began).elapsed() >= Duration::from_millis(pause);
            if is_due && !self.args.quiet {
                last_shown = Some(Instant::now());
                say::progress(&self.line(progress, began.elapsed()));
            }
        };
        let ended = ingest::run(self.client, self.args.channel.clone(), &mut lines)
            .until(signals::stopped(self.stop.clone()))
            .drain_timeout(self.args.drain_timeout)
            .observe(observe)
            .await;
        Ok(match ended {
            Ok(report) => self.report(&report, &lines),
            Err(error) if lines.is_foreign() => {
                say::error(&error.to_string());
                code::MISUSED
            }
            Err(error) => self.failed(&error),
        })
    }

    fn line<K: Key>(&self, progress: &Progress<K>, elapsed: Duration) -> String {
        let committed = progress.committed.as_ref();
        format!(
            "{} rows, {} sent; {} committed, through {}; {} rejected; {} s",
            progress.rows_appended,
            self.size(),
            progress.rows_committed,
            committed.map_or_else(|| "nothing".to_owned(), ToString::to_string),
            progress.rows_rejected,
            elapsed.as_secs()
        )
    }

    /// The uncompressed gigabytes, the unit that Snowflake bills.
    fn size(&self) -> String {
        let bytes = self.meter.bytes.load(Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "for people to read")]
        let gigabytes = bytes as f64 / 1e9;
        format!("{gigabytes:.6} GB uncompressed")
    }

    fn report<K: Key>(&self, report: &Report<K>, lines: &Lines<K>) -> u8 {
        let skipped = self.meter.skipped.load(Ordering::Relaxed);
        if let Some(after) = &report.resumed_after {
            self.note(&format!(
                "resumed after {after}, which was committed before"
            ));
        }
        let bad_lines = match skipped {
            0 => String::new(),
            skipped => format!("; {skipped} lines skipped"),
        };
        self.note(&format!(
            "{} rows committed, {} of them rejected; {}{bad_lines}",
            report.rows_committed,
            report.rows_rejected,
            self.size()
        ));
        let through = report.released.as_ref();
        let through = through.map_or_else(|| "nothing".to_owned(), ToString::to_string);
        if let Some(why) = lines.stopped_at() {
            say::error(&format!(
                "{why}; the rows before it are committed, through {through}: fix the line and give the same command again, or add --on-bad-line skip"
            ));
            code::NOT_COMMITTED
        } else if report.finish != Finish::Exhausted || !report.uncommitted.is_empty() {
            say::note(&format!(
                "stopped; committed through {through}: the same command continues after it"
            ));
            code::NOT_COMMITTED
        } else if report.rows_rejected > 0 || skipped > 0 || lines.has_rejects() {
            self.note_earlier(report.rows_rejected == 0 && lines.has_rejects());
            code::REJECTED
        } else {
            code::FINE
        }
    }

    /// Reports what an earlier run found, if the exit status is 1 because of it.
    fn note_earlier(&self, has_rejects: bool) {
        if has_rejects {
            say::note("rows of the input were rejected by the server in an earlier run");
        }
        match self.meter.skipped_earlier.load(Ordering::Relaxed) {
            0 => {}
            skipped => say::note(&format!("{skipped} lines were skipped in an earlier run")),
        }
    }

    fn failed(&self, error: &Error) -> u8 {
        say::error(&error.to_string());
        let is_untouched = self.meter.bytes.load(Ordering::Relaxed) == 0;
        match error.kind() {
            ErrorKind::Config | ErrorKind::InvalidOffset if is_untouched => code::MISUSED,
            _ => {
                let token = error.committed_token();
                let through = token.map_or_else(
                    || "no commit is known".to_owned(),
                    |token| format!("committed through {token}"),
                );
                say::note(&format!(
                    "{through}: after a fix the same command continues after the committed rows"
                ));
                code::NOT_COMMITTED
            }
        }
    }

    fn note(&self, text: &str) {
        if !self.args.quiet {
            say::note(text);
        }
    }
}

fn nothing_sent(why: &str) -> Stop {
    Stop {
        code: code::NOT_COMMITTED,
        why: format!("nothing was sent: {why}"),
    }
}
