//! The endpoint where clients leave their metrics: they are thanked for, and forgotten.

use http::StatusCode;
use serde_json::json;

use super::answer::{Answer, json_answer};

pub(super) fn received() -> Answer {
    let answer = json!({ "data": "Log Received", "code": null, "message": null, "success": true });
    json_answer(StatusCode::OK, &answer)
}
