//! The source is generated once, completely, and with the same rows on every machine.

use rusqlite::Connection;
use snowpipe_connector_support::people::{self, PEOPLE};
use tempfile::TempDir;

use super::{Copy, ROWS};

/// The files that a run leaves when it is killed while it generates the source, in a new directory.
fn killed_while_generating(spilled: bool) -> TempDir {
    let work = TempDir::new().expect("a directory");
    let left = TempDir::new().expect("a directory");
    let mut connection = Connection::open(work.path().join("source.db")).expect("a file");
    if spilled {
        // Pages that do not fit into the cache are written to the file before the commit.
        connection
            .execute_batch("PRAGMA cache_size = 1")
            .expect("a setting");
    }
    let transaction = connection.transaction().expect("a transaction");
    people::fill(&transaction, 2_000).expect("people");
    for file in std::fs::read_dir(work.path()).expect("files") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), left.path().join(file.file_name())).expect("a copy");
    }
    left
}

#[test]
fn an_unfinished_source_is_generated_again() {
    let empty = TempDir::new().expect("a directory");
    std::fs::write(empty.path().join("source.db"), "").expect("a file");
    for directory in [
        empty,
        killed_while_generating(false),
        killed_while_generating(true),
    ] {
        let copy = Copy { directory };
        let generated = || people::generate(&copy.source(), None).expect("people");
        assert_eq!(generated(), PEOPLE);
        assert_eq!(generated(), 0);
    }
}

#[tokio::test]
async fn people_added_by_a_killed_run_are_rolled_back() {
    let copy = Copy::new();
    let (source, journal) = (
        copy.source(),
        copy.directory.path().join("source.db-journal"),
    );
    let mut connection = Connection::open(&source).expect("a file");
    connection
        .execute_batch("PRAGMA cache_size = 1")
        .expect("a setting");
    let transaction = connection.transaction().expect("a transaction");
    people::fill(&transaction, 2 * ROWS).expect("people");
    let left = [&source, &journal].map(|file| std::fs::read(file).expect("a file"));
    drop(transaction);
    drop(connection);
    for (file, bytes) in [&source, &journal].into_iter().zip(left) {
        std::fs::write(file, bytes).expect("a file");
    }
    assert_eq!(people::generate(&source, None).expect("people"), 0);
    assert_eq!(copy.run().await.rows_committed, u64::from(ROWS));
    assert_eq!(copy.people(ROWS + 1), 1);
}

#[test]
fn a_database_without_the_table_is_not_changed() {
    let copy = Copy {
        directory: TempDir::new().expect("a directory"),
    };
    Copy::change(copy.source(), "CREATE TABLE OTHERS (A)");
    let before = std::fs::read(copy.source()).expect("a file");
    assert_eq!(
        people::generate(&copy.source(), None).expect("no people"),
        0
    );
    assert_eq!(std::fs::read(copy.source()).expect("a file"), before);
}

#[test]
fn the_same_people_are_generated_each_time() {
    let copies = [Copy::new(), Copy::new()];
    copies[1].people(ROWS + 10);
    let rows = copies.map(|copy| {
        let people = Connection::open(copy.source()).expect("a file");
        let sql = "SELECT group_concat(USER_ID || PHONE || DATE_OF_BIRTH) FROM PEOPLE_100K WHERE ROW_INDEX <= 6000";
        people
            .query_row(sql, [], |row| row.get::<_, String>(0))
            .expect("people")
    });
    assert_eq!(rows[0], rows[1]);
}
