//! Accepts and discards telemetry.

use http::StatusCode;
use serde_json::json;

use crate::messages::answer::{Answer, json_answer};

pub(crate) fn received() -> Answer {
    let answer = json!({ "data": "Log Received", "code": null, "message": null, "success": true });
    json_answer(StatusCode::OK, &answer)
}
