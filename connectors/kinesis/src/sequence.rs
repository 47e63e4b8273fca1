//! The sequence number of a record, which is the offset of its row.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// The most digits that Kinesis documents.
const MAX_DIGITS: usize = 128;

/// A decimal number of up to 128 digits, mostly 56. Numbers of one shard rise; those of different shards have no order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sequence(Box<str>);

/// A text that is not a sequence number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a sequence number of Kinesis; if it is the token of a channel, another program has written the channel: start \
     `stream` with another --source-id"
)]
pub struct NotASequence(String);

impl Sequence {
    /// The number as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Sequence {
    type Err = NotASequence;

    fn from_str(text: &str) -> Result<Self, NotASequence> {
        let is_number = (1..=MAX_DIGITS).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && (text == "0" || !text.starts_with('0'));
        if is_number {
            Ok(Self(text.into()))
        } else {
            Err(NotASequence(text.to_owned()))
        }
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Ord for Sequence {
    /// Without leading zeros, the longer number is the larger one.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_length = self.0.len().cmp(&other.0.len());
        by_length.then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Sequence {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(text: &str) -> Sequence {
        text.parse().unwrap()
    }

    #[test]
    fn sequences_are_compared_as_numbers() {
        assert!(sequence("9") < sequence("10"));
        let first = "49590338271490256608559692538361571095921575989136588898";
        let later = "49590338271490256608559692540925702759324208523137515618";
        assert_eq!(first.len(), 56);
        assert!(sequence(first) < sequence(later));
        assert!(sequence(&format!("{first}0")) > sequence(later));
        assert_eq!(sequence(first).to_string(), first);
    }

    #[test]
    fn other_texts_are_no_sequences() {
        let long = "1".repeat(129);
        for wrong in ["", "01", "-1", "1:2", "LATEST", " 1", "1.0", &long] {
            assert!(wrong.parse::<Sequence>().is_err(), "{wrong}");
        }
        assert!("0".parse::<Sequence>().is_ok());
        assert!(long[1..].parse::<Sequence>().is_ok());
    }
}
