//! The SQL API: a SELECT over what has landed, in the shapes of Snowflake's `/api/v2/statements`.
//!
//! A statement is read and run on a separate thread and without the emulator's lock; only the tables that it reads are looked up
//! under the lock. SQLite computes what the [compiler](crate::sql::compiler) has made of the statement.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::parsing::Selection;
use super::pipe_status;
use super::reading::{self, MOST_TIME, Run, Source};
use super::views;
use crate::catalog::tables::kept_as;
use crate::ddl::deep_stack;
use crate::messages::answer::{Answer, Refusal, json_answer};
use crate::messages::time::epoch_millis;
use crate::protocol::handler::Handler;
use crate::sql::compiler::literals::{Binding, Literal};
use crate::sql::failure::Failure;
use crate::sql::functions::moments;
use crate::sql::names::Context;
use crate::storage::row_snapshot::RowSnapshot;

/// How many answers are kept for a GET, and how many bytes they may have together.
const MOST_KEPT: usize = 32;
const MOST_KEPT_BYTES: usize = 32 * 1024 * 1024;
/// The longest id of a request that is remembered: clients send UUIDs.
const MOST_ID: usize = 64;
/// How many cells of tables in memory a statement may read, and how many bytes of values: they are copied for it.
const MOST_CELLS: usize = 2_000_000;
const MOST_CELL_BYTES: usize = 64 * 1024 * 1024;

/// A failure as the SQL API answers it.
fn failed_answer(failure: &Failure, handle: &str) -> Answer {
    json_answer(
        failure.status,
        &json!({
            "code": failure.code,
            "sqlState": failure.sql_state,
            "message": failure.message,
            "statementHandle": handle,
            "statementStatusUrl": format!("/api/v2/statements/{handle}"),
        }),
    )
}

pub(crate) fn storage_failure(why: &crate::storage::interface::StorageError) -> Failure {
    tracing::error!(%why, "the storage cannot be read");
    Failure {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        code: "000603".into(),
        sql_state: "XX000".into(),
        message: "The emulator's storage cannot be read: its log says why.".to_owned(),
    }
}

/// The body of a POST.
#[derive(Deserialize)]
pub(crate) struct Posted {
    pub(crate) statement: String,
    #[serde(default)]
    pub(super) timeout: u64,
    pub(crate) database: Option<String>,
    pub(crate) schema: Option<String>,
    #[serde(default)]
    pub(super) bindings: BTreeMap<String, Binding>,
}

impl Posted {
    pub(crate) fn read(body: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(body)
            .map_err(|why| Refusal::malformed(format!("The body cannot be read: {why}.")))
    }

    /// The values to bind, in the order of their numbers.
    pub(crate) fn bindings(&self) -> Result<Vec<Binding>, Refusal> {
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

/// The last answers.
#[derive(Debug, Default)]
pub(crate) struct Statements(Mutex<VecDeque<Kept>>);

/// An answer that a client may ask for again.
#[derive(Debug)]
struct Kept {
    handle: String,
    request_id: Option<String>,
    answer: Answer,
}

impl Statements {
    fn keep(&self, asked: &Asked, answer: &Answer) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back(Kept {
            handle: asked.handle.clone(),
            request_id: asked.request_id.clone().filter(|id| id.len() <= MOST_ID),
            answer: answer.clone(),
        });
        let mut bytes: usize = kept.iter().map(|kept| kept.answer.body().len()).sum();
        while (kept.len() > MOST_KEPT || bytes > MOST_KEPT_BYTES)
            && let Some(oldest) = kept.pop_front()
        {
            bytes -= oldest.answer.body().len();
        }
    }

    fn find(&self, is_it: impl Fn(&Kept) -> bool) -> Option<Answer> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = kept.iter();
        kept.find(|kept| is_it(kept))
            .map(|kept| kept.answer.clone())
    }

    fn kept(&self, handle: &str) -> Option<Answer> {
        self.find(|kept| kept.handle == handle)
    }

    fn of_request(&self, id: &str) -> Option<Answer> {
        self.find(|kept| kept.request_id.as_deref() == Some(id))
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
    pub(crate) statements: &'a Arc<Statements>,
    pub(crate) handler: &'a Mutex<Handler>,
    /// The emulator's time.
    pub(crate) now: SystemTime,
}

impl Access<'_> {
    pub(crate) fn handler(&self) -> MutexGuard<'_, Handler> {
        self.handler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request to the SQL API has a valid token. The lock is given back before the statement runs.
    pub(crate) fn admitted(&self, request: &Request<Bytes>) -> Result<(), Refusal> {
        let now_ms = epoch_millis(self.now);
        self.handler()
            .login
            .check_account(request.headers(), now_ms)
    }
}

