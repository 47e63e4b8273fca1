//! The copy over loopback HTTP, interrupted and repeated, and the differences that the comparison finds.

mod generating;

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;
use serde_json::json;
use snowpipe_connector_support::people;
use snowpipe_streaming::ingest::{self, Batch, Finish, Rejected, Report, Source};
use tempfile::TempDir;
use tokio::sync::Notify;

use crate::check::Comparison;
use crate::source::{self, CopiedRow, People};
use crate::target::Target;
use crate::{Args, FAILED, run};

const ROWS: u32 = 6_000;
const CHANNEL: &str = "DWLOAD_CHANNEL";

/// A directory with a source and a landing.
struct Copy {
    directory: TempDir,
}

impl Copy {
    fn new() -> Self {
        let copy = Self {
            directory: TempDir::new().expect("a directory"),
        };
        assert_eq!(copy.people(ROWS), ROWS);
        copy
    }

    fn people(&self, count: u32) -> u32 {
        people::generate(&self.source(), Some(count)).expect("people")
    }

    fn source(&self) -> PathBuf {
        self.directory.path().join("source.db")
    }

    fn landing(&self) -> PathBuf {
        self.directory.path().join("landing.db")
    }

    fn rejects(&self) -> PathBuf {
        self.directory.path().join("rejects.db")
    }

    fn open(&self) -> People {
        source::open(&self.source(), &self.rejects(), "target".to_owned()).expect("a source")
    }

    async fn target(&self) -> Target {
        Target::emulator(&self.landing()).await.expect("a target")
    }

    /// A complete run with its own emulator.
    async fn run(&self) -> Report<i64> {
        let target = self.target().await;
        let client = target.client().await.expect("a client");
        let report = ingest::run(&client, CHANNEL, &mut self.open())
            .await
            .expect("a run");
        client.close().await.expect("an end");
        target.close().await;
        report
    }

    fn compare(&self) -> Comparison {
        Comparison::of(&self.source(), &self.landing()).expect("a comparison")
    }

    /// Changes a file from outside the example.
    fn change(path: PathBuf, sql: &str) {
        let connection = Connection::open(path).expect("a file");
        connection.execute_batch(sql).expect("a change");
    }
}

fn all_equal(rows: u64) -> Comparison {
    Comparison {
        source: rows,
        landed: rows,
        equal: rows,
        ..Comparison::default()
    }
}

#[tokio::test]
async fn a_copy_is_equal_and_a_second_run_inserts_nothing() {
    let copy = Copy::new();
    let first = copy.run().await;
    assert_eq!(first.finish, Finish::Exhausted);
    assert_eq!((first.resumed_after, first.rows_committed), (None, 6_000));
    assert_eq!(copy.compare(), all_equal(6_000));

    let second = copy.run().await;
    assert_eq!(
        (second.resumed_after, second.rows_appended),
        (Some(6_000), 0)
    );
    assert_eq!(copy.compare(), all_equal(6_000));
}

#[tokio::test]
async fn only_new_rows_are_copied() {
    let copy = Copy::new();
    copy.run().await;
    assert_eq!(copy.people(6_250), 250);
    assert_eq!(copy.compare().missing, 250);
    assert_eq!(copy.run().await.rows_appended, 250);
    assert_eq!(copy.compare(), all_equal(6_250));
}

/// Returns the first half of the rows. A read beyond it notifies `half` and returns no rows.
struct Half {
    people: People,
    half: Arc<Notify>,
}

impl Source for Half {
    type Offset = i64;
    type Row = CopiedRow;
    type Error = anyhow::Error;

    async fn read_after(
        &mut self,
        after: Option<&i64>,
        max: usize,
    ) -> anyhow::Result<Batch<i64, CopiedRow>> {
        if after.is_some_and(|&row| row >= i64::from(ROWS) / 2) {
            self.half.notify_one();
            return Ok(Batch::idle());
        }
        self.people.read_after(after, max).await
    }

    async fn dead_letter(
        &mut self,
        rejected: &Rejected<i64>,
        rows: Vec<(i64, CopiedRow)>,
    ) -> anyhow::Result<()> {
        self.people.dead_letter(rejected, rows).await
    }
}

