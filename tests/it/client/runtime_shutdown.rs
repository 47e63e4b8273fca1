//! A runtime that shuts down while a batch is being compressed: receipts resolve, and the memory is returned.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use snowpipe_streaming::time::SystemClock;
use snowpipe_streaming::{ErrorKind, PipePath, Profile, Recovery, StreamingIngestClient};
use snowpipe_streaming_emulator::{Emulator, MemoryTransport};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{spawn_blocking, yield_now};

use crate::scripted_server::within;

/// A runtime on this thread whose only thread for blocking work is occupied until the sender is dropped.
fn occupied() -> (Runtime, mpsc::Sender<()>) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let (release, released) = mpsc::channel::<()>();
    let (started, has_begun) = mpsc::channel();
    runtime.spawn_blocking(move || {
        started.send(()).unwrap();
        let _ = released.recv();
    });
    has_begun.recv().unwrap();
    (runtime, release)
}

async fn connect(recovery: Recovery) -> StreamingIngestClient {
    let emulator = Emulator::builder()
        .commit_delay(Duration::from_millis(5))
        .build()
        .unwrap();
    let profile = Profile::from_json(&emulator.profile_json("http://127.0.0.1")).unwrap();
    let pipe = PipePath::new("DB", "PUBLIC", "RIDES_PIPE").unwrap();
    let builder = StreamingIngestClient::builder(profile, pipe)
        .transport(MemoryTransport::new(emulator, Arc::new(SystemClock)))
        .recovery(recovery)
        .max_client_lag(Duration::from_millis(100))
        .offload_threshold(0);
    builder.build().await.unwrap()
}

#[test]
fn receipts_resolve_and_memory_is_returned_if_the_runtime_ends_during_compression() {
    for recovery in [Recovery::Surface, Recovery::Replay] {
        let (runtime, release) = occupied();
        let (client, channel, receipt) = runtime.block_on(async {
            let client = connect(recovery).await;
            let mut channel = client.open_channel("c").await.unwrap();
            let rows = (0..100).map(|n| serde_json::json!({ "N": n }));
            let receipt = channel.append_rows(rows, 0..).await.unwrap();
            channel.initiate_flush();
            // When the driver has run, the compression is queued behind the blocked thread.
            for _ in 0..100 {
                yield_now().await;
            }
            (client, channel, receipt)
        });
        assert!(client.memory_in_use() > 0, "{recovery:?}");
        runtime.shutdown_background();

        let other = Builder::new_current_thread().enable_all().build().unwrap();
        other.block_on(async {
            for outcome in [
                within(receipt.accepted()).await,
                within(receipt.committed()).await,
            ] {
                let kind = outcome.unwrap_err().kind();
                assert_eq!(kind, ErrorKind::ClientClosed, "{recovery:?}");
            }
            let closed = within(channel.close()).await;
            assert_eq!(closed.unwrap_err().kind(), ErrorKind::ClientClosed);
            drop(release);
            // The queued compression is dropped by the thread that was blocked.
            within(async {
                while client.memory_in_use() > 0 {
                    spawn_blocking(std::thread::yield_now).await.unwrap();
                }
            })
            .await;
            drop(client);
        });
    }
}

/// The client is built on one runtime and used on another one: the first has ended, or nothing drives it any more.
#[test]
fn a_client_outlives_the_runtime_that_it_was_built_on() {
    for is_shut_down in [true, false] {
        let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
        let first = runtime();
        let (client, used) = first.block_on(async {
            let client = connect(Recovery::Surface).await;
            let used = connect(Recovery::Surface).await;
            // Its status poller runs here.
            let mut channel = used.open_channel("a").await.unwrap();
            let receipt = channel.append_row(&serde_json::json!({}), 0).await.unwrap();
            receipt.committed().await.unwrap();
            channel.close().await.unwrap();
            (client, used)
        });
        let first = if is_shut_down {
            first.shutdown_background();
            None
        } else {
            Some(first)
        };
        runtime().block_on(async {
            for client in [client, used] {
                let mut channel = client.open_channel("c").await.unwrap();
                let receipt = channel.append_row(&serde_json::json!({}), 0).await.unwrap();
                within(receipt.committed()).await.unwrap();
                within(channel.close()).await.unwrap();
                let elastic = client.elastic_channel();
                let ack = elastic
                    .append_row(&serde_json::json!({}), ())
                    .await
                    .unwrap();
                within(ack).await.unwrap();
                within(elastic.close()).await.unwrap();
            }
        });
        drop(first);
    }
}

/// The poller moves to the runtime of the last open. When that one ends, a channel of the other runtime goes on.
#[test]
fn a_channel_outlives_the_runtime_that_polls_for_it() {
    let own = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (client, mut channel) = own.block_on(async {
        let client = connect(Recovery::Surface).await;
        let channel = client.open_channel("c").await.unwrap();
        (client, channel)
    });
    for n in 0..3 {
        let other = Builder::new_current_thread().enable_all().build().unwrap();
        let second = other.block_on(async { client.open_channel("d").await.unwrap() });
        drop(other);
        own.block_on(async {
            let receipt = channel.append_row(&serde_json::json!({}), n).await.unwrap();
            within(receipt.committed()).await.unwrap();
            within(second.close()).await.unwrap();
        });
    }
}
