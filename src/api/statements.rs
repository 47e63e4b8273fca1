//! Snowflake's SQL API: submitting a statement, and asking for it again while it runs.

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
use crate::auth::Credential;
use crate::base::json::{Object, Scalar};
use crate::base::metrics::Endpoint;
use crate::base::text::{self, printable};
use crate::base::time::TimeSource;
use crate::http::{Response, Transport};
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::offset::QUERY;

const PATH: &str = "/api/v2/statements";

/// What is to be carried out, and where.
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

/// A value in place of a `?`.
#[derive(Debug, Serialize)]
pub(crate) struct Binding<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) value: &'a str,
}

/// How far a statement is.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It runs; this is its handle.
    Running(String),
    /// It was carried out.
    Done(ResultSet),
}

/// A statement that runs.
#[derive(Deserialize)]
struct Running {
    #[serde(rename = "statementHandle", default)]
    handle: Scalar,
}

/// What a statement gave.
#[derive(Debug, Deserialize)]
pub(crate) struct ResultSet {
    #[serde(rename = "resultSetMetaData")]
    pub(crate) meta: Meta,
    #[serde(default)]
    pub(crate) data: Vec<Vec<Option<String>>>,
}

/// The shape of what a statement gave.
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
    link: Session,
}

impl Statements {
    pub(crate) fn new(
        config: &ApiConfig,
        credential: Arc<dyn Credential>,
        transport: Arc<dyn Transport>,
        time: Arc<dyn TimeSource>,
    ) -> Self {
        Self {
            link: Session::new(config, credential, transport, time),
        }
    }

    /// Submits a statement. A repeated request is marked as one, so that the server does not carry it out twice.
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

    /// Asks for a statement that was still running.
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
        let response = self.link.account(call, attempt).await?;
        read(&response, &call.what)
            .map_err(|error| Failure::Ambiguous(error).of(attempt.request_id))
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
        // It says what there is instead of JSON.
        Err(_) => wire::json(body, what).map(|Object(result)| Answer::Done(result)),
    }
}

fn unreadable(why: &str) -> Error {
    Error::new(
        ErrorKind::Protocol,
        format!("the answer of the SQL API cannot be understood ({why}); check the account's URL"),
    )
}
