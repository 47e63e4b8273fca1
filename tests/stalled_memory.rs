//! What a client allocates while the server answers nothing: rows, batches, requests and compression, by a counting
//! allocator and not by the client's own books. In a binary of its own: the counting allocator is the whole program's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

#[path = "../benches/support/sink.rs"]
mod sink;

use std::time::Duration;

use allocation_counter::measure;
use async_trait::async_trait;
use serde::Serialize;
use snowpipe_streaming::transport::{Request, Response, Transport, TransportError};
use snowpipe_streaming::{Channel, Recovery, StreamingIngestClient};
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::sink::Sink;

const CHANNELS: i64 = 8;

/// Long enough for attempts to time out and to be repeated.
const A_WHILE: Duration = Duration::from_secs(200);

/// A sink that never answers an append.
#[derive(Debug, Default)]
struct Stalled(Sink);

#[async_trait]
impl Transport for Stalled {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        if request.uri().path().ends_with("/rows") {
            std::future::pending::<()>().await;
        }
        self.0.call(request).await
    }
}

/// Rows of 200 bytes that compress about three times.
#[derive(Serialize)]
struct Row {
    n: i64,
    noise: String,
    text: &'static str,
}

fn row(n: i64) -> Row {
    let noise = n.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed());
    let text = "a lift in the resort that carries skiers to the top, and again, and again, until the evening comes";
    Row {
        n,
        noise: format!("{noise:016x}{:016x}", noise.rotate_left(17) ^ n),
        text,
    }
}

/// Appends until nothing moves for a while.
async fn fill(mut channel: Channel, mode: Mode) {
    let appends = async {
        match mode {
            Mode::RowByRow => {
                for n in 0.. {
                    drop(channel.append_row(&row(n), n).await.unwrap());
                }
            }
            Mode::Rows => {
                drop(channel.append_rows((0..).map(row), 0_i64..).await);
            }
        }
    };
    assert!(timeout(A_WHILE, appends).await.is_err(), "it waits");
}

#[derive(Debug, Clone, Copy)]
enum Mode {
    RowByRow,
    Rows,
}

/// The largest number of bytes that were allocated at once, beyond what the client had before its first row.
fn peak(budget: usize, recovery: Recovery, mode: Mode) -> i64 {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let client = Sink::client()
        .transport(Stalled::default())
        .memory_budget(budget)
        .recovery(recovery)
        .offload_threshold(usize::MAX)
        .build();
    let client: StreamingIngestClient = runtime.block_on(client).unwrap();
    let mut channels = Vec::new();
    for n in 0..CHANNELS {
        channels.push(runtime.block_on(client.open_channel(format!("c{n}")).into_future()));
    }
    let peak = measure(|| {
        runtime.block_on(async {
            let mut appending = tokio::task::JoinSet::new();
            for channel in channels {
                appending.spawn(fill(channel.unwrap(), mode));
            }
            while let Some(done) = appending.join_next().await {
                done.unwrap();
            }
        });
    });
    peak.bytes_max.cast_signed()
}

/// What is not charged, for each channel: the piece that an append encodes before it has memory for it, and what belongs to
/// the channel, its requests and its tasks.
const BESIDE: i64 = (256 + 128) << 10;

#[test]
fn a_stalled_server_costs_the_budget_and_a_bounded_rest() {
    for recovery in [Recovery::Surface, Recovery::Replay] {
        for mode in [Mode::RowByRow, Mode::Rows] {
            for budget in [512 << 10, 1 << 20, 2 << 20] {
                let peak = peak(budget, recovery, mode);
                let budget = i64::try_from(budget).unwrap();
                println!("{recovery:?}, {mode:?}: {peak} bytes for a budget of {budget}");
                // The buffer of an open batch grows by doubling. Batches of a larger budget have buffers of address space,
                // which are not memory before they are written to.
                let most = 2 * budget + CHANNELS * BESIDE;
                assert!(
                    peak <= most,
                    "{recovery:?}, {mode:?}: {peak} bytes for a budget of {budget}, {most} expected at most"
                );
                assert!(peak >= budget / 2, "it is not filled: {peak} bytes");
            }
        }
    }
}
