//! OAuth: access tokens from Snowflake's or an external server, renewed before they expire.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::types::secret::Secret;
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Method, header};
use tokio::sync::Mutex;
use tracing::debug;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use super::cache::{Fetched, TokenCache};
use super::oauth_answer::{Granted, read};
use super::settings::OAuthSettings;
use super::{Bearer, Credential, CredentialContext, CredentialError, OAUTH, session_role};
use crate::base::host::is_on_this_machine;
use crate::http::{MAX_ANSWER, Request, Transport, TransportErrorKind, attempt};
use crate::types::error::{Error, ErrorKind, Result};

/// An OAuth client and its current access token.
///
/// The client-credentials grant sends id and secret in the form. The refresh-token grant sends them with HTTP Basic
/// authentication. If there is a role, the requested scope is `session:role:<ROLE>`. All of this was observed of the official
/// SDK 1.9.1.
///
/// A server may answer with a new refresh token. This credential then uses the new token, and does not store it anywhere.
/// Access tokens are renewed before they expire, and concurrent callers share one request.
///
/// ```
/// use snowpipe_streaming::auth::OAuth;
///
/// let oauth = OAuth::client_credentials("ski-loader", "the secret")
///     .with_role("LOADER")
///     .with_token_endpoint("https://127.0.0.1:8443/oauth2/token")?;
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
pub struct OAuth {
    client: Arc<Client>,
    tokens: Arc<TokenCache<Error>>,
}

/// The settings of a request for an access token. The request may outlive the call that needed it.
#[derive(Clone)]
struct Client {
    id: String,
    secret: Secret,
    /// Locked during the request: a refresh token that can be used once must not be sent twice.
    refresh_token: Option<Arc<Mutex<Secret>>>,
    endpoint: Option<Url>,
    role: Option<String>,
    scope: Option<String>,
    include_scope: bool,
}

impl OAuth {
    /// Creates a credential for the client-credentials grant.
    pub fn client_credentials(id: impl Into<String>, secret: impl Into<Secret>) -> Self {
        Self::of(Client {
            id: id.into(),
            secret: secret.into(),
            refresh_token: None,
            endpoint: None,
            role: None,
            scope: None,
            include_scope: true,
        })
    }

    /// Creates a credential for the refresh-token grant.
    pub fn refresh_token(
        id: impl Into<String>,
        secret: impl Into<Secret>,
        token: impl Into<Secret>,
    ) -> Self {
        let mut oauth = Self::client_credentials(id, secret);
        let token = Arc::new(Mutex::new(token.into()));
        Arc::make_mut(&mut oauth.client).refresh_token = Some(token);
        oauth
    }

    /// Creates the credential that a profile describes.
    pub(crate) fn new(settings: OAuthSettings, role: Option<&str>) -> Result<Self> {
        let endpoint = settings.token_endpoint.as_deref().map(endpoint);
        Ok(Self::of(Client {
            id: settings.client_id,
            secret: settings.client_secret,
            refresh_token: settings
                .refresh_token
                .map(|token| Arc::new(Mutex::new(token))),
            endpoint: endpoint.transpose()?,
            role: role.map(str::to_owned),
            scope: settings.scope,
            include_scope: settings.include_scope,
        }))
    }

    fn of(client: Client) -> Self {
        Self {
            client: Arc::new(client),
            tokens: Arc::default(),
        }
    }

    /// Sets the role to use instead of the user's default role.
    #[must_use]
    pub fn with_role(mut self, role: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.client).role = Some(role.into());
        self
    }

    /// Sets the requested scope instead of the one derived from the role.
    #[must_use]
    pub fn with_scope(mut self, scope: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.client).scope = Some(scope.into());
        self
    }

    /// Requests no scope.
    #[must_use]
    pub fn without_scope(mut self) -> Self {
        Arc::make_mut(&mut self.client).include_scope = false;
        self
    }

    /// Sets the token endpoint of an external server. The default is the account's `/oauth/token-request`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if `url` is not a URL, contains a user name or password, or is `http://` to another machine.
    pub fn with_token_endpoint(mut self, url: &str) -> Result<Self> {
        Arc::make_mut(&mut self.client).endpoint = Some(endpoint(url)?);
        Ok(self)
    }
}

