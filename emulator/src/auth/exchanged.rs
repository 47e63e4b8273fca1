//! The tokens that a credential is exchanged for: the form of the exchange, and what a token is good for.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::login::Kind;
use crate::answers::EarlierToken;
use crate::messages::answer::Refusal;

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// How a scope names a role.
const ROLE: &str = "session:role:";

/// The form of an exchange.
#[derive(Default)]
pub(super) struct Form {
    grant_type: Option<String>,
    subject_token_type: Option<String>,
    pub(super) scope: Option<String>,
    pub(super) assertion: Option<String>,
}

impl Form {
    pub(super) fn read(form: &[u8]) -> Self {
        let mut read = Self::default();
        for (name, value) in url::form_urlencoded::parse(form) {
            let field = match &*name {
                "grant_type" => &mut read.grant_type,
                "scope" => &mut read.scope,
                "subject_token_type" => &mut read.subject_token_type,
                "assertion" => &mut read.assertion,
                _ => continue,
            };
            *field = Some(value.into_owned()).filter(|value| !value.is_empty());
        }
        read
    }

    /// Checks the fields that go with a kind of credential. Only with one in the form, `is_asserted`, there may be no scope.
    pub(super) fn check(&self, kind: Kind, is_asserted: bool) -> Result<(), Refusal> {
        // As observed of the official SDK 1.9.1.
        let (grant, subject) = match kind {
            Kind::KeyPair => (JWT_BEARER, None),
            Kind::AccessToken => (
                TOKEN_EXCHANGE,
                Some("urn:ietf:params:oauth:token-type:access_token"),
            ),
            Kind::ProgrammaticAccessToken => (TOKEN_EXCHANGE, Some("programmatic_access_token")),
            Kind::WorkloadIdentity => {
                return Err(Refusal::malformed(
                    "The emulator does not exchange the token of a workload identity, because no document says how Snowflake does: send it to the ingest host as it is.",
                ));
            }
        };
        if self.grant_type.as_deref() != Some(grant) {
            return Err(Refusal::malformed(format!(
                "The grant_type is not {grant}, which goes with this kind of credential."
            )));
        }
        if let Some(subject) = subject
            && self.subject_token_type.as_deref() != Some(subject)
        {
            return Err(Refusal::malformed(format!(
                "The subject_token_type is not {subject}, which goes with this kind of credential."
            )));
        }
        if self.scope.is_none() && !is_asserted {
            return Err(Refusal::malformed("There is no scope."));
        }
        Ok(())
    }

    /// Checks the scope: the host, `session:role:R`, or both (redpanda-data/connect, `streaming_pipe_scope_probe_it_test.go`). `only`:
    /// the role that the credential is bound to.
    pub(super) fn check_scope(&self, host: &str, only: Option<&str>) -> Result<(), Refusal> {
        let scope = self.scope.as_deref().unwrap_or_default();
        for (index, part) in scope.split_whitespace().enumerate() {
            if index == 0 && part == host {
                continue;
            }
            let Some(role) = part.strip_prefix(ROLE) else {
                return Err(Refusal::malformed(format!(
                    "The scope's {part:?} is neither the ingest host {host}, which comes first, nor a role."
                )));
            };
            if let Some(only) = only
                && !only.eq_ignore_ascii_case(role)
            {
                return Err(Refusal::bad_request(
                    "390186",
                    format!("The credential is for the role {only:?} and not for {role:?}."),
                ));
            }
        }
        Ok(())
    }
}

/// The claims of a token.
#[derive(Serialize, Deserialize)]
pub(super) struct Token {
    scope: String,
    iat: u64,
    exp: u64,
    generation: u64,
    owner: String,
    ended: u64,
}

impl Token {
    pub(super) fn has_host(&self) -> bool {
        let mut parts = self.scope.split_whitespace();
        parts.any(|part| !part.starts_with(ROLE))
    }

    /// Refuses the role PUBLIC, which sees no pipe, as the source of [`Form::check_scope`] saw it.
    pub(super) fn check_role(&self) -> Result<(), Refusal> {
        let mut parts = self.scope.split_whitespace();
        match parts.find_map(|part| part.strip_prefix(ROLE)) {
            Some(role) if role.eq_ignore_ascii_case("PUBLIC") => Err(Refusal::no_database(role)),
            _ => Ok(()),
        }
    }
}

/// The tokens that were given out.
#[derive(Debug)]
pub(super) struct Exchanged {
    life: Duration,
    /// The `exp` of the youngest token: each is later than the one before, or a client that waits for a change spins.
    last_exp: u64,
    /// Tokens of an earlier generation are revoked.
    generation: u64,
    /// How many exchanges have ended the token of the one before, by the owner of the credential.
    ended: BTreeMap<String, u64>,
}

impl Exchanged {
    pub(super) fn new(life: Duration) -> Self {
        Self {
            life,
            last_exp: 0,
            generation: 0,
            ended: BTreeMap::new(),
        }
    }

    /// Makes every token given out so far useless.
    pub(super) fn revoke(&mut self) {
        self.generation += 1;
    }

    /// The claims of a new token.
    pub(super) fn issue(
        &mut self,
        scope: String,
        owner: String,
        now_ms: u64,
        earlier: EarlierToken,
    ) -> Token {
        let now = now_ms / 1000;
        let exp = now.saturating_add(self.life.as_secs());
        self.last_exp = exp.max(self.last_exp.saturating_add(1));
        if earlier == EarlierToken::Dies {
            *self.ended.entry(owner.clone()).or_default() += 1;
        }
        Token {
            scope,
            iat: now,
            exp: self.last_exp,
            generation: self.generation,
            ended: self.ended_before(&owner),
            owner,
        }
    }

    fn ended_before(&self, owner: &str) -> u64 {
        self.ended.get(owner).copied().unwrap_or_default()
    }

    /// Checks that a token was not revoked and has not expired.
    pub(super) fn check(&self, token: &Token, now_ms: u64) -> Result<(), Refusal> {
        let is_ended = token.ended != self.ended_before(&token.owner);
        if token.generation != self.generation || is_ended {
            return Err(invalid_token("it was revoked"));
        }
        if token.exp.saturating_mul(1000) <= now_ms {
            return Err(invalid_token("it has expired"));
        }
        Ok(())
    }
}

pub(super) fn invalid_token(why: &str) -> Refusal {
    Refusal::new(
        StatusCode::UNAUTHORIZED,
        "390303",
        format!("The token is invalid: {why}."),
    )
}
