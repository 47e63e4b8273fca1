//! Both storages, in memory and in a SQLite file: what they keep and what they delete; and what only a file can do.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::storage::memory::MemoryStorage;

const DDL: &str = "
USE D.S;
CREATE TABLE T (ID NUMBER NOT NULL, PRICE DECIMAL(7,2), WIDE NUMBER(38,2), F FLOAT, B BOOLEAN, X BINARY,
                AT DATETIME, V VARIANT, NAME VARCHAR(10));
CREATE PIPE P AS COPY INTO T;";

fn name(name: &str) -> ObjectName {
    ObjectName {
        database: "D".to_owned(),
        schema: "S".to_owned(),
        name: name.to_owned(),
    }
}

fn record(channel: &str) -> ChannelRecord {
    ChannelRecord {
        pipe: name("P"),
        channel: channel.to_owned(),
        created_on_ms: 1_768_658_400_000,
        client_sequencer: 3,
        row_sequencer: 7,
        offset_token: Some("41".to_owned()),
        rows_parsed: 10,
        rows_inserted: 9,
        rows_error_count: 1,
        last_error_offset_upper_bound: Some("40".to_owned()),
        last_error_message: Some("bad".to_owned()),
        last_error_timestamp_ms: Some(1_768_658_400_500),
        last_used_ms: 1_768_658_401_000,
        status_code: "SUCCESS".to_owned(),
    }
}

fn batch(row_sequencer: u64) -> AcceptedBatch {
    AcceptedBatch {
        row_sequencer,
        start_token: None,
        end_token: Some(row_sequencer.to_string()),
        accepted_at_ms: 1_768_658_400_000 + row_sequencer,
        body: format!("{{\"ID\":{row_sequencer}}}\n").into_bytes(),
    }
}

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

fn full_row() -> Vec<Cell> {
    vec![
        Cell::Integer(1),
        text("129.90"),
        text("123456789012345678901234.50"),
        Cell::Float(0.1),
        Cell::Boolean(true),
        Cell::Binary(vec![0, 255]),
        text("2026-01-17 14:00:00.000000000"),
        Cell::Json("12".to_owned()),
        text("007"),
    ]
}

fn empty_row(id: Cell) -> Vec<Cell> {
    let mut row = vec![id];
    row.resize(9, Cell::Null);
    row
}

fn rejected(message: &str) -> RejectedRow {
    RejectedRow {
        error: RowError::new("100038", "22018", message).in_column("A"),
        rejected_at_ms: 7,
        pipe: "T-STREAMING".into(),
        channel: "c".into(),
        is_base64: false,
        payload: "{\"ID\":\"x\"}".to_owned(),
        offset_token_lower_bound: None,
        offset_token_upper_bound: Some("8".to_owned()),
    }
}

fn temporary() -> (TempDir, PathBuf) {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("emulator.db");
    (dir, path)
}

fn bootstrap() -> Ddl {
    Ddl::Bootstrap(DDL.to_owned())
}

fn open(path: &Path) -> DataFile {
    DataFile::open(path, &bootstrap()).expect("it opens")
}

fn refused(path: &Path, ddl: &Ddl) -> String {
    DataFile::open(path, ddl)
        .expect_err("it is refused")
        .to_string()
}

fn stored(record: ChannelRecord, accepted: Vec<AcceptedBatch>) -> StoredChannel {
    StoredChannel { record, accepted }
}

/// Runs `check` on both storages; the second one is a new file.
fn on_each(check: impl Fn(&mut dyn Storage)) {
    check(&mut MemoryStorage::new());
    let (_dir, path) = temporary();
    check(&mut open(&path));
}

#[test]
fn channels_are_kept_in_order_with_every_field() {
    on_each(|storage| {
        assert_eq!(storage.load().expect("load"), []);
        let bare = ChannelRecord {
            offset_token: None,
            last_error_message: None,
            last_error_offset_upper_bound: None,
            last_error_timestamp_ms: None,
            ..record("a")
        };
        storage.put_channel(&record("b"), false).expect("put");
        storage.put_channel(&bare, true).expect("put");
        let raised = ChannelRecord {
            client_sequencer: 4,
            ..record("b")
        };
        storage.put_channel(&raised, false).expect("put");
        assert_eq!(
            storage.load().expect("load"),
            [stored(bare, vec![]), stored(raised, vec![])]
        );
    });
}

