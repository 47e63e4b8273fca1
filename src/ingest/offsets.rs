//! Offset types for sources that do not number their rows with one integer. Integers are offsets themselves.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::source::Offset;
use crate::types::error::{Error, ErrorKind};

/// A number whose text has twenty digits, so that tokens sort as text in the order of the numbers. For queries that compare
/// tokens as text.
///
/// ```
/// use snowpipe_streaming::ingest::Padded;
/// assert_eq!(Padded(42).to_string(), "00000000000000000042");
/// assert_eq!("00000000000000000042".parse::<Padded>()?, Padded(42));
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Padded(pub u64);

impl fmt::Display for Padded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}", self.0)
    }
}

impl FromStr for Padded {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let is_whole = text.len() == 20 && text.bytes().all(|b| b.is_ascii_digit());
        let number = is_whole.then(|| text.parse().ok()).flatten();
        number
            .map(Self)
            .ok_or_else(|| unreadable(text, "a number of twenty digits"))
    }
}

/// Two offsets, of which the second counts within the first: a line of a numbered file, an item of an order. Its text is
/// `3:1042`.
///
/// A pair rises only if the source reads each first part to its end before the next one begins. The partitions of a log that
/// are read concurrently are several sources: give each its own run and channel.
///
/// ```
/// use snowpipe_streaming::ingest::Pair;
/// let (nine, ten) = (Pair(9, 5), Pair(10, 1));
/// assert!(nine < ten);
/// assert_eq!(ten.to_string(), "10:1");
/// assert_eq!("10:1".parse::<Pair>()?, ten);
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair<A = u64, B = u64>(pub A, pub B);

impl<A: fmt::Display, B: fmt::Display> fmt::Display for Pair<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0, self.1)
    }
}

/// The first colon separates the parts, so the text of `A` must not contain one.
impl<A: FromStr, B: FromStr> FromStr for Pair<A, B> {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        text.split_once(':')
            .and_then(|(a, b)| Some(Self(a.parse().ok()?, b.parse().ok()?)))
            .ok_or_else(|| unreadable(text, "two offsets with a colon between them"))
    }
}

/// A position in a database's log, in bytes from its beginning. Its text is `PostgreSQL`'s: the upper and the lower 32 bits in
/// hexadecimal, `16/B374D848`.
///
/// For logs that number their files and count the bytes of each, use a [`Pair`].
///
/// ```
/// use snowpipe_streaming::ingest::LogPosition;
/// let position: LogPosition = "16/B374D848".parse()?;
/// assert_eq!(position, LogPosition(0x16_B374_D848));
/// assert!(position < "100/0".parse()?);
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition(pub u64);

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl FromStr for LogPosition {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        text.split_once('/')
            .and_then(|(upper, lower)| Some((hexadecimal(upper)? << 32) | hexadecimal(lower)?))
            .map(Self)
            .ok_or_else(|| unreadable(text, "a log position such as 16/B374D848"))
    }
}

fn hexadecimal(text: &str) -> Option<u64> {
    let is_whole = (1..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    is_whole
        .then(|| u64::from_str_radix(text, 16).ok())
        .flatten()
}

fn unreadable(text: &str, what: &str) -> Error {
    Error::new(
        ErrorKind::InvalidOffset,
        format!("the offset {text:?} is not {what}; was it written by another program?"),
    )
}

/// Whether digits of an offset type sort as numbers. Text does not: `"10" < "9"`.
pub(super) fn are_numbers<O: Offset>() -> bool {
    matches!(("9".parse::<O>(), "10".parse::<O>()), (Ok(nine), Ok(ten)) if nine < ten)
}

/// Finds the numbers that are missing in a rising sequence, such as rows that a source has deleted or does not show. Numbers
/// are integers of up to 64 bits, with or without a sign.
///
/// ```
/// use snowpipe_streaming::ingest::Gaps;
/// let mut gaps = Gaps::after(6_i64);
/// assert_eq!(gaps.pass(7), None);
/// assert_eq!(gaps.pass(10), Some(8..=9));
/// assert_eq!(gaps.missing(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gaps<N = u64> {
    last: Option<N>,
    missing: u64,
}

impl<N> Default for Gaps<N> {
    fn default() -> Self {
        Self {
            last: None,
            missing: 0,
        }
    }
}

impl<N: Copy + Into<i128> + TryFrom<i128>> Gaps<N> {
    /// Starts with any number.
    pub fn new() -> Self {
        Self::default()
    }

    /// Expects the first number right after this one.
    pub fn after(last: N) -> Self {
        Self {
            last: Some(last),
            missing: 0,
        }
    }

    /// Passes the next number, and returns those that are missing right before it. A number that does not rise is ignored.
    pub fn pass(&mut self, number: N) -> Option<RangeInclusive<N>> {
        let here = number.into();
        let expected = self.last.map_or(here, |last| last.into().saturating_add(1));
        if here < expected {
            return None;
        }
        self.last = Some(number);
        let missing = u64::try_from(here.saturating_sub(expected)).unwrap_or(u64::MAX);
        self.missing = self.missing.saturating_add(missing);
        if missing == 0 {
            return None;
        }
        Some(N::try_from(expected).ok()?..=N::try_from(here - 1).ok()?)
    }

