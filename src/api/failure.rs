//! The classification of failed attempts: whether the server may have acted on one, and what the caller may do next.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};
use uuid::Uuid;

use super::wire::{self, ServerError};
use crate::auth::flight::Stopped;
use crate::base::text::REDACTED;
use crate::http::{Response, TransportError, TransportErrorKind};
use crate::types::error::{Error, ErrorKind};
use crate::types::secret::Secret;

/// The longest `Retry-After` of a 429 that is respected.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// That of a 408 or 5xx, which may come from an intermediary that does not know when the service is back.
const MAX_AFTER_FAILURE: Duration = Duration::from_secs(60);

/// The bearer token of a request, as an extension of its answer.
#[derive(Debug, Clone)]
pub(super) struct SentWith(pub(super) Secret);

/// A text of an answer without the bearer token of the request.
pub(super) fn without_bearer(text: &str, response: &Response) -> String {
    match response.extensions().get() {
        Some(SentWith(token)) => token.remove_from(text, REDACTED),
        None => text.to_owned(),
    }
}

/// A failed attempt, classified by what may be done next.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// The request was not sent, so sending it again is safe. `Error::is_retryable` says whether it can help.
    NotSent(Error),
    /// The server may have acted on the request.
    Ambiguous(Error),
    /// 429: the server did not act on the request. It may be sent again.
    Throttled(Error),
    /// The account host refused to name the ingest host or to exchange the credential, so the request was not sent.
    AccountRefused(Error),
    /// The server refused the request.
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
            | Self::AccountRefused(error)
            | Self::Throttled(error)
            | Self::Answered { error, .. } => error,
        }
    }

    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::NotSent(error)
            | Self::Ambiguous(error)
            | Self::AccountRefused(error)
            | Self::Throttled(error)
            | Self::Answered { error, .. } => error,
        }
    }

    /// The delay that the server asks for, with a 429, a 408 or a 5xx (RFC 9110, 10.2.3).
    pub(crate) fn asked_delay(&self) -> Option<Duration> {
        self.error().retry_after()
    }

    /// The server's error code.
    pub(crate) fn code(&self) -> Option<&str> {
        self.error().code()
    }

    /// Whether a proxy on the way has refused the request (407). That says nothing about the rows or the credential, and the proxy may
    /// take the next one.
    pub(crate) fn is_of_proxy(&self) -> bool {
        let source = std::error::Error::source(self.error());
        let why = source.and_then(|source| source.downcast_ref::<TransportError>());
        why.is_some_and(|why| why.kind() == TransportErrorKind::Proxy)
    }

    /// Whether the pipe moved (410), or the request was misrouted (404 without a code).
    pub(crate) fn is_moved(&self) -> bool {
        matches!(
            self,
            Self::Answered { status: 410, .. }
                | Self::Answered {
                    status: 404,
                    code: None,
                    ..
                }
        )
    }

    /// Whether a host refused the credential, or the rights that come with it.
    pub(crate) fn is_about_credentials(&self) -> bool {
        matches!(
            self.error().kind(),
            ErrorKind::Authentication | ErrorKind::Forbidden
        )
    }

    /// Converts the failure of a call to the account host that precedes the request itself: the request was not sent, and a
    /// refusal is not about it.
    pub(super) fn before_sending(self) -> Self {
        match self {
            Self::Ambiguous(error) => Self::NotSent(error),
            Self::Answered { error, .. } => Self::AccountRefused(error),
            other => other,
        }
    }

    /// The failure of a request that carried rows.
    pub(super) fn with_rows_at_risk(self) -> Self {
        match self {
            Self::Ambiguous(error) => Self::Ambiguous(error.with_ambiguous(true)),
            other => other,
        }
    }

    /// The failure of the request with this id.
    pub(super) fn of(self, request_id: Uuid) -> Self {
        self.with_error(|error| error.with_request_id(request_id))
    }

    /// The failure without the bearer token, which the answer may repeat.
    pub(super) fn hiding_bearer(self, response: &Response) -> Self {
        let hide = |text: &str| without_bearer(text, response);
        let mut failure = self.with_error(|error| error.with_texts(hide));
        if let Self::Answered { code, error, .. } = &mut failure {
            *code = error.code().map(str::to_owned);
        }
        failure
    }

    fn with_error(mut self, edit: impl FnOnce(Error) -> Error) -> Self {
        match &mut self {
            Self::NotSent(error)
            | Self::Ambiguous(error)
            | Self::AccountRefused(error)
            | Self::Throttled(error)
            | Self::Answered { error, .. } => *error = edit(error.clone()),
        }
        self
    }
}

impl From<Stopped> for Failure {
    fn from(stopped: Stopped) -> Self {
        Self::NotSent(stopped.into())
    }
}

/// The failure of a call without a complete answer. `what` names the call.
pub(super) fn unanswered(what: &str, why: TransportError) -> Failure {
    let kind = match why.kind() {
        TransportErrorKind::Timeout => ErrorKind::Timeout,
        TransportErrorKind::Request | TransportErrorKind::Proxy => ErrorKind::Config,
        TransportErrorKind::Dns
        | TransportErrorKind::Connect
        | TransportErrorKind::Tls
        | TransportErrorKind::Interrupted
        | TransportErrorKind::Body => ErrorKind::Unreachable,
    };
    let sent = why.may_have_been_sent();
    let error = Error::new(kind, format!("{what} failed: {why}")).with_source(why);
    if sent {
        Failure::Ambiguous(error)
    } else {
        Failure::NotSent(error)
    }
}

/// The host that answered. The cause and remedy of a status depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Host {
    Account,
    Ingest,
    /// The SQL API of the account host, whose refusals are about statements.
    #[cfg(feature = "sql-api")]
    Statements,
}

