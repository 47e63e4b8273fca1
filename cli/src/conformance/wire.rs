//! The two answers of a login, read without the client's parser, so that a misreading there does not hide a difference here.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use snowpipe_streaming::auth::Secret;
use url::{Host, Url};

/// From this value on, a time in a token is read as milliseconds: as seconds it would be in the year 5138.
const MILLISECONDS_FROM: f64 = 1e11;

/// The longest token that is sent.
const MAX_TOKEN: usize = 64 << 10;

/// The host of the ingest endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IngestHost {
    /// The name without scheme and port, to which a token is scoped.
    pub(super) host: String,
    /// Scheme, host and port, without a slash at the end.
    pub(super) base: String,
}

/// An answer that is a text, a JSON string, or an object with one of `fields`.
fn text_of(body: &[u8], fields: &[&str]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let found = match serde_json::from_str(text) {
        Ok(Value::Object(answer)) => {
            let mut found = fields
                .iter()
                .filter_map(|field| answer.get(*field)?.as_str());
            found.next()?.trim().to_owned()
        }
        Ok(Value::String(text)) => text.trim().to_owned(),
        Ok(_) => return None,
        Err(_) => text.to_owned(),
    };
    (!found.is_empty()).then_some(found)
}

/// The answer to `GET /v2/streaming/hostname`. Without a scheme, the account's is meant, and its port. A name of Snowflake's public
/// domain has dashes where the answer may have underscores, as its certificates have; one of a private link has them as they are.
pub(super) fn ingest_host(body: &[u8], account: &Url) -> Result<IngestHost, String> {
    let text = text_of(body, &["hostname"]).ok_or("the answer names no ingest host")?;
    let refused = |why: &str| format!("the ingest host {text:?} is not used: {why}");
    let (scheme, authority) = match text.split_once("://") {
        Some((scheme, authority)) => (Some(scheme), authority),
        None => (None, text.as_str()),
    };
    let named = format!("{}://{authority}", scheme.unwrap_or(account.scheme()));
    let mut url = Url::parse(&named).map_err(|_| refused("it is not a host name"))?;
    if !matches!(url.scheme(), "http" | "https") || url.path() != "/" || !url.username().is_empty()
    {
        return Err(refused("it is not a host name"));
    }
    let is_local = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return Err(refused("it is not a host name")),
    };
    if url.scheme() == "http" && (account.scheme() == "https" || !is_local) {
        return Err(refused("a token is sent to other machines over HTTPS only"));
    }
    let host = url.host_str().unwrap_or_default().to_owned();
    let is_public =
        host.ends_with(".snowflakecomputing.com") || host.ends_with(".snowflakecomputing.cn");
    let host = if is_public && !host.contains(".privatelink.") {
        host.replace('_', "-")
    } else {
        host
    };
    if scheme.is_none() && url.port().is_none() && url.set_port(account.port()).is_err() {
        return Err(refused("it is not a host name"));
    }
    let port = url
        .port()
        .map_or_else(String::new, |port| format!(":{port}"));
    let base = format!("{}://{host}{port}", url.scheme());
    Ok(IngestHost { host, base })
}

/// The answer to `POST /oauth/token`.
pub(super) fn scoped_token(body: &[u8]) -> Result<Secret, &'static str> {
    let is_token_char = |c: char| c.is_ascii_alphanumeric() || "-._~+/=:".contains(c);
    // The error does not quote the answer, which may contain a token.
    text_of(body, &["token", "access_token"])
        .filter(|token| token.len() <= MAX_TOKEN && token.chars().all(is_token_char))
        .map(Secret::from)
        .ok_or("the answer to the token exchange holds no usable token")
}

/// When a token in the form of a JWT expires; `None` if it does not say so.
pub(super) fn token_expiry(token: &str) -> Option<SystemTime> {
    time_in(token, "exp")
}

/// When a token in the form of a JWT was issued; `None` if it does not say so.
pub(super) fn token_issue(token: &str) -> Option<SystemTime> {
    time_in(token, "iat")
}

fn time_in(token: &str, claim: &str) -> Option<SystemTime> {
    let payload = token.split('.').nth(1)?.trim_end_matches('=');
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    let time = claims.get(claim)?.as_f64().filter(|time| *time > 0.0)?;
    let seconds = if time < MILLISECONDS_FROM {
        time
    } else {
        time / 1000.0
    };
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ingest_host_is_read_in_every_form() {
        let account: Url = "https://acct.snowflakecomputing.com".parse().unwrap();
        for (body, host, base) in [
            (
                "a_b.snowflakecomputing.com\n",
                "a-b.snowflakecomputing.com",
                "https://a-b.snowflakecomputing.com",
            ),
            (r#""h.example""#, "h.example", "https://h.example"),
            (
                r#"{"hostname":"h.example:8443"}"#,
                "h.example",
                "https://h.example:8443",
            ),
            (
                "a_b.privatelink.snowflakecomputing.com",
                "a_b.privatelink.snowflakecomputing.com",
                "https://a_b.privatelink.snowflakecomputing.com",
            ),
        ] {
            let found = ingest_host(body.as_bytes(), &account).unwrap();
            assert_eq!((&*found.host, &*found.base), (host, base), "{body}");
        }
        for body in [
            "",
            "{}",
            "[1]",
            "<html>",
            "http://h.example",
            "ftp://h.example",
            "h.example/path",
            "a b",
        ] {
            ingest_host(body.as_bytes(), &account).unwrap_err();
        }
        let local: Url = "http://127.0.0.1:8080".parse().unwrap();
        let found = ingest_host(b"127.0.0.1", &local).unwrap();
        assert_eq!(found.base, "http://127.0.0.1:8080");
        ingest_host(b"h.example", &local).unwrap_err();
    }

    #[test]
    fn tokens_and_their_times_are_read() {
        // {"iat":1768658400,"exp":1768662000}
        let token = "e30.eyJpYXQiOjE3Njg2NTg0MDAsImV4cCI6MTc2ODY2MjAwMH0.x";
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(token_issue(token), at(1_768_658_400));
        assert_eq!(token_expiry(token), at(1_768_662_000));
        assert_eq!(token_expiry("opaque"), None);
        for body in [
            token.to_owned(),
            format!("{token:?}"),
            format!(r#"{{"access_token":{token:?}}}"#),
        ] {
            assert_eq!(scoped_token(body.as_bytes()).unwrap().expose(), token);
        }
        for body in ["", "{}", "two words", "<html></html>"] {
            scoped_token(body.as_bytes()).unwrap_err();
        }
    }
}
