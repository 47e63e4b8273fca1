//! What an experiment works with: its tables, channels, rows and statements.

use std::time::Duration;

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Broken;
use super::service::{Answer, Request, Service};
use crate::sql::{Rows, SqlClient, Statement};

/// What stays as it is in a part of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// How long a commit may take.
const COMMIT: Duration = Duration::from_secs(90);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Where the tables of a run are.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) database: String,
    pub(super) schema: String,
}

/// A pipe of an experiment.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pipe<'a> {
    /// The default pipe of a table.
    OfTable(&'a str),
    /// A pipe that CREATE PIPE made.
    Made(&'a str),
}

impl<'a> From<&'a str> for Pipe<'a> {
    fn from(table: &'a str) -> Self {
        Self::OfTable(table)
    }
}

/// A pipe and the name of a channel.
pub(super) type At<'a, P> = (P, &'a str);

/// What an experiment has seen at a point or question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) what: &'static str,
    pub(super) word: String,
}

/// The means of one experiment in one run.
#[derive(Debug)]
pub(super) struct Lab<'a> {
    pub(super) service: &'a mut Service,
    pub(super) sql: Option<&'a SqlClient>,
    place: &'a Place,
    id: &'static str,
    run: u32,
    pub(super) seen: Vec<Seen>,
}

/// The name of a table of an experiment.
pub(super) fn table_name(id: &str, name: &str, run: u32) -> String {
    format!("{id}_{name}_{run}")
}

/// A statement with `{NAME}` in place of each table's full name.
pub(super) fn filled(statement: &str, place: &Place, id: &str, run: u32) -> String {
    let mut text = String::new();
    let mut rest = statement;
    while let Some((before, name, after)) = rest.split_once('{').and_then(|(before, rest)| {
        let (name, after) = rest.split_once('}')?;
        Some((before, name, after))
    }) {
        text.push_str(before);
        let table = table_name(id, name, run);
        text.push_str(&qualified(place, &table));
        rest = after;
    }
    text + rest
}

/// A full name with quotes, as in a statement.
pub(super) fn qualified(place: &Place, name: &str) -> String {
    let quoted = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
    format!(
        "{}.{}.{}",
        quoted(&place.database),
        quoted(&place.schema),
        quoted(name)
    )
}

impl<'a> Lab<'a> {
    pub(super) fn new(
        service: &'a mut Service,
        sql: Option<&'a SqlClient>,
        place: &'a Place,
        id: &'static str,
        run: u32,
    ) -> Self {
        Self {
            service,
            sql,
            place,
            id,
            run,
            seen: Vec::new(),
        }
    }

    /// Notes what is seen at a point or question.
    pub(super) fn see(&mut self, what: &'static str, word: impl Into<String>) {
        let word = word.into();
        tracing::debug!(id = self.id, what, word, "seen");
        self.seen.push(Seen { what, word });
    }

    /// The path of a pipe's endpoint, `data` for rows.
    pub(super) fn path(&self, is_data: bool, rest: &str) -> String {
        self.path_in(&self.place.schema, is_data, rest)
    }

    /// The same in another schema.
    pub(super) fn path_in(&self, schema: &str, is_data: bool, rest: &str) -> String {
        let data = if is_data { "/data" } else { "" };
        let database = segment(&self.place.database);
        let schema = segment(schema);
        format!("/v2/streaming{data}/databases/{database}/schemas/{schema}/{rest}")
    }

