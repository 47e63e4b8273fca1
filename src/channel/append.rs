//! The future of an append: it moves staged rows into the open batch and, before that, waits for memory and for the driver.
//!
//! An append waits for the driver while its batch is full and another batch of the channel is still to be compressed, at most
//! for the append timeout. Appends are faster than the compression, and would otherwise fill the budget with rows that arrive
//! no sooner. Only lack of memory makes an append fail. When the driver takes a batch, all appends that wait for it are woken,
//! and each looks at the core again: with one wake-up for each batch, some would stay asleep although there is room.

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use serde::Serialize;

use super::core::batch::UnitTokens;
use super::receipt::Receipt;
use super::row_source::{BatchSource, Each, Encoded, Numbered, Plain, RowSource, one};
use super::writer::{Appended, Writer};
use super::writer::{Staged, Staging};
use crate::base::budget::{Charge, late};
use crate::rows::{self, RowBatch};
use crate::types::error::{Error, Result};
use crate::types::offset::arguments::{IntoOffset, Offset, Offsets};

type Wait = Pin<Box<dyn Future<Output = Result<Waited>> + Send>>;

/// The end of a wait.
enum Waited {
    Charged(Charge),
    /// The staged units fit into requests; with their frame, if they are a single one.
    Checked(Option<Bytes>),
    CaughtUp,
    /// The driver has not caught up within the append timeout.
    Late,
}

/// The future of an append. It resolves to a [`Receipt`] once the rows are in memory.
///
/// A single row and rows that share a token are encoded at the call. Of other rows, 256 KiB are encoded at the call and the
/// rest as memory allows. A row, or rows that share a token, of more than about 4 MiB are compressed first, to find out whether
/// they fit into a request. The future waits for that, for memory and, while two batches are still to be compressed, for the
/// compression. If the channel is invalidated, it returns at once. It does not borrow a row that was passed by reference to
/// [`append_row`](crate::Channel::append_row), and is `Send` even if the row's type is not `Sync`.
///
/// Cancel safe: if the future is dropped before it resolves, a single row or rows that share a token are not appended. Of
/// other rows a prefix may be appended, and if they have tokens, [`last_appended`](crate::Channel::last_appended) returns
/// the last one.
#[must_use = "rows are appended only when the future is awaited"]
pub struct Append<'a, S = Encoded> {
    writer: AppendWriter<'a>,
    source: S,
    appended: Appended,
    failed: Option<Error>,
    wait: Option<Wait>,
    /// The wait for the driver has timed out: do not wait for it again.
    is_late: bool,
}

/// The writer of an append.
pub(crate) enum AppendWriter<'a> {
    Channel(&'a mut Writer),
    /// Part of the future, so that appends of one sender may run at once.
    Sender(Box<Writer>),
}

impl<'a> From<&'a mut Writer> for AppendWriter<'a> {
    fn from(writer: &'a mut Writer) -> Self {
        Self::Channel(writer)
    }
}

impl From<Writer> for AppendWriter<'static> {
    fn from(writer: Writer) -> Self {
        Self::Sender(Box::new(writer))
    }
}

impl Deref for AppendWriter<'_> {
    type Target = Writer;

    fn deref(&self) -> &Writer {
        match self {
            Self::Channel(writer) => writer,
            Self::Sender(writer) => writer,
        }
    }
}

impl DerefMut for AppendWriter<'_> {
    fn deref_mut(&mut self) -> &mut Writer {
        match self {
            Self::Channel(writer) => writer,
            Self::Sender(writer) => writer,
        }
    }
}

impl<S> std::fmt::Debug for Append<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Append")
            .field("channel", &self.writer.shared.name)
            .finish_non_exhaustive()
    }
}

// `poll` never pins the source.
impl<S> Unpin for Append<'_, S> {}

/// Discards what a cancelled append has staged, and with it the charge for it.
impl<S> Drop for Append<'_, S> {
    fn drop(&mut self) {
        self.writer.staging.release_buffer();
    }
}

impl<'a> Append<'a, Encoded> {
    pub(crate) fn row<R: Serialize + ?Sized>(
        writer: impl Into<AppendWriter<'a>>,
        row: &R,
        offset: Result<Option<Offset>>,
    ) -> Self {
        Self::start(writer, Encoded(()), |staging| {
            let tokens = offset?.map_or(UnitTokens::Untracked, one);
            staging.stage_row(row, tokens)
        })
    }

    pub(crate) fn json(
        writer: impl Into<AppendWriter<'a>>,
        row: &[u8],
        offset: Result<Option<Offset>>,
    ) -> Self {
        Self::start(writer, Encoded(()), |staging| {
            let tokens = offset?.map_or(UnitTokens::Untracked, one);
            staging.stage_row(rows::json(row)?, tokens)
        })
    }
}

