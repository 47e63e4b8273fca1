//! Requests that never leave: no name, no connection, no TLS. Paused clock throughout.

use std::fmt;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use snowpipe_streaming::Recovery;
use snowpipe_streaming::transport::{
    Request, Response, Transport, TransportError, TransportErrorKind,
};
use snowpipe_streaming_emulator::MemoryTransport;

use crate::support::{World, rows};

/// Lets every third append through.
struct Broken {
    inner: MemoryTransport,
    kind: TransportErrorKind,
    appends: Arc<Mutex<Vec<(String, Bytes)>>>,
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Broken")
    }
}

#[async_trait::async_trait]
impl Transport for Broken {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        if request.uri().path().ends_with("/rows") {
            let query = request.uri().query().unwrap();
            let (query, _) = query.split_once("&retryCount=").unwrap();
            let seen = (query.to_owned(), request.body().clone());
            let mut appends = self.appends.lock().unwrap();
            appends.push(seen);
            if !appends.len().is_multiple_of(3) {
                return Err(TransportError::new(self.kind, "there is no way"));
            }
        }
        self.inner.call(request).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_left_is_sent_again_with_the_same_bytes() {
    for kind in [
        TransportErrorKind::Dns,
        TransportErrorKind::Connect,
        TransportErrorKind::Tls,
        TransportErrorKind::Proxy,
    ] {
        for recovery in [Recovery::Surface, Recovery::Replay] {
            let world = World::new();
            let appends = Arc::<Mutex<Vec<_>>>::default();
            let broken = Broken {
                inner: world.transport(),
                kind,
                appends: appends.clone(),
            };
            let builder = world.builder().transport(broken).recovery(recovery);
            let client = builder.build().await.unwrap();
            let mut channel = client.open_channel("c").await.unwrap();
            let receipt = channel.append_rows(rows(0..10), 0..).await.unwrap();
            receipt.committed().await.unwrap();
            let appends = appends.lock().unwrap();
            assert_eq!(appends.len(), 3, "{kind:?}");
            assert!(appends.iter().all(|seen| *seen == appends[0]), "{kind:?}");
            assert_eq!(world.landed(), (0..10).collect::<Vec<_>>(), "{kind:?}");
        }
    }
}
