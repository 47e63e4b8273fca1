//! `--verify-sql`: compares the server's count of inserted rows with the table, counted with SQL.

use snowpipe_streaming::sql::{Counts, SqlClient, TableName};
use snowpipe_streaming::{ChannelStatus, Error, ErrorKind, StreamingIngestClient};

use crate::{Stop, code};

/// A refused statement is a mistake in the command line or in a grant; any other failure may pass.
fn uncounted(error: &Error) -> Stop {
    let code = match error.kind() {
        ErrorKind::Refused => code::MISUSED,
        _ => Stop::before(error).code,
    };
    Stop {
        code,
        why: format!("the table cannot be counted: {error}"),
    }
}

/// The number of counts of a table that still changes.
const MOST_COUNTS: u32 = 20;

/// Counts a table before and after rows were sent.
#[derive(Debug)]
pub(crate) struct Verifier {
    sql: SqlClient,
    table: TableName,
    key: String,
    channel: String,
}

/// The counts of a table and a channel at the same time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Snapshot {
    /// The server's count of rows inserted from the channel.
    inserted: u64,
    counts: Counts,
}

impl Verifier {
    pub(crate) fn new(sql: SqlClient, table: TableName, key: String, channel: String) -> Self {
        Self {
            sql,
            table,
            key,
            channel,
        }
    }

    /// Counts until no row is inserted during the count.
    pub(crate) async fn look(&self, client: &StreamingIngestClient) -> Result<Snapshot, Stop> {
        let mut before = self.inserted(client).await?;
        for _ in 0..MOST_COUNTS {
            let counts = self.sql.count(&self.table, Some(&self.key)).await;
            let counts = counts.map_err(|error| uncounted(&error))?;
            let after = self.inserted(client).await?;
            if after == before {
                return Ok(Snapshot {
                    inserted: after,
                    counts,
                });
            }
            before = after;
        }
        Err(Stop::misused(format!(
            "the table cannot be counted: rows are still being inserted from channel {}: check whether another program streams to it",
            self.channel
        )))
    }

    async fn inserted(&self, client: &StreamingIngestClient) -> Result<u64, Stop> {
        let statuses = client.channel_statuses([&self.channel]).await;
        let statuses = statuses.map_err(|error| uncounted(&error))?;
        let status = statuses.get(&self.channel);
        Ok(status.map_or(0, ChannelStatus::rows_inserted_count))
    }

    /// Compares the inserted rows between two snapshots with those in the table. Returns a description, or the reason for a
    /// mismatch as an error.
    pub(crate) fn compare(&self, before: Snapshot, now: Snapshot) -> Result<String, String> {
        let inserted = now.inserted.saturating_sub(before.inserted);
        let landed = now.counts.rows.saturating_sub(before.counts.rows);
        let distinct = |snapshot: Snapshot| snapshot.counts.distinct.unwrap_or_default();
        let keys = distinct(now).saturating_sub(distinct(before));
        let (table, key) = (&self.table, &self.key);
        let found = format!(
            "{table} has {} rows with {} distinct {key}, {landed} and {keys} more than before",
            now.counts.rows,
            distinct(now)
        );
        if landed != inserted {
            return Err(format!(
                "{found}; the server reports {inserted} inserted rows: check whether another program writes to the table, and whether the pipe feeds another table"
            ));
        }
        if keys != landed {
            return Err(format!(
                "{found}: a {key} occurs more than once or is NULL; check whether rows were sent again with other offsets"
            ));
        }
        Ok(found)
    }
}
