//! A token in a file that the platform writes and replaces from time to time.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::CredentialError;
use crate::base::files::check_regular;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::secret::Secret;

/// Longer than any token.
const MAX_BYTES: u64 = 64 << 10;

/// The file of a token.
#[derive(Debug)]
pub(super) struct TokenFile {
    pub(super) path: PathBuf,
    /// What the file is called in errors.
    pub(super) what: &'static str,
    /// What to do if there is no token.
    pub(super) remedy: &'static str,
}

impl TokenFile {
    /// Reads the token. Errors are retryable, because the platform may be replacing the file.
    pub(super) async fn read(&self) -> std::result::Result<Secret, CredentialError> {
        let (path, what, remedy) = (self.path.clone(), self.what, self.remedy);
        let read = tokio::task::spawn_blocking(move || read(&path, what, remedy));
        let token = read.await.map_err(|_| {
            Error::new(
                ErrorKind::ClientClosed,
                "the runtime shut down while the token file was read",
            )
        })??;
        Ok(token)
    }
}

fn read(path: &Path, what: &str, remedy: &str) -> Result<Secret> {
    let unusable = |why: &str| {
        let message = format!("the {what} {} {why}; {remedy}", path.display());
        Error::new(ErrorKind::Authentication, message).with_retryable(true)
    };
    let mut text = Zeroizing::new(String::new());
    check_regular(path)
        .and_then(|()| File::open(path))
        .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text))
        .map_err(|why| match why.kind() {
            io::ErrorKind::NotFound => unusable("is missing"),
            io::ErrorKind::InvalidInput => unusable("is not a regular file"),
            _ => unusable("cannot be read").with_source(why),
        })?;
    match text.trim() {
        "" => Err(unusable("is empty")),
        token => Ok(Secret::from(token)),
    }
}
