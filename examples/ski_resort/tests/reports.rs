//! The reports' file with kills, damage and replaced landings, and the rate of its updates.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use rusqlite::{Connection, ErrorCode};
use snowpipe_connector_support::error_text::with_causes;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::reports_scene::{OBJECTS, Scene};
use crate::dashboard::ReportPlace;
use crate::keeper::Keeper;
use crate::live::{Board, Live};
use crate::misconfigured::is_misconfigured;
use crate::page::ReportFeed;
use crate::reports::{Reports, attach, keep, reader, round};
use crate::role::{Role, RoleLock};

const HOUR: &str = "2026-01-31 15";

/// Updates everything from the landing and counts the rides.
fn refresh(scene: &Scene, reports: &mut Reports) -> i64 {
    reports.refresh_visits().unwrap();
    reports.refresh_tables().unwrap();
    scene.rides()
}

#[test]
fn reports_round_the_decimal_value_half_away_from_zero() {
    let cases: [(f64, u32, f64); 21] = [
        (0.5, 0, 1.0),
        (-0.5, 0, -1.0),
        (2.5, 0, 3.0),
        (2.499_999_99, 0, 2.0),
        // Less than that in binary.
        (1.005, 2, 1.01),
        (-1.005, 2, -1.01),
        (10.15, 1, 10.2),
        (f64::midpoint(10.1, 10.2), 1, 10.2),
        (0.1 + 0.2, 8, 0.3),
        (1.0 / 3.0, 8, 0.333_333_33),
        (2.0 / 3.0, 8, 0.666_666_67),
        (-2.0 / 3.0, 8, -0.666_666_67),
        // Half of the ninth place.
        (0.000_000_005, 8, 0.000_000_01),
        (78_750.0, 8, 78_750.0),
        (89_999_999.123_456_78, 2, 89_999_999.12),
        // Without room for eight places.
        (100_000_000.126, 2, 100_000_000.13),
        (123_456_789.5, 0, 123_456_790.0),
        (-123_456_789.005, 2, -123_456_789.01),
        (123_456_789_012.0, 1, 123_456_789_012.0),
        // Without room for any.
        (1e300, 2, 1e300),
        (0.0, 2, 0.0),
    ];
    for (number, places, expected) in cases {
        let found = round(number, places);
        assert_eq!(
            found.to_bits(),
            expected.to_bits(),
            "{number} to {places}: {found}"
        );
    }
    assert!(round(f64::NAN, 2).is_nan());
}

