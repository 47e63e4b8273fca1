//! How a channel reacts to the answers to appends.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use snowpipe_streaming::report::RowState;
use snowpipe_streaming::{
    Channel, Error, ErrorKind, InvalidationCause, OffsetToken, StreamingIngestClient,
};
use wiremock::ResponseTemplate;

use crate::scripted_server::{
    Call, Seen, Stage, empty, html, json, noise, opened, refusal, within,
};

const GOOD: &str = r#"{"next_continuation_token":"0_9"}"#;

/// Appends one row with token 1 and returns the outcome.
async fn one_row(client: &StreamingIngestClient) -> (Channel, Result<(), Error>) {
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_row(&json!({"A": 1}), 1).await.unwrap();
    channel.initiate_flush();
    let outcome = within(receipt.committed()).await;
    (channel, outcome)
}

#[tokio::test]
async fn a_refusal_for_good_invalidates_at_once() {
    use InvalidationCause::{Fenced, Gone, MustReopen, Rejected};
    let cases = [
        (refusal(400, "STALE_CONTINUATION_TOKEN_SEQUENCER"), Fenced),
        (refusal(409, "STALE_CONTINUATION_TOKEN_SEQUENCER"), Fenced),
        (json(400, "\"STALE_CONTINUATION_TOKEN_SEQUENCER\""), Fenced),
        (
            refusal(409, "ERR_CHANNEL_HAS_INVALID_CLIENT_SEQUENCER"),
            Fenced,
        ),
        (refusal(409, "ERR_SUPERSEDED"), Fenced),
        (empty(409), Fenced),
        (refusal(400, "ERR_BAD_ROWS"), Rejected),
        (json(400, r#"{"error_code":"ERR_BAD_ROWS"}"#), Rejected),
        (empty(400), Rejected),
        (json(200, r#"{"status_code":17,"message":"no"}"#), Rejected),
        (refusal(400, "STALE_PIPE_CACHE"), MustReopen),
        (refusal(409, "STALE_PIPE_CACHE"), MustReopen),
        (refusal(400, "ERR_CHANNEL_MUST_BE_REOPENED"), MustReopen),
        (
            refusal(409, "ERR_CHANNEL_MUST_BE_REOPENED_DUE_TO_ROW_SEQ_GAP"),
            MustReopen,
        ),
        (
            refusal(404, "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"),
            Gone,
        ),
        (
            refusal(404, "ERR_CHANNEL_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"),
            Gone,
        ),
        (empty(410), Gone),
        (refusal(410, "ERR_PIPE_FAILED_OVER"), Gone),
    ];
    for (answer, cause) in cases {
        let stage = Stage::new().await;
        stage.answer(Call::Open, opened(Some("0"), "SUCCESS"));
        stage.always(Call::Append, answer);
        let client = stage.client().await;
        let (mut channel, outcome) = one_row(&client).await;
        let error = outcome.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Invalidated(cause), "{text}");
        assert!(!error.is_ambiguous(), "the server did not take it: {text}");
        assert!(!error.is_retryable() && !error.is_committed(), "{text}");
        assert_eq!(
            error.committed_token(),
            Some(&OffsetToken::from(0)),
            "{text}"
        );
        assert_eq!(stage.count(Call::Append), 1, "{text}");

        let after = channel.append_row(&json!({"A": 2}), 2).await.unwrap_err();
        assert_eq!(after.kind(), ErrorKind::Invalidated(cause), "{after}");
        assert_eq!(after.committed_token(), Some(&OffsetToken::from(0)));
        let closed = within(channel.close()).await.unwrap_err();
        let left = &closed.close_report().unwrap().uncommitted;
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!((left[0].state, left[0].rows), (RowState::Sealed, 1));
    }
}

#[tokio::test]
async fn an_ambiguous_answer_repeats_the_identical_request() {
    let again = async |answer: ResponseTemplate| {
        let stage = Stage::new().await;
        stage.answer(Call::Append, answer.clone());
        stage.answer(Call::Append, answer);
        let client = stage.client().await;
        let (_channel, outcome) = one_row(&client).await;
        outcome.unwrap();
        let seen = stage.seen(Call::Append);
        let attempts: Vec<_> = seen.iter().map(Seen::attempt).collect();
        let id = attempts[0].0;
        assert_eq!(attempts, [(id, "0"), (id, "1"), (id, "2")]);
        for again in &seen[1..] {
            assert_eq!(again.body, seen[0].body);
            for part in ["startOffsetToken", "endOffsetToken", "continuationToken"] {
                assert_eq!(again.query(part), seen[0].query(part));
            }
        }
    };
    let answers = [
        empty(408),
        json(500, "\"ERR_GENERAL_EXCEPTION_RETRY_REQUEST\""),
        json(503, "\"ERR_GENERAL_EXCEPTION_RETRY_REQUEST\""),
        html(502),
        empty(504),
        refusal(429, "390701"),
        refusal(429, "390701").insert_header("retry-after", "0"),
        empty(429).insert_header("retry-after", "1"),
        html(200),
        empty(200),
        json(200, "{\"next_conti"),
        json(200, "{}"),
        json(200, r#"{"next_continuation_token":""}"#),
    ];
    join_all(answers.map(again)).await;
}

#[tokio::test]
async fn a_request_without_an_answer_within_the_deadline_is_repeated() {
    let stage = Stage::new().await;
    let late = json(200, GOOD).set_delay(Duration::from_secs(3600));
    stage.answer(Call::Append, late);
    let client = stage
        .builder()
        .attempt_timeout(Duration::from_millis(500))
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_row(&json!({"A": 1}), 1).await.unwrap();
    within(receipt.committed()).await.unwrap();
    let seen = stage.seen(Call::Append);
    // On a slow machine the second answer is late as well.
    assert!(seen.len() >= 2);
    assert_eq!(seen[0].attempt().0, seen[1].attempt().0);
    assert_eq!(seen[1].attempt().1, "1");
}

#[tokio::test]
async fn a_batch_is_retried_for_a_limited_time() {
    let stage = Stage::new().await;
    stage.always(
        Call::Append,
        json(503, "\"ERR_GENERAL_EXCEPTION_RETRY_REQUEST\""),
    );
    let client = stage
        .builder()
        .retry_for(Duration::from_millis(200))
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_row(&json!({"A": 1}), 1).await.unwrap();
    let error = within(receipt.committed()).await.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Invalidated(InvalidationCause::Unreachable)
    );
    assert!(
        error.is_ambiguous(),
        "a 503 may hide that the rows were taken"
    );
    assert!(error.to_string().contains("reopen the channel"), "{error}");
    let report = within(channel.close()).await.unwrap_err();
    let left = &report.close_report().unwrap().uncommitted;
    assert_eq!((left[0].state, left[0].rows), (RowState::Sent, 1));
}

#[tokio::test]
async fn stale_after_an_unclear_answer_is_ambiguous_until_the_token_tells() {
    for committed in [true, false] {
        let stage = Stage::new().await;
        stage.withhold_commits();
        stage.answer(Call::Append, empty(503));
        stage.answer(
            Call::Append,
            refusal(400, "STALE_CONTINUATION_TOKEN_SEQUENCER"),
        );
        if committed {
            // The first attempt was applied, and only its answer was lost.
            stage.commit("c", "1");
        }
        stage.answer(Call::Open, opened(None, "SUCCESS"));
        // The client polls until it sees the token, or until `settle_timeout`.
        let settle = Duration::from_millis(if committed { 20_000 } else { 100 });
        let client = stage
            .builder()
            .settle_timeout(settle)
            .build()
            .await
            .unwrap();
        let (channel, outcome) = one_row(&client).await;
        if committed {
            outcome.unwrap();
            assert_eq!(
                channel.latest_committed_offset_token(),
                Some(OffsetToken::from(1))
            );
            within(channel.close()).await.unwrap();
        } else {
            let error = outcome.unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::Invalidated(InvalidationCause::Ambiguous)
            );
            assert!(error.is_ambiguous());
            assert_eq!(error.committed_token(), None);
        }
        assert_eq!(stage.count(Call::Append), 2);
    }
}

#[tokio::test]
async fn a_refused_token_is_replaced_within_the_attempt() {
    let stage = Stage::new().await;
    stage.answer(Call::Append, refusal(401, "390303"));
    let client = stage.client().await;
    let (_channel, outcome) = one_row(&client).await;
    outcome.unwrap();
    let seen = stage.seen(Call::Append);
    let bearers: Vec<_> = seen.iter().map(|s| s.header("authorization")).collect();
    assert_eq!(bearers, [Some("Bearer scoped-1"), Some("Bearer scoped-2")]);
    assert_eq!(seen[0].target, seen[1].target, "the same attempt");
    assert_eq!(stage.count(Call::Token), 2);
    assert_eq!(stage.count(Call::Hostname), 1);
}

#[tokio::test]
async fn repeatedly_refused_credentials_and_privileges_invalidate() {
    for (status, code) in [(401, "390303"), (403, "390189")] {
        let stage = Stage::new().await;
        stage.always(Call::Append, refusal(status, code));
        let client = stage.client().await;
        let (_channel, outcome) = one_row(&client).await;
        let error = outcome.unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::Invalidated(InvalidationCause::Unauthorized),
            "{error}"
        );
        assert_eq!(error.code(), Some(code));
        assert!(!error.is_ambiguous(), "refused is not applied");
        let tries = stage.count(Call::Append);
        assert!((2..=8).contains(&tries), "{tries}");
    }
}

#[tokio::test]
async fn privileges_restored_in_time_save_the_channel() {
    let stage = Stage::new().await;
    for _ in 0..2 {
        stage.answer(Call::Append, refusal(403, "390189"));
    }
    let client = stage.client().await;
    let (_channel, outcome) = one_row(&client).await;
    outcome.unwrap();
    let seen = stage.seen(Call::Append);
    let tries: Vec<_> = seen
        .iter()
        .map(|s| (s.header("authorization").unwrap(), s.attempt().1))
        .collect();
    assert_eq!(
        tries,
        [
            ("Bearer scoped-1", "0"),
            ("Bearer scoped-2", "0"),
            ("Bearer scoped-2", "1"),
        ],
        "one other token, and then patience"
    );
}

#[tokio::test]
async fn a_bare_404_is_resolved_by_a_rediscovery_unless_it_persists() {
    let stage = Stage::new().await;
    stage.answer(Call::Append, html(404));
    let client = stage.client().await;
    let (_channel, outcome) = one_row(&client).await;
    outcome.unwrap();
    assert_eq!(
        stage.count(Call::Hostname),
        2,
        "the host is looked up again"
    );
    let seen = stage.seen(Call::Append);
    let token = seen[1].header("authorization");
    assert_eq!(token, Some("Bearer scoped-1"), "the host is the same");
    assert_eq!(seen[0].body, seen[1].body);

    let stage = Stage::new().await;
    stage.always(Call::Append, empty(404));
    let client = stage.client().await;
    let (_channel, outcome) = one_row(&client).await;
    let error = outcome.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Invalidated(InvalidationCause::Gone)
    );
    assert!(
        error.to_string().contains("check that the database"),
        "{error}"
    );
}

