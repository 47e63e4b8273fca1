//! The log of requests, bounded in number and in memory.

use std::collections::VecDeque;

use bytes::Bytes;
use http::Request;

use super::request_head::RequestHead;
use super::routes::{Call, Endpoint};

/// The most requests in the log, and the most memory that they may take: one request may name a million channels.
const LOG_LENGTH: usize = 10_000;
const LOG_BYTES: usize = 16 * 1024 * 1024;

/// The most bytes of channel names in an entry. Without this limit a single request could push all others out of the log.
const MOST_NAMES_KEPT: usize = 64 * 1024;

/// The longest body of an append whose rows are logged.
const MOST_ROWS_KEPT: usize = 64 * 1024;

/// A request that the server received, or that a fault replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoggedRequest {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Method, path, query, headers and the start of the body, without secrets.
    pub head: RequestHead,
    /// The channels that the request names; only the first ones if their names take more than 64 KiB.
    pub channels: Vec<String>,
    /// How many channels the request names.
    pub channel_count: usize,
    /// The parameter `requestId`.
    pub request_id: Option<String>,
    /// The parameter `retryCount`.
    pub retry_count: Option<u32>,
    /// The parameter `continuationToken`.
    pub continuation_token: Option<String>,
    /// The parameter `endOffsetToken`.
    pub end_offset_token: Option<String>,
    /// The length of the body as sent, in bytes. Over HTTP, counting stops one byte after the limit.
    pub body_bytes: usize,
    /// The status of the answer, whether or not the client received it; `None` if a fault replaced the answer.
    pub status: Option<u16>,
    /// The fault that was injected.
    pub fault: Option<&'static str>,
    /// The rows of an append as they were sent, if the log keeps rows.
    pub(crate) rows: Bytes,
}

impl LoggedRequest {
    /// About how much memory the entry takes.
    fn weight(&self) -> usize {
        let texts = [
            &self.request_id,
            &self.continuation_token,
            &self.end_offset_token,
        ];
        let texts = texts.into_iter().flatten().map(String::len);
        let names = self
            .channels
            .iter()
            .map(|name| size_of_val(name) + name.len());
        size_of_val(self)
            + self.head.weight()
            + self.rows.len()
            + texts.sum::<usize>()
            + names.sum::<usize>()
    }
}

/// The last requests, oldest first.
#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    entries: VecDeque<LoggedRequest>,
    /// How many requests were logged, including those that are no longer in the log.
    total: u64,
    weight: usize,
    /// Whether entries of appends contain the rows.
    pub(crate) keeps_rows: bool,
}

impl RequestLog {
    /// An entry for a request, before its answer is known.
    pub(crate) fn entry(
        &self,
        call: &Call,
        request: &Request<Bytes>,
        fault: Option<&'static str>,
    ) -> LoggedRequest {
        let has_rows = self.keeps_rows
            && call.endpoint == Endpoint::Append
            && request.body().len() <= MOST_ROWS_KEPT;
        LoggedRequest {
            // Copied, because a slice would keep the whole buffer of the connection alive.
            rows: if has_rows {
                Bytes::copy_from_slice(request.body())
            } else {
                Bytes::new()
            },
            endpoint: call.endpoint,
            head: RequestHead::of(call.endpoint, request),
            channels: first_names(&call.channels),
            channel_count: call.channels.len(),
            request_id: call.query.request_id.clone(),
            retry_count: call.query.retry_count,
            continuation_token: call.query.continuation_token.clone(),
            end_offset_token: call.query.end_offset_token.clone(),
            body_bytes: request.body().len(),
            status: None,
            fault,
        }
    }

    /// Adds an entry, and drops the oldest ones beyond the limits.
    pub(crate) fn push(&mut self, entry: LoggedRequest) {
        self.total += 1;
        self.weight += entry.weight();
        self.entries.push_back(entry);
        while (self.entries.len() > LOG_LENGTH || self.weight > LOG_BYTES)
            && let Some(oldest) = self.entries.pop_front()
        {
            self.weight -= oldest.weight();
        }
    }

    /// Drops all entries. The numbering continues.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.weight = 0;
    }

    pub(crate) fn entries(&self) -> &VecDeque<LoggedRequest> {
        &self.entries
    }

    /// How many requests were logged: the number of the last one.
    #[cfg(feature = "server")]
    pub(crate) fn total(&self) -> u64 {
        self.total
    }
}

/// The first channels of a request, as many as an entry may name.
fn first_names(channels: &[String]) -> Vec<String> {
    let mut bytes = 0;
    let fits = |name: &&String| {
        bytes += size_of_val(*name) + name.len();
        bytes <= MOST_NAMES_KEPT
    };
    channels.iter().take_while(fits).cloned().collect()
}
