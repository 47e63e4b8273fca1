//! Snowflake's SQL API: submitting a statement, and polling it while it runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use percent_encoding::utf8_percent_encode;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::call::{Attempt, Call};
use super::failure::Failure;
use super::session::Session;
use super::{ApiConfig, wire};
use crate::auth::{Bearer, Credential};
use crate::base::json::{Object, Scalar};
use crate::base::metrics::Endpoint;
use crate::base::text::{self, printable};
use crate::base::time::TimeSource;
use crate::http::{Response, Transport};
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::offset::QUERY;

const PATH: &str = "/api/v2/statements";

/// A statement and its context.
#[derive(Debug, Serialize)]
pub(crate) struct Submission<'a> {
    pub(crate) statement: &'a str,
    /// Seconds.
    pub(crate) timeout: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) database: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) schema: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) warehouse: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<&'a str>,
    /// By position, from `"1"` on.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) bindings: BTreeMap<String, Binding<'a>>,
}

/// A value for a `?` in the statement.
#[derive(Debug, Serialize)]
pub(crate) struct Binding<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) value: &'a str,
}

/// The state of a statement.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The statement is running, with this handle.
    Running(String),
    /// The statement has finished.
    Done(ResultSet),
}

/// The answer for a running statement.
#[derive(Deserialize)]
struct Running {
    #[serde(rename = "statementHandle", default)]
    handle: Scalar,
}

/// The result of a statement.
#[derive(Debug, Deserialize)]
pub(crate) struct ResultSet {
    #[serde(rename = "resultSetMetaData")]
    pub(crate) meta: Meta,
    #[serde(default)]
    pub(crate) data: Vec<Vec<Option<String>>>,
}

/// The columns and partitions of a result.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Meta {
    #[serde(default)]
    pub(crate) row_type: Vec<Column>,
    #[serde(default)]
    pub(crate) partition_info: Vec<IgnoredAny>,
}

/// A column of a result.
#[derive(Debug, Deserialize)]
pub(crate) struct Column {
    pub(crate) name: String,
}

/// The SQL API of one account. Every method is one attempt.
#[derive(Debug)]
pub(crate) struct Statements {
    session: Session,
}

impl Statements {
    pub(crate) fn new(
        config: &ApiConfig,
        credential: Arc<dyn Credential>,
        transport: Arc<dyn Transport>,
        time: Arc<dyn TimeSource>,
    ) -> Self {
        Self {
            session: Session::new(config, credential, transport, time),
        }
    }

    /// A bearer token for other calls to the account host.
    pub(crate) async fn bearer(&self) -> Result<Bearer, Failure> {
        self.session.bearer().await
    }

    /// Submits a statement. A repeated request is marked, so that the server does not execute it twice.
    pub(crate) async fn submit(
        &self,
        submission: &Submission<'_>,
        attempt: Attempt,
    ) -> Result<Answer, Failure> {
        let what = "running a statement".to_owned();
        let mut call =
            Call::new(Endpoint::Statement, what, Method::POST, PATH.to_owned()).json(submission)?;
        if attempt.retry_count > 0 {
            call.query = vec![("retry", "true".to_owned())];
        }
        self.ask(&call, attempt).await
    }

    /// Polls a running statement.
    pub(crate) async fn look(&self, handle: &str, attempt: Attempt) -> Result<Answer, Failure> {
        let path = format!("{PATH}/{}", utf8_percent_encode(handle, QUERY));
        let call = Call::new(
            Endpoint::Statement,
            "waiting for a statement".to_owned(),
            Method::GET,
            path,
        );
        self.ask(&call, attempt).await
    }

    async fn ask(&self, call: &Call, attempt: Attempt) -> Result<Answer, Failure> {
        let response = self.session.account(call, attempt).await?;
        read(&response, &call.what).map_err(|error| {
            Failure::Ambiguous(error)
                .hiding_bearer(&response)
                .of(attempt.request_id)
        })
    }
}

fn read(response: &Response, what: &str) -> Result<Answer> {
    let body = response.body();
    if response.status() == http::StatusCode::ACCEPTED {
        let Object(running) = wire::json::<Object<Running>>(body, what)?;
        return match running.handle {
            Scalar::Text(handle) if !handle.is_empty() => Ok(Answer::Running(handle)),
            _ => Err(unreadable("it has no statementHandle")),
        };
    }
    match serde_json::from_slice(body) {
        Ok(Object(result)) => Ok(Answer::Done(result)),
        Err(why) if why.is_data() => Err(unreadable(&printable(&why.to_string(), text::MESSAGE))),
        // The error of `wire::json` describes a body that is not JSON.
        Err(_) => wire::json(body, what).map(|Object(result)| Answer::Done(result)),
    }
}

fn unreadable(why: &str) -> Error {
    Error::new(
        ErrorKind::Protocol,
        format!("the answer of the SQL API cannot be understood ({why}); check the account's URL"),
    )
}
