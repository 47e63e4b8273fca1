//! What the sink answers. Bodies with rows are thrown away as they come, unless they are to be checked.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};

use super::account;
use super::state::{Data, ELASTIC, State};

type Answer = Response<Full<Bytes>>;

/// Answers requests.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) state: Arc<State>,
    /// How long an answer to data takes.
    pub(super) delay: Duration,
    /// Whether rows are counted besides what their tokens say.
    pub(super) check: bool,
}

/// What is said of a file with rows.
#[derive(Debug, Deserialize)]
struct Fragment {
    #[serde(rename = "fragment_length_uncompressed_bytes")]
    uncompressed_bytes: u64,
    #[serde(rename = "fragment_start_offset_token")]
    start: Option<String>,
    #[serde(rename = "fragment_end_offset_token")]
    end: Option<String>,
    #[serde(rename = "fragment_row_count")]
    rows: u64,
}

#[derive(Debug, Default, Deserialize)]
struct Opening {
    offset_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Names {
    channel_names: Vec<String>,
}

impl Service {
    /// The answer to any request; an error if the client broke off.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> hyper::Result<Answer> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let answer = match (&parts.method, segments.as_slice()) {
            (&Method::POST, [.., "channels", channel, "rows"]) => {
                self.rows(&decoded(channel), &parts, body).await?
            }
            // The elastic channel of a default pipe, addressed by its table.
            (&Method::POST, [.., "tables", _, "rows"]) => self.rows(ELASTIC, &parts, body).await?,
            (&Method::POST, [.., "channels", channel, "filebuffer"]) => {
                self.files(&decoded(channel), body).await?
            }
            (&Method::PUT, [account::BUCKET, ..]) => {
                self.state.uploaded(discarded(body).await?);
                self.pause().await;
                let mut answer = Answer::default();
                let etag = HeaderValue::from_static("\"sink\"");
                answer.headers_mut().insert(ETAG, etag);
                answer
            }
            (&Method::POST, [.., pipe]) if pipe.ends_with(":bulk-channel-status") => {
                let Names { channel_names } = read(&body.collect().await?.to_bytes());
                let statuses = self.state.statuses(&channel_names);
                json_answer(&json!({ "status_code": 0, "channel_statuses": statuses }))
            }
            (&Method::PUT, [.., "channels", channel]) => {
                let Opening { offset_token } = read(&body.collect().await?.to_bytes());
                let status = self.state.open(&decoded(channel), offset_token);
                json_answer(&json!({
                    "status_code": 0,
                    "next_continuation_token": "opened",
                    "channel_status": status,
                }))
            }
            (&Method::DELETE, [.., "channels", channel]) => {
                self.state.drop_channel(&decoded(channel));
                json_answer(&json!({}))
            }
            (method, segments) => {
                discarded(body).await?;
                self.state.other();
                account(method, segments)
            }
        };
        Ok(answer)
    }

    /// Rows in the body.
    async fn rows(&self, channel: &str, parts: &Parts, body: Incoming) -> hyper::Result<Answer> {
        let query = parts.uri.query().unwrap_or_default();
        let token = |name: &str| {
            let mut pairs = url::form_urlencoded::parse(query.as_bytes());
            let found = pairs.find(|(key, value)| key == name && !value.is_empty());
            found.map(|(_, value)| value.into_owned())
        };
        let (start, end) = (token("startOffsetToken"), token("endOffsetToken"));
        let promised = span(start.as_deref(), end.as_deref());
        let (body_bytes, counted) = if self.check {
            let body = body.collect().await?.to_bytes();
            (body.len() as u64, rows_in(&body))
        } else {
            (discarded(body).await?, promised)
        };
        self.pause().await;
        // Without tokens there is nothing to compare with.
        if counted.is_none() && self.check || promised.is_some() && counted != promised {
            return Ok(self.mismatched(promised, counted));
        }
        let declared = parts.headers.get("x-snowflake-uncompressed-content-length");
        let declared = declared.and_then(|value| value.to_str().ok()?.parse().ok());
        let data = Data {
            rows: counted.unwrap_or_default(),
            body_bytes,
            uncompressed_bytes: declared.unwrap_or_default(),
        };
        self.state.accepted(channel, end, data);
        Ok(accepted())
    }

    /// Rows in files that were uploaded before.
    async fn files(&self, channel: &str, body: Incoming) -> hyper::Result<Answer> {
        let body = body.collect().await?.to_bytes();
        self.pause().await;
        let Ok(fragments) = serde_json::from_slice::<Vec<Fragment>>(&body) else {
            return Ok(self.mismatched(None, None));
        };
        let mut data = Data {
            body_bytes: body.len() as u64,
            ..Data::default()
        };
        for fragment in &fragments {
            data.rows += fragment.rows;
            data.uncompressed_bytes += fragment.uncompressed_bytes;
            let promised = span(fragment.start.as_deref(), fragment.end.as_deref());
            if self.check && promised.is_some_and(|promised| promised != fragment.rows) {
                return Ok(self.mismatched(promised, Some(fragment.rows)));
            }
        }
        let end = fragments.into_iter().next_back();
        let end = end.and_then(|fragment| fragment.end);
        self.state.accepted(channel, end, data);
        Ok(accepted())
    }

    /// A timer of no length may still take a millisecond.
    async fn pause(&self) {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
    }

    /// A refusal that neither client tries to get around.
    fn mismatched(&self, promised: Option<u64>, counted: Option<u64>) -> Answer {
        self.state.mismatched();
        let message = format!("The tokens promise {promised:?} rows, and there are {counted:?}.");
        let mut answer = json_answer(&json!({ "code": "ERR_ROWS_MISMATCH", "message": message }));
        *answer.status_mut() = StatusCode::BAD_REQUEST;
        answer
    }
}

