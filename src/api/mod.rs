//! Snowflake's endpoints. Each method makes one attempt, for which the session provides the host and the token.

mod account;
mod auth_backoff;
pub(crate) mod call;
mod clock;
pub(crate) mod failure;
mod session;
#[cfg(feature = "sql-api")]
pub(crate) mod statements;
pub(crate) mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use percent_encoding::utf8_percent_encode;
use serde::Serialize;
use serde::de::IgnoredAny;
use url::Url;

use self::call::{Attempt, Call};
use self::failure::{Failure, Host, decided, without_bearer};
use self::session::Session;
use self::wire::ServerError;
use crate::auth::Credential;
use crate::base::json::Object;
use crate::base::metrics::{Counters, Endpoint};
use crate::base::time::TimeSource;
use crate::http::{Response, Transport};
use crate::types::channel_status::ChannelStatus;
use crate::types::error::{Error, ErrorKind};
use crate::types::offset::{OffsetToken, QUERY};
use crate::types::pipe::PipePath;

const UNCOMPRESSED_LEN: HeaderName =
    HeaderName::from_static("x-snowflake-uncompressed-content-length");
const MIN_APPEND_TIMESTAMP: HeaderName =
    HeaderName::from_static("x-snowflake-min-append-timestamp-ms");
const SESSION: HeaderName = HeaderName::from_static("x-snowflake-session");

/// The name of the elastic channel, which every pipe has and which need not be opened.
pub(crate) const ELASTIC: &str = "ELASTIC";

/// The suffix of the name of a table's default pipe ("Use PIPE objects with Snowpipe Streaming").
const DEFAULT_PIPE_SUFFIX: &str = "-STREAMING";

const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// The target of the calls.
#[derive(Debug, Clone)]
pub(crate) struct ApiConfig {
    /// Scheme, host and port of the account host.
    pub(crate) account_url: Url,
    /// The account's name, for messages.
    pub(crate) account: String,
    pub(crate) database: String,
    pub(crate) schema: String,
    pub(crate) pipe: String,
    /// Names the calling program in `User-Agent`.
    pub(crate) application: Option<String>,
    /// The deadline of every single network call.
    pub(crate) attempt_timeout: Duration,
}

/// One batch for a channel.
#[derive(Debug)]
pub(crate) struct AppendRequest {
    pub(crate) attempt: Attempt,
    pub(crate) continuation_token: String,
    pub(crate) start: Option<OffsetToken>,
    pub(crate) end: OffsetToken,
    /// One zstd frame.
    pub(crate) body: Bytes,
    pub(crate) uncompressed_len: usize,
    /// When the oldest row of the batch was appended, in milliseconds since the Unix epoch.
    pub(crate) first_append_ms: u64,
    /// [`AppendAnswer::session`] of the channel's last append.
    pub(crate) session: Option<HeaderValue>,
}

/// One batch for the elastic channel.
#[derive(Debug)]
pub(crate) struct ElasticRequest {
    pub(crate) attempt: Attempt,
    /// One zstd frame.
    pub(crate) body: Bytes,
    pub(crate) uncompressed_len: usize,
    pub(crate) rows: u64,
    /// As in [`AppendRequest`].
    pub(crate) first_append_ms: u64,
}

/// The answer to an accepted append.
#[derive(Debug)]
pub(crate) struct AppendAnswer {
    pub(crate) next_continuation_token: String,
    /// To be sent with the channel's next append. `None` ends the previous session.
    pub(crate) session: Option<HeaderValue>,
}

/// The answer to a successful open.
#[derive(Debug)]
pub(crate) struct OpenAnswer {
    pub(crate) next_continuation_token: String,
    /// `None` if the answer has no status. May be unhealthy: the server also opens a channel on an invalid pipe.
    pub(crate) status: Option<ChannelStatus>,
}

/// The streaming endpoints of one pipe. Every method is one attempt.
#[derive(Debug)]
pub(crate) struct Api {
    /// Shared by the pipes of an account.
    session: Arc<Session>,
    counters: Arc<Counters>,
    database: String,
    schema: String,
    pipe: String,
}

#[derive(Serialize)]
struct OpenBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    offset_token: Option<&'a str>,
    fail_on_uncommitted_rows: bool,
}

#[derive(Serialize)]
struct StatusBody<'a> {
    channel_names: &'a [String],
}

#[derive(Serialize)]
struct DropBody {
    fail_on_uncommitted_rows: bool,
}

impl Api {
    pub(crate) fn new(
        config: ApiConfig,
        credential: Arc<dyn Credential>,
        transport: Arc<dyn Transport>,
        time: Arc<dyn TimeSource>,
    ) -> Self {
        let session = Session::new(&config, credential, transport, time);
        Self {
            counters: Arc::clone(session.counters()),
            session: Arc::new(session),
            database: config.database,
            schema: config.schema,
            pipe: config.pipe,
        }
    }

