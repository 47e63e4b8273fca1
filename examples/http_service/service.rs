//! The service: a router whose handlers append with a sender, which they share.
//!
//! It has no login: whoever reaches it appends rows. Before other machines reach it, put a proxy in front that asks for a login and
//! limits connections and the time for heads and bodies. Web pages are refused: a browser sends the accepted content types for a
//! page of another site only if the service agrees, and it never does.

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::header::{CONTENT_TYPE, ORIGIN, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Deserialize;
use snowpipe_streaming::{ChannelSender, CloseReport, Error, ErrorKind, RowBatch};
use tokio::net::TcpListener;

const NDJSON: &str = "application/x-ndjson";
/// The longest body. An append of up to 256 KiB is one piece: either all rows of a request are appended or none, and a client can
/// repeat a request that was refused.
const BODY_BYTES: usize = 128 << 10;
/// How long a client waits before it repeats a request that was answered with 503, in seconds.
const RETRY_AFTER_SECONDS: u8 = 1;

/// Serves until `stop` resolves, then answers the requests under way, and closes the channel when their rows are committed.
///
/// # Errors
///
/// If the service cannot accept connections, or not everything is committed in time.
pub(crate) async fn serve(
    listener: TcpListener,
    rides: ChannelSender,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<CloseReport> {
    let router = Router::new()
        .route("/rides", post(append))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(rides.clone());
    axum::serve(listener, router)
        .with_graceful_shutdown(stop)
        .await?;
    Ok(rides.close().await?)
}

#[derive(Debug, Deserialize)]
struct Options {
    wait: Option<Wait>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wait {
    Commit,
}

/// Appends the row of a request, which is a JSON object, or with the content type of NDJSON an object per line. Answers 202 when
/// they are in memory, and with `?wait=commit` 200 when they are in the table.
async fn append(
    State(rides): State<ChannelSender>,
    Query(options): Query<Options>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    // Programs send none, and no page is served here.
    if headers.contains_key(ORIGIN) {
        return Ok(StatusCode::FORBIDDEN);
    }
    let receipt = match content_type(&headers) {
        "application/json" => rides.append_json(&body).await?,
        NDJSON => rides.append_batch(&RowBatch::from_ndjson(&body)?).await?,
        _ => return Ok(StatusCode::UNSUPPORTED_MEDIA_TYPE),
    };
    match options.wait {
        None => Ok(StatusCode::ACCEPTED),
        Some(Wait::Commit) => {
            receipt.committed().await?;
            Ok(StatusCode::OK)
        }
    }
}

/// The content type without parameters; empty if there is none.
fn content_type(headers: &HeaderMap) -> &str {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next());
    essence.unwrap_or_default().trim()
}

/// The answer to a request whose rows are not appended, or not known to be in the table.
#[derive(Debug)]
struct Refusal(Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let text = format!("{error}\n");
        match error.kind() {
            ErrorKind::InvalidRow => (StatusCode::BAD_REQUEST, text).into_response(),
            ErrorKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, text).into_response(),
            // Committed: the table has rejected some row of the same requests to Snowflake.
            ErrorKind::RowsRejected => (StatusCode::UNPROCESSABLE_ENTITY, text).into_response(),
            // The rows may be in the table nevertheless.
            _ if error.is_ambiguous() => (StatusCode::BAD_GATEWAY, text).into_response(),
            // No memory, or the channel is being reopened or closed: another attempt, or another instance, may succeed.
            _ => {
                let later = [(RETRY_AFTER, RETRY_AFTER_SECONDS.to_string())];
                (StatusCode::SERVICE_UNAVAILABLE, later, text).into_response()
            }
        }
    }
}
