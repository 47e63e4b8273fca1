//! The files that a run uses, and those that it may delete.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use clap::Parser;
use snowpipe_streaming_emulator::{DataFile, Ddl};
use tokio::sync::watch;

use super::winter;
use crate::cli::{Args, Until};
use crate::files::{Files, Found};
use crate::live::Board;
use crate::misconfigured::is_misconfigured;
use crate::page::Page;
use crate::place::check_text;
use crate::queue::Queue;
use crate::role::{Role, RoleLock};
use crate::screen::Screen;
use crate::table::Table;
use crate::target::SETUP;
use crate::world::STEPS_PER_DAY;
use crate::{bounded, generate, stream};

const UNTIL: Until = Until::Step(10);

fn files(directory: &Path, line: &str) -> Files {
    let line = line.replace("DIR", &directory.display().to_string());
    let line = std::iter::once("ski_resort").chain(line.split_whitespace());
    Files::new(&Args::try_parse_from(line).unwrap(), directory)
}

/// Leaves a run at that step with one row, released or not.
fn leave(files: &Files, next_step: u64, released: bool) -> String {
    let mut queue = Queue::open(&files.queue).unwrap();
    queue.claim(None, None, winter()).unwrap();
    let row = (Table::SeasonPass, "{}".to_owned());
    queue.append(&[row], next_step, None).unwrap();
    if released {
        queue.delete_through(Table::SeasonPass, 1).unwrap();
    }
    std::fs::write(&files.landing, "landed").unwrap();
    queue.id().to_owned()
}

#[test]
fn the_default_landing_is_beside_its_queue() {
    let here = Path::new("here");
    let default = files(here, "");
    assert_eq!(default.queue, Path::new("here/ski_resort_data/queue.db"));
    assert_eq!(
        default.landing,
        Path::new("here/ski_resort_data/landing.db")
    );
    let named = files(here, "--queue there/a.db");
    assert_eq!(named.landing, Path::new("there/a.landing.db"));
    let both = files(here, "--queue there/a.db --landing b.db");
    assert_eq!(both.landing, Path::new("b.db"));
}

#[test]
fn a_finished_run_at_the_default_paths_starts_fresh() {
    let directory = tempfile::tempdir().unwrap();
    let files = files(directory.path(), "");
    let before = leave(&files, 10, true);
    let (queue, found) = files.open(UNTIL).unwrap();
    assert_eq!(found, Found::StartedOver);
    assert_ne!(queue.id(), before);
    assert_eq!(queue.progress().unwrap(), None);
    assert!(!files.landing.exists());
}

#[test]
fn a_deletion_interrupted_by_a_kill_is_repeated() {
    for stuck in [
        |files: &Files| files.landing.clone(),
        |files: &Files| files.reports.clone(),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let files = files(directory.path(), "");
        let before = leave(&files, 10, true);
        let stuck = stuck(&files);
        let _ = std::fs::remove_file(&stuck);
        std::fs::create_dir(&stuck).unwrap();
        files.open(UNTIL).unwrap_err();
        std::fs::remove_dir(&stuck).unwrap();
        let (queue, found) = files.open(UNTIL).unwrap();
        assert_eq!(found, Found::StartedOver);
        assert_ne!(queue.id(), before);
    }
}

