//! Places in the binary log, and where following begins.

use std::fmt;
use std::str::FromStr;

use snowpipe_streaming::ingest::Pair;

/// The offset of a change, whose text is its channel's token: the number of the file, the position where the transaction
/// begins, and the number of the change in it.
pub type Offset = Pair<u64, Pair<u64, u64>>;

/// The first position of a file, after its magic number.
pub(super) const FIRST: u64 = 4;

/// A position in the log. Files are ordered by their number: as text, 1000000 would come before 999999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The number of the log file.
    pub file: u64,
    /// The position in the file, in bytes.
    pub position: u64,
}

impl Place {
    /// The place after an event that ends at `low`, of which the log has the lower 32 bits only. Events between the last
    /// one and this one may be left out, so the position cannot just be added up.
    #[must_use]
    pub fn after_event(self, size: u32, low: u32) -> Self {
        let least = self.position.saturating_add(u64::from(size));
        let mut position = (least & !u64::from(u32::MAX)) | u64::from(low);
        if position < least {
            position = position.saturating_add(1 << 32);
        }
        Self { position, ..self }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file {}, position {}", self.file, self.position)
    }
}

/// The name and the number of a log file: `bin.000042`.
pub(super) fn parse_name(name: &str) -> Option<(&str, u64)> {
    let (base, digits) = name.rsplit_once('.')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !base.is_empty()).then(|| Some((base, digits.parse().ok()?)))?
}

/// Where following begins: a place in the log of one server. Its text is `bin.000002:1038@1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The name of the files without the number.
    pub base: String,
    /// The place after which changes are read.
    pub place: Place,
    /// The id of the server whose log it is.
    pub server_id: u32,
}

impl Start {
    /// The name of a log file with this number.
    pub fn file_name(&self, file: u64) -> String {
        format!("{}.{file:06}", self.base)
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.file_name(self.place.file);
        write!(f, "{name}:{}@{}", self.place.position, self.server_id)
    }
}

/// A text that is not a [`Start`].
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a position in a binary log such as bin.000002:1038@1")]
pub struct NoStart(String);

impl FromStr for Start {
    type Err = NoStart;

    fn from_str(text: &str) -> Result<Self, NoStart> {
        let parse = || {
            let (place, server_id) = text.rsplit_once('@')?;
            let (name, position) = place.rsplit_once(':')?;
            let (base, file) = parse_name(name)?;
            Some(Self {
                base: base.to_owned(),
                place: Place {
                    file,
                    position: position.parse().ok()?,
                },
                server_id: server_id.parse().ok()?,
            })
        };
        parse().ok_or_else(|| NoStart(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_has_the_documented_text() {
        let text = "bin.000002:1038@1";
        let start: Start = text.parse().unwrap();
        assert_eq!(
            start.place,
            Place {
                file: 2,
                position: 1038
            }
        );
        assert_eq!((start.base.as_str(), start.server_id), ("bin", 1));
        assert_eq!(start.to_string(), text);
        let odd: Start = "a:b@c.1000000:4@9".parse().unwrap();
        assert_eq!(odd.to_string(), "a:b@c.1000000:4@9");
        for text in [
            "",
            "bin.000002:1038",
            "bin:4@1",
            "bin.:4@1",
            ".01:4@1",
            "bin.1:x@1",
            "bin.1:4@x",
            "bin.+1:4@1",
        ] {
            assert!(text.parse::<Start>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn positions_beyond_32_bits_are_tracked() {
        let place = |position| Place { file: 1, position };
        assert_eq!(place(4).after_event(100, 104), place(104));
        // An event was left out.
        assert_eq!(place(4).after_event(100, 250), place(250));
        let wrapped = place((1 << 32) - 10).after_event(100, 90);
        assert_eq!(wrapped, place((1 << 32) + 90));
        assert_eq!(wrapped.after_event(50, 140), place((1 << 32) + 140));
        assert_eq!(place((1 << 32) - 100).after_event(100, 0), place(1 << 32));
        assert_eq!(
            place((5 << 32) + 7).after_event(3, 10),
            place((5 << 32) + 10)
        );
    }

    #[test]
    fn files_sort_by_number() {
        assert_eq!(parse_name("bin.999999"), Some(("bin", 999_999)));
        assert_eq!(parse_name("a.b.1000000"), Some(("a.b", 1_000_000)));
        assert_eq!(parse_name("bin.000001\u{1}\u{2}"), None);
        let old = Place {
            file: 999_999,
            position: 5,
        };
        assert!(
            old < Place {
                file: 1_000_000,
                position: 4
            }
        );
        let offset: Offset = "2:1038:417".parse().unwrap();
        assert_eq!(offset, Pair(2, Pair(1038, 417)));
    }
}
