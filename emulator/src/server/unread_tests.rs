//! Long answers that are not read: their memory is bounded, and they are dropped after a while.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::catalog::cell::Cell;
use crate::catalog::tables::Catalog;
use crate::channels::channel::created;
use crate::storage::interface::Storage as _;
use crate::storage::memory::MemoryStorage;
use crate::storage::records::Commit;

/// More than the buffers of a connection hold.
const LONG: usize = 32 * 1024 * 1024;
const MEMORY: usize = LONG + 8 * 1024 * 1024;

/// A server whose only table has one long row.
async fn server(answer_timeout: Duration) -> Server {
    let catalog = Catalog::from_ddl("CREATE TABLE D.S.T (A VARCHAR)").expect("a table");
    let table = catalog.tables().next().expect("a table").name.clone();
    let pipe = crate::catalog::tables::default_pipe_name(&table);
    let pipe = catalog.pipe(&pipe).expect("a pipe");
    let mut storage = MemoryStorage::new();
    let commit = Commit {
        record: &created(&pipe, "c", 0),
        table: &table,
        rows: &[vec![Cell::Text("a".repeat(LONG))]],
        rejected: &[],
        through: 0,
    };
    storage.commit(&commit).expect("it is committed");
    let emulator = Emulator::builder().catalog(catalog).storage(storage);
    let limits = ServerLimits {
        answer_timeout,
        answer_bytes: MEMORY,
        ..ServerLimits::default()
    };
    let emulator = emulator.build().expect("an emulator");
    Server::bind_with(emulator, ([127, 0, 0, 1], 0).into(), limits)
        .await
        .expect("it listens")
}

/// Asks, and reads no more of the answer than its status.
async fn ask(server: &Server, path: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(server.local_addr())
        .await
        .expect("a connection");
    let request = format!("GET /_emulator/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    let sent = stream.write_all(request.as_bytes()).await;
    sent.expect("it is sent");
    let mut status = [0; 12];
    let read = stream.read_exact(&mut status).await;
    read.expect("an answer");
    (stream, String::from_utf8_lossy(&status).into_owned())
}

async fn all_memory_is_back(server: &Server) {
    while server.shared.answers.left() < MEMORY {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_unread_answer_ends_with_its_connection() {
    let server = server(Duration::from_millis(100)).await;
    let (mut unread, status) = ask(&server, "tables/D.S.T").await;
    assert_eq!(status, "HTTP/1.1 200");
    all_memory_is_back(&server).await;
    let mut rest = Vec::new();
    let _ = unread.read_to_end(&mut rest).await;
    assert!(rest.len() < LONG, "{}", rest.len());
    assert_eq!(ask(&server, "health").await.1, "HTTP/1.1 200");
    server.shutdown().await;
}

#[tokio::test]
async fn unread_answers_share_a_memory_that_small_answers_do_without() {
    let server = server(Duration::from_secs(600)).await;
    let (unread, status) = ask(&server, "tables/D.S.T").await;
    assert_eq!(status, "HTTP/1.1 200");
    assert_eq!(ask(&server, "tables/D.S.T").await.1, "HTTP/1.1 503");
    assert_eq!(ask(&server, "health").await.1, "HTTP/1.1 200");
    drop(unread);
    all_memory_is_back(&server).await;
    let (mut read, status) = ask(&server, "tables/D.S.T").await;
    assert_eq!(status, "HTTP/1.1 200");
    let mut rest = vec![0; LONG];
    let whole = read.read_exact(&mut rest).await;
    assert_eq!(whole.expect("the whole answer"), LONG);
    server.shutdown().await;
}
