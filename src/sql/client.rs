//! The client of the SQL API: submits statements, waits for them, and reads their rows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;
use uuid::Uuid;

use super::names::{TableName, quoted};
use crate::api::ApiConfig;
use crate::api::call::Attempt;
use crate::api::failure::Failure;
use crate::api::statements::{Answer, Binding, ResultSet, Statements, Submission};
use crate::auth::{Bearer, Credential};
use crate::base::retry::{Backoff, Retry};
use crate::base::time::{SystemClock, TimeSource};
use crate::config::Profile;
use crate::context::retries::{FEW_TRIES, FIRST_DELAY, LONGEST_PAUSE, retry_call};
use crate::http::{HttpTransport, Transport};
use crate::rows::Columns;
use crate::types::error::{Error, ErrorKind, Result};

/// The API answers within 45 seconds, with a handle if the statement is still running.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);

/// A statement with its bindings.
///
/// ```
/// use std::time::Duration;
/// use snowpipe_streaming::sql::Statement;
/// let statement = Statement::new("SELECT COUNT(*) FROM LIFT_RIDE WHERE LIFT = ?")
///     .bind("Elkhorn")
///     .timeout(Duration::from_secs(30));
/// ```
#[derive(Debug, Clone)]
pub struct Statement {
    text: String,
    bindings: Vec<String>,
    timeout: Duration,
}

impl Statement {
    /// Creates a statement from its SQL text.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            bindings: Vec::new(),
            timeout: Duration::from_secs(300),
        }
    }

    /// Binds a text to the next `?`.
    #[must_use]
    pub fn bind(mut self, text: impl Into<String>) -> Self {
        self.bindings.push(text.into());
        self
    }

    /// Sets how long the statement may run, in whole seconds, at least one. Default: five minutes.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn bindings(&self) -> BTreeMap<String, Binding<'_>> {
        let numbered = (1_usize..).zip(&self.bindings);
        numbered
            .map(|(number, value)| {
                let kind = "TEXT";
                (number.to_string(), Binding { kind, value })
            })
            .collect()
    }
}

/// The result of a statement. Every value is text as Snowflake formats it, or `None` for NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rows {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows, each with a value for each column.
    pub rows: Vec<Vec<Option<String>>>,
}

/// The number of rows and distinct keys in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// The number of rows.
    pub rows: u64,
    /// The number of distinct values of the key column, without NULL; `None` if no column was given.
    pub distinct: Option<u64>,
}

/// A client of the SQL API of one account.
#[derive(Debug)]
pub struct SqlClient {
    statements: Statements,
    database: Option<String>,
    schema: Option<String>,
    warehouse: Option<String>,
    role: Option<String>,
}

/// Builds a [`SqlClient`].
#[derive(Debug)]
#[must_use = "nothing happens until `build` is called"]
pub struct SqlClientBuilder {
    profile: Profile,
    warehouse: Option<String>,
    credential: Option<Arc<dyn Credential>>,
    transport: Option<Arc<dyn Transport>>,
    time: Arc<dyn TimeSource>,
}

impl SqlClientBuilder {
    /// Sets the warehouse for statements, instead of the profile's or the user's default.
    pub fn warehouse(mut self, name: impl Into<String>) -> Self {
        self.warehouse = Some(name.into());
        self
    }

    /// Logs in with this credential instead of the profile's, which then needs no user and no key.
    pub fn credential(mut self, credential: impl Credential) -> Self {
        self.credential = Some(Arc::new(credential));
        self
    }

    /// Sets the transport. Default: an [`HttpTransport`](crate::transport::HttpTransport) with its default settings.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Sets the wall clock. Default: the operating system's.
    pub fn time_source(mut self, time: impl TimeSource) -> Self {
        self.time = Arc::new(time);
        self
    }

