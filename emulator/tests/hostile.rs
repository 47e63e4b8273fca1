//! The emulator's program with its own limits, among everything at once that does not wish it well: it stays up, within
//! its memory, and serves a client meanwhile.
#![cfg(unix)]
#![expect(
    clippy::expect_used,
    reason = "a test that cannot go on says what it lacks"
)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use http::header::AUTHORIZATION;
use snowpipe_streaming::transport::{HttpTransport, Request, Response, Transport, TransportError};
use snowpipe_streaming::{PipePath, Profile, StreamingIngestClient};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const PIPE: &str = "databases/D/schemas/S/pipes/T-STREAMING";

/// A running emulator. It is killed when dropped.
struct Running {
    child: Child,
    url: String,
}

impl Running {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_snowpipe-emulator"))
            .args(["--write-profile", "profile.json"])
            .current_dir(dir)
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut url = String::new();
        let stdout = child.stdout.take().expect("its stdout");
        BufReader::new(stdout).read_line(&mut url).expect("a line");
        let url = url.trim_end().to_owned();
        Self { child, url }
    }

    async fn connect(&self) -> TcpStream {
        let address = self.url.trim_start_matches("http://");
        TcpStream::connect(address).await.expect("a connection")
    }

    /// The most memory it has ever had, in MiB.
    #[cfg(target_os = "linux")]
    fn peak_mib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("its status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak
            .and_then(|peak| peak.trim().strip_suffix(" kB"))
            .expect("its peak");
        kib.parse::<u64>().expect("a number") / 1024
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// HTTP that remembers the credentials it carried.
#[derive(Debug)]
struct Overheard {
    http: HttpTransport,
    credentials: Arc<Mutex<String>>,
}

#[async_trait]
impl Transport for Overheard {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        if let Some(value) = request.headers().get(AUTHORIZATION) {
            let value = value.to_str().expect("text");
            value.clone_into(&mut self.credentials.lock().expect("a lock"));
        }
        self.http.call(request).await
    }
}

/// Sends 80 requests at once, each too much in a way of its own. How many of them are refused.
async fn assault(url: &str, credentials: &str) -> usize {
    let http = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let frame = zstd::encode_all(&vec![b'\n'; 16 << 20][..], 1).expect("a frame");
    let rows = zstd::encode_all(&b"1\n".repeat(16 << 20)[..], 1).expect("a frame");
    let names = format!("{{\"channel_names\":[\"\"{}]}}", ",\"\"".repeat(1_000_000));
    let mut requests = JoinSet::new();
    for round in 0..80 {
        let (path, body) = match round % 4 {
            0 => (
                "/channels/victim/rows?continuationToken=0_1",
                frame.repeat(200),
            ),
            1 => ("/channels/victim/rows?continuationToken=0_1", rows.clone()),
            2 => (
                "/channels/victim/rows?continuationToken=0_1",
                vec![b' '; 10_000_000],
            ),
            _ => (":bulk-channel-status", names.clone().into_bytes()),
        };
        let kind = if path.starts_with(':') { "" } else { "data/" };
        let request = http
            .post(format!("{url}/v2/streaming/{kind}{PIPE}{path}"))
            .header("Accept", "*/*")
            .header("Authorization", credentials)
            .header(
                "Content-Encoding",
                if round % 4 < 2 { "zstd" } else { "identity" },
            )
            .body(body);
        requests.spawn(async move {
            let answer = request.send().await;
            // 503 where the bodies of all requests together are too much.
            answer.is_ok_and(|answer| answer.status().is_client_error() || answer.status() == 503)
        });
    }
    let refused = requests.join_all().await;
    refused.into_iter().filter(|&is_refused| is_refused).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_emulator_stays_up_and_bounded_and_serves_others() {
    let dir = TempDir::new().expect("a directory");
    let emulator = Running::start(dir.path());
    let mut idle = Vec::new();
    for number in 0..500 {
        let mut stream = emulator.connect().await;
        // Some say nothing, some begin and do not go on.
        if number % 2 == 0 {
            let begun = "POST /oauth/token HTTP/1.1\r\nContent-Length: 100000\r\n\r\nhalf";
            stream
                .write_all(begun.as_bytes())
                .await
                .expect("it is sent");
        }
        idle.push(stream);
    }

    let credentials = Arc::default();
    let profile = Profile::from_file(dir.path().join("profile.json")).expect("a profile");
    let pipe = PipePath::for_table("D", "S", "T").expect("a pipe");
    let transport = Overheard {
        http: HttpTransport::builder().no_proxy().build().expect("HTTP"),
        credentials: Arc::clone(&credentials),
    };
    let client = StreamingIngestClient::builder(profile, pipe)
        .transport(transport)
        .build()
        .await
        .expect("a client");
    let victim = client.open_channel("victim").await.expect("a channel");
    let mut channel = client.open_channel("other").await.expect("a channel");
    let credentials = credentials.lock().expect("a lock").clone();

    let url = emulator.url.clone();
    let assault = tokio::spawn(async move { assault(&url, &credentials).await });
    for number in 0..3_u64 {
        let row = serde_json::json!({ "N": number });
        let receipt = channel.append_row(&row, number).await.expect("room");
        receipt.committed().await.expect("a commit");
    }
    assert_eq!(assault.await.expect("it ran"), 80);

    // One more than it serves at once, and the first of all has to go.
    for _ in 0..100 {
        idle.push(emulator.connect().await);
    }
    let mut said = Vec::new();
    let _ = idle[0].read_to_end(&mut said).await;
    assert!(said.is_empty());

    assert_eq!(
        victim.status().await.expect("a status").rows_parsed_count(),
        0
    );
    channel.close().await.expect("an end");
    #[cfg(target_os = "linux")]

    assert!(emulator.peak_mib() < 768, "{} MiB", emulator.peak_mib());
}