    /// The name of a pipe.
    pub(super) fn pipe<'p>(&self, pipe: impl Into<Pipe<'p>>) -> String {
        match pipe.into() {
            Pipe::OfTable(table) => format!("{}-STREAMING", self.table(table)),
            Pipe::Made(name) => self.table(name),
        }
    }

    /// The path of a channel.
    pub(super) fn channel_path<'p>(
        &self,
        is_data: bool,
        pipe: impl Into<Pipe<'p>>,
        channel: &str,
    ) -> String {
        let pipe = segment(&self.pipe(pipe));
        self.path(
            is_data,
            &format!("pipes/{pipe}/channels/{}", segment(channel)),
        )
    }

    /// The path of a pipe's action, such as `:bulk-channel-status`.
    pub(super) fn pipe_path<'p>(&self, pipe: impl Into<Pipe<'p>>, action: &str) -> String {
        let pipe = segment(&self.pipe(pipe));
        self.path(false, &format!("pipes/{pipe}:{action}"))
    }

    /// The full name of a pipe, as in a statement.
    pub(super) fn pipe_name<'p>(&self, pipe: impl Into<Pipe<'p>>) -> String {
        qualified(self.place, &self.pipe(pipe))
    }

    /// A name in the schema of the run in full, as in a statement.
    pub(super) fn qualified(&self, name: &str) -> String {
        qualified(self.place, name)
    }

    /// The name of a table or pipe of this experiment.
    pub(super) fn table(&self, name: &str) -> String {
        table_name(self.id, name, self.run)
    }

    /// Opens a channel.
    pub(super) async fn try_open<'p>(
        &mut self,
        pipe: impl Into<Pipe<'p>>,
        channel: &str,
        body: &Value,
    ) -> Result<Answer, Broken> {
        let path = self.channel_path(false, pipe, channel);
        let request = Request::new(Method::PUT, path).json(body);
        self.service.ingest(&request).await
    }

    /// Opens a channel, which has to succeed; its continuation token.
    pub(super) async fn open<'p>(
        &mut self,
        pipe: impl Into<Pipe<'p>>,
        channel: &str,
    ) -> Result<String, Broken> {
        let pipe = pipe.into();
        let deadline = Instant::now() + COMMIT;
        let mut pause = FIRST_PAUSE;
        loop {
            let answer = self.try_open(pipe, channel, &json!({})).await?;
            if let Some(token) = answer.field("next_continuation_token") {
                return Ok(token);
            }
            // A table that was just created or replaced may not be known everywhere.
            let is_stale = answer
                .code()
                .is_some_and(|code| code.contains("STALE_PIPE"));
            let may_come = is_stale || matches!(answer.status, 404 | 409 | 429 | 500..);
            if may_come && Instant::now() < deadline {
                tokio::time::sleep(pause).await;
                pause = LONGEST_PAUSE.min(pause * 2);
                continue;
            }
            let broken = Broken::of("opening a channel", &answer);
            return Err(match answer.status {
                // No other experiment can open one either.
                404 => Broken::last(format!(
                    "{}: the role needs CREATE PIPE on the schema and INSERT on its tables; run snowpipe doctor",
                    broken.why
                )),
                _ => broken,
            });
        }
    }

    /// Appends rows, one JSON text a line, which end with the offset token `end`.
    pub(super) async fn try_append<'p>(
        &mut self,
        (pipe, channel): At<'_, impl Into<Pipe<'p>>>,
        token: &str,
        end: &str,
        rows: impl Into<bytes::Bytes>,
    ) -> Result<Answer, Broken> {
        let path = format!("{}/rows", self.channel_path(true, pipe, channel));
        let request = Request::post(path)
            .query("continuationToken", token)
            .query("startOffsetToken", end)
            .query("endOffsetToken", end)
            .body("application/x-ndjson", rows);
        self.service.ingest(&request).await
    }

    /// Appends rows, which has to succeed; the next continuation token.
    pub(super) async fn append<'p>(
        &mut self,
        at: At<'_, impl Into<Pipe<'p>>>,
        token: &str,
        end: &str,
        rows: impl Into<bytes::Bytes>,
    ) -> Result<String, Broken> {
        let answer = self.try_append(at, token, end, rows).await?;
        let next = answer.field("next_continuation_token");
        next.filter(|_| answer.is_success())
            .ok_or_else(|| Broken::of("appending rows", &answer))
    }

    /// The answer to a bulk status request.
    pub(super) async fn statuses<'p>(
        &mut self,
        pipe: impl Into<Pipe<'p>>,
        channels: &[&str],
    ) -> Result<Answer, Broken> {
        let path = self.pipe_path(pipe, "bulk-channel-status");
        let request = Request::post(path).json(&json!({ "channel_names": channels }));
        self.service.ingest(&request).await
    }

    /// The status of one channel; null if the answer has none.
    pub(super) async fn status<'p>(
        &mut self,
        pipe: impl Into<Pipe<'p>>,
        channel: &str,
    ) -> Result<Value, Broken> {
        let answer = self.statuses(pipe, &[channel]).await?;
        if !answer.is_success() {
            return Err(Broken::of("asking for a channel's status", &answer));
        }
        let mut body = answer.json();
        let status = body
            .get_mut("channel_statuses")
            .and_then(|all| all.get_mut(channel));
        Ok(status.map(Value::take).unwrap_or_default())
    }

    /// Waits until the offset token `end` is committed; the channel's status then.
    pub(super) async fn committed<'p>(
        &mut self,
        (pipe, channel): At<'_, impl Into<Pipe<'p>>>,
        end: &str,
    ) -> Result<Value, Broken> {
        let status = self.settled((pipe, channel), end).await?;
        if is_at(&status, end) {
            return Ok(status);
        }
        Err(Broken::new(format!(
            "the rows of channel {channel} were not committed within {COMMIT:?}: {status}"
        )))
    }

    /// Waits until the offset token `end` is committed, or the channel is not healthy any more, or the time is over; the channel's
    /// status then.
    pub(super) async fn settled<'p>(
        &mut self,
        (pipe, channel): At<'_, impl Into<Pipe<'p>>>,
        end: &str,
    ) -> Result<Value, Broken> {
        let pipe = pipe.into();
        let deadline = Instant::now() + COMMIT;
        let mut pause = FIRST_PAUSE;
        loop {
            let status = self.status(pipe, channel).await?;
            let is_over = Instant::now() > deadline;
            if is_at(&status, end) || !is_healthy(&status) || is_over {
                return Ok(status);
            }
            tokio::time::sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Runs a statement, in which `{NAME}` is a table of the experiment.
    pub(super) async fn try_sql(
        &mut self,
        statement: &str,
    ) -> Result<Result<Rows, crate::Error>, Broken> {
        let text = filled(statement, self.place, self.id, self.run);
        self.try_plain_sql(text).await
    }

    /// Runs a statement as it is.
    pub(super) async fn try_plain_sql(
        &mut self,
        statement: impl Into<String>,
    ) -> Result<Result<Rows, crate::Error>, Broken> {
        let sql = self.sql.ok_or_else(Broken::without_sql)?;
        Ok(sql.query(&Statement::new(statement)).await)
    }

    /// Runs a statement, which has to succeed.
    pub(super) async fn sql(&mut self, statement: &str) -> Result<Rows, Broken> {
        let rows = self.try_sql(statement).await?;
        rows.map_err(|why| Broken::new(self.service.hidden.hide(&why.to_string())))
    }

    /// The values of the first column of a statement's rows; NULL is `NULL`.
    pub(super) async fn column(&mut self, statement: &str) -> Result<Vec<String>, Broken> {
        let rows = self.sql(statement).await?.rows;
        let first = rows.into_iter().map(|row| row.into_iter().next().flatten());
        Ok(first
            .map(|value| value.unwrap_or_else(|| "NULL".to_owned()))
            .collect())
    }

    /// Waits until a table has as many rows.
    pub(super) async fn count(&mut self, table: &str, rows: usize) -> Result<(), Broken> {
        let statement = format!("SELECT COUNT(*) FROM {{{table}}}");
        let deadline = Instant::now() + COMMIT;
        let mut pause = FIRST_PAUSE;
        loop {
            let found = self.column(&statement).await?;
            if found == [rows.to_string()] {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Broken::new(format!(
                    "the table has {found:?} rows after {COMMIT:?}, and {rows} were expected"
                )));
            }
            tokio::time::sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }
}

/// What a refused statement is answered, as in `refused 002003`.
pub(super) fn refused(why: &crate::Error) -> String {
    format!("refused {}", why.code().unwrap_or("without a code"))
}

/// Whether a status has this committed offset token.
fn is_at(status: &Value, end: &str) -> bool {
    status.get("last_committed_offset_token") == Some(&Value::from(end))
}

fn is_healthy(status: &Value) -> bool {
    let code = status.get("channel_status_code").and_then(Value::as_str);
    matches!(code, Some("SUCCESS" | "ACTIVE"))
}

pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::{Place, filled};

    #[test]
    fn names_of_tables_are_filled_in() {
        let place = Place {
            database: "DB".to_owned(),
            schema: "S\"S".to_owned(),
        };
        assert_eq!(
            filled("INSERT INTO {A} SELECT * FROM {B}", &place, "E7", 2),
            r#"INSERT INTO "DB"."S""S"."E7_A_2" SELECT * FROM "DB"."S""S"."E7_B_2""#
        );
        assert_eq!(filled("SELECT '{'", &place, "E7", 1), "SELECT '{'");
    }
}