    /// Checks the profile and builds the client. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] or [`ErrorKind::Authentication`] if the profile is incomplete or malformed, or its key cannot be
    /// read.
    pub fn build(self) -> Result<SqlClient> {
        let profile = self.profile;
        let config = ApiConfig {
            account_url: profile.account_url()?,
            account: profile.account().to_owned(),
            database: String::new(),
            schema: String::new(),
            pipe: String::new(),
            application: profile.application()?.map(str::to_owned),
            attempt_timeout: ATTEMPT_TIMEOUT,
        };
        let credential = match self.credential {
            Some(credential) => credential,
            None => profile.credential()?,
        };
        let transport = match self.transport {
            Some(transport) => transport,
            None => Arc::new(HttpTransport::builder().build()?),
        };
        Ok(SqlClient {
            statements: Statements::new(&config, credential, transport, self.time),
            database: profile.database().map(str::to_owned),
            schema: profile.schema().map(str::to_owned),
            warehouse: self
                .warehouse
                .or_else(|| profile.warehouse().map(str::to_owned)),
            role: profile.role().map(str::to_owned),
        })
    }
}

impl SqlClient {
    /// Creates a builder for the account of `profile`. Its role, database and schema are used if they are set.
    pub fn builder(profile: Profile) -> SqlClientBuilder {
        SqlClientBuilder {
            profile,
            warehouse: None,
            credential: None,
            transport: None,
            time: Arc::new(SystemClock),
        }
    }

    /// Runs a statement and waits for its rows, at most a minute longer than the statement may run. Failed calls are retried a
    /// few times with the same request id.
    ///
    /// Cancel safe for the client; the statement itself continues to run.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Refused`]: the statement failed; [`Error::code`] is Snowflake's, such as `002003`.
    /// - [`ErrorKind::Timeout`]: the statement took too long.
    /// - [`ErrorKind::TooLarge`]: the result has several partitions.
    /// - Any error that prevents the server from answering.
    pub async fn query(&self, statement: &Statement) -> Result<Rows> {
        let limit = statement.timeout.saturating_add(ATTEMPT_TIMEOUT);
        tokio::time::timeout(limit, self.run(statement))
            .await
            .unwrap_or_else(|_| {
                Err(Error::new(
                    ErrorKind::Timeout,
                    format!("the statement returned no result within {limit:?}; allow more time or use a larger warehouse"),
                ))
            })
    }

    /// A bearer token for a call to the account's host that this crate does not make, such as Snowpipe's REST API. It is cached
    /// for as long as it is valid.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Authentication`] or [`ErrorKind::Timeout`] if the credential has no token.
    pub async fn bearer(&self) -> Result<Bearer> {
        self.statements.bearer().await.map_err(Failure::into_error)
    }

