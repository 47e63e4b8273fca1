//! Answers to connectors: always HTTP 200, and JSON that says whether the request was successful.

use http::StatusCode;
use serde_json::{Value, json};
use sqlparser::tokenizer::Location;
use std::borrow::Cow;

use super::sessions::Names;
use crate::ddl::literal::ValueError;
use crate::ddl::statements::{DdlError, ErrorCode};
use crate::messages::answer::{Answer, Refusal, json_answer};
use crate::sql::failure::Failure;

/// The code of a request that is no request of a connector.
const BAD_REQUEST: &str = "390400";

/// What a statement is, as connectors tell from `statementTypeId`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatementType {
    Select = 0x1000,
    Insert = 0x3100,
    Delete = 0x3300,
    Session = 0x4000,
    Use = 0x4300,
    Show = 0x4400,
    Describe = 0x4500,
    Transaction = 0x5000,
    Ddl = 0x6000,
}

/// The rows that a statement is answered with.
#[derive(Debug)]
pub(crate) struct ResultSet {
    pub(crate) kind: StatementType,
    /// The columns, as `rowType` lists them.
    pub(crate) columns: Vec<Value>,
    pub(crate) rows: Vec<Vec<Option<String>>>,
}

impl ResultSet {
    /// The answer of a statement that has nothing to show.
    pub(crate) fn status(kind: StatementType, message: impl Into<String>) -> Self {
        Self {
            kind,
            columns: vec![text_column("status")],
            rows: vec![vec![Some(message.into())]],
        }
    }

    /// The answer, in a session that is in `names` after the statement.
    pub(crate) fn into_answer(self, names: &Names) -> Answer {
        let count = self.rows.len();
        success(&json!({
            "rowtype": self.columns,
            "rowset": self.rows,
            "total": count,
            "returned": count,
            "queryId": query_id(),
            "statementTypeId": self.kind as u32,
            "queryResultFormat": "json",
            "parameters": [{ "name": "TIMEZONE", "value": "UTC" }],
            "finalDatabaseName": names.database,
            "finalSchemaName": names.schema,
            "finalWarehouseName": null,
            "finalRoleName": null,
            "numberOfBinds": 0,
            "arrayBindSupported": true,
            "sqlState": null,
            "version": 1,
        }))
    }
}

/// A column of text.
pub(crate) fn text_column(name: &str) -> Value {
    column(name, "text", None, Some(16_777_216))
}

/// A column of whole numbers.
pub(crate) fn number_column(name: &str) -> Value {
    column(name, "fixed", Some((38, 0)), None)
}

/// A column of times in the zone of the session.
pub(crate) fn time_column(name: &str) -> Value {
    column(name, "timestamp_ltz", Some((0, 3)), None)
}

fn column(name: &str, kind: &str, digits: Option<(u8, u8)>, length: Option<u32>) -> Value {
    let (precision, scale) = digits.unzip();
    json!({
        "name": name,
        "database": "",
        "schema": "",
        "table": "",
        "nullable": true,
        "type": kind,
        "precision": precision,
        "scale": scale,
        "length": length,
        "byteLength": length,
        "collation": null,
    })
}

/// A request that is not carried out, in the form of connectors.
#[derive(Debug)]
pub(crate) struct Rejection {
    code: String,
    sql_state: Cow<'static, str>,
    message: String,
}

impl Rejection {
    /// A statement, or a part of it, that the emulator does not have.
    pub(crate) fn unsupported(what: impl AsRef<str>) -> Self {
        Failure::unsupported(what).into()
    }

    /// A value of a session parameter that the emulator does not have. Its state is not that of a missing feature, which connectors
    /// ignore where they set AUTOCOMMIT.
    pub(crate) fn parameter(message: &str) -> Self {
        Self {
            code: "001008".to_owned(),
            sql_state: "22023".into(),
            message: format!("SQL compilation error:\n{message}"),
        }
    }

    /// A session that is not known: it was closed, or evicted, or is of an earlier run.
    pub(crate) fn no_session() -> Self {
        Self {
            code: "390111".to_owned(),
            sql_state: "08001".into(),
            message: "Session no longer exists.  New login required to access the service."
                .to_owned(),
        }
    }

    /// The same for the SQL API.
    pub(crate) fn into_failure(self) -> Failure {
        Failure {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            code: self.code.into(),
            sql_state: self.sql_state,
            message: self.message,
        }
    }

    pub(crate) fn into_answer(self) -> Answer {
        let body = json!({
            "success": false,
            "code": self.code,
            "message": self.message,
            "data": {
                "errorCode": self.code,
                "sqlState": self.sql_state,
                "queryId": query_id(),
                "internalError": false,
                "line": -1,
                "pos": -1,
                "type": "COMPILATION",
            },
        });
        json_answer(StatusCode::OK, &body)
    }
}

impl From<Failure> for Rejection {
    fn from(why: Failure) -> Self {
        Self {
            code: why.code.into_owned(),
            sql_state: why.sql_state,
            message: why.message,
        }
    }
}

impl From<DdlError> for Rejection {
    fn from(why: DdlError) -> Self {
        let DdlError {
            message,
            line,
            column,
            code,
        } = why;
        let message = message.trim_end_matches('.');
        let message = match code {
            ErrorCode::SYNTAX => {
                let position = column.saturating_sub(1);
                format!(
                    "SQL compilation error:\nsyntax error line {line} at position {position}: {message}."
                )
            }
            ErrorCode::UNSUPPORTED => {
                format!("SQL compilation error:\nUnsupported feature: {message}.")
            }
            // What is wrong with a value turns out at execution.
            ErrorCode(code, _) if code.starts_with('1') => format!("{message}."),
            _ => format!("SQL compilation error:\n{message}."),
        };
        Self {
            code: code.0.to_owned(),
            sql_state: code.1.into(),
            message,
        }
    }
}

impl From<ValueError> for Rejection {
    fn from(why: ValueError) -> Self {
        let start = Location::new(1, 1);
        why.at(start).into()
    }
}

/// A login that is refused, or a request that cannot be read.
impl From<Refusal> for Rejection {
    fn from(why: Refusal) -> Self {
        // Connectors take codes for numbers.
        let is_number = why.code.bytes().all(|digit| digit.is_ascii_digit());
        Self {
            code: if is_number {
                why.code
            } else {
                BAD_REQUEST.to_owned()
            },
            sql_state: "08001".into(),
            message: why.message,
        }
    }
}

/// A request that was carried out.
pub(crate) fn success(data: &Value) -> Answer {
    let body = json!({ "data": data, "code": null, "message": null, "success": true });
    json_answer(StatusCode::OK, &body)
}

fn query_id() -> String {
    uuid::Builder::from_random_bytes(fastrand::u128(..).to_be_bytes())
        .into_uuid()
        .to_string()
}
