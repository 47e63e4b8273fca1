//! A table or pipe that is made anew forgets its channels, and for good.

use std::path::Path;

use crate::rig::{Client, DATA, PIPES, START_MS, settings};
use crate::storage::data_file::DataFile;
use crate::storage::memory::MemoryStorage;
use crate::storage::sqlite_file::Ddl;

/// A data file with a channel of `pipe` that has a committed token and an accepted batch.
fn with_channel(path: &Path, ddl: &str, pipe: &str) -> Client {
    let storage = DataFile::open(path, &Ddl::Bootstrap(ddl.to_owned())).unwrap();
    let catalog = storage.catalog().clone();
    let client = Client::of(settings().catalog(catalog).storage(storage));
    fill(&client, pipe);
    client
}

fn fill(client: &Client, pipe: &str) {
    let (status, opened) = client.call("PUT", &format!("{PIPES}/{pipe}/channels/c"), "{}");
    assert_eq!(status, 200, "{opened}");
    let mut token = opened["next_continuation_token"]
        .as_str()
        .unwrap()
        .to_owned();
    for end in ["1", "2"] {
        if end == "2" {
            client.emulator.commit_now();
        }
        let path =
            format!("{DATA}/{pipe}/channels/c/rows?continuationToken={token}&endOffsetToken={end}");
        let (status, answer) = client.call("POST", &path, "{\"A\":1}\n");
        assert_eq!(status, 200, "{answer}");
        token = answer["next_continuation_token"]
            .as_str()
            .unwrap()
            .to_owned();
    }
}

/// What a restart finds in the file.
fn restarted(path: &Path, ddl: &Ddl) -> Client {
    let storage = DataFile::open(path, ddl).unwrap();
    let catalog = storage.catalog().clone();
    let emulator = settings()
        .catalog(catalog)
        .storage(storage)
        .build()
        .unwrap();
    Client::at(emulator, START_MS + 1000)
}

const LOWER: &str = r#"CREATE TABLE DB.S."low" (A NUMBER); CREATE PIPE DB.S."pipe" AS COPY INTO DB.S."low" MATCH_BY_COLUMN_NAME=CASE_INSENSITIVE;"#;
const REPLACED: [(&str, &str); 5] = [
    (
        "low-STREAMING",
        r#"CREATE OR REPLACE TABLE DB.S."low" (A NUMBER)"#,
    ),
    ("pipe", r#"CREATE OR REPLACE TABLE DB.S."low" (A NUMBER)"#),
    (
        "low-STREAMING",
        r#"DROP TABLE DB.S."low"; CREATE TABLE DB.S."low" (A NUMBER)"#,
    ),
    (
        "pipe",
        r#"CREATE OR REPLACE PIPE DB.S."pipe" AS COPY INTO DB.S."low" MATCH_BY_COLUMN_NAME=CASE_INSENSITIVE"#,
    ),
    ("pipe", r#"DROP PIPE DB.S."pipe""#),
];

/// Of a pipe that is made anew the table keeps its rows.
fn keeps_rows(script: &str) -> bool {
    script.contains(" PIPE ")
}

#[test]
fn a_replacement_while_the_emulator_runs_holds_after_a_restart() {
    for (pipe, script) in REPLACED {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("e.db");
        let client = with_channel(&path, LOWER, pipe);
        client.emulator.apply_ddl(script).unwrap();
        drop(client);
        let client = restarted(&path, &Ddl::Stored);
        client.emulator.commit_now();
        assert!(client.emulator.channel("c").is_none(), "{pipe}: {script}");
        let rows = client.emulator.rows("DB.S.LOW").unwrap().len();
        assert_eq!(rows, usize::from(keeps_rows(script)), "{pipe}: {script}");
    }
}

#[test]
fn a_replacement_at_the_start_holds() {
    for (pipe, script) in REPLACED {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("e.db");
        drop(with_channel(&path, LOWER, pipe));
        let client = restarted(&path, &Ddl::Apply(script.to_owned()));
        client.emulator.commit_now();
        assert!(client.emulator.channel("c").is_none(), "{pipe}: {script}");
        let rows = client.emulator.rows("DB.S.LOW").unwrap().len();
        assert_eq!(rows, usize::from(keeps_rows(script)), "{pipe}: {script}");
    }
}

#[test]
fn a_replacement_in_memory_holds_for_the_next_emulator() {
    for (pipe, script) in REPLACED {
        let storage = MemoryStorage::new();
        let catalog = || crate::catalog::tables::Catalog::from_ddl(LOWER).unwrap();
        let client = Client::of(settings().catalog(catalog()).storage(storage.clone()));
        fill(&client, pipe);
        client.emulator.apply_ddl(script).unwrap();
        drop(client);
        let client = Client::of(settings().catalog(catalog()).storage(storage));
        client.emulator.commit_now();
        assert!(client.emulator.channel("c").is_none(), "{pipe}: {script}");
    }
}

#[test]
fn a_truncated_table_loses_its_rows_and_its_channels_stay() {
    let ddl = "CREATE TABLE DB.S.T (A NUMBER);";
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("e.db");
    let memory = settings().catalog(crate::catalog::tables::Catalog::from_ddl(ddl).unwrap());
    let file = DataFile::open(&path, &Ddl::Bootstrap(ddl.to_owned())).unwrap();
    for settings in [memory, settings().data_file(file)] {
        let mut client = Client::of(settings);
        let next = client.open("c");
        let next = client.append("c", &next, "1", "{\"A\":1}\n{\"A\":\"x\"}");
        client.pass(1_000);
        assert_eq!(client.committed("c"), "1");
        let next = client.append("c", &next, "2", "{\"A\":2}");
        client.emulator.apply_ddl("TRUNCATE TABLE DB.S.T").unwrap();
        assert!(client.emulator.rows("DB.S.T").unwrap().is_empty());
        client.append("c", &next, "3", "{\"A\":3}");
        client.pass(1_000);
        assert_eq!(client.committed("c"), "3");
        let rows = client.emulator.rows("DB.S.T").unwrap();
        let values: Vec<_> = rows.iter().map(|row| row["A"].clone()).collect();
        assert_eq!(
            values,
            [2, 3],
            "rows that were accepted before land after it"
        );
        assert_eq!(client.emulator.error_rows("DB.S.T").unwrap().len(), 1);
    }
}
