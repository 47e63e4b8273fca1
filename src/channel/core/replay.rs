//! Recovery by replay: the channel is reopened in place, and exactly the uncommitted rows are sent again.
//!
//! Rows stay in memory until they are committed. They keep their positions, so receipts stay valid.
//!
//! An accepted batch keeps its charge. On a cause that a reopen can resolve, the core does not end: it asks the driver to
//! reopen the channel, accepts rows meanwhile, and takes the committed token of the open as final for what was sent. Batches
//! that the token covers are released. The others go back to the front of the queue, in order and with unchanged bytes. Only
//! the *accepted* watermark falls back, to the committed one.
//!
//! | Cause | Reopen | If that does not help |
//! |---|---|---|
//! | `MustReopen`, `Gone` | It waits 30 s for what is uncommitted, then discards it, because all of it is in hand. | After three opens without a commit it surfaces. With nothing to commit, ten minutes of health count as a commit: otherwise the fourth invalidation of an idle channel, hours after the third, would be its last. |
//! | `CommitStalled` | The same. | The second stall surfaces. |
//! | `Ambiguous` | It waits 120 s and never discards: another writer may have opened the channel between the attempt and its repetition, and what is uncommitted may be that writer's. | As `MustReopen`. |
//! | `Fenced` | The same. | It surfaces if `Fenced` comes again before a commit of something sent since, or if the channel is being closed: the other writer is then likely the program that takes over. |
//! | `OffsetConflict`, `Rejected`, `Unauthorized`, `Unreachable` | none | |
//!
//! An open that is refused for its credential is requested three more times. If the first open discarded rows of an earlier
//! holder, or was configured to discard everything, no later one discards.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info};

use super::{Core, Phase};
use crate::base::options::{OnUncommitted, Recovery};
use crate::pipeline::attempts::{self, REFUSALS};
use crate::types::channel_status::ChannelStatus;
use crate::types::error::{Error, ErrorKind, InvalidationCause, Result};

/// The answer to a reopen.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) next_continuation_token: String,
    /// May be unhealthy: the server also opens a channel on an invalid pipe.
    pub(crate) status: ChannelStatus,
}

/// How often a channel is reopened for one cause without a commit in between.
const MAX_REOPENS: u32 = 3;
/// How long this channel's sent rows may take to be committed before a reopen discards them and they are sent again.
const OWN_ROWS_WAIT: Duration = Duration::from_secs(30);
/// A channel with nothing to commit that was healthy for this long counts as recovered.
const RECOVERED_AFTER: Duration = Duration::from_secs(600);
/// How long rows that may be another writer's may take to be committed. They are never discarded.
const OTHERS_ROWS_WAIT: Duration = Duration::from_secs(120);

/// The reopens since the last commit, by cause.
#[derive(Debug, Default)]
pub(super) struct Reopens {
    /// For `MustReopen`, `Gone` and `Ambiguous`.
    requested: u32,
    stalled: bool,
    fenced: bool,
    /// When the channel was last reopened.
    last: Option<Instant>,
}

impl Reopens {
    /// The policy of the next reopen, or `None` if a reopen cannot help or has not helped.
    fn next(&mut self, cause: InvalidationCause, may_discard: bool) -> Option<OnUncommitted> {
        let own = if may_discard {
            OnUncommitted::WaitThenDiscard(OWN_ROWS_WAIT)
        } else {
            OnUncommitted::Wait(OTHERS_ROWS_WAIT)
        };
        match cause {
            InvalidationCause::MustReopen | InvalidationCause::Gone => {
                self.requested += 1;
                (self.requested <= MAX_REOPENS).then_some(own)
            }
            // Either the server applied the unanswered attempt, or another writer has opened the channel since.
            InvalidationCause::Ambiguous => {
                self.requested += 1;
                (self.requested <= MAX_REOPENS).then_some(OnUncommitted::Wait(OTHERS_ROWS_WAIT))
            }
            InvalidationCause::CommitStalled => {
                (!std::mem::replace(&mut self.stalled, true)).then_some(own)
            }
            // Uncommitted rows may be the other writer's.
            InvalidationCause::Fenced => (!std::mem::replace(&mut self.fenced, true))
                .then_some(OnUncommitted::Wait(OTHERS_ROWS_WAIT)),
            InvalidationCause::OffsetConflict
            | InvalidationCause::Unreachable
            | InvalidationCause::Rejected
            | InvalidationCause::Unauthorized => None,
        }
    }