#[tokio::test]
async fn an_interrupted_copy_continues() {
    let copy = Copy::new();
    let half = Arc::new(Notify::new());
    let mut source = Half {
        people: copy.open(),
        half: half.clone(),
    };
    let target = copy.target().await;
    let client = target.client().await.expect("a client");
    let stopped = ingest::run(&client, CHANNEL, &mut source)
        .batch_rows(1_000)
        .until(async move { half.notified().await })
        .await
        .expect("a run");
    assert_eq!(
        (stopped.finish, stopped.rows_committed),
        (Finish::Stopped, 3_000)
    );
    client.close().await.expect("an end");
    target.close().await;
    assert_eq!(
        (copy.compare().equal, copy.compare().missing),
        (3_000, 3_000)
    );

    let second = copy.run().await;
    assert_eq!(
        (second.resumed_after, second.rows_appended),
        (Some(3_000), 3_000)
    );
    assert_eq!(copy.compare(), all_equal(6_000));
}

/// The client is dropped while rows are in flight, as in a crash. The server keeps running.
#[tokio::test]
async fn a_crashed_copy_is_repeated_without_duplicates() {
    let copy = Copy::new();
    let half = Arc::new(Notify::new());
    let mut source = Half {
        people: copy.open(),
        half: half.clone(),
    };
    let target = copy.target().await;
    let client = target.client().await.expect("a client");
    let crashed = tokio::select! {
        biased;
        () = half.notified() => true,
        _ = ingest::run(&client, CHANNEL, &mut source).batch_rows(1_000) => false,
    };
    assert!(crashed);
    client.abort();

    let client = target.client().await.expect("a client");
    let second = ingest::run(&client, CHANNEL, &mut copy.open())
        .await
        .expect("a run");
    assert_eq!(second.finish, Finish::Exhausted);
    assert!(second.rows_appended >= 3_000);
    client.close().await.expect("an end");
    target.close().await;
    assert_eq!(copy.compare(), all_equal(6_000));
}

#[tokio::test]
async fn a_channel_of_another_table_is_refused() {
    let copy = Copy::new();
    copy.run().await;
    Copy::change(
        copy.source(),
        "DELETE FROM PEOPLE_100K WHERE ROW_INDEX > 10",
    );
    let target = copy.target().await;
    let client = target.client().await.expect("a client");
    let refused = ingest::run(&client, CHANNEL, &mut copy.open()).await;
    let why = format!("{:#}", anyhow::Error::new(refused.expect_err("a refusal")));
    assert!(why.contains("choose another channel"), "{why}");
}

#[tokio::test]
async fn each_kind_of_difference_is_found() {
    let copy = Copy::new();
    copy.run().await;
    Copy::change(
        copy.landing(),
        "DELETE FROM SF_CUSTOMER_RAW WHERE rowid = 1;
         UPDATE SF_CUSTOMER_RAW SET PHONE = PHONE || '0' WHERE rowid = 2;
         INSERT INTO SF_CUSTOMER_RAW SELECT * FROM SF_CUSTOMER_RAW WHERE rowid = 3;
         INSERT INTO SF_CUSTOMER_RAW (CUSTOMER_ID) VALUES ('extra'), ('zz extra')",
    );
    let found = copy.compare();
    let expected = Comparison {
        source: 6_000,
        landed: 6_002,
        equal: 5_998,
        different: 1,
        missing: 1,
        extra: 2,
        repeated: 1,
    };
    assert_eq!(found, expected);
    assert!(!found.is_equal());
}

#[tokio::test]
async fn null_and_an_empty_text_are_different() {
    let copy = Copy::new();
    copy.run().await;
    Copy::change(
        copy.landing(),
        "UPDATE SF_CUSTOMER_RAW SET EMAIL = '' WHERE EMAIL IS NULL",
    );
    assert!(copy.compare().different > 0);
}

impl Copy {
    /// Changes row 4321 so that the server rejects it.
    fn invalidate_row(&self) {
        Self::change(
            self.source(),
            "UPDATE PEOPLE_100K SET DATE_OF_BIRTH = '0000-00-00' WHERE ROW_INDEX = 4321",
        );
    }

    /// How often the rejected row is in the file of rejects.
    fn kept(&self) -> u32 {
        let kept = "SELECT count(*) FROM REJECTS
            WHERE CHANNEL = 'DWLOAD_CHANNEL' AND ROW_INDEX = 4321 AND COPIED_ROW LIKE '%\"0000-00-00\"%'";
        let rejects = Connection::open(self.rejects()).expect("a file");
        rejects
            .query_row(kept, [], |row| row.get(0))
            .expect("a count")
    }
}

#[tokio::test]
async fn rejected_rows_are_kept_in_a_file() {
    let copy = Copy::new();
    copy.invalidate_row();
    let report = copy.run().await;
    assert_eq!(report.rows_rejected, 1);
    assert_eq!(copy.kept(), 1);
    let found = copy.compare();
    assert_eq!((found.missing, found.equal), (1, 5_999));
}

