//! Statements that want more than they may have: time in a single function, tables they do not name, wide answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::statements_tests::{clients, data, post, refused};
use crate::catalog::cell::Cell;
use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::{Catalog, Pipe};
use crate::channels::channel::created;
use crate::rig::{Client, START_MS, code, settings};
use crate::sql::names::Context;
use crate::sql_api::parsing::Selection;
use crate::sql_api::reading::{self, Run, Source};
use crate::storage::interface::{Storage, StorageError};
use crate::storage::memory::MemoryStorage;
use crate::storage::records::{AcceptedBatch, ChannelRecord, Commit, RejectedRow, StoredChannel};
use crate::storage::row_snapshot::RowSnapshot;

/// A text of this many letters.
fn long(letters: usize) -> String {
    format!("REPEAT('a', {letters})")
}

#[test]
fn a_comparison_that_takes_seconds_ends_with_the_time() {
    for (client, _dir) in clients() {
        let pattern = format!("%{}b", "a".repeat(190));
        let slow = format!("SELECT {} LIKE '{pattern}'", long(8_000_000));
        // Every match is looked for up to the end of the text.
        let slow_too = format!("SELECT REGEXP_COUNT({}, '.*b|a')", long(1_000_000));
        for statement in [slow, slow_too] {
            let slow = json!({ "statement": statement, "timeout": 1 });
            let (status, answer) = post(&client, "", &slow);
            assert_eq!((status, code(&answer)), (408, "000630"), "{answer}");
        }
    }
}

/// Comparing each row with each takes minutes.
#[test]
fn tables_are_joined_by_numbers_through_an_index() {
    let ddl = "CREATE TABLE DB.S.T (ID NUMBER, TWIN NUMBER(9,0));";
    let client = Client::of(settings().catalog(Catalog::from_ddl(ddl).unwrap()));
    let rows = (0..40_000).map(|n| format!("{{\"ID\":{n},\"TWIN\":{}}}", n * 2));
    let token = client.open("c");
    client.append("c", &token, "1", &rows.collect::<Vec<_>>().join("\n"));
    client.emulator.commit_now();
    for (join, wanted) in [
        ("JOIN DB.S.T B ON A.ID = B.TWIN", "20000"),
        ("JOIN DB.S.T B USING (ID)", "40000"),
        (
            "WHERE EXISTS (SELECT 1 FROM DB.S.T B WHERE B.TWIN = A.ID)",
            "20000",
        ),
    ] {
        let statement = format!("SELECT COUNT(*) FROM DB.S.T A {join}");
        assert_eq!(data(&client, &statement), json!([[wanted]]), "{join}");
    }
}

/// SQLite's own functions of these names take hours for these texts.
#[test]
fn long_texts_in_long_texts_are_found_at_once() {
    let (text, part) = (long(8_000_000), long(4_000_000));
    for (client, _dir) in clients() {
        for (function, wanted) in [
            (format!("replace({text}, {part} || 'b', '')"), "8000000"),
            (format!("replace({text}, {part}, 'b')"), "2"),
            (format!("trim({text}, {part} || 'b')"), "0"),
            (format!("ltrim({text}, 'b' || {part})"), "0"),
            (format!("rtrim({text}, 'b')"), "8000000"),
        ] {
            let found = data(&client, &format!("SELECT length({function})"));
            assert_eq!(found, json!([[wanted]]), "{function}");
        }
        let grown = format!("SELECT length(replace({text}, 'a', {part}))");
        assert_eq!(refused(&client, &grown).1, "391908");
        // Each of the references stands for the whole text.
        let text = long(8_000_000);
        let grown = format!("SELECT length(regexp_replace({text}, 'a+', repeat($$\\0$$, 1000)))");
        assert_eq!(refused(&client, &grown).1, "391908");
        let many = ["A"; 3].join(",");
        let list = format!("SELECT array_construct({many}) FROM (SELECT {text} A)");
        assert_eq!(refused(&client, &list).1, "391908");
    }
}

#[test]
fn functions_that_are_not_known_to_end_in_time_are_refused() {
    for (client, _dir) in clients() {
        for call in [
            "instr('a', 'b')",
            "json_patch('{}', '{}')",
            "json_each('[]')",
            "printf('%.1000000000c', 'a')",
            "randomblob(1000000000)",
            "zeroblob(1000000000)",
            "sf_field('{}', 'a')",
            "sqlite_version()",
            "load_extension('x')",
        ] {
            let (status, code, message) = refused(&client, &format!("SELECT {call}"));
            assert_eq!(
                (status, code.as_str()),
                (422, "002140"),
                "{call}: {message}"
            );
        }
    }
}

/// A name that one part of a statement gives to a query is none of SQLite's in the other parts.
#[test]
fn only_the_tables_that_a_statement_names_are_read() {
    for (client, _dir) in clients() {
        for table in ["T__ERRORS", "SQLITE_MASTER", "_SNOWPIPE_CHANNELS"] {
            let hidden =
                format!("SELECT COUNT(*) FROM (WITH {table} AS (SELECT 1) SELECT 1) AS D, {table}");
            let (status, _, message) = refused(&client, &hidden);
            assert_eq!(status, 422, "{table}: {message}");
        }
    }
}

