//! Who may talk to the server: key-pair JWTs, access tokens and the like on the account's endpoints, exchanged tokens on all
//! others. The token of a workload identity is for both, and so is an exchanged token whose scope names no host.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::exchanged::{Exchanged, Form, Token, invalid_token};
use super::keys::PublicKey;
use super::oauth::{Access, OAuth};
use super::token_signer::{TokenSigner, decoded};
use crate::answers::EarlierToken;
use crate::error::Result;
use crate::messages::answer::{Answer, Refusal};

/// How far a client's clock may be ahead of the server's.
const CLOCK_SKEW_MS: u64 = 60_000;

/// The longest life a key-pair JWT may give itself.
const JWT_LIFE_MS: u64 = 60 * 60 * 1000;

/// A claim above this is in milliseconds, as the official SDK writes it; at or below it is in seconds.
const SECONDS_END: u64 = 100_000_000_000;

/// The token type of a JWT.
const KEYPAIR_JWT: &[u8] = b"KEYPAIR_JWT";

/// What a primary credential is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    KeyPair,
    /// Of Snowflake's OAuth server, of an external one, or of Snowpark Container Services.
    AccessToken,
    ProgrammaticAccessToken,
    /// As `WIF.<provider>.<token>` ("Authenticating Snowflake REST APIs with Snowflake").
    WorkloadIdentity,
}

/// A primary credential that was checked.
#[derive(Debug, Clone)]
pub(crate) struct Primary {
    kind: Kind,
    /// The user, the client of OAuth, or which of the registered tokens it is.
    owner: String,
    /// The only role it is good for.
    role: Option<String>,
}

/// What is registered, and the exchanged tokens given out.
#[derive(Debug)]
pub(crate) struct Login {
    account: String,
    users: BTreeMap<String, Vec<PublicKey>>,
    /// Tokens that do not expire.
    tokens: BTreeMap<String, Primary>,
    oauth: OAuth,
    ingest_host: String,
    signer: TokenSigner,
    exchanged: Exchanged,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    iat: u64,
    exp: u64,
}

/// What a workload identity's token says of its end.
#[derive(Deserialize)]
struct Ending {
    exp: u64,
}

impl Login {
    pub(crate) fn new(
        account: &str,
        ingest_host: &str,
        token_life: Duration,
        oauth: OAuth,
    ) -> Result<Self> {
        Ok(Self {
            account: account.to_uppercase(),
            users: BTreeMap::new(),
            tokens: BTreeMap::new(),
            oauth,
            ingest_host: ingest_host.to_owned(),
            signer: TokenSigner::new()?,
            exchanged: Exchanged::new(token_life),
        })
    }

    pub(crate) fn ingest_host(&self) -> &str {
        &self.ingest_host
    }

    pub(crate) fn register(&mut self, user: &str, key: PublicKey) {
        self.users.entry(user.to_uppercase()).or_default().push(key);
    }

    pub(crate) fn register_token(&mut self, kind: Kind, token: &str, role: Option<&str>) {
        let owner = format!("token {}", self.tokens.len());
        let role = role.map(str::to_owned);
        let primary = Primary { kind, owner, role };
        self.tokens.insert(token.to_owned(), primary);
    }

    /// The answer to a request for an OAuth access token.
    pub(crate) fn authorize(&mut self, headers: &HeaderMap, form: &[u8], now_ms: u64) -> Answer {
        self.oauth.authorize(&self.signer, headers, form, now_ms)
    }

    /// Makes every exchanged token given out so far useless.
    pub(crate) fn revoke(&mut self) {
        self.exchanged.revoke();
    }

    /// Checks the token of a request to the account's endpoints: a credential, or an exchanged token whose scope names no host
    /// (supabase/etl, crates/etl-destinations/src/snowflake/auth.rs).
    pub(crate) fn check_account(
        &self,
        headers: &HeaderMap,
        now_ms: u64,
    ) -> std::result::Result<(), Refusal> {
        let Some(token) = self.token(headers) else {
            return self.primary(headers, now_ms).map(drop);
        };
        if token.has_host() {
            return Err(invalid_jwt("it is a token for the ingest host alone"));
        }
        self.exchanged.check(&token, now_ms)
    }

    /// The credential of a request to the account's endpoints.
    pub(crate) fn primary(
        &self,
        headers: &HeaderMap,
        now_ms: u64,
    ) -> std::result::Result<Primary, Refusal> {
        let token = bearer(headers).ok_or_else(|| invalid_jwt("there is no bearer token"))?;
        let may_be_jwt = stated_type(headers).is_none_or(|stated| stated == KEYPAIR_JWT);
        let primary = self.credential(token, may_be_jwt, now_ms)?;
        check_type(headers, primary.kind)?;
        Ok(primary)
    }