    /// How many numbers were missing so far.
    pub fn missing(&self) -> u64 {
        self.missing
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_integers_sort_as_numbers() {
        assert!(are_numbers::<u64>() && are_numbers::<i128>());
        assert!(!are_numbers::<String>());
        assert!(!are_numbers::<Padded>() && !are_numbers::<Pair>());
    }

    #[test]
    fn offsets_have_the_documented_text() {
        assert_eq!(Padded(u64::MAX).to_string(), "18446744073709551615");
        assert_eq!(Pair(3, 1042).to_string(), "3:1042");
        assert_eq!(Pair(1, Pair(2, 3)).to_string(), "1:2:3");
        assert_eq!(
            "1:2:3".parse::<Pair<u64, Pair>>().unwrap(),
            Pair(1, Pair(2, 3))
        );
        assert_eq!(LogPosition(0).to_string(), "0/0");
        assert_eq!(LogPosition(u64::MAX).to_string(), "FFFFFFFF/FFFFFFFF");
        assert_eq!(
            "0000000a/0B".parse::<LogPosition>().unwrap(),
            LogPosition(0xA_0000_000B)
        );
    }

    #[test]
    fn malformed_offsets_are_refused() {
        for text in [
            "",
            "42",
            "0000000000000000004 ",
            "99999999999999999999",
            "+0000000000000000042",
        ] {
            assert!(text.parse::<Padded>().is_err(), "{text:?}");
        }
        for text in ["", "3", "3:", ":3", "3:x", "3:4:5", "3/4"] {
            assert!(text.parse::<Pair>().is_err(), "{text:?}");
        }
        for text in [
            "",
            "16",
            "16/",
            "/16",
            "+1/2",
            "1/2/3",
            "123456789/0",
            "G/0",
        ] {
            let error = text.parse::<LogPosition>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidOffset, "{text:?}");
        }
    }

    #[test]
    fn gaps_are_reported_once() {
        let mut gaps = Gaps::new();
        let reported: Vec<_> = [5, 6, 9, 9, 3, 10, 12].map(|n| gaps.pass(n)).into();
        assert_eq!(
            reported,
            [None, None, Some(7..=8), None, None, None, Some(11..=11)]
        );
        assert_eq!(gaps.missing(), 3);
        assert_eq!(gaps.pass(u64::MAX), Some(13..=u64::MAX - 1));
        assert_eq!(gaps.pass(u64::MAX), None);
        assert_eq!(Gaps::after(0).pass(3), Some(1..=2));
    }

    #[test]
    fn negative_offsets_have_gaps_too() {
        let mut gaps = Gaps::after(-3);
        assert_eq!(gaps.pass(2_i64), Some(-2..=1));
        assert_eq!(gaps.pass(2), None);
        let mut widest = Gaps::after(i64::MIN);
        assert_eq!(widest.pass(i64::MAX), Some(i64::MIN + 1..=i64::MAX - 1));
        assert_eq!(widest.missing(), u64::MAX - 1);
        assert_eq!(widest.pass(i64::MAX), None);
        assert_eq!(Gaps::<u8>::after(253).pass(255), Some(254..=254));
    }

    proptest! {
        #[test]
        fn padded_text_sorts_as_its_numbers(a: u64, b: u64) {
            prop_assert_eq!(Padded(a).to_string().cmp(&Padded(b).to_string()), a.cmp(&b));
            prop_assert_eq!(Padded(a).cmp(&Padded(b)), a.cmp(&b));
            prop_assert_eq!(Padded(a).to_string().parse::<Padded>().unwrap(), Padded(a));
        }

        #[test]
        fn pairs_sort_by_the_first_part(a: (u64, i64), b: (u64, i64)) {
            let (x, y) = (Pair(a.0, a.1), Pair(b.0, b.1));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(x.to_string().parse::<Pair<u64, i64>>().unwrap(), x);
        }

        #[test]
        fn log_positions_sort_as_their_bytes(a: u64, b: u64) {
            prop_assert_eq!(LogPosition(a).cmp(&LogPosition(b)), a.cmp(&b));
            prop_assert_eq!(LogPosition(a).to_string().parse::<LogPosition>().unwrap(), LogPosition(a));
        }

        #[test]
        fn no_text_is_too_odd(text in "\\PC*|[0-9A-F:/+-]{0,24}") {
            let _ = text.parse::<Padded>();
            let _ = text.parse::<Pair>();
            if let Ok(position) = text.parse::<LogPosition>() {
                prop_assert_eq!(position.to_string().parse::<LogPosition>().unwrap(), position);
            }
        }

        #[test]
        fn what_passes_and_what_is_missing_is_everything(mut numbers in prop::collection::btree_set(0_u64..500, 1..60)) {
            let mut gaps = Gaps::new();
            let (first, last) = (*numbers.first().unwrap(), *numbers.last().unwrap());
            let missing: Vec<_> = numbers.iter().filter_map(|n| gaps.pass(*n)).collect();
            for gap in missing {
                for n in gap {
                    prop_assert!(numbers.insert(n));
                }
            }
            prop_assert!(numbers.into_iter().eq(first..=last));
        }
    }
}