    /// The endpoints of another pipe, with the same host and token. Its calls are counted separately.
    pub(crate) fn for_pipe(&self, pipe: &PipePath) -> Self {
        Self {
            session: Arc::clone(&self.session),
            counters: Arc::default(),
            database: pipe.database().to_owned(),
            schema: pipe.schema().to_owned(),
            pipe: pipe.pipe().to_owned(),
        }
    }

    /// Discovers the ingest host and fetches a token now.
    pub(crate) async fn connect(&self, attempt: Attempt) -> Result<(), Failure> {
        self.session.connect(attempt).await
    }

    /// Discovers the ingest host, unless it is known.
    #[cfg(feature = "doctor")]
    pub(crate) async fn ingest_host(&self, attempt: Attempt) -> Result<wire::IngestHost, Failure> {
        self.session.ingest_host(attempt).await
    }

    /// Replaces the credential.
    pub(crate) fn set_credential(&self, credential: Arc<dyn Credential>) {
        self.session.set_credential(credential);
    }

    /// The counters of the calls and their content.
    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }
    /// Opens a channel and takes it from its last holder.
    pub(crate) async fn open_channel(
        &self,
        channel: &str,
        offset_token: Option<&OffsetToken>,
        fail_on_uncommitted_rows: bool,
        attempt: Attempt,
    ) -> Result<OpenAnswer, Failure> {
        let what = format!("opening channel {channel:?} of pipe {}", self.pipe());
        let path = self.channel_path("", channel)?;
        let call = self
            .counted_call(Endpoint::Open, what, Method::PUT, path)
            .json(&OpenBody {
                offset_token: offset_token.map(OffsetToken::as_str),
                fail_on_uncommitted_rows,
            })?;
        let read = |response: &Response| {
            let Object(answer) = call.answer(response)?;
            let status = wire::opened_status(&answer).map_err(Failure::Ambiguous)?;
            let hide = |text: &str| without_bearer(text, response);
            let status = status.map(|status| status.with_texts(hide));
            match wire::next_continuation_token(&answer.next_continuation_token, &call.what) {
                Ok(next_continuation_token) => Ok(OpenAnswer {
                    next_continuation_token,
                    status,
                }),
                Err(why) => match status.filter(|status| !status.is_healthy()) {
                    Some(status) => {
                        let said = ServerError {
                            code: Some(status.status_code),
                            message: None,
                        };
                        Err(decided(Host::Ingest, &call.what, response.status(), said))
                    }
                    None => Err(Failure::Ambiguous(why)),
                },
            }
        };
        self.session.call(&call, attempt, read).await
    }

    /// Sends one batch.
    pub(crate) async fn append_rows(
        &self,
        channel: &str,
        append: &AppendRequest,
    ) -> Result<AppendAnswer, Failure> {
        let what = format!("appending to channel {channel:?} of pipe {}", self.pipe());
        let path = format!("{}/rows", self.channel_path("/data", channel)?);
        let mut call = self.counted_call(Endpoint::Append, what, Method::POST, path);
        call.query = [
            (
                "startOffsetToken",
                append.start.as_ref().map(OffsetToken::as_str),
            ),
            ("endOffsetToken", Some(append.end.as_str())),
            ("continuationToken", Some(&*append.continuation_token)),
        ]
        .into_iter()
        .filter_map(|(name, token)| Some((name, encoded(token?))))
        .collect();
        call.headers = rows_headers(append.uncompressed_len, append.first_append_ms);
        call.headers
            .extend(append.session.clone().map(|session| (SESSION, session)));
        call.body = append.body.clone();
        let read = |response: &Response| {
            let Object(answer): Object<wire::Appended> = call.answer(response)?;
            let next = wire::next_continuation_token(&answer.next_continuation_token, &call.what);
            Ok(AppendAnswer {
                next_continuation_token: next.map_err(Failure::Ambiguous)?,
                session: response.headers().get(SESSION).cloned(),
            })
        };
        self.session
            .call(&call, append.attempt, read)
            .await
            .inspect(|_| self.counters().bytes_accepted(append.uncompressed_len))
            .map_err(Failure::with_rows_at_risk)
    }

    /// Sends one batch to the elastic channel of the pipe. A default pipe is addressed by its table, because that creates the
    /// pipe if it does not exist.
    pub(crate) async fn append_elastic(&self, append: &ElasticRequest) -> Result<(), Failure> {
        let what = format!("appending to the elastic channel of pipe {}", self.pipe());
        let target = match self.pipe.strip_suffix(DEFAULT_PIPE_SUFFIX) {
            Some(table) => format!("tables/{}", segment(table)?),
            None => format!("pipes/{}/channels/{ELASTIC}", segment(&self.pipe)?),
        };
        let path = format!("{}/{target}/rows", self.schema_path("/data")?);
        let mut call = self.counted_call(Endpoint::Append, what, Method::POST, path);
        call.headers = rows_headers(append.uncompressed_len, append.first_append_ms);
        call.body = append.body.clone();
        // The answer has no continuation token and no other content of use.
        let read = |response: &Response| call.answer::<IgnoredAny>(response).map(drop);
        self.session
            .call(&call, append.attempt, read)
            .await
            .inspect(|()| {
                self.counters().accepted(append.rows);
                self.counters().bytes_accepted(append.uncompressed_len);
            })
            .map_err(Failure::with_rows_at_risk)
    }

    /// The statuses of channels by name. Channels that the server does not know are absent.
    pub(crate) async fn channel_statuses(
        &self,
        channels: &[String],
        attempt: Attempt,
    ) -> Result<BTreeMap<String, ChannelStatus>, Failure> {
        let asked = match channels {
            [] => return Ok(BTreeMap::new()),
            [channel] => format!("channel {channel:?}"),
            _ => format!("{} channels", channels.len()),
        };
        let what = format!("asking for the status of {asked} of pipe {}", self.pipe());
        let path = format!("{}:bulk-channel-status", self.pipe_path("")?);
        let call = self
            .counted_call(Endpoint::Status, what, Method::POST, path)
            .json(&StatusBody {
                channel_names: channels,
            })?;
        let read = |response: &Response| {
            let Object(answer) = call.answer(response)?;
            let statuses = wire::channel_statuses(&answer).map_err(Failure::Ambiguous)?;
            let hide = |text: &str| without_bearer(text, response);
            let hidden = statuses
                .into_iter()
                .map(|(name, status)| (name, status.with_texts(hide)));
            Ok(hidden.collect())
        };
        let answered = self.session.call(&call, attempt, read).await?;
        Ok(by_asked_name(channels, answered))
    }

    /// Drops a channel with its committed token.
    pub(crate) async fn drop_channel(
        &self,
        channel: &str,
        fail_on_uncommitted_rows: bool,
        attempt: Attempt,
    ) -> Result<(), Failure> {
        let what = format!("dropping channel {channel:?} of pipe {}", self.pipe());
        let mut call = self.counted_call(
            Endpoint::Drop,
            what,
            Method::DELETE,
            self.channel_path("", channel)?,
        );
        // `false` is the server's default, and some proxies do not pass a DELETE with a body.
        if fail_on_uncommitted_rows {
            call = call.json(&DropBody {
                fail_on_uncommitted_rows,
            })?;
        }
        self.session.call(&call, attempt, |_| Ok(())).await
    }

    /// The account's name.
    pub(crate) fn account(&self) -> &str {
        self.session.account_name()
    }

    fn counted_call(&self, endpoint: Endpoint, what: String, method: Method, path: String) -> Call {
        Call {
            counters: Some(Arc::clone(&self.counters)),
            ..Call::new(endpoint, what, method, path)
        }
    }

    /// The pipe's full name, for messages.
    fn pipe(&self) -> String {
        format!("{}.{}.{}", self.database, self.schema, self.pipe)
    }

    /// `area` is empty, or `/data` for calls that carry rows.
    fn pipe_path(&self, area: &str) -> Result<String, Failure> {
        let schema = self.schema_path(area)?;
        Ok(format!("{schema}/pipes/{}", segment(&self.pipe)?))
    }

    fn schema_path(&self, area: &str) -> Result<String, Failure> {
        Ok(format!(
            "/v2/streaming{area}/databases/{}/schemas/{}",
            segment(&self.database)?,
            segment(&self.schema)?,
        ))
    }

    fn channel_path(&self, area: &str, channel: &str) -> Result<String, Failure> {
        let pipe = self.pipe_path(area)?;
        Ok(format!("{pipe}/channels/{}", segment(channel)?))
    }
}

