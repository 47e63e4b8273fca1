//! A dashboard on a port, and its answers to requests that are written by hand.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::dashboard::{Dashboard, ReportPlace};
use crate::live::Board;

/// A dashboard that is served.
pub(super) struct Served {
    pub(super) port: u16,
    pub(super) board: Board,
    pub(super) stop: watch::Sender<bool>,
    pub(super) serving: JoinHandle<anyhow::Result<()>>,
    _places: watch::Sender<ReportPlace>,
    _changed: watch::Sender<u64>,
}

impl Served {
    pub(super) async fn new() -> Self {
        let board = Board::new("max".to_owned());
        let (places, seen_places) =
            watch::channel(ReportPlace::Embedded("not-there-yet.db".into()));
        let (changed, seen_changed) = watch::channel(0);
        let (stop, stopped) = watch::channel(false);
        let dashboard = Dashboard::bind(Some(0)).await.unwrap();
        Self {
            port: port(&dashboard),
            serving: tokio::spawn(dashboard.serve(
                board.subscribe(),
                seen_places,
                seen_changed,
                stopped,
            )),
            board,
            stop,
            _places: places,
            _changed: changed,
        }
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
            .await
            .unwrap()
    }

    /// The answer to a request, in whose text PORT stands for the port.
    pub(super) async fn ask(&self, head: &str) -> Answer {
        let mut stream = self.connect().await;
        let head = head
            .replace("PORT", &self.port.to_string())
            .replace('\n', "\r\n");
        let head = format!("{head}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        Answer::read(&String::from_utf8(answer).unwrap())
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\nHost: 127.0.0.1:PORT"))
            .await
    }
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

impl Answer {
    fn read(text: &str) -> Self {
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("{text:?}"));
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        });
        Self {
            status: status.parse().unwrap(),
            headers: headers.collect(),
            body: body.to_owned(),
        }
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }
}

pub(super) fn port(dashboard: &Dashboard) -> u16 {
    let url = dashboard.url();
    let port = url
        .strip_prefix("http://127.0.0.1:")
        .unwrap()
        .strip_suffix('/')
        .unwrap();
    port.parse().unwrap()
}