#[test]
fn accepted_batches_wait_are_discarded_and_go_with_their_channel() {
    on_each(|storage| {
        storage.accept(&record("a"), &batch(1)).expect("accept");
        storage.accept(&record("a"), &batch(2)).expect("accept");
        storage.accept(&record("b"), &batch(1)).expect("accept");
        assert_eq!(
            storage.load().expect("load"),
            [
                stored(record("a"), vec![batch(1), batch(2)]),
                stored(record("b"), vec![batch(1)]),
            ]
        );
        storage.put_channel(&record("a"), true).expect("put");
        storage.drop_channel(&name("P"), "b").expect("drop");
        storage.drop_channel(&name("P"), "never").expect("drop");
        assert_eq!(storage.load().expect("load"), [stored(record("a"), vec![])]);
    });
}

#[test]
fn a_commit_lands_rows_and_errors_and_leaves_later_batches() {
    on_each(|storage| {
        for sequencer in 1..=3 {
            storage
                .accept(&record("a"), &batch(sequencer))
                .expect("accept");
        }
        let after = ChannelRecord {
            offset_token: Some("2".to_owned()),
            rows_inserted: 11,
            ..record("a")
        };
        let rows = [full_row(), empty_row(Cell::Integer(2))];
        storage
            .commit(&Commit {
                record: &after,
                table: &name("T"),
                rows: &rows,
                rejected: &[rejected("one"), rejected("two")],
                through: 2,
            })
            .expect("commit");
        assert_eq!(
            storage.load().expect("load"),
            [stored(after, vec![batch(3)])]
        );
        assert_eq!(storage.rows(&name("T")).expect("rows"), rows);
        assert_eq!(
            storage.error_rows(&name("T")).expect("errors"),
            [rejected("one"), rejected("two")]
        );
        assert_eq!(
            storage.rows(&name("OTHER")).expect("rows"),
            Vec::<Vec<Cell>>::new()
        );
    });
}

#[test]
fn a_failed_commit_changes_nothing() {
    let (_dir, path) = temporary();
    let mut storage = open(&path);
    storage.accept(&record("a"), &batch(1)).expect("accept");
    let after = ChannelRecord {
        offset_token: Some("1".to_owned()),
        ..record("a")
    };
    let failed = storage.commit(&Commit {
        record: &after,
        table: &name("T"),
        rows: &[full_row(), empty_row(Cell::Null)],
        rejected: &[rejected("one")],
        through: 1,
    });
    assert!(failed.is_err());
    assert_eq!(
        storage.load().expect("load"),
        [stored(record("a"), vec![batch(1)])]
    );
    assert!(storage.rows(&name("T")).expect("rows").is_empty());
    assert!(storage.error_rows(&name("T")).expect("errors").is_empty());
}

#[test]
fn a_file_is_found_again_as_it_was_left() {
    let (_dir, path) = temporary();
    let mut storage = open(&path);
    storage.accept(&record("a"), &batch(1)).expect("accept");
    storage
        .commit(&Commit {
            record: &record("a"),
            table: &name("T"),
            rows: &[full_row()],
            rejected: &[],
            through: 1,
        })
        .expect("commit");
    storage.accept(&record("a"), &batch(2)).expect("accept");
    storage.remember_key("U", "PEM").expect("remember");
    storage.remember_key("U", "PEM").expect("remember");
    drop(storage);

    let mut storage = DataFile::open(&path, &Ddl::Stored).expect("it opens");
    assert_eq!(
        storage.load().expect("load"),
        [stored(record("a"), vec![batch(2)])]
    );
    assert_eq!(storage.rows(&name("T")).expect("rows"), [full_row()]);
    assert_eq!(
        storage.keys().expect("keys"),
        [("U".to_owned(), "PEM".to_owned())]
    );
    assert!(storage.catalog().pipe(&name("P")).is_some());
}

