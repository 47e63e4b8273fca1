//! The destination of the rows: the emulator in any environment, unless there is a profile.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use futures_util::future::join_all;
use snowpipe_streaming::Profile;
use snowpipe_streaming::time::SystemClock;
use snowpipe_streaming_emulator::{Emulator, Endpoint, Fault};
use tokio::sync::watch;
use tracing::Level;

use super::{SEED, rows, winter};
use crate::cli::Args;
use crate::files::Files;
use crate::live::Board;
use crate::misconfigured::is_misconfigured;
use crate::pipeline;
use crate::queue::Queue;
use crate::screen::Screen;
use crate::summary::{Course, Summary};
use crate::table::Table;
use crate::target::{Route, Target};
use snowpipe_connector_support::trace::Trace;

/// Set in the process that the test below starts.
const IN_A_HOSTILE_ENVIRONMENT: &str = "SKI_RESORT_TEST_IN_A_HOSTILE_ENVIRONMENT";

async fn open(directory: &Path, line: &str) -> anyhow::Result<Target> {
    let line = line.replace("DIR", &directory.display().to_string());
    let args = Args::try_parse_from(std::iter::once("ski_resort").chain(line.split_whitespace()));
    let args = args.unwrap();
    let files = Files::new(&args, directory);
    std::fs::create_dir_all(files.landing.parent().unwrap()).unwrap();
    Target::open(&args, &files).await
}

/// A profile with a key, for an account that is never connected to.
fn write_profile(directory: &Path, more: &str) {
    let text = format!(r#"{{"account": "ORG-ACCOUNT", "user": "SOMEBODY"{more}}}"#);
    std::fs::write(directory.join("p.json"), text).unwrap();
}

#[tokio::test]
async fn without_a_profile_rows_go_to_the_emulator_in_any_environment() {
    if std::env::var_os(IN_A_HOSTILE_ENVIRONMENT).is_none() {
        let directory = tempfile::tempdir().unwrap();
        let settings = [
            ("SNOWFLAKE_ACCOUNT", "ORG-ACCOUNT"),
            (
                "SNOWFLAKE_URL",
                "https://org-account.snowflakecomputing.com",
            ),
            ("SNOWFLAKE_HOST", "org-account.snowflakecomputing.com"),
            ("SNOWFLAKE_USER", "SOMEBODY"),
            ("SNOWFLAKE_ROLE", "ACCOUNTADMIN"),
            ("DATABASE_NAME", "PRODUCTION"),
            ("SCHEMA_NAME", "PRODUCTION"),
            ("RESORT_TICKET_PIPE_NAME", "PRODUCTION"),
            ("PRIVATE_KEY", "a key"),
            // No server listens there.
            ("HTTP_PROXY", "http://127.0.0.1:1"),
            ("http_proxy", "http://127.0.0.1:1"),
            ("ALL_PROXY", "http://127.0.0.1:1"),
        ];
        let lines = settings.map(|(name, value)| format!("{name}={value}\n"));
        std::fs::write(directory.path().join(".env"), lines.concat()).unwrap();
        std::fs::write(directory.path().join("profile.json"), "{}").unwrap();
        let this = "tests::target::without_a_profile_rows_go_to_the_emulator_in_any_environment";
        let child = Command::new(std::env::current_exe().unwrap())
            .args([this, "--exact"])
            .envs(settings)
            .env(IN_A_HOSTILE_ENVIRONMENT, "yes")
            .current_dir(directory.path())
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success(), "{output}");
        assert!(output.contains("1 passed"), "{output}");
        return;
    }
    let target = open(Path::new(""), "").await.unwrap();
    assert!(matches!(target.route, Route::Loopback(_)));
    assert_eq!(target.name().unwrap(), "emulator");
    let line = target.describe().unwrap();
    assert!(
        line.starts_with("streaming to the local emulator at http://127.0.0.1:"),
        "{line}"
    );
    assert!(
        line.ends_with(
            "account EMULATOR, user STREAMING_INGEST, the user's default role, database \
             STREAMING_INGEST.STREAMING_INGEST, pipes RESORT_TICKET_PIPE, SEASON_PASS_PIPE, LIFT_RIDE_PIPE"
        ),
        "{line}"
    );
    // A client finds it, proxies or not.
    target.client(Table::LiftRide).await.unwrap();
}

#[tokio::test]
async fn over_loopback_the_landing_matches_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let line = "ski_resort --only streamer --duration 1h --max-client-lag 10ms";
    let args = Args::try_parse_from(line.split_whitespace()).unwrap();
    let files = Files::new(&args, directory.path());
    let mut queue = Queue::open(&files.queue).unwrap();
    queue.claim(None, None, winter()).unwrap();
    queue.append(&rows(SEED, winter(), 100), 100, None).unwrap();
    queue.end().unwrap();
    let target = Target::open(&args, &files).await.unwrap();
    let (_stop, stopped) = watch::channel(false);
    let (screen, board) = (Screen::new(), Board::new(String::new()));
    let ended = pipeline::run(&args, &files.queue, &target, None, stopped, &screen, &board);
    assert!(ended.await.unwrap().failures.is_empty());
    let target = target.settle().await;
    let course = Course {
        interrupted: false,
        was_finished: false,
        elapsed: Duration::ZERO,
    };
    let summary = Summary::new(&args, &files.queue, &target, course).await;
    let summary = serde_json::to_value(summary.unwrap()).unwrap();
    assert_eq!(summary["balanced"], true);
    assert_eq!(summary["target"], "emulator");
    assert_eq!(
        summary["tables"]["RESORT_TICKET"],
        serde_json::json!({
            "generated": 500, "committed_offset_token": "500", "rows_inserted": 500, "rejected": 0,
            "landed": 500, "distinct_txid": 500, "left_in_queue": 0,
        })
    );

    // A finished run is not reconciled with a landing that is not its own.
    let mut elsewhere = files.clone();
    elsewhere.landing = directory.path().join("other.db");
    let target = Target::open(&args, &elsewhere).await.unwrap();
    let course = Course {
        was_finished: true,
        ..course
    };
    let error = Summary::new(&args, &files.queue, &target, course).await;
    assert!(is_misconfigured(&error.unwrap_err()));
}

