//! Channels and rows of an experiment: requests, and how far rows get.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Broken;
use super::lab::{Lab, Pipe, segment};
use super::outcome::{COMMIT, Outcome, Patience, Status};
use super::service::{Answer, Request};

/// How long a channel that was opened may be missing in statuses: twice as long as a replica may lag.
const ABSENCE: Duration = Duration::from_secs(60);
/// How long a pipe may be unknown after its table was created.
pub(super) const TO_BE_KNOWN: Duration = Duration::from_secs(90);
/// The same where the refusal is an answer as well.
pub(super) const TO_BE_REFUSED: Duration = Duration::from_secs(45);
/// How long no row of a committed token may be counted.
const TO_BE_COUNTED: Duration = Duration::from_secs(10);
/// How long an append may be answered that the service is busy, or does not know the channel everywhere.
const TO_BE_ACCEPTED: Duration = Duration::from_secs(30);
/// The code of a channel that is gone, and of one that a replica does not know yet.
const NO_CHANNEL: &str = "ERR_CHANNEL_DOES_NOT_EXIST";

/// A pipe and the name of a channel.
pub(super) type At<'a, P> = (P, &'a str);

/// Whether an answer may be another one later: the pipe or channel is not known everywhere yet, or the service is busy.
pub(super) fn may_change(answer: &Answer) -> bool {
    let code = answer.code().unwrap_or_default();
    answer.status == 404 || is_busy(answer) || code.contains("STALE_PIPE")
}

/// Whether the service has too much to do.
pub(super) fn is_busy(answer: &Answer) -> bool {
    matches!(answer.status, 408 | 429 | 500..)
}