#[test]
fn an_answer_of_nothing_but_nulls_has_a_bound_too() {
    for (client, _dir) in clients() {
        let columns = vec!["a.PRICE"; 220].join(",");
        let tables = ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(|name| format!("T {name}"));
        let wide = format!(
            "SELECT {columns} FROM {} WHERE a.ID > 100",
            tables.join(",")
        );
        assert_eq!(refused(&client, &wide).1, "391908");
    }
}

fn texts() -> (Catalog, Pipe) {
    let catalog = Catalog::from_ddl("CREATE TABLE DB.S.T (NAME VARCHAR)").unwrap();
    let pipe = ObjectName {
        database: "DB".to_owned(),
        schema: "S".to_owned(),
        name: "T-STREAMING".to_owned(),
    };
    let pipe = catalog.pipe(&pipe).unwrap();
    (catalog, pipe)
}

/// Lands a row for each text.
fn land(storage: &mut impl Storage, pipe: &Pipe, texts: &[&str]) {
    let rows: Vec<_> = texts
        .iter()
        .map(|text| vec![Cell::Text((*text).to_owned())])
        .collect();
    let commit = Commit {
        record: &created(pipe, "c", START_MS),
        table: &pipe.table,
        rows: &rows,
        rejected: &[],
        through: 0,
    };
    storage.commit(&commit).unwrap();
}

/// Rows in memory, and how often all of a table was copied.
#[derive(Debug, Clone, Default)]
struct Copied(MemoryStorage, Arc<AtomicU32>);

impl Storage for Copied {
    fn load(&mut self) -> Result<Vec<StoredChannel>, StorageError> {
        self.0.load()
    }

    fn put_channel(&mut self, record: &ChannelRecord, discard: bool) -> Result<(), StorageError> {
        self.0.put_channel(record, discard)
    }

    fn drop_channel(&mut self, pipe: &ObjectName, channel: &str) -> Result<(), StorageError> {
        self.0.drop_channel(pipe, channel)
    }

    fn accept(
        &mut self,
        record: &ChannelRecord,
        batch: &AcceptedBatch,
    ) -> Result<(), StorageError> {
        self.0.accept(record, batch)
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), StorageError> {
        self.0.commit(commit)
    }

    fn rows(&mut self, table: &ObjectName) -> Result<Vec<Vec<Cell>>, StorageError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.rows(table)
    }

    fn snapshot(&mut self, table: &ObjectName) -> Result<RowSnapshot, StorageError> {
        self.0.snapshot(table)
    }

    fn error_rows(&mut self, table: &ObjectName) -> Result<Vec<RejectedRow>, StorageError> {
        self.0.error_rows(table)
    }
}

#[test]
fn no_row_is_copied_while_others_wait_for_the_server() {
    let (catalog, pipe) = texts();
    let mut storage = Copied::default();
    land(&mut storage, &pipe, &["a", "b"]);
    let client = Client::of(settings().catalog(catalog).storage(storage.clone()));
    assert_eq!(data(&client, "SELECT NAME FROM T"), json!([["a"], ["b"]]));
    assert_eq!(storage.1.load(Ordering::Relaxed), 0);
    // What was landed is what is shared.
    let mut shared = || storage.snapshot(&pipe.table).unwrap();
    let (one, other) = (shared(), shared());
    let mut rows = one.rows().zip(other.rows());
    assert!(rows.all(|(one, other)| std::ptr::eq(one, other)));
}

#[test]
fn a_statement_reads_no_more_bytes_than_it_may_have() {
    let (catalog, pipe) = texts();
    let mut storage = MemoryStorage::new();
    let long = "a".repeat(8 << 20);
    land(&mut storage, &pipe, &[long.as_str(); 8]);
    let client = Client::of(settings().catalog(catalog).storage(storage.clone()));
    assert_eq!(data(&client, "SELECT count(*) FROM T"), json!([["8"]]));
    land(&mut storage, &pipe, &["b"]);
    let (status, code, message) = refused(&client, "SELECT count(*) FROM T");
    assert_eq!((status, code.as_str()), (422, "391908"), "{message}");
    assert!(message.contains("bytes of tables in memory"), "{message}");
}

#[test]
fn the_time_of_a_statement_has_begun_when_its_tables_are_copied() {
    let (catalog, pipe) = texts();
    let run = |end: Instant| {
        let context = Context {
            database: None,
            schema: None,
        };
        let source = Source {
            asked: pipe.table.clone(),
            name: pipe.table.clone(),
            table: catalog.table(&pipe.table).unwrap().clone(),
            rows: RowSnapshot::from(vec![vec![Cell::Text("a".to_owned())]]),
            is_view: false,
            is_whole: true,
        };
        let selection = Selection::read("SELECT NAME FROM DB.S.T", context).unwrap();
        let run = Run {
            file: None,
            sources: &[source],
            bindings: &[],
            now: "2026-01-17 14:00:00.000000000",
            end,
        };
        reading::run(&selection, &run)
    };
    let now = Instant::now();
    let found = run(now + Duration::from_secs(600)).unwrap();
    assert_eq!(found.rows, [[Some("a".to_owned())]]);
    let why = format!("{:?}", run(now).unwrap_err());
    assert!(why.contains("000630"), "{why}");
}
