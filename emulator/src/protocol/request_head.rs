//! What the log keeps of a request's head and of the beginning of its body: nothing that lets anybody log in.

use bytes::Bytes;
use http::{Request, Version};
use url::form_urlencoded;

use super::routes::Endpoint;

/// How much of a body is kept.
const MOST_BODY: usize = 2048;
/// How much of a single query parameter or header is kept.
const MOST_TEXT: usize = 4096;
/// What stands for a secret.
const REDACTED: &str = "[redacted]";
/// A header or parameter whose name has one of these in it is a secret,
const SECRET_WORDS: [&str; 8] = [
    "auth",
    "cookie",
    "credential",
    "key",
    "passw",
    "secret",
    "signature",
    "token",
];
/// unless it is one of these.
const PLAIN_NAMES: [&str; 5] = [
    "continuationtoken",
    "endoffsettoken",
    "offsettoken",
    "startoffsettoken",
    "x-snowflake-authorization-token-type",
];
/// The authorization schemes that the log shows. Any other word may be the secret itself.
const SCHEMES: [&str; 5] = ["aws4-hmac-sha256", "basic", "bearer", "digest", "snowflake"];
/// The fields of a login's form that are no secrets.
const PLAIN_FIELDS: [&str; 5] = [
    "client_id",
    "grant_type",
    "requested_token_type",
    "scope",
    "subject_token_type",
];

/// Those that are, by their names; what has no known name may be a secret as a whole.
const SECRET_FIELDS: [&str; 9] = [
    "actor_token",
    "assertion",
    "client_assertion",
    "client_secret",
    "code",
    "password",
    "refresh_token",
    "subject_token",
    "token",
];

/// A request's head and the beginning of its body, without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestHead {
    /// The protocol, as in `HTTP/1.1`.
    pub version: String,
    /// The method.
    pub method: String,
    /// The path as it was sent.
    pub path: String,
    /// The query's parameters in their order, decoded.
    pub query: Vec<(String, String)>,
    /// The headers in lower case, sorted by name, with HTTP/2's authority as `host`. Of a secret only its scheme is kept, as in `Bearer [redacted]`.
    pub headers: Vec<(String, String)>,
    /// The first 2 KiB of the body as it was sent, but of files and of a connector's login nothing; a login's form without its secrets.
    pub body_start: Bytes,
}

impl RequestHead {
    pub(crate) fn of(endpoint: Endpoint, request: &Request<Bytes>) -> Self {
        let uri = request.uri();
        let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        Self {
            version: format!("{:?}", request.version()),
            method: request.method().to_string(),
            path: uri.path().to_owned(),
            query: query
                .map(|(name, value)| {
                    let value = if is_secret(&name) { REDACTED } else { &value };
                    (start(&name), start(value))
                })
                .collect(),
            headers: headers(request),
            body_start: match endpoint {
                Endpoint::Token | Endpoint::Authorize => without_secrets(request.body()),
                // A connector's login holds its password or token, and is compressed as often as not.
                Endpoint::Upload | Endpoint::Login => Bytes::new(),
                _ => request.body().iter().take(MOST_BODY).copied().collect(),
            },
        }
    }

    /// About how much memory it takes.
    pub(crate) fn weight(&self) -> usize {
        let pairs = self.query.iter().chain(&self.headers);
        let pairs = pairs.map(|pair| size_of_val(pair) + pair.0.len() + pair.1.len());
        self.method.len() + self.path.len() + self.body_start.len() + pairs.sum::<usize>()
    }
}

fn headers(request: &Request<Bytes>) -> Vec<(String, String)> {
    let authority = match request.uri().authority() {
        Some(authority) if request.version() == Version::HTTP_2 => Some(authority.as_str()),
        _ => None,
    };
    let host = authority.map(|host| ("host".to_owned(), start(host)));
    let mut all: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            let value = match value.split_once(' ') {
                _ if !is_secret(name.as_str()) => start(&value),
                Some((scheme, _)) if SCHEMES.contains(&&*scheme.to_ascii_lowercase()) => {
                    format!("{scheme} {REDACTED}")
                }
                _ => REDACTED.to_owned(),
            };
            (name.to_string(), value)
        })
        .chain(host)
        .collect();
    all.sort();
    all
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word)) && !PLAIN_NAMES.contains(&&*name)
}

