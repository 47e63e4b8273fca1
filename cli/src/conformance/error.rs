//! Why a run or a soak could not begin or go on.

use thiserror::Error as ThisError;

/// A result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a run or a soak could not begin or go on.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// An option, the profile or a report is wrong, or this machine cannot do what was asked for.
    #[error("{0}")]
    Config(String),
    /// The account answered something that cannot be understood, or a part of the run ended early.
    #[error("{0}")]
    Unexpected(String),
    /// A call of the client failed.
    #[error(transparent)]
    Client(#[from] snowpipe_streaming::Error),
}
