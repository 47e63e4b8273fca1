//! A pipe that moves to another host while rows are in flight. Paused clock throughout.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use serde_json::json;
use snowpipe_streaming::transport::{Request, Response, Transport, TransportError};
use snowpipe_streaming::{ErrorKind, InvalidationCause, Recovery, StreamingIngestClient};
use snowpipe_streaming_emulator::{Endpoint, MemoryTransport};

use crate::support::{World, answer, rows};

const FIRST: &str = "127.0.0.1";
const SECOND: &str = "127.0.0.2";

/// Two ingest hosts in front of one server. After the pipe has moved, the first answers only `gone`.
struct TwoHosts {
    inner: MemoryTransport,
    has_moved: Arc<AtomicBool>,
    gone: Response,
    /// The host for which the last token was issued, and the token.
    token: Mutex<(String, String)>,
    /// The hosts of all ingest calls.
    calls: Arc<Mutex<Vec<String>>>,
}

impl fmt::Debug for TwoHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TwoHosts")
    }
}

#[async_trait::async_trait]
impl Transport for TwoHosts {
    async fn call(&self, mut request: Request) -> Result<Response, TransportError> {
        let has_moved = self.has_moved.load(Ordering::Relaxed);
        let here = if has_moved { SECOND } else { FIRST };
        match request.uri().path() {
            "/v2/streaming/hostname" => {
                self.inner.call(request).await?;
                Ok(Response::new(Bytes::from(here)))
            }
            "/oauth/token" => {
                let form = String::from_utf8(request.body().to_vec()).unwrap();
                assert!(form.contains(here), "the scope names the host: {form}");
                // The server behind both hosts knows itself by the second's name.
                *request.body_mut() = form.replace(FIRST, SECOND).into();
                let response = self.inner.call(request).await?;
                let token = String::from_utf8(response.body().to_vec()).unwrap();
                *self.token.lock().unwrap() = (here.to_owned(), format!("Bearer {token}"));
                Ok(response)
            }
            _ => {
                let host = request.uri().host().unwrap().to_owned();
                self.calls.lock().unwrap().push(host.clone());
                if has_moved && host == FIRST {
                    return Ok(self.gone.clone());
                }
                let known = self.token.lock().unwrap().clone();
                let bearer = request.headers()[AUTHORIZATION]
                    .to_str()
                    .unwrap()
                    .to_owned();
                assert_eq!((host, bearer), known, "each host has tokens of its own");
                self.inner.call(request).await
            }
        }
    }
}

struct Pair {
    world: World,
    has_moved: Arc<AtomicBool>,
    calls: Arc<Mutex<Vec<String>>>,
    client: StreamingIngestClient,
}

impl Pair {
    async fn new(recovery: Recovery, gone: Response) -> Self {
        let world = World::with(|e| e.ingest_host(SECOND));
        let has_moved = Arc::<AtomicBool>::default();
        let calls = Arc::<Mutex<Vec<String>>>::default();
        let hosts = TwoHosts {
            inner: world.transport(),
            has_moved: has_moved.clone(),
            gone,
            token: Mutex::default(),
            calls: calls.clone(),
        };
        let builder = world.builder().transport(hosts).recovery(recovery);
        let client = builder.build().await.unwrap();
        Self {
            world,
            has_moved,
            calls,
            client,
        }
    }

    fn move_away(&self) {
        assert!(self.calls.lock().unwrap().iter().all(|host| host == FIRST));
        self.calls.lock().unwrap().clear();
        self.has_moved.store(true, Ordering::Relaxed);
    }

    /// Checks that the first host was called, and that all calls after the rediscovery went to the second.
    fn has_gone_over(&self) {
        let calls = self.calls.lock().unwrap();
        let before = calls.iter().take_while(|host| *host == FIRST).count();
        assert!(before > 0, "{calls:?}");
        assert!(
            calls[before..].iter().all(|host| host == SECOND),
            "{calls:?}"
        );
        assert_eq!(self.world.requests(Endpoint::Hostname), 2);
    }
}