#[tokio::test]
async fn targets_share_a_file_of_rejected_rows() {
    let copy = Copy::new();
    copy.invalidate_row();
    for (landing, kept) in [("landing.db", 1), ("other.db", 2), ("landing.db", 2)] {
        let args = Args {
            source: copy.source(),
            rows: None,
            profile: None,
            landing: Some(copy.directory.path().join(landing)),
            channel: CHANNEL.to_owned(),
            rejects: copy.rejects(),
        };
        assert_eq!(run(args).await.expect("a copy"), FAILED, "a row is missing");
        assert_eq!(copy.kept(), kept, "once for each target");
    }
}

#[test]
fn a_target_is_named_by_account_and_pipe() {
    let directory = TempDir::new().expect("a directory");
    let name = |account: &str, schema: &str| {
        let path = directory.path().join("profile.json");
        let profile = json!({"account": account, "user": "U", "schema": schema});
        std::fs::write(&path, profile.to_string()).expect("a file");
        Target::profile(&path).expect("a target").name()
    };
    assert_eq!(name("a-b", "S"), name("A-B", "S"));
    assert_ne!(name("a-b", "S"), name("a-c", "S"));
    assert_ne!(name("a-b", "S"), name("a-b", "T"));
}

/// Crashes before it writes a rejected row: `dead_letter` notifies `crashed` and never returns.
struct Crashing {
    people: People,
    crashed: Arc<Notify>,
}

impl Source for Crashing {
    type Offset = i64;
    type Row = CopiedRow;
    type Error = anyhow::Error;

    async fn read_after(
        &mut self,
        after: Option<&i64>,
        max: usize,
    ) -> anyhow::Result<Batch<i64, CopiedRow>> {
        self.people.read_after(after, max).await
    }

    async fn dead_letter(
        &mut self,
        _: &Rejected<i64>,
        _: Vec<(i64, CopiedRow)>,
    ) -> anyhow::Result<()> {
        self.crashed.notify_one();
        std::future::pending().await
    }

    async fn rejects_seen(&mut self, channel: &str) -> anyhow::Result<Option<u64>> {
        self.people.rejects_seen(channel).await
    }
}

#[tokio::test]
async fn the_next_run_keeps_rejected_rows_that_a_crashed_run_did_not_keep() {
    let copy = Copy::new();
    copy.invalidate_row();
    let crashed = Arc::new(Notify::new());
    let mut source = Crashing {
        people: copy.open(),
        crashed: crashed.clone(),
    };
    let target = copy.target().await;
    let client = target.client().await.expect("a client");
    let has_crashed = tokio::select! {
        biased;
        () = crashed.notified() => true,
        _ = ingest::run(&client, CHANNEL, &mut source) => false,
    };
    assert!(has_crashed);
    drop((client, source));
    target.close().await;
    assert_eq!((copy.compare().equal, copy.kept()), (5_999, 0));

    let second = copy.run().await;
    assert_eq!((second.rows_appended, second.rows_rejected), (0, 1));
    assert_eq!(copy.kept(), 1);
    let third = copy.run().await;
    assert_eq!(third.rows_rejected, 0, "the row is not reported again");
}

#[tokio::test]
async fn keys_without_rows_are_counted() {
    let copy = Copy::new();
    Copy::change(
        copy.source(),
        "DELETE FROM PEOPLE_100K WHERE ROW_INDEX IN (7, 8, 4000)",
    );
    let target = copy.target().await;
    let client = target.client().await.expect("a client");
    let mut people = copy.open();
    let report = ingest::run(&client, CHANNEL, &mut people).await;
    assert_eq!(report.expect("a run").rows_committed, 5_997);
    assert_eq!(people.pages.missing_keys(), 3);
}

/// The exit code of a copy that uses an emulator like an account.
#[tokio::test]
async fn rejected_rows_fail_a_copy_that_is_not_compared() {
    for (is_invalid, expected) in [(false, 0), (true, FAILED)] {
        let copy = Copy::new();
        if is_invalid {
            copy.invalidate_row();
        }
        let (target, profile) = (
            copy.target().await,
            copy.directory.path().join("profile.json"),
        );
        std::fs::write(&profile, target.profile_json().expect("a server")).expect("a profile");
        let args = Args {
            source: copy.source(),
            rows: None,
            profile: Some(profile),
            landing: None,
            channel: CHANNEL.to_owned(),
            rejects: copy.rejects(),
        };
        assert_eq!(run(args).await.expect("a copy"), expected);
        target.close().await;
    }
}
