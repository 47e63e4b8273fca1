//! A soak: rows with known keys are streamed through faults for as long as is asked, and then counted.

mod faults;
mod ledger;
mod memory;
mod network;
mod picture;
mod proxy;
mod result;
mod tokens;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinError;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::ledger::{Latencies, Ledger};
use self::network::FaultyNetwork;
pub use self::result::{SoakChannel, SoakReport};
use self::writer::Writer;
use super::hidden::Hidden;
use super::lab::{Place, qualified};
use super::options::{Options, Progress};
use super::run::{drop_schema, new_place, quoted_schema, sql_client, transport};
use crate::conformance::error::{Error, Result};
use snowpipe_streaming::PipePath;
use snowpipe_streaming::Profile;
use snowpipe_streaming::sql::{SqlClient, Statement};

const TABLE: &str = "SOAK";
/// The channels, each with the number of its writers. Two writers of a channel take it from each other.
const CHANNELS: [(&str, u64); 2] = [("alone", 1), ("contended", 2)];
/// How long the rows of a channel may take to be committed and visible in the end.
const MOST_END: Duration = Duration::from_secs(300);
/// How long the pipe of a new table may be unknown to a part of the service.
const TO_BE_KNOWN: Duration = Duration::from_secs(120);
/// How often the progress is reported.
const BETWEEN_PROGRESS: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_secs(1);

/// How long a soak takes, and how much it streams.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Soak {
    /// How long rows are streamed.
    pub duration: Duration,
    /// Rows a second of each writer; there are three.
    pub rate: u64,
    /// The seed of the faults and of the writers' decisions.
    pub seed: u64,
}

impl Soak {
    /// A soak of this length, with a hundred rows a second of each writer.
    pub fn new(duration: Duration) -> Self {
        Self {
            duration,
            rate: 100,
            seed: fastrand::u64(..),
        }
    }
}

/// Streams rows with known keys into a new table, counts them, and drops the table with its schema.
///
/// Two channels are written: one by a single writer, one by two writers that take it from each other. Each writer streams in
/// sessions, which end with a close, a crash or the loss of the channel. In between connections are cut in requests and in answers,
/// bytes are held back, the network is away for seconds, and tokens expire. Over HTTP a proxy in this process does so, through which
/// TLS passes untouched; with a [transport](Options::transport) of your own, requests and answers of that transport are lost.
///
/// If `stop` resolves, the streaming ends early, and the rows are counted.
///
/// Not cancel safe: if the future is dropped, the schema stays. [`leftovers`](super::leftovers) finds it.
///
/// # Errors
///
/// [`Error::Config`] if the profile is incomplete, or if this machine reaches the account through a proxy; any error of a
/// statement, and an error of a writer that every session would meet, such as a refused login. The schema is dropped all the same.
pub async fn soak(
    profile: &Profile,
    options: &Options,
    soak: &Soak,
    stop: impl Future<Output = ()> + Send,
) -> Result<SoakReport> {
    let network = FaultyNetwork::start(&profile.url()?, options, soak.seed).await?;
    let sql = sql_client(profile, options, transport(options)?)?;
    let place = new_place(&options.database);
    options.progress(Progress::Preparing);
    sql.query(&Statement::new(format!(
        "CREATE SCHEMA {}",
        quoted_schema(&place)
    )))
    .await?;
    let streamed = stream(profile, options, soak, &sql, &place, &network, stop).await;
    options.progress(Progress::CleaningUp);
    let dropped = drop_schema(&sql, &place).await;
    let mut report = streamed?;
    let mut hidden = Hidden::of(profile, &place.database);
    hidden.name(&place.schema, "<schema>");
    report.last_error = report.last_error.map(|error| hidden.hide(&error));
    if let Err(why) = dropped {
        tracing::warn!(%why, "the schema could not be dropped");
        let schema = quoted_schema(&place);
        report.left_behind.push(hidden.hide(&schema));
        options.progress(Progress::LeftBehind { schema });
    }
    Ok(report)
}

