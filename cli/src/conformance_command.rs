//! `snowpipe conformance`: finds out how an account behaves, and compares reports.

use std::fs::{self, File};
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use snowpipe_cli::conformance::{self, Experiment, Options, Progress, Report, Soak};
use snowpipe_streaming::Profile;

use crate::account::{Account, duration};
use crate::files::read_text;
use crate::text::escaped_json;
use crate::{DOCTOR, Stop, code, names, say, signals};

/// Find out how an account behaves where Snowflake's documentation is silent
///
/// Creates a schema in a database, carries out experiments in it, and drops it, also after Ctrl-C. Before it starts it
/// prints what it needs, and asks. Prints for each point what was expected and what was seen. The report has no secrets and no
/// names of the account's objects.
///
/// With --soak it streams rows with known keys through a proxy in this process that cuts, delays and refuses connections, through
/// expired tokens, crashes and a second writer, and then counts them by SQL. It does not work through another proxy.
///
/// Exit status: 0 if everything is as expected, 1 if something differs or could not be found out, 2 if the command line or the
/// profile is wrong, 3 if the run could not begin.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(crate) struct Args {
    #[command(flatten)]
    account: Account,

    /// The database to create the schema in
    #[arg(long, value_name = "NAME", required_unless_present_any = ["list", "compare"])]
    database: Option<String>,

    /// Write the report to this file; an existing one is an error
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,

    /// Carry out only these experiments
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    only: Vec<String>,

    /// Carry out each experiment this often; an answer that was seen once is unsure
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=10))]
    runs: u32,

    /// Do not ask before the run, and before the schemas of killed runs are dropped
    #[arg(long)]
    yes: bool,

    /// List the experiments
    #[arg(long)]
    list: bool,

    /// Print what a run would do, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Print the statements to carry out before a run with --schema
    #[arg(long, requires = "schema", conflicts_with = "dry_run")]
    print_sql: bool,

    /// Use this schema, in which the statements of --print-sql were carried out, and carry out no statement: experiments that need
    /// statements are skipped
    #[arg(long, value_name = "NAME")]
    schema: Option<String>,

    /// Instead of the experiments, stream rows through faults for this long and count them
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with_all = ["only", "list", "schema", "compare"])]
    soak: Option<Duration>,

    /// With --soak, the rows a second of each of the three writers
    #[arg(long, value_name = "NUMBER", default_value_t = 100, requires = "soak", value_parser = clap::value_parser!(u64).range(10..=100_000))]
    rate: u64,

    /// With --soak, the seed of the faults
    #[arg(long, value_name = "NUMBER", requires = "soak")]
    seed: Option<u64>,

    /// With --soak, write the latencies as a picture
    #[arg(long, value_name = "FILE.svg", requires = "soak")]
    picture: Option<PathBuf>,

    /// Compare two reports
    #[arg(long, value_names = ["OLD.json", "NEW.json"], num_args = 2, conflicts_with_all = ["database", "list", "dry_run"])]
    compare: Vec<PathBuf>,

    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> Result<u8, Stop> {
    if let [before, after] = args.compare.as_slice() {
        return compare(before, after);
    }
    if args.list {
        print(&list());
        return Ok(code::FINE);
    }
    let database =
        names::identifier(args.database.as_deref().unwrap_or_default()).map_err(Stop::misused)?;
    let schema = args.schema.as_deref().map(names::identifier).transpose();
    let schema = schema.map_err(Stop::misused)?;
    let profile = args.account.usable_profile()?;
    if let (true, Some(schema)) = (args.print_sql, &schema) {
        let statements = conformance::statements(&database, schema, args.runs);
        print(&(statements.join(";\n") + ";\n"));
        return Ok(code::FINE);
    }
    let mut options = Options::new(&database)
        .only(&args.only)
        .runs(args.runs)
        .http(args.account.http(Some(&profile))?)
        .on_progress(progress);
    if let Some(schema) = &schema {
        options = options.prepared_schema(schema);
    }
    let plan = plan(&args, &profile, &database)?;
    if args.dry_run {
        print(&plan);
        return Ok(code::FINE);
    }
    if !args.yes && !agrees(&plan)? {
        return Err(Stop::misused("nothing was done"));
    }
    let out = args.out.as_deref().map(Output::create).transpose()?;
    let picture = args.picture.as_deref().map(Output::create).transpose()?;
    if schema.is_none() {
        tidy(&profile, &options, args.yes).await?;
    }
    let stop = signals::listen()?;
    if let Some(length) = args.soak {
        let stop = signals::stopped(stop);
        return soak(&args, length, &profile, &options, out, picture, stop).await;
    }
    let report = conformance::run(&profile, &options, signals::stopped(stop)).await;
    let report = report.map_err(|error| not_begun(&error))?;
    show(&args, &report, &report.to_string(), out)?;
    Ok(if report.is_as_expected() {
        code::FINE
    } else {
        code::FINDINGS
    })
}