/// What a request to the SQL API is answered.
pub(crate) fn answer(access: &Access<'_>, request: &Request<Bytes>) -> Answer {
    let answered = match access.admitted(request) {
        Ok(()) if request.method() == Method::POST => post(access, request),
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

fn post(access: &Access<'_>, request: &Request<Bytes>) -> Result<Answer, Refusal> {
    let posted = Posted::read(request.body())?;
    let bindings = posted.bindings()?;
    let asked = Asked::read(request, access.now);
    let found = run(access, posted, &bindings);
    Ok(asked.answer(access.statements, found))
}

/// What the answer to a POST depends on beside the statement.
#[derive(Debug)]
pub(crate) struct Asked {
    handle: String,
    request_id: Option<String>,
    created_ms: u64,
    has_nulls_as_text: bool,
    is_async: bool,
    /// Whether the client sends the request again, because the answer was lost.
    is_again: bool,
}

impl Asked {
    pub(crate) fn read(request: &Request<Bytes>, now: SystemTime) -> Self {
        let is = |name: &str, wanted: &str| query(request, name).is_some_and(|it| it == wanted);
        Self {
            handle: uuid::Builder::from_random_bytes(fastrand::u128(..).to_be_bytes())
                .into_uuid()
                .to_string(),
            request_id: query(request, "requestId"),
            created_ms: epoch_millis(now),
            has_nulls_as_text: is("nullable", "false"),
            is_async: is("async", "true"),
            is_again: is("retry", "true"),
        }
    }

    /// The answer to the same request when it came first.
    pub(crate) fn earlier(&self, statements: &Statements) -> Option<Answer> {
        let id = self.request_id.as_ref().filter(|_| self.is_again)?;
        statements.of_request(id)
    }

    /// The answer, which is kept for a GET.
    pub(crate) fn answer(
        &self,
        statements: &Statements,
        found: Result<reading::Answer, Failure>,
    ) -> Answer {
        let url = format!("/api/v2/statements/{}", self.handle);
        let found = match found {
            Ok(found) => found,
            Err(why) => {
                let answer = failed_answer(&why, &self.handle);
                statements.keep(self, &answer);
                return answer;
            }
        };
        let mut body = result(found, self.has_nulls_as_text);
        let common = json!({
            "code": "090001",
            "sqlState": "00000",
            "message": "Statement executed successfully.",
            "statementHandle": self.handle,
            "statementStatusUrl": url,
            "requestId": self.request_id,
            "createdOn": self.created_ms,
        });
        if let (Value::Object(body), Value::Object(common)) = (&mut body, common) {
            body.extend(common);
        }
        let answer = json_answer(StatusCode::OK, &body);
        statements.keep(self, &answer);
        if !self.is_async {
            return answer;
        }
        json_answer(
            StatusCode::ACCEPTED,
            &json!({
                "code": "333334",
                "message": "Asynchronous execution in progress. Use provided query id to perform query monitoring and management.",
                "statementHandle": self.handle,
                "statementStatusUrl": url,
            }),
        )
    }
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
pub(super) fn run(
    access: &Access<'_>,
    posted: Posted,
    bindings: &[Binding],
) -> Result<reading::Answer, Failure> {
    let unavailable = || Failure {
        status: StatusCode::TOO_MANY_REQUESTS,
        code: "000629".into(),
        sql_state: "53000".into(),
        message: "The system has no thread for the statement: try again.".to_owned(),
    };
    let work = || select(access, posted, bindings);
    deep_stack::run("snowpipe-emulator-sql", work).unwrap_or_else(|| Err(unavailable()))
}

fn select(
    access: &Access<'_>,
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
    let mut selection = Selection::read(&posted.statement, context)?;
    pipe_status::fill(&mut selection, &access.handler().state)?;
    let (file, sources) = sources(access, &selection)?;
    let bindings = bindings.iter().map(Binding::literal);
    let bindings = bindings.collect::<Result<Vec<Literal>, _>>()?;
    let run = Run {
        file: file.as_deref(),
        sources: &sources,
        bindings: &bindings,
        now: &moments::utc(access.now)?,
        end,
    };
    reading::run(&selection, &run)
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
        if let Some(view) = views::find(state, name)? {
            sources.push(Source {
                asked: name.clone(),
                name: name.clone(),
                table: view.table,
                rows: view.rows,
                is_view: true,
                is_whole: view.is_whole,
            });
            continue;
        }
        let missing =
            || Failure::no_object(&format!("{}.{}.{}", name.database, name.schema, name.name));
        let Some(table) = state.catalog.table_in_sql(name).cloned() else {
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
                .map_err(|why| storage_failure(&why))?;
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
            is_view: false,
            is_whole: true,
        });
    }
    Ok((file, sources))
}
