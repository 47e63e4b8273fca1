//! The endpoint of appends to a pipe's elastic channel.

use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::json;
use url::form_urlencoded;

use super::append::rows;
use crate::answers::ElasticBody;
use crate::catalog::tables::Pipe;
use crate::channels::state::State;
use crate::messages::answer::{Answer, Refusal, json_answer};

/// The parameters that only named channels have ("Snowpipe Streaming REST API endpoints").
const NOT_ELASTIC: [&str; 4] = [
    "offsetToken",
    "startOffsetToken",
    "endOffsetToken",
    "continuationToken",
];

/// Refuses what is only possible with a named channel.
pub(crate) fn reserved(remedy: &str) -> Refusal {
    Refusal::malformed(format!("The channel name ELASTIC is reserved: {remedy}."))
}

/// Appends the rows of a request to the pipe's elastic channel.
pub(crate) fn append(
    state: &mut State,
    pipe: &Pipe,
    request: &Request<Bytes>,
) -> Result<Answer, Refusal> {
    let query = request.uri().query().unwrap_or_default();
    let mut names = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
    if let Some(name) = names.find(|name| NOT_ELASTIC.contains(&&**name)) {
        return Err(Refusal::malformed(format!(
            "An elastic append has no {name}: leave the parameter out."
        )));
    }
    let body = rows(&state.rules, request, 0)?;
    state.append_elastic(pipe, body)?;
    let answer = match state.rules.answers.wire.elastic_body {
        ElasticBody::Message => json!({ "message": "OK" }),
        ElasticBody::WithToken => {
            json!({ "status_code": 0, "message": "OK", "next_continuation_token": "" })
        }
    };
    Ok(json_answer(StatusCode::OK, &answer))
}
