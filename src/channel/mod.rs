//! Channels: the public type, and what joins it to its state machine (`core`), its task (`driver`) and its receipts.

pub(crate) mod append;
mod append_methods;
#[cfg(feature = "stream")]
pub(crate) mod commit_stream;
pub(crate) mod core;
mod driver;
pub(crate) mod open;
mod open_request;
pub(crate) mod polling;
pub(crate) mod receipt;
pub(crate) mod registry;
mod reject_queries;
pub(crate) mod row_source;
pub(crate) mod sender;
pub(crate) mod shared;
pub(crate) mod weak_sender;
mod writer;

use std::marker::PhantomData;
use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use self::core::progress::Progress;
use self::core::row_counts::COUNTED_AFTER;
use self::open::OpenOptions;
use self::registry::Registry;
use self::shared::{Latest, Shared};
use self::writer::Writer;
use crate::base::options::{OnUncommitted, Recovery};
use crate::base::watched::Watched;
use crate::context::retries::OPEN_RETRY_FOR;
use crate::types::channel_status::ChannelStatus;
use crate::types::close_report::CloseReport;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::offset::OffsetToken;
use crate::types::reject_window::RejectWindow;
use crate::types::uncommitted_rows::UncommittedRows;

mod sealed {
    pub trait Sealed {}
}

/// Whether the rows of a channel carry offset tokens: [`Tracked`] or [`Untracked`].
pub trait Mode: sealed::Sealed + 'static {
    #[doc(hidden)]
    const IS_TRACKED: bool;
    /// The default recovery.
    #[doc(hidden)]
    const RECOVERY: Recovery;
}

impl sealed::Sealed for Tracked {}
impl Mode for Tracked {
    const IS_TRACKED: bool = true;
    const RECOVERY: Recovery = Recovery::Surface;
}

impl sealed::Sealed for Untracked {}
impl Mode for Untracked {
    const IS_TRACKED: bool = false;
    const RECOVERY: Recovery = Recovery::Replay;
}

/// A channel whose rows carry offset tokens. See [`StreamingIngestClient::open_channel`](crate::StreamingIngestClient::open_channel).
#[derive(Debug)]
pub enum Tracked {}

/// A channel whose rows carry no offset tokens. The SDK sends tokens that it makes itself and never shows. See
/// [`StreamingIngestClient::open_untracked_channel`](crate::StreamingIngestClient::open_untracked_channel).
#[derive(Debug)]
pub enum Untracked {}

/// One ordered writer into a pipe.
///
/// A row is *appended* (in memory), *sealed* (compressed into a batch), *sent*, *accepted* (buffered by the server, HTTP
/// 200) and *committed* (in the table, or rejected and counted). Only committed rows are durable.
///
/// A channel is not `Clone`: tokens must rise in the order of appends, and two interleaved writers would lose rows on
/// resume. For more parallelism, open more channels. Rows without tokens have no order to keep: any number of tasks append to
/// a `Channel<Untracked>` through its senders: [`into_sender`](Channel::into_sender).
///
/// Dropping a channel flushes it. It continues in the background until everything is committed, for at most the client's
/// close timeout, and receipts still resolve. To know the outcome, call [`close`](Self::close).
///
/// ```no_run
/// # use snowpipe_streaming::StreamingIngestClient;
/// # #[derive(serde::Serialize)] #[serde(rename_all = "UPPERCASE")] struct Ride { lift: String }
/// # async fn example(client: StreamingIngestClient, rides: Vec<Ride>) -> snowpipe_streaming::Result<()> {
/// let mut channel = client.open_channel("rides-0").await?;
/// let next = channel.resume_after::<u64>()?.map_or(0, |last| last + 1);
/// let receipt = channel.append_rows(&rides, next..).await?;
/// receipt.committed().await?;
/// channel.close().await?;
/// # Ok(()) }
/// ```
///
/// # What does not compile
///
/// A second writer of the same channel:
///
/// ```compile_fail,E0599
/// # fn example(channel: snowpipe_streaming::Channel) {
/// let second = channel.clone();
/// # }
/// ```
///
/// An append after the close:
///
/// ```compile_fail,E0382
/// # async fn example(mut channel: snowpipe_streaming::Channel, row: serde_json::Value) -> snowpipe_streaming::Result<()> {
/// channel.close().await?;
/// channel.append_row(&row, 7).await?;
/// # Ok(()) }
/// ```
///
/// Rows without an offset on a tracked channel:
///
/// ```compile_fail,E0061
/// # use snowpipe_streaming::{Channel, Tracked};
/// # async fn example(channel: &mut Channel<Tracked>, row: serde_json::Value) -> snowpipe_streaming::Result<()> {
/// channel.append_row(&row).await?;
/// # Ok(()) }
/// ```
///
/// Rows with an offset on an untracked channel:
///
/// ```compile_fail,E0061
/// # use snowpipe_streaming::{Channel, Untracked};
/// # async fn example(channel: &mut Channel<Untracked>, row: serde_json::Value) -> snowpipe_streaming::Result<()> {
/// channel.append_row(&row, 7).await?;
/// # Ok(()) }
/// ```
pub struct Channel<M: Mode = Tracked> {
    registry: Arc<Registry>,
    writer: Writer,
    /// For observers of commits and senders.
    latest: Arc<Watched<Latest>>,
    options: OpenOptions,
    /// A drop ends the channel instead of draining it.
    ends_on_drop: bool,
    mode: PhantomData<fn() -> M>,
}

