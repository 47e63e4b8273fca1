//! The request of each endpoint on the wire.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use snowpipe_streaming::{OnUncommitted, PipePath, StreamingIngestClient};

use crate::scripted_server::{Call, Seen, Stage, json, within};

/// The request without what differs between runs: host, port, the program's version, ids, times and signatures.
fn on_the_wire(seen: &Seen) -> String {
    let id = seen.query("requestId").unwrap();
    assert_eq!(uuid::Uuid::parse_str(id).unwrap().to_string(), id);
    let mut text = format!("{} {}\n", seen.method, seen.target.replace(id, "ID"));
    let mut headers: Vec<_> = seen.headers.keys().map(http::HeaderName::as_str).collect();
    headers.sort_unstable();
    for name in headers {
        let value = match (name, seen.header(name).unwrap()) {
            ("host" | "content-length", _) => continue,
            ("user-agent", agent) => {
                let version = "snowpipe-streaming-rust/0.1.0 (";
                assert!(agent.starts_with(version), "{agent}");
                continue;
            }
            ("authorization", jwt) if jwt.starts_with("Bearer eyJ") => "Bearer JWT",
            ("x-snowflake-min-append-timestamp-ms", at) => {
                let at: u128 = at.parse().unwrap();
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                assert!((1..60_000).contains(&(now.as_millis() + 1 - at)), "{at}");
                "NOW"
            }
            (_, value) => value,
        };
        writeln!(text, "{name}: {value}").unwrap();
    }
    text
}

#[tokio::test]
async fn the_account_host_is_asked_for_host_and_token() {
    let stage = Stage::new().await;
    stage
        .builder()
        .build()
        .await
        .expect("a client with the default answers");
    let [hostname, token] = &stage.all()[..] else {
        panic!("{:?}", stage.all());
    };
    assert_eq!(
        on_the_wire(hostname),
        "GET /v2/streaming/hostname?requestId=ID&retryCount=0\n\
         accept: application/json\n\
         accept-charset: UTF-8\n\
         authorization: Bearer JWT\n\
         x-snowflake-authorization-token-type: KEYPAIR_JWT\n"
    );
    assert_eq!(hostname.body, b"");
    assert_eq!(
        on_the_wire(token),
        "POST /oauth/token?requestId=ID&retryCount=0\n\
         accept: application/json\n\
         accept-charset: UTF-8\n\
         authorization: Bearer JWT\n\
         content-type: application/x-www-form-urlencoded\n\
         x-snowflake-authorization-token-type: KEYPAIR_JWT\n"
    );
    assert_eq!(
        token.text(),
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&scope=127.0.0.1"
    );
}

