//! The run without arguments: a stream, a bucket and tables on this machine, both paths as processes that are killed, and the
//! comparison of the tables.

pub mod landing;
mod latency;
pub mod process;
pub mod server;

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use fastrand::Rng;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::interval;

use self::landing::{Arrival, Landing, MICROBATCH, STREAMING};
use self::latency::Times;
use self::process::Process;
use self::server::Server;
use crate::compare::{self, Comparison};
use crate::say::say;
use crate::sensor::Measurement;
use crate::stream::{self, Stream};
use crate::{cli, producer};

const STREAM: &str = "sensors";
const MEASUREMENTS: usize = 20_000;
/// How many measurements are put at once, and how often: 1,000 a second.
const STEP: usize = 100;
const STEP_EVERY: Duration = Duration::from_millis(100);
const ITERATOR_LIFE: Duration = Duration::from_mins(5);
const LETTERS: &str = "dead_letters.ndjson";
const PICTURE: &str = "kinesis_data/latency.svg";

/// Returns whether both tables have each measurement once.
///
/// # Errors
/// If a part of it cannot be started or does not answer, and if it is stopped.
pub async fn run(mut stop: watch::Receiver<bool>) -> Result<bool> {
    tokio::select! {
        shown = show() => shown,
        _ = stop.wait_for(|stop| *stop) => bail!("interrupted"),
    }
}

async fn show() -> Result<bool> {
    let mut landing = Landing::start(None).await?;
    let server = Server::start(STREAM, 1, ITERATOR_LIFE, None).await?;
    let folder = TempDir::new().context("cannot create a folder")?;
    let profile = landing.write_profile(folder.path())?;
    let mut programs = Programs::start(&server, folder.path(), &profile)?;
    say(format_args!(
        "a stream with a shard, a folder as bucket, two tables; {MEASUREMENTS} measurements, 1,000 a second"
    ));

    let begin = Instant::now();
    let (mut all, put) = produce(&server, &landing, &mut programs).await?;
    landing.have_rows(all.len(), all.len()).await?;
    programs.stop().await?;

    all.sort_unstable();
    let streamed = landing.measurements(STREAMING)?;
    let loaded = landing.measurements(MICROBATCH)?;
    let comparison = Comparison {
        streaming: streamed.len() as u64,
        microbatch: loaded.len() as u64,
        different: different(&streamed, &loaded),
    };
    compare::print(&comparison);
    let times = |arrivals: Vec<Arrival>| arrivals.into_iter().map(|a| (a.at, a.rows)).collect();
    let [streaming, microbatch]: [Times; 2] = landing.arrivals().map(times);
    for (name, arrivals) in [
        ("streaming mode", &streaming),
        ("micro-batch mode", &microbatch),
    ] {
        if let Some(latency) = latency::of(&put, arrivals) {
            let (median, high) = (latency.median.as_secs_f64(), latency.high.as_secs_f64());
            say(format_args!(
                "{name:<17} visible after {median:.1} s, and 99 % after {high:.1} s"
            ));
        }
    }
    let picture = Path::new(PICTURE);
    cli::create_parent(picture)?;
    std::fs::write(
        picture,
        latency::picture(begin, [&put, &streaming, &microbatch]),
    )
    .with_context(|| format!("cannot write {PICTURE}"))?;
    let letters = std::fs::read_to_string(folder.path().join(LETTERS)).unwrap_or_default();
    say(format_args!(
        "{} dead letters: malformed records, by each path",
        letters.lines().count()
    ));
    let is_exact = comparison.is_equal() && streamed == all;
    say(if is_exact {
        "every measurement is in both tables, exactly once"
    } else {
        "the tables are not what was put"
    });
    say(format_args!("the latency of both as a picture: {PICTURE}"));
    Ok(is_exact)
}

/// How many different rows one table has more often than the other.
fn different(streamed: &[Measurement], loaded: &[Measurement]) -> u64 {
    let mut counts: BTreeMap<_, i64> = BTreeMap::new();
    for (rows, step) in [(streamed, 1_i64), (loaded, -1)] {
        for row in rows {
            *counts.entry(row).or_default() += step;
        }
    }
    counts.values().filter(|count| **count != 0).count() as u64
}

/// Puts the measurements; meanwhile the shard is split and each program is killed once. Returns what was put, and when.
async fn produce(
    server: &Server,
    landing: &Landing,
    programs: &mut Programs,
) -> Result<(Vec<Measurement>, Times)> {
    let stream = Stream::new(&stream::local(server.url()).await, STREAM);
    let mut rng = Rng::with_seed(1);
    let mut interval = interval(STEP_EVERY);
    let (mut all, mut put) = (Vec::new(), Vec::new());
    while all.len() < MEASUREMENTS {
        interval.tick().await;
        let measurements: Vec<_> = (0..STEP).map(|_| Measurement::random(&mut rng)).collect();
        let records = measurements.iter().map(Measurement::encode);
        producer::all(&stream, records.collect()).await?;
        put.push((Instant::now(), STEP));
        all.extend(measurements);
        if all.len() % 4_000 == 0 {
            let malformed = vec![("0".to_owned(), "{\"sensorId\":".into())];
            producer::all(&stream, malformed).await?;
        }
        let [streamed, loaded] = landing.rows();
        match all.len() {
            4_000 => {
                server.split(0)?;
                say("split the shard");
            }
            8_000 => {
                programs.streaming.restart().await?;
                say(format_args!(
                    "killed the streaming program, after {streamed} rows"
                ));
            }
            12_000 => {
                programs.batching.restart().await?;
                say("killed the program that writes objects");
            }
            14_000 => {
                programs.loading.restart().await?;
                say(format_args!(
                    "killed the program that loads objects, after {loaded} rows"
                ));
            }
            _ => {}
        }
    }
    Ok((all, put))
}

/// The programs of both paths.
struct Programs {
    streaming: Process,
    batching: Process,
    loading: Process,
}

impl Programs {
    fn start(server: &Server, folder: &Path, profile: &Path) -> Result<Self> {
        let program = env::current_exe().context("where is this program?")?;
        let environment = server.environment();
        let start = |arguments: &[String]| Process::start(&program, arguments, &environment);
        let stream = format!("--stream={STREAM}");
        let profile = format!("--profile={}", profile.display());
        let bucket = format!("--bucket={}", folder.join("bucket").display());
        let letters = format!("--dead-letters={}", folder.join(LETTERS).display());
        let history = format!("--history={}", folder.join("loads.db").display());
        let table = |name: &str| format!("--table={name}");
        Ok(Self {
            streaming: start(&[
                "stream".to_owned(),
                stream.clone(),
                table(STREAMING),
                profile.clone(),
                letters.clone(),
            ])?,
            batching: start(&["batch".to_owned(), stream, bucket.clone(), letters.clone()])?,
            loading: start(&[
                "load".to_owned(),
                bucket,
                table(MICROBATCH),
                profile,
                history,
                letters,
            ])?,
        })
    }

    async fn stop(self) -> Result<()> {
        for process in [self.streaming, self.batching, self.loading] {
            let ended = process.stop().await?;
            ensure!(ended.success(), "a program ended with {ended}");
        }
        Ok(())
    }
}