fn without_secrets(form: &[u8]) -> Bytes {
    let mut kept = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(form) {
        let is_plain = PLAIN_FIELDS.contains(&&*name);
        let is_known = is_plain || SECRET_FIELDS.contains(&&*name);
        kept.append_pair(
            if is_known { &name } else { REDACTED },
            if is_plain { &value } else { REDACTED },
        );
    }
    kept.finish().bytes().take(MOST_BODY).collect()
}

fn start(text: &str) -> String {
    text.chars().take(MOST_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_logs_in_is_kept() {
        let request = Request::post("https://127.0.0.1/oauth/token?requestId=a%20b&retryCount=0")
            .header("Authorization", "Bearer eyJhbGciOi")
            .header("X-Amz-Security-Token", "session")
            .header("Accept", "application/json")
            .body(Bytes::from(
                "grant_type=client_credentials&client_secret=hunter2&scope=h%20session:role:R",
            ))
            .expect("a request");
        let head = RequestHead::of(Endpoint::Token, &request);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            head,
            RequestHead {
                version: "HTTP/1.1".to_owned(),
                method: "POST".to_owned(),
                path: "/oauth/token".to_owned(),
                query: vec![pair("requestId", "a b"), pair("retryCount", "0")],
                headers: vec![
                    pair("accept", "application/json"),
                    pair("authorization", "Bearer [redacted]"),
                    pair("x-amz-security-token", "[redacted]"),
                ],
                body_start: Bytes::from(
                    "grant_type=client_credentials&client_secret=%5Bredacted%5D&scope=h+session%3Arole%3AR"
                ),
            }
        );
    }

    #[test]
    fn the_authority_of_http_2_is_the_host() {
        let request = Request::get("https://127.0.0.1:8443/v2/streaming/hostname")
            .version(Version::HTTP_2)
            .body(Bytes::new())
            .expect("a request");
        let head = RequestHead::of(Endpoint::Hostname, &request);
        let host = ("host".to_owned(), "127.0.0.1:8443".to_owned());
        assert_eq!(
            (head.version.as_str(), head.headers),
            ("HTTP/2.0", vec![host])
        );
    }

    #[test]
    fn a_scheme_that_is_a_secret_itself_is_not_kept() {
        let request = Request::get("https://127.0.0.1/v2/streaming/hostname")
            .header("authorization", "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9 x")
            .body(Bytes::new())
            .expect("a request");
        let head = RequestHead::of(Endpoint::Hostname, &request);
        assert_eq!(head.headers[0].1, "[redacted]");
    }

    /// Secrets in a wrong place.
    #[test]
    fn a_secret_out_of_place_is_not_kept_either() {
        let bodies = [
            r#"{"client_id":"c","client_secret":"hunter2"}"#,
            "hunter2",
            "client_secret%3Dhunter2",
            "hunter2=client_secret&client_id=c",
        ];
        for body in bodies {
            let request = Request::post(
                "https://127.0.0.1/oauth/token?client_secret=hunter2&X-Amz-Security-Token=hunter2&token=hunter2",
            )
            .header("authorization", "hunter2 x")
            .header("x-auth-token", "hunter2")
            .header("x-api-key", "Bearer hunter2")
            .header("cookie", "a=hunter2")
            .body(Bytes::from(body))
            .expect("a request");
            for endpoint in [Endpoint::Token, Endpoint::Authorize] {
                let kept = format!("{:?}", RequestHead::of(endpoint, &request));
                assert!(!kept.contains("hunter2"), "{kept}");
            }
        }
    }

    #[test]
    fn tokens_that_are_no_secrets_are_kept() {
        let request = Request::post(
            "https://127.0.0.1/rows?continuationToken=0_1&startOffsetToken=a&endOffsetToken=b",
        )
        .header("X-Snowflake-Authorization-Token-Type", "OAUTH")
        .body(Bytes::new())
        .expect("a request");
        let kept = format!("{:?}", RequestHead::of(Endpoint::Append, &request));
        assert!(!kept.contains(REDACTED), "{kept}");
    }
}
