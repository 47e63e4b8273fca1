//! Batches of an elastic channel: the rows of many appends while they are collected, compressed, and handed back.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::time::Instant;

use crate::base::budget::{Charge, HandedBack};
use crate::compress::compressor::{Compressor, smaller};
use crate::compress::frame::decompress;
use crate::types::error::{Error, ErrorKind, Result};

/// The rows of one append in one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) append: u64,
    pub(super) rows: u64,
    pub(super) len: usize,
}

/// The rows of many appends. The payload `P` is plain bytes until the batch is compressed, an [`Arc<Frame>`] during the
/// compression, and a [`Piece`] afterwards.
#[derive(Debug)]
pub(super) struct Batch<P> {
    pub(super) payload: P,
    pub(super) parts: Vec<Part>,
    pub(super) charge: Charge,
    pub(super) first_append: Instant,
    pub(super) first_append_ms: u64,
    /// Whether the server has refused the batch as too large.
    pub(super) is_refused: bool,
}

/// A batch that is not compressed yet.
pub(super) type RawBatch = Batch<Vec<u8>>;

/// A batch that is being compressed. It shares its rows with the compression task.
pub(super) type FrameBatch = Batch<Arc<Frame>>;

/// A compressed batch: the content of one request.
pub(super) type SealedBatch = Batch<Piece>;

impl<P> Batch<P> {
    pub(super) fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.rows).sum()
    }

    /// Converts the payload.
    pub(super) fn map<Q>(self, convert: impl FnOnce(P) -> Q) -> Batch<Q> {
        Batch {
            payload: convert(self.payload),
            parts: self.parts,
            charge: self.charge,
            first_append: self.first_append,
            first_append_ms: self.first_append_ms,
            is_refused: false,
        }
    }
}

impl RawBatch {
    pub(super) fn into_frame(self) -> FrameBatch {
        self.map(|bytes| Arc::new(Frame::of_rows(bytes.into())))
    }
}

impl SealedBatch {
    /// Whether the batch exceeds `limit` or was refused, and can be split.
    pub(super) fn is_too_large(&self, limit: usize) -> bool {
        self.payload.body.len() > self.limit(limit) && self.may_be_split()
    }

    /// The most bytes that its rows may have in one request, if the client's limit is `limit`.
    pub(super) fn limit(&self, limit: usize) -> usize {
        if self.is_refused {
            limit.min(self.payload.body.len() / 2)
        } else {
            limit
        }
    }

    pub(super) fn may_be_split(&self) -> bool {
        self.rows() > 1
    }

    /// Prepares the rows to be handed back or compressed again.
    pub(super) fn into_frame(self) -> FrameBatch {
        self.map(|piece| {
            Arc::new(Frame {
                compressed: Some((piece.body, piece.len)),
                rows: OnceLock::new(),
            })
        })
    }
}

/// The body of a request, and its uncompressed length.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) body: Bytes,
    pub(super) len: usize,
}

/// Compresses rows into as few requests of at most `limit` bytes as halving allows. A single row is then compressed more
/// thoroughly, and sealed even if it is still larger: its append checked that it fits into the largest request, and `limit` may have
/// been learned since.
pub(super) fn seal(compressor: &mut Compressor, rows: Bytes, limit: usize) -> Result<Vec<Piece>> {
    let mut todo = vec![rows];
    let mut done = Vec::with_capacity(1);
    while let Some(rows) = todo.pop() {
        let body = compressor.compress(&rows)?;
        let is_too_large = body.len() > limit;
        let body = match middle(&rows).filter(|_| is_too_large) {
            Some(at) => {
                todo.push(rows.slice(at..));
                todo.push(rows.slice(..at));
                continue;
            }
            None if is_too_large => smaller(body, &rows)?,
            None => body,
        };
        done.push(Piece {
            body,
            len: rows.len(),
        });
    }
    Ok(done)
}

/// A row boundary near the middle, or `None` if there is only one row.
fn middle(rows: &[u8]) -> Option<usize> {
    let half = rows.len() / 2;
    let is_end = |byte: &u8| *byte == b'\n';
    let before = rows.get(..half)?.iter().rposition(is_end);
    let after = || rows.get(half..)?.iter().position(is_end).map(|i| half + i);
    let at = before.or_else(after)? + 1;
    (at < rows.len()).then_some(at)
}

/// Removes from `parts` what lies in the first `len` bytes of `rows`, and returns it. A part that extends beyond `len` is
/// split there.
pub(super) fn assign(parts: &mut Vec<Part>, rows: &[u8], len: usize) -> Vec<Part> {
    let mut at = 0;
    let whole = parts.iter().take_while(|part| {
        let fits = at + part.len <= len;
        at += if fits { part.len } else { 0 };
        fits
    });
    let mut assigned: Vec<Part> = whole.copied().collect();
    let mut rest = parts.split_off(assigned.len());
    if let Some(cut) = rest.first_mut().filter(|_| at < len) {
        let head = rows.get(at..len).unwrap_or_default();
        let head = Part {
            append: cut.append,
            rows: head.split_inclusive(|byte| *byte == b'\n').count() as u64,
            len: head.len(),
        };
        cut.rows = cut.rows.saturating_sub(head.rows);
        cut.len = cut.len.saturating_sub(head.len);
        assigned.push(head);
    }
    *parts = rest;
    assigned
}

