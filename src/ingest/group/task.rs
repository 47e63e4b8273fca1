//! The task of one assigned partition: it runs the partition's source, and runs it again after a failure.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::board::Cell;
use super::quota::Quota;
use super::report::PartitionState;
use crate::base::retry::Backoff;
use crate::base::watched::Watched;
use crate::client::StreamingIngestClient;
use crate::ingest::options::Options;
use crate::ingest::report::{Finish, Report};
use crate::ingest::run::Run;
use crate::ingest::source::{Ownership, Source};
use crate::types::error::{Error, ErrorKind, InvalidationCause};

/// The first and the longest pause before a failed partition is run again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What the task of a partition needs.
pub(super) struct Task<P, S: Source> {
    pub(super) client: StreamingIngestClient,
    pub(super) channel: String,
    pub(super) source: S,
    pub(super) options: Options,
    pub(super) quota: Arc<Quota>,
    pub(super) cell: Cell<P, S::Offset>,
    /// Everything up to here was committed in this assignment.
    pub(super) known: Option<S::Offset>,
    /// `true` when the group was asked to stop.
    pub(super) stop: Arc<Watched<bool>>,
    /// Resolves when the task of the partition's last assignment is gone, and its source with it.
    pub(super) predecessor: Option<oneshot::Receiver<()>>,
    /// Dropped after the source, for the next assignment.
    pub(super) _done: oneshot::Sender<()>,
}

/// What a failure of a partition's run means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// Try again after a pause.
    Retry,
    /// A retry fails in the same way. The partition stands still, and the others continue.
    GiveUp,
    /// It concerns all partitions.
    EndGroup,
}

impl Remedy {
    fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::ClientClosed | ErrorKind::Invalidated(InvalidationCause::Unauthorized) => {
                Self::EndGroup
            }
            ErrorKind::Authentication if !error.is_retryable() => Self::EndGroup,
            // Another writer has the channel, or its token is not what this source has. An operator has to decide.
            ErrorKind::Invalidated(
                InvalidationCause::Fenced | InvalidationCause::OffsetConflict,
            )
            | ErrorKind::InvalidOffset
            | ErrorKind::InvalidRow
            | ErrorKind::TooLarge
            | ErrorKind::Config => Self::GiveUp,
            ErrorKind::Source if !error.is_retryable() => Self::GiveUp,
            _ => Self::Retry,
        }
    }
}