async fn stream(
    profile: &Profile,
    options: &Options,
    soak: &Soak,
    sql: &SqlClient,
    place: &Place,
    network: &FaultyNetwork,
    stop: impl Future<Output = ()> + Send,
) -> Result<SoakReport> {
    let table = qualified(place, TABLE);
    let create =
        format!("CREATE TABLE {table} (C VARCHAR NOT NULL, N NUMBER NOT NULL, TEXT VARCHAR)");
    sql.query(&Statement::new(create)).await?;
    let begun = Instant::now();
    let until = begun + soak.duration;
    let ledgers: BTreeMap<&str, Arc<Ledger>> = CHANNELS
        .iter()
        .map(|(name, _)| (*name, Arc::default()))
        .collect();
    let mut rng = fastrand::Rng::with_seed(soak.seed);
    let mut writers: Vec<Writer> = Vec::new();
    for (channel, count) in CHANNELS {
        for _ in 0..count {
            writers.push(Writer {
                profile: profile.clone(),
                pipe: PipePath::for_table(&place.database, &place.schema, TABLE)?,
                channel: channel.to_owned(),
                transport: network.transport(),
                time: Arc::clone(&options.time),
                rows: Writer::rows_of(soak.rate),
                seed: rng.u64(..),
                ledger: Arc::clone(ledgers.get(channel).ok_or_else(unknown)?),
                known_by: begun + TO_BE_KNOWN,
                until,
            });
        }
    }
    let mut tasks = JoinSet::new();
    for writer in &writers {
        tasks.spawn(writer.clone().run());
    }
    let mut visible = Latencies::default();
    let [(watched, _), ..] = CHANNELS;
    let watched = ledgers.get(watched).ok_or_else(unknown)?;
    let mut ended = Ok(());
    tokio::pin!(stop);
    let (mut is_stopped, mut reported) = (false, None);
    while Instant::now() < until && ended.is_ok() && !is_stopped {
        if reported.is_none_or(|at: Instant| at.elapsed() >= BETWEEN_PROGRESS) {
            reported = Some(Instant::now());
            options.progress(Progress::Streaming {
                rows: ledgers.values().map(|ledger| ledger.known().appended).sum(),
                left: until.saturating_duration_since(Instant::now()),
            });
        }
        tokio::select! {
            biased;
            () = &mut stop => is_stopped = true,
            Some(done) = tasks.join_next() => ended = joined(done),
            looked = look(sql, &table, watched, &mut visible) => {
                // A statement that fails is tried again.
                if let Err(why) = looked {
                    tracing::debug!(%why, "a row could not be looked up");
                }
                tokio::time::sleep(PAUSE.min(until.saturating_duration_since(Instant::now()))).await;
            }
        }
    }
    let streamed = begun.elapsed();
    if is_stopped || ended.is_err() {
        tasks.shutdown().await;
    }
    while let Some(done) = tasks.join_next().await {
        ended = ended.and(joined(done));
    }
    ended?;
    let mut channels = Vec::new();
    for (channel, _) in CHANNELS {
        options.progress(Progress::Counting);
        let writer = writers.iter().find(|writer| writer.channel == channel);
        let writer = writer.ok_or_else(unknown)?;
        channels.push(count(sql, &table, writer).await?);
    }
    Ok(SoakReport::new(
        soak,
        streamed,
        channels,
        &ledgers,
        visible.sorted(),
        network.counts(),
    ))
}

fn unknown() -> Error {
    Error::Config("a channel of the soak has no writer".to_owned())
}

fn joined(done: Result<snowpipe_streaming::Result<()>, JoinError>) -> Result<()> {
    let panicked = |_| Error::Unexpected("a writer of the soak panicked".to_owned());
    Ok(done.map_err(panicked)??)
}

/// Waits until the row that was committed last is visible, and notes how long it took since it was appended.
async fn look(
    sql: &SqlClient,
    table: &str,
    ledger: &Ledger,
    visible: &mut Latencies,
) -> Result<()> {
    let Some((row, appended)) = ledger.known().newest.take() else {
        return Ok(());
    };
    let [(channel, _), ..] = CHANNELS;
    let statement = format!("SELECT COUNT(*) FROM {table} WHERE C = ? AND N = {row}");
    let mut pause = FIRST_PAUSE;
    loop {
        let rows = sql.query(&Statement::new(&statement).bind(channel)).await?;
        let found = rows.rows.first().and_then(|row| row.first());
        if found != Some(&Some("0".to_owned())) {
            visible.add(appended.elapsed());
            return Ok(());
        }
        tokio::time::sleep(pause).await;
        pause = PAUSE.min(pause * 2);
    }
}

/// Counts the rows of a channel after everything.
async fn count(sql: &SqlClient, table: &str, writer: &Writer) -> Result<SoakChannel> {
    let deadline = Instant::now() + MOST_END;
    let committed = loop {
        match writer.last_committed().await {
            Ok(last) => break last,
            Err(error) if Instant::now() < deadline => tracing::debug!(%error, "again"),
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(PAUSE).await;
    };
    let expected = committed.map_or(0, |last| last + 1);
    let statement = format!(
        "SELECT COUNT(*), COUNT(DISTINCT N), COALESCE(SUM(CASE WHEN N >= {expected} THEN 1 ELSE 0 END), 0) FROM {table} WHERE C = ?"
    );
    loop {
        let statement = Statement::new(&statement).bind(&writer.channel);
        let found = sql.query(&statement).await?;
        let mut numbers = found.rows.iter().flatten();
        let mut number = || {
            let text = numbers.next().and_then(Option::as_deref);
            text.and_then(|text| text.parse::<u64>().ok())
                .ok_or_else(|| Error::Unexpected("a count of the soak is no number".to_owned()))
        };
        let (rows, distinct, beyond) = (number()?, number()?, number()?);
        let counted = SoakChannel {
            name: writer.channel.clone(),
            expected,
            lost: expected.saturating_sub(distinct - beyond.min(distinct)),
            doubled: rows - distinct,
            beyond,
        };
        // What is committed may take a moment to be visible.
        if counted.lost == 0 || Instant::now() > deadline {
            return Ok(counted);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
