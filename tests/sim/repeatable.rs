//! Histories in virtual time that depend on their seeds alone.
//!
//! Each engine runs some histories twice. The second run is as the first, line by line: requests and answers with their times,
//! reports, and the rows in the order in which they landed. `SIM_TWICE=1000` does so with a thousand seeds.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use snowpipe_streaming::transport::{Request, Response, Transport, TransportError};
use snowpipe_streaming_emulator::MemoryTransport;
use tokio::runtime::Builder;
use tokio::time::Instant;

use crate::drawn::setting;

/// Runs a history in a runtime of its own, whose clock is paused. The tasks that it leaves end with the runtime.
pub fn in_virtual_time<T>(history: impl Future<Output = T>) -> T {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(history)
}

/// What happened in a history, a line for each event, with the virtual time in milliseconds.
#[derive(Debug)]
pub struct Trace {
    start: Instant,
    lines: Mutex<Vec<String>>,
}

impl Trace {
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            lines: Mutex::default(),
        }
    }

    pub fn log(&self, what: impl fmt::Display) {
        let now = self.start.elapsed().as_millis();
        self.lines.lock().unwrap().push(format!("{now:>8} {what}"));
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

/// The transport of a client that logs each request when it is answered.
pub struct Traced {
    pub inner: MemoryTransport,
    pub client: String,
    pub trace: Arc<Trace>,
}

impl fmt::Debug for Traced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Traced({})", self.client)
    }
}

#[async_trait::async_trait]
impl Transport for Traced {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        let what = described(&request);
        let answer = self.inner.call(request).await;
        let outcome = match &answer {
            Ok(answer) => outcome(answer),
            Err(error) => format!("{error:?}"),
        };
        let client = &self.client;
        self.trace.log(format!("{client} {what} -> {outcome}"));
        answer
    }
}

/// A request in one line.
pub fn described(request: &Request) -> String {
    let uri = request.uri().to_string();
    let tail = uri.rsplit_once("/pipes/").map_or(&*uri, |(_, tail)| tail);
    format!("{} {tail} {}", request.method(), digest(request.body()))
}

/// An answer in two words, without the contents of a login token, which the emulator signs with a random key.
pub fn outcome(answer: &Response) -> String {
    let (status, body) = (answer.status().as_u16(), answer.body());
    let has_login_token = body.windows(3).any(|bytes| bytes == b"eyJ");
    if has_login_token {
        format!("{status}")
    } else {
        format!("{status} {}", digest(body))
    }
}

/// The length of a body, and a hash of it.
fn digest(body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    format!("{}#{:08x}", body.len(), hasher.finish() >> 32)
}

/// The seeds that [`assert_repeatable`] runs: eight, or `SIM_TWICE`, from `SIM_FIRST`.
pub fn seeds() -> Range<u64> {
    let first = setting("SIM_FIRST").unwrap_or(0);
    first..first + setting("SIM_TWICE").unwrap_or(8)
}

/// Runs each history twice. The second run must be as the first, line by line, and other histories must differ from it.
pub fn assert_repeatable<K: fmt::Debug, H: PartialEq>(
    keys: impl IntoIterator<Item = K>,
    run: impl Fn(&K) -> H,
    trace: impl Fn(&H) -> &[String],
) {
    let mut histories = Vec::new();
    for key in keys {
        let history = run(&key);
        let again = run(&key);
        let lines = trace(&history).iter().zip(trace(&again));
        for (line, other) in lines {
            assert_eq!(line, other, "{key:?} in its second run");
        }
        assert!(history == again, "{key:?} differs in its second run");
        assert!(!trace(&history).is_empty(), "{key:?} leaves no trace");
        assert!(
            !histories.contains(&history),
            "{key:?} has the history of another"
        );
        histories.push(history);
        if histories.len() > 8 {
            histories.remove(0);
        }
    }
}
