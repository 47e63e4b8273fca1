//! Calls that may be repeated: which failures may pass, and for how long a call is retried.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use super::ClientContext;
use crate::api::call::Attempt;
use crate::api::failure::Failure;
use crate::base::retry::{Backoff, WARN_AFTER};
use crate::types::channel_status::ChannelStatus;
use crate::types::error::{Error, ErrorKind, Result};

/// How long an open, and a status call that belongs to it, is retried while the server does not answer properly.
pub(crate) const OPEN_PATIENCE: Duration = Duration::from_secs(60);

/// The tries of [`Retries::Few`].
const TRIES: u32 = 4;

/// If the server asks for a longer delay between these tries, the call fails instead.
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// How long a call is retried.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Retries<'a> {
    /// A few times.
    Few,
    /// For as long as `patience`. A long outage is logged: `problem` says what does not work for the channel.
    For {
        patience: Duration,
        channel: &'a str,
        problem: &'static str,
    },
}

impl Retries<'_> {
    /// Whether the same call may succeed later.
    fn may_help(self, failure: &Failure) -> bool {
        let is_patient = matches!(self, Self::For { .. });
        match failure {
            Failure::NotSent(error) => error.is_retryable(),
            Failure::Ambiguous(_) | Failure::Throttled { .. } => true,
            Failure::AccountRefused(_) => is_patient && !failure.is_about_credentials(),
            Failure::Answered { code, .. } => {
                let is_passing =
                    |code| matches!(code, "ERR_OPEN_CHANNEL_IN_PROGRESS" | "STALE_PIPE_CACHE");
                is_moved(failure) || (is_patient && code.as_deref().is_some_and(is_passing))
            }
        }
    }
}

impl ClientContext {
    /// After a request to the wrong host the next call asks for the host anew.
    pub(crate) fn heal_after(&self, failure: &Failure) {
        if is_moved(failure) {
            info!(error = %failure.error(), "rediscovering the ingest host");
            self.api.forget_host();
        }
    }

    /// Makes a call that may be repeated, a few times.
    pub(crate) async fn retrying<T, F>(&self, call: impl Fn(Attempt) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        self.retrying_as(Retries::Few, call)
            .await
            .map_err(Failure::into_error)
    }

    /// The status of a channel that was just opened. A status that lacks the channel is asked for again: a replica may
    /// lag.
    pub(crate) async fn status_after_open(
        &self,
        name: &str,
        patience: Duration,
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
            patience,
            channel: name,
            problem: "the status of the channel cannot be had",
        };
        self.retrying_as(retries, call)
            .await
            .map_err(Failure::into_error)
    }

    /// Makes a call that may be repeated while its failures may pass.
    pub(crate) async fn retrying_as<T, F>(
        &self,
        retries: Retries<'_>,
        call: impl Fn(Attempt) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut attempt = Attempt {
            request_id: self.request_id(),
            retry_count: 0,
        };
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        let mut failing_since: Option<Instant> = None;
        let mut is_logged = false;
        loop {
            let failure = match call(attempt).await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            self.heal_after(&failure);
            if !retries.may_help(&failure) {
                return Err(failure);
            }
            attempt.retry_count += 1;
            let now = Instant::now();
            let mut delay = backoff.next(self.random_unit());
            if let Failure::Throttled {
                after: Some(after), ..
            } = &failure
            {
                delay = delay.max(*after);
            }
            let error = failure.error();
            let next = match retries {
                Retries::Few if attempt.retry_count >= TRIES || delay > LONGEST_DELAY => {
                    return Err(failure);
                }
                Retries::Few => now + delay,
                Retries::For {
                    patience,
                    channel,
                    problem,
                } => {
                    let first_failure = *failing_since.get_or_insert(now);
                    let failing_for = now.saturating_duration_since(first_failure);
                    if failing_for >= patience {
                        return Err(failure);
                    }
                    debug!(channel, %error, "{problem}");
                    if failing_for >= WARN_AFTER && !std::mem::replace(&mut is_logged, true) {
                        warn!(channel, %error, "{problem} for {failing_for:.0?}; it is tried for {patience:?}");
                    }
                    // However long the server asks to wait, the last try is made in time to report it.
                    (now + delay).min(first_failure + patience)
                }
            };
            sleep_until(next).await;
        }
    }
}

/// The pipe moved (410), or the request was misrouted (404 without a code).
fn is_moved(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Answered { status: 410, .. }
            | Failure::Answered {
                status: 404,
                code: None,
                ..
            }
    )
}
