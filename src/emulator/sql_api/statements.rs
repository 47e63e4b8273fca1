//! The SQL API: a SELECT over what has landed, in the shapes of Snowflake's `/api/v2/statements`.
//!
//! A statement is read and run on a separate thread and without the emulator's lock; only the tables that it reads are looked up
//! under the lock. SQLite computes what the [compiler](super::compiler) has made of the statement.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::compiler::literals::{Binding, Literal};
use super::functions::moments::{self, Form};
use super::functions::raised::Raised;
use super::parsing::{Context, Selection};
use super::reading::{self, MOST_TIME, Run, Source};
use crate::base::time::epoch_millis;
use crate::emulator::catalog::tables::kept_as;
use crate::emulator::ddl::deep_stack;
use crate::emulator::messages::answer::{Answer, Refusal, json_answer};
use crate::emulator::protocol::handler::Handler;
use crate::emulator::storage::row_snapshot::RowSnapshot;

/// How many answers are kept for a GET, and how many bytes they may have together.
const MOST_KEPT: usize = 32;
const MOST_KEPT_BYTES: usize = 32 * 1024 * 1024;
/// How many cells of tables in memory a statement may read, and how many bytes of values: they are copied for it.
const MOST_CELLS: usize = 2_000_000;
const MOST_CELL_BYTES: usize = 64 * 1024 * 1024;

/// A statement that is not carried out, in Snowflake's codes.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    code: Cow<'static, str>,
    sql_state: Cow<'static, str>,
    message: String,
}

impl Failure {
    fn compilation(code: &'static str, sql_state: &'static str, message: &str) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            code: code.into(),
            sql_state: sql_state.into(),
            message: format!("SQL compilation error:\n{message}"),
        }
    }

    pub(crate) fn syntax(message: impl AsRef<str>) -> Self {
        Self::compilation("001003", "42000", message.as_ref())
    }

    pub(crate) fn unsupported(what: impl AsRef<str>) -> Self {
        let message = format!("Unsupported feature: {}.", what.as_ref());
        Self::compilation("000002", "0A000", &message)
    }

    pub(crate) fn several(count: usize) -> Self {
        let message =
            format!("Actual statement count {count} did not match the desired statement count 1.");
        Self::compilation("000008", "0A000", &message)
    }

    pub(crate) fn no_object(name: &str) -> Self {
        let message = format!("Object '{name}' does not exist or not authorized.");
        Self::compilation("002003", "42S02", &message)
    }

    pub(crate) fn no_column(name: &str) -> Self {
        let message = format!("invalid identifier '{name}'");
        Self::compilation("000904", "42000", &message)
    }

    pub(crate) fn no_function(name: &str) -> Self {
        let message = format!(
            "Unknown function {}: the guide's chapter on what the emulator supports lists its functions.",
            name.to_uppercase()
        );
        Self::compilation("002140", "42601", &message)
    }

    pub(crate) fn ambiguous_column(name: &str) -> Self {
        Self::compilation(
            "002028",
            "42601",
            &format!("ambiguous column name '{name}'"),
        )
    }

    pub(crate) fn not_grouped(name: &str) -> Self {
        let message = format!(
            "'{name}' in select clause is neither an aggregate nor in the group by clause."
        );
        Self::compilation("000979", "42601", &message)
    }

    pub(crate) fn argument_types(name: &str, of: &str) -> Self {
        let message =
            format!("Invalid argument types for function '{name}': ({of}). Cast the argument.");
        Self::compilation("001044", "42P13", &message)
    }

    pub(crate) fn argument_count(name: &str, count: usize) -> Self {
        let message = format!("{name} of {count} arguments of these types");
        Self::unsupported(message)
    }

    pub(crate) fn column_counts(one: usize, other: usize) -> Self {
        let message = format!("invalid number of result columns: {one} and {other}");
        Self::compilation("002057", "42601", &message)
    }

    /// A binding whose value is none of its type.
    pub(crate) fn binding(kind: &str, value: &str) -> Self {
        let shown: String = value.chars().take(100).collect();
        Self::from(Raised::new(
            "100037",
            "22018",
            format!("Bind value '{shown}' is not a value of type {kind}"),
        ))
    }

    pub(crate) fn no_database() -> Self {
        Self::compilation(
            "090105",
            "22000",
            "Cannot perform SELECT. This session does not have a current database: name it in the request, or use a qualified name.",
        )
    }

    pub(crate) fn bindings(wanted: usize, given: usize) -> Self {
        let message = format!("The statement has {wanted} bind variables, and {given} are given.");
        Self::compilation("002049", "42601", &message)
    }

    pub(crate) fn too_large(than: impl AsRef<str>) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            code: "391908".into(),
            sql_state: "54000".into(),
            message: format!(
                "The statement reads or answers more than {}, which is the emulator's most: narrow it down.",
                than.as_ref()
            ),
        }
    }

    pub(crate) fn timeout() -> Self {
        Self {
            status: StatusCode::REQUEST_TIMEOUT,
            code: "000630".into(),
            sql_state: "57014".into(),
            message: "Statement reached its statement or warehouse timeout and was canceled."
                .to_owned(),
        }
    }

    pub(crate) fn broken(why: &rusqlite::Error) -> Self {
        tracing::error!(%why, "the storage cannot be queried");
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "000603".into(),
            sql_state: "XX000".into(),
            message: "The emulator's storage cannot be queried: its log says why.".to_owned(),
        }
    }

    fn storage(why: &crate::emulator::storage::interface::StorageError) -> Self {
        tracing::error!(%why, "the storage cannot be read");
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "000603".into(),
            sql_state: "XX000".into(),
            message: "The emulator's storage cannot be read: its log says why.".to_owned(),
        }
    }

    fn into_answer(self, handle: &str) -> Answer {
        json_answer(
            self.status,
            &json!({
                "code": self.code,
                "sqlState": self.sql_state,
                "message": self.message,
                "statementHandle": handle,
                "statementStatusUrl": format!("/api/v2/statements/{handle}"),
            }),
        )
    }
}

