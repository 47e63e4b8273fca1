//! What the targets share: one key and one JWT for all runs, a clock that stands still, and inputs cut into parts.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use snowpipe_streaming_emulator::{Emulator, EmulatorBuilder, Limits, MemoryTransport};
use snowpipe_streaming::time::TokioClock;
use snowpipe_streaming::transport::{Request, Response, Transport, TransportError};
use snowpipe_streaming::{ClientBuilder, PipePath, Profile, StreamingIngestClient};

/// Ends a part of an input: a byte that no text has.
const END_OF_PART: u8 = 0x1e;

/// The parts of an input.
pub fn parts(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|byte| *byte == END_OF_PART)
}

/// A part's first line, and the rest.
pub fn line(part: &[u8]) -> (&[u8], &[u8]) {
    match part.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&part[..end], &part[end + 1..]),
        None => (part, &[]),
    }
}

/// When every run takes place.
pub fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_768_658_400)
}

/// An emulator without limits. All have the same key.
pub fn emulator() -> EmulatorBuilder {
    Emulator::builder().limits(Limits::off()).seed(1)
}

/// Runs `work` on a clock that jumps to whatever is waited for, and panics if it is not over after three hours of it.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(async {
            tokio::time::timeout(Duration::from_secs(3 * 60 * 60), work)
                .await
                .expect("it hangs")
        })
}

/// A client of the default account on any transport.
pub fn client(transport: impl Transport) -> ClientBuilder {
    static PROFILE: OnceLock<Profile> = OnceLock::new();
    let profile = PROFILE.get_or_init(|| {
        let emulator = emulator().build().expect("an emulator");
        Profile::from_json(&emulator.profile_json("http://127.0.0.1:8080")).expect("a profile")
    });
    let pipe = PipePath::new("DB", "S", "T-STREAMING").expect("a pipe");
    StreamingIngestClient::builder(profile.clone(), pipe)
        .transport(transport)
        .time_source(TokioClock::starting_at(start()))
        .seed(1)
        .offload_threshold(usize::MAX)
}

/// A client of an emulator in memory.
pub fn client_of(emulator: &Emulator) -> ClientBuilder {
    let clock = Arc::new(TokioClock::starting_at(start()));
    client(MemoryTransport::new(emulator.clone(), clock))
}

/// The `Authorization` that the default user's JWT makes, good at [`start`].
pub fn authorization() -> &'static str {
    static JWT: OnceLock<String> = OnceLock::new();
    JWT.get_or_init(|| {
        let seen = Arc::new(Mutex::new(String::new()));
        let listening = Listening(Arc::clone(&seen));
        // It cannot come further than to the first request.
        run(async {
            client(listening)
                .retry_for(Duration::ZERO)
                .build()
                .await
                .err()
        });
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(seen.starts_with("Bearer "), "no JWT was sent");
        seen.clone()
    })
}

/// Keeps the `Authorization` of the last request, and answers none.
#[derive(Debug)]
struct Listening(Arc<Mutex<String>>);

#[async_trait::async_trait]
impl Transport for Listening {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        if let Some(Ok(value)) = request.headers().get("authorization").map(|v| v.to_str()) {
            value.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
        }
        Ok(Response::new(bytes::Bytes::new()))
    }
}