impl<M: Mode> std::fmt::Debug for Channel<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.writer.shared.fmt(f)
    }
}

impl<M: Mode> Channel<M> {
    pub(crate) fn new(registry: Arc<Registry>, shared: Arc<Shared>, options: OpenOptions) -> Self {
        Self {
            latest: Latest::new(Arc::clone(&shared)),
            writer: Writer::new(Arc::clone(&registry.context), shared),
            registry,
            options,
            ends_on_drop: false,
            mode: PhantomData,
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.writer.shared
    }

    /// The channel's name, in the case in which it was created. Opens ignore the case.
    pub fn name(&self) -> &str {
        &self.shared().name
    }

    /// Sends everything appended so far without waiting for
    /// [`max_client_lag`](crate::ClientBuilder::max_client_lag).
    pub fn initiate_flush(&self) {
        self.shared().update_and_wake(|core, _| core.flush());
    }

    /// Flushes, and waits until the server has accepted everything appended so far. A reopen may still lose these rows; for
    /// durability use [`wait_for_commit`](Self::wait_for_commit).
    ///
    /// Bounded by the client's `retry_for` for each batch that waits, with [`Recovery::Replay`](crate::Recovery::Replay) once more for
    /// each reopen. After rejected rows, `isolate_rejects` makes a batch wait for the commit of the one before. Cancel safe.
    ///
    /// # Errors
    ///
    /// Why the channel was invalidated.
    pub async fn wait_for_flush(&self) -> Result<()> {
        self.initiate_flush();
        let through = self.shared().core().appended();
        self.shared()
            .wait(|p| p.accepted_outcome(through, through))
            .await
    }

    /// Flushes, and waits until everything appended so far is committed. Returns the committed token of a tracked channel.
    async fn commit_all(&self) -> Result<Option<OffsetToken>> {
        self.initiate_flush();
        let shared = self.shared();
        let through = shared.core().appended();
        // Unlike a receipt, this reports rejects of any row, each window once.
        shared
            .wait(|p| p.committed_outcome(through, through))
            .await?;
        let progress = shared.progress();
        match shared.unreported(&progress).first() {
            Some(window) => {
                shared.mark_reported(window);
                Err(window.to_error(progress.committed_token))
            }
            None => Ok(progress.committed_token),
        }
    }

    /// Waits until the channel accepts no more rows, and returns the reason: [`ErrorKind::Invalidated`], or that the client
    /// was closed.
    ///
    /// Appends fail with the same error at once. Receipts fail only when it is final which rows are committed, which may take
    /// the client's `settle_timeout`. A task that has nothing to append can await this future beside the receipts and
    /// [`reopen`](Self::reopen) the channel without that delay.
    ///
    /// Cancel safe.
    pub async fn invalidated(&self) -> Error {
        self.shared().refused().await
    }

    /// Asks the server for the channel's status.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if the server does not know the channel, and the errors of the call itself.
    pub async fn status(&self) -> Result<ChannelStatus> {
        let context = &self.registry.context;
        let names = [self.name().to_owned()];
        let mut statuses = context
            .retrying(|attempt| context.api.channel_statuses(&names, attempt))
            .await?;
        statuses.remove(self.name()).ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("the server does not know the channel {:?}", self.name()),
            )
        })
    }

    /// As [`status`](Self::status), right after an open, and retried for as long as the open.
    pub(crate) async fn status_after_open(&self) -> Result<ChannelStatus> {
        let context = &self.registry.context;
        context.status_after_open(self.name(), OPEN_RETRY_FOR).await
    }

    /// Waits until the rows that were committed before a reopen are counted, or until the channel ends.
    pub(crate) async fn earlier_rows_are_counted(&self) {
        let is_over = |p: &Progress| !p.waits_for_earlier_rows || p.end.is_some();
        self.shared().wait(|p| is_over(p).then_some(())).await;
    }

    /// After an open at `opened`, waits until the rows that an earlier program has sent are counted, and reads the counters again.
    pub(crate) async fn count_earlier_rows(&mut self, opened: Instant) -> Result<()> {
        if self.shared().core().counts_rows() {
            sleep_until(opened + COUNTED_AFTER).await;
            // Unlike a status, the answer to an open is never from a lagging replica.
            self.reopen().await?;
        }
        Ok(())
    }

    /// Whether a status belongs to this channel and not to another one of the same name.
    pub(crate) fn is_shown_by(&self, status: &ChannelStatus) -> bool {
        let core = self.shared().core();
        core.is_same_channel(status)
    }

    /// Reopens the channel, after an invalidation or to start over. Rows that were appended before and are not committed are
    /// given up; the committed token says where to resume, and
    /// [`take_uncommitted_rows`](Channel::take_uncommitted_rows) returns those of an untracked channel. Earlier receipts resolve
    /// according to that token.
    ///
    /// If the server does not know the pipe any more, this waits for it: see
    /// [`missing_pipe_timeout`](crate::ClientBuilder::missing_pipe_timeout).
    ///
    /// Cancel safe in that it may be called again; a cancelled reopen leaves the channel invalidated.
    ///
    /// # Errors
    ///
    /// As [`open_channel`](crate::StreamingIngestClient::open_channel). The channel stays invalidated.
    pub async fn reopen(&mut self) -> Result<()> {
        self.reopen_with(self.options.policy).await.map(drop)
    }

    /// As [`reopen`](Self::reopen), with another policy for this call. Returns the close report of the state that ended, and
    /// whether the outcome of some of its sent rows is unknown because the channel was dropped and created again.
    pub(crate) async fn reopen_with(
        &mut self,
        policy: OnUncommitted,
    ) -> Result<(CloseReport, bool)> {
        let old = Arc::clone(self.shared());
        let gone = || {
            Error::new(
                ErrorKind::ChannelClosed,
                "the channel was reopened; append from its committed token",
            )
        };
        old.update_and_wake(|core, now| {
            if !core.is_ended() {
                core.end(now, gone(), true);
            }
        });
        old.wait(|p| p.has_given_up().then_some(())).await;
        let options = OpenOptions {
            policy,
            ..self.options
        };
        let (shared, status) =
            open::open::<M>(&self.registry, &old.name, options, None, Some(&old)).await?;
        let (is_in_doubt, uncounted) = old.update_and_wake(|core, now| {
            core.on_reopened(now, gone(), &status);
            (core.is_in_doubt(&status), core.handover(&status))
        });
        let unreported = old.unreported(&old.progress());
        let (given_up, why) = {
            let mut core = old.core();
            (core.take_given_up(), core.why_ended())
        };
        let set_back_until = old.core().set_back_until();
        shared.update(|core, now| {
            core.inherit(now, unreported, uncounted, set_back_until);
            core.inherit_given_up(given_up, why);
        });
        let timeout = self.writer.timeout;
        self.writer = Writer::new(Arc::clone(&self.registry.context), Arc::clone(&shared));
        self.latest.change(|latest| {
            latest.shared = shared;
            true
        });
        self.writer.timeout = timeout;
        let report = old.core().report_by_token();
        Ok((report, is_in_doubt))
    }

    /// Flushes, waits until everything is committed, and returns a report. The server keeps the channel's committed token for
    /// the next run.
    ///
    /// Bounded by the client's close timeout. If the future is cancelled, the channel continues in the background as if it had
    /// been dropped.
    ///
    /// # Errors
    ///
    /// - The reason if not everything is committed; [`close_report`](Error::close_report) lists the uncommitted rows by state, and
    ///   [`uncommitted_rows`](Error::uncommitted_rows) has those of an untracked channel. It also has rows that were given up before
    ///   a reopen and that nobody has taken.
    /// - [`ErrorKind::RowsRejected`] if the server rejected rows that no call has reported yet. Everything is committed.
    pub async fn close(self) -> Result<CloseReport> {
        let until = self.close_deadline();
        self.close_by(until).await
    }

    fn close_deadline(&self) -> Instant {
        Instant::now() + self.registry.context.options.close_timeout
    }

    /// As [`close`](Self::close), but bounded by `until`.
    pub(crate) async fn close_by(self, until: Instant) -> Result<CloseReport> {
        let shared = Arc::clone(self.shared());
        shared.update_and_wake(|core, _| core.drain(until));
        let error = shared.wait(Progress::final_error).await;
        shared.wait(|p| p.has_given_up().then_some(())).await;
        // The driver would do this as well, but the name has to be free when this call returns.
        self.registry.forget(&shared);
        let progress = shared.progress();
        let (report, why, rows) = {
            let mut core = shared.core();
            (
                core.report(),
                core.why_given_up(),
                core.take_uncommitted_rows().unwrap_or_default(),
            )
        };
        let error = if report.uncommitted.is_empty() {
            why
        } else {
            Some(error)
        };
        if let Some(error) = error {
            let error = error.with_report(report);
            return Err(if rows.is_empty() {
                error
            } else {
                error.with_uncommitted_rows(rows)
            });
        }
        match shared.unreported(&progress).first() {
            Some(window) => Err(window
                .to_error(progress.committed_token)
                .with_report(report)),
            None => Ok(report),
        }
    }

    /// The server's reject counter, from the open or a later status.
    pub(crate) fn rows_rejected(&self) -> u64 {
        self.shared().core().rows_rejected()
    }

    /// Lets appends wait for memory without a timeout, whatever the client's append timeout is.
    pub(crate) fn wait_for_memory(&mut self) {
        self.writer.timeout = None;
    }

    /// Makes a drop of the channel end it at once, as a crash of the process does: nothing more is sent, and its name is free.
    pub(crate) fn end_on_drop(&mut self) {
        self.ends_on_drop = true;
    }

    /// The reject windows whose counter exceeds `total`, oldest first.
    pub(crate) fn rejects_above(&self, total: u64) -> Vec<RejectWindow> {
        let rejects = self.shared().progress().rejects;
        let above = rejects.iter().filter(|window| window.total > total);
        above.cloned().collect()
    }
}

