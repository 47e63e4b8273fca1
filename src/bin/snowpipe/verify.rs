//! `--verify-sql`: whether what the server says it inserted is in the table, as SQL counts it.

use snowpipe_streaming::sql::{Counts, SqlClient, TableName};
use snowpipe_streaming::{ChannelStatus, StreamingIngestClient};

/// How often a table that still changes is counted again.
const MOST_COUNTS: u32 = 20;

/// Counts a table before and after rows were sent.
#[derive(Debug)]
pub(crate) struct Verifier {
    sql: SqlClient,
    table: TableName,
    key: String,
    channel: String,
}

/// A table and a channel at the same moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Snapshot {
    /// What the server says it inserted from the channel.
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

    /// Counts until nothing was inserted meanwhile.
    pub(crate) async fn look(&self, client: &StreamingIngestClient) -> Result<Snapshot, String> {
        let mut before = self.inserted(client).await?;
        for _ in 0..MOST_COUNTS {
            let counts = self.sql.count(&self.table, Some(&self.key)).await;
            let counts = counts.map_err(|why| why.to_string())?;
            let after = self.inserted(client).await?;
            if after == before {
                return Ok(Snapshot {
                    inserted: after,
                    counts,
                });
            }
            before = after;
        }
        Err(format!(
            "rows still come in from channel {}: is something else streaming to it?",
            self.channel
        ))
    }

    async fn inserted(&self, client: &StreamingIngestClient) -> Result<u64, String> {
        let statuses = client.channel_statuses([&self.channel]).await;
        let statuses = statuses.map_err(|why| why.to_string())?;
        let status = statuses.get(&self.channel);
        Ok(status.map_or(0, ChannelStatus::rows_inserted_count))
    }

    /// Compares what was inserted between two moments with what is in the table: in words if it is the same, and else why
    /// not.
    pub(crate) fn compare(&self, before: Snapshot, now: Snapshot) -> Result<String, String> {
        let inserted = now.inserted.saturating_sub(before.inserted);
        let landed = now.counts.rows.saturating_sub(before.counts.rows);
        let distinct = |snapshot: Snapshot| snapshot.counts.distinct.unwrap_or_default();
        let keys = distinct(now).saturating_sub(distinct(before));
        let (table, key) = (&self.table, &self.key);
        let found = format!(
            "{table} has {} rows with {} different {key}, {landed} and {keys} more than before",
            now.counts.rows,
            distinct(now)
        );
        if landed != inserted {
            return Err(format!(
                "{found}; the server says it inserted {inserted}: does something else write to the table, or does the pipe feed another one?"
            ));
        }
        if keys != landed {
            return Err(format!(
                "{found}: a {key} is there more than once, or is NULL; were rows sent before that came again under other offsets?"
            ));
        }
        Ok(found)
    }
}
