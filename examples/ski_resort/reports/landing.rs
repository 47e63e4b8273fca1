//! Reads newly landed rows, over a read-only connection.

use std::path::Path;

use anyhow::{Result, anyhow};
use rusqlite::{Connection, OptionalExtension};
use url::Url;

use super::marks;
use crate::table::Table;

/// How much of a landing table is included in the reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) table: Table,
    /// The last row; 0 before the first.
    pub(super) through: i64,
    /// A fingerprint of that row. Rows are only added to a landing, so another row in this place means another landing.
    pub(super) print: Option<String>,
}

/// The rows that were read into the temporary tables.
#[derive(Debug)]
pub(super) struct Chunk {
    /// The marks before these rows.
    pub(super) after: Vec<Mark>,
    /// The marks of the last rows, for tables with new rows.
    pub(super) marks: Vec<Mark>,
    /// Whether more rows have landed.
    pub(super) is_behind: bool,
}

/// Reads the next rows, with a limit for each table. None if the landing is not the one of the reports.
pub(super) fn read(connection: &Connection, landing: &Path, rows: i64) -> Result<Option<Chunk>> {
    attach(connection, landing)?;
    // Detached after each chunk, so that a landing that was deleted and created again is found by its name.
    let chunk = read_attached(connection, rows);
    connection.execute_batch("DETACH landing")?;
    Ok(chunk?)
}

/// Attaches a landing read-only, without creating a missing file.
pub(crate) fn attach(connection: &Connection, landing: &Path) -> Result<()> {
    let absolute = std::path::absolute(landing)?;
    let mut uri = Url::from_file_path(&absolute)
        .map_err(|()| anyhow!("{} cannot be written as a URI", absolute.display()))?;
    uri.set_query(Some("mode=ro"));
    connection.execute("ATTACH ?1 AS landing", [uri.as_str()])?;
    Ok(())
}

fn read_attached(connection: &Connection, rows: i64) -> rusqlite::Result<Option<Chunk>> {
    let after = marks(connection)?;
    let mut chunk = Chunk {
        after: after.clone(),
        marks: Vec::new(),
        is_behind: false,
    };
    for mark in after {
        let table = mark.table;
        connection.execute_batch(clear(table))?;
        // The emulator may not have created its tables yet.
        if !exists(connection, table)? {
            if mark.through > 0 {
                return Ok(None);
            }
            continue;
        }
        if print(connection, table, mark.through)? != mark.print {
            return Ok(None);
        }
        let last: i64 = connection.query_row(last(table), [], |row| row.get(0))?;
        let through = last.min(mark.through + rows);
        if through > mark.through {
            for statement in fill(table) {
                connection.execute(statement, [mark.through, through])?;
            }
            chunk.is_behind |= through < last;
            chunk.marks.push(Mark {
                table,
                through,
                print: print(connection, table, through)?,
            });
        }
    }
    Ok(Some(chunk))
}

fn exists(connection: &Connection, table: Table) -> rusqlite::Result<bool> {
    connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM landing.sqlite_schema WHERE type = 'table' AND name = ?1)",
        [table.name()],
        |row| row.get(0),
    )
}

/// The fingerprint of a row.
fn print(connection: &Connection, table: Table, row: i64) -> rusqlite::Result<Option<String>> {
    let time = match table {
        Table::ResortTicket | Table::SeasonPass => "PURCHASE_TIME",
        Table::LiftRide => "RIDE_TIME",
    };
    let sql = format!(
        "SELECT quote(TXID) || quote(RFID) || quote({time}) FROM landing.{} WHERE rowid = ?1",
        table.name()
    );
    connection
        .query_row(&sql, [row], |row| row.get(0))
        .optional()
}

fn clear(table: Table) -> &'static str {
    match table {
        Table::ResortTicket => "DELETE FROM temp._NEW_TICKET; DELETE FROM temp._NEW_TIME",
        Table::SeasonPass => "DELETE FROM temp._NEW_PASS",
        Table::LiftRide => "DELETE FROM temp._NEW_RIDE; DELETE FROM temp._NEW_HOUR",
    }
}

fn last(table: Table) -> &'static str {
    match table {
        Table::ResortTicket => "SELECT coalesce(max(rowid), 0) FROM landing.RESORT_TICKET",
        Table::SeasonPass => "SELECT coalesce(max(rowid), 0) FROM landing.SEASON_PASS",
        Table::LiftRide => "SELECT coalesce(max(rowid), 0) FROM landing.LIFT_RIDE",
    }
}

/// Reads the rows above the first row number, up to the second.
fn fill(table: Table) -> [&'static str; 2] {
    match table {
        Table::ResortTicket => [
            "INSERT INTO temp._NEW_TICKET (RFID, PURCHASE_TIME, TXID, NAME, PRICE_USD, DAYS)
             SELECT RFID, PURCHASE_TIME, TXID, NAME, PRICE_USD, DAYS FROM landing.RESORT_TICKET
             WHERE rowid > ?1 AND rowid <= ?2 AND RFID IS NOT NULL ORDER BY rowid",
            "INSERT INTO temp._NEW_TIME
             SELECT max(PURCHASE_TIME) FROM landing.RESORT_TICKET WHERE rowid > ?1 AND rowid <= ?2",
        ],
        Table::SeasonPass => [
            "INSERT INTO temp._NEW_PASS (RFID, PURCHASE_TIME, TXID, NAME, PRICE_USD)
             SELECT RFID, PURCHASE_TIME, TXID, NAME, PRICE_USD FROM landing.SEASON_PASS
             WHERE rowid > ?1 AND rowid <= ?2 AND RFID IS NOT NULL ORDER BY rowid",
            "INSERT INTO temp._NEW_TIME
             SELECT max(PURCHASE_TIME) FROM landing.SEASON_PASS WHERE rowid > ?1 AND rowid <= ?2",
        ],
        Table::LiftRide => [
            "INSERT INTO temp._NEW_RIDE
                 (RIDE_DATE, RIDE_HOUR, RESORT, RFID, LANDED, RIDE_TIME, TXID, LIFT, ACTIVATION_DAY_COUNT)
             SELECT
                 substr(RIDE_TIME, 1, 10) AS RIDE_DATE, CAST(substr(RIDE_TIME, 12, 2) AS INTEGER) AS RIDE_HOUR,
                 RESORT, RFID, rowid, RIDE_TIME, TXID, LIFT, ACTIVATION_DAY_COUNT
             FROM landing.LIFT_RIDE
             WHERE rowid > ?1 AND rowid <= ?2 AND RFID IS NOT NULL AND RESORT IS NOT NULL AND RIDE_TIME IS NOT NULL",
            "INSERT INTO temp._NEW_TIME
             SELECT max(RIDE_TIME) FROM landing.LIFT_RIDE WHERE rowid > ?1 AND rowid <= ?2",
        ],
    }
}
