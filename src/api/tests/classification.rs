//! How failed attempts are classified.

use super::*;

async fn append_failure(reply: Reply) -> Failure {
    let rig = Rig::logged_in([reply]);
    let failure = rig.append().await.unwrap_err();
    assert_eq!(rig.seen().len(), 3, "one attempt is one request");
    let id = "01234567-89ab-cdef-0123-456789abcdef";
    assert_eq!(failure.error().request_id(), Some(id));
    let text = format!("{failure:?} {}", failure.error());
    assert!(
        !text.contains("scoped-1") && !text.contains("primary"),
        "{text}"
    );
    failure
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_left_is_not_sent() {
    for (kind, expected, retryable) in [
        (TransportErrorKind::Dns, ErrorKind::Unreachable, true),
        (TransportErrorKind::Connect, ErrorKind::Unreachable, true),
        (TransportErrorKind::Tls, ErrorKind::Unreachable, true),
        (TransportErrorKind::Request, ErrorKind::Config, false),
    ] {
        let failure = append_failure(Reply::Fail(kind)).await;
        assert!(matches!(failure, Failure::NotSent(_)), "{failure:?}");
        let error = failure.into_error();
        assert_eq!((error.kind(), error.is_retryable()), (expected, retryable));
        assert!(!error.is_ambiguous());
        assert!(error.to_string().contains("as the script says"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_may_have_arrived_is_ambiguous() {
    let replies = [
        (Reply::Fail(TransportErrorKind::Timeout), ErrorKind::Timeout),
        (
            Reply::Fail(TransportErrorKind::Interrupted),
            ErrorKind::Unreachable,
        ),
        (
            Reply::Fail(TransportErrorKind::Body),
            ErrorKind::Unreachable,
        ),
        (Reply::Hang, ErrorKind::Timeout),
        (answer(408, ""), ErrorKind::Timeout),
        (
            answer(500, "\"ERR_GENERAL_EXCEPTION_RETRY_REQUEST\""),
            ErrorKind::Server,
        ),
        (answer(502, "<html>"), ErrorKind::Server),
        (answer(503, ""), ErrorKind::Server),
        (answer(504, ""), ErrorKind::Server),
        (answer(599, ""), ErrorKind::Server),
        (answer(200, "<html>"), ErrorKind::Protocol),
        (answer(200, ""), ErrorKind::Protocol),
        (answer(200, "{}"), ErrorKind::Protocol),
        (
            answer(200, r#"{"next_continuation_token":null}"#),
            ErrorKind::Protocol,
        ),
    ];
    for (reply, kind) in replies {
        let shown = format!("{reply:?}");
        let failure = append_failure(reply).await;
        assert!(
            matches!(failure, Failure::Ambiguous(_)),
            "{shown}: {failure:?}"
        );
        assert_eq!(failure.error().kind(), kind, "{shown}");
        assert!(failure.error().is_ambiguous(), "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_call_ends_at_the_deadline() {
    let rig = Rig::logged_in([Reply::Hang]);
    let started = tokio::time::Instant::now();
    let failure = rig.append().await.unwrap_err();
    assert_eq!(started.elapsed(), Duration::from_secs(60));
    assert!(failure.error().to_string().contains("no answer within 60s"));
}

#[tokio::test(start_paused = true)]
async fn a_429_and_a_503_carry_the_delay_the_server_asks_for() {
    let body = r#"{"code":"390701","message":"Request rate exceeds max. Try later."}"#;
    for (header, expected) in [
        (None, None),
        (Some("7"), Some(7)),
        (Some(" 7 "), Some(7)),
        (Some("Sat, 17 Jan 2026 14:01:30 GMT"), Some(90)),
        (Some("Sat, 17 Jan 2026 13:00:00 GMT"), Some(0)),
        (Some("999999999999999"), Some(3600)),
        (Some("soon"), None),
        (Some("-3"), None),
    ] {
        let headers: Vec<_> = header
            .map(|value| ("retry-after", value))
            .into_iter()
            .collect();
        let delay = expected.map(Duration::from_secs);
        match append_failure(answer_with(429, &headers, body)).await {
            Failure::Throttled(error) => {
                assert_eq!(error.retry_after(), delay, "{header:?}");
                assert_eq!(error.kind(), ErrorKind::Throttled);
                assert_eq!(error.code(), Some("390701"));
                assert!(error.is_retryable() && !error.is_ambiguous());
            }
            other => panic!("{other:?}"),
        }
        let failure = append_failure(answer_with(503, &headers, "")).await;
        assert!(matches!(failure, Failure::Ambiguous(_)), "{failure:?}");
        let most = Duration::from_secs(60);
        assert_eq!(
            failure.asked_delay(),
            delay.map(|delay| delay.min(most)),
            "{header:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn status_and_code_decide_the_kind_of_the_error() {
    let cases = [
        (
            400,
            r#"{"code":"STALE_CONTINUATION_TOKEN_SEQUENCER"}"#,
            Some("STALE_CONTINUATION_TOKEN_SEQUENCER"),
            ErrorKind::Refused,
            "reopen the channel",
        ),
        (
            404,
            r#"{"error_code":"ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"}"#,
            Some("ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"),
            ErrorKind::NotFound,
            "check that the database",
        ),
        (
            404,
            r#"{"error_code":"ERR_DATABASE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"}"#,
            Some("ERR_DATABASE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"),
            ErrorKind::NotFound,
            "the user's DEFAULT_ROLE",
        ),
        (
            404,
            r#"{"error_code":"ERR_SCHEMA_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"}"#,
            Some("ERR_SCHEMA_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"),
            ErrorKind::NotFound,
            "check the role, and the names of database and schema",
        ),
        (
            409,
            r#"{"error_code":"ERR_PIPE_IN_INVALID_STATE"}"#,
            Some("ERR_PIPE_IN_INVALID_STATE"),
            ErrorKind::Refused,
            "repair the pipe",
        ),
        (
            400,
            "\"ERR_CHANNEL_DOES_NOT_EXIST_OR_NOT_AUTHORIZED\"",
            Some("ERR_CHANNEL_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"),
            ErrorKind::NotFound,
            "check that the database",
        ),
        (
            404,
            "<html>",
            None,
            ErrorKind::NotFound,
            "check that the database",
        ),
        (
            409,
            r#"{"code":"ERR_CHANNEL_HAS_UNCOMMITTED_DATA"}"#,
            Some("ERR_CHANNEL_HAS_UNCOMMITTED_DATA"),
            ErrorKind::UncommittedData,
            "wait until",
        ),
        (409, "", None, ErrorKind::Refused, "reopen the channel"),
        (410, "", None, ErrorKind::NotFound, "connect anew"),
        (413, "", None, ErrorKind::TooLarge, "send fewer bytes"),
        (
            200,
            r#"{"status_code":55,"message":"no","next_continuation_token":"0_2"}"#,
            Some("55"),
            ErrorKind::Refused,
            "refused again",
        ),
    ];
    for (status, body, code, kind, remedy) in cases {
        let failure = append_failure(answer(status, body)).await;
        assert_eq!(failure.code(), code, "{body}");
        let Failure::Answered {
            status: seen,
            code: seen_code,
            error,
        } = failure
        else {
            panic!("{status} {body}: {failure:?}");
        };
        assert_eq!((seen, seen_code.as_deref()), (status, code));
        assert_eq!(error.kind(), kind, "{status} {body}");
        assert_eq!(error.http_status(), Some(status));
        assert!(error.to_string().contains(remedy), "{error}");
        assert!(
            error
                .to_string()
                .contains("appending to channel \"rides\" of pipe SKI.PUBLIC.LIFT_RIDE-STREAMING"),
            "{error}"
        );
        assert!(!error.is_ambiguous());
    }
    // Not the service: an intermediary, which has not passed the rows on.
    let failure = append_failure(answer(307, "")).await;
    let Failure::NotSent(error) = failure else {
        panic!("{failure:?}");
    };
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(
        error.is_retryable() && error.to_string().contains("a proxy or gateway"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_open_that_lost_a_race_is_retryable() {
    let rig = Rig::logged_in([answer(409, r#"{"code":"ERR_OPEN_CHANNEL_IN_PROGRESS"}"#)]);
    let failure = rig
        .api
        .open_channel("rides", None, true, FIRST)
        .await
        .unwrap_err();
    assert!(failure.error().is_retryable());
}

#[tokio::test(start_paused = true)]
async fn a_failed_login_step_leaves_the_request_unsent() {
    let failing: [fn() -> Reply; 6] = [
        || answer(500, ""),
        || answer(503, "\"ERR_GENERAL_EXCEPTION_RETRY_REQUEST\""),
        || answer(408, ""),
        || Reply::Hang,
        || Reply::Fail(TransportErrorKind::Interrupted),
        || Reply::Fail(TransportErrorKind::Dns),
    ];
    for reply in failing {
        let rig = Rig::new([reply()]);
        let failure = rig.append().await.unwrap_err();
        assert!(matches!(failure, Failure::NotSent(_)), "{failure:?}");
        assert!(failure.error().is_retryable() && !failure.error().is_ambiguous());
        let text = failure.error().to_string();
        assert!(
            text.starts_with("discovering the ingest host of account ACCT"),
            "{text}"
        );

        let rig = Rig::new([host(), reply()]);
        let failure = rig.append().await.unwrap_err();
        assert!(matches!(failure, Failure::NotSent(_)), "{failure:?}");
        assert!(failure.error().is_retryable() && !failure.error().is_ambiguous());
        let text = failure.error().to_string();
        assert!(
            text.starts_with("exchanging the credential of account ACCT"),
            "{text}"
        );
        assert_eq!(rig.seen().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_login_step_names_the_step_and_the_remedy() {
    for (replies, step, status, kind, remedy) in [
        (
            vec![answer(401, r#"{"code":"390144"}"#)],
            "discovering",
            401,
            ErrorKind::Authentication,
            "this machine's clock",
        ),
        (
            vec![answer(403, "")],
            "discovering",
            403,
            ErrorKind::Forbidden,
            "grant the role",
        ),
        (
            vec![answer(404, "")],
            "discovering",
            404,
            ErrorKind::NotFound,
            "check the account's URL",
        ),
        (
            vec![host(), answer(404, "")],
            "exchanging",
            404,
            ErrorKind::NotFound,
            "check the account's URL",
        ),
        (
            vec![host(), answer(409, "")],
            "exchanging",
            409,
            ErrorKind::Refused,
            "any proxy between",
        ),
        // The remedies for an append do not fit a login.
        (
            vec![host(), answer(410, "")],
            "exchanging",
            410,
            ErrorKind::Refused,
            "any proxy between",
        ),
        (
            vec![host(), answer(413, "")],
            "exchanging",
            413,
            ErrorKind::Refused,
            "any proxy between",
        ),
        (
            vec![host(), answer(302, "")],
            "exchanging",
            302,
            ErrorKind::Refused,
            "redirects are not followed",
        ),
        (
            vec![host(), answer(400, r#"{"message":"bad scope"}"#)],
            "exchanging",
            400,
            ErrorKind::Authentication,
            "check the role",
        ),
        (
            vec![host(), answer(401, "")],
            "exchanging",
            401,
            ErrorKind::Authentication,
            "this machine's clock",
        ),
    ] {
        let rig = Rig::new(replies);
        let failure = rig.append().await.unwrap_err();
        assert!(matches!(failure, Failure::AccountRefused(_)), "{failure:?}");
        let error = failure.into_error();
        assert_eq!(error.http_status(), Some(status), "{error}");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(
            error.to_string().starts_with(step) && error.to_string().contains(remedy),
            "{error}"
        );
        rig.seen();
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_login_step_keeps_the_servers_delay() {
    let rig = Rig::new([host(), answer_with(429, &[("retry-after", "9")], "")]);
    let failure = rig.append().await.unwrap_err();
    assert!(
        matches!(&failure, Failure::Throttled(error) if error.retry_after() == Some(Duration::from_secs(9))),
        "{failure:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_credential_is_returned_unchanged() {
    let badge = Badge {
        broken: true,
        ..Badge::default()
    };
    let rig = Rig::with(config(), badge, []);
    let failure = rig.api.connect(FIRST).await.unwrap_err();
    assert!(matches!(failure, Failure::NotSent(_)));
    assert_eq!(failure.error().kind(), ErrorKind::Authentication);
    assert!(!failure.error().is_retryable());
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_host_or_token_leaves_the_request_unsent() {
    for replies in [vec![answer(200, "<html>")], vec![host(), answer(200, "{}")]] {
        let failure = Rig::new(replies).append().await.unwrap_err();
        assert!(matches!(failure, Failure::NotSent(_)), "{failure:?}");
        assert_eq!(failure.error().kind(), ErrorKind::Protocol);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_discovery_is_tried_again_by_the_next_call() {
    let rig = Rig::new([answer(500, ""), host(), token("scoped-1")]);
    rig.api.connect(FIRST).await.unwrap_err();
    rig.api.connect(FIRST).await.unwrap();
    rig.seen();
}

#[tokio::test(start_paused = true)]
async fn an_open_of_an_invalid_pipe_reports_its_status() {
    let with_token = r#"{"next_continuation_token":"0_1","channel_status":{"channel_status_code":"ERR_PIPE_IN_INVALID_STATE"}}"#;
    let rig = Rig::logged_in([answer(200, with_token)]);
    let opened = rig
        .api
        .open_channel("rides", None, true, FIRST)
        .await
        .unwrap();
    let status = opened.status.unwrap();
    assert_eq!(status.status_code(), "ERR_PIPE_IN_INVALID_STATE");
    assert!(!status.is_healthy());

    let without = include_str!("../../../tests/fixtures/wire/open_invalid_pipe.json");
    let rig = Rig::logged_in([answer(200, without)]);
    let failure = rig
        .api
        .open_channel("rides", None, true, FIRST)
        .await
        .unwrap_err();
    assert!(matches!(failure, Failure::Answered { status: 200, .. }));
    assert_eq!(failure.code(), Some("ERR_PIPE_IN_INVALID_STATE"));
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_status_puts_no_rows_at_risk() {
    let rig = Rig::logged_in([answer(200, "{}")]);
    let names = ["rides".to_owned()];
    let failure = rig.api.channel_statuses(&names, FIRST).await.unwrap_err();
    assert!(matches!(failure, Failure::Ambiguous(_)));
    assert_eq!(failure.error().kind(), ErrorKind::Protocol);
    assert!(!failure.error().is_ambiguous());
}

#[tokio::test(start_paused = true)]
async fn a_continuation_token_too_long_for_a_url_is_not_sent() {
    let rig = Rig::logged_in([]);
    let append = AppendRequest {
        continuation_token: "x".repeat(70_000),
        ..batch(None)
    };
    let failure = rig.api.append_rows("rides", &append).await.unwrap_err();
    assert!(matches!(failure, Failure::NotSent(_)));
    assert!(!failure.error().is_retryable());
}

#[test]
fn the_futures_can_be_spawned() {
    fn is_send<T: Send>(_: T) {}
    let rig = Rig::new([]);
    is_send(rig.api.append_rows("rides", &batch(None)));
    is_send(rig.api.connect(FIRST));
}

#[tokio::test(start_paused = true)]
async fn an_answer_over_the_limit_is_not_read() {
    let padding = "x".repeat(crate::http::MAX_ANSWER);
    let long = format!(r#"{{"next_continuation_token":"0_2","padding":"{padding}"}}"#);
    let failure = append_failure(answer(200, &long)).await;
    assert!(matches!(failure, Failure::Ambiguous(_)), "{failure:?}");
    assert!(failure.error().to_string().contains("longer than"));
}
