//! Who vouches for the identity of a workload.

use std::fmt;
use std::str::FromStr;

use super::error::{Error, ErrorKind};

/// Who made the token of a workload identity: the `TYPE` in `CREATE USER … WORKLOAD_IDENTITY = (TYPE = …)`.
///
/// ```
/// use snowpipe_streaming::auth::WorkloadIdentityProvider;
/// let provider: WorkloadIdentityProvider = "oidc".parse()?;
/// assert_eq!(provider, WorkloadIdentityProvider::Oidc);
/// assert_eq!(provider.to_string(), "OIDC");
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WorkloadIdentityProvider {
    /// Amazon Web Services: a web identity token of STS for the audience `snowflakecomputing.com`.
    Aws,
    /// Microsoft Azure: an access token of Entra ID.
    Azure,
    /// Google Cloud: an ID token for the audience `snowflakecomputing.com`.
    Gcp,
    /// Any provider of `OpenID` Connect, such as a Kubernetes cluster.
    Oidc,
}

const ALL: [WorkloadIdentityProvider; 4] = [
    WorkloadIdentityProvider::Aws,
    WorkloadIdentityProvider::Azure,
    WorkloadIdentityProvider::Gcp,
    WorkloadIdentityProvider::Oidc,
];

impl WorkloadIdentityProvider {
    /// The name in a token and in the configuration of Snowflake's drivers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "AWS",
            Self::Azure => "AZURE",
            Self::Gcp => "GCP",
            Self::Oidc => "OIDC",
        }
    }
}

impl fmt::Display for WorkloadIdentityProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for WorkloadIdentityProvider {
    type Err = Error;

    /// Reads a name in any case.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut all = ALL.into_iter();
        let found = all.find(|provider| provider.as_str().eq_ignore_ascii_case(text));
        found.ok_or_else(|| {
            let message = "the provider of a workload identity must be AWS, AZURE, GCP or OIDC";
            Error::new(ErrorKind::Config, message)
        })
    }
}
