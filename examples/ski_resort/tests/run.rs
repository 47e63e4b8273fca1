//! The running generator: at any speed and with interruptions at any point, the queue holds the same rows.

use std::path::Path;
use std::time::Duration;

use clap::CommandFactory;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{SEED, rows, winter};
use crate::cli::{Args, Only, ProfileSource, Until};
use crate::overdue;
use crate::produce::Producer;
use crate::queue::{Queue, Turn};
use crate::rows::Row;
use crate::speed::{Pace, Speed};
use crate::table::Table;
use crate::unused_flags::{UNUSED, USES};

fn producer(path: &Path) -> Producer {
    let mut queue = Queue::open(path).unwrap();
    let progress = queue.claim(None, None, winter()).unwrap();
    Producer::resume(queue, &progress, Turn::default()).unwrap()
}

fn queued(path: &Path) -> Vec<Row> {
    let queue = Queue::open(path).unwrap();
    let read = |table| {
        let rows = queue.read_after(table, 0, u32::MAX).unwrap();
        rows.into_iter().map(move |(_, data)| (table, data))
    };
    Table::ALL.into_iter().flat_map(read).collect()
}

fn by_table(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by_key(|(table, _)| *table);
    rows
}

#[tokio::test]
async fn a_run_ends_at_its_step_and_records_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.db");
    let (_stop, stopped) = watch::channel(false);
    let until = Until::Step(300);
    producer(&path)
        .run(Speed::Max, until, stopped)
        .await
        .unwrap();
    let progress = Queue::open(&path).unwrap().progress().unwrap().unwrap();
    assert_eq!((progress.next_step, progress.ended), (300, true));
    assert_eq!(queued(&path), by_table(rows(SEED, winter(), 300)));
}

#[tokio::test(start_paused = true)]
async fn a_run_longer_than_the_clock_continues_until_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.db");
    let (stop, stopped) = watch::channel(false);
    let until = Until::Wall(Duration::MAX);
    let run = tokio::spawn(producer(&path).run(Speed::Times(1.0), until, stopped));
    tokio::time::sleep(Duration::from_secs(60)).await;
    stop.send_replace(true);
    run.await.unwrap().unwrap();
    let progress = Queue::open(&path).unwrap().progress().unwrap().unwrap();
    assert!(!progress.ended);
}

#[tokio::test]
async fn a_stopped_run_has_not_reached_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.db");
    let (stop, stopped) = watch::channel(true);
    producer(&path)
        .run(Speed::Max, Until::Stopped, stopped)
        .await
        .unwrap();
    drop(stop);
    let progress = Queue::open(&path).unwrap().progress().unwrap().unwrap();
    assert_eq!((progress.next_step, progress.ended), (0, false));
}

#[test]
fn an_interrupted_run_produces_the_same_rows_as_an_uninterrupted_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.db");
    // Each producer is dropped without an end, as in a kill.
    for count in [1, 7, 32, 300, 19] {
        producer(&path).produce(count).unwrap();
    }
    assert_eq!(queued(&path), by_table(rows(SEED, winter(), 359)));
}

#[test]
fn a_day_ends_a_transaction_and_leaves_a_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.db");
    let mut one = producer(&path);
    one.produce(3_190).unwrap();
    one.produce(32).unwrap();
    let queue = Queue::open(&path).unwrap();
    assert_eq!(queue.progress().unwrap().unwrap().next_step, 3_200);
    assert!(queue.checkpoint().unwrap().is_some());

    one.produce(5).unwrap();
    let mut other = producer(&path);
    other.produce(5).unwrap();
    let tickets = queue
        .read_after(Table::ResortTicket, 3_200 * 5, u32::MAX)
        .unwrap();
    let expected: Vec<_> = rows(SEED, winter(), 3_210)
        .into_iter()
        .filter(|(table, _)| *table == Table::ResortTicket)
        .skip(3_200 * 5)
        .map(|(_, data)| data)
        .collect();
    let tickets: Vec<_> = tickets.into_iter().map(|(_, data)| data).collect();
    assert_eq!(tickets, expected);
}