    /// Rows sent since the last open were committed: every cause may be retried again.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// For a commit of rows sent before the last open: progress, but no evidence that another writer is gone.
    fn reset_except_fenced(&mut self) {
        (self.requested, self.stalled) = (0, false);
    }

    /// The server reports the channel as healthy, and no row is pending whose commit could prove it.
    pub(super) fn on_healthy(&mut self, now: Instant) {
        if self.last.is_some_and(|last| now >= last + RECOVERED_AFTER) {
            self.reset_except_fenced();
        }
    }

    fn count(&self) -> u32 {
        self.requested + u32::from(self.stalled) + u32::from(self.fenced)
    }
}

/// The state of a channel that is being reopened.
#[derive(Debug)]
pub(super) struct Reopening {
    cause: InvalidationCause,
    why: Error,
    policy: OnUncommitted,
    /// Whether the driver has been asked to reopen it.
    is_requested: bool,
    /// How often the open was refused for its credential.
    refusals: u32,
}

/// How to reopen the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reopen {
    pub(crate) policy: OnUncommitted,
    /// Wait about this long first: two writers that reopen at the same moment take the channel from each other.
    pub(crate) pause: Duration,
}

impl Core {
    /// Starts a reopen if the recovery policy allows one after `cause`, and returns whether it did.
    pub(super) fn recovers(&mut self, cause: InvalidationCause, why: &Error) -> bool {
        if self.limits.recovery != Recovery::Replay || !matches!(self.phase, Phase::Open) {
            return false;
        }
        // The other writer is likely the successor of this program, which is closing the channel.
        if cause == InvalidationCause::Fenced && self.drain_until.is_some() {
            return false;
        }
        let Some(policy) = self.reopens.next(cause, self.may_discard) else {
            return false;
        };
        info!(?cause, %why, "reopening the channel");
        self.phase = Phase::Reopening(Box::new(Reopening {
            cause,
            why: why.clone(),
            policy,
            is_requested: false,
            refusals: 0,
        }));
        true
    }

    /// The reopen that the driver has to make, returned once.
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

    /// Why the channel is being reopened, if it is.
    pub(super) fn reopening_for(&self) -> Option<(InvalidationCause, &Error)> {
        match &self.phase {
            Phase::Reopening(reopening) => Some((reopening.cause, &reopening.why)),
            _ => None,
        }
    }

    /// The reopen of `next_reopen` was answered.
    pub(crate) fn on_recovered(&mut self, now: Instant, answer: Result<Opened>) {
        let Phase::Reopening(reopening) = &mut self.phase else {
            return;
        };
        // As for appends: the session may be renewing the credential.
        if let Err(error) = &answer
            && matches!(
                error.kind(),
                ErrorKind::Authentication | ErrorKind::Forbidden
            )
            && reopening.refusals < REFUSALS
        {
            debug!(%error, "the reopen was refused; trying again");
            reopening.refusals += 1;
            reopening.is_requested = false;
            return;
        }
        let (cause, why) = (reopening.cause, reopening.why.clone());
        self.phase = Phase::Open;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let text = format!(
                    "{why}; the channel could not be reopened: {}",
                    error.message()
                );
                return self.surface_after(now, cause, &text, error);
            }
        };
        let status = &answer.status;
        if !status.is_healthy() {
            let code = status.status_code().to_owned();
            let text = "after a reopen its status is not healthy";
            let cause = attempts::of_status(&code);
            let error = Error::new(ErrorKind::Refused, text).with_code(Some(code));
            return self.surface_after(now, cause, &format!("{why}; {text}"), error);
        }
        if !self.resume_from(now, status) {
            let text = format!(
                "{:?} is committed, which this channel did not send; another writer uses the channel, or it was dropped and created again",
                status.latest_committed_offset_token()
            );
            let longer = format!("after a reopen ({why}), {text}");
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
            "channel reopened"
        );
    }

    /// Takes the open's committed token as final for everything sent, and queues the rest to be sent again. Returns `false` if
    /// this channel did not send the token.
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
            self.reopens.reset_except_fenced();
        }
        // Only committed rows can be among the counted rejects: the others were discarded.
        self.sent = committed;
        self.count_rows(now, status);
        self.accepted = committed;
        self.release_committed();
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

    /// Releases the retained batches that are committed.
    pub(super) fn release_committed(&mut self) {
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
