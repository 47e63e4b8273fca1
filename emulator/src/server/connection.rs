//! One connection to the emulator's server: the TLS handshake, if there is one, and HTTP in the version that comes of it.

use std::pin::pin;
use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::eviction::ConnectionSlot;
use super::guard::sealed;
use super::serve::{Shared, Stop, answer};
use super::tls::H2;

/// The head of a request, whose tokens may be long. hyper may read as much again before it looks.
const MOST_HEAD: usize = 64 * 1024;
/// The same over HTTP/2.
const MOST_HEAD_H2: u32 = 64 * 1024;
/// How many requests may be under way on one HTTP/2 connection.
const MOST_STREAMS: u32 = 64;

/// The protocol that both sides of a connection have settled on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// Serves a connection to its end.
pub(crate) async fn connection(
    stream: TcpStream,
    shared: Arc<Shared>,
    mut stop: Stop,
    place: ConnectionSlot,
    _slot: OwnedSemaphorePermit,
) {
    // Small answers are the rule; without this each waits for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let Some(tls) = &shared.tls else {
        return talk(stream, Protocol::Http1, shared, stop, place).await;
    };
    let handshake = tokio::time::timeout(
        shared.limits.handshake_timeout,
        tls.acceptor().accept(stream),
    );
    let stream = tokio::select! {
        biased;
        () = stop.stopped() => return,
        () = place.lost() => return,
        stream = handshake => stream,
    };
    match stream {
        Ok(Ok(stream)) => {
            let is_h2 = stream.get_ref().1.alpn_protocol() == Some(H2);
            let protocol = if is_h2 {
                Protocol::Http2
            } else {
                Protocol::Http1
            };
            talk(stream, protocol, shared, stop, place).await;
        }
        Ok(Err(why)) => tracing::debug!(%why, "no TLS session with a client of the emulator"),
        Err(_) => tracing::debug!("a client of the emulator took too long over its TLS handshake"),
    }
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    protocol: Protocol,
    shared: Arc<Shared>,
    mut stop: Stop,
    place: ConnectionSlot,
) {
    let place = Arc::new(place);
    let head_timeout = shared.limits.head_timeout;
    let service = {
        let (stop, place) = (stop.clone(), place.clone());
        service_fn(move |request| {
            let answer = answer(shared.clone(), stop.clone(), place.clone(), request);
            async { answer.await.map(sealed) }
        })
    };
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(MOST_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MOST_HEAD_H2)
        .max_concurrent_streams(MOST_STREAMS);
    let builder = match protocol {
        Protocol::Http1 => builder.http1_only(),
        Protocol::Http2 => builder.http2_only(),
    };
    let idle = async {
        match protocol {
            // There the time for a head begins when the request before it is answered.
            Protocol::Http1 => std::future::pending().await,
            Protocol::Http2 => place.idle_for(head_timeout).await,
        }
    };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = place.lost() => {
            tracing::debug!("a connection to the emulator had to make room for another");
            return;
        }
        () = idle => {
            tracing::debug!("an idle connection to the emulator is closed");
            return;
        }
        () = stop.stopped() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(why) = ended {
        tracing::debug!(%why, "a connection to the emulator broke");
    }
}
