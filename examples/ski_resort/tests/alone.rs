//! The reports of a landing without streaming.

use std::path::Path;

use snowpipe_connector_support::error_text::with_causes;
use tokio::sync::watch;

use super::reports_scene::Scene;
use crate::cli::Args;
use crate::live::{Board, Phase};
use crate::misconfigured::is_misconfigured;
use crate::page::Page;
use crate::screen::Screen;
use crate::{alone, landing};

const HOUR: &str = "2026-01-31 15";

fn args(scene: &Scene, serve: &str) -> Args {
    let path = |path: &Path| path.display().to_string();
    let (landing, reports) = (path(&scene.landing()), path(&scene.path()));
    let words = [
        "ski_resort",
        "--only",
        "reports",
        "--landing",
        &landing,
        "--reports",
        &reports,
        "--port",
        "0",
        "--serve",
        serve,
    ];
    Args::read(words).unwrap()
}

/// The error of a run on that landing whose page does not stay.
async fn refused(scene: &Scene) -> String {
    let (screen, board) = (Screen::new(), Board::new("max".to_owned()));
    let args = args(scene, "never");
    let page = Page::open(&args, &screen, &board).await.unwrap();
    let (_stop, stopped) = watch::channel(false);
    let report = alone::report(&args, &screen, &board, &page, stopped);
    let error = report.await.unwrap_err();
    assert!(is_misconfigured(&error), "{error:#}");
    with_causes(error.as_ref())
}

#[tokio::test]
async fn a_file_that_is_not_a_landing_is_refused() {
    let mut scene = Scene::new();
    scene.close();
    std::fs::write(scene.landing(), "This is no database at all.").unwrap();
    let words = refused(&scene).await;
    assert!(words.contains("file is not a database: give"), "{words}");
    assert!(!scene.path().exists());

    std::fs::write(scene.landing(), "").unwrap();
    let words = refused(&scene).await;
    let all = "has no RESORT_TICKET, no SEASON_PASS, no LIFT_RIDE: give";
    assert!(words.contains(all), "{words}");

    scene.renew();
    let connection = rusqlite::Connection::open(scene.landing()).unwrap();
    connection.execute_batch("DROP TABLE SEASON_PASS").unwrap();
    let words = refused(&scene).await;
    assert!(words.contains("has no SEASON_PASS: give"), "{words}");

    std::fs::remove_file(scene.landing()).unwrap();
    let words = refused(&scene).await;
    assert!(words.contains("there is no landing"), "{words}");
}

#[tokio::test(start_paused = true)]
async fn a_page_that_stays_waits_for_the_tables_of_an_emulator() {
    let mut scene = Scene::new();
    scene.close();
    std::fs::write(scene.landing(), "").unwrap();
    let (screen, board) = (Screen::new(), Board::new("max".to_owned()));
    let args = args(&scene, "always");
    let page = Page::open(&args, &screen, &board).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let mut live = board.subscribe();
    let meanwhile = async {
        let is_waiting = live.wait_for(|live| live.message.is_some()).await.unwrap();
        let message = is_waiting.message.clone().unwrap();
        assert!(
            message.contains("no LIFT_RIDE: waiting for its emulator"),
            "{message}"
        );
        assert_eq!(is_waiting.phase, Phase::Starting);
        drop(is_waiting);
        scene.renew();
        scene.ride("A", "Vail", HOUR);
        let is_made = live.wait_for(|live| live.phase == Phase::Running).await;
        assert_eq!(is_made.unwrap().message, None);
        stop.send_replace(true);
    };
    let report = alone::report(&args, &screen, &board, &page, stopped);
    let (ended, ()) = tokio::join!(report, meanwhile);
    assert_eq!(ended.unwrap(), 0);
    assert_eq!(scene.rides(), 1);
}

#[test]
fn sqlite_errors_are_not_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing.db");
    let error = landing::missing(&missing).unwrap_err();
    let words = with_causes(error.as_ref());
    assert_eq!(words.matches("open database file").count(), 1, "{words}");
    assert!(!words.contains("Error code"), "{words}");
    let error = rusqlite::Connection::open_in_memory()
        .unwrap()
        .execute_batch("SELECT * FROM NOTHING")
        .unwrap_err();
    assert_eq!(with_causes(&error), error.to_string());
}