#[tokio::test]
async fn a_failed_over_pipe_is_found_by_the_next_open() {
    let stage = Stage::new().await;
    stage.answer(Call::Append, empty(410));
    let client = stage.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_row(&json!({"A": 1}), 1).await.unwrap();
    let error = within(receipt.committed()).await.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Invalidated(InvalidationCause::Gone)
    );
    within(channel.reopen()).await.unwrap();
    assert_eq!(stage.count(Call::Hostname), 2);
    let receipt = channel.append_row(&json!({"A": 1}), 1).await.unwrap();
    within(receipt.committed()).await.unwrap();
}

#[tokio::test]
async fn the_token_exchange_is_retried_under_a_waiting_batch() {
    for trouble in [
        json(503, "\"ERR_GENERAL_EXCEPTION_RETRY_REQUEST\""),
        refusal(429, "390701"),
        html(200),
    ] {
        let stage = Stage::new().await;
        let client = stage.client().await;
        let mut channel = client.open_channel("c").await.unwrap();
        stage.answer(Call::Append, refusal(401, "390303"));
        stage.answer(Call::Token, trouble);
        let receipt = channel.append_row(&json!({"A": 1}), 1).await.unwrap();
        within(receipt.committed()).await.unwrap();
        assert_eq!(stage.count(Call::Token), 3);
    }
}