#[test]
fn anyone_can_query_the_file_while_it_is_open() {
    let (_dir, path) = temporary();
    let mut storage = open(&path);
    storage
        .commit(&Commit {
            record: &record("a"),
            table: &name("T"),
            rows: &[full_row(), full_row()],
            rejected: &[rejected("one")],
            through: 1,
        })
        .expect("commit");
    let reader = Connection::open(&path).expect("a second connection");
    let sum: f64 = reader
        .query_row(
            "SELECT sum(PRICE) FROM T WHERE PRICE > 100 AND ID = 1",
            [],
            |row| row.get(0),
        )
        .expect("numbers are numbers");
    assert!((sum - 259.8).abs() < 1e-9);
    let (channel, message): (String, String) = reader
        .query_row("SELECT CHANNEL_NAME, MESSAGE FROM T__ERRORS", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .expect("the error table");
    assert_eq!((channel.as_str(), message.as_str()), ("c", "one"));
}

#[test]
fn an_error_table_of_an_earlier_version_gets_the_columns_of_codes() {
    let (_dir, path) = temporary();
    drop(open(&path));
    let writer = Connection::open(&path).expect("a second connection");
    for column in [
        "CODE",
        "SQL_STATE",
        "COLUMN_NAME",
        "REJECTED_AT_MS",
        "IS_BASE64",
    ] {
        let statement = format!("ALTER TABLE T__ERRORS DROP COLUMN {column}");
        writer.execute_batch(&statement).expect("drop");
    }
    let statement = "INSERT INTO T__ERRORS VALUES ('T-STREAMING', 'c', 'bad', '{}', NULL, NULL)";
    writer.execute_batch(statement).expect("an error");
    drop(writer);
    let errors = open(&path).error_rows(&name("T")).expect("errors");
    let kept: Vec<_> = errors
        .iter()
        .map(|row| (&*row.error.message, &*row.error.code))
        .collect();
    assert_eq!(kept, [("bad", "")]);
}

#[test]
fn a_second_process_is_refused_by_name() {
    let (_dir, path) = temporary();
    let _first = open(&path);
    let why = refused(&path, &Ddl::Stored);
    let holder = format!("is in use by process {}", std::process::id());
    assert!(why.contains(&holder), "{why}");
}

#[cfg(unix)]
#[test]
fn a_file_is_opened_once_whichever_link_leads_to_it() {
    let dir = TempDir::new().expect("a directory");
    let inside = |name: &str| dir.path().join(name);
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(to, inside(name)).expect("a link");
    };
    std::fs::create_dir(inside("there")).expect("a directory");
    // It leads to a file that is yet to be made.
    link("there/emulator.db", "link");
    link("link", "further");
    let first = open(&inside("further"));
    for name in ["further", "link", "there/emulator.db"] {
        let why = refused(&inside(name), &Ddl::Stored);
        assert!(why.contains("is in use by process"), "{name}: {why}");
    }
    drop(first);
    let _second = open(&inside("there/emulator.db"));
    let why = refused(&inside("link"), &Ddl::Stored);
    assert!(why.contains("is in use by process"), "{why}");
    link("round", "round");
    let why = refused(&inside("round"), &Ddl::Stored);
    assert!(why.contains("cannot be used"), "{why}");
}

#[test]
fn a_file_that_is_in_use_is_not_deleted() {
    let (dir, path) = temporary();
    let storage = open(&path);
    let why = DataFile::delete(&path).expect_err("it is in use");
    assert!(why.to_string().contains("is in use by process"), "{why}");
    assert!(path.exists());
    drop(storage);
    DataFile::delete(&path).expect("it is deleted");
    let left = std::fs::read_dir(dir.path()).expect("a directory");
    let left: Vec<_> = left.map(|file| file.expect("a file").file_name()).collect();
    assert_eq!(left, ["emulator.db.lock"]);
    DataFile::delete(&path).expect("nothing is left to delete");
}

#[test]
fn what_sqlite_takes_for_no_file_is_refused() {
    let why = refused(Path::new(":memory:"), &bootstrap());
    assert!(why.contains("is not a file"), "{why}");
}

#[test]
fn a_file_of_another_program_is_not_touched() {
    let (dir, path) = temporary();
    let other = Connection::open(&path).expect("a database");
    other
        .execute_batch("CREATE TABLE MINE (A)")
        .expect("a table");
    drop(other);
    assert!(refused(&path, &bootstrap()).contains("but not one of the emulator"));

    let text = dir.path().join("notes.txt");
    std::fs::write(
        &text,
        "a note that is long enough to be looked at as a header of a database",
    )
    .expect("a file");
    assert!(refused(&text, &bootstrap()).contains("is not a data file of the emulator"));

    let byte = dir.path().join("byte");
    std::fs::write(&byte, "?").expect("a file");
    assert!(refused(&byte, &bootstrap()).contains("is not a data file of the emulator"));
    assert_eq!(std::fs::read(&byte).expect("it is there"), b"?");

    let directory = dir.path().join("directory");
    std::fs::create_dir(&directory).expect("a directory");
    assert!(refused(&directory, &bootstrap()).contains("is a directory: name a file"));
    for name in ["byte.lock", "directory.lock"] {
        assert!(!dir.path().join(name).exists(), "{name}");
    }
}

