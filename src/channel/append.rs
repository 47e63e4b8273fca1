//! The append a caller awaits: what is staged waits for memory, or for the driver, and moves into the open batch.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use serde::Serialize;

use super::core::batch::UnitTokens;
use super::receipt::Receipt;
use super::row_source::{BatchSource, Each, Encoded, Numbered, Plain, Source, Staging, one};
use super::writer::{Staged, Writer};
use crate::base::budget::{Charge, late};
use crate::rows::{self, RowBatch};
use crate::types::error::{Error, Result};
use crate::types::offset::arguments::{IntoOffset, Offset, Offsets};

type Wait = Pin<Box<dyn Future<Output = Result<Waited>> + Send>>;

/// What came of a wait.
enum Waited {
    Charged(Charge),
    CaughtUp,
    /// The driver has not caught up within the append timeout.
    Late,
}

/// An append under way: resolves to a [`Receipt`] once the rows are in memory.
///
/// A single row and rows that share a token were encoded at the call, of other rows as many as fit into 256 KiB. The future
/// waits for memory and, while two batches are still to be compressed, for the compression, and at once returns if the
/// channel is invalidated. It does not borrow rows given by reference to [`append_row`](crate::Channel::append_row), and is
/// `Send` even if their type is not `Sync`.
///
/// Cancel safe: dropped before it resolves, a single row or rows that share a token are not appended at all; of other rows
/// a prefix may be, and where they have tokens [`last_appended`](crate::Channel::last_appended) tells which.
#[must_use = "rows are appended only when the future is awaited"]
pub struct Append<'a, S = Encoded> {
    writer: &'a mut Writer,
    source: S,
    from: u64,
    failed: Option<Error>,
    wait: Option<Wait>,
    /// The driver was waited for long enough.
    is_late: bool,
}

impl<S> std::fmt::Debug for Append<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Append")
            .field("channel", &self.writer.shared.name)
            .finish_non_exhaustive()
    }
}

// The source is never pinned.
impl<S> Unpin for Append<'_, S> {}

impl<S> Drop for Append<'_, S> {
    fn drop(&mut self) {
        self.writer.end();
    }
}

impl<'a> Append<'a, Encoded> {
    pub(crate) fn row<R: Serialize + ?Sized>(
        writer: &'a mut Writer,
        row: &R,
        offset: Result<Option<Offset>>,
    ) -> Self {
        Self::start(writer, Encoded(()), |writer| {
            let tokens = offset?.map_or(UnitTokens::Untracked, one);
            writer.stage_row(row, tokens)
        })
    }
}

impl<'a> Append<'a, Encoded> {
    pub(crate) fn json(writer: &'a mut Writer, row: &[u8], offset: Result<Option<Offset>>) -> Self {
        Self::start(writer, Encoded(()), |writer| {
            let tokens = offset?.map_or(UnitTokens::Untracked, one);
            writer.stage_row(rows::json(row)?, tokens)
        })
    }
}

impl<'a, I> Append<'a, Numbered<I>>
where
    I: Iterator,
    I::Item: Serialize,
{
    pub(crate) fn rows(writer: &'a mut Writer, rows: I, offsets: Result<Offsets>) -> Self {
        match offsets {
            Ok(Offsets::Each { first }) => {
                let mut append = Self::start(
                    writer,
                    Numbered {
                        rows: Some(rows),
                        next: first,
                    },
                    |_| Ok(()),
                );
                append.fill();
                append
            }
            Ok(Offsets::Whole { start, end }) => Self::start(
                writer,
                Numbered {
                    rows: None,
                    next: 0,
                },
                |w| w.stage_whole(rows, start, end),
            ),
            Err(error) => Self::start(
                writer,
                Numbered {
                    rows: None,
                    next: 0,
                },
                |_| Err(error),
            ),
        }
    }
}

