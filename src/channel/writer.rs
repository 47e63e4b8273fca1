//! The writing end of a channel: encodes rows on the caller's thread, stages them, and moves them into the open batch.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::core::AppendOutcome;
use super::core::batch::{RawBatch, UNIT_CHARGE, Unit, UnitTokens, push_unit, too_large};
use super::receipt::Receipt;
use super::registry::Registry;
use super::row_source::{BatchSource, Source, Staging};
use super::shared::Shared;
use crate::base::budget::Charge;
use crate::base::time::epoch_millis;
use crate::rows::{self, RowBatch};
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::offset::OffsetToken;
use crate::types::offset::arguments::{Offset, Offsets};

/// Rows are encoded and charged in pieces of about this size.
const PIECE: usize = 256 << 10;

/// The writing end of a channel.
pub(crate) struct Writer {
    pub(crate) registry: Arc<Registry>,
    pub(crate) shared: Arc<Shared>,
    /// Encoded rows that are not in the open batch yet. Re-used from call to call.
    pub(super) staged: Vec<u8>,
    /// Rows that were bytes already, in their place.
    pub(super) ready: Bytes,
    pub(super) units: Vec<Unit>,
    /// What the units cost beside their rows' bytes.
    overhead: usize,
    /// Charged for the rows that are staged.
    pub(super) credit: Charge,
    /// How long an append waits for memory.
    pub(super) timeout: Option<Duration>,
    /// Rows appended since open. Only this handle appends, so the core need not be asked.
    pub(super) appended: u64,
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
    pub(crate) fn new(registry: Arc<Registry>, shared: Arc<Shared>) -> Self {
        let credit = shared.share.nothing();
        Self {
            timeout: registry.context.options.append_timeout,
            registry,
            shared,
            staged: Vec::new(),
            ready: Bytes::new(),
            units: Vec::new(),
            overhead: 0,
            credit,
            appended: 0,
            last: None,
        }
    }

    /// Begins to stage.
    pub(super) fn begin(&mut self) {
        self.discard();
        if self.staged.capacity() == 0 {
            self.staged = self.registry.context.buffers.piece();
        }
    }

    /// Is done with staging, whatever came of it.
    pub(super) fn end(&mut self) {
        self.discard();
        self.registry.context.buffers.keep_piece(&mut self.staged);
    }

    /// Lets go of what is staged, and of what was charged for it and not spent: runs that merge cost less than alone.
    pub(super) fn discard(&mut self) {
        self.staged.clear();
        // Cleared it would still hold the caller's bytes.
        self.ready = Bytes::new();
        self.units.clear();
        self.overhead = 0;
        self.credit.shrink_to(0);
    }

    /// Together with the longest row this is well below what a channel may ever hold.
    pub(super) fn piece(&self) -> usize {
        PIECE.min(self.registry.context.options.max_unit() / 2)
    }

    /// Whether what is staged, tokens included, is enough for one piece.
    pub(super) fn is_full(&self) -> bool {
        self.staged.len() + self.overhead >= self.piece()
    }

    /// Stages a unit whose rows are staged.
    pub(super) fn push(&mut self, unit: Unit) {
        let (overhead, before) = (unit.overhead(), self.units.len());
        push_unit(&mut self.units, unit);
        self.overhead += overhead * (self.units.len() - before);
    }