/// The failure of a call that was answered with an error status.
pub(super) fn answered(host: Host, what: &str, response: &Response, now: SystemTime) -> Failure {
    let status = response.status();
    let said = wire::server_error(response.body());
    let after = retry_after(response.headers(), now);
    let temporary = |after| describe(host, what, status, &said).with_retry_after(after);
    match status.as_u16() {
        429 => Failure::Throttled(temporary(after)),
        408 | 500.. => {
            Failure::Ambiguous(temporary(after.map(|delay| delay.min(MAX_AFTER_FAILURE))))
        }
        // The service redirects nothing. An intermediary has answered in its place, and has not passed the request on.
        300..400 if host == Host::Ingest => Failure::NotSent(describe(host, what, status, &said)),
        _ => decided(host, what, status, said),
    }
}

/// The failure of a call that the server refused, with an error status or in the body of a 200.
pub(super) fn decided(host: Host, what: &str, status: StatusCode, said: ServerError) -> Failure {
    let error = describe(host, what, status, &said);
    Failure::Answered {
        status: status.as_u16(),
        code: said.code,
        error,
    }
}

fn describe(host: Host, what: &str, status: StatusCode, said: &ServerError) -> Error {
    let code = said.code.as_deref().unwrap_or_default();
    let (kind, remedy) = meaning(host, status, code);
    let answer = match &said.message {
        Some(message) => {
            format!("{}: {}", status.as_u16(), message.trim_end_matches('.'))
        }
        None => status.as_u16().to_string(),
    };
    let error = Error::new(
        kind,
        format!("{what} failed, the server answered {answer}; {remedy}"),
    )
    .with_status(status.as_u16())
    .with_code(said.code.clone());
    // Two concurrent opens of one name: the one that lost may try again.
    if code == "ERR_OPEN_CHANNEL_IN_PROGRESS" {
        error.with_retryable(true)
    } else {
        error
    }
}

fn meaning(host: Host, status: StatusCode, code: &str) -> (ErrorKind, &'static str) {
    const MISSING: &str =
        "check that the database, schema, pipe and table exist and that the role can see them";
    const ROLE: &str = "check the role, and the names of database and schema: the role needs USAGE on both; if the profile names no role, it is the user's DEFAULT_ROLE";
    match (status.as_u16(), code) {
        (300..400, _) if host == Host::Ingest => (
            ErrorKind::Unreachable,
            "a proxy or gateway has answered in place of the service, such as a maintenance page or a login to the network; check the way to the host",
        ),
        (400, _) if host == Host::Account => (
            ErrorKind::Authentication,
            "check the role, and that the user may assume it",
        ),
        #[cfg(feature = "sql-api")]
        (403, _) if host == Host::Statements => (
            ErrorKind::Forbidden,
            "grant the role USAGE on warehouse, database and schema, and SELECT on the table",
        ),
        #[cfg(feature = "sql-api")]
        (404, _) if host == Host::Statements => (
            ErrorKind::NotFound,
            "check the account's URL; of a statement that ran long, run it again",
        ),
        (404, _) if host == Host::Account => (
            ErrorKind::NotFound,
            "check the account's URL, and that the role may use or create pipes",
        ),
        (_, "ERR_CHANNEL_HAS_UNCOMMITTED_DATA") => (
            ErrorKind::UncommittedData,
            "wait until the rows in flight are committed, or allow them to be discarded",
        ),
        (_, "ERR_PIPE_IN_INVALID_STATE") => (
            ErrorKind::Refused,
            "repair the pipe and its table: the target must be a table that takes rows",
        ),
        (_, code) if code.starts_with("STALE_") || code.contains("MUST_BE_REOPENED") => {
            (ErrorKind::Refused, "reopen the channel")
        }
        // What a role gets that sees nothing (redpanda-data/connect, streaming_pipe_scope_probe_it_test.go).
        (_, code)
            if ["ERR_DATABASE_DOES", "ERR_SCHEMA_DOES"]
                .iter()
                .any(|object| code.starts_with(object)) =>
        {
            (ErrorKind::NotFound, ROLE)
        }
        (_, code) if code.contains("DOES_NOT_EXIST") => (ErrorKind::NotFound, MISSING),
        (401, _) => (
            ErrorKind::Authentication,
            "check the user, the account, the public key registered for the user or that the token has not expired or been revoked, and this machine's clock",
        ),
        (403, _) => (
            ErrorKind::Forbidden,
            "grant the role USAGE on database and schema, INSERT on the table and OPERATE on the pipe",
        ),
        (404, _) => (ErrorKind::NotFound, MISSING),
        (408, _) => (ErrorKind::Timeout, "try again"),
        (410, _) if host != Host::Account => (
            ErrorKind::NotFound,
            "the pipe has moved to another host: connect anew and reopen the channel",
        ),
        (413, _) if host != Host::Account => {
            (ErrorKind::TooLarge, "send fewer bytes in one request")
        }
        (429, _) => (ErrorKind::Throttled, "send less often"),
        (300..=399, _) => (
            ErrorKind::Refused,
            "redirects are not followed: check the account's URL",
        ),
        (500.., _) => (ErrorKind::Server, "try again"),
        (_, _) if host == Host::Account => (
            ErrorKind::Refused,
            "check the account's URL and any proxy between",
        ),
        (409, _) => (ErrorKind::Refused, "reopen the channel"),
        _ => (
            ErrorKind::Refused,
            "the same request would be refused again",
        ),
    }
}

/// `Retry-After`, in seconds or as an HTTP date, limited to an hour.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let delay = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value)
            .ok()?
            .duration_since(now)
            .unwrap_or_default(),
    };
    Some(delay.min(MAX_RETRY_AFTER))
}
