//! The error type of the crate: what happened, and what the caller can do about it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::close_report::CloseReport;
use super::job_report::JobReport;
use super::offset::OffsetToken;
use super::reject_window::RejectWindow;
use super::uncommitted_rows::UncommittedRows;

/// A `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of an error. Match on the kind, never on the text of an error.
///
/// ```
/// use snowpipe_streaming::{Error, ErrorKind, InvalidationCause};
///
/// fn remedy(error: &Error) -> &'static str {
///     match error.kind() {
///         ErrorKind::Invalidated(InvalidationCause::Fenced) => "another instance took the channel: stop",
///         ErrorKind::Invalidated(_) => "reopen, and append from the committed token",
///         ErrorKind::RowsRejected => "examine the error table, and continue",
///         _ if error.is_retryable() => "try again later",
///         _ => "give up and alert an operator",
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A profile, a path, a name or an option is missing or malformed.
    Config,
    /// The key or token cannot be read or fetched, or the server refuses the credentials (401).
    Authentication,
    /// The role lacks a privilege (403).
    Forbidden,
    /// The pipe, table or channel does not exist, or the role cannot see it.
    NotFound,
    /// A row is not a JSON object, contains a NaN, or could not be serialized.
    InvalidRow,
    /// A row, or rows that share a token, are larger than a request or the memory budget allows.
    TooLarge,
    /// An offset token is empty, too long, or does not parse as the requested type.
    InvalidOffset,
    /// An offset token does not come after the earlier ones. An integer is not greater, or another token is among the last
    /// 4,096 that the channel used since it was opened (the last 256 once all are committed and the channel is idle).
    TokenReused,
    /// Memory did not become free within `append_timeout`, or is used up by rows that an elastic channel handed back and no
    /// caller has taken. Nothing was appended.
    Backpressure,
    /// The channel cannot continue until it is reopened; the cause says why.
    Invalidated(InvalidationCause),
    /// The rows are committed, but the server rejected some of them.
    RowsRejected,
    /// Rows of another writer or an earlier run are accepted and not yet committed.
    UncommittedData,
    /// A channel of this name is open or draining in this client.
    ChannelAlreadyOpen,
    /// The channel is closed and takes no more rows.
    ChannelClosed,
    /// The client was closed or aborted.
    ClientClosed,
    /// A deadline passed.
    Timeout,
    /// The server could not be reached: name resolution, connection or TLS.
    Unreachable,
    /// The server asks to slow down (429).
    Throttled,
    /// The server failed (5xx).
    Server,
    /// The server's answer could not be understood.
    Protocol,
    /// The server refused the request and would refuse it again (400 and similar).
    Refused,
    /// The source of an [`ingest`](crate::ingest) run failed; its error is the source of this error.
    Source,
}

impl ErrorKind {
    /// A word for labels of metrics and fields of logs, which does not change between versions. For the cause of
    /// [`Invalidated`](Self::Invalidated), see [`InvalidationCause::as_str`].
    ///
    /// ```
    /// use snowpipe_streaming::{ErrorKind, InvalidationCause};
    ///
    /// assert_eq!(ErrorKind::RowsRejected.as_str(), "rows_rejected");
    /// assert_eq!(ErrorKind::Invalidated(InvalidationCause::Fenced).as_str(), "invalidated");
    /// assert_eq!(InvalidationCause::Fenced.as_str(), "fenced");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Authentication => "authentication",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::InvalidRow => "invalid_row",
            Self::TooLarge => "too_large",
            Self::InvalidOffset => "invalid_offset",
            Self::TokenReused => "token_reused",
            Self::Backpressure => "backpressure",
            Self::Invalidated(_) => "invalidated",
            Self::RowsRejected => "rows_rejected",
            Self::UncommittedData => "uncommitted_data",
            Self::ChannelAlreadyOpen => "channel_already_open",
            Self::ChannelClosed => "channel_closed",
            Self::ClientClosed => "client_closed",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Throttled => "throttled",
            Self::Server => "server",
            Self::Protocol => "protocol",
            Self::Refused => "refused",
            Self::Source => "source",
        }
    }
}