impl Lab<'_> {
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

    /// Opens a channel; the last answer, if it is refused for as long.
    pub(super) async fn open_within<'p>(
        &mut self,
        pipe: impl Into<Pipe<'p>>,
        channel: &str,
        limit: Duration,
    ) -> Result<Answer, Broken> {
        let pipe = pipe.into();
        let mut patience = Patience::of(limit);
        loop {
            let answer = self.try_open(pipe, channel, &json!({})).await?;
            self.service.has_opened |= answer.is_success();
            let is_in_progress = answer.status == 409;
            let may_come = may_change(&answer) || is_in_progress;
            if answer.is_success() || !may_come || !patience.waits().await {
                return Ok(answer);
            }
        }
    }

    /// Opens a channel, which has to succeed; its continuation token.
    pub(super) async fn open<'p>(
        &mut self,
        pipe: impl Into<Pipe<'p>>,
        channel: &str,
    ) -> Result<String, Broken> {
        let answer = self.open_within(pipe, channel, TO_BE_KNOWN).await?;
        let status = status_in(&answer);
        if status.is_bad() {
            let code = status.code().unwrap_or_default();
            return Err(Broken::new(format!("a channel was opened and is {code}")));
        }
        if let Some(token) = token_of(&answer) {
            return Ok(token);
        }
        let broken = Broken::of("opening a channel", &answer);
        Err(match answer.status {
            // No other experiment can open one either.
            404 if !self.service.has_opened => Broken::last(format!(
                "{}: the role needs CREATE PIPE on the schema and INSERT on its tables; run snowpipe doctor",
                broken.why
            )),
            _ => broken,
        })
    }

    /// Appends rows, one JSON text a line, which end with the offset token `end`.
    pub(super) async fn try_append<'p>(
        &mut self,
        at: At<'_, impl Into<Pipe<'p>>>,
        token: &str,
        end: &str,
        rows: impl Into<bytes::Bytes>,
    ) -> Result<Answer, Broken> {
        let request = self.append_request(at, token, end, rows);
        self.service.ingest(&request).await
    }

    /// The request that appends rows which end with the offset token `end`.
    pub(super) fn append_request<'p>(
        &self,
        at: At<'_, impl Into<Pipe<'p>>>,
        token: &str,
        end: &str,
        rows: impl Into<bytes::Bytes>,
    ) -> Request {
        let request = self.append_request_without_start(at, token, end, rows);
        request.query("startOffsetToken", end)
    }

    /// The same with the last offset token alone.
    pub(super) fn append_request_without_start<'p>(
        &self,
        (pipe, channel): At<'_, impl Into<Pipe<'p>>>,
        token: &str,
        end: &str,
        rows: impl Into<bytes::Bytes>,
    ) -> Request {
        let path = format!("{}/rows", self.channel_path(true, pipe, channel));
        Request::post(path)
            .query("continuationToken", token)
            .query("endOffsetToken", end)
            .body("application/x-ndjson", rows)
    }

    /// An append to the elastic channel of a table.
    pub(super) fn elastic_request(
        &self,
        table: &'static str,
        rows: impl Into<bytes::Bytes>,
    ) -> Request {
        let table = segment(&self.table(table));
        let path = self.path(true, &format!("tables/{table}/rows"));
        Request::post(path)
            .query("retryCount", "0")
            .body("application/x-ndjson", rows)
    }

    /// Appends rows, and repeats the request as a client does; the last answer.
    pub(super) async fn append_within<'p>(
        &mut self,
        at: At<'_, impl Into<Pipe<'p>>>,
        token: &str,
        end: &str,
        rows: impl Into<bytes::Bytes>,
    ) -> Result<Answer, Broken> {
        let request = self.append_request(at, token, end, rows);
        self.ingest_while(may_change, request).await
    }

    /// Sends a request, and repeats it as a client does while the answer is not final; the last answer.
    pub(super) async fn ingest_while(
        &mut self,
        is_open: fn(&Answer) -> bool,
        mut request: Request,
    ) -> Result<Answer, Broken> {
        let mut patience = Patience::of(TO_BE_ACCEPTED);
        loop {
            let answer = self.service.ingest(&request).await?;
            if !is_open(&answer) || !patience.waits().await {
                return Ok(answer);
            }
            request = request.again();
        }
    }

    /// Appends rows, which has to succeed; the next continuation token.
    pub(super) async fn append<'p>(
        &mut self,
        at: At<'_, impl Into<Pipe<'p>>>,
        token: &str,
        end: &str,
        rows: impl Into<bytes::Bytes>,
    ) -> Result<String, Broken> {
        let answer = self.append_within(at, token, end, rows).await?;
        token_of(&answer).ok_or_else(|| Broken::of("appending rows", &answer))
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

    /// The status of one channel; the answer, if it is refused.
    async fn try_status<'p>(
        &mut self,
        pipe: impl Into<Pipe<'p>>,
        channel: &str,
    ) -> Result<Result<Status, Answer>, Broken> {
        let answer = self.statuses(pipe, &[channel]).await?;
        if !answer.is_success() {
            return Ok(Err(answer));
        }
        let mut body = answer.json();
        let all = body.get_mut("channel_statuses");
        let all = all.and_then(Value::as_object_mut);
        let status = all.and_then(|all| {
            // One name was asked for, so another one is the same name in another case.
            let is_only = all.len() == 1;
            let other = all.keys().next().filter(|_| is_only).cloned();
            let exact = all.remove(channel);
            exact.or_else(|| all.remove(&other?))
        });
        Ok(Ok(Status(status.unwrap_or_default())))
    }

    /// The status of one channel, as the service has it now.
    pub(super) async fn status<'p>(
        &mut self,
        pipe: impl Into<Pipe<'p>>,
        channel: &str,
    ) -> Result<Status, Broken> {
        let status = self.try_status(pipe, channel).await?;
        status.map_err(|answer| Broken::of("asking for a channel's status", &answer))
    }

    /// The status of a channel that was opened, once statuses have it.
    pub(super) async fn known<'p>(
        &mut self,
        (pipe, channel): At<'_, impl Into<Pipe<'p>>>,
    ) -> Result<Status, Broken> {
        let pipe = pipe.into();
        let mut patience = Patience::of(ABSENCE);
        loop {
            let why = match self.try_status(pipe, channel).await {
                Ok(Ok(status)) if !status.is_absent() => return Ok(status),
                Ok(Ok(_)) => Broken::new(format!(
                    "the channel {channel} was opened and is in no status"
                )),
                Ok(Err(answer)) => Broken::of("asking for a channel's status", &answer),
                Err(why) => why,
            };
            if why.is_last || !patience.waits().await {
                return Err(why);
            }
        }
    }

    /// Waits until the offset token `end` is committed; the channel's status then.
    pub(super) async fn committed<'p>(
        &mut self,
        at: At<'_, impl Into<Pipe<'p>>>,
        end: &str,
    ) -> Result<Status, Broken> {
        let channel = at.1;
        match self.settled(at, end).await? {
            Outcome::Committed(status) => Ok(status),
            other => Err(Broken::new(format!(
                "rows of the channel {channel}: {}",
                other.word()
            ))),
        }
    }

    /// Waits until it is known what became of the rows up to the offset token `end`.
    pub(super) async fn settled<'p>(
        &mut self,
        at: At<'_, impl Into<Pipe<'p>>>,
        end: &str,
    ) -> Result<Outcome, Broken> {
        self.settled_within(at, end, Patience::of(COMMIT)).await
    }

    /// The same within a time, and with the counts of the rows: they may come later than the token.
    pub(super) async fn settled_within<'p>(
        &mut self,
        (pipe, channel): At<'_, impl Into<Pipe<'p>>>,
        end: &str,
        patience: Patience,
    ) -> Result<Outcome, Broken> {
        let at = (pipe.into(), channel);
        let mut outcome = self.shown_within(at, end, patience).await?;
        let mut patience = Patience::of(TO_BE_COUNTED);
        while let Outcome::Committed(status) = &outcome
            && status.accounted() == Some(0)
            && patience.waits().await
        {
            outcome = self.shown_within(at, end, Patience::of(COMMIT)).await?;
        }
        Ok(outcome)
    }

    /// Waits until the token `end` is committed, whether its rows are counted or not.
    pub(super) async fn shown_within<'p>(
        &mut self,
        (pipe, channel): At<'_, impl Into<Pipe<'p>>>,
        end: &str,
        mut patience: Patience,
    ) -> Result<Outcome, Broken> {
        let pipe = pipe.into();
        let begun = Instant::now();
        loop {
            let found = match self.try_status(pipe, channel).await {
                Ok(found) => found,
                Err(why) if why.is_last || !patience.waits().await => return Err(why),
                Err(_) => continue,
            };
            let is_old = begun.elapsed() > ABSENCE;
            let is_final = match &found {
                Ok(status) if status.is_at(end) => return Ok(Outcome::Committed(status.clone())),
                Ok(status) if status.is_absent() => is_old,
                Ok(status)
                    if status
                        .code()
                        .is_some_and(|code| code.starts_with(NO_CHANNEL)) =>
                {
                    is_old
                }
                Ok(status) => status.is_bad(),
                Err(answer) => !may_change(answer),
            };
            if is_final || !patience.waits().await {
                return Ok(match found {
                    Ok(status) if status.is_absent() => Outcome::Absent,
                    Ok(status) if status.is_bad() => Outcome::Invalidated(status),
                    Ok(status) => Outcome::Pending(status),
                    Err(answer) => Outcome::StatusRefused(answer),
                });
            }
        }
    }

    /// Opens a channel and appends rows to it; how far they get.
    pub(super) async fn row<'p>(
        &mut self,
        (pipe, channel): At<'_, impl Into<Pipe<'p>>>,
        rows: impl Into<bytes::Bytes>,
    ) -> Result<Outcome, Broken> {
        let at = (pipe.into(), channel);
        let refusal = self.send(at, rows, TO_BE_KNOWN).await;
        self.end_of(at, refusal).await
    }

    /// Opens a channel for each of several rows and appends the row, and waits only then; how far each gets. An open is repeated for
    /// as long as `limit`.
    pub(super) async fn each_row<'p>(
        &mut self,
        all: &[(At<'p, Pipe<'p>>, bytes::Bytes)],
        limit: Duration,
    ) -> Result<Vec<Result<Outcome, Broken>>, Broken> {
        let mut refusals = Vec::with_capacity(all.len());
        for (at, row) in all {
            match self.send(*at, row.clone(), limit).await {
                Err(why) if why.is_last => return Err(why),
                refusal => refusals.push(refusal),
            }
        }
        let mut outcomes = Vec::with_capacity(all.len());
        for ((at, _), refusal) in all.iter().zip(refusals) {
            outcomes.push(self.end_of(*at, refusal).await);
        }
        Ok(outcomes)
    }

    /// Opens a channel and appends rows to it; none if they are accepted.
    async fn send(
        &mut self,
        at: At<'_, Pipe<'_>>,
        rows: impl Into<bytes::Bytes>,
        limit: Duration,
    ) -> Result<Option<Outcome>, Broken> {
        let answer = self.open_within(at.0, at.1, limit).await?;
        let Some(token) = token_of(&answer) else {
            return refusal("opening a channel", answer, Outcome::OpenRefused);
        };
        let answer = self.append_within(at, &token, "o1", rows).await?;
        if answer.is_success() {
            return Ok(None);
        }
        refusal("appending rows", answer, Outcome::AppendRefused)
    }

    async fn end_of(
        &mut self,
        at: At<'_, Pipe<'_>>,
        refusal: Result<Option<Outcome>, Broken>,
    ) -> Result<Outcome, Broken> {
        match refusal? {
            Some(refusal) => Ok(refusal),
            None => self.settled(at, "o1").await,
        }
    }
}

/// A refusal as an outcome, unless nothing else can succeed.
fn refusal(
    what: &str,
    answer: Answer,
    outcome: fn(Answer) -> Outcome,
) -> Result<Option<Outcome>, Broken> {
    let broken = Broken::of(what, &answer);
    if broken.is_last {
        return Err(broken);
    }
    Ok(Some(outcome(answer)))
}

/// The continuation token of an answer that has succeeded.
pub(super) fn token_of(answer: &Answer) -> Option<String> {
    let token = answer.field("next_continuation_token");
    token.filter(|_| answer.is_success())
}

/// The status in the answer to an open; null if there is none.
pub(super) fn status_in(answer: &Answer) -> Status {
    let mut body = answer.json();
    let status = body.get_mut("channel_status").map(Value::take);
    Status(status.unwrap_or_default())
}