/// The rows of a batch, plain or compressed. Compressed rows are decompressed at the first use.
#[derive(Debug)]
pub(super) struct Frame {
    /// The compressed rows and their uncompressed length.
    compressed: Option<(Bytes, usize)>,
    rows: OnceLock<Bytes>,
}

impl Frame {
    pub(super) fn of_rows(rows: Bytes) -> Self {
        Self {
            compressed: None,
            rows: OnceLock::from(rows),
        }
    }

    /// The length of the rows, uncompressed.
    pub(super) fn len(&self) -> usize {
        let compressed = self.compressed.as_ref().map(|(_, len)| *len);
        compressed
            .or_else(|| self.rows.get().map(Bytes::len))
            .unwrap_or(0)
    }

    pub(super) fn rows(&self) -> Result<Bytes> {
        if let Some(rows) = self.rows.get() {
            return Ok(rows.clone());
        }
        let (body, len) = self
            .compressed
            .as_ref()
            .map_or((&[][..], 0), |p| (&p.0, p.1));
        let rows = decompress(body, len).map_err(|why| {
            let text = "a sealed batch could not be read back";
            Error::new(ErrorKind::Protocol, text).with_source(why)
        })?;
        Ok(self.rows.get_or_init(|| Bytes::from(rows)).clone())
    }
}

/// The rows of one append in a batch that was given up.
#[derive(Debug, Clone)]
pub(super) struct Returned {
    pub(super) frame: Arc<Frame>,
    pub(super) at: usize,
    pub(super) part: Part,
    /// The charge of the batch, shared by its appends. `None` once the caller has the rows.
    pub(super) charge: Option<Arc<HandedBack>>,
}

impl Returned {
    /// Splits a batch into the rows of its appends, in order.
    pub(super) fn of(batch: FrameBatch) -> Vec<Self> {
        let frame = batch.payload;
        let charge = Arc::new(batch.charge.handed_back());
        let mut at = 0;
        let place = |part: &Part| {
            let place = Self {
                frame: Arc::clone(&frame),
                at,
                part: *part,
                charge: Some(Arc::clone(&charge)),
            };
            at += part.len;
            place
        };
        batch.parts.iter().map(place).collect()
    }

    pub(super) fn rows(&self) -> Result<Bytes> {
        let rows = self.frame.rows()?;
        let end = (self.at + self.part.len).min(rows.len());
        Ok(rows.slice(self.at.min(end)..end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::budget::Budget;

    fn part(append: u64, rows: u64, len: usize) -> Part {
        Part { append, rows, len }
    }

    #[test]
    fn a_batch_that_is_too_large_is_cut_between_rows() {
        let mut compressor = Compressor::new(1).unwrap();
        let rows = Bytes::from_static(b"{\"a\":1}\n{\"a\":22}\n{\"a\":333}\n");
        let whole = seal(&mut compressor, rows.clone(), 1000).unwrap();
        assert_eq!(whole.iter().map(|p| p.len).collect::<Vec<_>>(), [27]);
        let single = seal(&mut compressor, rows.clone(), 1).unwrap();
        assert_eq!(single.iter().map(|p| p.len).collect::<Vec<_>>(), [8, 9, 10]);
        let texts = single.iter().map(|p| decompress(&p.body, p.len).unwrap());
        assert_eq!(texts.collect::<Vec<_>>().concat(), rows);
    }

    #[test]
    fn parts_are_assigned_by_the_bytes_of_the_pieces() {
        // Two rows of append 1, three of append 2.
        let rows = b"{}\n{}\n{}\n{}\n{}\n";
        let mut parts = vec![part(1, 2, 6), part(2, 3, 9)];
        assert_eq!(assign(&mut parts, rows, 9), [part(1, 2, 6), part(2, 1, 3)]);
        assert_eq!(parts, [part(2, 2, 6)]);
        assert_eq!(assign(&mut parts, &rows[9..], 6), [part(2, 2, 6)]);
        assert_eq!(parts, []);
    }

    #[test]
    fn each_append_gets_its_own_rows_back() {
        let rows = Bytes::from_static(b"{\"a\":1}\n{\"a\":22}\n");
        let parts = [part(1, 1, 8), part(2, 1, 9)];
        let body = Compressor::new(1).unwrap().compress(&rows).unwrap();
        let compressed = Frame {
            compressed: Some((body, 17)),
            rows: OnceLock::new(),
        };
        for frame in [compressed, Frame::of_rows(rows)] {
            let returned = Returned::of(Batch {
                payload: Arc::new(frame),
                parts: parts.to_vec(),
                charge: Budget::new(0).share(0).nothing(),
                first_append: Instant::now(),
                first_append_ms: 0,
                is_refused: false,
            });
            assert_eq!(returned[0].rows().unwrap(), "{\"a\":1}\n");
            assert_eq!(returned[1].rows().unwrap(), "{\"a\":22}\n");
        }
    }
}
