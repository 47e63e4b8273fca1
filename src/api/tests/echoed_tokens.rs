//! A bearer token that an answer repeats is in no error.

use super::*;

/// Answers that repeat the header `Authorization`.
fn echoes(token: &str) -> Vec<(u16, String)> {
    let long = "x".repeat(150);
    vec![
        (
            401,
            format!(r#"{{"message":"Invalid token Bearer {token}"}}"#),
        ),
        (403, format!(r#""Bearer {token}""#)),
        (
            400,
            format!(r#"{{"code":"Bearer {token}","message":"no"}}"#),
        ),
        (
            400,
            format!(r#"{{"message":"token={}"}}"#, token.replace('+', "%2B")),
        ),
        (
            400,
            format!(r#"{{"message":"{}"}}"#, token.replace('+', "\\u002b")),
        ),
        (400, format!(r#"{{"message":"{long} {token}{token}"}}"#)),
        (500, format!(r#"{{"message":"{token}"}}"#)),
        (429, format!(r#"{{"error_code":"{token}"}}"#)),
        (200, format!(r#"{{"status_code":"Bearer {token}"}}"#)),
        (200, format!("Bearer {token}")),
        (200, format!("<html>{}", token.replace('+', "&#43;"))),
    ]
}

fn hides(failure: &Failure, token: &str, body: &str) {
    let text = format!("{failure:?} {}", failure.error());
    for part in token.split('+').chain([token]) {
        assert!(!text.contains(part), "{body}: {text}");
    }
    assert!(text.contains("[redacted]"), "{body}: {text}");
}

#[tokio::test(start_paused = true)]
async fn no_error_of_the_ingest_host_repeats_the_token() {
    let sent = "opaque-scoped+token-number-1";
    for (status, body) in echoes(sent) {
        let is_refused = matches!(status, 401 | 403);
        // A token that is refused is replaced once.
        let refused = [token("refused"), answer(status, "")];
        let before = refused.into_iter().take(if is_refused { 2 } else { 0 });
        let introduction = [host()].into_iter().chain(before);
        let replies = introduction.chain([token(sent), answer(status, &body)]);
        let failure = Rig::new(replies).append().await.unwrap_err();
        hides(&failure, sent, &body);
    }
}

#[tokio::test(start_paused = true)]
async fn no_error_of_the_account_host_repeats_the_token() {
    for (status, body) in echoes("primary") {
        let rig = Rig::new([answer(status, &body)]);
        let failure = rig.api.connect(FIRST).await.unwrap_err();
        hides(&failure, "primary", &body);
        // The token exchange never quotes a success.
        if status != 200 {
            let rig = Rig::new([host(), answer(status, &body)]);
            let failure = rig.api.connect(FIRST).await.unwrap_err();
            hides(&failure, "primary", &body);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_status_repeats_the_token() {
    let body = r#"{"channel_statuses":{"rides":{"channel_status_code":"scoped-1","last_error_message":"not scoped-1"}}}"#;
    let rig = Rig::logged_in([answer(200, body)]);
    let asked = ["rides".to_owned()];
    let found = rig.api.channel_statuses(&asked, FIRST).await.unwrap();
    assert_eq!(found["rides"].status_code(), "[redacted]");
    assert_eq!(found["rides"].last_error_message(), Some("not [redacted]"));
}