fn failed_over() -> Response {
    let body = json!({ "code": "ERR_PIPE_FAILED_OVER", "message": "The pipe has failed over." });
    answer(410, &body)
}

fn bare(status: u16) -> Response {
    let response = http::Response::builder().status(status);
    response.body(Bytes::new()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_replaying_channel_continues_at_the_second_host() {
    for gone in [failed_over(), bare(410), bare(404)] {
        let text = format!("{gone:?}");
        let pair = Pair::new(Recovery::Replay, gone).await;
        let mut channel = pair.client.open_channel("c").await.unwrap();
        let before = channel.append_rows(rows(0..10), 0..).await.unwrap();
        before.accepted().await.unwrap();
        pair.move_away();
        let struck = channel.append_rows(rows(10..20), 10..).await.unwrap();
        channel.initiate_flush();
        for receipt in [before, struck] {
            let outcome = receipt.committed().await;
            outcome.unwrap_or_else(|e| panic!("{text}: {e}"));
        }
        assert_eq!(pair.world.landed(), (0..20).collect::<Vec<_>>(), "{text}");
        pair.has_gone_over();
        assert!(channel.close().await.unwrap().is_clean(), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_surfaces_is_reopened_at_the_second_host() {
    for gone in [failed_over(), bare(410)] {
        let text = format!("{gone:?}");
        let pair = Pair::new(Recovery::Surface, gone).await;
        let mut channel = pair.client.open_channel("c").await.unwrap();
        let before = channel.append_rows(rows(0..10), 0..).await.unwrap();
        before.accepted().await.unwrap();
        pair.move_away();
        let struck = channel.append_rows(rows(10..20), 10..).await.unwrap();
        channel.initiate_flush();
        let error = struck.committed().await.unwrap_err();
        let expected = ErrorKind::Invalidated(InvalidationCause::Gone);
        assert_eq!(error.kind(), expected, "{text}");
        before.committed().await.unwrap();
        channel.reopen().await.unwrap();
        assert_eq!(channel.resume_after::<i64>().unwrap(), Some(9));
        let again = channel.append_rows(rows(10..20), 10..).await.unwrap();
        again.committed().await.unwrap();
        assert_eq!(pair.world.landed(), (0..20).collect::<Vec<_>>(), "{text}");
        pair.has_gone_over();
    }
}

#[tokio::test(start_paused = true)]
async fn a_404_without_a_code_is_healed_at_the_second_host_without_a_reopen() {
    for recovery in [Recovery::Surface, Recovery::Replay] {
        let pair = Pair::new(recovery, bare(404)).await;
        let mut channel = pair.client.open_channel("c").await.unwrap();
        let first = channel.append_rows(rows(0..10), 0..).await.unwrap();
        first.committed().await.unwrap();
        pair.move_away();
        let struck = channel.append_rows(rows(10..20), 10..).await.unwrap();
        channel.initiate_flush();
        struck.accepted().await.unwrap();
        struck.committed().await.unwrap();
        assert_eq!(pair.world.requests(Endpoint::Open), 1, "{recovery:?}");
        assert_eq!(pair.world.requests(Endpoint::Append), 2, "{recovery:?}");
        assert_eq!(pair.world.landed(), (0..20).collect::<Vec<_>>());
        pair.has_gone_over();
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_channel_follows_the_pipe_by_its_heartbeat() {
    for recovery in [Recovery::Surface, Recovery::Replay] {
        let pair = Pair::new(recovery, failed_over()).await;
        let mut channel = pair.client.open_channel("c").await.unwrap();
        let first = channel.append_rows(rows(0..10), 0..).await.unwrap();
        first.committed().await.unwrap();
        pair.move_away();
        tokio::time::sleep(Duration::from_secs(40)).await;
        let next = channel.append_rows(rows(10..20), 10..).await.unwrap();
        next.committed().await.unwrap();
        assert_eq!(pair.world.landed(), (0..20).collect::<Vec<_>>());
        pair.has_gone_over();
    }
}
