//! A row of the input, and what can be its offset.

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use snowpipe_streaming::ingest::{Offset, Pair};

use crate::line::{Field, Place};

/// What can be a row's offset.
pub(crate) trait Key: Offset {
    /// The offset of a row.
    fn of(place: Place, field: &Field) -> Result<Self, String>;

    /// The offset of a line that is no row, if it has one.
    fn at(place: Place) -> Option<Self>;
}

/// The number of a line in a single file.
impl Key for u64 {
    fn of(place: Place, _: &Field) -> Result<Self, String> {
        Ok(place.line)
    }

    fn at(place: Place) -> Option<Self> {
        Some(place.line)
    }
}

/// The number of a file, of a line in it, and how many lines are in the files before it: if one of these files changes its
/// length, the offsets of all lines after it change as well.
pub(crate) type FileLine = Pair<u64, Pair>;

impl Key for FileLine {
    fn of(place: Place, _: &Field) -> Result<Self, String> {
        Ok(Self(place.file, Pair(place.line, place.lines_before)))
    }

    fn at(place: Place) -> Option<Self> {
        Self::of(place, &Field::Absent).ok()
    }
}

/// An integer in the row.
impl Key for i128 {
    fn of(_: Place, field: &Field) -> Result<Self, String> {
        match field {
            Field::Integer(number) => Ok(*number),
            _ => Err("the offset's field has no integer, as the first row has".to_owned()),
        }
    }

    fn at(_: Place) -> Option<Self> {
        None
    }
}

/// A text in the row.
impl Key for String {
    fn of(_: Place, field: &Field) -> Result<Self, String> {
        match field {
            Field::Text(text) if !text.is_empty() => Ok(text.clone()),
            _ => Err("the offset's field has no text, as the first row has".to_owned()),
        }
    }

    fn at(_: Place) -> Option<Self> {
        None
    }
}

/// A row as it stood in the input.
#[derive(Debug, Clone)]
pub(crate) struct Text(pub(crate) Arc<RawValue>);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
