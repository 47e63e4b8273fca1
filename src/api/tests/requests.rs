//! The requests, byte by byte: method, path, query, headers and body of each endpoint.

use super::*;

const QUERY: &str = "requestId=01234567-89ab-cdef-0123-456789abcdef&retryCount=0";

#[tokio::test(start_paused = true)]
async fn a_login_discovers_the_host_and_exchanges_the_credential() {
    let rig = Rig::logged_in([]);
    rig.api.connect(FIRST).await.unwrap();
    let expected = [
        format!(
            "GET https://acct.example/v2/streaming/hostname?{QUERY}\n\
             accept-charset: UTF-8\n\
             accept: application/json\n\
             authorization: Bearer primary\n\
             x-snowflake-authorization-token-type: KEYPAIR_JWT\n\n"
        ),
        format!(
            "POST https://acct.example/oauth/token?{QUERY}\n\
             accept-charset: UTF-8\n\
             accept: application/json\n\
             authorization: Bearer primary\n\
             content-type: application/x-www-form-urlencoded\n\
             x-snowflake-authorization-token-type: KEYPAIR_JWT\n\n\
             grant_type=urn%3Aa%3Ab&scope=ingest.example+session%3Arole%3ASKIER"
        ),
    ];
    assert_eq!(rig.seen(), expected);
    rig.api.connect(FIRST).await.unwrap();
    assert_eq!(rig.seen().len(), 2, "host and token are kept");
}

#[tokio::test(start_paused = true)]
async fn open() {
    let body = r#"{"next_continuation_token":"0_1","channel_status":{"channel_status_code":"SUCCESS","last_committed_offset_token":"41"}}"#;
    let rig = Rig::logged_in([answer(200, body), answer(200, body)]);
    let token = OffsetToken::from(41);
    let attempt = Attempt {
        request_id: ID,
        retry_count: 2,
    };
    let opened = rig
        .api
        .open_channel("a b/c\"ü-_.~", Some(&token), true, attempt)
        .await
        .unwrap();
    assert_eq!(opened.next_continuation_token, "0_1");
    let status = opened.status.unwrap();
    assert_eq!(status.latest_committed_offset_token(), Some(&token));
    assert!(status.is_healthy());
    assert_eq!(
        rig.api
            .open_channel("rides", None, false, FIRST)
            .await
            .unwrap()
            .next_continuation_token,
        "0_1"
    );
    assert_eq!(
        rig.seen()[2],
        "PUT https://ingest.example/v2/streaming/databases/SKI/schemas/PUBLIC/pipes/LIFT_RIDE-STREAMING/channels/a%20b%2Fc%22%C3%BC-_.~?requestId=01234567-89ab-cdef-0123-456789abcdef&retryCount=2\n\
         accept-charset: UTF-8\n\
         accept: application/json\n\
         authorization: Bearer scoped-1\n\
         content-type: application/json\n\
         x-snowflake-authorization-token-type: OAUTH\n\n\
         {\"offset_token\":\"41\",\"fail_on_uncommitted_rows\":true}"
    );
    assert!(rig.seen()[3].ends_with("\n\n{\"fail_on_uncommitted_rows\":false}"));
}