#[test]
fn reports_are_read_with_the_same_rounding() {
    let scene = Scene::new();
    drop(scene.open());
    let connection = reader(&scene.path()).unwrap();
    let rounded = |sql: &str| -> Option<f64> {
        let sql = format!("SELECT {sql}");
        connection.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(rounded("ROUND(1.005, 2)"), Some(1.01));
    assert_eq!(rounded("ROUND(2.5)"), Some(3.0));
    assert_eq!(rounded("ROUND(7, 2)"), Some(7.0));
    assert_eq!(rounded("ROUND(NULL, 2)"), None);
    assert_eq!(rounded("ROUND(1.5, NULL)"), None);
    let written = connection.execute("DELETE FROM RESORT_CAPACITY", []);
    let error = written.unwrap_err().sqlite_error_code();
    assert_eq!(error, Some(ErrorCode::ReadOnly));
}

#[test]
fn reports_of_an_empty_landing_are_empty() {
    let scene = Scene::new();
    let mut reports = scene.open();
    assert!(!reports.refresh_visits().unwrap());
    assert!(!reports.refresh_tables().unwrap());
    assert_eq!(scene.look("V_WORLD_CLOCK").rows, [[""]]);
    for object in OBJECTS {
        let rows = scene.look(object).rows.len();
        let expected = match object {
            "RESORT_CAPACITY" => 5,
            "V_WORLD_CLOCK" => 1,
            _ => 0,
        };
        assert_eq!(rows, expected, "{object}");
    }
}

#[test]
fn reports_wait_for_the_tables_of_a_landing() {
    let scene = Scene::new();
    std::fs::write(scene.landing(), "").unwrap();
    let mut reports = scene.open();
    assert!(!reports.refresh_visits().unwrap());
    std::fs::remove_file(scene.landing()).unwrap();
    reports.refresh_visits().unwrap_err();
    assert!(!scene.landing().exists());
}

#[test]
fn reports_say_whether_something_changed() {
    let mut scene = Scene::new();
    let mut reports = scene.open();
    scene.ride("A", "Vail", HOUR);
    assert!(reports.refresh_visits().unwrap());
    assert!(!reports.refresh_visits().unwrap());
    assert!(reports.refresh_tables().unwrap());
    assert!(!reports.refresh_tables().unwrap());
    assert_eq!(scene.rides(), 1);
}

#[test]
fn reports_lose_and_double_nothing_in_a_kill() {
    let mut scene = Scene::new();
    for rider in ["A", "B", "C", "D", "E"] {
        scene.ride(rider, "Vail", HOUR);
    }
    let mut reports = scene.open();
    let copies = tempfile::tempdir().unwrap();
    let mut kills = 0;
    loop {
        let taken = reports.take_chunk(2).unwrap();
        // What a process that is killed here leaves.
        let copy = copies.path().join(format!("{kills}.db"));
        for ending in ["", "-wal"] {
            let of = |path: &Path| format!("{}{ending}", path.display());
            std::fs::copy(of(&scene.path()), of(&copy)).unwrap();
        }
        let claimed = Reports::claim(&copy, &scene.landing()).unwrap();
        let mut after = claimed.open().unwrap();
        after.refresh_visits().unwrap();
        assert!(after.refresh_tables().unwrap());
        let sql = "SELECT VISITOR_COUNT, TOTAL_RIDES FROM HOURLY_LIFT_ACTIVITY";
        let counts = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let counts: (i64, i64) = reader(&copy).unwrap().query_row(sql, [], counts).unwrap();
        assert_eq!(counts, (5, 5));
        kills += 1;
        if !taken.behind {
            break;
        }
    }
    assert_eq!(kills, 3);
}

#[test]
fn reports_updated_by_two_processes_count_nothing_twice() {
    let mut scene = Scene::new();
    for rider in 0..200 {
        scene.ride(&rider.to_string(), "Vail", HOUR);
    }
    let mut takers = [scene.open(), scene.open()];
    std::thread::scope(|threads| {
        for reports in &mut takers {
            threads.spawn(|| while reports.take_chunk(3).unwrap().behind {});
        }
    });
    assert_eq!(refresh(&scene, &mut takers[0]), 200);
    assert!(!takers[1].refresh_tables().unwrap());
    assert_eq!(scene.look("DAILY_VISITS").rows.len(), 200);
}

#[test]
fn reports_of_another_landing_start_over() {
    let mut scene = Scene::new();
    let mut reports = scene.open();
    for rider in ["A", "B", "C"] {
        scene.ride(rider, "Vail", HOUR);
    }
    assert_eq!(refresh(&scene, &mut reports), 3);
    // A concurrent reader is not disconnected.
    let onlooker = reader(&scene.path()).unwrap();
    let rides = |connection: &Connection| -> i64 {
        let sql = "SELECT coalesce(sum(TOTAL_RIDES), 0) FROM HOURLY_LIFT_ACTIVITY";
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(rides(&onlooker), 3);

    // Fewer rows, as many with other contents, more of them, and none.
    for riders in [
        &["A"][..],
        &["B"],
        &["C", "D", "E"],
        &["F", "G", "H", "I"],
        &[],
    ] {
        scene.renew();
        for rider in riders {
            scene.ride(rider, "Keystone", HOUR);
        }
        let landed = i64::try_from(riders.len()).unwrap();
        assert_eq!(refresh(&scene, &mut reports), landed);
        assert_eq!(rides(&onlooker), landed);
        assert_eq!(scene.look("DAILY_VISITS").rows.len(), riders.len());
        drop(reports);
        reports = scene.open();
        assert!(!reports.refresh_visits().unwrap());
    }
}

#[test]
fn reports_of_another_version_start_over() {
    let mut scene = Scene::new();
    scene.ride("A", "Vail", HOUR);
    let mut reports = scene.open();
    assert_eq!(refresh(&scene, &mut reports), 1);
    drop(reports);
    let connection = Connection::open(scene.path()).unwrap();
    let sql = "UPDATE _MADE_BY SET STATEMENTS = 'others'; UPDATE HOURLY_LIFT_ACTIVITY SET TOTAL_RIDES = 99";
    connection.execute_batch(sql).unwrap();
    drop(connection);
    let mut reports = scene.open();
    assert!(scene.look("DAILY_VISITS").rows.is_empty());
    assert_eq!(refresh(&scene, &mut reports), 1);
}

#[test]
fn reports_that_are_damaged_start_over() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 3] = [
        ("cut off", |bytes| bytes.truncate(bytes.len() / 2)),
        ("nothing", Vec::clear),
        ("pages overwritten", |bytes| bytes[4096..].fill(0xaa)),
    ];
    for (damage, change) in damages {
        let mut scene = Scene::new();
        scene.ride("A", "Vail", HOUR);
        let mut reports = scene.open();
        assert_eq!(refresh(&scene, &mut reports), 1);
        drop(reports);
        let mut bytes = std::fs::read(scene.path()).unwrap();
        change(&mut bytes);
        std::fs::write(scene.path(), bytes).unwrap();
        let mut reports = scene.open();
        scene.ride("B", "Vail", HOUR);
        assert_eq!(refresh(&scene, &mut reports), 2, "{damage}");
    }
}

