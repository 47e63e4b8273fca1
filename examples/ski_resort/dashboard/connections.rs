//! Connections: how many there may be, how long a request's head and a write may take, and how they end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tracing::debug;

use super::is_true;

/// How many connections there may be; whoever comes then waits for one to end.
const MOST: usize = 256;
/// How long a request's head may take, and how long a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// How long nothing may be taken of what is written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a request's head may be, in bytes and in headers.
const HEAD_BYTES: usize = 16 * 1024;
const HEADERS: usize = 64;
/// How long answers on their way may take after the end.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// The pause after a connection that could not be accepted, for lack of file handles as a rule.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` turns true, and then ends all connections.
pub(super) async fn serve(listener: TcpListener, routes: Router, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(MOST));
    let mut connections = JoinSet::new();
    let stopped = stop.clone();
    let accept = async {
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let connection = connection(stream, routes.clone(), stopped.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    debug!(%error, "the dashboard cannot accept a connection");
                    tokio::time::sleep(PAUSE).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
    };
    tokio::select! {
        biased;
        () = is_true(&mut stop) => {}
        () = accept => {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: TcpStream, routes: Router, mut stop: watch::Receiver<bool>) {
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS);
    let service = TowerToHyperService::new(routes);
    // Whoever does not read any more loses the connection, and with it the place it has.
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let connection = server.serve_connection(TokioIo::new(Box::pin(stream)), service);
    let mut connection = std::pin::pin!(connection);
    // How a connection ends is the browser's affair.
    tokio::select! {
        biased;
        () = is_true(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(LAST_ANSWERS, connection).await;
        }
        _ = connection.as_mut() => {}
    }
}
