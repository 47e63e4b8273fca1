//! The database for the queries: the embedded reports or an account. Both return text.

use std::error::Error;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params_from_iter};
use serde_json::Value;
use snowpipe_connector_support::error_text::with_causes;
use snowpipe_streaming::sql::{SqlClient, Statement};

use super::ReportPlace;
use crate::reports;

/// The timeout for a statement in an account, where a suspended warehouse has to resume first.
const MOST_TIME: Duration = Duration::from_secs(60);
/// Snowflake's code for an object that does not exist or is not visible for this role.
const NO_OBJECT: &str = "002003";

/// A query and its bound values.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) sql: &'static str,
    pub(super) bindings: Vec<String>,
}

impl Question {
    pub(super) fn new<const N: usize>(sql: &'static str, bindings: [&dyn Display; N]) -> Self {
        Self {
            sql,
            bindings: bindings.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Why a query failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Some or all reports do not exist.
    Missing,
    /// Another failure, as a message.
    Failed(String),
}

impl Trouble {
    pub(super) fn failed(why: impl Display) -> Self {
        Self::Failed(why.to_string())
    }
}

/// A row of a result, read from left to right.
#[derive(Debug)]
pub(super) struct Row(std::vec::IntoIter<Option<String>>);

impl Row {
    pub(super) fn text(&mut self) -> Option<String> {
        self.0.next().flatten()
    }

    /// A number, as an integer if it is whole; null for other values.
    pub(super) fn number(&mut self) -> Value {
        let text = self.text().unwrap_or_default();
        // The two databases format whole numbers differently.
        let whole = match text.split_once('.') {
            Some((whole, rest)) if rest.bytes().all(|digit| digit == b'0') => whole,
            _ => &text,
        };
        match whole.parse::<i64>() {
            Ok(whole) => whole.into(),
            Err(_) => text.parse::<f64>().ok().into(),
        }
    }
}

pub(super) type Rows = Vec<Row>;

/// The database for the queries.
#[derive(Debug)]
pub(super) enum Source {
    Embedded(Arc<Mutex<Connection>>),
    Account(Arc<SqlClient>),
}

impl Source {
    /// Opens the reports. All queries on embedded reports see the same state.
    pub(super) async fn open(place: &ReportPlace) -> Result<Self, Trouble> {
        let path = match place {
            ReportPlace::Unknown => {
                let message = "The program is not connected yet.";
                return Err(Trouble::Failed(message.to_owned()));
            }
            ReportPlace::Account(client) => return Ok(Self::Account(client.clone())),
            ReportPlace::Embedded(path) => path.clone(),
        };
        let connection = blocking(move || {
            if !path.exists() {
                return Err(Trouble::Missing);
            }
            let connection = reports::reader(&path).map_err(|error| unreadable(error.as_ref()))?;
            connection
                .execute_batch("BEGIN")
                .map_err(|e| embedded(&e))?;
            Ok(connection)
        })
        .await?;
        Ok(Self::Embedded(Arc::new(Mutex::new(connection))))
    }

    /// Runs queries and returns the results in order.
    pub(super) async fn ask<const N: usize>(
        &self,
        questions: [Question; N],
    ) -> Result<[Rows; N], Trouble> {
        let answers = match self {
            Self::Embedded(connection) => {
                let connection = connection.clone();
                blocking(move || {
                    let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                    let answers = questions.iter().map(|question| rows(&connection, question));
                    answers
                        .collect::<rusqlite::Result<Vec<_>>>()
                        .map_err(|e| embedded(&e))
                })
                .await?
            }
            Self::Account(client) => {
                try_join_all(questions.iter().map(|question| remote(client, question))).await?
            }
        };
        let answers = <[Rows; N]>::try_from(answers);
        answers.map_err(|_| Trouble::failed("some queries were not answered"))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|why| Err(Trouble::failed(why)))
}

fn rows(connection: &Connection, question: &Question) -> rusqlite::Result<Rows> {
    let mut statement = connection.prepare(question.sql)?;
    let columns = statement.column_count();
    let found = statement.query_map(params_from_iter(&question.bindings), |row| {
        let cells = (0..columns).map(|column| Ok(text(row.get_ref(column)?)));
        let cells = cells.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(Row(cells.into_iter()))
    })?;
    found.collect()
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            Some(String::from_utf8_lossy(bytes).into_owned())
        }
    }
}

fn embedded(error: &rusqlite::Error) -> Trouble {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(words))
        | rusqlite::Error::SqlInputError { msg: words, .. }
            if words.starts_with("no such table") =>
        {
            Trouble::Missing
        }
        _ => unreadable(error),
    }
}

fn unreadable(error: &(dyn Error + 'static)) -> Trouble {
    Trouble::Failed(format!(
        "The reports cannot be read: {}.",
        with_causes(error)
    ))
}

async fn remote(client: &SqlClient, question: &Question) -> Result<Rows, Trouble> {
    let statement = Statement::new(question.sql).timeout(MOST_TIME);
    let statement = question.bindings.iter().fold(statement, Statement::bind);
    match client.query(&statement).await {
        Ok(found) => Ok(found
            .rows
            .into_iter()
            .map(|row| Row(row.into_iter()))
            .collect()),
        Err(error) if error.code() == Some(NO_OBJECT) => Err(Trouble::Missing),
        Err(error) => {
            let words = with_causes(&error);
            Err(Trouble::Failed(format!(
                "The account does not respond: {words}."
            )))
        }
    }
}
