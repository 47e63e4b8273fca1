//! Who may talk to the server: key-pair JWTs on the account's endpoints, scoped tokens on all others.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::answer::Refusal;
use super::keys::PublicKey;
use crate::error::{Error, ErrorKind, Result};

/// How far a client's clock may be ahead of the server's.
const CLOCK_SKEW_MS: u64 = 60_000;

/// The longest life a key-pair JWT may give itself.
const JWT_LIFE_MS: u64 = 60 * 60 * 1000;

/// A claim above this is in milliseconds, as the official SDK writes it; at or below it is in seconds.
const SECONDS_END: u64 = 100_000_000_000;

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Registered keys, and the scoped tokens given out.
#[derive(Debug)]
pub(super) struct Login {
    account: String,
    users: BTreeMap<String, Vec<PublicKey>>,
    ingest_host: String,
    token_life: Duration,
    secret: hmac::Key,
    /// The `exp` of the youngest token: each is later than the one before, or a client that waits for a change spins.
    last_exp: u64,
    /// Tokens of an earlier generation are revoked.
    generation: u64,
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

#[derive(Serialize, Deserialize)]
struct Scoped {
    scope: String,
    iat: u64,
    exp: u64,
    generation: u64,
}

impl Login {
    pub(super) fn new(account: &str, ingest_host: &str, token_life: Duration) -> Result<Self> {
        let secret = hmac::Key::generate(hmac::HMAC_SHA256, &aws_lc_rs::rand::SystemRandom::new())
            .map_err(|_| {
                Error::new(
                    ErrorKind::Config,
                    "the system gives no random bytes for the token secret",
                )
            })?;
        Ok(Self {
            account: account.to_uppercase(),
            users: BTreeMap::new(),
            ingest_host: ingest_host.to_owned(),
            token_life,
            secret,
            last_exp: 0,
            generation: 0,
        })
    }

    pub(super) fn ingest_host(&self) -> &str {
        &self.ingest_host
    }

    pub(super) fn register(&mut self, user: &str, key: PublicKey) {
        self.users.entry(user.to_uppercase()).or_default().push(key);
    }

    /// Makes every scoped token given out so far useless.
    pub(super) fn revoke(&mut self) {
        self.generation += 1;
    }

    /// Checks the key-pair JWT of a request to the account's endpoints.
    pub(super) fn check_primary(
        &self,
        headers: &HeaderMap,
        now_ms: u64,
    ) -> std::result::Result<(), Refusal> {
        let token = bearer(headers).ok_or_else(|| invalid_jwt("there is no bearer token"))?;
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
        Ok(())
    }

    /// Exchanges an already checked primary credential for a scoped token.
    pub(super) fn exchange(
        &mut self,
        form: &[u8],
        now_ms: u64,
    ) -> std::result::Result<String, Refusal> {
        let (mut grant_type, mut scope) = (None, None);
        for (name, value) in url::form_urlencoded::parse(form) {
            match &*name {
                "grant_type" => grant_type = Some(value.into_owned()),
                "scope" => scope = Some(value.into_owned()),
                _ => {}
            }
        }
        if grant_type.as_deref() != Some(JWT_BEARER) {
            return Err(Refusal::malformed(format!(
                "The grant_type is not {JWT_BEARER}."
            )));
        }
        let scope = scope.unwrap_or_default();
        let mut parts = scope.split_whitespace();
        if parts.next() != Some(self.ingest_host.as_str()) {
            let host = &self.ingest_host;
            return Err(Refusal::malformed(format!(
                "The scope does not begin with the ingest host {host}."
            )));
        }
        if let Some(odd) = parts.find(|part| !part.starts_with("session:role:")) {
            return Err(Refusal::malformed(format!(
                "The scope's {odd:?} is not a role."
            )));
        }

        let now = now_ms / 1000;
        let exp = now.saturating_add(self.token_life.as_secs());
        self.last_exp = exp.max(self.last_exp.saturating_add(1));
        let claims = Scoped {
            scope,
            iat: now,
            exp: self.last_exp,
            generation: self.generation,
        };
        let claims = serde_json::to_vec(&claims)
            .map_err(|why| Refusal::malformed(format!("No token can be made: {why}.")))?;
        let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"HS256"}"#);
        let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = hmac::sign(&self.secret, message.as_bytes());
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Checks the scoped token of a request to the ingest host.
    pub(super) fn check_scoped(
        &self,
        headers: &HeaderMap,
        now_ms: u64,
    ) -> std::result::Result<(), Refusal> {
        let token = bearer(headers).ok_or_else(|| invalid_token("there is none"))?;
        let claims = self
            .scoped(token)
            .ok_or_else(|| invalid_token("it is not one of this server"))?;
        if claims.generation != self.generation {
            return Err(invalid_token("it was revoked"));
        }
        if claims.exp.saturating_mul(1000) <= now_ms {
            return Err(invalid_token("it has expired"));
        }
        Ok(())
    }

    fn scoped(&self, token: &str) -> Option<Scoped> {
        let (message, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        hmac::verify(&self.secret, message.as_bytes(), &signature).ok()?;
        let (_, claims) = message.split_once('.')?;
        decoded(claims)
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")
}

fn decoded<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    let json = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&json).ok()
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

fn invalid_token(why: &str) -> Refusal {
    Refusal::new(
        StatusCode::UNAUTHORIZED,
        "390303",
        format!("The scoped token is invalid: {why}."),
    )
}
