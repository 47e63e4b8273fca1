//! Snowpipe Streaming for Rust.

mod auth;
mod channel;
mod config;
mod error;
mod offset;
mod row;
mod time;
mod transport;

#[cfg(feature = "emulator")]
pub mod emulator;

pub use self::channel::{ChannelStatus, CloseReport, RejectWindow};
pub use self::config::{PipePath, Profile};
pub use self::error::{Error, ErrorKind, InvalidationCause, Result};
pub use self::offset::OffsetToken;
pub use self::row::{Nulls, RowBatch};
pub use self::time::{SystemClock, TimeSource, TokioClock};
pub use self::transport::{
    HttpTransport, HttpTransportBuilder, Request, Response, Transport, TransportError,
    TransportErrorKind,
};
