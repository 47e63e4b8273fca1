//! What a database must be like before its changes are followed, and where following begins.

use std::sync::Arc;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use super::change::clash;
use super::error::{ChangesError, Stopped};
use super::place::{Place, Start, parse_name};
use crate::schema::{self, Table};
use crate::types;

/// Settings of the server, with the value that is needed.
const SETTINGS: [(&str, &str, &str); 5] = [
    ("log_bin", "1", "start the server with --log-bin"),
    (
        "binlog_format",
        "ROW",
        "set the global binlog_format=ROW, and connect the writers again",
    ),
    (
        "binlog_row_image",
        "FULL",
        "set the global binlog_row_image=FULL, and connect the writers again",
    ),
    (
        "binlog_row_metadata",
        "FULL",
        "set the global binlog_row_metadata=FULL",
    ),
    (
        "log_bin_compress",
        "0",
        "set the global log_bin_compress=OFF",
    ),
];

/// The rights that the reader needs, with the rights that include them.
const RIGHTS: [(&str, &[&str]); 2] = [
    ("REPLICATION SLAVE", &["REPLICATION SLAVE"]),
    ("BINLOG MONITOR", &["BINLOG MONITOR", "REPLICATION CLIENT"]),
];

/// Checks that the changes of the tables can be followed exactly, and returns where to begin.
///
/// # Errors
/// If the database does not answer, or its log is not what is needed, with the remedy.
pub async fn preflight(conn: &mut Conn, tables: &[Arc<Table>]) -> Result<Start, ChangesError> {
    check(conn, tables).await?;
    start(conn).await
}

/// Checks that the changes of the tables can be followed exactly.
///
/// # Errors
/// If the database does not answer, or its log is not what is needed, with the remedy.
pub async fn check(conn: &mut Conn, tables: &[Arc<Table>]) -> Result<(), ChangesError> {
    let version: Option<String> = conn.query_first("SELECT VERSION()").await?;
    if !version.is_some_and(|version| version.contains("MariaDB")) {
        let remedy = "use --snapshot-only";
        return Err(Stopped::new(
            "the server is not MariaDB, whose log is the only one that is followed",
            remedy,
        )
        .into());
    }
    rights(conn).await?;
    settings(conn).await?;
    for table in tables {
        check_table(conn, table).await?;
    }
    if server_id(conn).await? == 0 {
        return Err(Stopped::new(
            "the server has no server_id",
            "set a server_id that is unique",
        )
        .into());
    }
    Ok(())
}

/// Where following begins: everything that was committed before it is visible to the pages that are read from now on.
///
/// # Errors
/// If the database does not answer, or XA transactions are prepared.
pub async fn start(conn: &mut Conn) -> Result<Start, ChangesError> {
    let server_id = server_id(conn).await?;
    let (base, place) = begin(conn).await?;
    // After the position: a transaction that is prepared by now has its rows before it, and may be committed after it.
    let prepared: Vec<Row> = conn.query("XA RECOVER").await?;
    if !prepared.is_empty() {
        let problem = format!(
            "{} XA transactions are prepared, whose rows are already in the log",
            prepared.len()
        );
        return Err(Stopped::new(problem, "commit them or roll them back: see XA RECOVER").into());
    }
    Ok(Start {
        base,
        place,
        server_id,
    })
}

/// The end of the log: everything that was committed before is in front of it.
///
/// # Errors
/// If the database does not answer, or it has no binary log.
pub async fn end_of_log(conn: &mut Conn) -> Result<Place, ChangesError> {
    let row: Option<Row> = conn.query_first("SHOW MASTER STATUS").await?;
    let file = row.as_ref().and_then(|row| row.get::<String, _>("File"));
    let position = row.as_ref().and_then(|row| row.get::<u64, _>("Position"));
    match (file.as_deref().and_then(parse_name), position) {
        (Some((_, file)), Some(position)) => Ok(Place { file, position }),
        _ => Err(no_log().into()),
    }
}

pub(super) async fn server_id(conn: &mut Conn) -> Result<u32, ChangesError> {
    Ok(conn
        .query_first("SELECT @@GLOBAL.server_id")
        .await?
        .unwrap_or_default())
}

fn no_log() -> Stopped {
    Stopped::new(
        "the server writes no binary log",
        "start the server with --log-bin",
    )
}

async fn settings(conn: &mut Conn) -> Result<(), ChangesError> {
    for (name, needed, remedy) in SETTINGS {
        let found: Option<String> = conn.query_first(format!("SELECT @@GLOBAL.{name}")).await?;
        let found = found.unwrap_or_default();
        if !found.eq_ignore_ascii_case(needed) {
            return Err(Stopped::new(format!("the server has {name}={found}"), remedy).into());
        }
    }
    Ok(())
}