#[tokio::test]
async fn files_that_another_process_holds_are_not_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let line = ["ski_resort", "--no-dashboard", "--days", "1"];
    let args = Args::read(line).unwrap();
    let files = Files::new(&args, directory.path());
    let id = leave(&files, STEPS_PER_DAY, true);
    std::fs::remove_file(&files.landing).unwrap();
    let tables = || DataFile::open(&files.landing, &Ddl::Bootstrap(SETUP.to_owned()));
    drop(tables().unwrap());
    std::fs::write(&files.reports, "reports").unwrap();
    let left = || {
        let all = [&files.queue, &files.landing, &files.reports];
        all.map(|file| std::fs::metadata(file).is_ok())
    };
    let (screen, board) = (Screen::new(), Board::new("max".to_owned()));
    let page = Page::open(&args, &screen, &board).await.unwrap();
    let refused = async || {
        let (_stop, stopped) = watch::channel(false);
        let run = stream(&args, &screen, &files, &board, &page, stopped);
        let error = run.await.unwrap_err();
        assert!(is_misconfigured(&error), "{error:#}");
        assert_eq!(left(), [true; 3], "{error}");
        error.to_string()
    };

    let emulator = tables().unwrap();
    let words = refused().await;
    assert!(words.contains("landing.db is in use by"), "{words}");
    drop(emulator);
    let reporter = RoleLock::take(&files.reports, Role::Reporter).unwrap();
    let words = refused().await;
    assert!(words.contains("is already the reporter of"), "{words}");
    drop(reporter);
    assert_eq!(Queue::open(&files.queue).unwrap().id(), id);
    assert_eq!(files.open(args.until()).unwrap().1, Found::StartedOver);
    assert_eq!(left(), [true, false, false]);
}

#[test]
fn reports_named_on_the_command_line_are_not_deleted() {
    for (line, stay) in [("", false), ("--reports DIR/named.db", true)] {
        let directory = tempfile::tempdir().unwrap();
        let files = files(directory.path(), line);
        leave(&files, 10, true);
        std::fs::write(&files.reports, "reports").unwrap();
        assert_eq!(files.open(UNTIL).unwrap().1, Found::StartedOver);
        assert_eq!(files.reports.exists(), stay);
    }
}

#[test]
fn an_unfinished_run_continues() {
    for (next_step, released) in [(9, true), (10, false)] {
        let directory = tempfile::tempdir().unwrap();
        let files = files(directory.path(), "");
        let before = leave(&files, next_step, released);
        let (queue, found) = files.open(UNTIL).unwrap();
        assert_eq!(found, Found::Unfinished { next_step });
        assert_eq!(queue.id(), before);
        assert!(files.landing.exists());
    }
}

#[test]
fn a_streamer_is_finished_when_the_generator_ended() {
    let directory = tempfile::tempdir().unwrap();
    let files = files(directory.path(), "--only streamer --queue DIR/q.db");
    leave(&files, 10, true);
    let found = |files: &Files| files.open(Until::Stopped).unwrap().1;
    assert_eq!(found(&files), Found::Unfinished { next_step: 10 });
    Queue::open(&files.queue).unwrap().end().unwrap();
    assert_eq!(found(&files), Found::Finished);
}