fn too_large() -> ResponseTemplate {
    refusal(413, "ERR_PAYLOAD_TOO_LARGE")
}

#[tokio::test]
async fn a_batch_too_large_is_split() {
    let stage = Stage::new().await;
    stage.answer(Call::Append, too_large());
    let client = stage
        .builder()
        .max_client_lag(Duration::from_secs(600))
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let row = |n: u64| json!({"N": n, "NOISE": noise(n, 700)});
    let rows: Vec<_> = (0..50).map(row).collect();
    let receipt = channel.append_rows(&rows, 0..).await.unwrap();
    channel.initiate_flush();
    within(receipt.committed()).await.unwrap();
    let seen = stage.seen(Call::Append);
    assert!(seen.len() >= 3, "{} requests", seen.len());
    let whole = &seen[0];
    assert_eq!(whole.query("startOffsetToken"), Some("0"));
    assert_eq!(whole.query("endOffsetToken"), Some("49"));
    let mut next = 0;
    let mut lines = String::new();
    for part in &seen[1..] {
        assert!(part.body.len() <= whole.body.len() / 2);
        assert_eq!(part.attempt().1, "0", "other bytes are another request");
        assert_ne!(part.attempt().0, whole.attempt().0);
        let count = i64::try_from(part.rows().lines().count()).unwrap();
        let tokens = (part.query("startOffsetToken"), part.query("endOffsetToken"));
        let (first, last) = (next.to_string(), (next + count - 1).to_string());
        assert_eq!(tokens, (Some(first.as_str()), Some(last.as_str())));
        next += count;
        lines.push_str(&part.rows());
    }
    assert_eq!(lines, whole.rows(), "each row once, in order");
    let continued: Vec<_> = seen
        .iter()
        .filter_map(|s| s.query("continuationToken"))
        .collect();
    assert_eq!(continued[..3], ["0_1", "0_1", "0_2"]);
}

