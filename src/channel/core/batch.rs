//! Batches: rows with their unit boundaries. A sealed batch is one zstd frame.

use bytes::Bytes;
use tokio::time::Instant;

use crate::base::budget::Charge;
use crate::compress::compressor::{Compressor, smaller};
use crate::compress::frame;
use crate::types::close_report::{RowState, UncommittedRange};
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::offset::OffsetToken;

/// The charge for the bookkeeping of one unit, in addition to the bytes of its rows.
pub(crate) const UNIT_CHARGE: usize = 64;

/// The tokens of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UnitTokens {
    /// Row `i` carries the token `first + i`; may be split at any row.
    Run { first: i128 },
    /// All rows share these tokens; never split.
    Whole {
        start: OffsetToken,
        end: OffsetToken,
    },
    /// No tokens: the core makes one for the request. May be split at any row.
    Untracked,
}

/// Rows that were appended together, or a run of rows with consecutive tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) tokens: UnitTokens,
    pub(crate) rows: u64,
    /// The bytes of the rows.
    pub(crate) len: usize,
}

impl Unit {
    fn start(&self) -> Option<OffsetToken> {
        match &self.tokens {
            UnitTokens::Run { first } => Some(OffsetToken::from_integer(*first)),
            UnitTokens::Whole { start, .. } => Some(start.clone()),
            UnitTokens::Untracked => None,
        }
    }

    fn end(&self) -> Option<OffsetToken> {
        match &self.tokens {
            UnitTokens::Run { first } => {
                Some(OffsetToken::from_integer(first + i128::from(self.rows) - 1))
            }
            UnitTokens::Whole { end, .. } => Some(end.clone()),
            UnitTokens::Untracked => None,
        }
    }

    /// The charge in addition to the bytes of the rows.
    pub(crate) fn overhead(&self) -> usize {
        match &self.tokens {
            UnitTokens::Whole { start, end } => {
                UNIT_CHARGE + start.as_str().len() + end.as_str().len()
            }
            UnitTokens::Run { .. } | UnitTokens::Untracked => UNIT_CHARGE,
        }
    }

    /// Whether `next` continues this unit's run.
    fn continues_in(&self, next: &Unit) -> bool {
        match (&self.tokens, &next.tokens) {
            (UnitTokens::Run { first }, UnitTokens::Run { first: after }) => {
                first + i128::from(self.rows) == *after
            }
            (UnitTokens::Untracked, UnitTokens::Untracked) => true,
            _ => false,
        }
    }

    /// Merges `next` into this unit if it continues the run, and returns whether it did.
    fn merge(&mut self, next: &Unit) -> bool {
        let is_continued = self.continues_in(next);
        if is_continued {
            self.rows += next.rows;
            self.len += next.len;
        }
        is_continued
    }

    fn may_split(&self) -> bool {
        self.rows > 1 && !matches!(self.tokens, UnitTokens::Whole { .. })
    }

    /// Splits off the rows from row `at`, which begins at byte `byte` of the unit.
    fn split_off(&mut self, at: u64, byte: usize) -> Unit {
        let tokens = match &self.tokens {
            UnitTokens::Run { first } => UnitTokens::Run {
                first: first + i128::from(at),
            },
            other => other.clone(),
        };
        let tail = Unit {
            tokens,
            rows: self.rows - at,
            len: self.len - byte,
        };
        self.rows = at;
        self.len = byte;
        tail
    }
}

/// Adds `next` to `units`, merged into the last unit if it continues that run.
pub(crate) fn push_unit(units: &mut Vec<Unit>, next: Unit) {
    if !units.last_mut().is_some_and(|last| last.merge(&next)) {
        units.push(next);
    }
}

/// The charge for rows and their bookkeeping.
pub(crate) fn cost(bytes: usize, units: &[Unit]) -> usize {
    bytes + units.iter().map(Unit::overhead).sum::<usize>()
}

/// Rows with their unit boundaries. The payload `P` is plain bytes until the batch is compressed, and a frame afterwards.
#[derive(Debug)]
pub(crate) struct Batch<P> {
    pub(crate) payload: P,
    pub(crate) units: Vec<Unit>,
    pub(crate) charge: Charge,
    /// The position of the last row.
    pub(crate) position: u64,
    pub(crate) first_append: Instant,
    pub(crate) first_append_ms: u64,
    /// Whether the server has refused the batch as too large.
    pub(crate) is_refused: bool,
}

/// A batch that is not compressed yet.
pub(crate) type RawBatch = Batch<Vec<u8>>;

/// A compressed batch: the content of one request.
pub(crate) type SealedBatch = Batch<Frame>;

/// Compressed rows: the body of a request.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) body: Bytes,
    pub(crate) uncompressed_len: usize,
}

impl<P> Batch<P> {
    /// A batch without units. `now` is the time of its first append.
    pub(crate) fn new(payload: P, charge: Charge, now: Instant, epoch_ms: u64) -> Self {
        Self {
            payload,
            units: Vec::new(),
            charge,
            position: 0,
            first_append: now,
            first_append_ms: epoch_ms,
            is_refused: false,
        }
    }

    pub(crate) fn rows(&self) -> u64 {
        self.units.iter().map(|u| u.rows).sum()
    }

    pub(crate) fn start(&self) -> Option<OffsetToken> {
        self.units.first().and_then(Unit::start)
    }

    pub(crate) fn end(&self) -> Option<OffsetToken> {
        self.units.last().and_then(Unit::end)
    }

    /// The batch as a range of a report, with its rows in `state`.
    pub(crate) fn range(&self, state: RowState) -> UncommittedRange {
        UncommittedRange::new(state, self.rows(), self.start(), self.end())
    }

