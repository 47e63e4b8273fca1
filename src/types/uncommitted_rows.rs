//! Rows that an untracked channel has given up.

use std::fmt;

use bytes::Bytes;

/// Rows of an untracked channel that were given up: its caller has no offset to read them from again. They can be appended
/// again, to this channel after a reopen or to another one.
///
/// ```no_run
/// # use snowpipe_streaming::{Channel, Result, Untracked};
/// # async fn example(channel: Channel<Untracked>) -> Result<()> {
/// if let Err(error) = channel.close().await {
///     if let Some(rows) = error.uncommitted_rows() {
///         // Keep them in a file or a queue: there is no other copy.
///         std::fs::write("not-in-the-table.ndjson", rows.unsent()?.as_bytes()).expect("the disk takes them");
///         std::fs::write("look-first.ndjson", rows.sent()?.as_bytes()).expect("the disk takes them");
///     }
///     return Err(error);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct UncommittedRows {
    pub(crate) unsent: Vec<GivenUpBatch>,
    pub(crate) sent: Vec<GivenUpBatch>,
}

/// The rows of a batch, or of a part of one.
#[derive(Clone)]
pub(crate) struct GivenUpBatch {
    pub(crate) rows: u64,
    pub(crate) payload: GivenUpPayload,
}

#[derive(Clone)]
pub(crate) enum GivenUpPayload {
    Plain(Bytes),
    /// A zstd frame, and its length when decompressed.
    Compressed(Bytes, usize),
}

impl UncommittedRows {
    /// The number of rows that are not in the table, because they were never sent or the server refused them.
    pub fn unsent_count(&self) -> u64 {
        count(&self.unsent)
    }

    /// The number of rows that may be in the table, now or later. To append them again may duplicate them.
    pub fn sent_count(&self) -> u64 {
        count(&self.sent)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.unsent.is_empty() && self.sent.is_empty()
    }
}

fn count(batches: &[GivenUpBatch]) -> u64 {
    batches.iter().map(|batch| batch.rows).sum()
}

/// Omits the rows.
impl fmt::Debug for UncommittedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UncommittedRows")
            .field("unsent", &self.unsent_count())
            .field("sent", &self.sent_count())
            .finish()
    }
}
