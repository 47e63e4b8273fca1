//! The process with the client alone: it appends the rows from memory, a task for each channel, and prints what it has used.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use futures_util::future::try_join_all;
use snowpipe_streaming::{Channel, Profile, RowBatch, StreamingIngestClient};

use crate::usage::Usage;

/// As many as `ingest::group` takes from a source at once.
const BATCH: usize = 1_000;

/// Streams the lines of the pool into each channel.
///
/// # Errors
/// If the client fails.
pub(crate) async fn run(pool: &Path, profile: &Path, channels: u32, rows: u64) -> Result<()> {
    let pool = Bytes::from(std::fs::read(pool)?);
    let ends = pool.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let ends: Vec<usize> = ends.map(|(at, _)| at + 1).collect();
    let mut batches = Vec::new();
    let mut start = 0;
    for lines in ends.chunks(BATCH) {
        let end = lines.last().copied().unwrap_or(start);
        batches.push(pool.slice(start..end));
        start = end;
    }
    let batches = Arc::new(batches);
    let before = Usage::own()?;
    let profile = Profile::from_file(profile)?;
    let client = StreamingIngestClient::for_table(profile, "RESORT", "PUBLIC", "LIFT_RIDE")?;
    let client = client.build().await?;
    let opens = (0..channels).map(|i| client.open_channel(format!("alone-{i}")).into_future());
    let tasks = try_join_all(opens).await?.into_iter().map(|channel| {
        let batches = Arc::clone(&batches);
        tokio::spawn(async move { write(channel, &batches).await })
    });
    for written in try_join_all(tasks).await? {
        anyhow::ensure!(written? == rows, "not all rows were appended");
    }
    let used = Usage::own()?;
    let used = Usage {
        cpu_s: used.cpu_s - before.cpu_s,
        ..used
    };
    println!("{}", serde_json::to_string(&used)?);
    Ok(())
}

async fn write(mut channel: Channel, batches: &[Bytes]) -> Result<u64> {
    let mut next = 0;
    for batch in batches {
        let batch = RowBatch::from_ndjson(batch.clone())?;
        channel.append_batch(&batch, next..).await?;
        next += batch.len();
    }
    channel.wait_for_flush().await?;
    Ok(next)
}
