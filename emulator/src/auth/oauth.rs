//! Snowflake's OAuth server: registered clients, access tokens that expire, refresh tokens that work once.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::token_signer::TokenSigner;
use crate::messages::answer::{Answer, Refusal, json_answer};

/// Clients, and the refresh tokens they hold now.
#[derive(Debug)]
pub(crate) struct OAuth {
    clients: BTreeMap<String, Client>,
    /// Which client each is for.
    refresh_tokens: BTreeMap<String, String>,
    life: Duration,
    /// Numbers the tokens, so that no two are alike.
    issued: u64,
}

#[derive(Debug)]
struct Client {
    secret: String,
    /// The only role it may work under.
    role: Option<String>,
}

/// An access token's claims.
#[derive(Serialize, Deserialize)]
pub(crate) struct Access {
    pub(crate) client: String,
    pub(crate) role: Option<String>,
    pub(crate) exp_ms: u64,
    number: u64,
}

#[derive(Serialize)]
struct Refresh<'a> {
    refreshes: &'a str,
    number: u64,
}

/// An error of RFC 6749.
struct Denial {
    status: StatusCode,
    error: &'static str,
    description: &'static str,
}

#[derive(Serialize)]
struct Granted {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

type Form = BTreeMap<String, String>;

impl OAuth {
    pub(crate) fn new(life: Duration) -> Self {
        Self {
            clients: BTreeMap::new(),
            refresh_tokens: BTreeMap::new(),
            life,
            issued: 0,
        }
    }

    pub(crate) fn register(&mut self, id: &str, secret: &str, role: Option<&str>) {
        let client = Client {
            secret: secret.to_owned(),
            role: role.map(str::to_owned),
        };
        self.clients.insert(id.to_owned(), client);
    }

    pub(crate) fn register_refresh_token(&mut self, client: &str, token: &str) {
        self.refresh_tokens
            .insert(token.to_owned(), client.to_owned());
    }

    /// The answer to a request for an access token.
    pub(crate) fn authorize(
        &mut self,
        signer: &TokenSigner,
        headers: &HeaderMap,
        form: &[u8],
        now_ms: u64,
    ) -> Answer {
        let form = url::form_urlencoded::parse(form).into_owned().collect();
        match self.grant(signer, headers, &form, now_ms) {
            Ok(granted) => json_answer(StatusCode::OK, &granted),
            Err(denial) => json_answer(
                denial.status,
                &json!({ "error": denial.error, "error_description": denial.description }),
            ),
        }
    }

    fn grant(
        &mut self,
        signer: &TokenSigner,
        headers: &HeaderMap,
        form: &Form,
        now_ms: u64,
    ) -> Result<Value, Denial> {
        let (client, role) = self.identify(headers, form)?;
        let refresh_token = match form.get("grant_type").map(String::as_str) {
            Some("client_credentials") => None,
            Some("refresh_token") => {
                let sent = form.get("refresh_token").map(String::as_str);
                Some(self.rotate(signer, &client, sent.unwrap_or_default())?)
            }
            _ => {
                return Err(Denial::new(
                    "unsupported_grant_type",
                    "The grant_type is neither client_credentials nor refresh_token.",
                ));
            }
        };
        let life_ms = u64::try_from(self.life.as_millis()).unwrap_or(u64::MAX);
        self.issued += 1;
        let access = Access {
            client,
            role,
            exp_ms: now_ms.saturating_add(life_ms),
            number: self.issued,
        };
        Ok(json!(Granted {
            access_token: signer.sign(&access).map_err(Denial::broken)?,
            token_type: "Bearer",
            expires_in: self.life.as_secs(),
            refresh_token,
        }))
    }

    /// The client that a request proves to be from, and the role it asks for.
    fn identify(
        &self,
        headers: &HeaderMap,
        form: &Form,
    ) -> Result<(String, Option<String>), Denial> {
        let from_form = || {
            Some((
                form.get("client_id")?.clone(),
                form.get("client_secret")?.clone(),
            ))
        };
        let (id, secret) = basic(headers).or_else(from_form).unwrap_or_default();
        let client = self
            .clients
            .get(&id)
            .filter(|client| is_same(&client.secret, &secret));
        let Some(client) = client else {
            return Err(Denial {
                status: StatusCode::UNAUTHORIZED,
                ..Denial::new("invalid_client", "The client or its secret is not known.")
            });
        };
        let scope = form.get("scope").map(String::as_str).unwrap_or_default();
        let asked = scope
            .split_whitespace()
            .find_map(|part| part.strip_prefix("session:role:"));
        match (asked, &client.role) {
            (Some(asked), Some(only)) if !asked.eq_ignore_ascii_case(only) => Err(Denial::new(
                "invalid_scope",
                "The client may not work under the role of the scope.",
            )),
            (Some(asked), _) => Ok((id, Some(asked.to_owned()))),
            (None, only) => Ok((id, only.clone())),
        }
    }

    /// The refresh token that takes the place of the one that was sent.
    fn rotate(&mut self, signer: &TokenSigner, client: &str, sent: &str) -> Result<String, Denial> {
        if self.refresh_tokens.get(sent).is_none_or(|of| of != client) {
            return Err(Denial::new(
                "invalid_grant",
                "The refresh token is not valid.",
            ));
        }
        self.issued += 1;
        let next = Refresh {
            refreshes: client,
            number: self.issued,
        };
        let next = signer.sign(&next).map_err(Denial::broken)?;
        self.refresh_tokens.remove(sent);
        self.register_refresh_token(client, &next);
        Ok(next)
    }
}

impl Denial {
    fn new(error: &'static str, description: &'static str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            description,
        }
    }

    fn broken(_: Refusal) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            ..Self::new("server_error", "No token can be made.")
        }
    }
}

/// Compares in a time that says nothing about where the two differ.
fn is_same(known: &str, given: &str) -> bool {
    verify_slices_are_equal(known.as_bytes(), given.as_bytes()).is_ok()
}

/// Client and secret of HTTP Basic authentication.
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let encoded = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let pair = STANDARD.decode(encoded.strip_prefix("Basic ")?).ok()?;
    let pair = String::from_utf8(pair).ok()?;
    let (id, secret) = pair.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}
