//! Runs a SELECT on a separate SQLite connection, which can only read, and for a limited time.
//!
//! A query runs before the server's turn at its request. SQLite's authorizer is the second barrier, after the compiler.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi, params_from_iter};
use serde_json::Value;

use super::parsing::Selection;
use super::{cells, copies};
use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::{Table, folded};
use crate::sql::compiler::literals::Literal;
use crate::sql::compiler::queries::QUERY;
use crate::sql::compiler::scopes::Output;
use crate::sql::compiler::state::{Compiler, Known, Settings};
use crate::sql::failure::Failure;
use crate::sql::functions::deadline::Deadline;
use crate::sql::functions::raised::Raised;
use crate::sql::functions::scalars::{self, PREFIX};
use crate::storage::row_snapshot::RowSnapshot;

/// SQLite's functions that the compiler writes.
const NATIVE: &[&str] = &[
    "coalesce",
    "count",
    "dense_rank",
    "first_value",
    "group_concat",
    "hex",
    "json_extract",
    "lag",
    "last_value",
    "lead",
    "ltrim",
    "max",
    "min",
    "ntile",
    "rank",
    "replace",
    "row_number",
    "rtrim",
    "substr",
    "trim",
];
/// The table that takes a JSON array apart.
const ELEMENTS: &str = "json_each";

/// How long a statement may take.
pub(crate) const MOST_TIME: Duration = Duration::from_secs(5);
/// How many rows an answer may have.
const MOST_ROWS: usize = 10_000;
/// How many bytes the values of an answer may have, and a single value on its way.
const MOST_BYTES: i32 = 8 * 1024 * 1024;
/// How often the clock is looked at, in steps of SQLite's machine. One of them may make a value of megabytes.
const STEPS: i32 = 50;

/// A table that a statement reads.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its name as the statement has it.
    pub(crate) asked: ObjectName,
    /// The name its rows are kept under.
    pub(crate) name: ObjectName,
    pub(crate) table: Table,
    /// Its rows, where they are in no file.
    pub(crate) rows: RowSnapshot,
    /// Whether it is no table, and its rows were made for this statement.
    pub(crate) is_view: bool,
    /// Whether it has all columns that it has in an account.
    pub(crate) is_whole: bool,
}

impl Source {
    /// What the compiler knows of it.
    pub(crate) fn known(&self, kept_as: String) -> Known {
        Known {
            kept_as,
            columns: self.table.columns.clone(),
            is_whole: self.is_whole,
        }
    }
}

/// An answer's rows.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The columns, as `rowType` lists them.
    pub(crate) columns: Vec<Value>,
    pub(crate) rows: Vec<Vec<Option<String>>>,
    /// How many bytes the values have.
    pub(crate) bytes: usize,
}

/// What a statement runs on.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    /// The data file; without one, the rows of the sources are copied.
    pub(crate) file: Option<&'a Path>,
    pub(crate) sources: &'a [Source],
    pub(crate) bindings: &'a [Literal],
    /// The time as a wall clock in UTC.
    pub(crate) now: &'a str,
    /// When the statement is interrupted, whatever it does.
    pub(crate) end: Instant,
}

/// Runs a statement on the data file, or on copies of its tables if there is none.
pub(crate) fn run(selection: &Selection, run: &Run<'_>) -> Result<Answer, Failure> {
    let &Run {
        file,
        sources,
        bindings,
        now,
        end,
    } = run;
    let connection = match file {
        Some(path) => Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        ),
        None => copies::in_memory(sources, end),
    }
    .map_err(|why| copying_failed(&why))?;
    if selection.placeholders != bindings.len() {
        return Err(Failure::bindings(selection.placeholders, bindings.len()));
    }
    let mut tables = known_tables(&connection, sources).map_err(|why| Failure::broken(&why))?;
    tables
        .extend(copies::add_views(&connection, sources, end).map_err(|why| copying_failed(&why))?);
    let mut compiler = Compiler::new(Settings {
        of_pipe: None,
        context: &selection.context,
        tables: &tables,
        bindings,
        now,
        end,
    });
    let query = compiler.query(&selection.query)?;
    let readable = tables.values().map(|known| known.kept_as.clone()).collect();
    let connection = fenced(connection, end, readable).map_err(|why| Failure::broken(&why))?;
    select(&connection, &query.sql, &compiler.texts, &query.columns)
}

fn copying_failed(why: &rusqlite::Error) -> Failure {
    match why.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => Failure::timeout(),
        Some(ErrorCode::OutOfMemory) => Failure::too_large("the memory for statements"),
        _ => Failure::broken(why),
    }
}

