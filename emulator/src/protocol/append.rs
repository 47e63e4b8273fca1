//! Appends of rows to a named channel, and what they share with other appends: limits of a body, and the answer.

use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::json;

use super::routes::Call;
use crate::answers::{MalformedRow, OversizedBody};
use crate::catalog::tables::Pipe;
use crate::channels::channel::Rules;
use crate::channels::state::{Append, State};
use crate::messages::answer::{Answer, Refusal, json_answer};
use crate::messages::body;

/// Appends the rows of a request to a named channel.
pub(crate) fn append(
    state: &mut State,
    pipe: &Pipe,
    channel: &str,
    call: &Call,
    request: &Request<Bytes>,
) -> Result<Answer, Refusal> {
    let tokens = [&call.query.start_offset_token, &call.query.end_offset_token];
    let token_bytes = tokens.into_iter().flatten().map(String::len).sum();
    let body = rows(&state.rules, request, token_bytes)?;
    let next = state.append(
        pipe,
        channel,
        Append {
            continuation_token: call.query.continuation_token.as_deref(),
            start_token: call.query.start_offset_token.clone(),
            end_token: call.query.end_offset_token.clone(),
            body,
        },
    )?;
    Ok(accepted(&next))
}

/// The decompressed rows of a request, within the limits. `token_bytes` is the length of its offset tokens.
pub(crate) fn rows(
    rules: &Rules,
    request: &Request<Bytes>,
    token_bytes: usize,
) -> Result<Vec<u8>, Refusal> {
    let is_beyond = |most: &usize| request.body().len() > *most;
    if let Some(most) = rules.limits.request_bytes.filter(is_beyond) {
        let message = format!("The body is longer than {most} bytes, which is the most.");
        return Err(match rules.answers.wire.oversized_body {
            OversizedBody::TooLarge => Refusal::too_large(message),
            OversizedBody::BadRequest => Refusal::malformed(message),
        });
    }
    let most = rules.limits.decompressed_bytes;
    let body = body::decompress(request.headers(), request.body(), most)?;
    body::check_rows(&body, token_bytes)?;
    if rules.answers.values.malformed_row == MalformedRow::RefuseRequest {
        body::check_json(&body)?;
    }
    Ok(body)
}

/// The answer to accepted rows, with the next continuation token.
pub(crate) fn accepted(next: &str) -> Answer {
    let answer = json!({
        "status_code": 0,
        "message": "Data buffered successfully",
        "next_continuation_token": next,
    });
    json_answer(StatusCode::OK, &answer)
}