impl<'a, I> Append<'a, Numbered<I>>
where
    I: Iterator,
    I::Item: Serialize,
{
    pub(crate) fn rows(
        writer: impl Into<AppendWriter<'a>>,
        rows: I,
        offsets: Result<Offsets>,
    ) -> Self {
        let nothing = Numbered {
            rows: None,
            next: 0,
        };
        match offsets {
            Ok(Offsets::Each { first }) => {
                let rows = Some(rows);
                Self::filled(writer, Numbered { rows, next: first })
            }
            Ok(Offsets::Whole { start, end }) => Self::start(writer, nothing, |staging| {
                staging.stage_whole(rows, start, end)
            }),
            Err(error) => Self::start(writer, nothing, |_| Err(error)),
        }
    }
}

impl<'a, I, R, O> Append<'a, Each<I>>
where
    I: Iterator<Item = (R, O)>,
    R: Serialize,
    O: IntoOffset,
{
    pub(crate) fn each(writer: impl Into<AppendWriter<'a>>, rows: I) -> Self {
        Self::filled(writer, Each { rows })
    }
}

impl<'a, I> Append<'a, Plain<I>>
where
    I: Iterator,
    I::Item: Serialize,
{
    pub(crate) fn plain(writer: impl Into<AppendWriter<'a>>, rows: I) -> Self {
        Self::filled(writer, Plain { rows })
    }
}

impl<'a> Append<'a, BatchSource> {
    pub(crate) fn batch(
        writer: impl Into<AppendWriter<'a>>,
        batch: RowBatch,
        offsets: Result<Option<Offsets>>,
    ) -> Self {
        match offsets {
            Ok(offsets) => Self::filled(writer, BatchSource::new(batch, offsets)),
            Err(error) => Self::start(writer, BatchSource::default(), |_| Err(error)),
        }
    }
}

impl<'a, S> Append<'a, S> {
    fn start(
        writer: impl Into<AppendWriter<'a>>,
        source: S,
        stage: impl FnOnce(&mut Staging) -> Result<()>,
    ) -> Self {
        let mut writer = writer.into();
        writer.staging.begin();
        let failed = stage(&mut writer.staging).err();
        Self {
            writer,
            source,
            appended: Appended::default(),
            failed,
            wait: None,
            is_late: false,
        }
    }
}

impl<'a, S: RowSource> Append<'a, S> {
    /// Starts an append and stages its first piece.
    fn filled(writer: impl Into<AppendWriter<'a>>, source: S) -> Self {
        let mut append = Self::start(writer, source, |_| Ok(()));
        append.fill();
        append
    }

    fn fill(&mut self) {
        if self.failed.is_none() {
            self.failed = self.source.fill(&mut self.writer.staging).err();
        }
    }

    fn wait_for_memory(&self, bytes: usize) -> Wait {
        let shared = Arc::clone(&self.writer.shared);
        let timeout = self.writer.timeout;
        Box::pin(async move {
            let refused = shared.refused();
            let charged = shared.share.charge_within(bytes, timeout, refused);
            Ok(Waited::Charged(charged.await?))
        })
    }

    fn wait_for_the_driver(&self, len: usize) -> Wait {
        let shared = Arc::clone(&self.writer.shared);
        let timeout = self.writer.timeout;
        Box::pin(async move {
            tokio::select! {
                biased;
                error = shared.refused() => Err(error),
                () = shared.has_caught_up(len) => Ok(Waited::CaughtUp),
                () = late(timeout) => Ok(Waited::Late),
            }
        })
    }
}

impl<S: RowSource> Future for Append<'_, S> {
    type Output = Result<Receipt>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let staging = &mut this.writer.staging;
            if let Some(error) = this.failed.take() {
                staging.discard();
                return Poll::Ready(Err(error));
            }
            if staging.is_empty() {
                return Poll::Ready(Ok(this.appended.receipt(&this.writer.shared)));
            }
            if let Some(wait) = &mut this.wait {
                let Poll::Ready(waited) = wait.as_mut().poll(cx) else {
                    return Poll::Pending;
                };
                this.wait = None;
                match waited {
                    Ok(Waited::Charged(charge)) => staging.add_credit(charge),
                    Ok(Waited::Checked(frame)) => staging.set_frame(frame),
                    Ok(Waited::CaughtUp) => {}
                    // The rows are appended anyway: only lack of memory makes an append fail.
                    Ok(Waited::Late) => this.is_late = true,
                    Err(error) => {
                        this.failed = Some(error);
                        continue;
                    }
                }
            }
            if staging.is_unchecked() {
                let check = staging.check();
                this.wait = Some(Box::pin(async { Ok(Waited::Checked(check.await?)) }));
                continue;
            }
            match this.writer.append(!this.is_late) {
                Ok(Staged::Appended(rows)) => {
                    this.appended.add(rows);
                    this.is_late = false;
                    this.fill();
                }
                Ok(Staged::NoMemory) => {
                    let bytes = this.writer.staging.release_credit();
                    this.wait = Some(this.wait_for_memory(bytes));
                }
                Ok(Staged::Behind) => {
                    let len = this.writer.staging.len();
                    this.wait = Some(this.wait_for_the_driver(len));
                }
                Err(error) => this.failed = Some(error),
            }
        }
    }
}
