//! Recovery by replay: the channel is opened again in place, and exactly what is not committed is sent again.
//!
//! Rows stay in memory until they are committed, and keep their positions: receipts do not notice.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info};

use super::responses::REFUSALS;
use super::{Core, Phase, retry_decision};
use crate::base::options::{OnUncommitted, Recovery};
use crate::types::channel_status::ChannelStatus;
use crate::types::error::{Error, ErrorKind, InvalidationCause, Result};

/// A channel as it was opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) next_continuation_token: String,
    /// May be unhealthy: an invalid pipe opens all the same.
    pub(crate) status: ChannelStatus,
}

/// How often a channel is opened again for a cause without a commit in between.
const MOST_REOPENS: u32 = 3;
/// How long rows in doubt may take to be committed before they are sent again.
const OWN_ROWS_WAIT: Duration = Duration::from_secs(30);
/// A channel with nothing to commit that was healthy for this long counts as recovered.
const RECOVERED_AFTER: Duration = Duration::from_secs(600);
/// How long another writer's rows may take to be committed; they are never discarded.
const OTHERS_ROWS_WAIT: Duration = Duration::from_secs(120);

/// How often the channel was opened again since something was committed.
#[derive(Debug, Default)]
pub(super) struct Reopens {
    asked: u32,
    stalled: bool,
    fenced: bool,
    /// When it was opened again last.
    last: Option<Instant>,
}

impl Reopens {
    /// How to open the channel again after it was invalidated, or `None` if that would not help or has not helped.
    fn next(&mut self, cause: InvalidationCause, may_discard: bool) -> Option<OnUncommitted> {
        let own = if may_discard {
            OnUncommitted::WaitThenDiscard(OWN_ROWS_WAIT)
        } else {
            OnUncommitted::Wait(OTHERS_ROWS_WAIT)
        };
        match cause {
            InvalidationCause::MustReopen | InvalidationCause::Gone => {
                self.asked += 1;
                (self.asked <= MOST_REOPENS).then_some(own)
            }
            // The server moved on: because of the unanswered try, or because another writer has opened the channel since.
            InvalidationCause::Ambiguous => {
                self.asked += 1;
                (self.asked <= MOST_REOPENS).then_some(OnUncommitted::Wait(OTHERS_ROWS_WAIT))
            }
            InvalidationCause::CommitStalled => {
                (!std::mem::replace(&mut self.stalled, true)).then_some(own)
            }
            // What is uncommitted may be the other writer's.
            InvalidationCause::Fenced => (!std::mem::replace(&mut self.fenced, true))
                .then_some(OnUncommitted::Wait(OTHERS_ROWS_WAIT)),
            InvalidationCause::OffsetConflict
            | InvalidationCause::Unreachable
            | InvalidationCause::Rejected
            | InvalidationCause::Unauthorized => None,
        }
    }

    /// Something that was sent since the last open is committed.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// An open showed that something sent before it is committed. It does not show whether another writer is gone.
    fn forgive(&mut self) {
        (self.asked, self.stalled) = (0, false);
    }

    /// The server says that the channel is healthy, and nothing is pending whose commit could show it.
    pub(super) fn is_well(&mut self, now: Instant) {
        if self.last.is_some_and(|last| now >= last + RECOVERED_AFTER) {
            self.forgive();
        }
    }

    fn count(&self) -> u32 {
        self.asked + u32::from(self.stalled) + u32::from(self.fenced)
    }
}

/// A channel that is being opened again.
#[derive(Debug)]
pub(super) struct Reopening {
    cause: InvalidationCause,
    why: Error,
    policy: OnUncommitted,
    /// Whether the driver is opening it.
    is_requested: bool,
    /// How often the open was refused for its credential.
    refusals: u32,
}

/// How to open the channel again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reopen {
    pub(crate) policy: OnUncommitted,
    /// Wait about so long first: two writers who open at the same moment take the channel from each other.
    pub(crate) pause: Duration,
}

impl Core {
    /// Begins to open the channel again, if the policy is to do that after `cause`.
    pub(super) fn recovers(&mut self, cause: InvalidationCause, why: &Error) -> bool {
        if self.limits.recovery != Recovery::Replay || !matches!(self.phase, Phase::Open) {
            return false;
        }
        // The other writer is likely to be the successor of the program that closes the channel.
        if cause == InvalidationCause::Fenced && self.drain_until.is_some() {
            return false;
        }
        let Some(policy) = self.reopens.next(cause, self.may_discard) else {
            return false;
        };
        info!(?cause, %why, "opening the channel again");
        self.phase = Phase::Reopening(Box::new(Reopening {
            cause,
            why: why.clone(),
            policy,
            is_requested: false,
            refusals: 0,
        }));
        true
    }