    /// Refuses a unit that no request or budget could ever carry.
    pub(super) fn check_unit(&self, unit: &[u8]) -> Result<()> {
        let options = &self.registry.context.options;
        if unit.len() > options.max_unit() {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "{} bytes of rows that may not be split are more than {}: the least of a quarter of the memory budget and {}; append fewer rows under one token, or raise the memory budget",
                    unit.len(),
                    options.max_unit(),
                    options.max_uncompressed,
                ),
            ));
        }
        if unit.len() > options.always_fits() {
            let compressed = self
                .registry
                .context
                .compressors
                .with(|c| c.compress(unit))?
                .len();
            if compressed > options.max_request_bytes {
                return Err(too_large(unit.len(), compressed, options.max_request_bytes));
            }
        }
        Ok(())
    }

    /// Encodes one row as a unit of its own.
    pub(super) fn stage_row<R: Serialize + ?Sized>(
        &mut self,
        row: &R,
        tokens: UnitTokens,
    ) -> Result<()> {
        let start = self.staged.len();
        rows::encode(row, self.registry.context.options.nulls, &mut self.staged)?;
        let row = self.staged.get(start..).unwrap_or_default();
        self.check_unit(row)?;
        let len = row.len();
        self.push(Unit {
            tokens,
            rows: 1,
            len,
        });
        Ok(())
    }

    /// Encodes rows until a piece is full or there is no `next` one, as one unit.
    pub(super) fn stage_run<R: Serialize>(
        &mut self,
        tokens: UnitTokens,
        mut next: impl FnMut() -> Option<R>,
    ) -> Result<()> {
        let (start, mut rows) = (self.staged.len(), 0);
        while !self.is_full()
            && let Some(row) = next()
        {
            let before = self.staged.len();
            rows::encode(&row, self.registry.context.options.nulls, &mut self.staged)?;
            self.check_unit(self.staged.get(before..).unwrap_or_default())?;
            rows += 1;
        }
        if rows > 0 {
            let len = self.staged.len() - start;
            self.push(Unit { tokens, rows, len });
        }
        Ok(())
    }

    /// Encodes rows that stay together.
    pub(super) fn stage_whole<R: Serialize>(
        &mut self,
        rows: impl Iterator<Item = R>,
        start: OffsetToken,
        end: OffsetToken,
    ) -> Result<()> {
        let mut count = 0;
        for row in rows {
            rows::encode(&row, self.registry.context.options.nulls, &mut self.staged)?;
            count += 1;
            // Not only at the end: an endless iterator must not fill the memory first.
            if self.staged.len() > self.registry.context.options.max_unit() {
                break;
            }
        }
        self.check_unit(&self.staged)?;
        if count > 0 {
            self.push(Unit {
                tokens: UnitTokens::Whole { start, end },
                rows: count,
                len: self.staged.len(),
            });
        }
        Ok(())
    }

    /// Moves what is staged into the open batch, unless it has to wait.
    pub(super) fn commit_staged(&mut self, waits: bool) -> Result<Staged> {
        let mut new_batch = None;
        let rows = self.units.iter().map(|unit| unit.rows).sum();
        let last = self.units.last().and_then(last_offset);
        let (position, wake) = loop {
            let staged = staged(&self.staged, &self.ready);
            let mut core = self.shared.core();
            if waits && core.is_behind(staged.len()) {
                return Ok(Staged::Behind);
            }
            match core.append(&mut new_batch, staged, &mut self.units, &mut self.credit)? {
                AppendOutcome::Appended { position, wake } => break (position, wake),
                AppendOutcome::NoMemory => return Ok(Staged::NoMemory),
                AppendOutcome::NoBatch { expected } => {
                    // Neither a clock nor another lock under this one.
                    drop(core);
                    let context = &self.registry.context;
                    new_batch = Some(RawBatch::new(
                        context.buffers.batch(expected),
                        self.shared.share.nothing(),
                        tokio::time::Instant::now(),
                        epoch_millis(context.time.now()),
                    ));
                }
            }
        };
        self.staged.clear();
        self.ready = Bytes::new();
        self.overhead = 0;
        self.registry.context.api.counters().appended(rows);
        self.appended = position;
        if last.is_some() {
            self.last = last;
        }
        if wake {
            self.shared.wake_driver();
        }
        Ok(Staged::Appended)
    }

    pub(super) fn missing(&self) -> usize {
        let staged = staged(&self.staged, &self.ready).len();
        (staged + self.overhead).saturating_sub(self.credit.bytes())
    }

    /// All of `batch` or nothing, without waiting.
    pub(crate) fn try_append(
        &mut self,
        batch: &RowBatch,
        offsets: Option<Offsets>,
    ) -> Result<Receipt> {
        let from = self.appended;
        // Whatever is wrong with a later row is to be known before the first is appended.
        if !matches!(offsets, Some(Offsets::Whole { .. })) {
            for row in batch.as_bytes().split_inclusive(|b| *b == b'\n') {
                self.check_unit(row)?;
            }
        }
        // Two pieces in a row are more than one piece's bytes together.
        let pieces = 2 * (batch.as_bytes().len() / self.piece() + 1);
        let overhead = match &offsets {
            Some(Offsets::Whole { start, end }) => {
                UNIT_CHARGE + start.as_str().len() + end.as_str().len()
            }
            _ => pieces * UNIT_CHARGE,
        };
        let bytes = batch.as_bytes().len() + overhead;
        let mut source = BatchSource::new(batch.clone(), offsets);
        if bytes > self.shared.share.cap() {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "a batch of {} bytes is more than the channel's {} bytes of memory; split it, or append it without `try_`",
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
                "there is no memory for the batch now; nothing was appended: try again, or use `append_batch`, which waits",
            ));
        };
        self.begin();
        self.credit.absorb(charge);
        let result = loop {
            if let Err(error) = source.fill(&mut Staging(self)) {
                break Err(error);
            }
            if self.units.is_empty() {
                break Ok(());
            }
            if let Err(error) = self.commit_staged(false) {
                break Err(error);
            }
        };
        self.end();
        result.map(|()| Receipt::new(Arc::clone(&self.shared), from, self.appended))
    }
}

/// A dropped channel drains in the background.
impl Drop for Writer {
    fn drop(&mut self) {
        let until = tokio::time::Instant::now() + self.registry.context.options.close_timeout;
        self.shared.update_and_wake(|core, _| {
            if !core.is_ended() {
                core.drain(until);
            }
        });
    }
}

/// Rows are staged in one of two places.
fn staged<'a>(encoded: &'a [u8], ready: &'a [u8]) -> &'a [u8] {
    if ready.is_empty() { encoded } else { ready }
}

/// What became of what was staged.
pub(super) enum Staged {
    Appended,
    /// There is no memory for it.
    NoMemory,
    /// The driver has two batches to compress before it.
    Behind,
}

fn last_offset(unit: &Unit) -> Option<Offset> {
    match &unit.tokens {
        UnitTokens::Run { first } => Some(Offset::Integer(first + i128::from(unit.rows) - 1)),
        UnitTokens::Whole { end, .. } => Some(Offset::Token(end.clone())),
        UnitTokens::Untracked => None,
    }
}
