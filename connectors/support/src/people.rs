//! A table of generated people in SQLite.

use std::path::Path;

use anyhow::{Context, Result};
use rusqlite::{Connection, Transaction, params};

use crate::data_file::create_parent;
use crate::person::Person;

/// How many people a new table has.
pub const PEOPLE: u32 = 100_000;

const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS PEOPLE_100K (
        ROW_INDEX INTEGER PRIMARY KEY,
        USER_ID TEXT NOT NULL UNIQUE,
        FIRST_NAME TEXT,
        LAST_NAME TEXT,
        SEX TEXT,
        EMAIL TEXT,
        PHONE TEXT,
        DATE_OF_BIRTH TEXT,
        JOB_TITLE TEXT
    )";

/// Generates people until the table has `count` of them. Without a count, generates [`PEOPLE`] in a new or empty file, and
/// does not change any other file. Returns how many are new.
///
/// A run that is killed while it generates leaves an empty file, or an unfinished transaction that SQLite rolls back when the
/// file is next opened for writing. Therefore each run opens it for writing once.
///
/// # Errors
/// If the file cannot be written or holds another table of that name.
pub fn generate(path: &Path, count: Option<u32>) -> Result<u32> {
    create_parent(path)?;
    let generate = || -> rusqlite::Result<u32> {
        let mut connection = Connection::open(path)?;
        let count = match count {
            Some(count) => count,
            None if is_empty(&connection)? => PEOPLE,
            None => return Ok(0),
        };
        let transaction = connection.transaction()?;
        let new = fill(&transaction, count)?;
        transaction.commit()?;
        Ok(new)
    };
    generate().with_context(|| format!("cannot generate people in {}", path.display()))
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    let tables = "SELECT count(*) FROM sqlite_schema";
    connection.query_row(tables, [], |row| Ok(row.get::<_, u64>(0)? == 0))
}

/// Creates the table if it is missing, and inserts people until it has `count` of them. Returns how many are new.
///
/// # Errors
/// If the database cannot be written.
pub fn fill(transaction: &Transaction<'_>, count: u32) -> rusqlite::Result<u32> {
    transaction.execute(TABLE, [])?;
    let last: u32 = transaction.query_row(
        "SELECT coalesce(max(ROW_INDEX), 0) FROM PEOPLE_100K",
        [],
        |row| row.get(0),
    )?;
    let mut insert =
        transaction.prepare("INSERT INTO PEOPLE_100K VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
    for row_index in last + 1..=count {
        let person = Person::numbered(0, row_index);
        insert.execute(params![
            row_index,
            person.user_id,
            person.first_name,
            person.last_name,
            person.sex,
            person.email,
            person.phone,
            person.date_of_birth,
            person.job_title,
        ])?;
    }
    Ok(count.saturating_sub(last))
}