#[tokio::test(start_paused = true)]
async fn append_with_tokens_and_session() {
    let body = r#"{"status_code":0,"message":"Data buffered successfully","next_continuation_token":"0_2"}"#;
    let rig = Rig::logged_in([answer_with(200, &[("x-snowflake-session", "s2")], body)]);
    let (start, end) = (OffsetToken::new("a/1&b").unwrap(), OffsetToken::from(-7));
    let session = HeaderValue::from_static("s1");
    let append = AppendRequest {
        continuation_token: "0 1+=".to_owned(),
        start: Some(start),
        end,
        ..batch(Some(session))
    };
    let accepted = rig.api.append_rows("rides", &append).await.unwrap();
    assert_eq!(accepted.next_continuation_token, "0_2");
    assert_eq!(accepted.session.unwrap(), "s2");
    assert_eq!(
        rig.seen()[2],
        format!(
            "POST https://ingest.example/v2/streaming/data/databases/SKI/schemas/PUBLIC/pipes/LIFT_RIDE-STREAMING/channels/rides/rows?startOffsetToken=a%2F1%26b&endOffsetToken=-7&continuationToken=0%201%2B%3D&{QUERY}\n\
             accept-charset: UTF-8\n\
             accept: application/json\n\
             authorization: Bearer scoped-1\n\
             content-encoding: zstd\n\
             content-type: application/x-ndjson\n\
             x-snowflake-authorization-token-type: OAUTH\n\
             x-snowflake-min-append-timestamp-ms: 1768658400123\n\
             x-snowflake-session: s1\n\
             x-snowflake-uncompressed-content-length: 11\n\n\
             frame"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn append_without_start_token_and_session() {
    let rig = Rig::logged_in([answer(200, r#"{"next_continuation_token":"0_2"}"#)]);
    let accepted = rig.append().await.unwrap();
    assert_eq!(accepted.session, None);
    let request = &rig.seen()[2];
    assert!(request.contains(&format!(
        "/rows?endOffsetToken=9&continuationToken=0_1&{QUERY}\n"
    )));
    assert!(!request.contains("x-snowflake-session"));
}

#[tokio::test(start_paused = true)]
async fn statuses_are_returned_under_the_requested_names() {
    let body = r#"{"channel_statuses":{"a":{"rows_error_count":1},"RIDES":{"rows_error_count":2},"other":{"rows_error_count":3}}}"#;
    let rig = Rig::logged_in([answer(200, body)]);
    let names = ["A", "a", "rides", "gone"].map(str::to_owned);
    let statuses = rig.api.channel_statuses(&names, FIRST).await.unwrap();
    let errors: Vec<_> = statuses
        .iter()
        .map(|(name, status)| (name.as_str(), status.rows_error_count()))
        .collect();
    assert_eq!(errors, [("a", 1), ("rides", 2)]);
    assert_eq!(
        rig.seen()[2],
        format!(
            "POST https://ingest.example/v2/streaming/databases/SKI/schemas/PUBLIC/pipes/LIFT_RIDE-STREAMING:bulk-channel-status?{QUERY}\n\
             accept-charset: UTF-8\n\
             accept: application/json\n\
             authorization: Bearer scoped-1\n\
             content-type: application/json\n\
             x-snowflake-authorization-token-type: OAUTH\n\n\
             {{\"channel_names\":[\"A\",\"a\",\"rides\",\"gone\"]}}"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn the_status_of_no_channel_needs_no_call() {
    let rig = Rig::new([]);
    assert!(
        rig.api
            .channel_statuses(&[], FIRST)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn drop_with_and_without_a_body() {
    let rig = Rig::logged_in([answer(200, ""), answer(204, "")]);
    rig.api.drop_channel("rides", false, FIRST).await.unwrap();
    rig.api.drop_channel("rides", true, FIRST).await.unwrap();
    let plain = format!(
        "DELETE https://ingest.example/v2/streaming/databases/SKI/schemas/PUBLIC/pipes/LIFT_RIDE-STREAMING/channels/rides?{QUERY}\n\
         accept-charset: UTF-8\n\
         accept: application/json\n\
         authorization: Bearer scoped-1\n\
         x-snowflake-authorization-token-type: OAUTH\n\n"
    );
    assert_eq!(rig.seen()[2], plain);
    let careful = &rig.seen()[3];
    assert!(careful.contains("content-type: application/json\n"));
    assert!(careful.ends_with("\n\n{\"fail_on_uncommitted_rows\":true}"));
}

#[tokio::test(start_paused = true)]
async fn names_with_spaces_and_quotes_are_encoded() {
    let config = ApiConfig {
        database: "\"my db\"".to_owned(),
        schema: "a;b".to_owned(),
        pipe: "50%".to_owned(),
        ..config()
    };
    let replies = [host(), token("scoped-1"), answer(200, "{}")];
    let rig = Rig::with(config, Badge::default(), replies);
    rig.api.drop_channel("c", false, FIRST).await.unwrap();
    assert!(
        rig.seen()[2].starts_with(
            "DELETE https://ingest.example/v2/streaming/databases/%22my%20db%22/schemas/a%3Bb/pipes/50%25/channels/c?"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_name_that_would_change_the_path_is_not_sent() {
    for name in ["", ".", ".."] {
        let rig = Rig::new([]);
        let failure = rig.api.drop_channel(name, false, FIRST).await.unwrap_err();
        assert!(matches!(failure, Failure::NotSent(_)), "{failure:?}");
        assert_eq!(failure.error().kind(), ErrorKind::Config);
        assert!(!failure.error().is_retryable());
    }
}

#[tokio::test(start_paused = true)]
async fn a_pipe_that_moved_is_looked_for_and_another_host_gets_a_new_token() {
    let rig = Rig::logged_in([
        answer(410, "{}"),
        answer(200, "elsewhere.example"),
        token("scoped-2"),
        answer(200, "{}"),
    ]);
    rig.api
        .drop_channel("rides", false, FIRST)
        .await
        .unwrap_err();
    rig.api.drop_channel("rides", false, FIRST).await.unwrap();
    assert_eq!(
        rig.calls(),
        [
            "GET acct.example hostname Bearer primary",
            "POST acct.example token Bearer primary",
            "DELETE ingest.example rides Bearer scoped-1",
            "GET acct.example hostname Bearer primary",
            "POST acct.example token Bearer primary",
            "DELETE elsewhere.example rides Bearer scoped-2",
        ]
    );
}

/// A host that stays the same keeps its token, and a failed look-up keeps both. The pauses between look-ups grow.
#[tokio::test(start_paused = true)]
async fn a_pipe_that_is_not_found_at_its_host_costs_look_ups_at_growing_intervals_and_no_token() {
    let rig = Rig::logged_in([
        answer(410, "{}"),
        host(),
        answer(410, "{}"),
        answer(410, "{}"),
        answer(500, "down"),
        answer(200, "{}"),
    ]);
    rig.api
        .drop_channel("rides", false, FIRST)
        .await
        .unwrap_err();
    // Too early for another look-up.
    rig.api
        .drop_channel("rides", false, FIRST)
        .await
        .unwrap_err();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    rig.api
        .drop_channel("rides", false, FIRST)
        .await
        .unwrap_err();
    rig.api.drop_channel("rides", false, FIRST).await.unwrap();
    let calls = rig.calls();
    let look_ups = calls
        .iter()
        .filter(|call| call.contains("hostname"))
        .count();
    let tokens = calls.iter().filter(|call| call.contains("token")).count();
    assert_eq!((look_ups, tokens), (3, 1), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn the_user_agent_has_the_recommended_shape() {
    let agent_of = async |application: Option<&str>| {
        let config = ApiConfig {
            application: application.map(str::to_owned),
            ..config()
        };
        let rig = Rig::with(config, Badge::default(), [host(), token("t")]);
        rig.api.connect(FIRST).await.unwrap();
        let seen = rig.script.seen.lock().unwrap();
        seen[0].headers()["user-agent"].to_str().unwrap().to_owned()
    };
    let agent = agent_of(Some("ski")).await;
    assert!(
        agent.starts_with("snowpipe-streaming-rust/0.1.0 ("),
        "{agent}"
    );
    assert!(agent.ends_with(") RUST/1.89 (app=ski)"), "{agent}");
    assert!(agent_of(None).await.ends_with(") RUST/1.89"));
    assert_eq!(
        agent_of(Some("a\nb")).await,
        "snowpipe-streaming-rust/0.1.0"
    );
}
