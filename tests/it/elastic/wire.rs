//! The requests of elastic appends over real HTTP, to both endpoints of "Snowpipe Streaming REST API endpoints".

use std::time::Duration;

use serde_json::json;
use snowpipe_streaming::transport::HttpTransport;
use snowpipe_streaming::{ElasticChannel, ErrorKind, Pacing, StreamingIngestClient};

use crate::scripted_server::{Call, Seen, Stage, empty, html, json, refusal, within};

/// The documented answer.
const OK: &str = r#"{"message":"OK"}"#;

async fn by_table(stage: &Stage) -> StreamingIngestClient {
    let transport = HttpTransport::builder().no_proxy().only_these_roots();
    StreamingIngestClient::for_table(stage.profile(), "DB", "PUBLIC", "Lift Rides")
        .unwrap()
        .transport(transport.build().unwrap())
        .pacing(Pacing::Off)
        .max_client_lag(Duration::from_millis(10))
        .build()
        .await
        .unwrap()
}

async fn one_row(channel: &ElasticChannel<u8>) {
    let ack = channel.append_row(&json!({"A": 1}), 9).await.unwrap();
    assert_eq!(within(ack).await.unwrap().into_tag(), 9);
}

fn path(seen: &Seen) -> &str {
    seen.target.split('?').next().unwrap()
}

fn query_names(seen: &Seen) -> Vec<&str> {
    let (_, query) = seen.target.split_once('?').unwrap();
    query
        .split('&')
        .map(|pair| pair.split('=').next().unwrap())
        .collect()
}

#[tokio::test]
async fn requests_go_to_the_pipe_or_the_table_without_parameters_of_named_channels() {
    let pipe =
        "/v2/streaming/data/databases/DB/schemas/PUBLIC/pipes/RIDES_PIPE/channels/ELASTIC/rows";
    let table = "/v2/streaming/data/databases/DB/schemas/PUBLIC/tables/Lift%20Rides/rows";
    for (is_table, address) in [(false, pipe), (true, table)] {
        let stage = Stage::new().await;
        stage.always(Call::Append, json(200, OK));
        let client = if is_table {
            by_table(&stage).await
        } else {
            stage.client().await
        };
        let channel = client.elastic_channel();
        one_row(&channel).await;
        let calls: Vec<_> = stage.all().iter().map(|seen| seen.call).collect();
        assert_eq!(
            calls,
            [Call::Hostname, Call::Token, Call::Append],
            "nothing is opened"
        );
        let seen = &stage.seen(Call::Append)[0];
        assert_eq!((seen.method.as_str(), path(seen)), ("POST", address));
        assert_eq!(query_names(seen), ["requestId", "retryCount"]);
        let (id, retry) = seen.attempt();
        assert_eq!((id.len(), retry), (36, "0"), "a UUID");
        for (name, value) in [
            ("authorization", "Bearer scoped-1"),
            ("x-snowflake-authorization-token-type", "OAUTH"),
            ("content-type", "application/x-ndjson"),
            ("content-encoding", "zstd"),
            ("accept", "application/json"),
            ("accept-charset", "UTF-8"),
            ("x-snowflake-uncompressed-content-length", "8"),
        ] {
            assert_eq!(seen.header(name), Some(value), "{name}");
        }
        assert!(seen.header("x-snowflake-min-append-timestamp-ms").is_some());
        assert!(seen.header("user-agent").unwrap().contains("RUST/"));
        assert_eq!(seen.rows(), "{\"A\":1}\n");
        one_row(&channel).await;
        let seen = stage.seen(Call::Append);
        assert_ne!(
            seen[0].attempt().0,
            seen[1].attempt().0,
            "each rowset has an id of its own"
        );
    }
}

#[tokio::test]
async fn an_ambiguous_answer_repeats_the_identical_request() {
    for (answer, twice) in [
        (empty(408), true),
        (html(502), true),
        (json(503, "\"ERR_GENERAL_EXCEPTION_RETRY_REQUEST\""), true),
        (html(200), true),
        (empty(200), true),
        (empty(429).insert_header("retry-after", "0"), false),
        (refusal(429, "390701"), false),
        (empty(404), false),
        (empty(410), false),
    ] {
        let stage = Stage::new().await;
        stage.answer(Call::Append, answer);
        stage.always(Call::Append, json(200, OK));
        let client = stage.client().await;
        let channel = client.elastic_channel();
        let ack = channel.append_row(&json!({"A": 1}), ()).await.unwrap();
        let accepted = within(ack).await.unwrap();
        assert_eq!(
            (accepted.retry_count(), accepted.may_be_duplicated()),
            (1, twice)
        );
        let seen = stage.seen(Call::Append);
        let attempts: Vec<_> = seen.iter().map(Seen::attempt).collect();
        let id = attempts[0].0;
        assert_eq!(attempts, [(id, "0"), (id, "1")]);
        assert_eq!(accepted.request_ids().collect::<Vec<_>>(), [id]);
        assert_eq!(seen[0].body, seen[1].body);
    }
}

#[tokio::test]
async fn any_answer_without_an_error_is_a_success() {
    for answer in [
        OK,
        r#"{"status_code":0,"message":"OK","next_continuation_token":""}"#,
        r#"{"next_continuation_token":null}"#,
        "{}",
    ] {
        let stage = Stage::new().await;
        stage.always(Call::Append, json(200, answer));
        let client = stage.client().await;
        one_row(&client.elastic_channel()).await;
        assert_eq!(stage.count(Call::Append), 1, "{answer}");
    }
}

#[tokio::test]
async fn a_permanent_refusal_is_not_repeated() {
    for (answer, kind) in [
        (refusal(400, "ERR_BAD_ROWS"), ErrorKind::Refused),
        (empty(400), ErrorKind::Refused),
        (refusal(409, "ERR_CONFLICT"), ErrorKind::Refused),
        (
            refusal(404, "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"),
            ErrorKind::NotFound,
        ),
        (
            json(200, r#"{"status_code":17,"message":"no"}"#),
            ErrorKind::Refused,
        ),
        (empty(413), ErrorKind::TooLarge),
    ] {
        let stage = Stage::new().await;
        stage.always(Call::Append, answer);
        let client = stage.client().await;
        let channel = client.elastic_channel();
        let ack = channel.append_row(&json!({"A": 1}), ()).await.unwrap();
        let failed = within(ack).await.unwrap_err();
        assert_eq!(failed.error().kind(), kind, "{failed}");
        assert!(!failed.is_ambiguous(), "{failed}");
        assert_eq!(stage.count(Call::Append), 1, "{failed}");
    }
}
