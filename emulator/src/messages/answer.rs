//! Answers: JSON, text, and refusals in the forms of the service.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};
use serde_json::{Value, json};

use crate::answers::{ErrorBody, TextBody};
use crate::messages::time::epoch_millis;

/// The end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// An answer with its whole body.
pub(crate) type Answer = Response<Bytes>;

/// An answer that was made before the request reached the emulator's lock.
#[derive(Debug, Clone)]
pub(crate) struct Prepared(pub(crate) Answer);

/// The server's reaction to a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reply {
    /// The answer.
    Respond(Response<Bytes>),
    /// The answer, after a wait.
    RespondAfter(Duration, Response<Bytes>),
    /// No connection: the server received nothing of the request.
    Refuse,
    /// The connection breaks without an answer.
    Reset,
    /// No answer.
    Hang,
    /// The answer, broken off in the middle of its body.
    Cut(Response<Bytes>),
}

impl Reply {
    /// With the time of the server's clock in `Date`.
    pub(crate) fn dated(mut self, now: SystemTime) -> Self {
        let (Self::Respond(answer) | Self::RespondAfter(_, answer) | Self::Cut(answer)) = &mut self
        else {
            return self;
        };
        // A later date cannot be written.
        if epoch_millis(now) / 1000 <= LAST_SECOND
            && let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(now))
        {
            answer.headers_mut().insert(DATE, date);
        }
        self
    }
}

/// A request the server refuses.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) message: String,
    retry_after: Option<Duration>,
}

impl Refusal {
    pub(crate) fn new(
        status: StatusCode,
        code: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            retry_after: None,
        }
    }

    pub(crate) fn bad_request(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// The request is malformed in a way that has no specific code.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::bad_request("ERR_INVALID_REQUEST", message)
    }

    pub(crate) fn throttled(retry_after: Option<Duration>) -> Self {
        Self {
            retry_after,
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "390701",
                "Request rate exceeds max. Try later.",
            )
        }
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "ERR_PAYLOAD_TOO_LARGE",
            message,
        )
    }

    pub(crate) fn no_pipe() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED",
            "The pipe does not exist or is not authorized.",
        )
    }

    /// What a role gets that cannot see the database, or everybody if there is none.
    pub(crate) fn no_database(role: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "ERR_DATABASE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED",
            format!(
                "Role {role} failed to retrieve pipe: the database does not exist or is not authorized."
            ),
        )
    }

    pub(crate) fn no_channel() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "ERR_CHANNEL_DOES_NOT_EXIST_OR_NOT_AUTHORIZED",
            "The channel does not exist or is not authorized.",
        )
    }

    pub(crate) fn stale() -> Self {
        Self::bad_request(
            "STALE_CONTINUATION_TOKEN_SEQUENCER",
            "The sequencer in the continuation token is stale.",
        )
    }

    /// The refusal of the object store.
    pub(crate) fn into_s3_answer(self) -> Answer {
        s3_refusal(self.status, &self.code, &self.message)
    }

    #[cfg(feature = "server")]
    pub(crate) fn into_answer(self) -> Answer {
        self.into_answer_as(ErrorBody::ByStatus)
    }

    /// The refusal in one of the forms that clients have met.
    pub(crate) fn into_answer_as(self, form: ErrorBody) -> Answer {
        let (code, message) = (self.code, self.message);
        // The service has `error_code` for objects that are not found, and its gateway has `code`. Of a conflict, some clients that
        // run on accounts read one and some the other (supabase/etl: `code`, redpanda-data/connect: `error_code`).
        let body = match (form, self.status) {
            (ErrorBody::Text, _) => json!(code),
            (ErrorBody::ByStatus, StatusCode::CONFLICT) => {
                json!({ "code": code, "error_code": code, "message": message })
            }
            (ErrorBody::ByStatus, StatusCode::NOT_FOUND) | (ErrorBody::ErrorCode, _) => {
                json!({ "error_code": code, "message": message })
            }
            _ => json!({ "code": code, "message": message }),
        };
        let mut answer = json_answer(self.status, &body);
        if let Some(after) = self.retry_after {
            answer
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(after.as_secs()));
        }
        answer
    }
}

/// An answer with a JSON body.
pub(crate) fn json_answer(status: StatusCode, body: &Value) -> Answer {
    let body = Bytes::from(body.to_string());
    answer(status, HeaderValue::from_static("application/json"), body)
}

/// An answer that is nothing but `text`, in one of the forms that clients have met; `field` is its name in JSON.
pub(crate) fn text_answer(text: String, field: &str, form: TextBody) -> Answer {
    let text = match form {
        TextBody::Text => text,
        TextBody::Line => text + "\n",
        TextBody::Json => return json_answer(StatusCode::OK, &json!({ field: text })),
    };
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    answer(StatusCode::OK, kind, Bytes::from(text))
}

/// A bare status, as a proxy answers.
pub(crate) fn bare_answer(status: StatusCode) -> Answer {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = status;
    answer
}

/// An answer with a body of this type.
pub(crate) fn answer(status: StatusCode, kind: HeaderValue, body: Bytes) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    *answer.headers_mut() = HeaderMap::from_iter([(CONTENT_TYPE, kind)]);
    answer
}

/// A refusal in the XML of S3.
pub(crate) fn s3_refusal(status: StatusCode, code: &str, message: &str) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message></Error>",
        escaped(code),
        escaped(message)
    );
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("application/xml");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
