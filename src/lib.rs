//! Snowpipe Streaming for Rust.

mod auth;
mod budget;
mod channel;
mod client;
mod config;
mod error;
mod offset;
mod options;
mod poller;
mod retry;
mod row;
mod time;
mod transport;

#[cfg(feature = "emulator")]
pub mod emulator;

/// The rows of an append that are still to be encoded: what the type of an [`Append`] names.
pub mod append {
    pub use crate::channel::append::Append;
    pub use crate::channel::source::{BatchSource, Each, Encoded, Numbered, Plain, Source};
}

pub use self::append::Append;
pub use self::channel::{
    Channel, ChannelStatus, CloseReport, Commits, OpenChannel, Receipt, RejectWindow, RowState,
    Tracked, UncommittedRange, Untracked,
};
pub use self::client::StreamingIngestClient;
pub use self::config::{PipePath, Profile};
pub use self::error::{Error, ErrorKind, InvalidationCause, Result};
pub use self::offset::{IntoOffset, IntoOffsets, OffsetToken};
pub use self::options::{ClientBuilder, OnUncommitted, Pacing};
pub use self::row::{Nulls, RowBatch};
pub use self::time::{SystemClock, TimeSource, TokioClock};
pub use self::transport::{
    HttpTransport, HttpTransportBuilder, Request, Response, Transport, TransportError,
    TransportErrorKind,
};
