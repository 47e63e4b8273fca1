//! The writing end of a channel: it stages the rows of an append, moves them into the open batch, and remembers the last token.
//!
//! An append encodes rows on the caller's thread, piece by piece. A piece is charged to the budget before it moves into the open
//! batch. A unit that may not be split is at most a quarter of the budget; a larger one is refused and does not wait. Rows that share
//! a token are encoded no further than that, so that an endless iterator is refused and does not fill the memory first.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::core::AppendOutcome;
use super::core::batch::{Frame, RawBatch, SealedBatch, UNIT_CHARGE, Unit, UnitTokens, push_unit};
use super::receipt::Receipt;
use super::row_source::{BatchSource, RowSource};
use super::shared::Shared;
use crate::base::budget::Charge;
use crate::base::time::epoch_millis;
use crate::compress::unit;
use crate::context::ClientContext;
use crate::rows::{self, RowBatch};
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::offset::OffsetToken;
use crate::types::offset::arguments::{Offset, Offsets};

/// The writing end of a channel: its handle has one for all its appends, and a sender makes one for each.
pub(crate) struct Writer {
    context: Arc<ClientContext>,
    pub(crate) shared: Arc<Shared>,
    /// The rows of the append under way.
    pub(super) staging: Staging,
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
            staging: Staging::new(Arc::clone(&context), shared.share.nothing()),
            context,
            shared,
            last: None,
        }
    }

    /// Moves the staged rows into the open batch, unless they have to wait. With `waits`, they also wait for the driver.
    pub(super) fn append(&mut self, waits: bool) -> Result<Staged> {
        let last = self.staging.last_offset();
        let frame = self.staging.take_frame();
        let (staged, wake) = match &frame {
            Some(frame) => (self.append_sealed(waits, frame)?, true),
            None => self.append_raw(waits)?,
        };
        match &staged {
            Staged::Appended(rows) => {
                self.staging.clear();
                self.context.api.counters().appended(rows.end - rows.start);
                if last.is_some() {
                    self.last = last;
                }
                if wake {
                    self.shared.wake_driver();
                }
            }
            Staged::NoMemory | Staged::Behind => self.staging.set_frame(frame),
        }
        Ok(staged)
    }
    /// Moves the staged rows into the open batch. Returns also whether to wake the driver.
    fn append_raw(&mut self, waits: bool) -> Result<(Staged, bool)> {
        let Staging {
            encoded,
            ready,
            units,
            credit,
            ..
        } = &mut self.staging;
        let bytes = if ready.is_empty() {
            &encoded[..]
        } else {
            ready
        };
        let rows: u64 = units.iter().map(|unit| unit.rows).sum();
        let mut new_batch = None;
        loop {
            let mut core = self.shared.core();
            if waits && core.is_behind(bytes.len()) {
                return Ok((Staged::Behind, false));
            }
            match core.append(&mut new_batch, bytes, units, credit)? {
                AppendOutcome::Appended { position, wake } => {
                    return Ok((Staged::Appended(position - rows..position), wake));
                }
                AppendOutcome::NoMemory => return Ok((Staged::NoMemory, false)),
                AppendOutcome::NoBatch { expected } => {
                    // Neither read a clock nor take another lock while the core is locked.
                    drop(core);
                    new_batch = Some(RawBatch::new(
                        self.context.buffers.batch(expected),
                        self.shared.share.nothing(),
                        tokio::time::Instant::now(),
                        epoch_millis(self.context.time.now()),
                    ));
                }
            }
        }
    }

    /// As [`append_raw`](Self::append_raw), for a unit that is compressed already. The driver is always to be woken.
    fn append_sealed(&mut self, waits: bool, frame: &Bytes) -> Result<Staged> {
        let (rows, len) = (self.staging.rows(), self.staging.len());
        let frame = Frame {
            body: frame.clone(),
            uncompressed_len: len,
        };
        let batch = SealedBatch::new(
            frame,
            self.shared.share.nothing(),
            tokio::time::Instant::now(),
            epoch_millis(self.context.time.now()),
        );
        let mut core = self.shared.core();
        if waits && core.is_behind(len) {
            return Ok(Staged::Behind);
        }
        let Staging { units, credit, .. } = &mut self.staging;
        let appended = core.append_sealed(batch, units, credit)?;
        Ok(appended.map_or(Staged::NoMemory, |position| {
            Staged::Appended(position - rows..position)
        }))
    }

    /// Appends all of `batch` or nothing, without waiting.
    pub(crate) fn try_append(
        &mut self,
        batch: &RowBatch,
        offsets: Option<Offsets>,
    ) -> Result<Receipt> {
        self.staging.begin();
        let result = self.try_append_pieces(batch, offsets);
        self.staging.release_buffer();
        result.map(|appended| appended.receipt(&self.shared))
    }

    fn try_append_pieces(
        &mut self,
        batch: &RowBatch,
        offsets: Option<Offsets>,
    ) -> Result<Appended> {
        // Check all rows before the first one is appended.
        self.context.check_rows(batch.as_bytes())?;
        if !matches!(offsets, Some(Offsets::Whole { .. })) {
            for row in batch.as_bytes().split_inclusive(|b| *b == b'\n') {
                self.staging.check_row(row)?;
            }
        }
        // An upper bound: two consecutive pieces always have more bytes together than one full piece.
        let pieces = 2 * (batch.as_bytes().len() / self.staging.piece() + 1);
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
        self.staging.add_credit(charge);
        let mut source = BatchSource::new(batch.clone(), offsets);
        let mut appended = Appended::default();
        loop {
            source.fill(&mut self.staging)?;
            self.staging.check_now()?;
            if self.staging.is_empty() {
                return Ok(appended);
            }
            if let Staged::Appended(rows) = self.append(false)? {
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

/// Rows are encoded and charged in pieces of about this size.
const PIECE: usize = 256 << 10;

/// The rows of an append that are not in the open batch yet.
pub struct Staging {
    context: Arc<ClientContext>,
    encoded: Vec<u8>,
    /// Rows that the caller passed as bytes, without a copy, or that are being checked. Either this or `encoded` is empty.
    ready: Bytes,
    units: Vec<Unit>,
    /// The units among the staged bytes that may be too large for a request.
    unchecked: Vec<Range<usize>>,
    /// The frame of the staged rows, if they are a single unit that was checked.
    frame: Option<Bytes>,
    /// The charge of the units in addition to the bytes of their rows.
    overhead: usize,
    /// The charge taken for the staged rows so far.
    credit: Charge,
}

impl std::fmt::Debug for Staging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Staging")
            .field("bytes", &self.bytes().len())
            .field("units", &self.units.len())
            .finish_non_exhaustive()
    }
}

/// The outcome of moving staged rows into the open batch.
pub(super) enum Staged {
    /// The rows are in the open batch: their positions, after the start and through the end.
    Appended(Range<u64>),
    /// There is no memory for the rows now.
    NoMemory,
    /// The open batch is full and another one is still to be compressed.
    Behind,
}

impl Staging {
    fn new(context: Arc<ClientContext>, credit: Charge) -> Self {
        Self {
            context,
            encoded: Vec::new(),
            ready: Bytes::new(),
            units: Vec::new(),
            unchecked: Vec::new(),
            frame: None,
            overhead: 0,
            credit,
        }
    }

    /// Begins an append. What one that was leaked has staged is discarded.
    pub(super) fn begin(&mut self) {
        self.discard();
        if self.encoded.capacity() == 0 {
            self.encoded = self.context.buffers.piece();
        }
    }

    /// Discards what is staged and returns a large buffer to the client's pool.
    pub(super) fn release_buffer(&mut self) {
        self.discard();
        self.context.buffers.keep_piece(&mut self.encoded);
    }

    /// Discards what is staged and returns its charge to the budget.
    pub(super) fn discard(&mut self) {
        self.clear();
        self.units.clear();
        // Merged runs cost less than they were charged with.
        self.credit.shrink_to(0);
    }

    /// Clears the bytes of rows that are in a batch by now, or discarded.
    fn clear(&mut self) {
        self.encoded.clear();
        // `Bytes::clear` would keep the caller's buffer alive.
        self.ready = Bytes::new();
        self.unchecked.clear();
        self.frame = None;
        self.overhead = 0;
    }

    /// The size of a piece. A piece and the longest row together fit well into the memory of a channel.
    pub(super) fn piece(&self) -> usize {
        PIECE.min(self.context.options.max_unit() / 2)
    }

    /// Whether the staged rows, with the charge of their units, fill a piece.
    pub(super) fn is_full(&self) -> bool {
        self.encoded.len() + self.overhead >= self.piece()
    }

    /// Stages encoded rows as one unit.
    pub(super) fn stage_bytes(
        &mut self,
        bytes: Bytes,
        rows: u64,
        tokens: UnitTokens,
    ) -> Result<()> {
        let len = bytes.len();
        self.context.check_rows(&bytes)?;
        self.ready = bytes;
        if rows == 1 || matches!(tokens, UnitTokens::Whole { .. }) {
            self.check_unit(0..len)?;
        } else {
            // Together they have no more than a piece.
            self.unchecked = unit::rows_longer_than(self.always_fits(), &self.ready);
        }
        self.push(Unit { tokens, rows, len });
        Ok(())
    }

    /// Adds the unit of rows that are staged.
    fn push(&mut self, unit: Unit) {
        let (overhead, before) = (unit.overhead(), self.units.len());
        push_unit(&mut self.units, unit);
        self.overhead += overhead * (self.units.len() - before);
    }

    /// Refuses a unit that never fits into the budget, and notes one that may be too large for a request.
    fn check_unit(&mut self, unit: Range<usize>) -> Result<()> {
        let bytes = self.bytes().get(unit.clone()).unwrap_or_default();
        unit::check_len(bytes, &self.context.options)?;
        if bytes.len() > self.always_fits() {
            self.unchecked.push(unit);
        }
        Ok(())
    }

    /// Refuses the row that was encoded last, from `start`, if it does not fit the columns.
    fn check_columns(&self, start: usize) -> Result<()> {
        let row = self.encoded.get(start..).unwrap_or_default();
        self.context.check_rows(row)
    }

    fn always_fits(&self) -> usize {
        self.context.options.always_fits()
    }

    /// Whether [`check`](Self::check) has to be called before the staged rows are appended.
    pub(super) fn is_unchecked(&self) -> bool {
        !self.unchecked.is_empty()
    }

    /// Compresses the units that may be too large for a request, and refuses one that is. The result goes to
    /// [`set_frame`](Self::set_frame).
    pub(super) fn check(&mut self) -> impl Future<Output = Result<Option<Bytes>>> + Send + use<> {
        if self.ready.is_empty() {
            self.ready = std::mem::take(&mut self.encoded).into();
        }
        let compressors = Arc::clone(&self.context.compressors);
        let units = std::mem::take(&mut self.unchecked);
        compressors.compress_units(
            self.ready.clone(),
            units,
            self.context.options.max_request_bytes,
        )
    }

    pub(super) fn set_frame(&mut self, frame: Option<Bytes>) {
        self.frame = frame;
    }

    fn take_frame(&mut self) -> Option<Bytes> {
        self.frame.take()
    }

    /// As [`check`](Self::check), on this thread.
    pub(super) fn check_now(&mut self) -> Result<()> {
        let units = std::mem::take(&mut self.unchecked);
        if !units.is_empty() {
            self.frame = self.compress_now(self.bytes(), &units)?;
        }
        Ok(())
    }

    /// Refuses a row that never fits into a request or into the budget.
    pub(super) fn check_row(&self, row: &[u8]) -> Result<()> {
        unit::check_len(row, &self.context.options)?;
        if row.len() > self.always_fits() {
            self.compress_now(row, std::slice::from_ref(&(0..row.len())))?;
        }
        Ok(())
    }

    fn compress_now(&self, rows: &[u8], units: &[Range<usize>]) -> Result<Option<Bytes>> {
        let limit = self.context.options.max_request_bytes;
        let compressors = &self.context.compressors;
        compressors.with(|compressor| unit::compress_each(compressor, rows, units, limit))
    }

    /// Encodes one row as a unit.
    pub(super) fn stage_row<R: Serialize + ?Sized>(
        &mut self,
        row: &R,
        tokens: UnitTokens,
    ) -> Result<()> {
        let start = self.encoded.len();
        rows::encode(row, self.context.options.encoding, &mut self.encoded)?;
        self.check_columns(start)?;
        let end = self.encoded.len();
        self.check_unit(start..end)?;
        let len = end - start;
        self.push(Unit {
            tokens,
            rows: 1,
            len,
        });
        Ok(())
    }

    /// Encodes rows as one unit until a piece is full or `next` returns `None`.
    pub(super) fn stage_run<R: Serialize>(
        &mut self,
        tokens: UnitTokens,
        mut next: impl FnMut() -> Option<R>,
    ) -> Result<()> {
        let (start, mut rows) = (self.encoded.len(), 0);
        while !self.is_full()
            && let Some(row) = next()
        {
            let before = self.encoded.len();
            rows::encode(&row, self.context.options.encoding, &mut self.encoded)?;
            self.check_columns(before)?;
            self.check_unit(before..self.encoded.len())?;
            rows += 1;
        }
        if rows > 0 {
            let len = self.encoded.len() - start;
            self.push(Unit { tokens, rows, len });
        }
        Ok(())
    }

    /// Encodes rows that may not be split.
    pub(super) fn stage_whole<R: Serialize>(
        &mut self,
        rows: impl Iterator<Item = R>,
        start: OffsetToken,
        end: OffsetToken,
    ) -> Result<()> {
        let mut count = 0;
        for row in rows {
            let before = self.encoded.len();
            rows::encode(&row, self.context.options.encoding, &mut self.encoded)?;
            self.check_columns(before)?;
            count += 1;
            // Checked after each row, so that an endless iterator does not fill the memory.
            if self.encoded.len() > self.context.options.max_unit() {
                break;
            }
        }
        self.check_unit(0..self.encoded.len())?;
        if count > 0 {
            self.push(Unit {
                tokens: UnitTokens::Whole { start, end },
                rows: count,
                len: self.encoded.len(),
            });
        }
        Ok(())
    }

    /// Returns what is left of an earlier charge, and says how many bytes to wait for. Appends that wait hold nothing, so no
    /// number of them waits for each other.
    pub(super) fn release_credit(&mut self) -> usize {
        self.credit.shrink_to(0);
        self.frame.as_ref().map_or(self.len(), Bytes::len) + self.overhead
    }

    /// Adds a charge for the staged rows.
    pub(super) fn add_credit(&mut self, charge: Charge) {
        self.credit.absorb(charge);
    }

    fn rows(&self) -> u64 {
        self.units.iter().map(|unit| unit.rows).sum()
    }

    /// The token of the last staged row, if it has one.
    pub(super) fn last_offset(&self) -> Option<Offset> {
        let unit = self.units.last()?;
        match &unit.tokens {
            UnitTokens::Run { first } => Some(Offset::Integer(first + i128::from(unit.rows) - 1)),
            UnitTokens::Whole { end, .. } => Some(Offset::Token(end.clone())),
            UnitTokens::Untracked => None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// How many bytes the staged rows have.
    pub(super) fn len(&self) -> usize {
        self.bytes().len()
    }

    /// The bytes of the staged rows.
    fn bytes(&self) -> &[u8] {
        if self.ready.is_empty() {
            &self.encoded
        } else {
            &self.ready
        }
    }
}
