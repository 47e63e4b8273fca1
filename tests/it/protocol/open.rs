//! Opening a channel, by the server's answer.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use snowpipe_streaming::{Error, ErrorKind, InvalidationCause, OffsetToken, OnUncommitted};
use wiremock::ResponseTemplate;

use crate::scripted_server::{
    Call, Seen, Stage, empty, html, json, opened, refusal, status_of, statuses, within,
};

async fn open_error(stage: &Stage) -> Error {
    let client = stage.client().await;
    within(client.open_channel("c").into_future())
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_refusal_is_reported_with_its_code_and_a_remedy() {
    let status_code = r#"{"status_code":17,"message":"no"}"#;
    let error_code = r#"{"error_code":"ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED","message":"no"}"#;
    let cases = [
        (
            refusal(400, "ERR_BAD"),
            ErrorKind::Refused,
            "refused again",
            Some("ERR_BAD"),
        ),
        (
            json(400, "\"ERR_BAD\""),
            ErrorKind::Refused,
            "refused again",
            Some("ERR_BAD"),
        ),
        (empty(400), ErrorKind::Refused, "refused again", None),
        (
            refusal(403, "390189"),
            ErrorKind::Forbidden,
            "grant the role",
            Some("390189"),
        ),
        (html(403), ErrorKind::Forbidden, "grant the role", None),
        (
            refusal(404, "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"),
            ErrorKind::NotFound,
            "check that the database",
            Some("ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"),
        ),
        (
            json(404, error_code),
            ErrorKind::NotFound,
            "check that the database",
            Some("ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"),
        ),
        (
            refusal(409, "ERR_PIPE_IN_INVALID_STATE"),
            ErrorKind::Refused,
            "repair the pipe",
            Some("ERR_PIPE_IN_INVALID_STATE"),
        ),
        (empty(413), ErrorKind::TooLarge, "fewer bytes", None),
        (
            json(200, status_code),
            ErrorKind::Refused,
            "refused again",
            Some("17"),
        ),
    ];
    for (answer, kind, remedy, code) in cases {
        let stage = Stage::new().await;
        stage.always(Call::Open, answer);
        let error = open_error(&stage).await;
        let text = error.to_string();
        assert_eq!(error.kind(), kind, "{text}");
        assert!(text.contains("\"c\""), "the channel is named: {text}");
        assert!(text.contains(remedy), "{text}");
        assert_eq!(error.code(), code, "{text}");
        assert!(!error.is_retryable() && !error.is_ambiguous(), "{text}");
        let id = stage.seen(Call::Open)[0].attempt().0.to_owned();
        assert_eq!(error.request_id(), Some(id.as_str()), "{text}");
        // Privileges may have been granted since the token was issued.
        let tries = if kind == ErrorKind::Forbidden { 2 } else { 1 };
        assert_eq!(stage.count(Call::Open), tries, "{text}");
    }
}

#[tokio::test]
async fn a_channel_that_opens_unhealthy_is_refused() {
    for (code, kind) in [
        (
            "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED",
            ErrorKind::NotFound,
        ),
        (
            "ERR_TABLE_DOES_NOT_EXIST_NOT_AUTHORIZED",
            ErrorKind::NotFound,
        ),
        ("ERR_PIPE_IN_INVALID_STATE", ErrorKind::Refused),
        ("ERR_CHANNEL_LIMIT_EXCEEDED_FOR_PIPE", ErrorKind::Refused),
    ] {
        let stage = Stage::new().await;
        stage.answer(Call::Open, opened(None, code));
        let error = open_error(&stage).await;
        assert_eq!((error.kind(), error.code()), (kind, Some(code)), "{error}");
        assert!(error.to_string().contains("look at the pipe"), "{error}");
    }
    for code in ["SUCCESS", "ACTIVE", "0"] {
        let stage = Stage::new().await;
        stage.answer(Call::Open, opened(Some("7"), code));
        let client = stage.client().await;
        let channel = client.open_channel("c").await.unwrap();
        assert_eq!(channel.resume_after::<u64>().unwrap(), Some(7));
    }
}

/// Opens a channel although the first answer is this one. Returns the server.
async fn opens_after(answer: ResponseTemplate) -> Stage {
    let stage = Stage::new().await;
    stage.answer(Call::Open, answer);
    let client = stage.client().await;
    within(client.open_channel("c").into_future())
        .await
        .unwrap();
    let seen = stage.seen(Call::Open);
    let attempts: Vec<_> = seen.iter().map(Seen::attempt).collect();
    let id = attempts[0].0;
    assert_eq!(attempts, [(id, "0"), (id, "1")]);
    assert_eq!(seen[0].body, seen[1].body);
    stage
}

#[tokio::test]
async fn temporary_failures_are_retried() {
    let answers = [
        empty(408),
        refusal(429, "390701"),
        refusal(429, "390701").insert_header("retry-after", "0"),
        json(500, "\"ERR_GENERAL_EXCEPTION_RETRY_REQUEST\""),
        json(503, "\"ERR_GENERAL_EXCEPTION_RETRY_REQUEST\""),
        html(502),
        empty(500),
        html(200),
        empty(200),
        json(200, "{}"),
        json(200, r#"{"channel_status":{},"next_continuation_token":""}"#),
        refusal(409, "ERR_OPEN_CHANNEL_IN_PROGRESS"),
        refusal(400, "STALE_PIPE_CACHE"),
        refusal(409, "STALE_PIPE_CACHE"),
    ];
    for stage in join_all(answers.map(opens_after)).await {
        assert_eq!(stage.count(Call::Hostname), 1);
    }
}

#[tokio::test]
async fn a_moved_pipe_is_looked_for() {
    let answers = [
        empty(404),
        html(404),
        empty(410),
        refusal(410, "ERR_PIPE_FAILED_OVER"),
    ];
    for stage in join_all(answers.map(opens_after)).await {
        assert_eq!(stage.count(Call::Hostname), 2, "the host is asked for anew");
        assert_eq!(stage.count(Call::Token), 1, "it is the same host");
    }
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let expired = r#"{"code":"390303","message":"Invalid OAuth access token."}"#;
    let stage = Stage::new().await;
    stage.answer(Call::Open, json(401, expired));
    let client = stage.client().await;
    client.open_channel("c").await.unwrap();
    let seen = stage.seen(Call::Open);
    let bearers: Vec<_> = seen.iter().map(|s| s.header("authorization")).collect();
    assert_eq!(bearers, [Some("Bearer scoped-1"), Some("Bearer scoped-2")]);
    assert_eq!(
        seen[0].attempt(),
        seen[1].attempt(),
        "it is the same attempt"
    );

    let stage = Stage::new().await;
    stage.always(Call::Open, json(401, expired));
    let error = open_error(&stage).await;
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert_eq!(error.code(), Some("390303"));
    assert_eq!((stage.count(Call::Open), stage.count(Call::Token)), (2, 2));
}

fn uncommitted() -> ResponseTemplate {
    refusal(409, "ERR_CHANNEL_HAS_UNCOMMITTED_DATA")
}

/// Whether each open asked the server to fail if there are uncommitted rows.
fn sparing(stage: &Stage) -> Vec<bool> {
    let seen = stage.seen(Call::Open);
    seen.iter()
        .map(|s| match s.text() {
            r#"{"fail_on_uncommitted_rows":true}"# => true,
            r#"{"fail_on_uncommitted_rows":false}"# => false,
            other => panic!("{other}"),
        })
        .collect()
}

#[tokio::test]
async fn an_open_waits_for_rows_of_an_earlier_holder() {
    let stage = Stage::new().await;
    stage.answer(Call::Open, uncommitted());
    stage.answer(Call::Open, uncommitted());
    let client = stage.client().await;
    client.open_channel("c").await.unwrap();
    assert_eq!(sparing(&stage), [true, true, true]);
}

#[tokio::test]
async fn waiting_in_vain_reports_the_committed_token() {
    let stage = Stage::new().await;
    stage.always(Call::Open, uncommitted());
    let entry = status_of(Some("batch-6"), "SUCCESS", 0);
    stage.always(Call::Status, statuses(&[("c", entry)]));
    let client = stage.client().await;
    let wait = OnUncommitted::Wait(Duration::from_millis(300));
    let open = client.open_channel("c").on_uncommitted(wait);
    let error = within(open.into_future()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UncommittedData);
    assert!(error.is_retryable());
    let token = OffsetToken::new("batch-6").unwrap();
    assert_eq!(error.committed_token(), Some(&token));
    assert!(
        error.to_string().contains("OnUncommitted::Discard"),
        "{error}"
    );
    let sparing = sparing(&stage);
    assert!(sparing.len() >= 2, "{sparing:?}");
    assert!(sparing.iter().all(|spare| *spare), "nothing is discarded");
}

#[tokio::test]
async fn waiting_in_vain_may_end_in_discarding() {
    let stage = Stage::new().await;
    stage.answer(Call::Open, uncommitted());
    let client = stage.client().await;
    let policy = OnUncommitted::WaitThenDiscard(Duration::ZERO);
    stage.answer(Call::Open, opened(None, "SUCCESS"));
    let open = client.open_channel("c").on_uncommitted(policy);
    within(open.into_future()).await.unwrap();
    let sparing = sparing(&stage);
    assert_eq!(sparing, [true, false]);
}

#[tokio::test]
async fn discarding_needs_no_status_call() {
    let stage = Stage::new().await;
    let client = stage.client().await;
    client
        .open_channel("c")
        .on_uncommitted(OnUncommitted::Discard)
        .await
        .unwrap();
    assert_eq!(sparing(&stage), [false]);
    assert_eq!(stage.count(Call::Status), 0);
}

#[tokio::test]
async fn an_invalidated_channel_is_reopened_from_the_committed_token() {
    let stage = Stage::new().await;
    let client = stage.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_row(&json!({"A": 1}), 1).await.unwrap();
    within(receipt.committed()).await.unwrap();
    stage.answer(Call::Append, refusal(400, "ERR_CHANNEL_MUST_BE_REOPENED"));
    let receipt = channel.append_row(&json!({"A": 2}), 2).await.unwrap();
    let error = within(receipt.committed()).await.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Invalidated(InvalidationCause::MustReopen)
    );
    stage.answer(Call::Open, opened(Some("1"), "SUCCESS"));
    within(channel.reopen()).await.unwrap();
    assert_eq!(channel.resume_after::<u64>().unwrap(), Some(1));
    let receipt = channel.append_row(&json!({"A": 2}), 2).await.unwrap();
    within(receipt.committed()).await.unwrap();
    let tokens = stage.seen(Call::Append);
    let tokens: Vec<_> = tokens
        .iter()
        .filter_map(|s| s.query("endOffsetToken"))
        .collect();
    assert_eq!(tokens, ["1", "2", "2"]);
}
