//! The values of a scenario as a Rust program has them, for this crate to serialize.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::{date, time};
use jiff::tz::TimeZone;
use serde::ser::{Error as _, Serialize, SerializeMap as _, Serializer};
use serde_json::Value;
use snowpipe_streaming_emulator::BinaryFormat;

use crate::scenario::TypedValue;

/// A row whose last column has a value of its own type.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    channel: &'a str,
    value: &'a TypedValue,
    json: Value,
    binary: BinaryFormat,
}

impl<'a> Row<'a> {
    /// A row for a pipe that reads BINARY in this format.
    ///
    /// # Errors
    ///
    /// The scenario has no JSON for the value.
    pub(crate) fn new(
        channel: &'a str,
        value: &'a TypedValue,
        binary: BinaryFormat,
    ) -> anyhow::Result<Self> {
        let json = serde_json::from_str(value.json.get());
        Ok(Self {
            channel,
            value,
            json: json.with_context(|| value.python.clone())?,
            binary,
        })
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_map(Some(3))?;
        row.serialize_entry("CH", self.channel)?;
        row.serialize_entry("ID", &self.value.id)?;
        row.serialize_entry(&self.value.column, &Typed(self))?;
        row.end()
    }
}

/// The value of a row: of the Rust type that stands for the Python type; where that is a type of JSON, the JSON.
struct Typed<'a>(&'a Row<'a>);

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.value.python.as_str() {
            // A float that is not finite is refused: a program says what it wants to send in its place.
            "float('nan')" => None::<f64>.serialize(to),
            "[float('inf'), {'a': -1.5e300}]" => {
                (None::<f64>, BTreeMap::from([("a", -1.5e300)])).serialize(to)
            }
            "datetime.datetime(2026, 1, 17, 8, 30, 5, 250000)" => {
                to.collect_str(&date(2026, 1, 17).at(8, 30, 5, 250_000_000))
            }
            "datetime.datetime(2026, 1, 17, 8, 30, tzinfo=datetime.timezone.utc)" => {
                let moment = date(2026, 1, 17).at(8, 30, 0, 0);
                let moment = moment.to_zoned(TimeZone::UTC).map_err(S::Error::custom)?;
                to.collect_str(&moment.timestamp())
            }
            "datetime.date(2026, 2, 28)" => to.collect_str(&date(2026, 2, 28)),
            "datetime.time(23, 59, 59, 999999)" => to.collect_str(&time(23, 59, 59, 999_999_000)),
            "b''" => self.binary(b"", to),
            "b'\\x00\\x00\\x00'" => self.binary(b"\0\0\0", to),
            "b'\\x00\\xffsnow'" => self.binary(b"\x00\xffsnow", to),
            "bytearray(b'ice')" => self.binary(b"ice", to),
            "'Straße'.encode()" => self.binary("Straße".as_bytes(), to),
            "(1, 'two', None, True)" => (1_u8, "two", None::<()>, true).serialize(to),
            "{7}" => BTreeSet::from([7_i16]).serialize(to),
            "Colour.RED" => Colour::Red.serialize(to),
            "2**70" => (1_u128 << 70).serialize(to),
            "0.1" => 0.1_f64.serialize(to),
            "True" => Some(true).serialize(to),
            "{'nested': [{'deep': [[]]}, {}]}" => {
                let deep = HashMap::from([("deep", [[(); 0]])]);
                HashMap::from([("nested", [deep, HashMap::new()])]).serialize(to)
            }
            _ => self.0.json.serialize(to),
        }
    }
}

impl Typed<'_> {
    /// The text of bytes that a program sends as its pipe reads them.
    fn binary<S: Serializer>(&self, bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        match self.0.binary {
            BinaryFormat::Base64 => STANDARD.encode(bytes).serialize(to),
            BinaryFormat::Hex => {
                let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xF]);
                let digits = digits.filter_map(|digit| char::from_digit(digit.into(), 16));
                digits.collect::<String>().serialize(to)
            }
            BinaryFormat::Utf8 => {
                let text = str::from_utf8(bytes).map_err(S::Error::custom)?;
                text.serialize(to)
            }
            other => Err(S::Error::custom(format!("no bytes are sent as {other}"))),
        }
    }
}

#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Colour {
    Red,
}
