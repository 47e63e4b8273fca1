//! Channels and rows of an experiment: requests, and how far rows get.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Broken;
use super::lab::{Lab, Pipe};
use super::service::{Answer, Request};

/// How long a commit may take.
pub(super) const COMMIT: Duration = Duration::from_secs(90);
/// How long a channel that was opened may be missing in statuses: as long as a replica may lag.
const ABSENCE: Duration = Duration::from_secs(30);
/// How long a pipe may be unknown after its table was created.
const TO_BE_KNOWN: Duration = Duration::from_secs(90);
/// The same where the refusal is an answer as well.
pub(super) const TO_BE_REFUSED: Duration = Duration::from_secs(20);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A pipe and the name of a channel.
pub(super) type At<'a, P> = (P, &'a str);

/// Pauses that double, until a time.
#[derive(Debug)]
pub(super) struct Patience {
    pause: Duration,
    longest: Duration,
    until: Instant,
}

impl Patience {
    pub(super) fn of(length: Duration) -> Self {
        Self {
            pause: FIRST_PAUSE,
            longest: LONGEST_PAUSE,
            until: Instant::now() + length,
        }
    }

    /// The same with pauses of at most this length.
    pub(super) fn with_pauses(self, longest: Duration) -> Self {
        Self { longest, ..self }
    }

    /// Pauses; false if the time is over.
    pub(super) async fn waits(&mut self) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = self.longest.min(self.pause * 2);
        true
    }
}

/// The status of a channel; null if there is none.
#[derive(Debug, Clone, Default)]
pub(super) struct Status(pub(super) Value);

impl Status {
    fn count(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.as_u64()
    }

    pub(super) fn inserted(&self) -> Option<u64> {
        self.count("rows_inserted")
    }

    /// The count of rejected rows, under either name.
    pub(super) fn rejected(&self) -> Option<u64> {
        let documented = self.count("rows_error_count");
        documented.or_else(|| self.count("rows_errors"))
    }

    pub(super) fn code(&self) -> Option<&str> {
        self.0.get("channel_status_code")?.as_str()
    }

    /// A field as JSON; null if it is missing.
    pub(super) fn field(&self, name: &str) -> Value {
        self.0.get(name).cloned().unwrap_or_default()
    }

    pub(super) fn is_absent(&self) -> bool {
        self.0.is_null()
    }

    fn is_at(&self, end: &str) -> bool {
        self.field("last_committed_offset_token") == end
    }

    /// Whether the code says that something is wrong.
    pub(super) fn is_bad(&self) -> bool {
        self.code().is_some_and(|code| code.starts_with("ERR_"))
    }
}

/// How far rows got.
#[derive(Debug)]
pub(super) enum Outcome {
    OpenRefused(Answer),
    AppendRefused(Answer),
    Committed(Status),
    /// The code of the status says that something is wrong.
    Invalidated(Status),
    /// The channel is in no status, long after it was opened.
    Absent,
    StatusRefused(Answer),
    /// Nothing happened within the time.
    Pending(Status),
}

impl Outcome {
    /// What became of one row.
    pub(super) fn word(&self) -> String {
        match self {
            Self::OpenRefused(answer) => format!("the open is refused: {}", answer.outcome()),
            Self::AppendRefused(answer) => format!("the request is refused: {}", answer.outcome()),
            Self::Committed(status) => match (status.inserted(), status.rejected()) {
                (Some(1), _) => "lands".to_owned(),
                (_, Some(1)) => "is rejected".to_owned(),
                (Some(0), Some(0)) => "disappears".to_owned(),
                _ => "is committed and not counted".to_owned(),
            },
            Self::Invalidated(status) => {
                let code = status.code().unwrap_or_default();
                format!("the channel is invalidated: {code}")
            }
            Self::Absent => "the channel is in no status".to_owned(),
            Self::StatusRefused(answer) => format!("the status is refused: {}", answer.outcome()),
            Self::Pending(_) => format!("is not committed within {} s", COMMIT.as_secs()),
        }
    }
}

/// Whether an answer may be another one later: the pipe is not known everywhere yet, or the service has too much to do.
fn may_change(answer: &Answer) -> bool {
    let code = answer.code().unwrap_or_default();
    matches!(answer.status, 404 | 408 | 429 | 500..) || code.contains("STALE_PIPE")
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
        let offsets = [("startOffsetToken", end), ("endOffsetToken", end)];
        self.try_append_with(at, token, &offsets, rows).await
    }

    /// The same with these parameters for offset tokens.
    pub(super) async fn try_append_with<'p>(
        &mut self,
        (pipe, channel): At<'_, impl Into<Pipe<'p>>>,
        token: &str,
        offsets: &[(&'static str, &str)],
        rows: impl Into<bytes::Bytes>,
    ) -> Result<Answer, Broken> {
        let path = format!("{}/rows", self.channel_path(true, pipe, channel));
        let mut request = Request::post(path).query("continuationToken", token);
        for (name, value) in offsets {
            request = request.query(name, *value);
        }
        let request = request.body("application/x-ndjson", rows);
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
        let status = body
            .get_mut("channel_statuses")
            .and_then(|all| all.get_mut(channel));
        Ok(Ok(Status(status.map(Value::take).unwrap_or_default())))
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
            let status = self.status(pipe, channel).await?;
            if !status.is_absent() {
                return Ok(status);
            }
            if !patience.waits().await {
                let why = format!("the channel {channel} was opened and is in no status");
                return Err(Broken::new(why));
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

    pub(super) async fn settled_within<'p>(
        &mut self,
        (pipe, channel): At<'_, impl Into<Pipe<'p>>>,
        end: &str,
        mut patience: Patience,
    ) -> Result<Outcome, Broken> {
        let pipe = pipe.into();
        let begun = Instant::now();
        loop {
            let found = self.try_status(pipe, channel).await?;
            let is_final = match &found {
                Ok(status) if status.is_at(end) => return Ok(Outcome::Committed(status.clone())),
                Ok(status) if status.is_absent() => begun.elapsed() > ABSENCE,
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
        let refusal = self.send(at, rows).await;
        self.end_of(at, refusal).await
    }

    /// Opens a channel for each of several rows and appends the row, and waits only then; how far each gets.
    pub(super) async fn each_row<'p>(
        &mut self,
        all: &[(At<'p, Pipe<'p>>, bytes::Bytes)],
    ) -> Result<Vec<Result<Outcome, Broken>>, Broken> {
        let mut refusals = Vec::with_capacity(all.len());
        for (at, row) in all {
            match self.send(*at, row.clone()).await {
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
    ) -> Result<Option<Outcome>, Broken> {
        let answer = self.open_within(at.0, at.1, TO_BE_REFUSED).await?;
        let Some(token) = token_of(&answer) else {
            return Ok(Some(Outcome::OpenRefused(answer)));
        };
        let answer = self.try_append(at, &token, "o1", rows).await?;
        let is_refused = !answer.is_success();
        Ok(is_refused.then_some(Outcome::AppendRefused(answer)))
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
