//! The select of a pipe: compiled when the pipe is created, and computed for each row by a SQLite connection of the thread.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, params_from_iter};
use sqlparser::ast::Expr;

use super::compiler::literals::Literal;
use super::compiler::scalar_names::SCALARS;
use super::compiler::state::{Compiler, Settings, Slot};
use super::compiler::types::{TEXT, Type, Typed};
use super::failure::Failure;
use super::functions::deadline::Deadline;
use super::functions::raised::Raised;
use super::functions::{arguments, moments, numbers, scalars, volatile};
use super::names::Context;
use crate::answers::PipeFunctions;
use crate::catalog::account_zone::AccountZone;
use crate::catalog::cell::Cell;
use crate::catalog::coercion::DataType;
use crate::catalog::row_error::RowError;
use crate::catalog::transforms::Program;

/// The functions of a COPY's select list that the emulator has.
///
/// From <https://docs.snowflake.com/en/user-guide/data-load-transform>, whose list has neither `COALESCE`, `CURRENT_TIMESTAMP`, `TO_JSON`,
/// `TRY_PARSE_JSON` nor `TRY_TO_TIMESTAMP`: it has `NVL`, and says that all conversion functions are supported.
pub(crate) const FUNCTIONS: &[&str] = &[
    "ARRAY_CONSTRUCT",
    "ARRAY_SIZE",
    "ASCII",
    "CEIL",
    "CHAR",
    "CHR",
    "COALESCE",
    "CONCAT",
    "CONVERT_TIMEZONE",
    "CURRENT_TIMESTAMP",
    "DATE",
    "ENDSWITH",
    "EQUAL_NULL",
    "FLOOR",
    "GET",
    "GET_PATH",
    "HEX_DECODE_STRING",
    "HEX_ENCODE",
    "IFF",
    "IFNULL",
    "IS_ARRAY",
    "IS_BOOLEAN",
    "IS_DECIMAL",
    "IS_INTEGER",
    "IS_NULL_VALUE",
    "IS_OBJECT",
    "IS_TIME",
    "IS_TIMESTAMP_LTZ",
    "IS_TIMESTAMP_NTZ",
    "IS_TIMESTAMP_TZ",
    "LEN",
    "LENGTH",
    "LPAD",
    "LTRIM",
    "MD5",
    "MD5_HEX",
    "NULLIF",
    "NVL",
    "NVL2",
    "OBJECT_CONSTRUCT",
    "PARSE_JSON",
    "RANDOM",
    "REGEXP_REPLACE",
    "REGEXP_SUBSTR",
    "REPLACE",
    "REVERSE",
    "RPAD",
    "RTRIM",
    "SPLIT",
    "SPLIT_PART",
    "STARTSWITH",
    "SUBSTR",
    "SUBSTRING",
    "TIME",
    "TO_ARRAY",
    "TO_BINARY",
    "TO_BOOLEAN",
    "TO_CHAR",
    "TO_DATE",
    "TO_DECIMAL",
    "TO_DOUBLE",
    "TO_JSON",
    "TO_NUMBER",
    "TO_NUMERIC",
    "TO_OBJECT",
    "TO_TIME",
    "TO_TIMESTAMP",
    "TO_TIMESTAMP_LTZ",
    "TO_TIMESTAMP_NTZ",
    "TO_TIMESTAMP_TZ",
    "TO_VARCHAR",
    "TO_VARIANT",
    "TRIM",
    "TRY_HEX_DECODE_STRING",
    "TRY_PARSE_JSON",
    "TRY_TO_BINARY",
    "TRY_TO_BOOLEAN",
    "TRY_TO_DATE",
    "TRY_TO_DECIMAL",
    "TRY_TO_DOUBLE",
    "TRY_TO_NUMBER",
    "TRY_TO_NUMERIC",
    "TRY_TO_TIME",
    "TRY_TO_TIMESTAMP",
    "TRY_TO_TIMESTAMP_LTZ",
    "TRY_TO_TIMESTAMP_NTZ",
    "TRY_TO_TIMESTAMP_TZ",
    "UNICODE",
    "UUID_STRING",
];