#[tokio::test]
async fn a_channel_is_opened_fed_watched_and_dropped() {
    let stage = Stage::new().await;
    let client = stage.client().await;
    let mut channel = client
        .open_channel("rides-0")
        .offset_token(41)
        .await
        .unwrap();
    let rows = [json!({"ID": 42, "NAME": "Ünïté\n"}), json!({"ID": 43})];
    let receipt = channel.append_rows(rows, 42..).await.unwrap();
    within(receipt.committed()).await.unwrap();
    channel.close().await.unwrap();
    client.drop_channel("rides-0").await.unwrap();

    let open = &stage.seen(Call::Open)[0];
    assert_eq!(
        on_the_wire(open),
        "PUT /v2/streaming/databases/DB/schemas/PUBLIC/pipes/RIDES_PIPE/channels/rides-0?requestId=ID&retryCount=0\n\
         accept: application/json\n\
         accept-charset: UTF-8\n\
         authorization: Bearer scoped-1\n\
         content-type: application/json\n\
         x-snowflake-authorization-token-type: OAUTH\n"
    );
    assert_eq!(
        open.text(),
        r#"{"offset_token":"41","fail_on_uncommitted_rows":true}"#
    );

    let append = &stage.seen(Call::Append)[0];
    assert_eq!(
        on_the_wire(append),
        "POST /v2/streaming/data/databases/DB/schemas/PUBLIC/pipes/RIDES_PIPE/channels/rides-0/rows?startOffsetToken=42&endOffsetToken=43&continuationToken=0_1&requestId=ID&retryCount=0\n\
         accept: application/json\n\
         accept-charset: UTF-8\n\
         authorization: Bearer scoped-1\n\
         content-encoding: zstd\n\
         content-type: application/x-ndjson\n\
         x-snowflake-authorization-token-type: OAUTH\n\
         x-snowflake-min-append-timestamp-ms: NOW\n\
         x-snowflake-uncompressed-content-length: 40\n"
    );
    assert_eq!(
        append.rows(),
        "{\"ID\":42,\"NAME\":\"Ünïté\\n\"}\n{\"ID\":43}\n"
    );
    let frame = zstd::zstd_safe::find_frame_compressed_size(&append.body);
    assert_eq!(frame, Ok(append.body.len()), "one frame and nothing after");

    let status = &stage.seen(Call::Status)[0];
    assert_eq!(
        on_the_wire(status),
        "POST /v2/streaming/databases/DB/schemas/PUBLIC/pipes/RIDES_PIPE:bulk-channel-status?requestId=ID&retryCount=0\n\
         accept: application/json\n\
         accept-charset: UTF-8\n\
         authorization: Bearer scoped-1\n\
         content-type: application/json\n\
         x-snowflake-authorization-token-type: OAUTH\n"
    );
    assert_eq!(status.text(), r#"{"channel_names":["rides-0"]}"#);

    let drop = &stage.seen(Call::Drop)[0];
    assert_eq!(
        on_the_wire(drop),
        "DELETE /v2/streaming/databases/DB/schemas/PUBLIC/pipes/RIDES_PIPE/channels/rides-0?requestId=ID&retryCount=0\n\
         accept: application/json\n\
         accept-charset: UTF-8\n\
         authorization: Bearer scoped-1\n\
         content-type: application/json\n\
         x-snowflake-authorization-token-type: OAUTH\n"
    );
    assert_eq!(drop.text(), r#"{"fail_on_uncommitted_rows":true}"#);
}

#[tokio::test]
async fn names_and_tokens_keep_their_letters() {
    let stage = Stage::new().await;
    let pipe = PipePath::new("\"my db\"", "a;b", "50%/RIDES-STREAMING").unwrap();
    let client = StreamingIngestClient::builder(stage.profile(), pipe)
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("a b/c\"d?e#f+ü-_.~").await.unwrap();
    let receipt = channel
        .append_rows([json!({})], ("p=1&o=é/7", "p=1&o=é+8"))
        .await
        .unwrap();
    channel.initiate_flush();
    within(receipt.accepted()).await.unwrap();
    let pipe = "databases/%22my%20db%22/schemas/a%3Bb/pipes/50%25%2FRIDES-STREAMING";
    let name = "channels/a%20b%2Fc%22d%3Fe%23f%2B%C3%BC-_.~";
    let open = &stage.seen(Call::Open)[0].target;
    let expected = format!("/v2/streaming/{pipe}/{name}?requestId=");
    assert!(open.starts_with(&expected), "{open}");
    let append = &stage.seen(Call::Append)[0].target;
    let expected = format!(
        "/v2/streaming/data/{pipe}/{name}/rows?startOffsetToken=p%3D1%26o%3D%C3%A9%2F7&endOffsetToken=p%3D1%26o%3D%C3%A9%2B8&continuationToken=0_1&requestId="
    );
    assert!(append.starts_with(&expected), "{append}");
    stage.called(Call::Status, 1).await;
    let status = &stage.seen(Call::Status)[0];
    let expected = format!("/v2/streaming/{pipe}:bulk-channel-status?requestId=");
    assert!(status.target.starts_with(&expected), "{}", status.target);
    assert_eq!(status.text(), r#"{"channel_names":["a b/c\"d?e#f+ü-_.~"]}"#);
}

#[tokio::test]
async fn each_append_carries_the_token_of_the_answer_before() {
    let stage = Stage::new().await;
    stage.answer(
        Call::Append,
        json(
            200,
            r#"{"status_code":0,"message":"Data buffered successfully","next_continuation_token":"a b/+="}"#,
        ),
    );
    stage.withhold_commits();
    let client = stage.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    for n in 1..=3 {
        let receipt = channel.append_row(&json!({"N": n}), n).await.unwrap();
        within(receipt.accepted()).await.unwrap();
    }
    let seen = stage.seen(Call::Append);
    let continued: Vec<_> = seen
        .iter()
        .map(|s| s.query("continuationToken").unwrap())
        .collect();
    assert_eq!(continued, ["0_1", "a%20b%2F%2B%3D", "0_2"]);
    let ids: Vec<_> = seen.iter().map(|s| s.attempt().0).collect();
    assert!(ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
}

#[tokio::test]
async fn the_session_of_an_append_answer_is_echoed_once() {
    let stage = Stage::new().await;
    let answer = |session: Option<&str>| {
        let answer = json(200, r#"{"next_continuation_token":"0_2"}"#);
        match session {
            Some(session) => answer.insert_header("x-snowflake-session", session),
            None => answer,
        }
    };
    // The session of an open or a status is not sent with appends.
    let stray = |answer: wiremock::ResponseTemplate| {
        answer.insert_header("x-snowflake-session", "not-an-append")
    };
    stage.answer(
        Call::Open,
        stray(crate::scripted_server::opened(None, "SUCCESS")),
    );
    let entry = crate::scripted_server::status_of(None, "SUCCESS", 0);
    stage.always(
        Call::Status,
        stray(crate::scripted_server::statuses(&[("c", entry)])),
    );
    for session in [Some("s1"), Some("s2"), None, None] {
        stage.answer(Call::Append, answer(session));
    }
    let client = stage.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    for n in 1..=4 {
        let receipt = channel.append_row(&json!({"N": n}), n).await.unwrap();
        within(receipt.accepted()).await.unwrap();
        stage.called(Call::Status, 1).await;
    }
    let seen = stage.seen(Call::Append);
    let sessions: Vec<_> = seen
        .iter()
        .map(|s| s.header("x-snowflake-session"))
        .collect();
    assert_eq!(sessions, [None, Some("s1"), Some("s2"), None]);
    for call in [Call::Open, Call::Status] {
        for seen in stage.seen(call) {
            assert_eq!(seen.header("x-snowflake-session"), None);
        }
    }
}

#[tokio::test]
async fn an_untracked_channel_sends_an_end_token_and_no_start() {
    let stage = Stage::new().await;
    let client = stage.client().await;
    let mut channel = client
        .open_untracked_channel("c")
        .on_uncommitted(OnUncommitted::Discard)
        .await
        .unwrap();
    for _ in 0..2 {
        let receipt = channel.append_row(&json!({"A": 1})).await.unwrap();
        within(receipt.committed()).await.unwrap();
    }
    assert_eq!(
        stage.seen(Call::Open)[0].text(),
        r#"{"fail_on_uncommitted_rows":false}"#
    );
    let seen = stage.seen(Call::Append);
    let ends: Vec<_> = seen.iter().map(|s| s.query("endOffsetToken")).collect();
    assert!(ends[0].is_some() && ends[0] != ends[1], "{ends:?}");
    assert!(seen.iter().all(|s| s.query("startOffsetToken").is_none()));
}

#[tokio::test]
async fn the_calling_program_is_named() {
    let stage = Stage::new().await;
    let profile = stage.profile().with_application("ski_resort");
    crate::scripted_server::builder(profile)
        .build()
        .await
        .unwrap();
    for seen in stage.all() {
        let agent = seen.header("user-agent").unwrap();
        assert!(agent.ends_with(" (app=ski_resort)"), "{agent}");
    }
}
