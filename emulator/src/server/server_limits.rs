//! What the server allows those who connect.

use std::time::Duration;

/// The limits of connections and requests. A request's head may have some 64 KiB, and its body as much as the
/// emulator's [`Limits`](crate::channels::limits::Limits) say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerLimits {
    /// Connections served at once; 512 by default. When there is one more, the one that has kept the server waiting
    /// longest, idle or with an unfinished request, is closed.
    pub connections: usize,
    /// How long a TLS handshake may take; 10 seconds by default.
    pub handshake_timeout: Duration,
    /// How long a connection may be idle, and a request's head may take; 120 seconds by default. Over HTTP/2 it may be twice
    /// as long.
    pub head_timeout: Duration,
    /// How long a request's body may take; 60 seconds by default. A later one is answered 408.
    pub body_timeout: Duration,
    /// Bytes of bodies in all requests together, not counting the first 64 KiB of each, as long as there are no more than
    /// four for every connection there may be; 256 MiB by default. A body for which nothing is left is answered 503.
    pub body_bytes: usize,
    /// How long the peer may take to read an answer of more than 64 KiB; 60 seconds by default. After that the connection is
    /// closed.
    pub answer_timeout: Duration,
    /// Bytes of answers of more than 64 KiB each that are not read yet, in all connections together; 128 MiB by default. An
    /// answer for which nothing is left is replaced by 503: only reads have so long answers.
    pub answer_bytes: usize,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 512,
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(120),
            body_timeout: Duration::from_secs(60),
            body_bytes: 256 * 1024 * 1024,
            answer_timeout: Duration::from_secs(60),
            answer_bytes: 128 * 1024 * 1024,
        }
    }
}
