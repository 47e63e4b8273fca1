//! The queue: ids that are never reused, one transaction for rows and progress, two processes at the same time.

use std::path::PathBuf;

use futures_util::future::join3;
use rusqlite::Connection;

use super::winter;
use crate::live::Board;
use crate::misconfigured::is_misconfigured;
use crate::monitor::Monitor;
use crate::queue::{Progress, Queue, Span, Turn};
use crate::role::{Role, RoleLock};
use crate::rows::Row;
use crate::table::Table;

fn ride(number: i64) -> Row {
    (Table::LiftRide, format!("ride {number}"))
}

fn ids(queue: &Queue, after: i64, limit: u32) -> Vec<i64> {
    let rows = queue.read_after(Table::LiftRide, after, limit).unwrap();
    rows.into_iter().map(|(id, _)| id).collect()
}

fn temporary() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data").join("queue.db");
    (directory, path)
}

#[test]
fn reads_are_ordered_and_bounded_and_deletes_stop_at_the_id() {
    let (_directory, path) = temporary();
    let mut queue = Queue::open(&path).unwrap();
    let rows: Vec<_> = (1..=10).map(ride).collect();
    queue.append(&rows, 1, None).unwrap();

    assert_eq!(ids(&queue, 0, 3), [1, 2, 3]);
    assert_eq!(ids(&queue, 3, 100), [4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(
        queue.read_after(Table::LiftRide, 9, 5).unwrap(),
        [(10, "ride 10".to_owned())]
    );
    assert!(ids(&queue, 10, 5).is_empty());
    assert!(
        queue
            .read_after(Table::SeasonPass, 0, 5)
            .unwrap()
            .is_empty()
    );

    assert_eq!(queue.delete_through(Table::LiftRide, 4).unwrap(), 4);
    assert_eq!(queue.delete_through(Table::LiftRide, 4).unwrap(), 0);
    assert_eq!(ids(&queue, 0, 3), [5, 6, 7]);
    let span = queue.span(Table::LiftRide).unwrap();
    assert_eq!((span.issued, span.released, span.queued()), (10, 4, 6));
}

#[test]
fn ids_rise_over_restarts_and_after_everything_was_deleted() {
    let (_directory, path) = temporary();
    let mut queue = Queue::open(&path).unwrap();
    assert_eq!(
        queue.span(Table::LiftRide).unwrap(),
        Span {
            issued: 0,
            released: 0
        }
    );
    queue.append(&[ride(1), ride(2)], 1, None).unwrap();
    queue.delete_through(Table::LiftRide, 2).unwrap();
    let id = queue.id().to_owned();
    drop(queue);

    let mut queue = Queue::open(&path).unwrap();
    assert_eq!(queue.id(), id);
    assert_eq!(id.len(), 16);
    assert_eq!(
        queue.span(Table::LiftRide).unwrap(),
        Span {
            issued: 2,
            released: 2
        }
    );
    queue.append(&[ride(3)], 2, None).unwrap();
    assert_eq!(ids(&queue, 0, 5), [3]);

    let other = tempfile::tempdir().unwrap();
    assert_ne!(Queue::open(&other.path().join("q")).unwrap().id(), id);
}

#[test]
fn progress_and_history_belong_to_the_queue() {
    let (_directory, path) = temporary();
    let mut queue = Queue::open(&path).unwrap();
    assert_eq!(queue.progress().unwrap(), None);
    // The default seed is the date of the start.
    let progress = queue.claim(None, None, winter()).unwrap();
    let started = Progress {
        seed: 20_260_117,
        start: winter(),
        next_step: 0,
        ended: false,
    };
    assert_eq!(progress, started);
    queue.append(&[ride(1)], 32, Some("state")).unwrap();
    queue.end().unwrap();
    drop(queue);

    let mut queue = Queue::open(&path).unwrap();
    let ended = Progress {
        next_step: 32,
        ended: true,
        ..started
    };
    assert_eq!(queue.claim(None, None, winter()).unwrap(), ended);
    assert_eq!(
        queue
            .claim(Some(20_260_117), Some(winter()), winter())
            .unwrap(),
        ended
    );
    assert_eq!(queue.checkpoint().unwrap().as_deref(), Some("state"));
    queue.append(&[], 33, None).unwrap();
    assert!(!queue.progress().unwrap().unwrap().ended);

    let refused = queue
        .claim(Some(7), None, winter())
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("--seed 20260117 --start 2026-01-17T14:00:00Z"),
        "{refused}"
    );
    assert!(
        refused.contains("--seed 7 --start 2026-01-17T14:00:00Z"),
        "{refused}"
    );
}

#[test]
fn dead_letters_are_kept_once_and_outlive_their_rows() {
    let (_directory, path) = temporary();
    let mut queue = Queue::open(&path).unwrap();
    let rows: Vec<_> = (1..=5).map(ride).collect();
    queue.append(&rows, 1, None).unwrap();
    let kept = |queue: &mut Queue| {
        queue
            .dead_letter(Table::LiftRide, 1, 3, "no number", 1)
            .unwrap()
    };
    assert_eq!(kept(&mut queue), 2);
    assert_eq!(kept(&mut queue), 0);
    assert_eq!(queue.rejects(Table::LiftRide).unwrap(), 1);
    assert_eq!(queue.rejects(Table::SeasonPass).unwrap(), 0);
    queue.delete_through(Table::LiftRide, 5).unwrap();
    drop(queue);

    let plain = rusqlite::Connection::open(&path).unwrap();
    let letters: Vec<(String, i64, String, String)> = plain
        .prepare("SELECT TABLE_NAME, ROW_ID, DATA, REASON FROM DEAD_LETTER ORDER BY ROW_ID")
        .unwrap()
        .query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let letter = |id: i64| {
        (
            "LIFT_RIDE".to_owned(),
            id,
            format!("ride {id}"),
            "no number".to_owned(),
        )
    };
    assert_eq!(letters, [letter(2), letter(3)]);
}

#[test]
fn the_file_shrinks_when_its_rows_are_gone() {
    let (_directory, path) = temporary();
    let mut queue = Queue::open(&path).unwrap();
    let long = "x".repeat(500);
    let rows: Vec<_> = (0..2_000)
        .map(|_| (Table::LiftRide, long.clone()))
        .collect();
    for round in 1..=5_u16 {
        queue.append(&rows, round.into(), None).unwrap();
        queue
            .delete_through(Table::LiftRide, i64::from(round) * 2_000)
            .unwrap();
    }
    // Closing moves the write-ahead log into the file, through which five megabytes have gone.
    drop(queue);
    let after = std::fs::metadata(&path).unwrap().len();
    assert!(after <= 64 * 1_024, "{after} bytes");
}

#[test]
fn two_connections_write_and_delete_side_by_side() {
    const ROUNDS: i64 = 200;
    let (_directory, path) = temporary();
    let writer = std::thread::spawn({
        let path = path.clone();
        move || {
            let mut queue = Queue::open(&path).unwrap();
            for round in 0..ROUNDS {
                let rows: Vec<_> = (1..=10).map(|n| ride(round * 10 + n)).collect();
                queue.append(&rows, round.unsigned_abs() + 1, None).unwrap();
            }
        }
    });
    let mut queue = Queue::open(&path).unwrap();
    let mut next = 1;
    while next <= ROUNDS * 10 {
        for (id, data) in queue.read_after(Table::LiftRide, next - 1, 64).unwrap() {
            assert_eq!((id, data), (next, format!("ride {next}")));
            next += 1;
        }
        queue.delete_through(Table::LiftRide, next - 1).unwrap();
    }
    writer.join().unwrap();
    assert_eq!(queue.span(Table::LiftRide).unwrap().queued(), 0);
}

#[test]
fn waiting_writers_occupy_one_thread() {
    let (_directory, path) = temporary();
    let queues = [Queue::open(&path).unwrap(), Queue::open(&path).unwrap()];
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let two_threads = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(2)
        .build()
        .unwrap();
    let turn = Turn::default();
    let [first, second] = queues.map(|mut queue| turn.write(move || queue.end()));
    let gives_way =
        async { tokio::task::spawn_blocking(move || other.execute_batch("ROLLBACK")).await };
    let (first, second, given) = two_threads.block_on(join3(first, second, gives_way));
    given.unwrap().unwrap();
    first.unwrap();
    second.unwrap();
}

#[tokio::test]
async fn a_sample_does_not_wait_for_writers() {
    let (_directory, path) = temporary();
    let board = Board::new(String::new());
    let mut monitor = Monitor::new(board.clone(), &path, None);
    monitor.update().await;
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    monitor.update().await;
    let looks = board.subscribe().borrow().history.elapsed_s.len();
    assert_eq!(looks, 2, "one that fails is not remembered");
}

#[test]
fn a_role_is_held_once_and_its_holder_is_named() {
    let (_directory, path) = temporary();
    let generator = RoleLock::take(&path, Role::Generator).unwrap();
    let _streamer = RoleLock::take(&path, Role::Streamer).unwrap();
    let refused = RoleLock::take(&path, Role::Generator)
        .unwrap_err()
        .to_string();
    if cfg!(unix) {
        let holder = format!("process {} is already the generator", std::process::id());
        assert!(refused.contains(&holder), "{refused}");
    }
    drop(generator);
    RoleLock::take(&path, Role::Generator).unwrap();
}

#[cfg(unix)]
#[test]
fn a_file_with_the_name_of_a_lock_is_kept() {
    let (directory, path) = temporary();
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let lock = std::path::PathBuf::from(format!("{}.generator.lock", path.display()));
    let refused = || {
        let error = RoleLock::take(&path, Role::Generator).unwrap_err();
        assert!(is_misconfigured(&error), "{error:#}");
        assert!(error.to_string().contains("is not a lock"), "{error:#}");
    };
    std::fs::write(&lock, "version = 4\n").unwrap();
    refused();
    assert_eq!(std::fs::read_to_string(&lock).unwrap(), "version = 4\n");
    std::fs::remove_file(&lock).unwrap();
    let target = directory.path().join("target");
    std::os::unix::fs::symlink(&target, &lock).unwrap();
    refused();
    assert!(!target.exists());
    std::fs::remove_file(&lock).unwrap();
    // An earlier process has left it.
    std::fs::write(&lock, "4711").unwrap();
    RoleLock::take(&path, Role::Generator).unwrap();
}

#[cfg(unix)]
#[test]
fn a_role_is_held_once_for_all_links_to_the_queue() {
    let (directory, path) = temporary();
    let link = directory.path().join("link.db");
    // The link leads to a queue that does not exist yet.
    std::os::unix::fs::symlink("data/queue.db", &link).unwrap();
    std::fs::create_dir(directory.path().join("data")).unwrap();
    let held = RoleLock::take(&link, Role::Generator).unwrap();
    RoleLock::take(&path, Role::Generator).unwrap_err();
    drop(held);
    Queue::open(&path).unwrap();
    let _held = RoleLock::take(&path, Role::Generator).unwrap();
    RoleLock::take(&link, Role::Generator).unwrap_err();
}

#[test]
fn a_file_with_other_data_is_refused_and_not_changed() {
    let directory = tempfile::tempdir().unwrap();
    let refused = |path: &std::path::Path, why: &str| {
        let error = Queue::open(path).unwrap_err();
        assert!(is_misconfigured(&error), "{error:#}");
        let words = error.to_string();
        assert!(words.contains(&path.display().to_string()), "{words}");
        assert!(words.contains(why) && words.contains("--queue"), "{words}");
    };

    let database = directory.path().join("another.db");
    let connection = Connection::open(&database).unwrap();
    // An emulator's data file has tables of the same names.
    connection
        .execute_batch("CREATE TABLE LIFT_RIDE (TXID TEXT)")
        .unwrap();
    drop(connection);
    let text = directory.path().join("text");
    std::fs::write(&text, "these are some words, and no database at all").unwrap();
    for (path, why) in [
        (&database, "holds other data and is not changed"),
        (&text, "file is not a database"),
    ] {
        let before = std::fs::read(path).unwrap();
        refused(path, why);
        assert_eq!(std::fs::read(path).unwrap(), before);
    }
    let byte = directory.path().join("byte");
    std::fs::write(&byte, "?").unwrap();
    refused(&byte, "holds other data and is not changed");
    assert_eq!(std::fs::read(&byte).unwrap(), b"?");
    refused(directory.path(), "is a directory");
}

#[test]
fn a_role_for_an_unusable_path_names_the_flag_to_change() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = RoleLock::take(&file.join("queue.db"), Role::Generator).unwrap_err();
    assert!(is_misconfigured(&error), "{error:#}");
    assert!(
        error.to_string().ends_with("give another --queue"),
        "{error}"
    );
}