    fn credential(
        &self,
        token: &str,
        may_be_jwt: bool,
        now_ms: u64,
    ) -> std::result::Result<Primary, Refusal> {
        if let Some(known) = self.tokens.get(token) {
            if known.kind == Kind::WorkloadIdentity {
                check_workload(token, now_ms)?;
            }
            return Ok(known.clone());
        }
        if token.starts_with("WIF.") {
            return Err(invalid_workload("it is none that the emulator was given"));
        }
        if let Some(access) = self.signer.open::<Access>(token) {
            if access.exp_ms <= now_ms {
                return Err(expired(&access.client));
            }
            return Ok(Primary {
                kind: Kind::AccessToken,
                owner: format!("client {}", access.client),
                role: access.role,
            });
        }
        if !may_be_jwt {
            return Err(invalid_access_token());
        }
        let user = self.check_jwt(token, now_ms)?;
        Ok(Primary {
            kind: Kind::KeyPair,
            owner: format!("user {user}"),
            role: None,
        })
    }

    /// Checks the credential with which a connector begins a session, under the name that connectors have for its kind.
    #[cfg(feature = "server")]
    pub(crate) fn check_session(
        &self,
        authenticator: &str,
        token: Option<&str>,
        now_ms: u64,
    ) -> std::result::Result<(), Refusal> {
        let refused = |code: &str, why: &str| Refusal::new(StatusCode::UNAUTHORIZED, code, why);
        let wanted = match authenticator.to_ascii_uppercase().as_str() {
            "SNOWFLAKE_JWT" => Kind::KeyPair,
            "OAUTH" => Kind::AccessToken,
            "PROGRAMMATIC_ACCESS_TOKEN" => Kind::ProgrammaticAccessToken,
            "" | "SNOWFLAKE" | "USERNAME_PASSWORD_MFA" => {
                return Err(refused(
                    "390100",
                    "Incorrect username or password was specified: the emulator has no passwords. Log in with the private key of its profile, or with an access token.",
                ));
            }
            other => {
                return Err(refused(
                    "390190",
                    &format!(
                        "The emulator has no authenticator {other}: it has SNOWFLAKE_JWT, OAUTH and PROGRAMMATIC_ACCESS_TOKEN."
                    ),
                ));
            }
        };
        let is_jwt = wanted == Kind::KeyPair;
        let primary = self.credential(token.unwrap_or_default(), is_jwt, now_ms)?;
        if primary.kind == wanted {
            return Ok(());
        }
        Err(if is_jwt {
            invalid_jwt("it is an access token")
        } else {
            invalid_access_token()
        })
    }

    /// Checks a key-pair JWT; its user.
    fn check_jwt(&self, token: &str, now_ms: u64) -> std::result::Result<String, Refusal> {
        let (message, signature) = token
            .rsplit_once('.')
            .ok_or_else(|| invalid_jwt("it does not have three parts"))?;
        let (header, claims) = message
            .split_once('.')
            .ok_or_else(|| invalid_jwt("it does not have three parts"))?;
        let header: Header =
            decoded(header).ok_or_else(|| invalid_jwt("its header is unreadable"))?;
        if header.alg != "RS256" {
            return Err(invalid_jwt("it is not signed with RS256"));
        }
        let claims: Claims = decoded(claims).ok_or_else(|| {
            invalid_jwt("it lacks one of iss, sub, iat and exp, or is unreadable")
        })?;

        let subject = claims.sub.as_str();
        let user = subject
            .strip_prefix(self.account.as_str())
            .and_then(|rest| rest.strip_prefix('.'))
            .ok_or_else(|| invalid_jwt("its sub is not a user of this account"))?;
        let fingerprint = claims
            .iss
            .strip_prefix(subject)
            .and_then(|rest| rest.strip_prefix('.'))
            .ok_or_else(|| invalid_jwt("its iss is not its sub and a fingerprint"))?;
        let key = self
            .users
            .get(user)
            .into_iter()
            .flatten()
            .find(|key| key.fingerprint() == fingerprint)
            .ok_or_else(|| invalid_jwt("no key with its fingerprint is registered for its user"))?;
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| invalid_jwt("its signature is unreadable"))?;
        if !key.signed(message.as_bytes(), &signature) {
            return Err(invalid_jwt("its signature does not fit the registered key"));
        }