#[tokio::test]
async fn a_unit_too_large_ends_the_channel() {
    let stage = Stage::new().await;
    stage.always(Call::Append, too_large());
    let client = stage.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let rows = [json!({"A": 1}), json!({"A": 2})];
    let receipt = channel.append_rows(rows, 1..=9).await.unwrap();
    let error = within(receipt.committed()).await.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Invalidated(InvalidationCause::Rejected),
        "{error}"
    );
    assert!(!error.is_ambiguous());
    let text = error.to_string();
    let what = "an append of 16 bytes does not fit: the server does not accept";
    assert!(text.contains(what), "{text}");
    let largest = "the largest value has 1 bytes, in the column \"A\"";
    assert!(text.contains(largest), "{text}");
    assert_eq!(
        stage.count(Call::Append),
        1,
        "the same bytes are not sent twice"
    );
}

/// A maintenance page or the login page of a network answers in place of the service, for the rows and for everything else.
#[tokio::test]
async fn a_redirect_says_nothing_about_the_rows() {
    for call in [Call::Append, Call::Status, Call::Open] {
        let stage = Stage::new().await;
        stage.answer(
            call,
            empty(302).insert_header("location", "http://127.0.0.1:1/"),
        );
        let client = stage.client().await;
        let (_channel, outcome) = one_row(&client).await;
        outcome.unwrap();
        assert_eq!(
            stage.count(Call::Append),
            1 + usize::from(call == Call::Append)
        );
    }
}