/// What the tables are called in the database.
fn known_tables(
    connection: &Connection,
    sources: &[Source],
) -> rusqlite::Result<BTreeMap<ObjectName, Known>> {
    let mut statement = connection
        .prepare("SELECT database_name, schema_name, table_name, kept_as FROM _snowpipe_tables")?;
    let kept = statement
        .query_map([], |row| {
            let name = ObjectName {
                database: row.get(0)?,
                schema: row.get(1)?,
                name: row.get(2)?,
            };
            Ok((folded(&name), row.get(3)?))
        })?
        .collect::<rusqlite::Result<BTreeMap<ObjectName, String>>>()?;
    let of_tables = sources.iter().filter(|source| !source.is_view);
    let known = of_tables.filter_map(|source| {
        let kept_as = kept.get(&folded(&source.name))?.clone();
        Some((source.asked.clone(), source.known(kept_as)))
    });
    Ok(known.collect())
}

/// The connection with everything off that a SELECT of the tables that are `readable` does not need.
fn fenced(
    mut connection: Connection,
    end: Instant,
    readable: BTreeSet<String>,
) -> rusqlite::Result<Connection> {
    connection.pragma_update(None, "query_only", true)?;
    // A name in double quotes is nothing but a name.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    let limits = [
        (Limit::SQLITE_LIMIT_LENGTH, MOST_BYTES),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 1024 * 1024),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 500),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 50),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ];
    for (limit, most) in limits {
        connection.set_limit(limit, most)?;
    }
    connection.progress_handler(STEPS, Some(move || Instant::now() >= end))?;
    scalars::register(&connection, Deadline::Statement(end))?;
    connection.authorizer(Some(move |context: AuthContext<'_>| {
        authorize(context, &readable)
    }))?;
    Ok(connection)
}

fn authorize(context: AuthContext<'_>, readable: &BTreeSet<String>) -> Authorization {
    let is_allowed = match context.action {
        AuthAction::Select | AuthAction::Recursive => true,
        // A query of the statement's own is asked for only where none of its columns is read.
        AuthAction::Read {
            table_name,
            column_name,
        } => {
            readable.contains(table_name)
                || table_name == ELEMENTS
                || (column_name.is_empty() && table_name.starts_with(QUERY))
        }
        AuthAction::Function { function_name } => {
            function_name.starts_with(PREFIX) || NATIVE.contains(&function_name)
        }
        _ => false,
    };
    if is_allowed {
        Authorization::Allow
    } else {
        Authorization::Deny
    }
}

fn select(
    connection: &Connection,
    sql: &str,
    texts: &[String],
    columns: &[Output],
) -> Result<Answer, Failure> {
    let mut statement = connection.prepare(sql).map_err(|why| failed(&why))?;
    // The compiler may have read a text, such as the name of a part of a date, and not written it.
    let used = texts.iter().take(statement.parameter_count());
    let most_bytes = usize::try_from(MOST_BYTES).unwrap_or_default();
    let mut rows = Vec::new();
    let mut bytes = 0;
    let mut found = statement
        .query(params_from_iter(used))
        .map_err(|why| failed(&why))?;
    while let Some(row) = found.next().map_err(|why| failed(&why))? {
        if rows.len() == MOST_ROWS {
            return Err(Failure::too_large(format!("{MOST_ROWS} rows")));
        }
        let mut cells = Vec::with_capacity(columns.len());
        for (position, column) in columns.iter().enumerate() {
            let value = row.get_ref(position).map_err(|why| failed(&why))?;
            let cell = cells::show(value, column.of)?;
            // NULLs as well, which are many in a wide answer.
            bytes += cell.as_ref().map_or(8, String::len);
            if bytes > most_bytes {
                return Err(Failure::too_large(format!("{MOST_BYTES} bytes")));
            }
            cells.push(cell);
        }
        rows.push(cells);
    }
    let columns = columns.iter();
    Ok(Answer {
        columns: columns
            .map(|column| cells::row_type(&column.name, column.of))
            .collect(),
        rows,
        bytes,
    })
}

/// What SQLite's errors are in Snowflake's words.
fn failed(why: &rusqlite::Error) -> Failure {
    let message = match why {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        _ => why.to_string(),
    };
    if let Some(raised) = Raised::read(&message) {
        return Failure::from(raised);
    }
    match why.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => Failure::timeout(),
        Some(ErrorCode::OutOfMemory) => Failure::too_large("the memory for statements"),
        Some(ErrorCode::TooBig) => Failure::too_large(format!("{MOST_BYTES} bytes in a value")),
        Some(ErrorCode::AuthorizationForStatementDenied) => Failure::unsupported(message),
        _ if is_broken(why) => Failure::broken(why),
        _ => Failure::unsupported(format!(
            "the emulator answers with SQLite, which says: {message}"
        )),
    }
}

/// Whether the file and not the statement is at fault.
fn is_broken(why: &rusqlite::Error) -> bool {
    let code = why.sqlite_error().map(|why| why.extended_code & 0xff);
    matches!(
        code,
        Some(ffi::SQLITE_IOERR | ffi::SQLITE_CORRUPT | ffi::SQLITE_BUSY | ffi::SQLITE_NOTADB)
    )
}
