//! The answers of the sink. Bodies with rows are discarded as they arrive, unless rows are read.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};

use super::account;
use super::files::{Fragment, Upload};
use super::judge::{Pool, Span};
use super::state::State;

type Answer = Response<Full<Bytes>>;

/// Answers requests.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) state: Arc<State>,
    /// The latency of answers to data.
    pub(crate) delay: Duration,
    /// The rows that clients stream, if what they send is read.
    pub(crate) pool: Option<Arc<Pool>>,
}

/// A body with data: its length, and its bytes if rows are read.
struct Received {
    length: u64,
    bytes: Option<Bytes>,
}

#[derive(Debug, Default, Deserialize)]
struct Names {
    channel_names: Vec<String>,
}

impl Service {
    /// Answers a request. Fails if the client breaks the connection.
    pub(crate) async fn answer<B>(&self, request: Request<B>) -> Result<Answer, B::Error>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let answer = match (&parts.method, segments.as_slice()) {
            (&Method::POST, [.., "channels", channel, "rows"]) => {
                self.rows(&decoded(channel), &parts, body).await?
            }
            (&Method::POST, [.., "channels", channel, "filebuffer"]) => {
                self.files(&decoded(channel), body).await?
            }
            (&Method::PUT, [account::BUCKET, ..]) => {
                self.upload(&segments.join("/"), &parts.headers, body)
                    .await?;
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
                discarded(body).await?;
                let status = self.state.open(&decoded(channel));
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
    async fn rows<B>(&self, channel: &str, parts: &Parts, body: B) -> Result<Answer, B::Error>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let query = parts.uri.query().unwrap_or_default();
        let token = |name: &str| {
            let mut pairs = url::form_urlencoded::parse(query.as_bytes());
            let found = pairs.find(|(key, _)| key == name);
            found.map(|(_, value)| value.into_owned())
        };
        let (start, end) = (token("startOffsetToken"), token("endOffsetToken"));
        let body = self.receive(body).await?;
        self.pause().await;
        let accept = || {
            let span = Span::parse(start.as_deref(), end.as_deref())?;
            self.judge(span, body.length, body.bytes.as_deref())?;
            self.state.accept(channel, span)
        };
        self.state.data_request(body.length);
        Ok(self.verdict(accept()))
    }

    /// A file with rows, which a later append names.
    async fn upload<B>(&self, path: &str, headers: &HeaderMap, body: B) -> Result<(), B::Error>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let body = self.receive(body).await?;
        self.pause().await;
        let length = headers.get("x-amz-decoded-content-length");
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let upload = Upload {
            // The body contains at least the file.
            length: length.unwrap_or(0).min(body.length),
            body: body.bytes,
        };
        self.state.data_request(body.length);
        self.state.put_file(path.to_owned(), upload);
        Ok(())
    }

    /// Rows in files that were uploaded before.
    async fn files<B>(&self, channel: &str, body: B) -> Result<Answer, B::Error>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let body = body.collect().await?.to_bytes();
        self.pause().await;
        let accept = || {
            let fragments = serde_json::from_slice::<Vec<Fragment>>(&body);
            let fragments = fragments.map_err(|why| format!("the files are unreadable: {why}"))?;
            for fragment in &fragments {
                let span = Span::parse(fragment.start.as_deref(), fragment.end.as_deref())?;
                if span.rows() != fragment.rows {
                    return Err(format!("{span} are to be {} rows", fragment.rows));
                }
                let file = self.state.take_file(fragment)?;
                let frame = file.body.as_ref();
                let frame = frame.map(|body| fragment.open(&file, body)).transpose()?;
                self.judge(span, file.length, frame.as_deref())?;
                self.state.accept(channel, span)?;
            }
            Ok(())
        };
        self.state.data_request(body.len() as u64);
        Ok(self.verdict(accept()))
    }

    /// Reads a body to its end, and keeps its bytes if rows are read.
    async fn receive<B>(&self, body: B) -> Result<Received, B::Error>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if self.pool.is_none() {
            let length = discarded(body).await?;
            return Ok(Received {
                length,
                bytes: None,
            });
        }
        let bytes = body.collect().await?.to_bytes();
        Ok(Received {
            length: bytes.len() as u64,
            bytes: Some(bytes),
        })
    }

    /// Checks that a body contains the rows of its tokens, as far as it was read.
    fn judge(&self, span: Span, length: u64, frame: Option<&[u8]>) -> Result<(), String> {
        span.fits(length)?;
        if let Some((pool, frame)) = self.pool.as_ref().zip(frame) {
            let rewritten = pool.compare(span, frame)?;
            self.state.has_read(span.rows(), rewritten);
        }
        Ok(())
    }

    /// The answer to rows. Neither client retries after such a refusal.
    fn verdict(&self, accepted: Result<(), String>) -> Answer {
        let Err(why) = accepted else {
            return json_answer(&json!({ "status_code": 0, "next_continuation_token": "next" }));
        };
        self.state.fault(&why);
        let mut answer = json_answer(&json!({ "code": "ERR_WRONG_ROWS", "message": why }));
        *answer.status_mut() = StatusCode::BAD_REQUEST;
        answer
    }

    /// Waits for the configured latency. Without one there is no timer, because even an empty one may take a millisecond.
    async fn pause(&self) {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
    }
}

/// Answers the requests for the account.
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

/// Reads a body to its end and returns its length.
async fn discarded<B>(mut body: B) -> Result<u64, B::Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame?.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok(bytes)
}

/// Parses a body. One that cannot be parsed counts as empty.
fn read<T: Default + serde::de::DeserializeOwned>(body: &[u8]) -> T {
    serde_json::from_slice(body).unwrap_or_default()
}

fn decoded(segment: &str) -> Cow<'_, str> {
    percent_decode_str(segment).decode_utf8_lossy()
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
