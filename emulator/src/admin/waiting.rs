//! Waiting until a table has rows, for tests in any language.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::endpoints::{number, parameters, unknown};
use super::tables::counts;
use crate::instance::Emulator;
use crate::messages::answer::Refusal;

/// The path of the requests that wait.
pub(crate) const PATH: &str = "/_emulator/wait";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const MOST_TIMEOUT_S: usize = 300;

/// What a request waits for: at least so many rows and rejected rows in a table.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    table: String,
    rows: u64,
    errors: u64,
    pub(crate) timeout: Duration,
}

impl Condition {
    /// Reads `?table=DATABASE.SCHEMA.TABLE&rows=10&errors=1&timeout_s=30`.
    pub(crate) fn read(request: &Request<Bytes>) -> Result<Self, Refusal> {
        let (mut table, mut rows, mut errors) = (None, None, None);
        let mut timeout = DEFAULT_TIMEOUT;
        for (name, value) in parameters(request) {
            match name.as_str() {
                "table" => table = Some(value),
                "rows" => rows = Some(number(&name, &value)? as u64),
                "errors" => errors = Some(number(&name, &value)? as u64),
                "timeout_s" => {
                    let seconds = number(&name, &value)?.min(MOST_TIMEOUT_S);
                    timeout = Duration::from_secs(seconds as u64);
                }
                _ => return Err(unknown(&name, "table, rows, errors and timeout_s")),
            }
        }
        match (table, rows, errors) {
            (Some(table), rows, errors) if rows.or(errors).is_some() => Ok(Self {
                table,
                rows: rows.unwrap_or(0),
                errors: errors.unwrap_or(0),
                timeout,
            }),
            _ => Err(Refusal::malformed(
                "The request needs the parameter table, and rows or errors.",
            )),
        }
    }

    /// Whether the table has the rows at `now`, and how many it has.
    pub(crate) fn check(
        &self,
        emulator: &Emulator,
        now: SystemTime,
    ) -> Result<(bool, Value), Refusal> {
        emulator.advance(now);
        let (rows, errors) = counts(emulator, &self.table)?;
        let answer = json!({ "table": self.table, "rows": rows, "errors": errors });
        Ok((rows >= self.rows && errors >= self.errors, answer))
    }

    /// The refusal of a request that has waited for `timeout`.
    pub(crate) fn timed_out(&self, found: &Value) -> Refusal {
        Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            "ERR_WAIT_TIMEOUT",
            format!(
                "After {:?} the table {} has {} rows and {} rejected rows, not {} and {}.",
                self.timeout, self.table, found["rows"], found["errors"], self.rows, self.errors
            ),
        )
    }
}
