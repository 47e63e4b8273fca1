//! Parts of the inside, for the benches and tests of this crate alone: each thing is what its namesake is, and nothing is
//! promised of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::types::secret::Secret;
use bytes::Bytes;
use serde::Serialize;
use tokio::time::Instant;

use crate::api::wire;
use crate::auth::cache;
use crate::base::json::Object;
use crate::base::options::Encoding;
use crate::base::time::TimeSource;
use crate::channel::core::ledger::{self, Observation, Pending};
use crate::client::StreamingIngestClient;
use crate::compress::compressor;
use crate::rows;
use crate::types::channel_status::ChannelStatus;
use crate::types::error::{Error, Result};
use crate::types::offset::OffsetToken;

/// Compares the permits of a client's byte budget with the sum of its live charges. Exact between two steps of one thread.
///
/// # Errors
///
/// Says what does not add up, with the figures.
pub fn audit_memory(client: &StreamingIngestClient) -> std::result::Result<(), String> {
    client.audit_memory()
}

/// Appends a row to `out` as one line of NDJSON.
pub fn encode<R: Serialize + ?Sized>(row: &R, out: &mut Vec<u8>) -> Result<()> {
    rows::encode(row, Encoding::default(), out)
}

/// Makes zstd frames.
#[derive(Debug)]
pub struct Compressor(compressor::Compressor);

impl Compressor {
    /// One with its own context.
    pub fn new(level: i32) -> Result<Self> {
        compressor::Compressor::new(level).map(Self)
    }

    /// One frame.
    pub fn compress(&mut self, bytes: &[u8]) -> Result<Bytes> {
        self.0.compress(bytes)
    }
}

/// The end tokens of one channel that are on their way.
#[derive(Debug)]
pub struct Ledger(ledger::Ledger, Instant);

impl Default for Ledger {
    fn default() -> Self {
        let now = Instant::now();
        Self(ledger::Ledger::new(now, None, None), now)
    }
}

impl Ledger {
    /// Notes a request of the rows `first..=last`.
    pub fn sent(&mut self, first: u64, last: u64) {
        self.0.sent(Pending {
            start: Some(OffsetToken::from_integer(first.into())),
            end: OffsetToken::from_integer(last.into()),
            position: last + 1,
            rows: last + 1 - first,
        });
    }

    /// Reads a status's token, and returns the position up to which all is committed.
    pub fn observe(&mut self, token: &OffsetToken) -> u64 {
        let seen = Observation {
            token: Some(token),
            created_on_ms: None,
            asked: self.1,
            answered: self.1,
        };
        self.0.observe(seen, |_| {});
        self.0.committed()
    }
}

/// The scoped token of a client.
#[derive(Debug, Default)]
pub struct TokenCache(Arc<cache::TokenCache<Error>>);

impl TokenCache {
    /// A token that is valid now. One that has to be fetched lives for an hour.
    pub async fn get(&self, time: &dyn TimeSource) -> Result<Secret> {
        let fetch = || {
            let obtained_at = time.now();
            async move {
                Ok(cache::Fetched {
                    token: Secret::from("token"),
                    token_type: "OAUTH",
                    obtained_at,
                    expires_at: obtained_at + Duration::from_secs(3_600),
                })
            }
        };
        self.0.get(time, fetch).await.map(|held| held.token)
    }
}

/// Reads the answer to a status call.
pub fn channel_statuses(body: &[u8]) -> Result<BTreeMap<String, ChannelStatus>> {
    let Object(answer) = wire::json(body, "the status call")?;
    wire::channel_statuses(&answer)
}