/// Why a channel was invalidated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InvalidationCause {
    /// Another writer opened the same channel.
    Fenced,
    /// The server committed a token that this channel never sent, or lost the committed token.
    OffsetConflict,
    /// Rows were accepted, and statuses showed no commit for `commit_stall_timeout`.
    CommitStalled,
    /// For `retry_for`, a batch could not be delivered or every status call for accepted rows failed.
    Unreachable,
    /// The server refuses a batch permanently. The batch is neither skipped nor replayed.
    Rejected,
    /// The server asks for the channel to be reopened.
    MustReopen,
    /// A request got no answer, and when it was repeated the server had moved on. Its rows may or may not be in the table.
    Ambiguous,
    /// The channel, its pipe or its table no longer exists.
    Gone,
    /// The credentials or the role's privileges were refused repeatedly.
    Unauthorized,
}

impl InvalidationCause {
    /// A word for labels of metrics and fields of logs, which does not change between versions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fenced => "fenced",
            Self::OffsetConflict => "offset_conflict",
            Self::CommitStalled => "commit_stalled",
            Self::Unreachable => "unreachable",
            Self::Rejected => "rejected",
            Self::MustReopen => "must_reopen",
            Self::Ambiguous => "ambiguous",
            Self::Gone => "gone",
            Self::Unauthorized => "unauthorized",
        }
    }

    /// A description for people.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Fenced => "another writer opened it; stop one of the two",
            Self::OffsetConflict => "its committed token is not one it sent",
            Self::CommitStalled => "nothing is being committed",
            Self::Unreachable => "the server cannot be reached",
            Self::Rejected => "the server refuses a batch permanently",
            Self::MustReopen => "the server asks for it to be reopened",
            Self::Ambiguous => "a request went unanswered and the server moved on",
            Self::Gone => "it no longer exists",
            Self::Unauthorized => "the credentials are refused",
        }
    }
}

