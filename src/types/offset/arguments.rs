//! The offset arguments of appends: a token for a row, integers for many rows, or two tokens for rows that stay together.

use std::fmt::Display;
use std::ops::{RangeFrom, RangeInclusive};

use super::{OffsetToken, canonical_integer};
use crate::types::error::{Error, ErrorKind, Result};

/// One offset, which may not be text yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offset {
    /// An integer; its token is its decimal text.
    Integer(i128),
    /// Any token.
    Token(OffsetToken),
}

impl Offset {
    pub(crate) fn into_token(self) -> OffsetToken {
        match self {
            Self::Integer(value) => OffsetToken::from_integer(value),
            Self::Token(token) => token,
        }
    }
}

/// The offsets of the rows of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offsets {
    /// Row `i` has the token `first + i`. The rows may be split anywhere.
    Each {
        /// The token of the first row.
        first: i128,
    },
    /// All rows share a start and an end token and go in one request.
    Whole {
        /// The token of the first row.
        start: OffsetToken,
        /// The token of the last row.
        end: OffsetToken,
    },
}

mod sealed {
    pub trait Sealed {}
}

/// The offset of a row: an [`OffsetToken`], text, or an `i32`, `u32`, `i64`, `u64` or `usize`.
///
/// Integers have to rise from row to row. Text must not repeat, and may be in any order: `"10"` may come before `"9"`.
pub trait IntoOffset: sealed::Sealed {
    /// Converts to an offset.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOffset`] if the text is not a valid token.
    #[doc(hidden)]
    fn into_offset(self) -> Result<Offset>;
}

/// The offsets of many rows.
///
/// - `first..` (integers): row `i` has the token `first + i`, and the rows may be split over requests anywhere. Use it only if
///   tokens are consecutive, without gaps. The integer type is no limit: the tokens of `0..` continue past `i32::MAX`.
/// - `first..=last` (integers) or `(start, end)` (any tokens): the rows go in one request and are committed together under the
///   token `end`. There may be any number of rows.
pub trait IntoOffsets: sealed::Sealed {
    /// Converts to the offsets of the rows.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOffset`] if a text is not a valid token, or a range goes backward.
    #[doc(hidden)]
    fn into_offsets(self) -> Result<Offsets>;
}

/// An integer of a type that is at most 64 bits wide, so that no number of rows overflows the count.
pub(super) fn to_i128(value: impl TryInto<i128>) -> i128 {
    value.try_into().unwrap_or(i128::MAX)
}

/// The offsets of rows that stay together.
fn whole(start: OffsetToken, end: OffsetToken) -> Result<Offsets> {
    if start
        .as_integer()
        .zip(end.as_integer())
        .is_some_and(|(start, end)| start > end)
    {
        let (start, end) = (start.as_str(), end.as_str());
        return Err(Error::new(
            ErrorKind::InvalidOffset,
            format!(
                "the offsets {start}..={end} go backward; give the first row's and the last row's"
            ),
        ));
    }
    Ok(Offsets::Whole { start, end })
}

macro_rules! integers {
    ($($int:ty),*) => {$(
        impl sealed::Sealed for $int {}
        impl IntoOffset for $int {
            fn into_offset(self) -> Result<Offset> {
                Ok(Offset::Integer(to_i128(self)))
            }
        }

        impl sealed::Sealed for RangeFrom<$int> {}
        impl IntoOffsets for RangeFrom<$int> {
            fn into_offsets(self) -> Result<Offsets> {
                Ok(Offsets::Each { first: to_i128(self.start) })
            }
        }

        impl sealed::Sealed for RangeInclusive<$int> {}
        impl IntoOffsets for RangeInclusive<$int> {
            fn into_offsets(self) -> Result<Offsets> {
                let (start, end) = self.into_inner();
                whole(start.into(), end.into())
            }
        }
    )*};
}

integers!(i32, u32, i64, u64, usize);

macro_rules! texts {
    ($($text:ty => $make:expr;)*) => {$(
        impl sealed::Sealed for $text {}
        impl IntoOffset for $text {
            fn into_offset(self) -> Result<Offset> {
                let make: fn($text) -> Result<OffsetToken> = $make;
                make(self).map(Offset::Token)
            }
        }
    )*};
}

texts! {
    OffsetToken => Ok;
    &OffsetToken => |t| Ok(t.clone());
    &str => |t| OffsetToken::new(t);
    String => OffsetToken::new;
    &String => |t| OffsetToken::new(t);
}

/// An offset as text, and whether offsets of its type sort as numbers. Such offsets stay integers, so that consecutive ones
/// form a run.
#[derive(Debug)]
pub(crate) struct Shown<O> {
    pub(crate) offset: O,
    pub(crate) is_number: bool,
}

impl<O: Display> sealed::Sealed for Shown<O> {}
impl<O: Display> IntoOffset for Shown<O> {
    fn into_offset(self) -> Result<Offset> {
        let text = self.offset.to_string();
        match canonical_integer(&text).filter(|_| self.is_number) {
            Some(value) => Ok(Offset::Integer(value)),
            None => OffsetToken::new(text).map(Offset::Token),
        }
    }
}

impl<A: IntoOffset, B: IntoOffset> sealed::Sealed for (A, B) {}

impl<A: IntoOffset, B: IntoOffset> IntoOffsets for (A, B) {
    fn into_offsets(self) -> Result<Offsets> {
        whole(
            self.0.into_offset()?.into_token(),
            self.1.into_offset()?.into_token(),
        )
    }
}
