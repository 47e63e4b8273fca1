//! Workload identity federation: the token with which a cloud or a cluster vouches for a workload.

use std::path::PathBuf;

use async_trait::async_trait;

use super::token_file::TokenFile;
use super::{
    Bearer, Credential, CredentialContext, CredentialError, WORKLOAD_IDENTITY_FEDERATION,
    WorkloadIdentityProvider,
};

/// A workload identity, whose token a platform keeps in a file, as Kubernetes does with the token of a service account.
///
/// The token is sent to both hosts of the account and is not exchanged for another one. It is read again before it expires, and
/// when it was refused, so a replaced token takes effect. Nothing can choose the role of streaming: it is the user's default role.
///
/// Tried with the emulator only, never with an account. It rests on two sources:
///
/// - The form of the token, `WIF.<provider>.<token>` with the token type `WORKLOAD_IDENTITY_FEDERATION`, is documented for the SQL
///   API and other REST APIs ("Authenticating Snowflake REST APIs with Snowflake", "Authenticating to the server" of the SQL API), and
///   not for Snowpipe Streaming.
/// - That both hosts take this token itself was read in the source of Snowflake's Openflow (`snowflakedb/snowflake-openflow-components`,
///   `SnowflakeManagedTokenAuthorizationProvider`), which streams with `WIF.OIDC.` and the token of a service account. None
///   of Snowflake's sources exchanges such a token at `/oauth/token`.
///
/// ```
/// use snowpipe_streaming::auth::{WorkloadIdentity, WorkloadIdentityProvider};
/// let credential = WorkloadIdentity::new(WorkloadIdentityProvider::Oidc, "/var/run/secrets/snowflake/token");
/// # let _ = credential;
/// ```
#[derive(Debug)]
pub struct WorkloadIdentity {
    provider: WorkloadIdentityProvider,
    file: TokenFile,
}

impl WorkloadIdentity {
    /// Creates a credential from the token in this file. The file is first read when a token is needed.
    pub fn new(provider: WorkloadIdentityProvider, path: impl Into<PathBuf>) -> Self {
        let file = TokenFile {
            path: path.into(),
            what: "workload identity token file",
            remedy: "check token_file_path and SNOWFLAKE_TOKEN_FILE_PATH, and that the platform mounts the token there",
        };
        Self { provider, file }
    }
}

#[async_trait]
impl Credential for WorkloadIdentity {
    async fn bearer(&self, _context: CredentialContext<'_>) -> Result<Bearer, CredentialError> {
        let token = self.file.read().await?;
        let token = format!("WIF.{}.{}", self.provider, token.expose());
        Ok(Bearer::new(token, WORKLOAD_IDENTITY_FEDERATION))
    }

    fn is_exchanged(&self) -> bool {
        false
    }

    fn refused(&self, _bearer: &Bearer) -> bool {
        true
    }
}
