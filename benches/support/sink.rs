//! A server that accepts everything at once and checks nothing, so that only the client is measured.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use snowpipe_streaming::transport::{Request, Response, Transport, TransportError};
use snowpipe_streaming::{ClientBuilder, Pacing, PipePath, Profile, StreamingIngestClient};
use snowpipe_streaming_emulator::Emulator;

/// Accepts and commits all rows.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    /// The last end token of each channel.
    committed: Mutex<BTreeMap<String, String>>,
}

impl Sink {
    /// A client of a sink, without pacing.
    pub(crate) fn client() -> ClientBuilder {
        let emulator = Emulator::builder().build().expect("the emulator starts");
        // Only the emulator's key is used.
        let profile = Profile::from_json(&emulator.profile_json("http://127.0.0.1"))
            .expect("the emulator's own profile");
        let pipe = PipePath::new("DB", "PUBLIC", "ROW_PIPE").expect("a plain name");
        StreamingIngestClient::builder(profile, pipe)
            .transport(Self::default())
            .pacing(Pacing::Off)
    }

    fn append(&self, request: &Request) -> Value {
        let channel = request.uri().path().rsplit('/').nth(1).unwrap_or_default();
        let query = request.uri().query().unwrap_or_default();
        let end = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("endOffsetToken="));
        self.committed()
            .insert(channel.to_owned(), end.unwrap_or_default().to_owned());
        json!({ "next_continuation_token": "next" })
    }

    fn open(&self, request: &Request) -> Value {
        let channel = request.uri().path().rsplit('/').next().unwrap_or_default();
        json!({ "next_continuation_token": "first", "channel_status": self.status(channel) })
    }

    fn statuses(&self, request: &Request) -> Value {
        let asked: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let names = asked
            .get("channel_names")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let names = names.iter().filter_map(Value::as_str);
        let statuses: BTreeMap<&str, Value> = names.map(|name| (name, self.status(name))).collect();
        json!({ "channel_statuses": statuses })
    }

    fn status(&self, channel: &str) -> Value {
        json!({ "channel_status_code": "SUCCESS", "last_committed_offset_token": self.committed().get(channel) })
    }

    fn committed(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.committed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Transport for Sink {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        let path = request.uri().path();
        let body = if path.ends_with("/rows") {
            self.append(&request).to_string()
        } else if path.ends_with(":bulk-channel-status") {
            self.statuses(&request).to_string()
        } else if path.ends_with("/hostname") {
            "127.0.0.1".to_owned()
        } else if path.ends_with("/token") {
            "token".to_owned()
        } else {
            self.open(&request).to_string()
        };
        Ok(Response::new(Bytes::from(body)))
    }
}
