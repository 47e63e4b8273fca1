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
        let data = if is_data { "/data" } else { "" };
        let Place { database, schema } = self.place;
        format!(
            "/v2/streaming{data}/databases/{}/schemas/{}/{rest}",
            segment(database),
            segment(schema)
        )
    }

    /// The path of a channel of a table's default pipe.
    pub(super) fn channel_path(&self, is_data: bool, table: &str, channel: &str) -> String {
        let pipe = format!("{}-STREAMING", table_name(self.id, table, self.run));
        self.path(
            is_data,
            &format!("pipes/{}/channels/{}", segment(&pipe), segment(channel)),
        )
    }

    /// The path of a pipe's action, such as `:bulk-channel-status`.
    pub(super) fn pipe_path(&self, table: &str, action: &str) -> String {
        let pipe = format!("{}-STREAMING", table_name(self.id, table, self.run));
        self.path(false, &format!("pipes/{}:{action}", segment(&pipe)))
    }

    /// The full name of a table's default pipe, as in a statement.
    pub(super) fn pipe_name(&self, table: &str) -> String {
        qualified(self.place, &format!("{}-STREAMING", self.table(table)))
    }

    /// The name of a table of this experiment.
    pub(super) fn table(&self, name: &str) -> String {
        table_name(self.id, name, self.run)
    }

    /// Opens a channel of a table's default pipe.
    pub(super) async fn try_open(
        &mut self,
        table: &str,
        channel: &str,
        body: &Value,
    ) -> Result<Answer, Broken> {
        let path = self.channel_path(false, table, channel);
        let request = Request::new(Method::PUT, path).json(body);
        self.service.ingest(&request).await
    }

    /// Opens a channel, which has to succeed; its continuation token.
    pub(super) async fn open(&mut self, table: &str, channel: &str) -> Result<String, Broken> {
        let deadline = Instant::now() + COMMIT;
        let mut pause = FIRST_PAUSE;
        loop {
            let answer = self.try_open(table, channel, &json!({})).await?;
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
    pub(super) async fn try_append(
        &mut self,
        (table, channel): (&str, &str),
        token: &str,
        end: &str,
        rows: impl Into<bytes::Bytes>,
    ) -> Result<Answer, Broken> {
        let path = format!("{}/rows", self.channel_path(true, table, channel));
        let request = Request::post(path)
            .query("continuationToken", token)
            .query("startOffsetToken", end)
            .query("endOffsetToken", end)
            .body("application/x-ndjson", rows);
        self.service.ingest(&request).await
    }

    /// Appends rows, which has to succeed; the next continuation token.
    pub(super) async fn append(
        &mut self,
        at: (&str, &str),
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
    pub(super) async fn statuses(
        &mut self,
        table: &str,
        channels: &[&str],
    ) -> Result<Answer, Broken> {
        let path = self.pipe_path(table, "bulk-channel-status");
        let request = Request::post(path).json(&json!({ "channel_names": channels }));
        self.service.ingest(&request).await
    }

    /// The status of one channel; null if the answer has none.
    pub(super) async fn status(&mut self, table: &str, channel: &str) -> Result<Value, Broken> {
        let answer = self.statuses(table, &[channel]).await?;
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
    pub(super) async fn committed(
        &mut self,
        (table, channel): (&str, &str),
        end: &str,
    ) -> Result<Value, Broken> {
        let deadline = Instant::now() + COMMIT;
        let mut pause = FIRST_PAUSE;
        loop {
            let status = self.status(table, channel).await?;
            if status.get("last_committed_offset_token") == Some(&Value::from(end)) {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(Broken::new(format!(
                    "the rows of channel {channel} were not committed within {COMMIT:?}: {status}"
                )));
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
        let sql = self.sql.ok_or_else(Broken::without_sql)?;
        let text = filled(statement, self.place, self.id, self.run);
        Ok(sql.query(&Statement::new(text)).await)
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
