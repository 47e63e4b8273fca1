//! The official Python SDK and this crate carry out the same scenarios, each against an emulator of its own over TLS; then
//! the answers they got, the tables, the channels and the requests are compared. `run.sh` sets it up.
//!
//! ```sh
//! bash tests/official_sdk/run.sh            # all scenarios
//! bash tests/official_sdk/run.sh "files"    # those whose names begin so
//! ```

mod official;
mod ours;
mod scenario;
mod values;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use snowpipe_streaming_emulator::ChannelRecord;
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{Emulator, LoggedRequest, Server, Tls};

use official::Official;
use ours::Access;
use scenario::{Scenario, Side};
use wire::Wire;

/// How many scenarios run at once: most of their time they wait for a clock.
const AT_ONCE: usize = 4;

/// Compares the official SDK with this crate.
#[derive(Debug, Parser)]
struct Options {
    /// The Python that has the official SDK.
    #[arg(long)]
    python: PathBuf,

    /// Only scenarios whose names begin so; then the requests are not compared.
    only: Option<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/official_sdk");
    let read = |name: &str| {
        let path = here.join(name);
        std::fs::read_to_string(&path).with_context(|| path.display().to_string())
    };
    let (scenarios, ddl) = (
        scenario::read(&read("scenarios.json")?)?,
        read("setup.sql")?,
    );
    let readme = read("README.md")?;
    let official = Official {
        python: options.python,
        here: here.clone(),
    };
    let mut wire = Wire::default();
    let mut failed = 0;
    let only = options.only.unwrap_or_default();
    let chosen = scenarios.iter().filter(|one| one.name.starts_with(&only));
    let running = chosen.map(async |scenario| {
        let begun = Instant::now();
        let result = run(scenario, &ddl, &official).await;
        (scenario, result, begun.elapsed().as_secs_f32())
    });
    let mut running = stream::iter(running).buffered(AT_ONCE);
    while let Some((scenario, result, seconds)) = running.next().await {
        match result {
            Ok(logs) => {
                for (side, log) in logs {
                    wire.add(&scenario.name, side, &log);
                }
                println!("ok    {} ({seconds:.1} s)", scenario.name);
            }
            Err(why) => {
                failed += 1;
                println!("FAIL  {} ({seconds:.1} s)\n{why:#}", scenario.name);
            }
        }
    }
    if only.is_empty() {
        let explained = explained(&wire.differences(), &readme);
        match explained.and_then(|count| Ok((count, sabotages_found(&wire)?))) {
            Ok((count, sabotaged)) => println!(
                "ok    the requests: {count} differences, each explained; {sabotaged} sabotages, each found"
            ),
            Err(why) => {
                failed += 1;
                println!("FAIL  the requests\n{why:#}");
            }
        }
    }
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The emulator's profile with what the scenario changes of it.
fn profile(scenario: &Scenario, usual: &str) -> anyhow::Result<String> {
    let mut fields: BTreeMap<String, Value> = serde_json::from_str(usual)?;
    fields.extend(scenario.profile.clone());
    fields.retain(|_, value| !value.is_null());
    Ok(serde_json::to_string(&fields)?)
}

/// A server of its own for each client.
struct World {
    emulator: Emulator,
    server: Server,
    access: Access,
}

impl World {
    async fn new(scenario: &Scenario, ddl: &str) -> anyhow::Result<Self> {
        let format = scenario.account_binary_format()?;
        let emulator = Emulator::builder()
            .catalog(Catalog::from_ddl(ddl)?.with_binary_input_format(format))
            .access_token("pat-of-the-scenarios", Some("INGEST"))
            .oauth_client("client", "secret", None)
            .refresh_token("client", "refresh")
            .build()?;
        for fault in &scenario.faults {
            emulator.faults().push(fault.rule()?);
        }
        let tls = Tls::generate([""; 0])?;
        let settings = Server::builder(emulator.clone()).tls(tls.clone());
        let server = settings.bind().await?;
        let access = Access {
            profile_json: profile(scenario, &emulator.profile_json(&server.url()))?,
            authority_pem: tls.authority_pem().to_owned(),
        };
        Ok(Self {
            emulator,
            server,
            access,
        })
    }

