//! Errors that the user has to fix. They end the program with exit code 2.

use snowpipe_streaming::ErrorKind;

/// An error in the command line, its files or its account, with the remedy.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misconfigured(String);

impl Misconfigured {
    /// An error with this message.
    #[expect(clippy::new_ret_no_self, reason = "always used as a cause")]
    pub(crate) fn new(message: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self(message.into()))
    }
}

/// Whether `error` is [`Misconfigured`] or a corresponding error of the client.
pub(crate) fn is_misconfigured(error: &anyhow::Error) -> bool {
    let kind = error
        .downcast_ref::<snowpipe_streaming::Error>()
        .map(snowpipe_streaming::Error::kind);
    error.is::<Misconfigured>()
        || matches!(kind, Some(ErrorKind::Config | ErrorKind::Authentication))
}