    /// Replaces the payload and returns the old one as well.
    fn replace<Q>(self, payload: Q) -> (Batch<Q>, P) {
        let batch = Batch {
            payload,
            units: self.units,
            charge: self.charge,
            position: self.position,
            first_append: self.first_append,
            first_append_ms: self.first_append_ms,
            is_refused: false,
        };
        (batch, self.payload)
    }
}

impl RawBatch {
    /// Whether `next` only extends the last unit.
    pub(crate) fn continues_in(&self, next: &Unit) -> bool {
        self.units
            .last()
            .is_some_and(|last| last.continues_in(next))
    }

    /// Where to split into two nearly equal halves: the index of a unit, a row of it, and the byte in the payload. `None` if
    /// the batch cannot be split.
    fn middle(&self) -> Option<(usize, u64, usize)> {
        let half = self.payload.len() / 2;
        let mut start = 0;
        for (i, unit) in self.units.iter().enumerate() {
            let end = start + unit.len;
            if end > half || i + 1 == self.units.len() {
                if unit.may_split() {
                    let bytes = self.payload.get(start..end)?;
                    return row_near(bytes, half.saturating_sub(start))
                        .map(|(row, byte)| (i, row, start + byte));
                }
                // A unit that may not be split straddles the middle: split at its nearer edge, with rows on both sides.
                return if i + 1 < self.units.len() && end - half <= half - start {
                    Some((i + 1, 0, end))
                } else if i > 0 {
                    Some((i, 0, start))
                } else {
                    None
                };
            }
            start = end;
        }
        None
    }

    /// Splits the batch in two, or returns it unchanged if that is not possible. The head keeps the charge.
    fn split(mut self) -> Result<(Self, Self), Box<Self>> {
        let Some((index, row, byte)) = self.middle() else {
            return Err(Box::new(self));
        };
        let tail_bytes = self.payload.split_off(byte);
        let mut tail_units = self.units.split_off(index);
        if row > 0 && !tail_units.is_empty() {
            let mut head = tail_units.remove(0);
            let before: usize = self.units.iter().map(|u| u.len).sum();
            let rest = head.split_off(row, byte - before);
            self.units.push(head);
            tail_units.insert(0, rest);
        }
        let tail_rows: u64 = tail_units.iter().map(|u| u.rows).sum();
        let tail = Self {
            payload: tail_bytes,
            units: tail_units,
            charge: self.charge.split_off(0),
            position: self.position,
            first_append: self.first_append,
            first_append_ms: self.first_append_ms,
            is_refused: false,
        };
        self.position -= tail_rows;
        Ok((self, tail))
    }
}

/// The first row boundary at or after `target`, or the last one before it, with rows on both sides: the number of rows
/// before it, and its byte.
fn row_near(bytes: &[u8], target: usize) -> Option<(u64, usize)> {
    let mut best: Option<(u64, usize)> = None;
    let mut rows = 0;
    for (i, _) in bytes.iter().enumerate().filter(|(_, b)| **b == b'\n') {
        rows += 1;
        let at = i + 1;
        if at == bytes.len() {
            break;
        }
        best = Some((rows, at));
        if at >= target {
            break;
        }
    }
    best
}

impl SealedBatch {
    /// Whether the rows can be sent in more than one request.
    pub(crate) fn may_be_split(&self) -> bool {
        self.units.len() > 1 || self.units.first().is_some_and(Unit::may_split)
    }

    /// The most bytes that its rows may have in one request, if the client's limit is `limit`.
    pub(crate) fn limit(&self, limit: usize) -> usize {
        if self.is_refused {
            limit.min(self.payload.body.len() / 2)
        } else {
            limit
        }
    }

    /// Decompresses the rows, so that the batch can be split.
    pub(crate) fn decompress(self) -> Result<RawBatch> {
        let Frame {
            body,
            uncompressed_len,
        } = &self.payload;
        let bytes = frame::decompress(body, *uncompressed_len).map_err(|error| {
            Error::new(
                ErrorKind::Protocol,
                "a sealed batch could not be read back to be split",
            )
            .with_source(error)
        })?;
        Ok(self.replace(bytes).0)
    }
}

/// Compresses a batch into one request, or into several if it exceeds `limit` bytes. A unit that may not be split is then
/// compressed more thoroughly, and sealed even if it is still larger: its append checked that it fits into the largest request, and
/// `limit` may have been learned since.
pub(crate) fn seal(
    compressor: &mut Compressor,
    mut batch: RawBatch,
    limit: usize,
) -> Result<Vec<SealedBatch>> {
    // The parts share the charge of the whole. If the batch was sealed before, that is only its compressed length.
    let mut remaining = batch.charge.split_off(usize::MAX);
    let mut todo = vec![batch];
    let mut done = Vec::with_capacity(1);
    while let Some(batch) = todo.pop() {
        let mut body = compressor.compress(&batch.payload)?;
        let whole = if body.len() > limit {
            match batch.split() {
                Ok((head, tail)) => {
                    todo.push(tail);
                    todo.push(head);
                    continue;
                }
                Err(unit) => {
                    body = smaller(body, &unit.payload)?;
                    *unit
                }
            }
        } else {
            batch
        };
        let frame = Frame {
            body,
            uncompressed_len: whole.payload.len(),
        };
        let charge = remaining.split_off(cost(frame.body.len(), &whole.units));
        let (mut sealed, bytes) = whole.replace(frame);
        sealed.charge = charge;
        compressor.keep_spent(bytes);
        done.push(sealed);
    }
    Ok(done)
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