/// The error type of this crate. It is the size of a pointer and cheap to clone.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Inner {
    kind: ErrorKind,
    message: String,
    code: Option<String>,
    status: Option<u16>,
    request_id: Option<String>,
    committed_token: Option<OffsetToken>,
    retryable: bool,
    /// The delay that the server asks for.
    retry_after: Option<Duration>,
    ambiguous: bool,
    rejects: Option<RejectWindow>,
    report: Option<Arc<CloseReport>>,
    job: Option<JobReport>,
    uncommitted_rows: Option<Arc<UncommittedRows>>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Creates an error. Its kind decides whether it is retryable, unless that is changed.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let retryable = matches!(
            kind,
            ErrorKind::Backpressure
                | ErrorKind::UncommittedData
                | ErrorKind::Timeout
                | ErrorKind::Unreachable
                | ErrorKind::Throttled
                | ErrorKind::Server
        );
        Self(Arc::new(Inner {
            kind,
            message: message.into(),
            code: None,
            status: None,
            request_id: None,
            committed_token: None,
            retryable,
            retry_after: None,
            ambiguous: false,
            rejects: None,
            report: None,
            job: None,
            uncommitted_rows: None,
            source: None,
        }))
    }

    fn edit(mut self, edit: impl FnOnce(&mut Inner)) -> Self {
        if Arc::get_mut(&mut self.0).is_none() {
            let old = &self.0;
            self.0 = Arc::new(Inner {
                kind: old.kind,
                message: old.message.clone(),
                code: old.code.clone(),
                status: old.status,
                request_id: old.request_id.clone(),
                committed_token: old.committed_token.clone(),
                retryable: old.retryable,
                retry_after: old.retry_after,
                ambiguous: old.ambiguous,
                rejects: old.rejects.clone(),
                report: old.report.clone(),
                job: old.job,
                uncommitted_rows: old.uncommitted_rows.clone(),
                source: old.source.clone(),
            });
        }
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            edit(inner);
        }
        self
    }

    pub(crate) fn with_code(self, code: Option<String>) -> Self {
        self.edit(|e| e.code = code)
    }

    /// Replaces the message and the code by what `edit` makes of them.
    pub(crate) fn with_texts(self, edit: impl Fn(&str) -> String) -> Self {
        self.edit(|e| {
            e.message = edit(&e.message);
            e.code = e.code.as_deref().map(edit);
        })
    }

    pub(crate) fn with_status(self, status: u16) -> Self {
        self.edit(|e| e.status = Some(status))
    }

    pub(crate) fn with_request_id(self, id: impl fmt::Display) -> Self {
        self.edit(|e| e.request_id = Some(id.to_string()))
    }

    pub(crate) fn with_committed_token(self, token: Option<OffsetToken>) -> Self {
        self.edit(|e| e.committed_token = token)
    }

    pub(crate) fn with_retryable(self, retryable: bool) -> Self {
        self.edit(|e| e.retryable = retryable)
    }

    pub(crate) fn with_retry_after(self, delay: Option<Duration>) -> Self {
        self.edit(|e| e.retry_after = delay)
    }

    pub(crate) fn with_ambiguous(self, ambiguous: bool) -> Self {
        self.edit(|e| e.ambiguous = ambiguous)
    }

    pub(crate) fn with_rejects(self, window: RejectWindow) -> Self {
        self.edit(|e| e.rejects = Some(window))
    }

    pub(crate) fn with_report(self, report: CloseReport) -> Self {
        self.edit(|e| e.report = Some(Arc::new(report)))
    }

    pub(crate) fn with_job_report(self, report: JobReport) -> Self {
        self.edit(|e| e.job = Some(report))
    }

    pub(crate) fn with_uncommitted_rows(self, rows: UncommittedRows) -> Self {
        self.edit(|e| e.uncommitted_rows = Some(Arc::new(rows)))
    }

    pub(crate) fn with_source(
        self,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        self.edit(|e| e.source = Some(Arc::new(source)))
    }

    /// Sets a source of the caller's type, to which the caller can downcast it.
    pub(crate) fn with_boxed_source(
        self,
        source: Box<dyn std::error::Error + Send + Sync>,
    ) -> Self {
        self.edit(|e| e.source = Some(source.into()))
    }

    /// Sets `why` as the source and takes over its code, status and request id. The source loses code and request id, so that
    /// they appear once, whether or not the sources are shown.
    pub(crate) fn because_of(self, why: Error) -> Self {
        self.edit(|e| {
            e.code.clone_from(&why.0.code);
            e.status = why.0.status;
            e.request_id.clone_from(&why.0.request_id);
            let why = why.edit(|why| {
                why.code = None;
                why.request_id = None;
            });
            e.source = Some(Arc::new(why));
        })
    }

    /// The text without code and request id: what happened, and the remedy.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// The kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may succeed later, without any other change.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// The delay that the server asks for.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether rows of the failed call may be in the table nevertheless. Check the committed token before you send them again.
    pub fn is_ambiguous(&self) -> bool {
        self.0.ambiguous
    }

    /// Whether the rows are committed in spite of the error: [`ErrorKind::RowsRejected`]. Do not send them again.
    pub fn is_committed(&self) -> bool {
        self.0.kind == ErrorKind::RowsRejected
    }

    /// The server's error code, if there is one.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The HTTP status of the server's answer, if there is one.
    pub fn http_status(&self) -> Option<u16> {
        self.0.status
    }

    /// The id of the request, which Snowflake's support asks for.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// The last committed token known when the error occurred. Resume after it.
    pub fn committed_token(&self) -> Option<&OffsetToken> {
        self.0.committed_token.as_ref()
    }

    /// The window of offsets that contains the rejected rows, for [`ErrorKind::RowsRejected`].
    pub fn rejects(&self) -> Option<&RejectWindow> {
        self.0.rejects.as_ref()
    }

    /// The report of a failed `close`: what is not committed, by state.
    pub fn close_report(&self) -> Option<&CloseReport> {
        self.0.report.as_deref()
    }

    /// The rows that a failed `close` of an untracked channel has given up.
    pub fn uncommitted_rows(&self) -> Option<&UncommittedRows> {
        self.0.uncommitted_rows.as_deref()
    }

    /// The report of a failed [`send_once`](crate::StreamingIngestClient::send_once) that has appended all its rows.
    pub fn job_report(&self) -> Option<&JobReport> {
        self.0.job.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        if let Some(code) = &self.0.code {
            write!(f, " [{code}]")?;
        }
        if let Some(id) = &self.0.request_id {
            write!(f, " (request {id})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut s = f.debug_struct("Error");
        s.field("kind", &self.0.kind)
            .field("message", &self.0.message);
        if let Some(code) = &self.0.code {
            s.field("code", code);
        }
        if let Some(token) = &self.0.committed_token {
            s.field("committed_token", token);
        }
        if let Some(source) = &self.0.source {
            s.field("source", source);
        }
        s.finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0
            .source
            .as_ref()
            .map(|s| &**s as &(dyn std::error::Error + 'static))
    }
}
