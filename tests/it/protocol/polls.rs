//! How an open channel reacts to polled statuses.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use snowpipe_streaming::{
    Channel, ErrorKind, InvalidationCause, OffsetToken, Receipt, StreamingIngestClient,
};
use wiremock::ResponseTemplate;

use crate::scripted_server::{
    Call, Stage, empty, html, json, opened, refusal, status_of, statuses, within,
};

/// A channel with one accepted row, whose token is 1, after an open that returned token 0.
async fn accepted(client: &StreamingIngestClient, stage: &Stage) -> (Channel, Receipt) {
    stage.answer(Call::Open, opened(Some("0"), "SUCCESS"));
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_row(&json!({"A": 1}), 1).await.unwrap();
    within(receipt.accepted()).await.unwrap();
    (channel, receipt)
}

fn entry(committed: Option<&str>, code: &str) -> ResponseTemplate {
    statuses(&[("c", status_of(committed, code, 0))])
}

#[tokio::test]
async fn an_unhealthy_status_invalidates() {
    use InvalidationCause::{Fenced, Gone, MustReopen};
    let cases = [
        ("ERR_CHANNEL_HAS_INVALID_CLIENT_SEQUENCER", Fenced),
        ("ERR_CHANNEL_HAS_INVALID_ROW_SEQUENCER", MustReopen),
        ("ERR_CHANNEL_MUST_BE_REOPENED", MustReopen),
        (
            "ERR_CHANNEL_MUST_BE_REOPENED_DUE_TO_ROW_SEQ_GAP",
            MustReopen,
        ),
        ("ERR_SOMETHING_NEW", MustReopen),
        ("ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED", Gone),
        ("ERR_TABLE_DOES_NOT_EXIST_NOT_AUTHORIZED", Gone),
        ("ERR_PIPE_IN_INVALID_STATE", Gone),
    ];
    let ends = cases.map(async |(code, cause)| {
        let stage = Stage::new().await;
        let client = stage.client().await;
        let (mut channel, receipt) = accepted(&client, &stage).await;
        // A commit, so that the code cannot be from before the open.
        within(receipt.committed()).await.unwrap();
        stage.always(Call::Status, entry(Some("1"), code));
        let receipt = channel.append_row(&json!({"A": 2}), 2).await.unwrap();
        let error = within(receipt.committed()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalidated(cause), "{error}");
        assert_eq!(error.code(), Some(code));
        assert_eq!(error.committed_token(), Some(&OffsetToken::from(1)));
        assert!(error.is_ambiguous(), "the row is accepted: {error}");
    });
    join_all(ends).await;
}

#[tokio::test]
async fn an_unhealthy_status_that_covers_the_rows_resolves_them() {
    let stage = Stage::new().await;
    let code = "ERR_CHANNEL_MUST_BE_REOPENED";
    stage.always(Call::Status, entry(Some("1"), code));
    let client = stage.client().await;
    let (channel, receipt) = accepted(&client, &stage).await;
    within(receipt.committed()).await.unwrap();
    let report = within(channel.close()).await.unwrap();
    assert_eq!((report.rows_committed, report.uncommitted.len()), (1, 0));
}

#[tokio::test]
async fn a_channel_missing_from_two_answers_is_not() {
    let stage = Stage::new().await;
    let client = stage.client().await;
    for _ in 0..2 {
        stage.answer(Call::Status, statuses(&[]));
    }
    let (_channel, receipt) = accepted(&client, &stage).await;
    within(receipt.committed()).await.unwrap();
    assert_eq!(stage.count(Call::Status), 3);
}

#[tokio::test]
async fn a_later_creation_time_is_a_conflict_when_repeated() {
    let later = status_of(Some("0"), "SUCCESS", 0).replace("1768658400000", "1768658400001");
    let stage = Stage::new().await;
    stage.always(Call::Status, statuses(&[("c", later)]));
    let client = stage.client().await;
    let (_channel, receipt) = accepted(&client, &stage).await;
    let error = within(receipt.committed()).await.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Invalidated(InvalidationCause::OffsetConflict),
        "{error}"
    );
    assert_eq!(error.committed_token(), Some(&OffsetToken::from(0)));
    assert_eq!(stage.count(Call::Status), 2);
}

#[tokio::test]
async fn one_implausible_answer_is_ignored() {
    for odd in [entry(Some("999"), "SUCCESS"), entry(None, "SUCCESS")] {
        let stage = Stage::new().await;
        let client = stage.client().await;
        stage.answer(Call::Status, odd);
        let (channel, receipt) = accepted(&client, &stage).await;
        within(receipt.committed()).await.unwrap();
        assert!(within(channel.close()).await.unwrap().is_clean());
    }
}