#[tokio::test(start_paused = true)]
async fn a_day_takes_as_long_as_its_speed_says() {
    for (speed, seconds) in [
        ("turtle", 720),
        ("LLAMA", 180),
        ("Cheetah", 90),
        ("86400", 1),
    ] {
        let began = Instant::now();
        let mut pace = Pace::new(speed.parse().unwrap(), 100);
        let mut step = 100;
        while step < 3_300 {
            step += pace.due(step, 3_300 - step).await;
        }
        pace.due(3_300, 1).await;
        let taken = began.elapsed();
        let expected = Duration::from_secs(seconds);
        // Timers are in whole milliseconds.
        assert!(
            taken >= expected && taken < expected + Duration::from_millis(2),
            "{speed}: {taken:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_delayed_pace_catches_up_with_at_most_ten_minutes() {
    // One step every 27 seconds.
    let mut pace = Pace::new(Speed::Times(1.0), 0);
    assert_eq!(pace.due(0, 1_000).await, 1);
    tokio::time::advance(Duration::from_secs(27 * 4 + 1)).await;
    assert_eq!(pace.due(1, 1_000).await, 4);
    tokio::time::advance(Duration::from_secs(27 * 1_000)).await;
    // 600 seconds hold 22 whole steps after the one that is due.
    assert_eq!(pace.due(5, 1_000).await, 23);
    assert_eq!(pace.due(28, 1_000).await, 1);
}

#[test]
fn speeds_are_names_or_numbers() {
    let speed = |text: &str| text.parse::<Speed>();
    assert_eq!(speed("max"), Ok(Speed::Max));
    assert_eq!(speed("CHEETAH"), Ok(Speed::Times(960.0)));
    assert_eq!(speed("2.5"), Ok(Speed::Times(2.5)));
    for bad in ["", "hare", "0", "-1", "nan", "inf", "1e-300"] {
        assert!(speed(bad).unwrap_err().contains("turtle"), "{bad}");
    }
}

#[test]
fn the_command_line_is_checked() {
    let parse =
        |line: &str| Args::read(std::iter::once("ski_resort").chain(line.split_whitespace()));
    let args = parse("").unwrap();
    assert_eq!(args.until(), Until::Step(3_200));
    assert_eq!((args.only, args.speed), (Only::All, Speed::Max));
    assert_eq!(args.max_client_lag, Duration::from_secs(1));
    assert_eq!(args.drain_timeout, Duration::from_secs(5));
    assert_eq!(args.profile, None);

    let args = parse("--duration 1m30s --max-client-lag 250ms --profile env").unwrap();
    assert_eq!(args.until(), Until::Wall(Duration::from_secs(90)));
    assert_eq!(args.max_client_lag, Duration::from_millis(250));
    assert_eq!(args.profile, Some(ProfileSource::Environment));
    assert_eq!(parse("--forever").unwrap().until(), Until::Stopped);
    assert_eq!(parse("--days 3").unwrap().until(), Until::Step(9_600));
    // A streamer alone ends when the generator has ended, unless --days is given.
    let streamer = parse("--only streamer").unwrap();
    assert_eq!(streamer.until(), Until::Stopped);
    let streamer = parse("--only streamer --days 3").unwrap();
    assert_eq!(streamer.until(), Until::Step(9_600));
    let generator = parse("--only generator").unwrap();
    assert_eq!(generator.until(), Until::Step(3_200));

    for bad in [
        "--days 0",
        "--days 1 --forever",
        "--days 1 --duration 5s",
        "--duration 5s --forever",
        "--duration soon",
        "--duration -5s",
        "--drain-timeout 5",
        "--speed hare",
        "--seed -1",
        "--start yesterday",
        "--start 2026-01-17T14:00:00.0000001Z",
        "--start=-000100-01-01T00:00:00Z",
        "--only skier",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

/// Command lines with a flag without effect, the flag, and the remedy in the message.
const UNUSED_FLAGS: [(&str, &str, &str); 23] = [
    (
        "--only generator --serve always",
        "--serve",
        "--only streamer or --only reports",
    ),
    ("--only generator --serve auto", "--serve", "--only reports"),
    (
        "--only generator --reports r.db",
        "--reports",
        "--only streamer",
    ),
    (
        "--only generator --landing l.db",
        "--landing",
        "--only streamer",
    ),
    (
        "--only generator --profile env",
        "--profile",
        "--only streamer",
    ),
    (
        "--only generator --max-client-lag 1s",
        "--max-client-lag",
        "--only streamer",
    ),
    (
        "--only generator --lift-ride-pipe P",
        "--lift-ride-pipe",
        "--only streamer",
    ),
    (
        "--only generator --summary-json s.json",
        "--summary-json",
        "--only streamer",
    ),
    (
        "--only generator --port 0 --open",
        "--open",
        "--only streamer",
    ),
    ("--only streamer --seed 7", "--seed", "--only generator"),
    (
        "--only streamer --start 2026-01-17T14:00:00Z",
        "--start",
        "--only generator",
    ),
    ("--only streamer --speed max", "--speed", "--only generator"),
    ("--only streamer --forever", "--forever", "--only generator"),
    (
        "--only reports --days 2",
        "--days",
        "--only generator or --only streamer",
    ),
    ("--only reports --speed max", "--speed", "--only generator"),
    (
        "--only reports --drain-timeout 1s",
        "--drain-timeout",
        "--only streamer",
    ),
    (
        "--only reports --verify-sql",
        "--verify-sql",
        "--only streamer",
    ),
    (
        "--only reports --profile env",
        "--profile",
        "sql/dynamic_tables.sql",
    ),
    (
        "--only reports --landing l.db --queue q.db",
        "--queue",
        "--landing",
    ),
    ("--profile env --reports r.db", "--reports", "--landing"),
    ("--warehouse W", "--warehouse", "--verify-sql"),
    (
        "--profile env --no-dashboard --warehouse W",
        "--warehouse",
        "--verify-sql",
    ),
    (
        "--profile env --landing l.db --warehouse W",
        "--warehouse",
        "--verify-sql",
    ),
];

#[test]
fn a_flag_without_effect_is_refused() {
    let read = |line: &str| {
        let args = Args::read(std::iter::once("ski_resort").chain(line.split_whitespace()));
        args.map_err(|error| (error.exit_code(), error.to_string()))
    };
    for (line, flag, remedy) in UNUSED_FLAGS {
        let (code, words) = read(line).unwrap_err();
        assert_eq!(code, 2, "{line}");
        assert!(words.contains(flag) && words.contains(remedy), "{words}");
    }
    // All of them are named.
    let (_, words) = read("--only generator --port 0 --open --channel c").unwrap_err();
    for flag in ["--port", "--open", "--channel"] {
        assert!(words.contains(flag), "{words}");
    }
    for line in [
        "--only generator --queue q.db --days 2 --speed cheetah --seed 7 --no-dashboard",
        "--only streamer --days 2 --profile p.json --landing l.db --reports r.db --serve never --max-client-lag 1s",
        "--only reports --landing l.db --reports r.db --serve always --port 0",
        "--only reports --queue q.db",
        "--warehouse W --verify-sql",
        "--warehouse W --profile env",
    ] {
        read(line).unwrap();
    }
}

#[test]
fn the_restricted_flags_exist() {
    let command = Args::command();
    let exists = |flag: &str| command.get_arguments().any(|arg| arg.get_id() == flag);
    let flags = USES.iter().flat_map(|(flags, _)| flags.iter());
    for flag in flags.chain(UNUSED.iter().map(|(flag, ..)| flag)) {
        assert!(exists(flag), "{flag}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_is_bounded_from_the_first_interrupt_on() {
    let (stop, receiver) = watch::channel(false);
    let limit = Duration::from_secs(5);
    let interrupt = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        stop.send_replace(true);
        Instant::now()
    };
    let (interrupted_at, ()) = tokio::join!(interrupt, overdue(receiver, limit));
    assert_eq!(interrupted_at.elapsed(), limit);
}