/// What a function raises while the statement runs.
impl From<Raised> for Failure {
    fn from(raised: Raised) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            code: raised.code.into(),
            sql_state: raised.sql_state.into(),
            message: raised.message,
        }
    }
}

/// The body of a POST.
#[derive(Deserialize)]
struct Posted {
    statement: String,
    #[serde(default)]
    timeout: u64,
    database: Option<String>,
    schema: Option<String>,
    #[serde(default)]
    bindings: BTreeMap<String, Binding>,
}

impl Posted {
    fn read(body: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(body)
            .map_err(|why| Refusal::malformed(format!("The body cannot be read: {why}.")))
    }

    /// The values to bind, in the order of their numbers.
    fn bindings(&self) -> Result<Vec<Binding>, Refusal> {
        let mut numbered = BTreeMap::new();
        for (key, binding) in &self.bindings {
            let number: usize = key.parse().map_err(|_| {
                Refusal::malformed(format!("The binding {key:?} is not numbered from 1."))
            })?;
            numbered.insert(number, binding.clone());
        }
        if numbered.keys().copied().ne(1..=numbered.len()) {
            return Err(Refusal::malformed("The bindings are not numbered from 1."));
        }
        Ok(numbered.into_values().collect())
    }
}

/// The last answers by handle.
#[derive(Debug, Default)]
pub(crate) struct Statements(Mutex<VecDeque<(String, Answer)>>);

impl Statements {
    fn keep(&self, handle: &str, answer: &Answer) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back((handle.to_owned(), answer.clone()));
        let mut bytes: usize = kept.iter().map(|(_, answer)| answer.body().len()).sum();
        while (kept.len() > MOST_KEPT || bytes > MOST_KEPT_BYTES)
            && let Some((_, oldest)) = kept.pop_front()
        {
            bytes -= oldest.body().len();
        }
    }

    fn kept(&self, handle: &str) -> Option<Answer> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = kept.iter().filter(|(known, _)| known == handle);
        found.next().map(|(_, answer)| answer.clone())
    }

    pub(crate) fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// What a statement needs of the emulator.