#[test]
fn reports_do_not_change_a_file_with_other_data() {
    let mut scene = Scene::new();
    scene.ride("A", "Vail", HOUR);
    scene.close();
    let landing = std::fs::read(scene.landing()).unwrap();
    let mut damaged = landing.clone();
    damaged[4096..].fill(0xaa);
    let text = b"Not a database, but important.\n".to_vec();
    for contents in [landing, damaged, text, vec![b'?']] {
        std::fs::write(scene.path(), &contents).unwrap();
        let error = scene.claim().unwrap_err();
        assert!(is_misconfigured(&error), "{error:#}");
        assert_eq!(std::fs::read(scene.path()).unwrap(), contents);
    }
}

#[test]
fn reports_at_a_directory_name_the_flag_to_change() {
    let scene = Scene::new();
    std::fs::create_dir(scene.path()).unwrap();
    let error = scene.claim().unwrap_err();
    assert!(is_misconfigured(&error), "{error:#}");
    let words = with_causes(error.as_ref());
    let expected = format!(
        "{} is a directory: give a file with --reports",
        scene.path().display()
    );
    assert!(words.ends_with(&expected), "{words}");
}

#[test]
fn reports_never_write_to_the_landing() {
    let mut scene = Scene::new();
    scene.ride("A", "Vail", HOUR);
    scene.close();
    let look = || {
        let modified = std::fs::metadata(scene.landing()).unwrap().modified();
        (std::fs::read(scene.landing()).unwrap(), modified.unwrap())
    };
    let before = look();
    let mut reports = scene.open();
    assert_eq!(refresh(&scene, &mut reports), 1);
    drop(reports);
    assert_eq!(look(), before);

    let connection = Connection::open_in_memory().unwrap();
    attach(&connection, &scene.landing()).unwrap();
    let written = connection.execute("DELETE FROM landing.LIFT_RIDE", []);
    let error = written.unwrap_err().sqlite_error_code();
    assert_eq!(error, Some(ErrorCode::ReadOnly));
    attach(&connection, &scene.path().with_extension("missing")).unwrap_err();
}

/// Reports that are being updated.
struct Kept {
    stop: watch::Sender<bool>,
    changed: watch::Receiver<u64>,
    running: JoinHandle<Result<()>>,
}