#[tokio::test]
async fn with_a_profile_sql_counts_the_landed_rows() {
    let directory = tempfile::tempdir().unwrap();
    let serving = open(&directory.path().join("server"), "").await.unwrap();
    let Route::Loopback(server) = &serving.route else {
        panic!("{serving:?}");
    };
    let profile = server.emulator().profile_json(&server.url());
    std::fs::write(directory.path().join("account.json"), profile).unwrap();

    let line = "ski_resort --profile DIR/account.json --only streamer --duration 1h --max-client-lag 10ms --verify-sql";
    let line = line.replace("DIR", &directory.path().display().to_string());
    let args = Args::try_parse_from(line.split_whitespace()).unwrap();
    let files = Files::new(&args, directory.path());
    std::fs::create_dir_all(files.queue.parent().unwrap()).unwrap();
    let mut queue = Queue::open(&files.queue).unwrap();
    queue.claim(None, None, winter()).unwrap();
    queue.append(&rows(SEED, winter(), 100), 100, None).unwrap();
    queue.end().unwrap();
    let target = Target::open(&args, &files).await.unwrap();
    assert_eq!(target.landing, None);
    let (_stop, stopped) = watch::channel(false);
    let (screen, board) = (Screen::new(), Board::new(String::new()));
    let ended = pipeline::run(&args, &files.queue, &target, None, stopped, &screen, &board);
    assert!(ended.await.unwrap().failures.is_empty());
    let course = Course {
        interrupted: false,
        was_finished: false,
        elapsed: Duration::ZERO,
    };
    let summary = Summary::new(&args, &files.queue, &target, course).await;
    let summary = serde_json::to_value(summary.unwrap()).unwrap();
    assert_eq!(summary["balanced"], true);
    let tickets = &summary["tables"]["RESORT_TICKET"];
    assert_eq!(tickets["landed"], 500);
    assert_eq!(tickets["distinct_txid"], 500);
    assert_eq!(
        summary["tables"]["LIFT_RIDE"]["landed"],
        summary["tables"]["LIFT_RIDE"]["rows_inserted"]
    );
}

#[tokio::test]
async fn flags_override_the_values_of_a_profile() {
    let directory = tempfile::tempdir().unwrap();
    write_profile(
        directory.path(),
        r#", "role": "LOADER", "database": "DB", "schema": "S""#,
    );
    let target = open(
        directory.path(),
        "--profile DIR/p.json --lift-ride-pipe RIDES",
    );
    let target = target.await.unwrap();
    assert_eq!(
        target.describe().unwrap(),
        "streaming to https://ORG-ACCOUNT.snowflakecomputing.com/: account ORG-ACCOUNT, user SOMEBODY, role LOADER, \
         database DB.S, pipes RESORT_TICKET_PIPE, SEASON_PASS_PIPE, RIDES"
            .replace("ORG-ACCOUNT.s", "org-account.s")
    );
    assert_eq!(target.namespace(), "DB.S");
    assert_eq!(target.landing, None);
    assert!(!directory.path().join("ski_resort_data/landing.db").exists());
}

#[tokio::test]
async fn an_unusable_target_is_refused_before_rows_are_streamed() {
    let directory = tempfile::tempdir().unwrap();
    write_profile(directory.path(), "");
    std::fs::write(directory.path().join("not.db"), "a text, and a long one").unwrap();
    std::fs::write(
        directory.path().join("plain.json"),
        r#"{"account": "A", "user": "U", "url": "http://192.0.2.1"}"#,
    )
    .unwrap();
    for (line, part) in [
        ("--profile DIR/none.json", "none.json"),
        ("--profile DIR/plain.json", "http"),
        ("--profile DIR/p.json --landing DIR/none.db", "none.db"),
        ("--landing DIR/not.db", "not.db"),
    ] {
        let error = open(directory.path(), line).await.unwrap_err();
        assert!(is_misconfigured(&error), "{line}: {error:#}");
        assert!(format!("{error:#}").contains(part), "{line}: {error:#}");
    }
    let kept = std::fs::read_to_string(directory.path().join("not.db")).unwrap();
    assert_eq!(kept, "a text, and a long one");
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_server_is_reported_once_for_all_tables_and_again_after_a_success() {
    let emulator = Emulator::builder().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut target = open(directory.path(), "").await.unwrap();
    target.route = Route::Memory {
        emulator: emulator.clone(),
        clock: Arc::new(SystemClock),
    };
    target.profile = Profile::from_json(&emulator.profile_json("http://127.0.0.1")).unwrap();
    let trace = Trace::of(Level::WARN);
    for times in 1..=2 {
        let away = Fault::Refuse.on(Endpoint::Hostname).times(40);
        emulator.faults().push(away);
        join_all(Table::ALL.map(|table| target.client(table)))
            .await
            .into_iter()
            .for_each(|client| drop(client.unwrap()));
        let text = trace.text();
        assert_eq!(text.matches("cannot connect yet").count(), times, "{text}");
    }
}