impl Channel<Untracked> {
    /// Takes the rows that the channel has given up since the last call: because it was invalidated, because a reopen or the end
    /// of the client left rows behind. Until then they count towards the memory budget, and appends fail with
    /// [`ErrorKind::Backpressure`] if they use it up.
    ///
    /// Right after an invalidation it may be unknown which of the sent rows are committed. A [`reopen`](Self::reopen) finds out,
    /// unless the channel was dropped and created again meanwhile.
    ///
    /// ```no_run
    /// # use snowpipe_streaming::{Channel, Result, Untracked};
    /// # async fn example(channel: &mut Channel<Untracked>) -> Result<()> {
    /// let why = channel.invalidated().await;
    /// eprintln!("the channel is opened again: {why}");
    /// channel.reopen().await?;
    /// let rows = channel.take_uncommitted_rows().await;
    /// channel.append_batch(&rows.unsent()?).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// Cancel safe: a cancelled call takes nothing.
    pub async fn take_uncommitted_rows(&mut self) -> UncommittedRows {
        self.shared().take_uncommitted_rows().await
    }
}

/// A dropped channel drains in the background, unless it ends at once. Its senders do not keep it open.
impl<M: Mode> Drop for Channel<M> {
    fn drop(&mut self) {
        self.latest
            .change(|latest| !std::mem::replace(&mut latest.is_final, true));
        if self.ends_on_drop {
            let text = "the channel was dropped before everything was committed";
            let error = Error::new(ErrorKind::ChannelClosed, text);
            let shared = self.shared();
            shared.update_and_wake(|core, now| {
                if !core.is_ended() {
                    core.end(now, error, false);
                }
            });
            self.registry.forget(shared);
            return;
        }
        let until = self.close_deadline();
        self.shared().update_and_wake(|core, _| {
            core.abandon_rows();
            core.drain(until);
        });
    }
}