impl Kept {
    fn new(scene: &Scene) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (counter, changed) = watch::channel(0);
        let running = keep(scene.open(), stopped, counter);
        Self {
            stop,
            changed,
            running: tokio::spawn(running),
        }
    }

    /// Waits until so many rides are in the tables.
    async fn wait_for(&mut self, scene: &Scene, rides: i64) {
        while scene.rides() != rides {
            self.changed.changed().await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn reports_are_updated_until_stopped_and_then_once_more() {
    let mut scene = Scene::new();
    scene.ride("A", "Vail", HOUR);
    let mut kept = Kept::new(&scene);
    kept.changed.changed().await.unwrap();
    kept.wait_for(&scene, 1).await;
    scene.ride("B", "Vail", HOUR);
    kept.wait_for(&scene, 2).await;
    // Nothing more is taken in before the next second, unless it ends.
    scene.ride("C", "Vail", HOUR);
    kept.stop.send(true).unwrap();
    kept.running.await.unwrap().unwrap();
    assert_eq!(scene.rides(), 3);
}

#[tokio::test(start_paused = true)]
async fn reports_are_refreshed_no_more_often_than_they_should() {
    let mut scene = Scene::new();
    let mut kept = Kept::new(&scene);
    let began = Instant::now();
    for rider in 0..100 {
        scene.ride(&rider.to_string(), "Vail", HOUR);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Ten seconds: at most eleven times the visits and six times the tables.
    assert_eq!(began.elapsed(), Duration::from_secs(10));
    let changes = *kept.changed.borrow_and_update();
    assert!((10..=17).contains(&changes), "{changes}");
    drop(kept.stop);
    kept.running.await.unwrap().unwrap();
    assert_eq!(scene.rides(), 100);
}

#[tokio::test(start_paused = true)]
async fn reports_that_cannot_be_updated_return_an_error() {
    let scene = Scene::new();
    std::fs::remove_file(scene.landing()).unwrap();
    let kept = Kept::new(&scene);
    let error = kept.running.await.unwrap().unwrap_err();
    assert!(
        error.to_string().contains("cannot read the landing"),
        "{error:#}"
    );
}

fn feed() -> ReportFeed {
    ReportFeed {
        place: watch::channel(ReportPlace::Unknown).0,
        changed: watch::channel(0).0,
    }
}

#[tokio::test(start_paused = true)]
async fn reports_that_take_long_to_open_do_not_block_the_run() {
    let mut scene = Scene::new();
    scene.ride("A", "Vail", HOUR);
    drop(scene.open());
    let busy = Connection::open(scene.path()).unwrap();
    busy.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (board, feed) = (Board::new("max".to_owned()), feed());
    let (mut live, place) = (board.subscribe(), feed.place.subscribe());
    let lock = RoleLock::take(&scene.path(), Role::Reporter).unwrap();
    let keeper = Keeper::start(lock, &scene.path(), &scene.landing(), feed, &board)
        .await
        .unwrap();
    assert_eq!(live.borrow().reports, "none");
    // The existing reports can be read.
    assert!(matches!(*place.borrow(), ReportPlace::Embedded(_)));
    busy.execute_batch("COMMIT").unwrap();
    live.wait_for(|live| live.reports == "current")
        .await
        .unwrap();
    keeper.finish().await.unwrap();
    assert_eq!(scene.rides(), 1);
}

#[tokio::test(start_paused = true)]
async fn files_that_cannot_hold_reports_are_refused_at_once() {
    let scene = Scene::new();
    let board = Board::new("max".to_owned());
    let (path, landing) = (scene.path(), scene.landing());
    let start = async || {
        let lock = RoleLock::take(&path, Role::Reporter)?;
        Keeper::start(lock, &path, &landing, feed(), &board).await
    };
    std::fs::write(scene.path(), "Somebody needs this.").unwrap();
    assert!(is_misconfigured(&start().await.unwrap_err()));
    std::fs::remove_file(scene.path()).unwrap();
    let keeper = start().await.unwrap();
    assert!(is_misconfigured(&start().await.unwrap_err()));
    keeper.finish().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn failed_reports_are_retried() {
    let mut scene = Scene::new();
    let (path, landing) = (scene.path(), scene.landing());
    let board = Board::new("max".to_owned());
    let start = async || {
        let lock = RoleLock::take(&path, Role::Reporter)?;
        Keeper::start(lock, &path, &landing, feed(), &board).await
    };
    let mut live = board.subscribe();
    std::fs::remove_file(&landing).unwrap();
    let keeper = start().await.unwrap();
    let failed = |live: &Live| live.reports.starts_with("failed: cannot read the landing");
    live.wait_for(failed).await.unwrap();
    scene.renew();
    scene.ride("A", "Vail", HOUR);
    let current = |live: &Live| live.reports == "current";
    live.wait_for(current).await.unwrap();
    keeper.finish().await.unwrap();
    assert_eq!(scene.rides(), 1);

    let keeper = start().await.unwrap();
    std::fs::remove_file(&landing).unwrap();
    keeper.finish().await.unwrap_err();
}