    /// Counts the rows of a table and, if `key` names a column, its distinct values. The column's name is in the case in which
    /// Snowflake stores it.
    ///
    /// Cancel safe like [`query`](Self::query).
    ///
    /// # Errors
    ///
    /// Those of [`query`](Self::query), and [`ErrorKind::Protocol`] if the answer does not consist of numbers.
    pub async fn count(&self, table: &TableName, key: Option<&str>) -> Result<Counts> {
        let distinct = key.map_or_else(String::new, |key| {
            format!(", COUNT(DISTINCT {})", quoted(key))
        });
        let statement = Statement::new(format!("SELECT COUNT(*){distinct} FROM {table}"));
        let answer = self.query(&statement).await?;
        let mut numbers = answer.rows.iter().flatten().map(|value| {
            value
                .as_deref()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| miscounted(table))
        });
        let rows = numbers.next().ok_or_else(|| miscounted(table))??;
        let distinct = match key {
            Some(_) => Some(numbers.next().ok_or_else(|| miscounted(table))??),
            None => None,
        };
        Ok(Counts { rows, distinct })
    }

    /// The columns of a table, for [`check_columns`](crate::StreamingIngestClient::check_columns). A column that is `NOT NULL` and
    /// has no default is required of each row. A `DESC TABLE` needs no warehouse.
    ///
    /// ```no_run
    /// # async fn example(client: snowpipe_streaming::StreamingIngestClient, sql: snowpipe_streaming::sql::SqlClient) -> snowpipe_streaming::Result<()> {
    /// use snowpipe_streaming::sql::TableName;
    ///
    /// let table = TableName::new("RESORT", "PUBLIC", "LIFT_RIDE")?;
    /// client.check_columns(sql.columns(&table).await?);
    /// # Ok(()) }
    /// ```
    ///
    /// Cancel safe like [`query`](Self::query).
    ///
    /// # Errors
    ///
    /// Those of [`query`](Self::query), and [`ErrorKind::Protocol`] if the answer has no column `name` or `null?`.
    pub async fn columns(&self, table: &TableName) -> Result<Columns> {
        let answer = self
            .query(&Statement::new(format!("DESC TABLE {table}")))
            .await?;
        let place = |name: &str| answer.columns.iter().position(|column| column == name);
        let (Some(name), Some(nullable)) = (place("name"), place("null?")) else {
            return Err(Error::new(
                ErrorKind::Protocol,
                format!("the description of {table} has no column \"name\" or \"null?\""),
            ));
        };
        let (kind, default) = (place("kind"), place("default"));
        let mut columns = Columns::new([""; 0]);
        for row in &answer.rows {
            let cell = |at: Option<usize>| row.get(at?)?.as_deref().filter(|text| !text.is_empty());
            let Some(name) = cell(Some(name)) else {
                continue;
            };
            // A virtual column takes no values.
            if cell(kind).is_some_and(|kind| !kind.eq_ignore_ascii_case("COLUMN")) {
                continue;
            }
            let is_required = cell(Some(nullable)) == Some("N") && cell(default).is_none();
            columns = if is_required {
                columns.required([name])
            } else {
                columns.optional([name])
            };
        }
        Ok(columns)
    }

    async fn run(&self, statement: &Statement) -> Result<Rows> {
        let submission = Submission {
            statement: &statement.text,
            timeout: statement.timeout.as_secs().max(1),
            database: self.database.as_deref(),
            schema: self.schema.as_deref(),
            warehouse: self.warehouse.as_deref(),
            role: self.role.as_deref(),
            bindings: statement.bindings(),
        };
        let started = Instant::now();
        let mut answer = retrying(|attempt| self.statements.submit(&submission, attempt)).await?;
        let mut pause = Backoff::new(FIRST_DELAY, LONGEST_PAUSE);
        loop {
            match answer {
                Answer::Done(result) => {
                    debug!(rows = result.data.len(), elapsed = ?started.elapsed(), "carried out a statement");
                    return rows_of(result);
                }
                Answer::Running(handle) => {
                    tokio::time::sleep(pause.next(fastrand::f64())).await;
                    answer = retrying(|attempt| self.statements.look(&handle, attempt)).await?;
                }
            }
        }
    }
}

fn rows_of(result: ResultSet) -> Result<Rows> {
    let partitions = result.meta.partition_info.len();
    if partitions > 1 {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "the result has {partitions} partitions, and only one is supported; aggregate in the statement, or add a LIMIT"
            ),
        ));
    }
    Ok(Rows {
        columns: result.meta.row_type.into_iter().map(|c| c.name).collect(),
        rows: result.data,
    })
}

fn miscounted(table: &TableName) -> Error {
    Error::new(
        ErrorKind::Protocol,
        format!("the count of {table} does not consist of numbers; check the account's URL"),
    )
}

/// Makes a call, and retries it with the same request id.
async fn retrying<F>(call: impl Fn(Attempt) -> F) -> Result<Answer>
where
    F: Future<Output = Result<Answer, Failure>>,
{
    let request_id = Uuid::from_u128(fastrand::u128(..));
    let mut retry = Retry::new(FIRST_DELAY, LONGEST_PAUSE, FEW_TRIES);
    let answer = retry_call(request_id, call, |failure| {
        let is_final = matches!(failure, Failure::Answered { .. })
            || !failure.error().is_retryable()
            // The statement reached its timeout.
            || failure.error().http_status() == Some(408);
        if is_final {
            return None;
        }
        retry.next(Instant::now(), failure.asked_delay(), fastrand::f64())
    });
    answer.await.map_err(Failure::into_error)
}