/// What is asked of the account.
fn account(method: &Method, segments: &[&str]) -> Answer {
    match (method.as_str(), segments) {
        ("GET", ["v2", "streaming", "hostname"]) => text_answer("127.0.0.1".to_owned()),
        ("POST", ["oauth", "token"]) => text_answer(account::token()),
        ("POST", ["telemetry", ..]) => json_answer(
            &json!({ "data": "Log Received", "code": null, "message": null, "success": true }),
        ),
        ("POST", [.., pipe]) if pipe.ends_with(":pipe-info") => json_answer(&account::pipe_info()),
        _ => {
            let mut answer = Answer::default();
            *answer.status_mut() = StatusCode::NOT_FOUND;
            answer
        }
    }
}

/// How many rows two integer tokens span.
fn span(start: Option<&str>, end: Option<&str>) -> Option<u64> {
    let (start, end): (u64, u64) = (start?.parse().ok()?, end?.parse().ok()?);
    end.checked_sub(start)?.checked_add(1)
}

/// The lines of a zstd frame that are not empty. The official SDK ends each append with an empty one.
fn rows_in(frame: &[u8]) -> Option<u64> {
    let text = zstd::decode_all(frame).ok()?;
    let lines = text.split(|byte| *byte == b'\n');
    Some(lines.filter(|line| !line.is_empty()).count() as u64)
}

/// Reads a body to its end; its length.
async fn discarded(mut body: Incoming) -> hyper::Result<u64> {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame?.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok(bytes)
}

/// What cannot be read says nothing.
fn read<T: Default + serde::de::DeserializeOwned>(body: &[u8]) -> T {
    serde_json::from_slice(body).unwrap_or_default()
}

fn decoded(segment: &str) -> Cow<'_, str> {
    percent_decode_str(segment).decode_utf8_lossy()
}

fn accepted() -> Answer {
    json_answer(&json!({ "status_code": 0, "next_continuation_token": "next" }))
}

fn json_answer(body: &Value) -> Answer {
    answer("application/json", body.to_string())
}

fn text_answer(body: String) -> Answer {
    answer("text/plain", body)
}

fn answer(content_type: &'static str, body: String) -> Answer {
    let mut answer = Answer::new(Full::new(body.into()));
    let content_type = HeaderValue::from_static(content_type);
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}