/// The headers of a request that carries rows in one zstd frame.
fn rows_headers(uncompressed_len: usize, first_append_ms: u64) -> Vec<(HeaderName, HeaderValue)> {
    vec![
        (header::CONTENT_TYPE, NDJSON),
        (header::CONTENT_ENCODING, HeaderValue::from_static("zstd")),
        (UNCOMPRESSED_LEN, uncompressed_len.into()),
        (MIN_APPEND_TIMESTAMP, first_append_ms.into()),
    ]
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string()
}

/// A name as a segment of a path. `.` and `..` would change the path, even if encoded.
fn segment(name: &str) -> Result<String, Failure> {
    if matches!(name, "" | "." | "..") {
        let message = format!("{name:?} cannot be part of an address; use another name");
        return Err(Failure::NotSent(Error::new(ErrorKind::Config, message)));
    }
    Ok(encoded(name))
}

/// The statuses by the requested names. The server may spell a name in another case.
fn by_asked_name(
    asked: &[String],
    mut answered: BTreeMap<String, ChannelStatus>,
) -> BTreeMap<String, ChannelStatus> {
    let mut found = BTreeMap::new();
    for name in asked {
        found.extend(answered.remove_entry(name));
    }
    for (key, status) in answered {
        let other_case = |name: &&String| name.eq_ignore_ascii_case(&key);
        if let Some(name) = asked.iter().find(other_case) {
            found.entry(name.clone()).or_insert(status);
        }
    }
    found
}

#[cfg(test)]
mod tests;
