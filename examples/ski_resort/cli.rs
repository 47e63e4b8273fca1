//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::speed::Speed;
use crate::table::Table;
use crate::unused_flags::unused_flags;
use crate::world::STEPS_PER_DAY;

/// Generates ski-resort tickets, season passes and lift rides, and streams them into three tables.
///
/// Without --profile everything stays on this machine, and the environment has no effect: the rows go over loopback HTTP to a
/// local emulator of Snowpipe Streaming. With --profile they go to the account of the profile.
#[derive(Debug, Parser)]
#[command(name = "ski_resort")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct Args {
    /// The part of the pipeline that this process runs
    #[arg(long, value_enum, default_value_t = Only::All)]
    pub(crate) only: Only,

    /// Simulated days to generate [default: 1; with --only streamer, until the queue's generator has ended]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000), conflicts_with_all = ["duration", "forever"])]
    pub(crate) days: Option<u64>,

    /// Wall-clock time to generate for, like 90s or 5m
    #[arg(long, value_parser = duration, conflicts_with = "forever")]
    pub(crate) duration: Option<Duration>,

    /// Generate until stopped
    #[arg(long)]
    pub(crate) forever: bool,

    /// Simulated time relative to wall-clock time: turtle (120), llama (480), cheetah (960), a number, or max
    #[arg(long, default_value = "max")]
    pub(crate) speed: Speed,

    /// The seed of the simulation [default: the start's date, like 20260117]
    #[arg(long)]
    pub(crate) seed: Option<u64>,

    /// When the simulation starts [default: 2026-01-17T14:00:00Z]
    #[arg(long, value_parser = start)]
    pub(crate) start: Option<Timestamp>,

    /// The queue between generator and streamer, never deleted if given [default: `ski_resort_data/queue.db`]
    #[arg(long, value_name = "FILE")]
    pub(crate) queue: Option<PathBuf>,

    /// The emulator's tables, never deleted if given [default: beside the queue]; with --profile, the data file of the emulator
    /// that it leads to, to count the landed rows
    #[arg(long, value_name = "FILE")]
    pub(crate) landing: Option<PathBuf>,

    /// Stream to an account: a profile.json, or "env" for the SNOWFLAKE_* variables
    #[arg(long, value_name = "FILE|env")]
    pub(crate) profile: Option<ProfileSource>,

    /// How long rows may wait for more rows before they are sent
    #[arg(long, value_parser = duration, default_value = "1s")]
    pub(crate) max_client_lag: Duration,

    /// The channel's name on all three pipes [default: <table>-<queue id>]
    #[arg(long)]
    pub(crate) channel: Option<String>,

    /// The tickets' pipe [default: `RESORT_TICKET_PIPE`]
    #[arg(long, value_name = "PIPE")]
    pub(crate) resort_ticket_pipe: Option<String>,

    /// The season passes' pipe [default: `SEASON_PASS_PIPE`]
    #[arg(long, value_name = "PIPE")]
    pub(crate) season_pass_pipe: Option<String>,

    /// The lift rides' pipe [default: `LIFT_RIDE_PIPE`]
    #[arg(long, value_name = "PIPE")]
    pub(crate) lift_ride_pipe: Option<String>,

    /// How long the first Ctrl-C may take in all, with the commits that it waits for and the reconciliation
    #[arg(long, value_parser = duration, default_value = "5s")]
    pub(crate) drain_timeout: Duration,

    /// Count the landed rows over Snowflake's SQL API, in an account or in the emulator
    #[arg(long)]
    pub(crate) verify_sql: bool,

    /// The warehouse for counting and for the queries on an account's reports [default: the profile's, or the user's]
    #[arg(long, value_name = "NAME")]
    pub(crate) warehouse: Option<String>,

    /// The reports on the landed rows, which can be computed again at any time [default: beside the landing]
    #[arg(long, value_name = "FILE")]
    pub(crate) reports: Option<PathBuf>,

    /// The port of the dashboard's page on 127.0.0.1, 0 for any [default: 8214, or any if that is in use]
    #[arg(long)]
    pub(crate) port: Option<u16>,

    /// Open the page in the browser
    #[arg(long)]
    pub(crate) open: bool,

    /// No page
    #[arg(long, conflicts_with_all = ["port", "open", "serve"])]
    pub(crate) no_dashboard: bool,

    /// Whether the page stays after the run, until Ctrl-C: auto is yes on a terminal
    #[arg(long, value_enum, default_value_t = Serve::Auto)]
    pub(crate) serve: Serve,

    /// Also write the reconciliation to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) summary_json: Option<PathBuf>,
}

/// The part of the pipeline that a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Only {
    Generator,
    Streamer,
    All,
    /// No streaming: the reports of a landing, and their page.
    Reports,
}

/// Whether the page stays after the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Serve {
    Auto,
    Always,
    Never,
}

/// Where the profile is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProfileSource {
    Environment,
    File(PathBuf),
}

/// When the generator ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// After this many steps since the start.
    Step(u64),
    /// After this wall-clock time.
    Wall(Duration),
    /// When it is stopped.
    Stopped,
}

impl Args {
    /// How long commits are waited for after the first Ctrl-C: a fifth of its time is for the reconciliation.
    pub(crate) fn drain(&self) -> Duration {
        self.drain_timeout * 4 / 5
    }

    /// Reads a command line, and refuses flags without effect.
    pub(crate) fn read(
        words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let matches = command.try_get_matches_from_mut(words)?;
        let args = Self::from_arg_matches(&matches)?;
        let unused = unused_flags(&command, &matches, &args);
        if unused.is_empty() {
            return Ok(args);
        }
        Err(command.error(ErrorKind::ArgumentConflict, unused.join("\n       ")))
    }

    /// The pipe that the command line gives for a table.
    pub(crate) fn pipe(&self, table: Table) -> Option<&str> {
        match table {
            Table::ResortTicket => self.resort_ticket_pipe.as_deref(),
            Table::SeasonPass => self.season_pass_pipe.as_deref(),
            Table::LiftRide => self.lift_ride_pipe.as_deref(),
        }
    }

    /// When the generator ends.
    pub(crate) fn until(&self) -> Until {
        match (self.duration, self.days) {
            (Some(duration), _) => Until::Wall(duration),
            (None, Some(days)) => Until::Step(days * STEPS_PER_DAY),
            // A generator in another process has its own end.
            (None, None) if self.forever || self.only == Only::Streamer => Until::Stopped,
            (None, None) => Until::Step(STEPS_PER_DAY),
        }
    }
}

impl FromStr for ProfileSource {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "env" => Self::Environment,
            file => Self::File(PathBuf::from(file)),
        })
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "a duration has a number and a unit, like 500ms, 90s or 5m";
    let duration: SignedDuration = text.parse().map_err(|_| EXPECTED.to_owned())?;
    Duration::try_from(duration).map_err(|_| EXPECTED.to_owned())
}

fn start(text: &str) -> Result<Timestamp, String> {
    let start: Timestamp = text
        .parse()
        .map_err(|_| "a start is a UTC time like 2026-01-17T14:00:00Z".to_owned())?;
    if start.to_zoned(TimeZone::UTC).year() < 1 {
        return Err("a start cannot be before the year 1".to_owned());
    }
    if start.subsec_nanosecond() % 1_000 != 0 {
        return Err("a start has at most microseconds".to_owned());
    }
    Ok(start)
}
