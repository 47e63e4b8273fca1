//! Runs a SELECT on a separate SQLite connection, which can only read, and for a limited time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::Value as Stored;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi, params_from_iter};
use serde_json::Value;

use super::cells::{Kind, computed, declared};
use super::parsing::{Selection, Translated};
use super::rewriting::QUERY;
use super::statements::Failure;
use super::{copies, functions};
use crate::emulator::catalog::coercion::DataType;
use crate::emulator::catalog::object_name::ObjectName;
use crate::emulator::catalog::tables::{Table, folded};
use crate::emulator::storage::row_snapshot::RowSnapshot;
use crate::emulator::storage::sqlite_cells::read_cell;

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

/// Runs a statement on the data file, or on copies of its tables if there is none. At `end` it is interrupted, whatever it does.
pub(crate) fn run(
    selection: Selection,
    file: Option<&Path>,
    sources: &[Source],
    bindings: &[Stored],
    end: Instant,
) -> Result<Answer, Failure> {
    let connection = match file {
        Some(path) => Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        ),
        None => copies::in_memory(sources, end),
    }
    .map_err(|why| match why.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => Failure::timeout(),
        _ => Failure::broken(&why),
    })?;
    let kept_as = kept_as(&connection, sources).map_err(|why| Failure::broken(&why))?;
    let columns = columns(&selection, sources);
    let translated = selection.translate(&kept_as)?;
    if translated.placeholders != bindings.len() {
        return Err(Failure::bindings(translated.placeholders, bindings.len()));
    }
    let readable = kept_as.into_values().collect();
    let connection = fenced(connection, end, readable).map_err(|why| Failure::broken(&why))?;
    select(&connection, &translated, bindings, &columns)
}

/// What the tables are called in the database.
fn kept_as(
    connection: &Connection,
    sources: &[Source],
) -> rusqlite::Result<BTreeMap<ObjectName, String>> {
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
    let known = sources.iter().filter_map(|source| {
        let kept_as = kept.get(&folded(&source.name))?;
        Some((source.asked.clone(), kept_as.clone()))
    });
    Ok(known.collect())
}

/// The types of the tables' columns by name, where a name says which column it is.
fn columns(selection: &Selection, sources: &[Source]) -> BTreeMap<String, Option<DataType>> {
    let mut types = BTreeMap::new();
    if !selection.is_flat {
        return types;
    }
    for column in sources.iter().flat_map(|source| &source.table.columns) {
        types
            .entry(column.name.clone())
            .and_modify(|known| {
                if *known != Some(column.data_type) {
                    *known = None;
                }
            })
            .or_insert(Some(column.data_type));
    }
    types
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
    let most_bytes = usize::try_from(MOST_BYTES).unwrap_or_default();
    functions::replace_slow(&connection, end, most_bytes)?;
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
                || (column_name.is_empty() && table_name.starts_with(QUERY))
        }
        AuthAction::Function { function_name } => functions::is_allowed(function_name),
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
    translated: &Translated,
    bindings: &[Stored],
    columns: &BTreeMap<String, Option<DataType>>,
) -> Result<Answer, Failure> {
    let mut statement = connection
        .prepare(&translated.sql)
        .map_err(|why| failed(&why))?;
    let texts = translated.texts.iter().cloned().map(Stored::Text);
    let bound = bindings.iter().cloned().chain(texts);
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let declared_as: Vec<Option<DataType>> = names
        .iter()
        .map(|name| {
            let is_column = !translated.computed.contains(name);
            columns.get(name).copied().flatten().filter(|_| is_column)
        })
        .collect();
    let mut rows: Vec<Vec<Shown>> = Vec::new();
    let mut bytes = 0;
    let mut found = statement
        .query(params_from_iter(bound))
        .map_err(|why| failed(&why))?;
    while let Some(row) = found.next().map_err(|why| failed(&why))? {
        if rows.len() == MOST_ROWS {
            return Err(Failure::too_large(format!("{MOST_ROWS} rows")));
        }
        let mut cells = Vec::with_capacity(declared_as.len());
        for (position, of) in declared_as.iter().enumerate() {
            let cell = match of {
                Some(of) => {
                    let cell = read_cell(row, position, *of).map_err(|why| failed(&why))?;
                    Shown::Declared(declared(cell, *of))
                }
                None => Shown::Computed(row.get(position).map_err(|why| failed(&why))?),
            };
            bytes += cell.bytes();
            if bytes > usize::try_from(MOST_BYTES).unwrap_or_default() {
                return Err(Failure::too_large(format!("{MOST_BYTES} bytes")));
            }
            cells.push(cell);
        }
        rows.push(cells);
    }
    let kinds = declared_as
        .iter()
        .enumerate()
        .map(|(position, of)| match of {
            Some(of) => Kind::Declared(*of),
            None => Kind::of(rows.iter().filter_map(|row| row.get(position)?.stored())),
        });
    let columns = names
        .iter()
        .zip(kinds)
        .map(|(name, kind)| kind.row_type(name));
    let columns = columns.collect();
    let rows = rows
        .into_iter()
        .map(|row| row.into_iter().map(Shown::text).collect())
        .collect();
    Ok(Answer {
        columns,
        rows,
        bytes,
    })
}

/// A value of an answer.
enum Shown {
    Declared(Option<String>),
    Computed(Stored),
}

impl Shown {
    fn stored(&self) -> Option<&Stored> {
        match self {
            Self::Declared(_) => None,
            Self::Computed(value) => Some(value),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Declared(Some(text)) | Self::Computed(Stored::Text(text)) => text.len(),
            Self::Computed(Stored::Blob(bytes)) => bytes.len() * 2,
            // NULLs as well, which are many in a wide answer.
            Self::Declared(None) | Self::Computed(_) => 8,
        }
    }

    fn text(self) -> Option<String> {
        match self {
            Self::Declared(text) => text,
            Self::Computed(value) => computed(value),
        }
    }
}

/// What SQLite's errors are in Snowflake's words.
fn failed(why: &rusqlite::Error) -> Failure {
    let message = match why {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        _ => why.to_string(),
    };
    if let Some(name) = message.strip_prefix("no such column: ") {
        return Failure::no_column(name);
    }
    if let Some(name) = message.strip_prefix("no such table: ") {
        return Failure::no_object(name.strip_prefix(QUERY).unwrap_or(name));
    }
    if let Some(name) = message.strip_prefix("no such function: ") {
        return Failure::no_function(name);
    }
    match why.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => Failure::timeout(),
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
