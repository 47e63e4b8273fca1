//! What a batch of rows is made from.

use bytes::{Bytes, BytesMut};

mod sealed {
    pub trait Sealed {}
}

/// What [`RowBatch::from_ndjson`](crate::RowBatch::from_ndjson) takes: text or bytes. What is owned is not copied.
///
/// ```
/// use snowpipe_streaming::RowBatch;
///
/// let line = String::from("{\"A\":1}");
/// assert_eq!(RowBatch::from_ndjson(&line)?, RowBatch::from_ndjson(line)?);
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
pub trait IntoNdjson: sealed::Sealed {
    /// The bytes.
    #[doc(hidden)]
    fn into_ndjson(self) -> Bytes;
}

macro_rules! owned {
    ($($owned:ty),*) => {$(
        impl sealed::Sealed for $owned {}
        impl IntoNdjson for $owned {
            fn into_ndjson(self) -> Bytes {
                self.into()
            }
        }
    )*};
}

owned!(Bytes, BytesMut, Vec<u8>, String);

macro_rules! borrowed {
    ($($borrowed:ty),*) => {$(
        impl sealed::Sealed for &$borrowed {}
        impl IntoNdjson for &$borrowed {
            fn into_ndjson(self) -> Bytes {
                Bytes::copy_from_slice(self.as_ref())
            }
        }
    )*};
}

borrowed!([u8], Vec<u8>, str, String);

impl sealed::Sealed for &Bytes {}
impl IntoNdjson for &Bytes {
    fn into_ndjson(self) -> Bytes {
        self.clone()
    }
}

impl<const N: usize> sealed::Sealed for &[u8; N] {}
impl<const N: usize> IntoNdjson for &[u8; N] {
    fn into_ndjson(self) -> Bytes {
        Bytes::copy_from_slice(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::RowBatch;

    #[test]
    fn a_line_is_accepted_in_every_form() {
        let text = String::from("{\"A\":1}\n");
        let (bytes, shared) = (text.clone().into_bytes(), Bytes::from(text.clone()));
        let batches = [
            RowBatch::from_ndjson(&text),
            RowBatch::from_ndjson(text.as_str()),
            RowBatch::from_ndjson(text.as_bytes()),
            RowBatch::from_ndjson(&bytes),
            RowBatch::from_ndjson(&shared),
            RowBatch::from_ndjson(BytesMut::from(&bytes[..])),
            RowBatch::from_ndjson(b"{\"A\":1}\n"),
            RowBatch::from_ndjson(text.clone()),
            RowBatch::from_ndjson(bytes.clone()),
        ];
        for batch in batches {
            assert_eq!(batch.unwrap().as_bytes(), text.as_bytes());
        }
        // What is owned stays where it is.
        let batch = RowBatch::from_ndjson(shared.clone()).unwrap();
        assert_eq!(batch.as_bytes().as_ptr(), shared.as_ptr());
    }
}