async fn soak(
    args: &Args,
    length: Duration,
    profile: &Profile,
    options: &Options,
    out: Option<Output<'_>>,
    picture: Option<Output<'_>>,
    stop: impl Future<Output = ()> + Send,
) -> Result<u8, Stop> {
    let mut soak = Soak::new(length);
    soak.rate = args.rate;
    soak.seed = args.seed.unwrap_or(soak.seed);
    let report = conformance::soak(profile, options, &soak, stop).await;
    let report = report.map_err(|error| not_begun(&error))?;
    show(args, &report, &report.to_string(), out)?;
    if let Some(picture) = picture {
        picture.write(&report.picture())?;
    }
    Ok(if report.is_exact() && report.left_behind.is_empty() {
        code::FINE
    } else {
        code::FINDINGS
    })
}

/// Prints a report, and writes it to the file for it.
fn show(
    args: &Args,
    report: &impl serde::Serialize,
    text: &str,
    out: Option<Output<'_>>,
) -> Result<(), Stop> {
    let json = serde_json::to_string_pretty(report).unwrap_or_default() + "\n";
    if args.json {
        print(&escaped_json(&json));
    } else {
        print(&format!("{text}\n"));
    }
    out.map_or(Ok(()), |out| out.write(&json))
}

/// A file that is created before the run, so that a result of hours has a place. It is removed again if nothing is written.
struct Output<'a> {
    path: &'a Path,
    file: Option<File>,
}

impl<'a> Output<'a> {
    fn create(path: &'a Path) -> Result<Self, Stop> {
        let file = File::create_new(path).map_err(|why| {
            let path = path.display();
            Stop::misused(match why.kind() {
                io::ErrorKind::AlreadyExists => format!("{path} exists: choose another file"),
                _ => format!("{path} cannot be created: {why}"),
            })
        })?;
        Ok(Self {
            path,
            file: Some(file),
        })
    }

    fn write(mut self, text: &str) -> Result<(), Stop> {
        let mut file = self.file.take();
        let written = file.as_mut().map(|file| file.write_all(text.as_bytes()));
        written.transpose().map(|_| ()).map_err(|why| Stop {
            code: code::NOT_COMMITTED,
            why: format!("{} cannot be written: {why}", self.path.display()),
        })
    }
}

impl Drop for Output<'_> {
    fn drop(&mut self) {
        if self.file.is_some() {
            // Ignored: the file may be gone already.
            let _ = fs::remove_file(self.path);
        }
    }
}

fn print(text: &str) {
    // Ignored: stdout may be closed.
    let _ = io::stdout().write_all(text.as_bytes());
}

fn progress(step: Progress) {
    say::progress(&match step {
        Progress::Preparing => "creating the schema".to_owned(),
        Progress::Experiment { id, done, of } => format!("{id} ({} of {of})", done + 1),
        Progress::Streaming { rows, left } => {
            format!("{rows} rows appended, {} s left", left.as_secs())
        }
        Progress::Counting => "counting the rows".to_owned(),
        Progress::LeftBehind { schema } => {
            format!("the schema {schema} could not be dropped: drop it, or let the next run do it")
        }
        _ => "dropping the schema".to_owned(),
    });
}

fn list() -> String {
    let line = |one: &Experiment| {
        let when = if one.is_opt_in {
            " (only if named)"
        } else {
            ""
        };
        format!(
            "{:<4} {}{when}\n     {}\n",
            one.id, one.question, one.meaning
        )
    };
    conformance::experiments().iter().map(line).collect()
}

