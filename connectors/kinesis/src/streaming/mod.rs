//! The streaming path: from the stream to a table, a channel for each shard.

mod partition;
mod shard;
mod shards;

use std::collections::BTreeMap;

use anyhow::Result;
use snowpipe_streaming::ingest;
use snowpipe_streaming::ingest::group::PartitionState;
use snowpipe_streaming::{PipePath, Profile, StreamingIngestClient};
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use self::shards::Shards;
use crate::cli::{StreamArgs, TargetArgs};
use crate::say::say;
use crate::stopping;
use crate::stream::{self, Stream, Summary};

/// Streams until `stop` is true, and drains. Returns whether all shards were in order at the end.
///
/// # Errors
/// If the stream or the account cannot be used.
pub(crate) async fn run(args: StreamArgs, mut stop: watch::Receiver<bool>) -> Result<bool> {
    let stream = Stream::new(&stream::config().await, &*args.stream.stream);
    let Summary {
        created,
        outlives_channels,
    } = stream.summary().await?;
    if outlives_channels {
        warn!(
            "the stream keeps records for more than 30 days: a shard without new records for 30 days loses its channel's token, and is \
             read again from its beginning; set a retention of at most 720 hours"
        );
    }
    let client = client(&args.target, &args.table).await?;
    let (mut shards, finish) = Shards::new(
        stream,
        created,
        client.clone(),
        &args,
        args.stream.letters()?,
    );
    let mut states = BTreeMap::new();
    let has_failed = Notify::new();
    let report = ingest::group(&client, &args.source_id, &mut shards)
        .drain_timeout(args.drain_timeout)
        .observe(|progress| {
            let (partition, report) = (progress.partition, progress.report);
            if states.insert(partition.clone(), report.state) == Some(report.state) {
                return;
            }
            let state = report.state.as_str();
            match &report.error {
                Some(error)
                    if matches!(
                        report.state,
                        PartitionState::Failed | PartitionState::Retrying
                    ) =>
                {
                    say(format_args!("{} {state}: {error}", partition.shard));
                }
                _ => say(format_args!("{} {state}", partition.shard)),
            }
            let is_over = |state: &PartitionState| {
                matches!(state, PartitionState::Failed | PartitionState::Exhausted)
            };
            if report.state == PartitionState::Failed && states.values().all(is_over) {
                has_failed.notify_one();
            }
            if report.state == PartitionState::Exhausted {
                // Without a receiver the program ends.
                let _ = finish.send(partition.shard.to_string());
            }
        })
        .until(async {
            tokio::select! {
                () = stopping::requested(&mut stop) => {}
                () = has_failed.notified() => say(
                    "no shard is streamed any more, because all have failed; if another program streams the same shards, give each \
                     its part with --worker",
                ),
            }
        })
        .await?;
    let rows = report.totals.rows_committed;
    info!(assigned = report.assigned, rows, "the program ends");
    Ok(report.totals.failed == 0)
}

/// A client for the default pipe of a table.
///
/// # Errors
/// If the server cannot be reached or refuses the credentials.
pub(crate) async fn client(target: &TargetArgs, table: &PipePath) -> Result<StreamingIngestClient> {
    let pipe = PipePath::for_table(table.database(), table.schema(), table.pipe())?;
    let profile = profile(target)?;
    Ok(StreamingIngestClient::builder(profile, pipe)
        .build()
        .await?)
}

/// # Errors
/// If the profile is not valid.
pub(crate) fn profile(target: &TargetArgs) -> Result<Profile> {
    Ok(match &target.profile {
        Some(path) => Profile::from_file(path)?,
        None => Profile::discover()?,
    })
}
