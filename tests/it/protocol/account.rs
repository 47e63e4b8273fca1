//! The account host: the credential, the answers in each of their forms, and refusals.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use serde_json::{Value, json};
use snowpipe_streaming::ErrorKind;
use wiremock::ResponseTemplate;

use crate::scripted_server::{
    Call, Seen, Stage, builder, empty, html, json, refusal, text, within,
};

/// The output of `openssl pkey -pubout -outform DER | openssl dgst -sha256 -binary | base64` for the key.
const FINGERPRINT: &str = "SHA256:9703Br/cSxH7v8SqgG9yG3woKYIaqQrd6UoVEWG+ajE=";

fn claims(seen: &Seen) -> Value {
    let bearer = seen.header("authorization").unwrap();
    let jwt = bearer.strip_prefix("Bearer ").unwrap();
    let parts: Vec<_> = jwt.split('.').collect();
    assert_eq!(parts.len(), 3);
    let read = |part: &str| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    assert_eq!(read(parts[0])["alg"], "RS256");
    read(parts[1])
}

#[tokio::test]
async fn the_key_pair_signs_for_account_and_user() {
    let stage = Stage::new().await;
    stage.client().await;
    for call in [Call::Hostname, Call::Token] {
        let claims = claims(&stage.seen(call)[0]);
        assert_eq!(
            claims["iss"],
            format!("MYORG-MYACCT.INGEST.{FINGERPRINT}").as_str()
        );
        assert_eq!(claims["sub"], "MYORG-MYACCT.INGEST");
        assert_eq!(claims.get("scp"), None);
        let (iat, exp) = (
            claims["iat"].as_u64().unwrap(),
            claims["exp"].as_u64().unwrap(),
        );
        assert!(exp > iat && exp - iat < 3600, "{iat} {exp}");
    }
}

#[tokio::test]
async fn a_role_is_in_the_scope_and_in_the_claims() {
    let stage = Stage::new().await;
    let profile = stage.profile().with_role("SKI LOADER");
    builder(profile).build().await.unwrap();
    let token = &stage.seen(Call::Token)[0];
    assert!(
        token
            .text()
            .ends_with("&scope=127.0.0.1+session%3Arole%3ASKI+LOADER"),
        "{}",
        token.text()
    );
    assert_eq!(claims(token)["scp"], "session:role:SKI LOADER");
}

#[tokio::test]
async fn host_and_token_are_read_in_every_form() {
    let hosts = [
        text(200, "127.0.0.1"),
        text(200, "127.0.0.1\n"),
        json(200, "\"127.0.0.1\""),
        json(200, r#"{"hostname":"127.0.0.1"}"#),
        json(
            200,
            r#"{"status_code":0,"message":"","hostname":"127.0.0.1"}"#,
        ),
    ];
    let tokens = [
        text(200, "tok.en-1"),
        text(200, "tok.en-1\r\n"),
        json(200, "\"tok.en-1\""),
        json(200, r#"{"token":"tok.en-1"}"#),
        json(200, r#"{"access_token":"tok.en-1","token_type":"Bearer"}"#),
    ];
    for (host, token) in hosts.into_iter().zip(tokens) {
        let stage = Stage::new().await;
        stage.answer(Call::Hostname, host);
        stage.answer(Call::Token, token);
        let client = stage.client().await;
        client.channel_statuses(["c"]).await.unwrap();
        let status = &stage.seen(Call::Status)[0];
        assert_eq!(status.header("authorization"), Some("Bearer tok.en-1"));
    }
}

#[tokio::test]
async fn rows_go_to_the_ingest_host_and_credentials_to_the_account_host() {
    let account = Stage::new().await;
    let ingest = Stage::new().await;
    let host = ingest.url().replace("http://", "");
    account.answer(Call::Hostname, text(200, &host));
    let client = account.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_row(&json!({"A": 1}), 1).await.unwrap();
    within(receipt.committed()).await.unwrap();
    let calls = |stage: &Stage| {
        let mut calls: Vec<_> = stage.all().iter().map(|s| s.call).collect();
        calls.dedup();
        calls
    };
    assert_eq!(calls(&account), [Call::Hostname, Call::Token]);
    assert_eq!(calls(&ingest), [Call::Open, Call::Append, Call::Status]);
    let name = host.split(':').next().unwrap();
    let scope = format!("&scope={name}");
    assert!(account.seen(Call::Token)[0].text().ends_with(&scope));
}

async fn refused(call: Call, answer: ResponseTemplate) -> (Stage, snowpipe_streaming::Error) {
    let stage = Stage::new().await;
    stage.always(call, answer);
    let error = stage.builder().build().await.unwrap_err();
    (stage, error)
}

#[tokio::test]
async fn refusals_say_what_to_do_and_are_not_repeated() {
    let jwt = r#"{"code":"390144","message":"JWT token is invalid."}"#;
    let cases = [
        (
            Call::Hostname,
            json(401, jwt),
            ErrorKind::Authentication,
            "public key registered",
        ),
        (
            Call::Token,
            json(401, jwt),
            ErrorKind::Authentication,
            "public key registered",
        ),
        (
            Call::Token,
            refusal(400, "390186"),
            ErrorKind::Authentication,
            "check the role",
        ),
        (
            Call::Hostname,
            refusal(403, "390189"),
            ErrorKind::Forbidden,
            "grant the role",
        ),
        (
            Call::Hostname,
            refusal(404, "390404"),
            ErrorKind::NotFound,
            "check the account's URL",
        ),
        (
            Call::Hostname,
            empty(302).insert_header("location", "http://127.0.0.1:1/"),
            ErrorKind::Refused,
            "redirects are not followed",
        ),
    ];
    for (call, answer, kind, remedy) in cases {
        let (stage, error) = refused(call, answer).await;
        let text = error.to_string();
        assert_eq!(error.kind(), kind, "{text}");
        assert!(text.contains(remedy), "{text}");
        assert!(
            text.contains("MYORG-MYACCT"),
            "the account is named: {text}"
        );
        assert!(!error.is_retryable(), "{text}");
        assert_eq!(stage.count(call), 1, "{text}");
    }
}

#[tokio::test]
async fn temporary_failures_are_retried() {
    let again = [Call::Hostname, Call::Token].map(async |call| {
        let stage = Stage::new().await;
        stage.answer(call, html(502));
        let retry = "\"ERR_GENERAL_EXCEPTION_RETRY_REQUEST\"";
        stage.answer(call, json(503, retry));
        stage.answer(call, refusal(429, "390701"));
        stage.client().await;
        let seen = stage.seen(call);
        let attempts: Vec<_> = seen.iter().map(Seen::attempt).collect();
        let id = attempts[0].0;
        assert_eq!(attempts, [(id, "0"), (id, "1"), (id, "2"), (id, "3")]);
    });
    join_all(again).await;
}

#[tokio::test]
async fn failures_that_persist_are_reported() {
    let cases = [
        (html(503), ErrorKind::Server, 4),
        (refusal(429, "390701"), ErrorKind::Throttled, 4),
        (html(200), ErrorKind::Protocol, 1),
        (empty(200), ErrorKind::Protocol, 1),
    ];
    let calls = [Call::Hostname, Call::Token];
    let twice = cases
        .iter()
        .flat_map(|case| calls.map(|call| (call, case.clone())));
    let in_vain = twice.map(async |(call, (answer, kind, times))| {
        let (stage, error) = refused(call, answer).await;
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(stage.count(call), times, "{error}");
    });
    join_all(in_vain).await;
}
