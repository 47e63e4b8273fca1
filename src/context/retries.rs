//! Retries of calls that may be repeated: which failures are retried, for how long, and the loop that repeats a call.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};
use uuid::Uuid;

use super::ClientContext;
use crate::api::call::Attempt;
use crate::api::failure::Failure;
use crate::base::retry::{Retry, RetryLimit};
use crate::types::channel_status::ChannelStatus;
use crate::types::error::{Error, ErrorKind, Result};

/// How long an open, and the status call that follows it, is retried.
pub(crate) const OPEN_RETRY_FOR: Duration = Duration::from_secs(60);

/// The pause before the second try, and the longest one before a later try.
pub(crate) const FIRST_DELAY: Duration = Duration::from_millis(200);
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The limit of calls on which no running channel depends.
pub(crate) const FEW_TRIES: RetryLimit = RetryLimit::Tries {
    most: 4,
    longest_delay: Duration::from_secs(30),
};

/// How long a call is retried.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Retries<'a> {
    /// A few attempts: [`FEW_TRIES`].
    Few,
    /// For as long as `retry_for`. A long outage is logged, with `problem` as the text.
    For {
        retry_for: Duration,
        channel: &'a str,
        problem: &'static str,
    },
}

impl Retries<'_> {
    fn limit(self) -> RetryLimit {
        match self {
            Self::Few => FEW_TRIES,
            Self::For { retry_for, .. } => RetryLimit::For(retry_for),
        }
    }

    /// Whether the same call may succeed later.
    fn may_help(self, failure: &Failure) -> bool {
        let is_long = matches!(self, Self::For { .. });
        match failure {
            Failure::NotSent(error) => error.is_retryable() || (is_long && failure.is_of_proxy()),
            Failure::Ambiguous(_) | Failure::Throttled(_) => true,
            Failure::AccountRefused(_) => is_long && !failure.is_about_credentials(),
            Failure::Answered { code, .. } => {
                let is_transient =
                    |code| matches!(code, "ERR_OPEN_CHANNEL_IN_PROGRESS" | "STALE_PIPE_CACHE");
                failure.is_moved() || (is_long && code.as_deref().is_some_and(is_transient))
            }
        }
    }
}

impl ClientContext {
    /// Makes a call that may be repeated, with [`Retries::Few`].
    pub(crate) async fn retrying<T, F>(&self, call: impl Fn(Attempt) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        self.retrying_as(Retries::Few, call)
            .await
            .map_err(Failure::into_error)
    }

    /// Requests the status of a channel that was just opened. If the answer lacks the channel, the call is repeated, because a
    /// replica may lag.
    pub(crate) async fn status_after_open(
        &self,
        name: &str,
        retry_for: Duration,
    ) -> Result<ChannelStatus> {
        let names = [name.to_owned()];
        let names = &names;
        let call = |attempt| async move {
            let mut statuses = self.api.channel_statuses(names, attempt).await?;
            statuses.remove(name).ok_or_else(|| {
                let text = format!("the server does not know the channel {name:?}");
                Failure::Ambiguous(Error::new(ErrorKind::NotFound, text))
            })
        };
        let retries = Retries::For {
            retry_for,
            channel: name,
            problem: "the status of the channel cannot be read",
        };
        self.retrying_as(retries, call)
            .await
            .map_err(Failure::into_error)
    }

    /// Makes a call and repeats it while its failures are retryable, within the limits of `retries`.
    pub(crate) async fn retrying_as<T, F>(
        &self,
        retries: Retries<'_>,
        call: impl Fn(Attempt) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let missing_for = self.options.missing_pipe_timeout;
        let mut of_failures = Retry::new(FIRST_DELAY, LONGEST_PAUSE, retries.limit());
        let mut of_missing = Retry::new(FIRST_DELAY, LONGEST_PAUSE, RetryLimit::For(missing_for));
        retry_call(self.request_id(), call, |failure| {
            let is_long = matches!(retries, Retries::For { .. });
            let retry = if is_long && is_missing(failure) && self.expects_pipe() {
                &mut of_missing
            } else if retries.may_help(failure) {
                &mut of_failures
            } else {
                return None;
            };
            let now = Instant::now();
            let next = retry.next(now, failure.asked_delay(), self.random_unit())?;
            if let Retries::For {
                channel, problem, ..
            } = retries
            {
                let error = failure.error();
                debug!(channel, %error, "{problem}");
                if let Some(failing_for) = retry.warn(now) {
                    let longest = retry.deadline().map(|end| end.saturating_duration_since(now));
                    let longest = longest.unwrap_or_default();
                    warn!(channel, %error, "{problem} for {failing_for:.0?}; retrying for up to {longest:.0?} more");
                }
            }
            Some(next)
        })
        .await
    }
}

/// Makes a call under one request id until it succeeds. `next` says when it is made again after a failure, or `None` to
/// return the failure.
pub(crate) async fn retry_call<T, F>(
    request_id: Uuid,
    call: impl Fn(Attempt) -> F,
    mut next: impl FnMut(&Failure) -> Option<Instant>,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut attempt = Attempt {
        request_id,
        retry_count: 0,
    };
    loop {
        let failure = match call(attempt).await {
            Ok(value) => return Ok(value),
            Err(failure) => failure,
        };
        let Some(at) = next(&failure) else {
            return Err(failure);
        };
        attempt.retry_count += 1;
        sleep_until(at).await;
    }
}

/// The pipe or its table does not exist, or the service does not know it yet: a table that was dropped and created again cannot
/// be streamed to for up to three minutes (`estuary/connectors`, materialize-snowflake/streamv2_test.go, "a drop and re-create
/// does not").
fn is_missing(failure: &Failure) -> bool {
    let Failure::Answered {
        code: Some(code), ..
    } = failure
    else {
        return false;
    };
    code.contains("DOES_NOT_EXIST")
        || matches!(&**code, "ERR_PIPE_IN_INVALID_STATE" | "STALE_PIPE_CACHE")
}