    /// Stops the server, and checks what came of the scenario by itself.
    async fn ended(
        self,
        scenario: &Scenario,
        side: Side,
        outcomes: &[Value],
    ) -> anyhow::Result<()> {
        // It commits all that was accepted.
        self.server.shutdown().await;
        check(scenario, side, outcomes)?;
        let struck: u64 = self.emulator.faults().injected().values().sum();
        let scripted = scenario.faults.iter().map(|fault| fault.strikes(side));
        let scripted: u64 = scripted.sum();
        ensure!(struck == scripted, "{struck} of {scripted} faults struck");
        let landed = landed(scenario, &self.emulator)?;
        let rows: usize = landed.rows.values().map(Vec::len).sum();
        let rejected = landed.rejected.len();
        ensure!(
            (rows, rejected) == (scenario.rows, scenario.rejected),
            "{rows} rows landed and {rejected} were rejected"
        );
        Ok(())
    }
}

/// Has both clients carry out a scenario and compares what came of it; what each of them sent.
async fn run(
    scenario: &Scenario,
    ddl: &str,
    official: &Official,
) -> anyhow::Result<Vec<(Side, Vec<LoggedRequest>)>> {
    let their = World::new(scenario, ddl).await?;
    let dir = tempfile::tempdir()?;
    let url = their.server.url();
    let theirs = official.carry_out(scenario, &their.access, &url, dir.path());
    if scenario.only_official {
        let outcomes = theirs.await?;
        their.ended(scenario, Side::Official, &outcomes).await?;
        return Ok(Vec::new());
    }
    let our = World::new(scenario, ddl).await?;
    let ours = ours::carry_out(scenario, &our.access);
    let (theirs, ours) = tokio::join!(theirs, ours);
    let (their_emulator, our_emulator) = (their.emulator.clone(), our.emulator.clone());
    let ended = their.ended(scenario, Side::Official, &theirs?).await;
    ended.context("the official SDK")?;
    let ended = our.ended(scenario, Side::Ours, &ours?).await;
    ended.context("this crate")?;
    let (their_rows, our_rows) = (
        landed(scenario, &their_emulator)?,
        landed(scenario, &our_emulator)?,
    );
    ensure!(
        their_rows == our_rows,
        "the tables differ\n  official SDK: {}\n  this crate:   {}",
        first_other(&their_rows, &our_rows),
        first_other(&our_rows, &their_rows)
    );
    for name in names(scenario) {
        let (theirs, ours) = (their_emulator.channel(name), our_emulator.channel(name));
        let (theirs, ours) = (theirs.as_ref().map(lasting), ours.as_ref().map(lasting));
        ensure!(
            theirs == ours,
            "the channel {name:?} differs\n  official SDK: {theirs:?}\n  this crate:   {ours:?}"
        );
    }
    Ok(vec![
        (Side::Official, their_emulator.log()),
        (Side::Ours, our_emulator.log()),
    ])
}

/// Whether each step came to what it had to.
fn check(scenario: &Scenario, side: Side, outcomes: &[Value]) -> anyhow::Result<()> {
    for (step, outcome) in scenario.steps.iter().zip(outcomes) {
        let error = outcome.get("error");
        let as_expected = match step.expected(side) {
            None => error.is_none(),
            Some(expected) => match expected.get("error") {
                Some(name) => error == Some(name),
                None => outcome == expected,
            },
        };
        if !as_expected {
            let expected = step.expected(side);
            bail!(
                "{} {:?}: {outcome}\n  expected: {expected:?}",
                step.verb,
                step.channel
            );
        }
    }
    ensure!(
        outcomes.len() == scenario.steps.len(),
        "not every step was carried out"
    );
    Ok(())
}

/// What landed: by channel, in the order it landed there.
#[derive(Debug, PartialEq)]
struct Landed {
    rows: BTreeMap<String, Vec<String>>,
    rejected: Vec<String>,
}

fn landed(scenario: &Scenario, emulator: &Emulator) -> anyhow::Result<Landed> {
    let table = format!("DB.S.{}", scenario.table);
    let mut rows = BTreeMap::<String, Vec<String>>::new();
    for row in emulator.rows(&table)? {
        let channel = row.get("CH").and_then(Value::as_str).unwrap_or_default();
        rows.entry(channel.to_owned())
            .or_default()
            .push(row.to_string());
    }
    if let Some(elastic) = rows.get_mut("ELASTIC") {
        // It promises no order.
        elastic.sort();
    }
    let rejected = emulator.error_rows(&table)?.into_iter().map(|row| {
        // Blanks between the values are no difference.
        let payload = serde_json::from_str(&row.payload).unwrap_or(Value::String(row.payload));
        format!("{payload}: {}", row.error.message)
    });
    let mut rejected: Vec<_> = rejected.collect();
    rejected.sort();
    Ok(Landed { rows, rejected })
}

/// The first row that is not the same in `others`.
fn first_other(landed: &Landed, others: &Landed) -> String {
    let other = |(channel, rows): (&String, &Vec<String>)| {
        let others = others.rows.get(channel);
        let at = |at: usize| others.and_then(|others| others.get(at));
        let mut rows = rows.iter().enumerate();
        let (number, row) = rows.find(|(number, row)| at(*number) != Some(*row))?;
        Some(format!("row {number} of {channel:?} is {row}"))
    };
    let found = landed.rows.iter().find_map(other);
    found.unwrap_or_else(|| format!("no other row; rejected: {:?}", landed.rejected))
}

/// Of a channel what does not depend on how the rows were cut into requests, or on the time.
fn lasting(channel: &ChannelRecord) -> (&str, Option<&str>, [u64; 3], &str) {
    (
        &channel.channel,
        channel.offset_token.as_deref(),
        [
            channel.rows_parsed,
            channel.rows_inserted,
            channel.rows_error_count,
        ],
        &channel.status_code,
    )
}

fn names(scenario: &Scenario) -> BTreeSet<&str> {
    let steps = scenario.steps.iter();
    let names = steps.flat_map(|step| step.channels.iter().chain([&step.channel]));
    names
        .map(String::as_str)
        .chain(["ELASTIC"])
        .filter(|name| !name.is_empty())
        .collect()
}

/// Whether the comparison finds a single request of this crate without something that all requests have.
fn sabotages_found(wire: &Wire) -> anyhow::Result<usize> {
    let differences = wire.differences();
    let sabotaged = wire.sabotaged();
    ensure!(!sabotaged.is_empty(), "there is nothing to sabotage");
    for (what, wire) in &sabotaged {
        let found = wire.differences();
        ensure!(
            found.difference(&differences).next().is_some(),
            "nothing is found if one request lacks {what}"
        );
    }
    Ok(sabotaged.len())
}

/// Whether the readme explains each difference, in a line that begins with it, and no other.
fn explained(differences: &BTreeSet<String>, readme: &str) -> anyhow::Result<usize> {
    let lines = readme.lines().filter_map(|line| line.strip_prefix("- `"));
    let explained: BTreeSet<String> = lines
        .filter_map(|line| line.split_once('`'))
        .map(|(difference, _)| difference.to_owned())
        .filter(|difference| difference.contains(": only "))
        .collect();
    let unexplained: Vec<_> = differences.difference(&explained).collect();
    let gone: Vec<_> = explained.difference(differences).collect();
    ensure!(
        unexplained.is_empty() && gone.is_empty(),
        "not explained in README.md: {unexplained:#?}\nexplained and not there: {gone:#?}"
    );
    Ok(differences.len())
}