        let (issued, expires) = (claim_ms(claims.iat), claim_ms(claims.exp));
        if issued > now_ms.saturating_add(CLOCK_SKEW_MS) {
            return Err(invalid_jwt("it was issued in the future"));
        }
        if expires <= now_ms {
            return Err(invalid_jwt("it has expired"));
        }
        if expires.saturating_sub(issued) > JWT_LIFE_MS {
            return Err(invalid_jwt("it lives for more than an hour"));
        }
        Ok(user.to_owned())
    }

    /// Exchanges a credential for a token. A key-pair JWT may be the form's `assertion` instead of the bearer, and then there may be
    /// no scope (supabase/etl, crates/etl-destinations/src/snowflake/auth.rs).
    pub(crate) fn exchange(
        &mut self,
        headers: &HeaderMap,
        form: &[u8],
        now_ms: u64,
        earlier: EarlierToken,
    ) -> std::result::Result<String, Refusal> {
        let form = Form::read(form);
        let asserted = form.assertion.as_deref();
        let asserted = asserted.filter(|_| !headers.contains_key(AUTHORIZATION));
        let primary = match asserted {
            Some(jwt) => self.credential(jwt, true, now_ms)?,
            None => self.primary(headers, now_ms)?,
        };
        if asserted.is_some() && primary.kind != Kind::KeyPair {
            return Err(invalid_jwt("the assertion is none"));
        }
        form.check(primary.kind, asserted.is_some())?;
        form.check_scope(&self.ingest_host, primary.role.as_deref())?;
        let (scope, owner) = (form.scope.unwrap_or_default(), primary.owner);
        let claims = self.exchanged.issue(scope, owner, now_ms, earlier);
        self.signer.sign(&claims)
    }

    /// Checks the token of a request about a pipe: an exchanged one, or that of a workload identity, as Snowflake's Openflow sends it
    /// (`snowflakedb/snowflake-openflow-components`), or a programmatic access token as it is ("Authenticating Snowflake REST APIs
    /// with Snowflake"). `takes_jwt`: a key-pair JWT as it is will do as well.
    pub(crate) fn check_streaming(
        &self,
        headers: &HeaderMap,
        now_ms: u64,
        takes_jwt: bool,
    ) -> std::result::Result<(), Refusal> {
        if let Some(token) = self.token(headers) {
            self.exchanged.check(&token, now_ms)?;
            return token.check_role();
        }
        let token = bearer(headers).ok_or_else(|| invalid_token("there is none"))?;
        match self.primary(headers, now_ms).map(|primary| primary.kind) {
            Ok(Kind::WorkloadIdentity | Kind::ProgrammaticAccessToken) => Ok(()),
            Ok(Kind::KeyPair) if takes_jwt => Ok(()),
            Err(refusal) if token.starts_with("WIF.") => Err(refusal),
            _ => Err(invalid_token("it is not one of this server")),
        }
    }

    /// The bearer, if it is an exchanged token.
    fn token(&self, headers: &HeaderMap) -> Option<Token> {
        self.signer.open(bearer(headers)?)
    }
}

/// If a request states the type of its token, the type must be right.
fn check_type(headers: &HeaderMap, kind: Kind) -> std::result::Result<(), Refusal> {
    let expected = match kind {
        Kind::KeyPair => KEYPAIR_JWT,
        Kind::AccessToken => b"OAUTH",
        Kind::ProgrammaticAccessToken => b"PROGRAMMATIC_ACCESS_TOKEN",
        Kind::WorkloadIdentity => b"WORKLOAD_IDENTITY_FEDERATION",
    };
    if stated_type(headers).is_none_or(|stated| stated == expected) {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::UNAUTHORIZED,
        "390303",
        "X-Snowflake-Authorization-Token-Type is not what the token is.",
    ))
}

fn stated_type(headers: &HeaderMap) -> Option<&[u8]> {
    let stated = headers.get("x-snowflake-authorization-token-type")?;
    Some(stated.as_bytes())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")
}

fn claim_ms(claim: u64) -> u64 {
    if claim > SECONDS_END {
        claim
    } else {
        claim * 1000
    }
}

fn invalid_jwt(why: &str) -> Refusal {
    Refusal::new(
        StatusCode::UNAUTHORIZED,
        "390144",
        format!("The JWT token is invalid: {why}."),
    )
}

fn invalid_access_token() -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "390303", "Invalid access token.")
}

/// Checks that the token of a workload identity has not expired, if it is a JWT.
fn check_workload(token: &str, now_ms: u64) -> std::result::Result<(), Refusal> {
    // `WIF`, the provider, and the three parts of the JWT.
    let ending = token.split('.').nth(3).and_then(decoded::<Ending>);
    match ending {
        Some(Ending { exp }) if claim_ms(exp) <= now_ms => Err(invalid_workload("it has expired")),
        _ => Ok(()),
    }
}

fn invalid_workload(why: &str) -> Refusal {
    Refusal::new(
        StatusCode::UNAUTHORIZED,
        "390303",
        format!("The token of the workload identity is invalid: {why}."),
    )
}

fn expired(client: &str) -> Refusal {
    Refusal::new(
        StatusCode::UNAUTHORIZED,
        "390318",
        format!("The OAuth access token of client {client:?} has expired."),
    )
}
