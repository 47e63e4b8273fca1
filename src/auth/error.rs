//! The error of a credential.

use std::error::Error as StdError;

use crate::types::error::{Error, ErrorKind};

/// A credential has no token.
///
/// An [`Error`](crate::Error) becomes one with `?`, and is retryable as before.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct CredentialError(Error);

impl CredentialError {
    /// There is no token, and calling the credential again does not help. Channels are invalidated as
    /// [`Unauthorized`](crate::InvalidationCause::Unauthorized).
    ///
    /// `why` becomes the source and part of the text, and must not contain secrets. The client reports the error as
    /// [`ErrorKind::Authentication`](crate::ErrorKind::Authentication).
    pub fn permanent(why: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let new = |why: &str| {
            let message = format!("the credential gave no token: {why}");
            Error::new(ErrorKind::Authentication, message)
        };
        Self(match why.into().downcast::<Error>() {
            Ok(why) => new(why.message()).because_of(*why),
            Err(why) => new(&why.to_string()).with_boxed_source(why),
        })
    }

    /// Like [`permanent`](Self::permanent), but there may be a token later. Rows wait, and the client calls the credential
    /// again.
    pub fn temporary(why: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(Self::permanent(why).0.with_retryable(true))
    }

    /// Whether the client calls the credential again.
    pub fn is_retryable(&self) -> bool {
        self.0.is_retryable()
    }
}

impl From<Error> for CredentialError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<CredentialError> for Error {
    fn from(error: CredentialError) -> Self {
        error.0
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn the_code_and_the_request_id_of_the_source_are_taken_over() {
        let why = Error::new(ErrorKind::Server, "no answer")
            .with_code(Some("E1".to_owned()))
            .with_request_id("r1");
        let error = CredentialError::temporary(why);
        assert!(error.is_retryable());
        let error = Error::from(error);
        assert_eq!(
            error.to_string(),
            "the credential gave no token: no answer [E1] (request r1)"
        );
        assert_eq!((error.code(), error.request_id()), (Some("E1"), Some("r1")));
        assert_eq!(error.source().unwrap().to_string(), "no answer");
        assert!(error.is_retryable());
    }

    #[test]
    fn an_error_of_the_crate_is_retryable_as_before() {
        for (kind, is_retryable) in [(ErrorKind::Unreachable, true), (ErrorKind::Config, false)] {
            let error = CredentialError::from(Error::new(kind, "x"));
            assert_eq!(error.is_retryable(), is_retryable, "{kind:?}");
            assert_eq!(Error::from(error).kind(), kind);
        }
    }
}
