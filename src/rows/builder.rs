//! Batches that are built row by row, on whatever thread has the rows.

use serde::Serialize;

use super::{RowBatch, encode, json};
use crate::base::options::{Encoding, Keys, Nulls};
use crate::types::error::Result;

/// Builds a [`RowBatch`] row by row. Made by [`RowBatch::builder`].
///
/// The rows are encoded here, so an append of the batch encodes nothing: one task appends to a channel, and others encode.
///
/// ```
/// use snowpipe_streaming::RowBatch;
///
/// let mut rows = RowBatch::builder();
/// for id in 1..=3 {
///     rows.push(&serde_json::json!({ "ID": id }))?;
/// }
/// rows.push_json(br#"{"ID": 4}"#)?;
/// assert_eq!(rows.build().len(), 4);
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
#[derive(Debug, Default)]
#[must_use = "the rows are in the batch that `build` returns"]
pub struct RowBatchBuilder {
    bytes: Vec<u8>,
    rows: u64,
    encoding: Encoding,
}

impl RowBatchBuilder {
    /// Whether null columns of the rows that follow are sent. Default [`Nulls::Send`]: the option of the client is about rows
    /// that the client encodes.
    pub fn nulls(mut self, nulls: Nulls) -> Self {
        self.encoding.nulls = nulls;
        self
    }

    /// How the top-level keys of the rows that follow are written. Default [`Keys::AsIs`].
    pub fn keys(mut self, keys: Keys) -> Self {
        self.encoding.keys = keys;
        self
    }

    /// Adds a row.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRow`](crate::ErrorKind::InvalidRow); the batch is as it was.
    pub fn push<R: Serialize + ?Sized>(&mut self, row: &R) -> Result<()> {
        encode(row, self.encoding, &mut self.bytes)?;
        self.rows += 1;
        Ok(())
    }

    /// Adds a row that is a JSON object already, which is parsed to check it. Its nulls stay.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRow`](crate::ErrorKind::InvalidRow); the batch is as it was.
    pub fn push_json(&mut self, row: impl AsRef<[u8]>) -> Result<()> {
        self.push(json(row.as_ref())?)
    }

    /// How many rows there are.
    pub fn len(&self) -> u64 {
        self.rows
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// How many bytes the rows have: to end a batch at a size.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// The batch.
    pub fn build(self) -> RowBatch {
        RowBatch {
            bytes: self.bytes.into(),
            rows: self.rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::error::ErrorKind;

    #[test]
    fn a_batch_is_the_rows_that_were_pushed() {
        let mut builder = RowBatch::builder().nulls(Nulls::Omit);
        assert!(builder.is_empty());
        builder.push(&json!({ "A": 1, "B": null })).unwrap();
        builder
            .push_json("{\n \"A\": 2,\n \"B\": null }\n")
            .unwrap();
        assert_eq!(builder.len(), 2);
        let expected = b"{\"A\":1}\n{  \"A\": 2,  \"B\": null }\n";
        assert_eq!(builder.byte_len(), expected.len());
        let batch = builder.build();
        assert_eq!((batch.len(), batch.as_bytes()), (2, &expected[..]));
        assert_eq!(RowBatch::from_ndjson_checked(expected).unwrap(), batch);
    }

    #[test]
    fn an_invalid_row_leaves_the_batch_unchanged() {
        let mut builder = RowBatch::builder();
        builder.push(&json!({ "A": 1 })).unwrap();
        let not_json: [&[u8]; 6] = [
            b"",
            b"[1]",
            b"{\"A\":1",
            b"{} {}",
            b"{\"A\":\"\xff\"}",
            b"null",
        ];
        for row in not_json {
            let error = builder.push_json(row).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRow, "{row:?}");
        }
        let error = builder.push(b"{}").unwrap_err();
        assert!(error.to_string().contains("append_json"), "{error}");
        assert_eq!(builder.build().as_bytes(), b"{\"A\":1}\n");
    }
}
