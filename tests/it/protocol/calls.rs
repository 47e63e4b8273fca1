//! Status calls and drops of channels, by the server's answer.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::{Value, json};
use snowpipe_streaming::{Error, ErrorKind, OffsetToken, StreamingIngestClient};
use wiremock::ResponseTemplate;

use crate::scripted_server::{
    Call, Seen, Stage, empty, html, json, refusal, status_of, statuses, within,
};

/// The calls of a client that need no open channel.
const CALLS: [Call; 2] = [Call::Status, Call::Drop];

async fn make(client: &StreamingIngestClient, call: Call) -> Result<(), Error> {
    match call {
        Call::Drop => within(client.drop_channel("c")).await,
        _ => within(client.channel_statuses(["c"])).await.map(drop),
    }
}

#[tokio::test]
async fn a_refusal_is_reported_with_its_code_and_a_remedy() {
    let missing = "ERR_CHANNEL_DOES_NOT_EXIST_OR_NOT_AUTHORIZED";
    let cases = [
        (
            refusal(400, "ERR_BAD"),
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
        (
            refusal(404, missing),
            ErrorKind::NotFound,
            "can see them",
            Some(missing),
        ),
        (
            refusal(409, "ERR_PIPE_IN_INVALID_STATE"),
            ErrorKind::Refused,
            "repair the pipe",
            Some("ERR_PIPE_IN_INVALID_STATE"),
        ),
    ];
    for (answer, kind, remedy, code) in cases {
        for call in CALLS {
            let stage = Stage::new().await;
            stage.always(call, answer.clone());
            let client = stage.client().await;
            let error = make(&client, call).await.unwrap_err();
            let text = error.to_string();
            assert_eq!((error.kind(), error.code()), (kind, code), "{text}");
            assert!(text.contains(remedy) && text.contains("\"c\""), "{text}");
            assert!(!error.is_retryable(), "{text}");
            // Privileges may have been granted since the token was issued.
            let tries = if kind == ErrorKind::Forbidden { 2 } else { 1 };
            assert_eq!(stage.count(call), tries, "{text}");
        }
    }
}

#[tokio::test]
async fn temporary_failures_are_retried() {
    let retry = "\"ERR_GENERAL_EXCEPTION_RETRY_REQUEST\"";
    let cases = [
        [empty(408), json(503, retry)],
        [refusal(429, "390701"), html(502)],
        [empty(404), empty(429).insert_header("retry-after", "0")],
    ];
    let twice = cases
        .iter()
        .flat_map(|answers| CALLS.map(|call| (call, answers.clone())));
    let again = twice.map(async |(call, answers)| {
        let stage = Stage::new().await;
        for answer in answers {
            stage.answer(call, answer);
        }
        let client = stage.client().await;
        make(&client, call).await.unwrap();
        let seen = stage.seen(call);
        let attempts: Vec<_> = seen.iter().map(Seen::attempt).collect();
        let id = attempts[0].0;
        assert_eq!(attempts, [(id, "0"), (id, "1"), (id, "2")]);
    });
    join_all(again).await;
}

#[tokio::test]
async fn failures_that_persist_are_reported() {
    let cases = [
        (html(500), ErrorKind::Server),
        (refusal(429, "390701"), ErrorKind::Throttled),
        (empty(404), ErrorKind::NotFound),
        (empty(410), ErrorKind::NotFound),
    ];
    let twice = cases
        .iter()
        .flat_map(|case| CALLS.map(|call| (call, case.clone())));
    let in_vain = twice.map(async |(call, (answer, kind))| {
        let stage = Stage::new().await;
        stage.always(call, answer);
        let client = stage.client().await;
        let error = make(&client, call).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(stage.count(call), 4, "{error}");
    });
    join_all(in_vain).await;
}

#[tokio::test]
async fn a_moved_pipe_is_looked_for() {
    let moved = refusal(410, "ERR_PIPE_FAILED_OVER");
    let cases = [empty(404), html(404), empty(410), moved];
    let twice = cases
        .iter()
        .flat_map(|answer| CALLS.map(|call| (call, answer.clone())));
    let found = twice.map(async |(call, answer)| {
        let stage = Stage::new().await;
        stage.answer(call, answer);
        let client = stage.client().await;
        make(&client, call).await.unwrap();
        let asked = (stage.count(Call::Hostname), stage.count(Call::Token));
        assert_eq!(asked, (2, 1), "the host is the same, and so is the token");
    });
    join_all(found).await;
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    for call in CALLS {
        let stage = Stage::new().await;
        stage.answer(call, refusal(401, "390303"));
        let client = stage.client().await;
        make(&client, call).await.unwrap();
        let seen = stage.seen(call);
        let bearers: Vec<_> = seen.iter().map(|s| s.header("authorization")).collect();
        assert_eq!(bearers, [Some("Bearer scoped-1"), Some("Bearer scoped-2")]);

        let stage = Stage::new().await;
        stage.always(call, refusal(401, "390303"));
        let client = stage.client().await;
        let error = make(&client, call).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
        assert_eq!(stage.count(call), 2);
    }
}

async fn statuses_after(answer: ResponseTemplate) -> Result<Value, Error> {
    let stage = Stage::new().await;
    stage.always(Call::Status, answer);
    let client = stage.client().await;
    let found = within(client.channel_statuses(["a", "b"])).await?;
    Ok(found
        .into_iter()
        .map(|(name, s)| {
            let token = s.latest_committed_offset_token().map(OffsetToken::as_str);
            let counts = [s.rows_inserted_count(), s.rows_error_count()];
            (name, json!([s.status_code(), token, counts]))
        })
        .collect::<serde_json::Map<_, _>>()
        .into())
}

#[tokio::test]
async fn statuses_are_read_in_every_form() {
    let full = statuses(&[
        ("a", status_of(Some("7"), "SUCCESS", 2)),
        ("b", status_of(None, "ACTIVE", 0)),
    ]);
    let expected = json!({"a": ["SUCCESS", "7", [8, 2]], "b": ["ACTIVE", null, [0, 0]]});
    assert_eq!(statuses_after(full).await.unwrap(), expected);

    let sparse = r#"{"status_code":0,"message":"","channel_statuses":{"a":{"channel_status_code":"0","rows_errors":4,"last_committed_offset_token":""},"c":{}}}"#;
    let expected = json!({"a": ["0", null, [0, 4]]});
    assert_eq!(statuses_after(json(200, sparse)).await.unwrap(), expected);

    let none = json(200, r#"{"channel_statuses":{}}"#);
    assert_eq!(statuses_after(none).await.unwrap(), json!({}));
}

#[tokio::test]
async fn a_status_that_cannot_be_understood_is_an_error_and_never_a_default() {
    let answers = [
        empty(200),
        html(200),
        json(200, "{}"),
        json(200, r#"{"channel_statuses":{"a":null}}"#),
        json(
            200,
            r#"{"channel_statuses":{"a":{"last_committed_offset_token":[7]}}}"#,
        ),
        json(
            200,
            r#"{"channel_statuses":{"a":{"rows_error_count":"many"}}}"#,
        ),
    ];
    for read in join_all(answers.map(statuses_after)).await {
        let error = read.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    }
    let refused = json(200, r#"{"status_code":17,"message":"no"}"#);
    let error = statuses_after(refused).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Refused, Some("17"))
    );
}

/// The names of each status request.
fn asked(stage: &Stage) -> Vec<usize> {
    let seen = stage.seen(Call::Status);
    seen.iter()
        .map(|s| {
            let body: BTreeMap<String, Vec<String>> = serde_json::from_slice(&s.body).unwrap();
            body["channel_names"].len()
        })
        .collect()
}

#[tokio::test]
async fn too_many_names_are_asked_for_in_halves() {
    let stage = Stage::new().await;
    for _ in 0..2 {
        let code = "ERR_GET_CHANNEL_STATUS_BATCH_TOO_MANY_CHANNELS";
        stage.answer(Call::Status, refusal(400, code));
    }
    let client = stage.client().await;
    let names: Vec<_> = (0..9).map(|n| format!("c{n}")).collect();
    let found = within(client.channel_statuses(&names)).await.unwrap();
    assert!(found.keys().eq(&names), "each is found once");
    assert_eq!(asked(&stage), [9, 4, 2, 2, 2, 2, 1]);
}

#[tokio::test]
async fn one_name_that_is_too_many_is_an_error() {
    let stage = Stage::new().await;
    let code = "ERR_GET_CHANNEL_STATUS_BATCH_TOO_MANY_CHANNELS";
    stage.always(Call::Status, refusal(400, code));
    let client = stage.client().await;
    let error = within(client.channel_statuses(["a", "b"]))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(code));
    assert_eq!(asked(&stage), [2, 1]);
}

#[tokio::test]
async fn no_names_are_no_request() {
    let stage = Stage::new().await;
    let client = stage.client().await;
    assert!(
        client
            .channel_statuses::<&str>([])
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(stage.count(Call::Status), 0);
}

#[tokio::test]
async fn a_channel_the_server_does_not_know_is_not_found() {
    let stage = Stage::new().await;
    let client = stage.client().await;
    let channel = client.open_channel("c").await.unwrap();
    assert!(channel.status().await.unwrap().is_healthy());
    stage.always(Call::Status, statuses(&[]));
    let error = channel.status().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("\"c\""), "{error}");
}

#[tokio::test]
async fn a_drop_succeeds_with_any_body() {
    for answer in [json(200, "{}"), empty(200), empty(204), html(200)] {
        let stage = Stage::new().await;
        stage.answer(Call::Drop, answer);
        let client = stage.client().await;
        client.drop_channel("c").await.unwrap();
        assert_eq!(stage.count(Call::Drop), 1);
    }
}

#[tokio::test]
async fn a_channel_with_uncommitted_rows_is_not_dropped() {
    let stage = Stage::new().await;
    stage.answer(Call::Drop, refusal(409, "ERR_CHANNEL_HAS_UNCOMMITTED_DATA"));
    let client = stage.client().await;
    let error = client.drop_channel("c").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UncommittedData);
    assert!(error.is_retryable());
    assert_eq!(stage.count(Call::Drop), 1);
    client.drop_channel("c").await.unwrap();
}

#[tokio::test]
async fn an_open_channel_is_not_dropped() {
    let stage = Stage::new().await;
    let client = stage.client().await;
    let channel = client.open_channel("Rides").await.unwrap();
    let error = client.drop_channel("RIDES").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ChannelAlreadyOpen);
    assert_eq!(stage.count(Call::Drop), 0);
    channel.close().await.unwrap();
    client.drop_channel("Rides").await.unwrap();
}