pub(crate) struct Access<'a> {
    pub(crate) statements: &'a Statements,
    pub(crate) handler: &'a Mutex<Handler>,
}

impl Access<'_> {
    fn handler(&self) -> MutexGuard<'_, Handler> {
        self.handler.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a request to the SQL API is answered.
pub(crate) fn answer(access: &Access<'_>, now: SystemTime, request: &Request<Bytes>) -> Answer {
    // The lock is given back before the statement runs.
    let admitted = access
        .handler()
        .login
        .check_primary(request.headers(), epoch_millis(now));
    let answered = match admitted {
        Ok(()) if request.method() == Method::POST => post(access, now, request),
        Ok(()) => get(access, request),
        Err(refusal) => Err(refusal),
    };
    answered.unwrap_or_else(Refusal::into_answer)
}

fn get(access: &Access<'_>, request: &Request<Bytes>) -> Result<Answer, Refusal> {
    let handle = request.uri().path().rsplit('/').next().unwrap_or_default();
    let is_first = query(request, "partition").is_none_or(|number| number == "0");
    let kept = access.statements.kept(handle);
    kept.filter(|_| is_first).ok_or_else(|| {
        Refusal::new(
            StatusCode::NOT_FOUND,
            "000709",
            format!("Statement {handle} not found: the emulator keeps the last {MOST_KEPT} answers, each in one partition."),
        )
    })
}

fn post(access: &Access<'_>, now: SystemTime, request: &Request<Bytes>) -> Result<Answer, Refusal> {
    let posted = Posted::read(request.body())?;
    let bindings = posted.bindings()?;
    let handle = uuid::Builder::from_random_bytes(fastrand::u128(..).to_be_bytes())
        .into_uuid()
        .to_string();
    let (status, message, body) = match run(access, now, posted, &bindings) {
        Ok(found) => {
            let nulls = query(request, "nullable").is_some_and(|value| value == "false");
            (
                StatusCode::OK,
                "Statement executed successfully.",
                result(found, nulls),
            )
        }
        Err(why) => {
            let answer = why.into_answer(&handle);
            access.statements.keep(&handle, &answer);
            return Ok(answer);
        }
    };
    let mut body = body;
    let common = json!({
        "code": "090001",
        "sqlState": "00000",
        "message": message,
        "statementHandle": handle,
        "statementStatusUrl": format!("/api/v2/statements/{handle}"),
        "requestId": query(request, "requestId"),
        "createdOn": epoch_millis(now),
    });
    if let (Value::Object(body), Value::Object(common)) = (&mut body, common) {
        body.extend(common);
    }
    let answer = json_answer(status, &body);
    access.statements.keep(&handle, &answer);
    if query(request, "async").is_some_and(|value| value == "true") {
        return Ok(json_answer(
            StatusCode::ACCEPTED,
            &json!({
                "code": "333334",
                "message": "Asynchronous execution in progress. Use provided query id to perform query monitoring and management.",
                "statementHandle": handle,
                "statementStatusUrl": format!("/api/v2/statements/{handle}"),
            }),
        ));
    }
    Ok(answer)
}

fn result(found: reading::Answer, nulls_as_text: bool) -> Value {
    let rows = found.rows.len();
    let data: Vec<Vec<Option<String>>> = if nulls_as_text {
        let filled = |cell: Option<String>| Some(cell.unwrap_or_else(|| "null".to_owned()));
        let rows = found.rows.into_iter();
        rows.map(|row| row.into_iter().map(filled).collect())
            .collect()
    } else {
        found.rows
    };
    json!({
        "resultSetMetaData": {
            "numRows": rows,
            "format": "jsonv2",
            "partitionInfo": [{ "rowCount": rows, "uncompressedSize": found.bytes }],
            "rowType": found.columns,
        },
        "data": data,
    })
}