#[tokio::test]
async fn polls_that_fail_are_repeated_until_the_commit_is_seen() {
    let stage = Stage::new().await;
    let client = stage.client().await;
    for answer in [
        empty(500),
        html(200),
        refusal(409, "ERR_PIPE_IN_INVALID_STATE"),
        json(
            200,
            r#"{"channel_statuses":{"c":{"last_committed_offset_token":7.5e1,"rows_error_count":-1}}}"#,
        ),
    ] {
        stage.answer(Call::Status, answer);
    }
    let (_channel, receipt) = accepted(&client, &stage).await;
    within(receipt.committed()).await.unwrap();
    assert_eq!(stage.count(Call::Status), 5);
}

#[tokio::test]
async fn a_poll_rediscovers_a_moved_pipe() {
    for answer in [empty(404), empty(410)] {
        let stage = Stage::new().await;
        let client = stage.client().await;
        stage.answer(Call::Status, answer);
        let (_channel, receipt) = accepted(&client, &stage).await;
        within(receipt.committed()).await.unwrap();
        assert_eq!(stage.count(Call::Hostname), 2);
    }
}

#[tokio::test]
async fn rows_that_are_never_committed_stall_the_channel() {
    let stage = Stage::new().await;
    stage.withhold_commits();
    stage.commit("c", "0");
    let client = stage
        .builder()
        .commit_stall_timeout(Duration::from_millis(300))
        .build()
        .await
        .unwrap();
    let (_channel, receipt) = accepted(&client, &stage).await;
    let error = within(receipt.committed()).await.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Invalidated(InvalidationCause::CommitStalled)
    );
    assert!(error.is_ambiguous());
    assert!(error.to_string().contains("look at the pipe"), "{error}");
}

#[tokio::test]
async fn rejected_rows_are_reported_under_either_name_of_the_counter() {
    for name in ["rows_error_count", "rows_errors"] {
        let stage = Stage::new().await;
        let client = stage.client().await;
        let entry = status_of(Some("1"), "SUCCESS", 2)
            .replace("rows_error_count", name)
            .replace(
                r#""last_error_message":null"#,
                r#""last_error_message":"Numeric value 'x' is not recognized""#,
            )
            .replace(
                r#""last_error_offset_upper_bound":null"#,
                r#""last_error_offset_upper_bound":"1""#,
            );
        stage.always(Call::Status, statuses(&[("c", entry)]));
        let (mut channel, receipt) = accepted(&client, &stage).await;
        let error = within(receipt.committed()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RowsRejected);
        assert!(error.is_committed() && !error.is_retryable());
        let window = error.rejects().unwrap();
        assert_eq!(window.count, 2);
        assert_eq!(window.after, None, "so soon after an open");
        assert_eq!(window.through, Some(OffsetToken::from(1)));
        assert_eq!(window.bound, Some(OffsetToken::from(1)));
        assert!(error.to_string().contains("Numeric value 'x'"), "{error}");
        // The channel continues, and later rows are not in the reject window.
        let receipt = channel.append_row(&json!({"A": 2}), 2).await.unwrap();
        let later = status_of(Some("2"), "SUCCESS", 2).replace("rows_error_count", name);
        stage.always(Call::Status, statuses(&[("c", later)]));
        within(receipt.committed()).await.unwrap();
    }
}

#[tokio::test]
async fn all_channels_are_polled_for_in_one_call_or_in_halves() {
    let stage = Stage::new().await;
    stage.withhold_commits();
    let client = stage.client().await;
    let mut channels = Vec::new();
    let mut receipts = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let mut channel = client.open_channel(name).await.unwrap();
        receipts.push(channel.append_row(&json!({"A": 1}), 1).await.unwrap());
        channels.push(channel);
    }
    for receipt in &receipts {
        within(receipt.accepted()).await.unwrap();
    }
    let all = r#"{"channel_names":["a","b","c","d"]}"#;
    let bodies = || -> Vec<String> {
        let seen = stage.seen(Call::Status);
        seen.iter().map(|s| s.text().to_owned()).collect()
    };
    let before = bodies().len();
    stage.called(Call::Status, before + 2).await;
    assert_eq!(bodies()[before + 1], all);

    let code = "ERR_GET_CHANNEL_STATUS_BATCH_TOO_MANY_CHANNELS";
    stage.answer(Call::Status, refusal(400, code));
    for name in ["a", "b", "c", "d"] {
        stage.commit(name, "1");
    }
    for receipt in &receipts {
        within(receipt.committed()).await.unwrap();
    }
    let bodies = bodies();
    // A poll between the refusal and the last commit leaves some channels for one more.
    let halves = [
        all,
        r#"{"channel_names":["a","b"]}"#,
        r#"{"channel_names":["c","d"]}"#,
    ];
    assert!(bodies.windows(3).any(|asked| asked == halves), "{bodies:?}");
}
