//! Metrics in Prometheus' text format, over a server that answers every request with them.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use snowpipe_streaming::StreamingIngestClient;
use snowpipe_streaming::metrics::Metrics;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::debug;

use crate::owner::Partition;
use crate::program::Clients;
use crate::status::{PartitionStatus, Status};

/// How long a connection may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head of a request.
const MAX_HEAD: usize = 8 * 1024;
/// How many connections are served at once.
const MAX_CONNECTIONS: usize = 16;

type Value = fn(&PartitionStatus) -> Option<i64>;

fn number(count: u64) -> Option<i64> {
    i64::try_from(count).ok()
}

/// Name, kind, help and value of each metric of a partition.
const FAMILIES: [(&str, &str, &str, Value); 9] = [
    (
        "lag",
        "gauge",
        "Offsets between the committed one and the end of the log.",
        PartitionStatus::lag,
    ),
    (
        "committed_offset",
        "gauge",
        "The offset up to which everything is in the table.",
        |p| p.committed,
    ),
    (
        "rows_in_flight",
        "gauge",
        "Rows that wait for their commit.",
        |p| number(p.rows_in_flight),
    ),
    (
        "rows_committed_total",
        "counter",
        "Rows committed by this member.",
        |p| number(p.rows_committed),
    ),
    (
        "rows_rejected_total",
        "counter",
        "Rows that the table rejected.",
        |p| number(p.rows_rejected),
    ),
    (
        "undecodable_total",
        "counter",
        "Records that could not be decoded.",
        |p| number(p.undecodable),
    ),
    (
        "tombstones_skipped_total",
        "counter",
        "Records without a value that were skipped.",
        |p| number(p.skipped_tombstones),
    ),
    (
        "missing_total",
        "counter",
        "Offsets that were deleted before they were read.",
        |p| number(p.missing),
    ),
    (
        "reopens_total",
        "counter",
        "How often the channel was reopened.",
        |p| number(p.reopens),
    ),
];

/// Serves the metrics in a task, at the address that is returned.
///
/// # Errors
/// If the address cannot be listened on.
pub(crate) async fn serve(
    address: SocketAddr,
    status: Arc<Status>,
    clients: Clients,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    tokio::spawn(async move {
        // The semaphore is never closed.
        while let Ok(permit) = Arc::clone(&connections).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let page = page(&status, &clients);
                    tokio::spawn(async move {
                        // A connection that fails is the client's to repeat.
                        let _ = timeout(TIMEOUT, answer(stream, page)).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    debug!(%error, "no connection for metrics");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    Ok(address)
}

async fn answer(mut stream: TcpStream, page: String) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < MAX_HEAD {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        page.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(page.as_bytes()).await?;
    stream.shutdown().await
}

fn page(status: &Status, clients: &Clients) -> String {
    let metrics: Vec<_> = clients
        .values()
        .map(StreamingIngestClient::metrics)
        .collect();
    let mut page = Metrics::prometheus_page(&metrics);
    let partitions = status.partitions();
    // Writing to a string does not fail.
    for (name, kind, help, value) in FAMILIES {
        let name = format_args!("snowpipe_kafka_{name}");
        let _ = write!(page, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (partition, status) in &partitions {
            if let Some(value) = value(status) {
                let _ = writeln!(page, "{name}{{{}}} {value}", labels(partition));
            }
        }
    }
    let name = "snowpipe_kafka_partition_state";
    let _ = write!(
        page,
        "# HELP {name} 1 for the state that the partition has.\n# TYPE {name} gauge\n"
    );
    for (partition, status) in &partitions {
        let state = status.state.as_str();
        let _ = writeln!(page, "{name}{{{},state=\"{state}\"}} 1", labels(partition));
    }
    page
}

/// Topics have no characters that would have to be escaped.
fn labels(partition: &Partition) -> String {
    format!(
        "topic=\"{}\",partition=\"{}\"",
        partition.topic, partition.number
    )
}