/// What a run does, needs and costs.
fn plan(args: &Args, profile: &Profile, database: &str) -> Result<String, Stop> {
    if let Some(length) = args.soak {
        let rows = length.as_secs().saturating_mul(args.rate).saturating_mul(3);
        return Ok(format!(
            "account {}, role {}: rows are streamed for {} s in a new schema in {database}, which is dropped in the end.\n\
             It needs CREATE SCHEMA on the database, USAGE on a warehouse, and appends about {rows} rows ({} MB).\n\
             Once a second a statement looks for a row, so the warehouse runs all the time.\n",
            profile.account(),
            profile.role().unwrap_or("the user's default role"),
            length.as_secs(),
            rows.saturating_mul(120) / 1_000_000,
        ));
    }
    let chosen = |one: &&Experiment| {
        let is_wanted = |id: &String| id.eq_ignore_ascii_case(one.id);
        let has_statements = args.schema.is_none() || !one.needs_statements;
        let is_chosen = match args.only.as_slice() {
            [] => !one.is_opt_in,
            only => only.iter().any(is_wanted),
        };
        is_chosen && has_statements
    };
    let chosen: Vec<_> = conformance::experiments().iter().filter(chosen).collect();
    if chosen.is_empty() {
        return Err(Stop::misused(
            "no experiment is left to carry out: see --list",
        ));
    }
    let rows: u32 = chosen.iter().map(|one| one.rows).sum();
    let requests: u32 = chosen.iter().map(|one| one.requests).sum();
    let role = profile.role().unwrap_or("the user's default role");
    let (where_to, rights) = match &args.schema {
        Some(schema) => (
            format!("in the schema {database}.{schema}, which stays"),
            "INSERT on its tables and CREATE PIPE on it",
        ),
        None => (
            format!("in a new schema in {database}, which it drops in the end"),
            "CREATE SCHEMA on the database, USAGE on a warehouse",
        ),
    };
    Ok(format!(
        "account {}, role {role}: {} experiments, {} times each, {where_to}.\n\
         It needs {rights}, appends at most {} rows (those of E8 have up to 16 MB each time and are rejected), and sends about {} requests.\n\
         Statements use the warehouse {}: an X-SMALL one is enough, for about half an hour.\n\
         It changes nothing outside of that schema.\n",
        profile.account(),
        chosen.len(),
        args.runs,
        rows * args.runs,
        requests * args.runs,
        profile.warehouse().unwrap_or("of the user"),
    ))
}

/// Shows the plan and asks; without a terminal the answer is no.
fn agrees(plan: &str) -> Result<bool, Stop> {
    if !io::stdin().is_terminal() {
        return Err(Stop::misused(
            "there is no terminal to ask on: read --dry-run, then give --yes",
        ));
    }
    say::note(plan.trim_end());
    asked("Begin?")
}

fn not_begun(error: &conformance::Error) -> Stop {
    match error {
        conformance::Error::Config(why) => Stop::misused(why),
        conformance::Error::Client(error) => Stop::before(error),
        error => Stop {
            code: code::NOT_COMMITTED,
            why: format!("{error}{DOCTOR}"),
        },
    }
}

fn asked(question: &str) -> Result<bool, Stop> {
    say::note(&format!("{question} [y/N]"));
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.map_err(|why| Stop::misused(format!("the answer cannot be read: {why}")))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// Drops the schemas of runs that were killed.
async fn tidy(profile: &Profile, options: &Options, is_agreed: bool) -> Result<(), Stop> {
    let found = conformance::leftovers(profile, options).await;
    let found = found.map_err(|error| not_begun(&error))?;
    for schema in found {
        let question = format!("An earlier run has left the schema {schema}. Drop it?");
        if is_agreed || asked(&question)? {
            let dropped = conformance::drop_leftover(profile, options, &schema).await;
            say::note(&match dropped {
                Ok(()) => format!("dropped {schema}, which an earlier run had left"),
                // Another role may own it, which is no reason not to run.
                Err(error) => format!("{schema}, which an earlier run has left, stays: {error}"),
            });
        }
    }
    Ok(())
}

fn compare(before: &Path, after: &Path) -> Result<u8, Stop> {
    let read = |path: &Path| {
        let named =
            |why: &dyn std::fmt::Display| Stop::misused(format!("{}: {why}", path.display()));
        let text = read_text(path).map_err(|why| named(&why))?;
        Report::from_json(&text).map_err(|why| named(&why))
    };
    let changes = conformance::compare(&read(before)?, &read(after)?);
    if changes.is_empty() {
        print("no answer has changed\n");
        return Ok(code::FINE);
    }
    let lines: Vec<String> = changes.iter().map(|change| format!("{change}\n")).collect();
    print(&lines.concat());
    Ok(code::FINDINGS)
}
