//! The errors that the person who typed the command has to fix: they end the program with exit code 2.

use snowpipe_streaming::ErrorKind;

/// What is wrong with the command line, the files or the account it names, and how to fix it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misconfigured(String);

impl Misconfigured {
    /// An error with this message.
    #[expect(clippy::new_ret_no_self, reason = "it is only ever a cause")]
    pub(crate) fn new(message: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self(message.into()))
    }
}

/// Whether `error` is one of these, or says the same in the client's words.
pub(crate) fn is_misconfigured(error: &anyhow::Error) -> bool {
    let kind = error
        .downcast_ref::<snowpipe_streaming::Error>()
        .map(snowpipe_streaming::Error::kind);
    error.is::<Misconfigured>()
        || matches!(kind, Some(ErrorKind::Config | ErrorKind::Authentication))
}
