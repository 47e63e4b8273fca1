//! One member: it streams the partitions that it is assigned until it is asked to end.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;

use anyhow::{Context, Result};
use snowpipe_streaming::ingest;
use snowpipe_streaming::ingest::group::{GroupProgress, GroupReport, PartitionState};
use snowpipe_streaming::{Profile, StreamingIngestClient};
use tokio::sync::watch;
use tracing::info;

use crate::cli::Args;
use crate::letters::DeadLetters;
use crate::member::Member;
use crate::owner::Partition;
use crate::reading::Reading;
use crate::status::Status;
use crate::{metrics, screen, settings};

/// The clients of the topics.
pub(crate) type Clients = BTreeMap<String, StreamingIngestClient>;

/// Streams until `stop` is true, and drains. Returns whether all partitions were in order at the end.
///
/// # Errors
/// If the options are wrong, the account refuses the program, or the consumer fails permanently.
pub async fn run(args: Args, mut stop: watch::Receiver<bool>) -> Result<bool> {
    let config = settings::consumer(&args)?;
    let status = Arc::new(Status::default());
    let reading = Reading {
        layout: args.layout(),
        undecodable: args.undecodable,
        rejected: args.rejected(),
        letters: DeadLetters::open(&args)?,
        start: args.start,
        on_gap: args.on_gap,
        heartbeat: settings::heartbeat(&config)?,
        status: Arc::clone(&status),
    };
    let (client, clients) = clients(&args).await?;
    let topics: Vec<_> = clients.keys().map(String::as_str).collect();
    if let Some(address) = args.metrics {
        let served = metrics::serve(address, Arc::clone(&status), clients.clone());
        let address = served
            .await
            .with_context(|| format!("cannot listen on {address}"))?;
        info!(%address, "serving metrics");
    }
    let on_terminal = io::stdout().is_terminal();
    let screen = on_terminal.then(|| tokio::spawn(screen::show(Arc::clone(&status))));
    let mut member = Member::join(&config, &topics, Arc::new(reading))?;
    let report = ingest::group(&client, args.source_id(), &mut member)
        .client_for(|partition: &Partition| {
            clients.get(&*partition.topic).unwrap_or(&client).clone()
        })
        .drain_timeout(args.drain_timeout)
        .observe(|progress| {
            if status.observe(progress) && !on_terminal {
                // A failed write does not stop the program.
                let _ = writeln!(io::stdout(), "{}", changed(progress));
            }
        })
        .until(async move {
            // Without a sender nothing asks the program to end.
            if stop.wait_for(|stop| *stop).await.is_err() {
                std::future::pending::<()>().await;
            }
        })
        .await;
    if let Some(screen) = screen {
        screen.abort();
    }
    let report = report?;
    info!(
        assigned = report.assigned,
        revoked = report.revoked,
        lost = report.lost,
        rows = report.totals.rows_committed,
        "the group was left"
    );
    Ok(is_in_order(&report))
}

/// A client for each topic. They share login, connections and memory. The first one is that of the group.
async fn clients(args: &Args) -> Result<(StreamingIngestClient, Clients)> {
    let profile = match &args.profile {
        Some(path) => Profile::from_file(path)?,
        None => Profile::discover()?,
    };
    let first = args.topics.first().context("there is no topic")?;
    let client = StreamingIngestClient::builder(profile, first.pipe.clone())
        .build()
        .await?;
    let mut clients = Clients::new();
    for topic in &args.topics {
        let before = clients.insert(topic.name.clone(), client.for_pipe(topic.pipe.clone()));
        anyhow::ensure!(before.is_none(), "the topic {} is given twice", topic.name);
    }
    Ok((client, clients))
}

/// A line for a program that reads along: the partition, its new state, and why.
fn changed(progress: &GroupProgress<'_, Partition, i64>) -> String {
    let GroupProgress {
        partition, report, ..
    } = progress;
    let state = report.state.as_str();
    match (&report.state, &report.error) {
        (PartitionState::Failed | PartitionState::Retrying, Some(error)) => {
            format!("{partition} {state}: {error}")
        }
        _ => format!("{partition} {state}"),
    }
}

/// Whether no partition has failed, and the rows of all were committed.
fn is_in_order(report: &GroupReport<Partition, i64>) -> bool {
    for (partition, report) in &report.partitions {
        if let Some(error) = &report.error {
            info!(%partition, state = report.state.as_str(), %error, "last error");
        }
    }
    report.totals.failed == 0
}