/// Rights of roles are in SHOW GRANTS as well.
async fn rights(conn: &mut Conn) -> Result<(), ChangesError> {
    let grants: Vec<String> = conn.query("SHOW GRANTS").await?;
    let global: Vec<_> = grants
        .iter()
        .filter(|grant| grant.contains(" ON *.* TO "))
        .collect();
    let has = |right: &str| {
        global
            .iter()
            .any(|grant| grant.contains(right) || grant.contains("ALL PRIVILEGES"))
    };
    let missing: Vec<_> = RIGHTS
        .iter()
        .filter(|(_, any)| !any.iter().any(|right| has(right)))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|(name, _)| *name).collect();
    let user: Option<String> = conn.query_first("SELECT CURRENT_USER()").await?;
    let (user, names) = (user.unwrap_or_default(), names.join(", "));
    let problem = format!("the user {user} lacks {names}");
    Err(Stopped::new(problem, format!("GRANT {names} ON *.* TO the user")).into())
}

async fn check_table(conn: &mut Conn, table: &Table) -> Result<(), ChangesError> {
    let (database, name) = (&table.database, &table.name);
    let stop = |problem: String, remedy: &str| {
        Err(Stopped::new(format!("{database}.{name} {problem}"), remedy).into())
    };
    if table.key.is_empty() {
        return stop("has no primary key".to_owned(), "add one");
    }
    for column in &table.columns {
        if let Err(error) = types::check(column) {
            return stop(
                format!(
                    "cannot be followed: column `{}`: {}",
                    error.column, error.problem
                ),
                &error.remedy,
            );
        }
    }
    if let Some(column) = clash(table) {
        return stop(
            format!("has a column `{column}`, which each change adds"),
            "rename the column",
        );
    }
    let status: Option<Row> = conn.query_first("SHOW MASTER STATUS").await?;
    let list = |field: &str| {
        let list = status
            .as_ref()
            .and_then(|row| row.get::<String, _>(field))
            .unwrap_or_default();
        list.split(',')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (only, ignored) = (list("Binlog_Do_DB"), list("Binlog_Ignore_DB"));
    if ignored.contains(database) || !(only.is_empty() || only.contains(database)) {
        return stop(
            "is in a database that is not logged".to_owned(),
            "start the server without a filter for it",
        );
    }
    let kind = "SELECT TABLE_TYPE FROM information_schema.TABLES
        WHERE BINARY TABLE_SCHEMA = ? AND BINARY TABLE_NAME = ?";
    let kind: Option<String> = conn.exec_first(kind, (database, name)).await?;
    match kind.as_deref() {
        Some("BASE TABLE") => {}
        Some(other) => {
            let remedy = "copy a base table without system versioning";
            return stop(format!("is a {other}"), remedy);
        }
        None => {
            let problem = "does not exist, or the user may not read it";
            return stop(
                problem.to_owned(),
                "name it as the database does, with the same capital letters, and grant SELECT on it",
            );
        }
    }
    let definition = schema::definition(conn, database, name).await?;
    if let Some(key) = cascade(&definition) {
        let problem =
            format!("has the foreign key {key}, whose cascades change rows that are not logged");
        return stop(
            problem,
            "replace the cascade by a trigger, or use --snapshot-only",
        );
    }
    Ok(())
}

/// The name of a foreign key that changes rows of the table with this definition.
fn cascade(definition: &str) -> Option<&str> {
    let rules = [
        " ON DELETE CASCADE",
        " ON DELETE SET ",
        " ON UPDATE CASCADE",
        " ON UPDATE SET ",
    ];
    definition.lines().find_map(|line| {
        let (name, key) = line
            .trim_start()
            .strip_prefix("CONSTRAINT ")?
            .split_once(" FOREIGN KEY ")?;
        rules.iter().any(|rule| key.contains(rule)).then_some(name)
    })
}

/// The position of a consistent snapshot. The position of SHOW MASTER STATUS may be after a transaction that is in the log
/// but not visible yet: neither a page nor the log after it would have its rows.
async fn begin(conn: &mut Conn) -> Result<(String, Place), ChangesError> {
    conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .await?;
    conn.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        .await?;
    let status: Vec<(String, String)> = conn.query("SHOW STATUS LIKE 'binlog_snapshot_%'").await?;
    conn.query_drop("ROLLBACK").await?;
    let value = |name: &str| {
        status
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    let file = value("Binlog_snapshot_file").and_then(|name| parse_name(name));
    let position = value("Binlog_snapshot_position").and_then(|position| position.parse().ok());
    match (file, position) {
        (Some((base, file)), Some(position)) => Ok((base.to_owned(), Place { file, position })),
        _ => Err(no_log().into()),
    }
}
