//! AUTOINCREMENT, IDENTITY, sequences and computed defaults: which numbers rows get, and that none comes twice.

use serde_json::{Value, json};

use crate::catalog::tables::Catalog;
use crate::rig::{Client, DATA, PIPES, settings};
use crate::storage::data_file::DataFile;
use crate::storage::memory::MemoryStorage;
use crate::storage::sqlite_file::Ddl;

const DDL: &str = "USE SCHEMA DB.S;
CREATE SEQUENCE NUMBERS START WITH = 100 INCREMENT BY = 10 ORDER;
CREATE TABLE T (ID NUMBER AUTOINCREMENT, N NUMBER NOT NULL, TENS NUMBER DEFAULT NUMBERS.NEXTVAL);";

fn append(client: &Client, end: &str, rows: &str) {
    let token = client.open("c");
    client.append("c", &token, end, rows);
    client.emulator.commit_now();
}

fn rows(client: &Client) -> Vec<Value> {
    client.emulator.rows("DB.S.T").unwrap()
}

#[test]
fn rows_are_numbered_in_their_order_and_rejected_ones_take_no_number() {
    let client = Client::of(settings().catalog(Catalog::from_ddl(DDL).unwrap()));
    append(
        &client,
        "1",
        "{\"N\":1}\n{\"N\":\"x\"}\n{\"N\":2,\"ID\":70}\n{\"N\":3,\"TENS\":null}\n{}\n{\"N\":4}",
    );
    let wanted = [
        json!({ "ID": 1, "N": 1, "TENS": 100 }),
        json!({ "ID": 70, "N": 2, "TENS": 110 }),
        json!({ "ID": 2, "N": 3, "TENS": null }),
        json!({ "ID": 3, "N": 4, "TENS": 120 }),
    ];
    assert_eq!(rows(&client), wanted);
}

#[test]
fn numbers_follow_the_order_of_rows_in_large_requests_too() {
    let client = Client::of(settings().catalog(Catalog::from_ddl(DDL).unwrap()));
    // More than the threads that land rows share at a time.
    let body: Vec<String> = (1..=40_000).map(|n| format!("{{\"N\":{n}}}")).collect();
    append(&client, "1", &body.join("\n"));
    let rows = rows(&client);
    assert_eq!(rows.len(), 40_000);
    assert!(rows.iter().all(|row| row["ID"] == row["N"]));
}

#[test]
fn numbers_go_on_after_a_restart_and_start_anew_where_the_table_does() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("e.db");
    let memory = MemoryStorage::new();
    let in_file = || {
        let storage = DataFile::open(&path, &Ddl::Bootstrap(DDL.to_owned())).unwrap();
        settings()
            .catalog(storage.catalog().clone())
            .storage(storage)
    };
    let in_memory = || {
        let catalog = Catalog::from_ddl(DDL).unwrap();
        settings().catalog(catalog).storage(memory.clone())
    };
    let started: [&dyn Fn() -> _; 2] = [&in_file, &in_memory];
    for start in started {
        let client = Client::of(start());
        append(&client, "1", "{\"N\":1}");
        let insert = "INSERT INTO DB.S.T (N) VALUES (2)";
        client.emulator.apply_ddl(insert).unwrap();
        drop(client);
        let client = Client::of(start());
        append(&client, "2", "{\"N\":3}");
        client.emulator.apply_ddl("TRUNCATE TABLE DB.S.T").unwrap();
        append(&client, "3", "{\"N\":4}");
        let last = json!({ "ID": 4, "N": 4, "TENS": 130 });
        assert_eq!(rows(&client), [last]);
        client.emulator.reset().unwrap();
        append(&client, "1", "{\"N\":5}");
        let first = json!({ "ID": 1, "N": 5, "TENS": 100 });
        assert_eq!(rows(&client), [first]);
        let replace = "CREATE OR REPLACE TABLE DB.S.T (ID NUMBER AUTOINCREMENT, N NUMBER NOT NULL, TENS NUMBER DEFAULT DB.S.NUMBERS.NEXTVAL)";
        client.emulator.apply_ddl(replace).unwrap();
        append(&client, "1", "{\"N\":6}");
        let first = json!({ "ID": 1, "N": 6, "TENS": 110 });
        assert_eq!(rows(&client), [first]);
    }
}

#[test]
fn defaults_are_computed_for_each_row() {
    let ddl = "CREATE TABLE DB.S.T (N NUMBER, A NUMBER DEFAULT 2 * 3 + 1, B VARCHAR DEFAULT CONCAT('a', 'b'), C DATE DEFAULT CURRENT_TIMESTAMP()::DATE,
        D VARCHAR DEFAULT UUID_STRING(), E NUMBER(5,2) DEFAULT -1.5, F VARIANT DEFAULT PARSE_JSON('{\"a\":1}'))";
    let client = Client::of(settings().catalog(Catalog::from_ddl(ddl).unwrap()));
    append(&client, "1", "{\"N\":1}\n{\"N\":2}");
    let rows = rows(&client);
    assert_ne!(rows[0]["D"], rows[1]["D"]);
    assert_eq!(rows[0]["D"].as_str().unwrap().len(), 36);
    let values = ["A", "B", "C", "E", "F"].map(|column| rows[1][column].clone());
    let day = client.emulator.rows("DB.S.T").unwrap()[0]["C"].clone();
    assert_eq!(json!(values), json!([7, "ab", day, "-1.50", { "a": 1 }]));
    assert!(day.is_string());
}

#[test]
fn the_numbers_of_a_pipe_go_on_after_a_restart() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("e.db");
    let ddl = "USE SCHEMA DB.S;
CREATE SEQUENCE NUMBERS START 100 INCREMENT 10;
CREATE TABLE T (ID NUMBER, N NUMBER);
CREATE PIPE P AS COPY INTO T FROM (SELECT NUMBERS.NEXTVAL, $1:n FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')));";
    for (n, wanted) in [
        (1, json!({ "ID": 100, "N": 1 })),
        (2, json!({ "ID": 110, "N": 2 })),
    ] {
        let storage = DataFile::open(&path, &Ddl::Bootstrap(ddl.to_owned())).unwrap();
        let client = Client::of(settings().data_file(storage));
        let opened = client.call("PUT", &format!("{PIPES}/P/channels/c"), "{}").1;
        let token = opened["next_continuation_token"].as_str().unwrap();
        let path = format!("{DATA}/P/channels/c/rows?continuationToken={token}&offsetToken={n}");
        let row = format!("{{\"n\":{n}}}\n");
        assert_eq!(client.call("POST", &path, row).0, 200);
        client.emulator.commit_now();
        assert_eq!(rows(&client).last(), Some(&wanted));
    }
}
