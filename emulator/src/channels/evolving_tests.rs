//! Tables that get columns from their rows.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::builder::EmulatorBuilder;
use crate::catalog::tables::Catalog;
use crate::rig::{Client, START_MS, settings};
use crate::storage::data_file::DataFile;
use crate::storage::sqlite_file::Ddl;

const DDL: &str =
    "CREATE TABLE DB.S.T (ID NUMBER NOT NULL, NAME VARCHAR) ENABLE_SCHEMA_EVOLUTION = TRUE;";

fn in_memory() -> EmulatorBuilder {
    settings().catalog(Catalog::from_ddl(DDL).expect("a script"))
}

fn in_file(path: &Path, ddl: &Ddl) -> EmulatorBuilder {
    settings().data_file(DataFile::open(path, ddl).expect("a data file"))
}

/// The rows that have landed by the client's time.
fn rows(client: &Client) -> Vec<Value> {
    client.emulator.advance(client.now);
    client.emulator.rows("DB.S.T").expect("rows")
}

#[test]
fn new_keys_become_columns_and_earlier_rows_have_null_in_them() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("e.db");
    let created = Ddl::Bootstrap(DDL.to_owned());
    for settings in [in_memory(), in_file(&path, &created)] {
        let mut client = Client::of(settings);
        let next = client.open("c");
        let next = client.append("c", &next, "1", r#"{"ID":1,"NAME":"a"}"#);
        client.pass(1_000);
        let more = "{\"ID\":2,\"age\":7,\"tags\":[1]}\n{\"NAME\":\"b\",\"AGE\":8}";
        client.append("c", &next, "2", more);
        client.pass(1_000);
        assert_eq!(client.committed("c"), "2");
        assert_eq!(
            rows(&client),
            [
                json!({"ID": 1, "NAME": "a", "AGE": null, "TAGS": null}),
                json!({"ID": 2, "NAME": null, "AGE": 7, "TAGS": [1]}),
                json!({"ID": null, "NAME": "b", "AGE": 8, "TAGS": null}),
            ]
        );
    }
    // The file has the columns after a restart.
    let mut client = Client::of(in_file(&path, &created));
    assert_eq!(
        rows(&client)[1],
        json!({"ID": 2, "NAME": null, "AGE": 7, "TAGS": [1]})
    );
    let next = client.open("c");
    client.append("c", &next, "3", r#"{"ID":3,"AGE":9,"late":true}"#);
    client.pass(1_000);
    assert_eq!(
        rows(&client)[3],
        json!({"ID": 3, "NAME": null, "AGE": 9, "TAGS": null, "LATE": true})
    );
}

#[test]
fn channels_that_bring_the_same_key_share_a_column() {
    let mut client = Client::of(in_memory());
    for (channel, row) in [
        ("a", r#"{"ID":1,"New":1}"#),
        ("b", r#"{"ID":2,"new":2}"#),
        ("c", r#"{"ID":3,"NEW":3}"#),
    ] {
        let next = client.open(channel);
        client.append(channel, &next, "1", row);
    }
    client.pass(1_000);
    assert_eq!(client.committed("c"), "1");
    let values: Vec<Value> = rows(&client).iter().map(|row| row["NEW"].clone()).collect();
    assert_eq!(values, [1, 2, 3]);
}

#[test]
fn a_value_that_does_not_fit_the_new_column_is_rejected() {
    let mut client = Client::of(in_memory());
    let next = client.open("c");
    client.append(
        "c",
        &next,
        "1",
        "{\"ID\":1,\"n\":1}\n{\"ID\":2,\"n\":\"x\"}",
    );
    client.pass(1_000);
    assert_eq!(rows(&client), [json!({"ID": 1, "NAME": null, "N": 1})]);
    assert_eq!(client.status("c")["rows_error_count"], 1);
}

#[test]
fn too_many_columns_at_once_invalidate_the_channel() {
    let mut client = Client::of(in_memory());
    let next = client.open("c");
    let keys: Vec<String> = (0..101).map(|n| format!("\"K{n}\":1")).collect();
    let row = format!("{{\"ID\":1,{}}}", keys.join(","));
    let next = client.append("c", &next, "1", &row);
    client.pass(1_000);
    let status = client.status("c");
    assert_eq!(
        status["channel_status_code"],
        "ERR_CHANNEL_MUST_BE_REOPENED"
    );
    let why = status["last_error_message"].as_str().unwrap();
    assert!(why.contains("more than 100 new keys"), "{why}");
    assert!(status["last_committed_offset_token"].is_null());
    let (refused, _) = client.try_append("c", &next, "2", r#"{"ID":2}"#);
    assert_eq!(refused, 400);
    assert!(rows(&client).is_empty());
}

#[test]
fn rows_wait_while_the_table_evolves() {
    let mut client = Client::of(in_memory().evolution_delay(Duration::from_secs(5)));
    let next = client.open("c");
    let next = client.append("c", &next, "1", r#"{"ID":1,"NEW":1}"#);
    client.pass(5_000);
    assert!(client.committed("c").is_null());
    client.pass(1_000);
    assert_eq!(client.committed("c"), "1");
    client.append("c", &next, "2", r#"{"ID":2,"NEW":2}"#);
    client.pass(1_000);
    assert_eq!(client.committed("c"), "2");
}

#[test]
fn a_table_without_evolution_ignores_unknown_keys() {
    let ddl = DDL.replace(" ENABLE_SCHEMA_EVOLUTION = TRUE", "");
    let mut client = Client::of(settings().catalog(Catalog::from_ddl(&ddl).unwrap()));
    let next = client.open("c");
    client.append("c", &next, "1", r#"{"ID":1,"NEW":1}"#);
    client.pass(1_000);
    assert_eq!(rows(&client), [json!({"ID": 1, "NAME": null})]);
}

#[test]
fn alter_table_adds_columns_under_open_channels() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("e.db");
    let ddl = DDL.replace(" ENABLE_SCHEMA_EVOLUTION = TRUE", "");
    let created = Ddl::Bootstrap(ddl.clone());
    let memory = settings().catalog(Catalog::from_ddl(&ddl).unwrap());
    let expected = [
        json!({"ID": 1, "NAME": null, "AGE": null, "KIND": "old"}),
        json!({"ID": null, "NAME": null, "AGE": 2, "KIND": "old"}),
    ];
    for settings in [memory, in_file(&path, &created)] {
        let mut client = Client::of(settings);
        let next = client.open("c");
        let next = client.append("c", &next, "1", r#"{"ID":1}"#);
        client.pass(1_000);
        assert_eq!(client.committed("c"), "1");
        let script = "ALTER TABLE DB.S.T ADD COLUMN AGE INT; ALTER TABLE DB.S.T ADD COLUMN KIND VARCHAR NOT NULL DEFAULT 'old';
            ALTER TABLE DB.S.T ALTER COLUMN ID DROP NOT NULL;";
        client.emulator.apply_ddl(script).unwrap();
        client.append("c", &next, "2", r#"{"AGE":2}"#);
        client.pass(1_000);
        assert_eq!(rows(&client), expected);
    }
    let client = Client::at(
        in_file(&path, &Ddl::Stored).build().unwrap(),
        START_MS + 9_000,
    );
    assert_eq!(rows(&client), expected);
}

#[test]
fn without_the_privilege_a_table_stays_as_it_is() {
    let mut client = Client::of(in_memory().without_evolve_schema(true));
    let next = client.open("c");
    let body = "{\"ID\":1,\"NAME\":\"a\",\"AGE\":7}\n{\"AGE\":8}";
    client.append("c", &next, "1", body);
    client.pass(1_000);
    assert_eq!(rows(&client), [json!({"ID": 1, "NAME": "a"})]);
    let status = client.status("c");
    assert_eq!(status["channel_status_code"], "SUCCESS");
    assert_eq!(status["rows_error_count"], 1);
}