impl<'a, I, R, O> Append<'a, Each<I>>
where
    I: Iterator<Item = (R, O)>,
    R: Serialize,
    O: IntoOffset,
{
    pub(crate) fn each(writer: &'a mut Writer, rows: I) -> Self {
        let mut append = Self::start(writer, Each { rows }, |_| Ok(()));
        append.fill();
        append
    }
}

impl<'a, I> Append<'a, Plain<I>>
where
    I: Iterator,
    I::Item: Serialize,
{
    pub(crate) fn plain(writer: &'a mut Writer, rows: I) -> Self {
        let mut append = Self::start(writer, Plain { rows }, |_| Ok(()));
        append.fill();
        append
    }
}

impl<'a> Append<'a, BatchSource> {
    pub(crate) fn batch(
        writer: &'a mut Writer,
        batch: RowBatch,
        offsets: Result<Option<Offsets>>,
    ) -> Self {
        let (source, failed) = match offsets {
            Ok(offsets) => (BatchSource::new(batch, offsets), None),
            Err(error) => (BatchSource::default(), Some(error)),
        };
        let mut append = Self::start(writer, source, |_| failed.map_or(Ok(()), Err));
        append.fill();
        append
    }
}

impl<'a, S> Append<'a, S> {
    fn start(
        writer: &'a mut Writer,
        source: S,
        stage: impl FnOnce(&mut Writer) -> Result<()>,
    ) -> Self {
        writer.begin();
        let from = writer.appended;
        let failed = stage(writer).err();
        Self {
            writer,
            source,
            from,
            failed,
            wait: None,
            is_late: false,
        }
    }
}

impl<S: Source> Append<'_, S> {
    fn fill(&mut self) {
        if self.failed.is_none() {
            self.failed = self.source.fill(&mut Staging(self.writer)).err();
        }
    }

    fn wait_for_memory(&self) -> Wait {
        let shared = Arc::clone(&self.writer.shared);
        let missing = self.writer.missing();
        let timeout = self.writer.timeout;
        Box::pin(async move {
            let refused = shared.refused();
            let charge = shared
                .share
                .charge_within(missing, timeout, refused)
                .await?;
            Ok(Waited::Charged(charge))
        })
    }

    fn wait_for_the_driver(&self) -> Wait {
        let shared = Arc::clone(&self.writer.shared);
        let timeout = self.writer.timeout;
        Box::pin(async move {
            tokio::select! {
                biased;
                error = shared.refused() => Err(error),
                () = shared.has_caught_up() => Ok(Waited::CaughtUp),
                () = late(timeout) => Ok(Waited::Late),
            }
        })
    }
}

impl<S: Source> Future for Append<'_, S> {
    type Output = Result<Receipt>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            if let Some(error) = this.failed.take() {
                this.writer.discard();
                return Poll::Ready(Err(error));
            }
            if this.writer.units.is_empty() {
                let position = this.writer.appended;
                return Poll::Ready(Ok(Receipt::new(
                    Arc::clone(&this.writer.shared),
                    this.from,
                    position,
                )));
            }
            if let Some(wait) = &mut this.wait {
                let Poll::Ready(waited) = wait.as_mut().poll(cx) else {
                    return Poll::Pending;
                };
                this.wait = None;
                match waited {
                    Ok(Waited::Charged(charge)) => this.writer.credit.absorb(charge),
                    Ok(Waited::CaughtUp) => {}
                    // Only for want of memory are rows refused.
                    Ok(Waited::Late) => this.is_late = true,
                    Err(error) => {
                        this.failed = Some(error);
                        continue;
                    }
                }
            }
            match this.writer.commit_staged(!this.is_late) {
                Ok(Staged::Appended) => {
                    this.is_late = false;
                    this.fill();
                }
                Ok(Staged::NoMemory) => this.wait = Some(this.wait_for_memory()),
                Ok(Staged::Behind) => this.wait = Some(this.wait_for_the_driver()),
                Err(error) => this.failed = Some(error),
            }
        }
    }
}