/// What the compiler writes of dates and times.
const OF_TIME: &[&str] = &[
    "sf_moment(",
    "sf_moment_by(",
    "sf_try_moment_by(",
    "sf_try_moment(",
    "sf_instant(",
    "sf_epoch(",
    "sf_variant_moment(",
    "sf_convert_zone(",
    "sf_to_zone(",
];

/// How long compiling a select list may take.
const MOST_TIME: Duration = Duration::from_secs(5);

thread_local! {
    /// The connection that computes the rows that this thread lands.
    static CONNECTION: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

/// A compiled select list.
#[derive(Debug)]
struct Compiled {
    /// The select list in Snowflake's SQL.
    text: String,
    sql: String,
    texts: Vec<String>,
    slots: Vec<(usize, Slot)>,
    types: Vec<Type>,
    /// Whether a value is computed from a date or time. All of these are computed in UTC.
    is_of_time: bool,
}

/// Compiles the expressions of a select list, in which `$1` is the row.
pub(crate) fn compile(
    items: &[Expr],
    zone: AccountZone,
    functions: PipeFunctions,
) -> Result<impl Program + use<>, Failure> {
    compile_list(items, zone, functions, expression)
}

/// Compiles the condition of WHERE.
pub(crate) fn compile_condition(
    condition: &Expr,
    zone: AccountZone,
    functions: PipeFunctions,
) -> Result<impl Program + use<>, Failure> {
    let items = std::slice::from_ref(condition);
    let compiled = compile_list(items, zone, functions, boolean)?;
    if volatile::calls(&compiled.sql) > 0 {
        return Err(Failure::unsupported("UUID_STRING or RANDOM in WHERE"));
    }
    Ok(compiled)
}

fn expression(compiler: &mut Compiler<'_>, item: &Expr) -> Result<Typed, Failure> {
    compiler.expression(item)
}

fn boolean(compiler: &mut Compiler<'_>, condition: &Expr) -> Result<Typed, Failure> {
    compiler.condition(condition).map(Typed::boolean)
}

fn compile_list(
    items: &[Expr],
    zone: AccountZone,
    functions: PipeFunctions,
    compile: fn(&mut Compiler<'_>, &Expr) -> Result<Typed, Failure>,
) -> Result<Compiled, Failure> {
    let functions = match functions {
        PipeFunctions::Listed => FUNCTIONS,
        PipeFunctions::All => SCALARS,
    };
    let (context, tables) = (Context::default(), BTreeMap::new());
    let mut compiler = Compiler::new(Settings {
        of_pipe: Some(functions),
        context: &context,
        tables: &tables,
        bindings: &[] as &[Literal],
        now: "1970-01-01 00:00:00.000000000",
        end: Instant::now() + MOST_TIME,
    });
    let (mut list, mut types) = (Vec::new(), Vec::new());
    for item in items {
        let value = compile(&mut compiler, item)?;
        if volatile::calls(&value.sql) > 1 {
            return Err(Failure::unsupported(format!(
                "{item}, in which UUID_STRING or RANDOM would be computed more than once"
            )));
        }
        list.push(value.sql);
        types.push(value.of);
    }
    let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
    let reads_clock = compiler
        .slots
        .iter()
        .any(|(_, slot)| matches!(slot, Slot::Now(_)));
    let calls = |sql: &String| OF_TIME.iter().any(|call| sql.contains(call));
    let is_of_time = reads_clock || list.iter().any(calls);
    if is_of_time && !zone.is_utc() {
        return Err(Failure::unsupported(
            "an expression of dates or times in an account whose TIMEZONE is not UTC",
        ));
    }
    Ok(Compiled {
        text: texts.join(", "),
        sql: format!("SELECT {}", list.join(", ")),
        texts: compiler.texts,
        slots: compiler.slots,
        types,
        is_of_time,
    })
}

/// Compiles the DEFAULT of a column, which reads no row; and whether its value is always the same.
pub(crate) fn compile_default(
    value: &Expr,
    zone: AccountZone,
) -> Result<(impl Program + use<>, bool), Failure> {
    let compiled = compile_list(
        std::slice::from_ref(value),
        zone,
        PipeFunctions::Listed,
        expression,
    )?;
    let reads_row = compiled
        .slots
        .iter()
        .any(|(_, slot)| matches!(slot, Slot::Row));
    if reads_row {
        return Err(Failure::unsupported("$1 in a DEFAULT"));
    }
    if volatile::calls(&compiled.sql) > 0 {
        return Err(Failure::unsupported(
            "UUID_STRING or RANDOM within the expression of a DEFAULT",
        ));
    }
    let is_constant = compiled.slots.is_empty();
    Ok((compiled, is_constant))
}

impl Program for Compiled {
    fn text(&self) -> &str {
        &self.text
    }

    fn is_of_time(&self) -> bool {
        self.is_of_time
    }

    fn cells(&self, row: &str, now: SystemTime) -> Result<Vec<(Cell, DataType)>, RowError> {
        CONNECTION.with_borrow_mut(|connection| {
            let connection = match connection {
                Some(connection) => connection,
                empty => empty.insert(opened().map_err(|why| said(&why))?),
            };
            self.computed(connection, row, now)
        })
    }
}

impl Compiled {
    fn computed(
        &self,
        connection: &Connection,
        row: &str,
        now: SystemTime,
    ) -> Result<Vec<(Cell, DataType)>, RowError> {
        let failed = |why: rusqlite::Error| said(&why);
        let mut statement = connection.prepare_cached(&self.sql).map_err(failed)?;
        let now = moments::utc(now).map_err(rejected)?;
        let given = |position: usize, text: &String| {
            let mut slots = self.slots.iter();
            match slots.find(|(slot, _)| *slot == position) {
                Some((_, Slot::Row)) => row.trim().to_owned(),
                Some((_, Slot::Now(form))) => form.of_wall(&now),
                None => text.clone(),
            }
        };
        let texts = self.texts.iter().enumerate();
        let texts = texts.map(|(position, text)| given(position, text));
        let used = texts.take(statement.parameter_count());
        let mut rows = statement.query(params_from_iter(used)).map_err(failed)?;
        let found = rows.next().map_err(failed)?;
        let found = found.ok_or_else(|| rejected(Raised::internal("a SELECT without a row")))?;
        let values = self.types.iter().enumerate().map(|(position, of)| {
            let of = of.unwrap_or(TEXT);
            let value = found.get_ref(position).map_err(failed)?;
            let cell = cell(value, of).map_err(rejected)?;
            Ok((cell, of))
        });
        values.collect()
    }
}

fn opened() -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    scalars::register(&connection, Deadline::Commit)?;
    Ok(connection)
}

/// What SQLite's error says of the row.
fn said(why: &rusqlite::Error) -> RowError {
    let message = why.to_string();
    match Raised::read(&message) {
        Some(raised) => rejected(raised),
        None => RowError::new("000603", "XX000", message),
    }
}

/// What a function raised as the reason why the row is rejected.
fn rejected(raised: Raised) -> RowError {
    RowError::new(raised.code, raised.sql_state, raised.message)
}

/// A value in the form of its type as a cell.
fn cell(value: ValueRef<'_>, of: DataType) -> Result<Cell, Raised> {
    let text = || match value {
        ValueRef::Text(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        _ => Err(Raised::internal("a value in another form")),
    };
    if value == ValueRef::Null {
        return Ok(Cell::Null);
    }
    Ok(match of {
        DataType::Number { scale, .. } => Cell::Text(numbers::show(numbers::decode(value)?, scale)),
        DataType::Float => Cell::Float(arguments::float_of(value)?),
        DataType::Boolean => Cell::Boolean(value != ValueRef::Integer(0)),
        DataType::Binary(_) => match value {
            ValueRef::Blob(bytes) => Cell::Binary(bytes.to_vec()),
            _ => return Err(Raised::internal("bytes in another form")),
        },
        DataType::Variant | DataType::Object | DataType::Array => Cell::Json(text()?),
        _ => Cell::Text(text()?),
    })
}
