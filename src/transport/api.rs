//! The endpoints: one attempt each, with host and token acquired on the way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use url::Url;
use uuid::Uuid;

use super::Transport;
use crate::auth::Credential;
use crate::channel::ChannelStatus;
use crate::error::{Error, ErrorKind};
use crate::offset::OffsetToken;
use crate::time::TimeSource;

/// Where the calls go, and for whom.
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

/// Which try of which request this is. The id stays, the count rises.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    pub(crate) request_id: Uuid,
    pub(crate) retry_count: u32,
}

/// One batch on its way.
#[derive(Debug)]
pub(crate) struct AppendRequest<'a> {
    pub(crate) channel: &'a str,
    pub(crate) continuation_token: &'a str,
    pub(crate) start: Option<&'a OffsetToken>,
    pub(crate) end: Option<&'a OffsetToken>,
    /// One zstd frame.
    pub(crate) body: Bytes,
    pub(crate) uncompressed_len: u64,
    /// When the oldest row of the batch was appended, in milliseconds since the Unix epoch.
    pub(crate) min_append_timestamp_ms: u64,
    /// What the last append answer of this channel carried as [`AppendAnswer::session`].
    pub(crate) session: Option<&'a HeaderValue>,
}

/// The batch is buffered by the server, not yet committed.
#[derive(Debug)]
pub(crate) struct AppendAnswer {
    pub(crate) next_continuation_token: String,
    /// To be echoed with the channel's next append; if `None`, forget the one before.
    pub(crate) session: Option<HeaderValue>,
}

/// The channel is ours.
#[derive(Debug)]
pub(crate) struct OpenAnswer {
    pub(crate) next_continuation_token: String,
    /// May be unhealthy: an invalid pipe opens all the same.
    pub(crate) status: ChannelStatus,
}

/// Why an attempt failed, by what may be done next.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// The request did not go out: the same bytes again are safe. Whether they can help says `Error::is_retryable`.
    NotSent(Error),
    /// The server may have acted on the request.
    Ambiguous(Error),
    /// 429: not acted on; to be sent again, `after` that long if the server said so.
    Throttled {
        after: Option<Duration>,
        error: Error,
    },
    /// The server decided.
    Answered {
        status: u16,
        code: Option<String>,
        error: Error,
    },
}

impl Failure {
    pub(crate) fn error(&self) -> &Error {
        match self {
            Self::NotSent(error)
            | Self::Ambiguous(error)
            | Self::Throttled { error, .. }
            | Self::Answered { error, .. } => error,
        }
    }

    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::NotSent(error)
            | Self::Ambiguous(error)
            | Self::Throttled { error, .. }
            | Self::Answered { error, .. } => error,
        }
    }

    /// The server's error code.
    pub(crate) fn code(&self) -> Option<&str> {
        self.error().code()
    }
}

/// The streaming endpoints of one pipe. Every method is one attempt.
#[derive(Debug)]
pub(crate) struct Api {
    config: ApiConfig,
    credential: Arc<dyn Credential>,
    transport: Arc<dyn Transport>,
    time: Arc<dyn TimeSource>,
}

fn unbuilt() -> Failure {
    Failure::NotSent(Error::new(ErrorKind::Unreachable, "unbuilt"))
}

impl Api {
    pub(crate) fn new(
        config: ApiConfig,
        credential: Arc<dyn Credential>,
        transport: Arc<dyn Transport>,
        time: Arc<dyn TimeSource>,
    ) -> Self {
        Self {
            config,
            credential,
            transport,
            time,
        }
    }

    /// Discovers the ingest host and fetches a token now.
    pub(crate) async fn connect(&self, _attempt: Attempt) -> Result<(), Failure> {
        Err(unbuilt())
    }

    /// Forgets the ingest host and its token; the next call finds them anew.
    pub(crate) fn forget_host(&self) {}

    pub(crate) async fn open_channel(
        &self,
        _channel: &str,
        _offset_token: Option<&OffsetToken>,
        _fail_on_uncommitted_rows: bool,
        _attempt: Attempt,
    ) -> Result<OpenAnswer, Failure> {
        Err(unbuilt())
    }

    pub(crate) async fn append_rows(
        &self,
        _append: &AppendRequest<'_>,
        _attempt: Attempt,
    ) -> Result<AppendAnswer, Failure> {
        Err(unbuilt())
    }

    /// The statuses by the names asked for; channels the server does not know are absent.
    pub(crate) async fn channel_statuses(
        &self,
        _channels: &[String],
        _attempt: Attempt,
    ) -> Result<BTreeMap<String, ChannelStatus>, Failure> {
        Err(unbuilt())
    }

    pub(crate) async fn drop_channel(
        &self,
        _channel: &str,
        _fail_on_uncommitted_rows: bool,
        _attempt: Attempt,
    ) -> Result<(), Failure> {
        Err(unbuilt())
    }
}