impl<P: Ord + Clone + Send + Sync, S: Source> Task<P, S> {
    /// Runs the partition until it ends, stops or fails permanently. An error concerns the whole group.
    pub(super) async fn run(mut self) -> Result<(), Error> {
        if let Some(predecessor) = self.predecessor.take() {
            // The sender is dropped without a message.
            let _ = predecessor.await;
        }
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let (error, has_progressed) = match self.once().await {
                Ok(()) => return Ok(()),
                Err(failed) => failed,
            };
            match Remedy::of(&error) {
                Remedy::EndGroup => {
                    self.failed(PartitionState::Failed, &error);
                    return Err(error);
                }
                Remedy::GiveUp => {
                    self.give_up(&error).await;
                    return Ok(());
                }
                Remedy::Retry => {}
            }
            if has_progressed {
                backoff.reset();
            }
            self.failed(PartitionState::Retrying, &error);
            self.known = self.known.take().max(self.cell.committed());
            loop {
                let pause = backoff.next(self.client.random_unit());
                warn!(channel = self.channel, %error, ?pause, "the partition failed; trying again");
                let ownership = async {
                    sleep(pause).await;
                    self.source.ownership(&self.channel).await
                };
                let ownership = tokio::select! {
                    biased;
                    () = stopped(&self.stop) => {
                        self.cell.update(|report| report.state = PartitionState::Stopped);
                        return Ok(());
                    }
                    ownership = ownership => ownership,
                };
                match ownership {
                    Ok(Ownership::NotOwned) => {
                        self.unowned();
                        return Ok(());
                    }
                    Ok(Ownership::Owned | Ownership::Unknown) => break,
                    // Without an answer, the channel may belong to another program.
                    Err(_) => {}
                }
            }
        }
    }

    /// Runs the partition once. An error comes with whether rows were committed.
    async fn once(&mut self) -> Result<(), (Error, bool)> {
        let cell = &self.cell;
        cell.update(|report| {
            report.restart();
            report.state = PartitionState::Opening;
        });
        let mut committed = 0;
        let mut last = None;
        let stop = Arc::clone(&self.stop);
        let run = Run::new(&self.client, self.channel.clone(), &mut self.source)
            .of_partition(self.options, self.quota.share(), self.known.clone())
            .until(async move { stopped(&stop).await })
            .observe(|progress| {
                // An idle partition looks for rows several times a second.
                if last.as_ref() == Some(progress) {
                    return;
                }
                last = Some(progress.clone());
                committed = progress.rows_committed;
                cell.update(|report| {
                    report.state = PartitionState::Streaming;
                    report.advance(progress.clone());
                });
            });
        match run.await {
            Ok(report) => {
                self.finished(report);
                Ok(())
            }
            Err(error) => Err((error, committed > 0)),
        }
    }

    fn finished(&self, run: Report<S::Offset>) {
        info!(channel = self.channel, finish = ?run.finish, "the partition ended");
        self.cell.update(|report| {
            report.uncommitted = run.uncommitted.into_values().flatten().collect();
            report.state = match run.finish {
                Finish::Exhausted => PartitionState::Exhausted,
                Finish::Stopped => PartitionState::Stopped,
            };
            let mut last = report.progress.clone();
            last.resumed_after = run.resumed_after;
            last.released = run.released;
            last.rows_appended = run.rows_appended;
            last.rows_committed = run.rows_committed;
            last.rows_rejected = run.rows_rejected;
            last.reopens = run.reopens;
            last.rows_in_flight = 0;
            last.waiting_for = None;
            report.advance(last);
        });
    }

    async fn give_up(&mut self, error: &Error) {
        // The other writer may be the new owner; the revocation may not have arrived yet.
        let is_taken = matches!(
            error.kind(),
            ErrorKind::Invalidated(InvalidationCause::Fenced | InvalidationCause::OffsetConflict)
        );
        if is_taken && self.is_unowned().await {
            return;
        }
        error!(channel = self.channel, %error, "the partition failed, and is not streamed until it is assigned again");
        self.failed(PartitionState::Failed, error);
    }

    /// Whether the source says that the partition belongs to another program.
    async fn is_unowned(&mut self) -> bool {
        let ownership = self.source.ownership(&self.channel).await;
        let is_unowned = matches!(ownership, Ok(Ownership::NotOwned));
        if is_unowned {
            self.unowned();
        }
        is_unowned
    }

    fn unowned(&self) {
        info!(
            channel = self.channel,
            "the partition belongs to another program"
        );
        self.cell
            .update(|report| report.state = PartitionState::Unowned);
    }

    fn failed(&self, state: PartitionState, error: &Error) {
        self.cell
            .update(|report| report.failed(state, error.clone()));
    }
}

/// Resolves when the group was asked to stop.
async fn stopped(stop: &Watched<bool>) {
    stop.wait(|is_stopped| is_stopped.then_some(())).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_stops_only_what_it_concerns() {
        use InvalidationCause::{
            Ambiguous, CommitStalled, Fenced, Gone, MustReopen, OffsetConflict, Rejected,
            Unauthorized, Unreachable,
        };
        let remedy = |kind| Remedy::of(&Error::new(kind, "no"));
        for cause in [
            Ambiguous,
            CommitStalled,
            Gone,
            MustReopen,
            Rejected,
            Unreachable,
        ] {
            assert_eq!(remedy(ErrorKind::Invalidated(cause)), Remedy::Retry);
        }
        for cause in [Fenced, OffsetConflict] {
            assert_eq!(remedy(ErrorKind::Invalidated(cause)), Remedy::GiveUp);
        }
        let unauthorized = ErrorKind::Invalidated(Unauthorized);
        assert_eq!(remedy(unauthorized), Remedy::EndGroup);
        assert_eq!(remedy(ErrorKind::ClientClosed), Remedy::EndGroup);
        assert_eq!(remedy(ErrorKind::Authentication), Remedy::EndGroup);
        let later = Error::new(ErrorKind::Authentication, "later").with_retryable(true);
        assert_eq!(Remedy::of(&later), Remedy::Retry);
        assert_eq!(remedy(ErrorKind::Source), Remedy::GiveUp);
        let patience = Error::new(ErrorKind::Source, "busy").with_retryable(true);
        assert_eq!(Remedy::of(&patience), Remedy::Retry);
        assert_eq!(remedy(ErrorKind::InvalidOffset), Remedy::GiveUp);
        assert_eq!(remedy(ErrorKind::NotFound), Remedy::Retry);
        assert_eq!(remedy(ErrorKind::UncommittedData), Remedy::Retry);
    }
}