#[test]
fn the_script_of_a_file_may_be_laid_out_anew_but_not_changed() {
    let (_dir, path) = temporary();
    drop(open(&path));
    let laid_out = format!("-- a comment\n{}", DDL.replace(' ', "\n"));
    drop(DataFile::open(&path, &Ddl::Bootstrap(laid_out)).expect("the same script"));

    let changed = Ddl::Bootstrap(DDL.replace("VARCHAR(10)", "VARCHAR(20)"));
    let why = refused(&path, &changed);
    assert!(
        why.contains("the first difference is in line 3, CREATE TABLE T."),
        "{why}"
    );
    let shortened = Ddl::Bootstrap("USE D.S;".to_owned());
    let why = refused(&path, &shortened);
    assert!(why.contains("that CREATE TABLE T is missing"), "{why}");
}

#[test]
fn applying_keeps_what_exists_and_replaces_what_the_script_replaces() {
    let (_dir, path) = temporary();
    let mut storage = open(&path);
    storage.accept(&record("a"), &batch(1)).expect("accept");
    storage
        .commit(&Commit {
            record: &record("a"),
            table: &name("T"),
            rows: &[full_row()],
            rejected: &[rejected("one")],
            through: 0,
        })
        .expect("commit");
    drop(storage);

    let more = "CREATE TABLE IF NOT EXISTS D.S.T (Z INT); CREATE TABLE D.S.U (A INT);";
    let mut storage = DataFile::open(&path, &Ddl::Apply(more.to_owned())).expect("it is applied");
    assert_eq!(storage.rows(&name("T")).expect("rows"), [full_row()]);
    assert_eq!(storage.load().expect("load").len(), 1);
    assert!(storage.catalog().table(&name("U")).is_some());
    drop(storage);

    let anew = "CREATE OR REPLACE TABLE D.S.T (A INT);";
    let mut storage = DataFile::open(&path, &Ddl::Apply(anew.to_owned())).expect("it is applied");
    assert!(storage.rows(&name("T")).expect("rows").is_empty());
    assert!(storage.error_rows(&name("T")).expect("errors").is_empty());
    assert_eq!(storage.load().expect("load"), []);
    drop(storage);

    let why = refused(&path, &Ddl::Apply("CREATE TABLE D.S.T (A INT)".to_owned()));
    assert!(
        why.contains("line 1, column 1: table D.S.T already exists"),
        "{why}"
    );
    let storage = DataFile::open(&path, &Ddl::Stored).expect("unharmed");
    assert_eq!(
        storage.catalog().table(&name("T")).map(|t| t.columns.len()),
        Some(1)
    );
}

#[test]
fn tables_of_one_name_in_two_schemas_are_two() {
    let (_dir, path) = temporary();
    let ddl = "CREATE TABLE A.X.T (I INT); CREATE TABLE A.Y.T (I INT); CREATE TABLE A.Z.T__ERRORS (I INT);";
    let storage = DataFile::open(&path, &Ddl::Bootstrap(ddl.to_owned())).expect("it opens");
    let mut names: Vec<_> = storage
        .file
        .kept
        .values()
        .map(|kept| kept.table.as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["A.Y.T", "A.Z.T__ERRORS", "T"]);
}

#[test]
fn a_file_without_a_script_takes_whatever_comes() {
    let (_dir, path) = temporary();
    let mut storage = DataFile::open(&path, &Ddl::Stored).expect("it opens");
    let row = vec![Cell::Json("{\"a\":1}".to_owned())];
    storage
        .commit(&Commit {
            record: &record("a"),
            table: &name("EVENTS"),
            rows: std::slice::from_ref(&row),
            rejected: &[],
            through: 1,
        })
        .expect("commit");
    drop(storage);
    let mut storage = DataFile::open(&path, &Ddl::Stored).expect("it opens again");
    assert_eq!(storage.rows(&name("EVENTS")).expect("rows"), [row]);
    drop(storage);
    assert!(refused(&path, &bootstrap()).contains("was made without a DDL script"));
}
