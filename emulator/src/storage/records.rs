//! What the emulator stores: channels, accepted batches, commits, rejected rows, schema changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::cell::Cell;
use crate::catalog::object_name::ObjectName;
use crate::catalog::row_error::RowError;
use crate::catalog::tables::Catalog;

/// The state of a channel. Every field survives a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelRecord {
    /// The channel's pipe.
    pub pipe: ObjectName,
    /// The channel's name as it was first opened.
    pub channel: String,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_on_ms: u64,
    /// Rises with each open. A client with a lower one is stale.
    pub client_sequencer: u64,
    /// The position of the next append since the last open.
    pub row_sequencer: u64,
    /// The last committed token.
    pub offset_token: Option<String>,
    /// Rows parsed since creation.
    pub rows_parsed: u64,
    /// Rows inserted since creation.
    pub rows_inserted: u64,
    /// Rows rejected since creation.
    pub rows_error_count: u64,
    /// The token of the batch that held the last rejected row.
    pub last_error_offset_upper_bound: Option<String>,
    /// Why the last rejected row was rejected.
    pub last_error_message: Option<String>,
    /// When it was rejected, in milliseconds since the Unix epoch.
    pub last_error_timestamp_ms: Option<u64>,
    /// When the channel last accepted rows, in milliseconds since the Unix epoch. It expires after 30 idle days.
    pub last_used_ms: u64,
    /// `SUCCESS`, or the code with the reason why the channel must be reopened.
    pub status_code: String,
}

/// A batch that is accepted and not committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AcceptedBatch {
    /// The batch's position since the last open of the channel.
    pub(crate) row_sequencer: u64,
    /// The token of the first row, if the client sent one.
    pub(crate) start_token: Option<String>,
    /// The channel's token after the commit. Without one the channel's token does not change.
    pub(crate) end_token: Option<String>,
    /// When the batch was accepted, in milliseconds since the Unix epoch.
    pub(crate) accepted_at_ms: u64,
    /// The decompressed NDJSON.
    pub(crate) body: Vec<u8>,
}

/// A row that was rejected at commit, for the error table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RejectedRow {
    /// Why the row was rejected.
    pub error: RowError,
    /// When the row was rejected, in milliseconds since the Unix epoch.
    pub rejected_at_ms: u64,
    /// The name of the pipe.
    pub pipe: Arc<str>,
    /// The channel's name as it was first opened.
    pub channel: Arc<str>,
    /// The row as the client sent it.
    pub payload: String,
    /// Whether the row is not UTF-8, and `payload` its BASE64.
    pub is_base64: bool,
    /// The start token of the request with the row.
    pub offset_token_lower_bound: Option<String>,
    /// The end token of the request with the row.
    pub offset_token_upper_bound: Option<String>,
}

/// A channel, and the batches that it had accepted and not committed when the storage was last open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredChannel {
    /// The channel.
    pub(crate) record: ChannelRecord,
    /// The accepted batches in order.
    pub(crate) accepted: Vec<AcceptedBatch>,
}

/// The changes of one commit. A storage applies all of them or none.
#[derive(Debug)]
pub(crate) struct Commit<'a> {
    /// The channel after the commit.
    pub(crate) record: &'a ChannelRecord,
    /// The table of the rows.
    pub(crate) table: &'a ObjectName,
    /// The good rows: a cell for each column, in the table's order.
    pub(crate) rows: &'a [Vec<Cell>],
    /// The bad rows.
    pub(crate) rejected: &'a [RejectedRow],
    /// The row sequencer of the last batch in this commit.
    pub(crate) through: u64,
}

/// A script that is carried out while the server runs, and its consequences.
#[derive(Debug)]
pub(crate) struct SchemaChange<'a> {
    /// The script, if it made other tables and pipes: it is carried out again when the tables are read from a file.
    pub(crate) script: Option<&'a str>,
    /// The tables and pipes after the script.
    pub(crate) catalog: &'a Catalog,
    /// The tables that lose their rows, including those that are replaced.
    pub(crate) dropped: &'a [ObjectName],
    /// The pipes whose channels and accepted batches are deleted.
    pub(crate) forgotten: &'a [ObjectName],
    /// The tables that lose their rows and nothing else.
    pub(crate) truncated: &'a [ObjectName],
    /// The tables that lose their rejected rows and nothing else.
    pub(crate) errors_truncated: &'a [ObjectName],
    /// The tables that have more columns, or columns without their NOT NULL.
    pub(crate) altered: &'a [ObjectName],
    /// The rows that tables get after all of that.
    pub(crate) inserted: &'a BTreeMap<ObjectName, Vec<Vec<Cell>>>,
}
