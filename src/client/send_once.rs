//! Open, append, commit and close in one call, for jobs and functions that end when their rows are committed.

use serde::Serialize;

use super::StreamingIngestClient;
use crate::types::close_report::CloseReport;
use crate::types::error::Result;
use crate::types::offset::OffsetToken;
use crate::types::offset::arguments::{IntoOffsets, Offsets};

impl StreamingIngestClient {
    /// Opens a channel, appends rows, waits until they are committed, and closes the channel. For a job or a function that must
    /// not end with rows in memory.
    ///
    /// The call may be repeated with the same rows and offsets. Rows that the channel's committed token covers are skipped, so
    /// that the next run of a job finishes what a crashed one has started, without duplicates. This requires integer offsets:
    /// rows that share a text token are skipped only if it is the last committed one.
    ///
    /// ```no_run
    /// # async fn example(client: snowpipe_streaming::StreamingIngestClient, rows: Vec<serde_json::Value>) -> snowpipe_streaming::Result<()> {
    /// let report = client.send_once("nightly-job", &rows, 0..).await?;
    /// assert!(report.is_clean());
    /// # Ok(()) }
    /// ```
    ///
    /// If the future is cancelled, the appended rows drain in the background.
    ///
    /// # Errors
    ///
    /// As [`open_channel`](Self::open_channel), [`append_rows`](crate::Channel::append_rows) and
    /// [`close`](crate::Channel::close).
    pub async fn send_once<I>(
        &self,
        channel: impl Into<String>,
        rows: I,
        offsets: impl IntoOffsets,
    ) -> Result<CloseReport>
    where
        I: IntoIterator,
        I::Item: Serialize,
    {
        let offsets = offsets.into_offsets()?;
        let mut channel = self.open_channel(channel).await?;
        let committed = channel.latest_committed_offset_token();
        let (skip, offsets) = after(committed.as_ref(), offsets);
        let rows = rows.into_iter().skip(skip);
        let _receipt = channel.append_with(rows, offsets).await?;
        channel.close().await
    }
}

/// How many rows the committed token covers, and the offsets of the others.
fn after(committed: Option<&OffsetToken>, offsets: Offsets) -> (usize, Offsets) {
    let number = committed.and_then(OffsetToken::reads_as_integer);
    match offsets {
        Offsets::Each { first } => {
            let covered = number.map_or(0, |last| (last - first + 1).max(0));
            let skip = usize::try_from(covered).unwrap_or(usize::MAX);
            (
                skip,
                Offsets::Each {
                    first: first + covered,
                },
            )
        }
        Offsets::Whole { start, end } => {
            let done = committed == Some(&end)
                || end
                    .as_integer()
                    .zip(number)
                    .is_some_and(|(end, last)| end <= last);
            (
                if done { usize::MAX } else { 0 },
                Offsets::Whole { start, end },
            )
        }
    }
}
