//! The same calls over real HTTP, against a mock server on loopback.

use wiremock::matchers::{body_bytes, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::base::time::SystemClock;
use crate::http::client::HttpTransport;

const CHANNEL: &str =
    "/v2/streaming/databases/SKI/schemas/PUBLIC/pipes/LIFT_RIDE-STREAMING/channels/r%201";

async fn server() -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/v2/streaming/hostname"))
        .and(header("authorization", "Bearer primary"))
        .respond_with(ResponseTemplate::new(200).set_body_string("127.0.0.1"))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(path("/oauth/token"))
        .and(header("content-type", "application/x-www-form-urlencoded"))
        .respond_with(ResponseTemplate::new(200).set_body_string("scoped"))
        .expect(1)
        .mount(&server)
        .await;
    server
}

fn client(uri: &str) -> Api {
    let config = ApiConfig {
        account_url: Url::parse(uri).unwrap(),
        ..config()
    };
    let transport = HttpTransport::builder().no_proxy().build().unwrap();
    Api::new(
        config,
        Arc::new(Badge::default()),
        Arc::new(transport),
        Arc::new(SystemClock),
    )
}

#[tokio::test]
async fn open_append_and_drop() {
    let server = server().await;
    Mock::given(method("PUT"))
        .and(path(CHANNEL))
        .and(header("authorization", "Bearer scoped"))
        .and(header("x-snowflake-authorization-token-type", "OAUTH"))
        .and(query_param("retryCount", "0"))
        .respond_with(
            ResponseTemplate::new(200)
                .set_body_string(include_str!("../../../tests/fixtures/wire/open_full.json")),
        )
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(path(
            "/v2/streaming/data/databases/SKI/schemas/PUBLIC/pipes/LIFT_RIDE-STREAMING/channels/r%201/rows",
        ))
        .and(query_param("continuationToken", "0_1"))
        .and(query_param("endOffsetToken", "a/b c"))
        .and(query_param("requestId", "01234567-89ab-cdef-0123-456789abcdef"))
        .and(header("content-encoding", "zstd"))
        .and(header("content-type", "application/x-ndjson"))
        .and(header("content-length", "5"))
        .and(body_bytes(b"frame"))
        .respond_with(
            ResponseTemplate::new(200)
                .insert_header("x-snowflake-session", "near")
                .set_body_string(r#"{"next_continuation_token":"0_2"}"#),
        )
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("DELETE"))
        .and(path(CHANNEL))
        .respond_with(ResponseTemplate::new(200))
        .expect(1)
        .mount(&server)
        .await;

    let api = client(&server.uri());
    let opened = api.open_channel("r 1", None, true, FIRST).await.unwrap();
    assert_eq!(opened.status.unwrap().rows_error_count(), 3);
    let end = OffsetToken::new("a/b c").unwrap();
    let append = AppendRequest {
        continuation_token: opened.next_continuation_token,
        end,
        ..batch(None)
    };
    let accepted = api.append_rows("r 1", &append).await.unwrap();
    assert_eq!(accepted.next_continuation_token, "0_2");
    assert_eq!(accepted.session.unwrap(), "near");
    api.drop_channel("r 1", false, FIRST).await.unwrap();
}

#[tokio::test]
async fn statuses_and_a_throttled_call() {
    let server = server().await;
    let statuses =
        "/v2/streaming/databases/SKI/schemas/PUBLIC/pipes/LIFT_RIDE-STREAMING:bulk-channel-status";
    Mock::given(method("POST"))
        .and(path(statuses))
        .and(body_bytes(br#"{"channel_names":["broken","absent"]}"#))
        .respond_with(ResponseTemplate::new(200).set_body_string(include_str!(
            "../../../tests/fixtures/wire/status_variants.json"
        )))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(path(statuses))
        .respond_with(ResponseTemplate::new(429).insert_header("retry-after", "2"))
        .mount(&server)
        .await;

    let api = client(&server.uri());
    let names = ["broken", "absent"].map(str::to_owned);
    let found = api.channel_statuses(&names, FIRST).await.unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["broken"]);
    assert!(!found["broken"].is_healthy());
    let failure = api.channel_statuses(&names, FIRST).await.unwrap_err();
    assert!(
        matches!(&failure, Failure::Throttled(error) if error.retry_after() == Some(Duration::from_secs(2))),
        "{failure:?}"
    );
}

#[tokio::test]
async fn an_unreachable_server_is_named() {
    // The port is reserved and has no listener.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = held.local_addr().unwrap().to_string();
    let api = client(&format!("http://{address}"));
    let failure = api.connect(FIRST).await.unwrap_err();
    assert!(matches!(failure, Failure::NotSent(_)), "{failure:?}");
    assert!(failure.error().to_string().contains(&address));
}
