//! The writing end of a channel: moves staged rows into the open batch and remembers the last token.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::core::batch::UNIT_CHARGE;
use super::receipt::Receipt;
use super::row_source::{BatchSource, RowSource};
use super::shared::Shared;
use super::staging::{Staged, Staging};
use crate::context::ClientContext;
use crate::rows::RowBatch;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::offset::arguments::{Offset, Offsets};

/// The writing end of a channel: its handle has one for all its appends, and a sender makes one for each.
pub(crate) struct Writer {
    context: Arc<ClientContext>,
    pub(crate) shared: Arc<Shared>,
    /// The staging state of the last append, for reuse by the next one.
    idle: Option<Staging>,
    /// How long an append waits for memory.
    pub(super) timeout: Option<Duration>,
    pub(crate) last: Option<Offset>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("channel", &self.shared)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

impl Writer {
    pub(crate) fn new(context: Arc<ClientContext>, shared: Arc<Shared>) -> Self {
        Self {
            timeout: context.options.append_timeout,
            context,
            shared,
            idle: None,
            last: None,
        }
    }

    /// Takes the staging state for an append, which returns it with [`keep`](Self::keep).
    pub(super) fn staging(&mut self) -> Staging {
        let mut staging = self.idle.take().unwrap_or_else(|| {
            let context = Arc::clone(&self.context);
            Staging::new(context, self.shared.share.nothing())
        });
        staging.acquire_buffer();
        staging
    }

    /// Keeps the staging state for the next append. Rows that are still staged are discarded.
    pub(super) fn keep(&mut self, mut staging: Staging) {
        staging.release_buffer();
        self.idle = Some(staging);
    }

    /// Moves staged rows into the open batch, unless they have to wait. With `waits`, they also wait for the driver.
    pub(super) fn append(&mut self, staging: &mut Staging, waits: bool) -> Result<Staged> {
        let last = staging.last_offset();
        let staged = staging.append_to(&self.shared, waits)?;
        if let Staged::Appended { rows, wake } = &staged {
            let count = rows.end - rows.start;
            self.context.api.counters().appended(count);
            if last.is_some() {
                self.last = last;
            }
            if *wake {
                self.shared.wake_driver();
            }
        }
        Ok(staged)
    }

    /// Appends all of `batch` or nothing, without waiting.
    pub(crate) fn try_append(
        &mut self,
        batch: &RowBatch,
        offsets: Option<Offsets>,
    ) -> Result<Receipt> {
        let mut staging = self.staging();
        let result = self.try_append_staged(&mut staging, batch, offsets);
        self.keep(staging);
        result.map(|appended| appended.receipt(&self.shared))
    }

    fn try_append_staged(
        &mut self,
        staging: &mut Staging,
        batch: &RowBatch,
        offsets: Option<Offsets>,
    ) -> Result<Appended> {
        // Check all rows before the first one is appended.
        self.context.check_rows(batch.as_bytes())?;
        if !matches!(offsets, Some(Offsets::Whole { .. })) {
            for row in batch.as_bytes().split_inclusive(|b| *b == b'\n') {
                staging.check_row(row)?;
            }
        }
        // An upper bound: two consecutive pieces always have more bytes together than one full piece.
        let pieces = 2 * (batch.as_bytes().len() / staging.piece() + 1);
        let overhead = match &offsets {
            Some(Offsets::Whole { start, end }) => {
                UNIT_CHARGE + start.as_str().len() + end.as_str().len()
            }
            _ => pieces * UNIT_CHARGE,
        };
        let bytes = batch.as_bytes().len() + overhead;
        if bytes > self.shared.share.cap() {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "a batch of {} bytes exceeds the channel's {} bytes of memory; split it, or append it without `try_`",
                    batch.as_bytes().len(),
                    self.shared.share.cap()
                ),
            ));
        }
        if let Some(error) = self.shared.core().refusal() {
            return Err(error);
        }
        let Some(charge) = self.shared.share.try_charge(bytes) else {
            return Err(Error::new(
                ErrorKind::Backpressure,
                "there is no memory for the batch now, and nothing was appended; try again, or use `append_batch`, which waits",
            ));
        };
        staging.add_credit(charge);
        let mut source = BatchSource::new(batch.clone(), offsets);
        let mut appended = Appended::default();
        loop {
            source.fill(staging)?;
            staging.check_now()?;
            if staging.is_empty() {
                return Ok(appended);
            }
            if let Staged::Appended { rows, .. } = self.append(staging, false)? {
                appended.add(rows);
            }
        }
    }
}

/// The positions of the rows that one append has appended, and of what other tasks appended between its pieces.
#[derive(Debug, Default)]
pub(super) struct Appended(Option<Range<u64>>);

impl Appended {
    /// Adds the positions of the next piece.
    pub(super) fn add(&mut self, piece: Range<u64>) {
        let end = piece.end;
        self.0.get_or_insert(piece).end = end;
    }

    /// The receipt of the append. Without rows, it stands for everything that was appended before.
    pub(super) fn receipt(&self, shared: &Arc<Shared>) -> Receipt {
        let before = || {
            let position = shared.core().appended();
            position..position
        };
        let rows = self.0.clone().unwrap_or_else(before);
        Receipt::new(Arc::clone(shared), rows.start, rows.end)
    }
}
