//! The client of a job: connecting, opening channels, and measuring what it used.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::try_join_all;
use snowpipe_streaming::transport::HttpTransport;
use snowpipe_streaming::{Channel, Pacing, Profile, StreamingIngestClient};

use crate::job::{Job, Metrics, Outcome, Task};
use crate::usage;

/// How long an append waits for memory while the server is stalled.
const APPEND_TIMEOUT: Duration = Duration::from_secs(2);

/// Connects the client that the job describes.
pub(crate) async fn connect(job: &Job) -> Result<StreamingIngestClient> {
    let transport = HttpTransport::builder()
        .add_root_certificate_file(&job.ca)?
        .only_these_roots()
        .no_proxy();
    let transport = if job.config.http2 {
        transport.http2()
    } else {
        transport
    };
    let profile = Profile::from_file(&job.profile)?;
    let client = StreamingIngestClient::for_table(profile, "RESORT", "PUBLIC", "LIFT_RIDE")?
        .transport(transport.build()?)
        .pacing(if job.config.paced {
            Pacing::Named
        } else {
            Pacing::Off
        });
    let client = match job.task {
        // One channel may use the whole budget.
        Task::Stalled { memory_budget } => client
            .memory_budget(memory_budget)
            .channel_memory(memory_budget)
            .append_timeout(APPEND_TIMEOUT),
        _ => client,
    };
    Ok(client.build().await?)
}

/// Opens the job's channels, all at once.
pub(crate) async fn open(client: &StreamingIngestClient, job: &Job) -> Result<Vec<Channel>> {
    let opens = (0..job.config.channels).map(|i| {
        client
            .open_channel(format!("{}-{i}", job.name))
            .into_future()
    });
    Ok(try_join_all(opens).await?)
}

/// The resources that this process has used since the span began.
#[derive(Debug)]
pub(crate) struct Span {
    started: Instant,
    cpu_s: f64,
    rss: u64,
}

impl Span {
    /// Begins a span.
    pub(crate) fn begin() -> Self {
        usage::forget_peak();
        Self {
            rss: usage::rss_bytes().unwrap_or(0),
            cpu_s: usage::cpu_seconds(),
            started: Instant::now(),
        }
    }

    /// Ends the span, in which `rows` were streamed.
    pub(crate) fn end(&self, rows: u64, client: &StreamingIngestClient) -> Outcome {
        Outcome {
            wall_s: self.started.elapsed().as_secs_f64(),
            cpu_s: usage::cpu_seconds() - self.cpu_s,
            rows,
            rss_before: self.rss,
            rss_peak: usage::peak_rss_bytes().unwrap_or(0),
            metrics: metrics(client),
            ..Outcome::default()
        }
    }
}

/// The client's counters.
pub(crate) fn metrics(client: &StreamingIngestClient) -> Metrics {
    let metrics = client.metrics();
    let requests = metrics.requests.iter();
    let requests: BTreeMap<_, _> = requests
        .map(|(endpoint, requests)| ((*endpoint).to_owned(), requests.total))
        .collect();
    Metrics {
        requests,
        bytes_accepted: metrics.bytes_accepted,
        bytes_sent: metrics.bytes_sent,
        memory_in_use: metrics.memory_in_use,
        memory_budget: metrics.memory_budget,
    }
}
