//! Reads the answer of an OAuth server: a token or an error.

use std::time::Duration;

use crate::types::secret::Secret;
use http::StatusCode;
use serde::Deserialize;

use crate::base::json::{Object, Scalar};
use crate::base::text::{REDACTED, quote};
use crate::http::Response;
use crate::types::error::{Error, ErrorKind, Result};

/// The lifetime of an access token if the server does not state it: the usual one of Snowflake's tokens ("Snowflake OAuth
/// overview").
const DEFAULT_LIFE: Duration = Duration::from_secs(600);

/// The longest lifetime that is assumed of a token.
const MAX_LIFE: Duration = Duration::from_secs(30 * 86_400);

/// The longest token that is accepted, because it is sent with each call.
const MAX_TOKEN: usize = 64 << 10;

/// The tokens that the server granted.
pub(super) struct Granted {
    pub(super) access_token: Secret,
    pub(super) life: Duration,
    /// Replaces the refresh token that was sent.
    pub(super) refresh_token: Option<Secret>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    access_token: Scalar,
    refresh_token: Scalar,
    expires_in: Scalar,
    error: Scalar,
    code: Scalar,
    error_description: Scalar,
    message: Scalar,
}

fn text(field: &Scalar) -> Option<&str> {
    field.as_str().filter(|text| !text.is_empty())
}

/// Reads the answer of the server at `place`. The text of an error is quoted without `secrets`.
pub(super) fn read(
    response: &Response,
    place: &str,
    secrets: &[Option<&Secret>],
) -> Result<Granted> {
    let status = response.status();
    let Object(fields): Object<Fields> =
        serde_json::from_slice(response.body()).unwrap_or_default();
    match text(&fields.access_token) {
        Some(token) if status.is_success() && token.len() <= MAX_TOKEN => Ok(Granted {
            access_token: token.into(),
            life: life(&fields.expires_in),
            refresh_token: text(&fields.refresh_token).map(Secret::from),
        }),
        _ => {
            let code = text(&fields.error).or_else(|| text(&fields.code));
            let description = text(&fields.error_description).or_else(|| text(&fields.message));
            let message = without(secrets, description.or(code).unwrap_or_default());
            let refused = refusal(status, place, code, &message);
            Err(refused.with_code(code.map(|code| without(secrets, code))))
        }
    }
}

fn refusal(status: StatusCode, place: &str, code: Option<&str>, text: &str) -> Error {
    let (kind, remedy) = match status.as_u16() {
        429 => (ErrorKind::Throttled, "send fewer requests"),
        408 | 500.. => (ErrorKind::Server, "try again"),
        300..=399 => (
            ErrorKind::Authentication,
            "redirects are not followed: check oauth_token_endpoint",
        ),
        404 => (
            ErrorKind::Authentication,
            "check oauth_token_endpoint, or the account's URL if there is none",
        ),
        _ if code == Some("invalid_grant") => (
            ErrorKind::Authentication,
            "the refresh token has expired, was used before or belongs to another client: get a new one",
        ),
        _ if code == Some("invalid_scope") => (
            ErrorKind::Authentication,
            "check the role and oauth_scope, and that the integration allows them",
        ),
        200..=299 => (
            ErrorKind::Authentication,
            "the answer has no access_token: check oauth_token_endpoint and any proxy on the way",
        ),
        _ => (
            ErrorKind::Authentication,
            "check oauth_client_id and oauth_client_secret, and that the integration is enabled",
        ),
    };
    let text = text.trim_end_matches('.');
    let colon = if text.is_empty() { "" } else { ": " };
    let message = format!(
        "fetching an OAuth access token from {place} failed, the server answered {}{colon}{text}; {remedy}",
        status.as_u16()
    );
    Error::new(kind, message).with_status(status.as_u16())
}

