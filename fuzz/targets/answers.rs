//! A server that answers whatever it likes: the client may fail, and neither panics nor hangs.
//!
//! An input is a mode and the answers in their order. An answer is a line, `STATUS RETRY-AFTER`, and a body; a line that is
//! no status is a broken connection.

#![no_main]

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use snowpipe_streaming::transport::{Request, Response, Transport, TransportError, TransportErrorKind};
use snowpipe_streaming::OnUncommitted;
use snowpipe_streaming_fuzz::{client, line, parts, run};

/// Answers with what it was given, and then with a refusal.
#[derive(Debug)]
struct Scripted {
    answers: Mutex<VecDeque<Vec<u8>>>,
    /// Whether host name and token come from the script too.
    from_the_start: bool,
}

fn answer(part: &[u8]) -> Result<Response, TransportError> {
    let (head, body) = line(part);
    let (status, retry_after) = match head.iter().position(|byte| *byte == b' ') {
        Some(at) => (&head[..at], head.get(at + 1..)),
        None => (head, None),
    };
    let kind = match status {
        b"dns" => Some(TransportErrorKind::Dns),
        b"connect" => Some(TransportErrorKind::Connect),
        b"timeout" => Some(TransportErrorKind::Timeout),
        b"body" => Some(TransportErrorKind::Body),
        _ => None,
    };
    let broken = |kind| TransportError::new(kind, "it broke");
    if let Some(kind) = kind {
        return Err(broken(kind));
    }
    let mut built = http::Response::builder().status(status);
    if let Some(value) = retry_after {
        built = built.header("retry-after", value);
    }
    built
        .body(Bytes::copy_from_slice(body))
        .map_err(|_| broken(TransportErrorKind::Interrupted))
}

#[async_trait::async_trait]
impl Transport for Scripted {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        if !self.from_the_start {
            match request.uri().path() {
                "/v2/streaming/hostname" => return Ok(Response::new("127.0.0.1".into())),
                "/oauth/token" => return Ok(Response::new("t".into())),
                _ => {}
            }
        }
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        match answers.pop_front() {
            Some(part) => answer(&part),
            None => answer(b"400\n{\"code\":\"ERR_END\"}"),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut parts = parts(data).map(<[u8]>::to_vec);
    let mode = parts.next().and_then(|mode| mode.first().copied());
    let mode = mode.unwrap_or_default();
    let server = Scripted {
        answers: Mutex::new(parts.take(64).collect()),
        from_the_start: mode & 1 == 1,
    };
    run(async {
        // Short waits: each costs wakes, even on a clock that jumps.
        let built = client(server)
            .attempt_timeout(Duration::from_secs(5))
            .retry_for(Duration::from_secs(8))
            .commit_stall_timeout(Duration::from_secs(8))
            .settle_timeout(Duration::from_secs(3))
            .close_timeout(Duration::from_secs(8))
            .on_uncommitted(OnUncommitted::Wait(Duration::from_secs(8)))
            .build();
        let Ok(client) = built.await else { return };
        if mode & 2 == 2 {
            let _ = client.channel_statuses(&["c"]).await;
        }
        let mut opening = client.open_channel("c");
        if mode & 4 == 4 {
            opening = opening.on_uncommitted(OnUncommitted::Discard);
        }
        let opened = opening.await;
        if let Ok(mut channel) = opened {
            for n in 0..3_u64 {
                let appended = channel.append_row(&json!({ "N": n }), n).await;
                if let (Ok(receipt), 1) = (appended, n) {
                    let _ = receipt.accepted().await;
                }
            }
            let _ = channel.wait_for_flush().await;
            let _ = channel.wait_for_commit().await;
            let _ = channel.resume_after::<u64>();
            if mode & 8 == 8 {
                let _ = channel.reopen().await;
            }
            let _ = channel.close().await;
        }
        let _ = client.drop_channel("c").await;
        let _ = client.close().await;
    });
});