#[async_trait]
impl Credential for OAuth {
    async fn bearer(&self, context: CredentialContext<'_>) -> Result<Bearer, CredentialError> {
        // The fetch continues if its callers are cancelled: its answer may hold the only valid refresh token.
        let fetch = || {
            let (client, transport) = (Arc::clone(&self.client), Arc::clone(context.transport));
            let (account, limit) = (context.account_url.clone(), context.attempt_timeout);
            let obtained_at = context.now();
            async move {
                let url = match &client.endpoint {
                    Some(url) => url.clone(),
                    None => account
                        .join("oauth/token-request")
                        .map_err(|why| not_a_url(&why))?,
                };
                let granted = client.fetch(url, transport, limit).await?;
                Ok(Fetched {
                    token: granted.access_token,
                    token_type: OAUTH,
                    obtained_at,
                    expires_at: obtained_at + granted.life,
                })
            }
        };
        let held = self.tokens.get(context.time, fetch).await?;
        Ok(held.bearer())
    }

    fn role(&self) -> Option<&str> {
        self.client.role.as_deref()
    }

    fn refused(&self, bearer: &Bearer) -> bool {
        self.tokens.forget(&bearer.token);
        true
    }
}

impl fmt::Debug for OAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth")
            .field("client_id", &self.client.id)
            .field("role", &self.client.role)
            .finish_non_exhaustive()
    }
}

impl Client {
    async fn fetch(
        self: Arc<Self>,
        url: Url,
        transport: Arc<dyn Transport>,
        limit: Duration,
    ) -> Result<Granted> {
        let mut refresh_token = match &self.refresh_token {
            Some(token) => Some(token.lock().await),
            None => None,
        };
        let request = self.request(&url, refresh_token.as_deref())?;
        let answer = attempt(&*transport, request, limit, MAX_ANSWER).await;
        let place = url.host_str().unwrap_or_default();
        let response = answer.map_err(|why| {
            let kind = match why.kind() {
                TransportErrorKind::Timeout => ErrorKind::Timeout,
                TransportErrorKind::Request | TransportErrorKind::Proxy => ErrorKind::Config,
                _ => ErrorKind::Unreachable,
            };
            let message = format!("fetching an OAuth access token from {place} failed: {why}");
            Error::new(kind, message).with_source(why)
        })?;
        let basic = self.basic();
        let secrets = [Some(&self.secret), refresh_token.as_deref(), Some(&basic)];
        let granted = read(&response, place, &secrets)?;
        debug!(
            life = ?granted.life,
            refresh_token_changed = granted.refresh_token.is_some(),
            "fetched an OAuth access token"
        );
        if let (Some(kept), Some(next)) = (&mut refresh_token, &granted.refresh_token) {
            **kept = next.clone();
        }
        Ok(granted)
    }

    /// Id and secret as basic authentication has them.
    fn basic(&self) -> Secret {
        let pair = Zeroizing::new(format!("{}:{}", self.id, self.secret.expose()));
        Secret::from(STANDARD.encode(&*pair))
    }

    fn request(&self, url: &Url, refresh_token: Option<&Secret>) -> Result<Request> {
        let secret = self.secret.expose();
        let mut form = form_urlencoded::Serializer::new(String::new());
        match refresh_token {
            None => form
                .append_pair("grant_type", "client_credentials")
                .append_pair("client_id", &self.id)
                .append_pair("client_secret", secret),
            Some(token) => form
                .append_pair("grant_type", "refresh_token")
                .append_pair("refresh_token", token.expose()),
        };
        let role_scope = || self.role.as_deref().map(session_role);
        if let Some(scope) = self.scope.clone().or_else(role_scope)
            && self.include_scope
        {
            form.append_pair("scope", &scope);
        }
        let mut request = Request::new(Bytes::from(form.finish()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.as_str().parse().map_err(|why| not_a_url(&why))?;
        let headers = request.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if refresh_token.is_some() {
            let mut basic = HeaderValue::try_from(format!("Basic {}", self.basic().expose()))
                .map_err(|why| not_a_url(&why))?;
            basic.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, basic);
        }
        Ok(request)
    }
}

/// Parses the URL of a token endpoint, and checks that secrets may be sent there.
fn endpoint(text: &str) -> Result<Url> {
    // The parser's messages do not contain its input.
    let url = Url::parse(text.trim()).map_err(|why| not_a_url(&why))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(config(
            "the OAuth token endpoint contains a user name or password; put them into oauth_client_id and oauth_client_secret instead",
        ));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_on_this_machine(&url) => Ok(url),
        _ => Err(config(
            "the OAuth token endpoint must begin with https://, because secrets are sent to it (http:// is allowed for servers on this machine)",
        )),
    }
}

fn not_a_url(why: &dyn fmt::Display) -> Error {
    config(format!(
        "the OAuth token endpoint is malformed ({why}); write it like https://HOST/oauth2/token"
    ))
}

fn config(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message)
}