/// The lifetime from `expires_in`, which is a number or a text in seconds.
fn life(expires_in: &Scalar) -> Duration {
    let seconds = match expires_in {
        Scalar::Number(number) => number.as_f64(),
        Scalar::Text(text) => text.trim().parse().ok(),
        Scalar::Nothing | Scalar::Other => None,
    };
    seconds
        .filter(|seconds| *seconds >= 1.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .map_or(DEFAULT_LIFE, |life| life.min(MAX_LIFE))
}

/// A quotation of `text` without the secrets that the server was sent.
fn without(secrets: &[Option<&Secret>], text: &str) -> String {
    let secrets = secrets.iter().flatten();
    quote(&secrets.fold(text.to_owned(), |text, secret| {
        secret.remove_from(&text, REDACTED)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(body: &str) -> Result<Granted> {
        let response = http::Response::new(body.to_owned().into());
        read(&response, "login.example", &[])
    }

    #[test]
    fn the_lifetime_of_a_token_may_be_a_number_or_a_text() {
        for (expires_in, seconds) in [
            ("3600", 3600),
            ("3600.9", 3600),
            ("\"599\"", 599),
            ("\" 599 \"", 599),
            ("null", 600),
            ("0", 600),
            ("-5", 600),
            ("\"soon\"", 600),
            ("1e300", 600),
            ("99999999999", 30 * 86_400),
        ] {
            let body = format!(r#"{{"access_token":"a","expires_in":{expires_in}}}"#);
            assert_eq!(
                granted(&body).unwrap().life.as_secs(),
                seconds,
                "{expires_in}"
            );
        }
        assert_eq!(
            granted(r#"{"access_token":"a"}"#).unwrap().life,
            DEFAULT_LIFE
        );
    }

    #[test]
    fn a_new_refresh_token_is_read() {
        let refresh = |body| {
            let token = granted(body).unwrap().refresh_token;
            token.map(|token| token.expose().to_owned())
        };
        assert_eq!(
            refresh(r#"{"access_token":"a","refresh_token":"b"}"#).as_deref(),
            Some("b")
        );
        assert_eq!(refresh(r#"{"access_token":"a","refresh_token":""}"#), None);
        assert_eq!(
            refresh(r#"{"access_token":"a","refresh_token":null}"#),
            None
        );
    }

    #[test]
    fn a_token_of_many_kilobytes_is_refused() {
        let body = |length| format!(r#"{{"access_token":"{}"}}"#, "t".repeat(length));
        assert!(granted(&body(60_000)).is_ok());
        assert!(granted(&body(70_000)).is_err());
    }

    #[test]
    fn an_answer_without_a_token_grants_nothing() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"access_token":""}"#,
            r#"{"access_token":7}"#,
            "token",
        ] {
            let error = granted(body).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Authentication, "{body}");
            assert!(error.to_string().contains("login.example"), "{error}");
        }
    }

    #[test]
    fn a_percent_encoded_secret_in_the_answer_is_redacted() {
        let secret = Secret::from("hu/sh+ =");
        let body = r#"{"error_description":"bad form: client_secret=hu%2Fsh%2B+%3D&x=1"}"#;
        let mut response = http::Response::new(body.to_owned().into());
        *response.status_mut() = StatusCode::BAD_REQUEST;
        let error = read(&response, "login.example", &[Some(&secret)])
            .err()
            .unwrap();
        let message = error.to_string();
        assert!(
            message.contains("client_secret=[redacted]&x=1"),
            "{message}"
        );
    }

    #[test]
    fn a_secret_in_the_error_code_is_redacted() {
        let secret = Secret::from("hush");
        for body in [r#"{"error":"hush"}"#, r#"{"code":"no hush","message":"x"}"#] {
            let mut response = http::Response::new(body.to_owned().into());
            *response.status_mut() = StatusCode::BAD_REQUEST;
            let error = read(&response, "login.example", &[Some(&secret)])
                .err()
                .unwrap();
            assert!(!format!("{error:?} {error}").contains("hush"), "{error:?}");
            assert!(error.code().is_some_and(|code| code.contains("[redacted]")));
        }
    }
}