#[test]
fn a_finished_run_is_extended_for_a_time_or_without_end() {
    for until in [Until::Stopped, Until::Wall(Duration::from_secs(90))] {
        for (line, expected) in [
            ("--queue DIR/q.db", Found::Extended { next_step: 10 }),
            ("--only generator", Found::Extended { next_step: 10 }),
            ("", Found::StartedOver),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let files = files(directory.path(), line);
            leave(&files, 10, true);
            Queue::open(&files.queue).unwrap().end().unwrap();
            assert_eq!(files.open(until).unwrap().1, expected, "{line} {until:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_generator_extends_a_finished_queue_for_the_given_time() {
    let directory = tempfile::tempdir().unwrap();
    let queue = directory.path().join("q.db");
    let words = ["ski_resort", "--only", "generator", "--speed", "960"];
    let words = words.map(OsString::from).into_iter();
    let more = ["--duration".into(), "1s".into(), "--queue".into()];
    let args = Args::read(words.chain(more).chain([queue.clone().into()])).unwrap();
    let files = Files::new(&args, directory.path());
    leave(&files, 10, true);
    Queue::open(&queue).unwrap().end().unwrap();
    let (_stop, stopped) = watch::channel(false);
    let code = generate(&args, &Screen::new(), &files, stopped).await;
    assert_eq!(code.unwrap(), 0);
    let progress = Queue::open(&queue).unwrap().progress().unwrap().unwrap();
    // A step each 28 ms.
    assert!((40..50).contains(&progress.next_step), "{progress:?}");
    assert!(progress.ended);
}

#[test]
fn named_or_shared_files_are_never_deleted() {
    for line in [
        "--queue DIR/q.db",
        "--landing DIR/l.db",
        "--only generator",
        "--only streamer",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let files = files(directory.path(), line);
        let before = leave(&files, 10, true);
        let (queue, found) = files.open(UNTIL).unwrap();
        assert_eq!((queue.id(), found), (before.as_str(), Found::Finished));
        assert_eq!(std::fs::read(&files.landing).unwrap(), b"landed");
    }
}

#[test]
fn an_unwritable_summary_is_refused_first_and_no_file_is_created() {
    let directory = tempfile::tempdir().unwrap();
    let inside = |name: &str| directory.path().join(name);
    check_text(&inside("new.json"), "--summary-json").unwrap();
    std::fs::write(inside("old.json"), "old").unwrap();
    check_text(&inside("old.json"), "--summary-json").unwrap();
    assert_eq!(std::fs::read(inside("old.json")).unwrap(), b"old");
    check_text(Path::new("/dev/null"), "--summary-json").unwrap();
    for path in [
        inside("none/new.json"),
        inside("none/"),
        inside("old.json/new.json"),
        inside(""),
    ] {
        let error = check_text(&path, "--summary-json").unwrap_err();
        assert!(is_misconfigured(&error), "{error:#}");
        let words = error.to_string();
        assert!(words.contains(&path.display().to_string()), "{words}");
        assert!(words.ends_with("give another --summary-json"), "{words}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn names_that_sqlite_does_not_treat_as_files_are_refused() {
    for flag in ["--queue", "--landing", "--reports"] {
        for name in [":memory:", "file:q.db?mode=memory"] {
            let files = files(Path::new(""), &format!("{flag} {name}"));
            let error = files.check(true).unwrap_err();
            assert!(is_misconfigured(&error), "{error:#}");
            let words = error.to_string();
            assert!(words.contains(name) && words.ends_with(flag), "{words}");
        }
        assert!(Args::read(["ski_resort", flag, ""]).is_err(), "{flag}");
    }
    Queue::open(Path::new(":memory:")).unwrap_err();
}

#[cfg(unix)]
#[test]
fn a_summary_can_be_written_through_a_link() {
    let directory = tempfile::tempdir().unwrap();
    let inside = |name: &str| directory.path().join(name);
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, inside(name)).unwrap();
    std::fs::create_dir(inside("there")).unwrap();
    link("there/new.json", "good");
    link("good", "further");
    link("nowhere/new.json", "bad");
    link("round", "round");
    for (name, is_fine) in [
        ("good", true),
        ("further", true),
        ("bad", false),
        ("round", false),
    ] {
        let checked = check_text(&inside(name), "--summary-json");
        assert_eq!(checked.is_ok(), is_fine, "{name}: {checked:?}");
    }
    assert_eq!(std::fs::read_dir(inside("there")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_run_with_unusable_paths_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("taken")).unwrap();
    for flag in ["--queue", "--landing", "--reports", "--summary-json"] {
        let line = format!("--queue DIR/new.db {flag} DIR/taken")
            .replace("--queue DIR/new.db --queue", "--queue");
        let line = line.replace("DIR", &directory.path().display().to_string());
        let words = ["ski_resort", "--no-dashboard"].into_iter();
        let args = Args::read(words.chain(line.split_whitespace())).unwrap();
        let error = bounded(&args, &Screen::new()).await.unwrap_err();
        assert!(is_misconfigured(&error), "{error:#}");
        let words = error.to_string();
        assert!(words.contains("taken") && words.contains(flag), "{words}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
