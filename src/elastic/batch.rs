//! Batches of an elastic channel: the rows of many appends, open, sealed, and handed back.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::time::Instant;

use crate::base::budget::{Charge, HandedBack};
use crate::compress::compressor::Compressor;
use crate::compress::frame::decompress;
use crate::types::error::{Error, ErrorKind, Result};

/// The rows of one append in one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) append: u64,
    pub(super) rows: u64,
    pub(super) len: usize,
}

/// The rows of many appends. `P` is what holds the rows: plain bytes while the batch is open or waits, an [`Arc<Frame>`]
/// while it is compressed, a [`Piece`] afterwards.
#[derive(Debug)]
pub(super) struct Batch<P> {
    pub(super) payload: P,
    pub(super) parts: Vec<Part>,
    pub(super) charge: Charge,
    pub(super) first_append: Instant,
    pub(super) first_append_ms: u64,
}

/// A batch that is not compressed yet.
pub(super) type RawBatch = Batch<Vec<u8>>;

/// A batch that is being compressed. The compression shares its rows.
pub(super) type Compressing = Batch<Arc<Frame>>;

/// A batch that is ready to be sent: one request.
pub(super) type SealedBatch = Batch<Piece>;

impl<P> Batch<P> {
    pub(super) fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.rows).sum()
    }

    /// The same batch, with the payload that `convert` makes of its own.
    pub(super) fn map<Q>(self, convert: impl FnOnce(P) -> Q) -> Batch<Q> {
        Batch {
            payload: convert(self.payload),
            parts: self.parts,
            charge: self.charge,
            first_append: self.first_append,
            first_append_ms: self.first_append_ms,
        }
    }
}

impl RawBatch {
    pub(super) fn into_frame(self) -> Compressing {
        self.map(|bytes| Arc::new(Frame::of_rows(bytes.into())))
    }
}

impl SealedBatch {
    /// Whether it is larger than `limit` and has several rows.
    pub(super) fn is_too_large(&self, limit: usize) -> bool {
        self.payload.body.len() > limit && self.may_be_split()
    }

    pub(super) fn may_be_split(&self) -> bool {
        self.rows() > 1
    }

    /// Its rows, to be handed back or compressed again.
    pub(super) fn into_frame(self) -> Compressing {
        self.map(|piece| {
            Arc::new(Frame {
                packed: Some((piece.body, piece.len)),
                rows: OnceLock::new(),
            })
        })
    }
}

/// The body of a request, and how many bytes of rows are in it.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) body: Bytes,
    pub(super) len: usize,
}

/// Compresses rows into as many requests as `limit` makes necessary. A single row is sealed even if it is larger: its append
/// checked that it fits into the largest request, and the limit may have been learned since.
pub(super) fn seal(compressor: &mut Compressor, rows: Bytes, limit: usize) -> Result<Vec<Piece>> {
    let mut todo = vec![rows];
    let mut done = Vec::with_capacity(1);
    while let Some(rows) = todo.pop() {
        let body = compressor.compress(&rows)?;
        match middle(&rows).filter(|_| body.len() > limit) {
            Some(at) => {
                todo.push(rows.slice(at..));
                todo.push(rows.slice(..at));
            }
            None => done.push(Piece {
                body,
                len: rows.len(),
            }),
        }
    }
    Ok(done)
}

/// Where two rows meet near the middle; `None` if it is one row.
fn middle(rows: &[u8]) -> Option<usize> {
    let half = rows.len() / 2;
    let is_end = |byte: &u8| *byte == b'\n';
    let before = rows.get(..half)?.iter().rposition(is_end);
    let after = || rows.get(half..)?.iter().position(is_end).map(|i| half + i);
    let at = before.or_else(after)? + 1;
    (at < rows.len()).then_some(at)
}

/// The parts of `rows` that lie in its first `len` bytes; the last of them is cut where these end.
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
    packed: Option<(Bytes, usize)>,
    rows: OnceLock<Bytes>,
}

impl Frame {
    pub(super) fn of_rows(rows: Bytes) -> Self {
        Self {
            packed: None,
            rows: OnceLock::from(rows),
        }
    }

    /// The length of its rows.
    pub(super) fn len(&self) -> usize {
        let packed = self.packed.as_ref().map(|(_, len)| *len);
        packed
            .or_else(|| self.rows.get().map(Bytes::len))
            .unwrap_or(0)
    }

    pub(super) fn rows(&self) -> Result<Bytes> {
        if let Some(rows) = self.rows.get() {
            return Ok(rows.clone());
        }
        let (body, len) = self.packed.as_ref().map_or((&[][..], 0), |p| (&p.0, p.1));
        let rows = decompress(body, len).map_err(|why| {
            let text = "a sealed batch could not be read back";
            Error::new(ErrorKind::Protocol, text).with_source(why)
        })?;
        Ok(self.rows.get_or_init(|| Bytes::from(rows)).clone())
    }
}

/// Where an append's rows are in a batch that failed.
#[derive(Debug, Clone)]
pub(super) struct Returned {
    pub(super) frame: Arc<Frame>,
    pub(super) at: usize,
    pub(super) part: Part,
    /// The batch's, which all of its appends share; `None` once the caller has taken the rows.
    pub(super) charge: Option<Arc<HandedBack>>,
}

impl Returned {
    /// One for each part, in order.
    pub(super) fn of(batch: Compressing) -> Vec<Self> {
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
    fn what_is_too_large_is_cut_between_rows() {
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
    fn parts_are_dealt_by_the_bytes_of_the_pieces() {
        // Two rows of append 1, three of append 2.
        let rows = b"{}\n{}\n{}\n{}\n{}\n";
        let mut parts = vec![part(1, 2, 6), part(2, 3, 9)];
        assert_eq!(assign(&mut parts, rows, 9), [part(1, 2, 6), part(2, 1, 3)]);
        assert_eq!(parts, [part(2, 2, 6)]);
        assert_eq!(assign(&mut parts, &rows[9..], 6), [part(2, 2, 6)]);
        assert_eq!(parts, []);
    }

    #[test]
    fn each_append_has_its_own_rows_back() {
        let rows = Bytes::from_static(b"{\"a\":1}\n{\"a\":22}\n");
        let parts = [part(1, 1, 8), part(2, 1, 9)];
        let body = Compressor::new(1).unwrap().compress(&rows).unwrap();
        let packed = Frame {
            packed: Some((body, 17)),
            rows: OnceLock::new(),
        };
        for frame in [packed, Frame::of_rows(rows)] {
            let returned = Returned::of(Batch {
                payload: Arc::new(frame),
                parts: parts.to_vec(),
                charge: Budget::new(0).share(0).nothing(),
                first_append: Instant::now(),
                first_append_ms: 0,
            });
            assert_eq!(returned[0].rows().unwrap(), "{\"a\":1}\n");
            assert_eq!(returned[1].rows().unwrap(), "{\"a\":22}\n");
        }
    }
}
