//! A connector's requests: what each endpoint answers.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::Value;

use super::answers::{Rejection, success};
use super::sessions::Sessions;
use super::{login, statement};
use crate::messages::answer::{Answer, Refusal};
use crate::messages::body::decompress;
use crate::protocol::deferred::Deferred;
use crate::sql::failure::Failure;
use crate::sql_api::statements::Access;

/// How long a body may be when it is decompressed. A value to bind takes several times its bytes of the body.
const MOST_BODY: usize = 8 * 1024 * 1024;

/// What is known of the answer before the server's turn at the request.
pub(crate) enum Outcome {
    /// The answer itself.
    Answered(Answer),
    /// What makes it, if no fault prevents the request.
    Deferred(Deferred),
}

/// Reads a request, and answers it if that changes nothing.
pub(crate) fn prepare(
    access: &Access<'_>,
    sessions: &Arc<Sessions>,
    request: &Request<Bytes>,
) -> Outcome {
    let body = match decompress(request.headers(), request.body(), MOST_BODY) {
        Ok(body) => body,
        Err(refusal) => {
            let why = if refusal.status == StatusCode::PAYLOAD_TOO_LARGE {
                let than = format!("{MOST_BODY} bytes of text and bindings");
                Failure::too_large(than).into()
            } else {
                Rejection::from(refusal)
            };
            return Outcome::Answered(why.into_answer());
        }
    };
    let done = match (request.method(), request.uri().path()) {
        (&Method::POST, "/session/v1/login-request") => {
            login::log_in(access, sessions, request, &body).map(Outcome::Answered)
        }
        (&Method::POST, "/queries/v1/query-request") => {
            statement::prepare(access, sessions, request, &body)
        }
        (&Method::POST, "/session") => Ok(end(sessions, request.headers())),
        (&Method::POST, "/session/heartbeat") => heartbeat(sessions, request.headers()),
        // A statement is answered before another request could abort it, and the telemetry is discarded.
        _ => Ok(Outcome::Answered(success(&Value::Null))),
    };
    done.unwrap_or_else(|why: Rejection| Outcome::Answered(why.into_answer()))
}

/// Closes a session. To close one that is not open is no error.
fn end(sessions: &Arc<Sessions>, headers: &HeaderMap) -> Outcome {
    let (sessions, headers) = (sessions.clone(), headers.clone());
    Outcome::Deferred(Deferred::new(move |_| {
        sessions.end(&headers);
        success(&Value::Null)
    }))
}

fn heartbeat(sessions: &Sessions, headers: &HeaderMap) -> Result<Outcome, Rejection> {
    let names = sessions.names(headers);
    names.ok_or_else(Rejection::no_session)?;
    Ok(Outcome::Answered(success(&Value::Null)))
}

/// A body that cannot be read.
pub(crate) fn malformed(why: &serde_json::Error) -> Rejection {
    Refusal::malformed(format!("The body cannot be read: {why}.")).into()
}