fn query(request: &Request<Bytes>, name: &str) -> Option<String> {
    let text = request.uri().query().unwrap_or_default();
    let mut pairs = url::form_urlencoded::parse(text.as_bytes());
    pairs
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// Runs a statement on a thread whose stack is large enough for it.
fn run(
    access: &Access<'_>,
    now: SystemTime,
    posted: Posted,
    bindings: &[Binding],
) -> Result<reading::Answer, Failure> {
    let unavailable = || Failure {
        status: StatusCode::TOO_MANY_REQUESTS,
        code: "000629".into(),
        sql_state: "53000".into(),
        message: "The system has no thread for the statement: try again.".to_owned(),
    };
    let work = || select(access, now, posted, bindings);
    deep_stack::run("snowpipe-emulator-sql", work).unwrap_or_else(|| Err(unavailable()))
}

fn select(
    access: &Access<'_>,
    now: SystemTime,
    posted: Posted,
    bindings: &[Binding],
) -> Result<reading::Answer, Failure> {
    let most_time = match posted.timeout {
        0 => MOST_TIME,
        seconds => MOST_TIME.min(Duration::from_secs(seconds)),
    };
    // Whatever it takes from here on is time of the statement: to read it, and to copy what it reads.
    let end = Instant::now() + most_time;
    let context = Context {
        database: posted.database,
        schema: posted.schema,
    };
    let selection = Selection::read(&posted.statement, context)?;
    let (file, sources) = sources(access, &selection)?;
    let bindings = bindings.iter().map(Binding::literal);
    let bindings = bindings.collect::<Result<Vec<Literal>, _>>()?;
    let run = Run {
        file: file.as_deref(),
        sources: &sources,
        bindings: &bindings,
        now: &wall_clock(now)?,
        end,
    };
    reading::run(&selection, &run)
}

/// The emulator's time in UTC, as functions of the current time give it.
fn wall_clock(now: SystemTime) -> Result<String, Failure> {
    let wall = jiff::Timestamp::try_from(now)
        .map(|now| now.to_zoned(jiff::tz::TimeZone::UTC).datetime())
        .map_err(|_| Failure::unsupported("the time of the emulator"))?;
    Ok(moments::show(wall, Form::Ntz)?)
}

/// What a statement reads: the data file, or snapshots of its tables. Rows are not copied here, for the others wait meanwhile.
fn sources(
    access: &Access<'_>,
    selection: &Selection,
) -> Result<(Option<std::path::PathBuf>, Vec<Source>), Failure> {
    let mut handler = access.handler();
    let state = &mut handler.state;
    let file = state.storage.data_file().map(std::path::Path::to_owned);
    let mut sources = Vec::new();
    let (mut cells, mut bytes) = (0, 0);
    for name in &selection.tables {
        let missing =
            || Failure::no_object(&format!("{}.{}.{}", name.database, name.schema, name.name));
        let Some(table) = state.catalog.table(name).cloned() else {
            // A name of a query of the statement's, most probably.
            if selection.is_perhaps_a_query(name) {
                continue;
            }
            return Err(missing());
        };
        let kept = kept_as(&table, name);
        let mut rows = RowSnapshot::default();
        if file.is_none() {
            rows = state
                .storage
                .snapshot(kept)
                .map_err(|why| Failure::storage(&why))?;
            cells += rows.count().saturating_mul(table.columns.len());
            bytes += rows.bytes();
            let than =
                |most: String| Err(Failure::too_large(format!("{most} of tables in memory")));
            if cells > MOST_CELLS {
                return than(format!("{MOST_CELLS} values"));
            }
            if bytes > MOST_CELL_BYTES {
                return than(format!("{MOST_CELL_BYTES} bytes"));
            }
            // A table that stands in for any other is there once it holds something.
            if rows.count() == 0 && !state.catalog.is_declared(name) {
                if selection.is_perhaps_a_query(name) {
                    continue;
                }
                return Err(missing());
            }
        }
        sources.push(Source {
            asked: name.clone(),
            name: kept.clone(),
            table,
            rows,
        });
    }
    Ok((file, sources))
}
