//! The streams against an emulator in memory, under a paused clock: releases, failures and refusals.

mod rejects;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use clap::Parser;
use snowpipe_streaming::time::TokioClock;
use snowpipe_streaming::{PipePath, Profile};
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{Emulator, Endpoint, Fault};
use tokio::sync::watch;
use tokio::time::timeout;

use super::{SEED, rows, winter};
use crate::cli::{Args, Only};
use crate::live::Board;
use crate::misconfigured::is_misconfigured;
use crate::pipeline::{self, Outcome};
use crate::queue::{Progress, Queue};
use crate::rows::Row;
use crate::screen::Screen;
use crate::summary::{Course, Summary};
use crate::table::Table;
use crate::target::{Route, SETUP, Target};

/// Steps of the simulation: 1,000 tickets, 49 passes and the first rides.
const STEPS: u64 = 200;

/// A queue and an emulator, and the configuration of the streams between them.
struct World {
    directory: tempfile::TempDir,
    emulator: Emulator,
    target: Target,
    args: Args,
    stop: watch::Sender<bool>,
}

impl World {
    /// With the generator's rows in the queue.
    fn new() -> Self {
        let world = Self::empty();
        world.add(&rows(SEED, winter(), STEPS));
        world
    }

    fn empty() -> Self {
        let emulator = Emulator::builder()
            .catalog(Catalog::from_ddl(SETUP).unwrap())
            .build()
            .unwrap();
        let json = emulator.profile_json("http://127.0.0.1:1");
        let pipes = Table::ALL.map(|table| {
            let space = "STREAMING_INGEST";
            let path = PipePath::new(space, space, table.default_pipe()).unwrap();
            (table, path)
        });
        let target = Target {
            route: Route::Memory {
                emulator: emulator.clone(),
                clock: Arc::new(TokioClock::starting_at(SystemTime::now())),
            },
            profile: Profile::from_json(&json).unwrap(),
            pipes: BTreeMap::from(pipes),
            max_client_lag: Duration::from_millis(200),
            landing: None,
            verify_sql: false,
            warehouse: None,
            reported: Mutex::default(),
        };
        let line = ["ski_resort", "--only", "streamer", "--duration", "1h"];
        Self {
            directory: tempfile::tempdir().unwrap(),
            emulator,
            target,
            args: Args::try_parse_from(line).unwrap(),
            stop: watch::channel(false).0,
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("queue.db")
    }

    fn queue(&self) -> Queue {
        Queue::open(&self.path()).unwrap()
    }

    /// Adds rows like a generator that then ends.
    fn add(&self, rows: &[Row]) {
        let mut queue = self.queue();
        queue.claim(None, None, winter()).unwrap();
        queue.append(rows, STEPS, None).unwrap();
        queue.end().unwrap();
    }

    fn channel(&self, table: Table) -> String {
        pipeline::channel(&self.args, self.queue().id(), table)
    }

    async fn try_run(&self) -> anyhow::Result<Outcome> {
        self.try_run_with(None).await
    }

    /// With a generator that continues from there.
    async fn try_run_with(&self, history: Option<(Queue, Progress)>) -> anyhow::Result<Outcome> {
        self.try_run_on(&Board::new(String::new()), history).await
    }

    async fn try_run_on(
        &self,
        board: &Board,
        history: Option<(Queue, Progress)>,
    ) -> anyhow::Result<Outcome> {
        let (path, stop) = (self.path(), self.stop.subscribe());
        pipeline::run(
            &self.args,
            &path,
            &self.target,
            history,
            stop,
            &Screen::new(),
            board,
        )
        .await
    }

    async fn run(&self) -> Outcome {
        self.try_run().await.unwrap()
    }

    async fn summary(&self, interrupted: bool) -> serde_json::Value {
        let course = Course {
            interrupted,
            was_finished: false,
            elapsed: Duration::from_secs(1),
        };
        let path = self.path();
        let summary = Summary::new(&self.args, &path, &self.target, course);
        serde_json::to_value(summary.await.unwrap()).unwrap()
    }

    /// The TXIDs that landed, sorted.
    fn landed(&self, table: Table) -> Vec<String> {
        let name = format!("STREAMING_INGEST.STREAMING_INGEST.{}", table.name());
        let rows = self.emulator.rows(&name).unwrap();
        let text = |row: &serde_json::Value| row["TXID"].as_str().unwrap().to_owned();
        let mut landed: Vec<_> = rows.iter().map(text).collect();
        landed.sort();
        landed
    }

    /// Asserts that the generator's rows landed, each once, and nothing is left.
    fn assert_all_landed(&self) {
        for table in Table::ALL {
            let generated = rows(SEED, winter(), STEPS);
            let of_table = generated.iter().filter(|(t, _)| *t == table);
            let mut expected: Vec<_> = of_table.map(|(_, data)| txid(data)).collect();
            expected.sort();
            assert_eq!(self.landed(table), expected, "{}", table.name());
        }
        assert_eq!(self.queue().queued().unwrap(), 0);
    }

    fn dead_letters(&self) -> Vec<(String, i64, String)> {
        let queue = rusqlite::Connection::open(self.path()).unwrap();
        let sql = "SELECT TABLE_NAME, ROW_ID, REASON FROM DEAD_LETTER ORDER BY 1, 2";
        let mut statement = queue.prepare(sql).unwrap();
        let letter = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let letters = statement.query_map([], letter).unwrap();
        letters.map(Result::unwrap).collect()
    }
}

fn txid(data: &str) -> String {
    let row: serde_json::Value = serde_json::from_str(data).unwrap();
    row["TXID"].as_str().unwrap().to_owned()
}

/// A pass with a given price.
fn pass(number: u64, price: &str) -> Row {
    let data = format!(r#"{{"TXID":"pass {number}","PRICE_USD":{price}}}"#);
    (Table::SeasonPass, data)
}

/// Restores the deleted rows of the queue.
fn restore(world: &World, copy: &Path) {
    for suffix in ["-wal", "-shm"] {
        let mut name = world.path().into_os_string();
        name.push(suffix);
        let _ = std::fs::remove_file(name);
    }
    std::fs::copy(copy, world.path()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn everything_lands_once_and_leaves_the_queue() {
    let world = World::new();
    let ended = world.run().await;
    assert!(!ended.interrupted && ended.failures.is_empty(), "{ended:?}");
    world.assert_all_landed();

    let summary = world.summary(false).await;
    let keys = |value: &serde_json::Value| {
        let object = value.as_object().unwrap();
        let mut keys: Vec<_> = object.keys().map(String::as_str).collect();
        keys.sort_unstable();
        keys.join(" ")
    };
    assert_eq!(
        keys(&summary),
        "balanced elapsed_s interrupted seed start steps tables target"
    );
    assert_eq!(
        keys(&summary["tables"]),
        "LIFT_RIDE RESORT_TICKET SEASON_PASS"
    );
    assert_eq!(
        summary["tables"]["RESORT_TICKET"],
        serde_json::json!({
            "generated": 1_000, "committed_offset_token": "1000", "rows_inserted": 1_000, "rejected": 0,
            "landed": null, "distinct_txid": null, "left_in_queue": 0,
        })
    );
    assert_eq!(summary["balanced"], true);
    assert_eq!(
        (&summary["seed"], &summary["start"], &summary["steps"]),
        (
            &20_260_117.into(),
            &"2026-01-17T14:00:00Z".into(),
            &200.into()
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_fenced_channel_is_reopened_without_loss_or_duplicates() {
    for fault in [
        Fault::SecondWriter,
        Fault::Stale,
        Fault::ApplyThenLose,
        Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned()),
    ] {
        let world = World::new();
        let name = fault.name();
        let struck = world.channel(Table::ResortTicket);
        world
            .emulator
            .faults()
            .push(fault.on(Endpoint::Append).channel(struck));
        let ended = world.run().await;
        assert_eq!(world.emulator.faults().injected()[name], 1);
        assert!(ended.failures.is_empty(), "{name}: {ended:?}");
        world.assert_all_landed();
        assert_eq!(world.summary(false).await["balanced"], true, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn reopens_are_counted_by_table_and_in_all() {
    let world = World::new();
    for (table, times) in [(Table::ResortTicket, 1), (Table::LiftRide, 2)] {
        let fault = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
        let rule = fault.on(Endpoint::Append).channel(world.channel(table));
        world.emulator.faults().push(rule.times(times));
    }
    let board = Board::new(String::new());
    world.try_run_on(&board, None).await.unwrap();
    world.assert_all_landed();
    let live = board.subscribe().borrow().clone();
    let flows = live.tables.iter();
    let reopens: BTreeMap<_, _> = flows
        .map(|flow| (flow.table, flow.channel.reopens))
        .collect();
    let expected = [("LIFT_RIDE", 2), ("RESORT_TICKET", 1), ("SEASON_PASS", 0)];
    assert_eq!(reopens, BTreeMap::from(expected));
    assert_eq!((live.channels_invalidated, live.channels_reopened), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn an_invalidated_channel_is_reopened_without_rows_left_to_append() {
    let world = World::empty();
    let mut queue = world.queue();
    queue.claim(None, None, winter()).unwrap();
    queue.append(&[pass(1, "5")], 1, None).unwrap();
    // Before the second request, another writer opens the channel, and the accepted rows of the first request are discarded.
    let withheld = Fault::WithholdCommits(Duration::from_secs(5)).on(Endpoint::Append);
    let thief = Fault::SecondWriter.on(Endpoint::Append);
    for rule in [withheld, thief] {
        let struck = world.channel(Table::SeasonPass);
        world.emulator.faults().push(rule.channel(struck));
    }
    let began = tokio::time::Instant::now();
    let generator = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.add(&[pass(2, "7")]);
    };
    let (ended, ()) = tokio::join!(world.run(), generator);
    assert_eq!(world.emulator.faults().injected()["second writer"], 1);
    assert!(ended.failures.is_empty(), "{ended:?}");
    assert_eq!(world.landed(Table::SeasonPass), ["pass 1", "pass 2"]);
    // The receipts of the discarded rows stay open for half a minute. The run does not wait for them.
    let taken = began.elapsed();
    assert!(taken < Duration::from_secs(10), "{taken:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_stream_is_reported_and_the_others_continue() {
    let world = World::new();
    let struck = world.channel(Table::ResortTicket);
    let stale = Fault::Stale.on(Endpoint::Append).channel(struck);
    world.emulator.faults().push(stale.always());
    let ended = world.run().await;
    let [failure] = ended.failures.as_slice() else {
        panic!("{ended:?}");
    };
    assert!(failure.starts_with("RESORT_TICKET failed: "), "{failure}");
    assert_eq!(world.landed(Table::SeasonPass).len(), 49);
    assert_eq!(world.landed(Table::ResortTicket).len(), 0);
    let left = world.queue().span(Table::ResortTicket).unwrap();
    assert_eq!(left.queued(), 1_000);
    assert_eq!(world.summary(false).await["balanced"], false);
}

#[tokio::test(start_paused = true)]
async fn a_missing_pipe_stops_only_its_stream() {
    let mut world = World::new();
    let space = "STREAMING_INGEST";
    let missing = PipePath::new(space, space, "NO_SUCH_PIPE").unwrap();
    world.target.pipes.insert(Table::SeasonPass, missing);
    let ended = world.run().await;
    assert_eq!(ended.failures.len(), 1, "{ended:?}");
    assert!(ended.failures[0].contains("SEASON_PASS"), "{ended:?}");
    assert_eq!(world.landed(Table::ResortTicket).len(), 1_000);

    // The other tables are reconciled nevertheless.
    let summary = world.summary(false).await;
    assert_eq!(summary["balanced"], false);
    let tables = &summary["tables"];
    assert_eq!(tables["RESORT_TICKET"]["rows_inserted"], 1_000);
    assert_eq!(tables["SEASON_PASS"]["left_in_queue"], 49);
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_if_every_stream_fails_before_rows_are_generated() {
    let endless = ["ski_resort", "--forever"];
    let streamer = ["ski_resort", "--only", "streamer"];
    for line in [endless.as_slice(), streamer.as_slice()] {
        let mut world = World::empty();
        world.args = Args::try_parse_from(line).unwrap();
        for table in Table::ALL {
            let space = "STREAMING_INGEST";
            let missing = PipePath::new(space, space, "NO_SUCH_PIPE").unwrap();
            world.target.pipes.insert(table, missing);
        }
        let mut queue = world.queue();
        let progress = queue.claim(None, None, winter()).unwrap();
        let history = (world.args.only == Only::All).then_some((queue, progress));
        let run = world.try_run_with(history);
        let ended = timeout(Duration::from_secs(3_600), run).await;
        let ended = ended.unwrap_or_else(|_| panic!("{line:?}: the run does not end"));
        assert_eq!(ended.unwrap().failures.len(), 3, "{line:?}");
        assert_eq!(world.queue().queued().unwrap(), 0, "{line:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn rows_committed_before_a_kill_are_released_and_not_sent_again() {
    let world = World::empty();
    world.add(&[pass(1, "5"), pass(2, r#""a lot""#), pass(3, "7")]);
    let copy = world.directory.path().join("copy.db");
    std::fs::copy(world.path(), &copy).unwrap();
    world.run().await;

    // Killed between the commit and what follows it: neither the deletion nor the dead letters are there.
    restore(&world, &copy);
    assert_eq!(world.queue().queued().unwrap(), 3);
    let ended = world.run().await;
    assert!(ended.failures.is_empty(), "{ended:?}");
    assert_eq!(world.landed(Table::SeasonPass), ["pass 1", "pass 3"]);
    assert_eq!(world.queue().queued().unwrap(), 0);
    assert_eq!(world.dead_letters().len(), 3);

    // The rejected rows are accounted for: a later run does not treat its own rows as rejected.
    world.add(&[pass(4, "9")]);
    world.run().await;
    assert_eq!(
        world.landed(Table::SeasonPass),
        ["pass 1", "pass 3", "pass 4"]
    );
    assert_eq!(world.dead_letters().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_queue_ahead_of_its_channel_is_refused_and_not_changed() {
    let world = World::new();
    let released = 10;
    let mut queue = world.queue();
    queue.delete_through(Table::SeasonPass, released).unwrap();
    let error = world.try_run().await.unwrap_err();
    assert!(is_misconfigured(&error), "{error:#}");
    let text = error.to_string();
    assert!(text.contains("has no committed offset"), "{text}");
    assert!(text.contains("released the rows through 10"), "{text}");
    assert!(text.contains("another --queue"), "{text}");
    assert_eq!(queue.span(Table::ResortTicket).unwrap().queued(), 1_000);
    assert_eq!(queue.span(Table::SeasonPass).unwrap().released, released);
}

#[tokio::test(start_paused = true)]
async fn a_channel_ahead_of_its_queue_is_refused_and_not_changed() {
    let mut world = World::new();
    world.args.channel = Some("shared".to_owned());
    world.run().await;
    let other = tempfile::tempdir().unwrap();
    world.directory = other;
    world.add(&[pass(1, "5")]);
    let error = world.try_run().await.unwrap_err();
    assert!(is_misconfigured(&error), "{error:#}");
    let text = error.to_string();
    assert!(text.contains("the channel shared has committed"), "{text}");
    assert!(text.contains("another --channel"), "{text}");
    assert_eq!(world.queue().queued().unwrap(), 1);
    assert_eq!(world.landed(Table::SeasonPass).len(), 49);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_run_waits_for_commits_up_to_the_timeout_and_continues_later() {
    let mut world = World::new();
    world.args.drain_timeout = Duration::from_secs(3);
    let withheld = Fault::WithholdCommits(Duration::from_secs(20));
    let struck = world.channel(Table::ResortTicket);
    let withheld = withheld.on(Endpoint::Append).channel(struck);
    world.emulator.faults().push(withheld);
    let stopper = async {
        // The passes are committed by then, and the tickets are not.
        tokio::time::sleep(Duration::from_secs(5)).await;
        world.stop.send_replace(true);
        tokio::time::Instant::now()
    };
    let (ended, stopped_at) = tokio::join!(world.run(), stopper);
    assert!(ended.interrupted && ended.failures.is_empty(), "{ended:?}");
    let drained = stopped_at.elapsed();
    // A fifth of the three seconds is for the reconciliation.
    let expected = Duration::from_millis(2_400)..Duration::from_secs(3);
    assert!(expected.contains(&drained), "{drained:?}");
    assert_eq!(world.landed(Table::SeasonPass).len(), 49);
    assert_eq!(world.queue().queued().unwrap(), 1_000);
    assert_eq!(world.summary(true).await["balanced"], true);
    assert_eq!(world.summary(false).await["balanced"], false);

    world.stop.send_replace(false);
    let ended = world.run().await;
    assert!(!ended.interrupted && ended.failures.is_empty(), "{ended:?}");
    world.assert_all_landed();
}

#[tokio::test(start_paused = true)]
async fn a_failed_generator_does_not_stop_the_streams() {
    let world = World::empty();
    let mut queue = world.queue();
    let progress = queue.claim(None, None, winter()).unwrap();
    let rows = rows(SEED, winter(), STEPS);
    queue
        .append(&rows, STEPS, Some("not a checkpoint"))
        .unwrap();
    let ended = world.try_run_with(Some((queue, progress))).await.unwrap();
    let failure = "the generator failed: cannot read the generator's checkpoint in the queue";
    assert_eq!(ended.failures.len(), 1);
    assert!(ended.failures[0].starts_with(failure), "{ended:?}");
    assert_eq!(world.queue().queued().unwrap(), 0);
}