    /// How the driver is to open the channel again, once for each time.
    pub(super) fn next_reopen(&mut self) -> Option<Reopen> {
        let Phase::Reopening(reopening) = &mut self.phase else {
            return None;
        };
        if std::mem::replace(&mut reopening.is_requested, true) {
            return None;
        }
        Some(Reopen {
            policy: reopening.policy,
            pause: Duration::from_millis(250) * 2_u32.pow(self.reopens.count().min(5)),
        })
    }

    pub(crate) fn is_reopening(&self) -> bool {
        matches!(self.phase, Phase::Reopening(_))
    }

    /// Why the channel is being opened again, if it is.
    pub(super) fn reopening_for(&self) -> Option<(InvalidationCause, &Error)> {
        match &self.phase {
            Phase::Reopening(reopening) => Some((reopening.cause, &reopening.why)),
            _ => None,
        }
    }

    /// The answer to the open that `next_reopen` asked for.
    pub(crate) fn on_recovered(&mut self, now: Instant, answer: Result<Opened>) {
        let Phase::Reopening(reopening) = &mut self.phase else {
            return;
        };
        // As for an append: the credential may be about to be renewed.
        if let Err(error) = &answer
            && matches!(
                error.kind(),
                ErrorKind::Authentication | ErrorKind::Forbidden
            )
            && reopening.refusals < REFUSALS
        {
            debug!(%error, "not open yet");
            reopening.refusals += 1;
            reopening.is_requested = false;
            return;
        }
        let (cause, why) = (reopening.cause, reopening.why.clone());
        self.phase = Phase::Open;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let text = format!("{why}; it could not be opened again: {}", error.message());
                return self.surface_after(now, cause, &text, error);
            }
        };
        let status = &answer.status;
        if !status.is_healthy() {
            let code = status.status_code().to_owned();
            let text = "opened again, its status is not healthy";
            let cause = retry_decision::of_status(&code);
            let error = Error::new(ErrorKind::Refused, text).with_code(Some(code));
            return self.surface_after(now, cause, &format!("{why}; {text}"), error);
        }
        if !self.resume_from(now, status) {
            let text = format!(
                "it has {:?} committed, which this channel did not send; another writer uses its name, or it was dropped and made anew",
                status.latest_committed_offset_token()
            );
            let longer = format!("opened again ({why}), {text}");
            let error = Error::new(ErrorKind::InvalidOffset, text);
            self.surface_after(now, InvalidationCause::OffsetConflict, &longer, error);
            self.phase = Phase::Ended;
            return;
        }
        self.continuation_token = answer.next_continuation_token;
        self.session = None;
        self.retry_at = None;
        self.epoch += 1;
        self.reopens.last = Some(now);
        self.commit.restart(now);
        info!(
            committed = ?self.ledger.watermark(),
            batches = self.ready.len(),
            "channel open again"
        );
    }

    /// Takes the open's committed token as final for what was sent, and queues the rest to be sent again. `false` if the
    /// token is not one of this channel's.
    fn resume_from(&mut self, now: Instant, status: &ChannelStatus) -> bool {
        let before = self.ledger.committed();
        let tokens = &mut self.tokens;
        let known = self.ledger.restart(
            now,
            status.latest_committed_offset_token(),
            status.created_on_ms(),
            |token| tokens.committed(token),
        );
        if !known {
            return false;
        }
        let committed = self.ledger.committed();
        if committed > before {
            self.reopens.forgive();
        }
        // Only what is committed can have been rejected and counted for good.
        self.sent = committed;
        self.count_rejects(status);
        self.accepted = committed;
        self.let_go();
        if let Some(flight) = self.flight.take()
            && flight.batch.position > committed
        {
            self.ready.push_front(flight.batch);
        }
        while let Some(batch) = self.retained.pop_back() {
            self.ready.push_front(batch);
        }
        true
    }

    /// Releases the accepted batches that are committed now.
    pub(super) fn let_go(&mut self) {
        let committed = self.ledger.committed();
        while self
            .retained
            .front()
            .is_some_and(|batch| batch.position <= committed)
        {
            self.retained.pop_front();
        }
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
