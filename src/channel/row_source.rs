//! The sources of an append's rows, which are encoded piece by piece as memory allows.
//!
//! Encoding a whole iterator at the call would hold more memory than the budget. So the first piece is encoded at the call, and
//! the rest as memory allows.

use serde::Serialize;

use super::core::batch::UnitTokens;
use super::writer::Staging;
use crate::rows::RowBatch;
use crate::types::error::Result;
use crate::types::offset::arguments::{IntoOffset, Offset, Offsets};

/// The rows of an append, piece by piece.
pub trait RowSource {
    /// Stages the next piece, or nothing if there are no more rows.
    #[doc(hidden)]
    fn fill(&mut self, staging: &mut Staging) -> Result<()>;
}

/// No more rows: everything was encoded at the call.
#[derive(Debug)]
pub struct Encoded(pub(super) ());

impl RowSource for Encoded {
    fn fill(&mut self, _: &mut Staging) -> Result<()> {
        Ok(())
    }
}

/// Rows with consecutive integer tokens, still to be encoded.
#[derive(Debug)]
pub struct Numbered<I> {
    pub(super) rows: Option<I>,
    pub(super) next: i128,
}

impl<I> RowSource for Numbered<I>
where
    I: Iterator,
    I::Item: Serialize,
{
    fn fill(&mut self, staging: &mut Staging) -> Result<()> {
        let Some(rows) = &mut self.rows else {
            return Ok(());
        };
        let next = &mut self.next;
        let tokens = UnitTokens::Run { first: *next };
        staging.stage_run(tokens, || {
            let row = rows.next()?;
            *next += 1;
            Some(row)
        })
    }
}

/// Rows with an offset each, still to be encoded.
#[derive(Debug)]
pub struct Each<I> {
    pub(super) rows: I,
}

impl<I, R, O> RowSource for Each<I>
where
    I: Iterator<Item = (R, O)>,
    R: Serialize,
    O: IntoOffset,
{
    fn fill(&mut self, staging: &mut Staging) -> Result<()> {
        while !staging.is_full() {
            let Some((row, offset)) = self.rows.next() else {
                break;
            };
            staging.stage_row(&row, one(offset.into_offset()?))?;
        }
        Ok(())
    }
}

/// Rows without offsets, still to be encoded.
#[derive(Debug)]
pub struct Plain<I> {
    pub(super) rows: I,
}

impl<I> RowSource for Plain<I>
where
    I: Iterator,
    I::Item: Serialize,
{
    fn fill(&mut self, staging: &mut Staging) -> Result<()> {
        let rows = &mut self.rows;
        staging.stage_run(UnitTokens::Untracked, || rows.next())
    }
}

/// Encoded rows.
#[derive(Debug, Default)]
pub struct BatchSource {
    batch: RowBatch,
    at: usize,
    offsets: Option<Offsets>,
}

impl BatchSource {
    pub(super) fn new(batch: RowBatch, offsets: Option<Offsets>) -> Self {
        Self {
            batch,
            at: 0,
            offsets,
        }
    }
}

impl RowSource for BatchSource {
    fn fill(&mut self, staging: &mut Staging) -> Result<()> {
        let rest = self.batch.as_bytes().get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        let whole = matches!(self.offsets, Some(Offsets::Whole { .. }));
        let wanted = if whole {
            rest.len()
        } else {
            staging.piece().min(rest.len())
        };
        // A piece ends with the last line that fits, but has at least one line.
        let cut = rest
            .get(..wanted)
            .and_then(|head| head.iter().rposition(|b| *b == b'\n'));
        let cut = cut
            .or_else(|| rest.iter().position(|b| *b == b'\n'))
            .map_or(rest.len(), |i| i + 1);
        let piece = rest.get(..cut).unwrap_or(rest);
        let rows = count_rows(piece);
        let tokens = match &mut self.offsets {
            None => UnitTokens::Untracked,
            Some(Offsets::Each { first }) => {
                let tokens = UnitTokens::Run { first: *first };
                *first += i128::from(rows);
                tokens
            }
            Some(Offsets::Whole { start, end }) => UnitTokens::Whole {
                start: start.clone(),
                end: end.clone(),
            },
        };
        let piece = self.batch.to_bytes().slice_ref(piece);
        self.at += piece.len();
        staging.stage_bytes(piece, rows, tokens)
    }
}

/// The tokens of a single row.
pub(super) fn one(offset: Offset) -> UnitTokens {
    match offset {
        Offset::Token(token) => match token.as_integer() {
            Some(first) => UnitTokens::Run { first },
            None => UnitTokens::Whole {
                start: token.clone(),
                end: token,
            },
        },
        Offset::Integer(first) => UnitTokens::Run { first },
    }
}

/// A row has one newline, at its end.
fn count_rows(piece: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', piece).count() as u64
}
