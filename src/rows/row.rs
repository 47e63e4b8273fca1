//! A serializer for rows: refuses what is not an object, omits top-level nulls and writes top-level keys in upper case if requested.

use serde::ser::{Error as _, Serialize, SerializeMap, SerializeStruct, Serializer};

use super::null::NullProbe;
use super::strict::{Checked, Finite};
use crate::base::options::{Encoding, Keys, Nulls};

pub(super) const NOT_AN_OBJECT: &str = "the row is not a JSON object; a row must serialize as a struct or a map whose keys are column names, and JSON in bytes goes through `append_json`";

/// The serializer for a row, which must be an object.
pub(super) struct Row<S> {
    inner: S,
    encoding: Encoding,
}

impl<S> Row<S> {
    pub(super) fn new(inner: S, encoding: Encoding) -> Self {
        Self { inner, encoding }
    }
}

/// The name under which `serde_json` serializes a `RawValue`.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

macro_rules! refuse {
    ($($name:ident($($ty:ty),*) -> $ok:ty;)*) => {$(
        fn $name(self $(, _: $ty)*) -> Result<$ok, S::Error> {
            Err(S::Error::custom(NOT_AN_OBJECT))
        }
    )*};
}

impl<S: Serializer> Serializer for Row<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = S::SerializeSeq;
    type SerializeTuple = S::SerializeTuple;
    type SerializeTupleStruct = S::SerializeTupleStruct;
    type SerializeTupleVariant = S::SerializeTupleVariant;
    type SerializeMap = Fields<S::SerializeMap>;
    type SerializeStruct = StructFields<S::SerializeStruct, S::SerializeMap>;
    type SerializeStructVariant = Checked<S::SerializeStructVariant>;

    refuse! {
        serialize_bool(bool) -> S::Ok;
        serialize_i8(i8) -> S::Ok;
        serialize_i16(i16) -> S::Ok;
        serialize_i32(i32) -> S::Ok;
        serialize_i64(i64) -> S::Ok;
        serialize_i128(i128) -> S::Ok;
        serialize_u8(u8) -> S::Ok;
        serialize_u16(u16) -> S::Ok;
        serialize_u32(u32) -> S::Ok;
        serialize_u64(u64) -> S::Ok;
        serialize_u128(u128) -> S::Ok;
        serialize_f32(f32) -> S::Ok;
        serialize_f64(f64) -> S::Ok;
        serialize_char(char) -> S::Ok;
        serialize_str(&str) -> S::Ok;
        serialize_bytes(&[u8]) -> S::Ok;
        serialize_none() -> S::Ok;
        serialize_unit() -> S::Ok;
        serialize_unit_struct(&'static str) -> S::Ok;
        serialize_unit_variant(&'static str, u32, &'static str) -> S::Ok;
        serialize_seq(Option<usize>) -> S::SerializeSeq;
        serialize_tuple(usize) -> S::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> S::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> S::SerializeTupleVariant;
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.inner
            .serialize_newtype_variant(name, index, variant, &Finite(value))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        // With a length of zero serde_json closes the object at once, so zero is passed as an unknown length.
        let len = if self.encoding.nulls == Nulls::Omit {
            len.filter(|n| *n > 0)
        } else {
            len
        };
        Ok(Fields::new(self.inner.serialize_map(len)?, self.encoding))
    }

    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        if self.encoding.keys == Keys::Uppercase && name != RAW_VALUE {
            return self.serialize_map(Some(len)).map(StructFields::Map);
        }
        let fields = Fields::new(self.inner.serialize_struct(name, len)?, self.encoding);
        Ok(StructFields::Struct(fields))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        self.inner
            .serialize_struct_variant(name, index, variant, len)
            .map(Checked)
    }
}

/// The top-level keys of a row.
pub(super) struct Fields<S> {
    inner: S,
    encoding: Encoding,
    /// The key of a map's entry whose value is still to come; the value decides whether the key is sent.
    key: Option<serde_json::Value>,
    /// The keys so far, if keys that differ may become equal.
    seen: Vec<String>,
}

impl<S> Fields<S> {
    fn new(inner: S, encoding: Encoding) -> Self {
        Self {
            inner,
            encoding,
            key: None,
            seen: Vec::new(),
        }
    }

    fn keeps<T: Serialize + ?Sized>(&self, value: &T) -> bool {
        self.encoding.nulls == Nulls::Send || value.serialize(NullProbe).is_err()
    }

    /// The key in upper case, which must be the first such key of the row.
    fn uppercase<E: serde::ser::Error>(&mut self, key: &str) -> Result<String, E> {
        let key = key.to_ascii_uppercase();
        if self.seen.contains(&key) {
            return Err(E::custom(format_args!(
                "two of its keys are {key:?} in upper case; rename one of them"
            )));
        }
        self.seen.push(key.clone());
        Ok(key)
    }
}

impl<S: SerializeStruct> SerializeStruct for Fields<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), S::Error> {
        if self.keeps(value) {
            self.inner.serialize_field(key, &Finite(value))
        } else {
            self.inner.skip_field(key)
        }
    }

    fn skip_field(&mut self, key: &'static str) -> Result<(), S::Error> {
        self.inner.skip_field(key)
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.inner.end()
    }
}

impl<S: SerializeMap> SerializeMap for Fields<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), S::Error> {
        if self.encoding.nulls == Nulls::Send && self.encoding.keys == Keys::AsIs {
            return self.inner.serialize_key(key);
        }
        let mut key = serde_json::to_value(key).map_err(S::Error::custom)?;
        if let (Keys::Uppercase, serde_json::Value::String(text)) = (self.encoding.keys, &mut key) {
            *text = self.uppercase(text)?;
        }
        self.key = Some(key);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        match self.key.take() {
            None => self.inner.serialize_value(&Finite(value)),
            Some(key) if self.keeps(value) => self.inner.serialize_entry(&key, &Finite(value)),
            Some(_) => Ok(()),
        }
    }

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), S::Error> {
        if self.encoding.keys == Keys::Uppercase {
            self.serialize_key(key)?;
            return self.serialize_value(value);
        }
        if self.keeps(value) {
            self.inner.serialize_entry(key, &Finite(value))
        } else {
            Ok(())
        }
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.inner.end()
    }
}

/// The fields of a row that is a struct. With upper-case keys it is written as a map, because the names of fields are fixed.
pub(super) enum StructFields<S, M> {
    Struct(Fields<S>),
    Map(Fields<M>),
}

impl<S, M> SerializeStruct for StructFields<S, M>
where
    S: SerializeStruct,
    M: SerializeMap<Ok = S::Ok, Error = S::Error>,
{
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), S::Error> {
        match self {
            Self::Struct(fields) => SerializeStruct::serialize_field(fields, key, value),
            Self::Map(fields) => {
                let key = fields.uppercase(key)?;
                if fields.keeps(value) {
                    fields.inner.serialize_entry(&key, &Finite(value))
                } else {
                    Ok(())
                }
            }
        }
    }

    fn skip_field(&mut self, key: &'static str) -> Result<(), S::Error> {
        match self {
            Self::Struct(fields) => SerializeStruct::skip_field(fields, key),
            Self::Map(_) => Ok(()),
        }
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        match self {
            Self::Struct(fields) => SerializeStruct::end(fields),
            Self::Map(fields) => SerializeMap::end(fields),
        }
    }
}
