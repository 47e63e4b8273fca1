//! Answers in every observed variant.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use url::Url;

use super::{
    Appended, MAX_CHANNELS, Opened, ServerError, Statuses, ingest_host, json, refusal,
    scoped_token, server_error, token_expiry,
};
use crate::base::json::Object;
use crate::types::channel_status::ChannelStatus;
use crate::types::error::{ErrorKind, Result};
use crate::types::offset::OffsetToken;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../tests/fixtures/wire/", $name))
    };
}

mod host;
mod hostile;

const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjIwMDAwMDAwMDB9.c2ln";

/// The token for the next append, of an answer to an append.
fn next_continuation_token(answer: &[u8]) -> Result<String> {
    let Object(answer) = json::<Object<Appended>>(answer, "appending")?;
    super::next_continuation_token(&answer.next_continuation_token, "appending")
}

/// The status in an answer to an open.
fn opened_status(answer: &[u8]) -> Result<Option<ChannelStatus>> {
    let Object(answer) = json::<Object<Opened>>(answer, "opening")?;
    super::opened_status(&answer)
}

/// The statuses in an answer to a status call.
fn channel_statuses(answer: &[u8]) -> Result<BTreeMap<String, ChannelStatus>> {
    let Object(answer) = json::<Object<Statuses>>(answer, "asking")?;
    super::channel_statuses(&answer)
}

fn bytes(answer: &Value) -> Vec<u8> {
    answer.to_string().into_bytes()
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn account() -> Url {
    url("https://acct_one.snowflakecomputing.com")
}

#[test]
fn a_token_is_read_in_every_form() {
    for body in [
        fixture!("token_text.txt"),
        fixture!("token_newline.txt"),
        fixture!("token_string.json"),
        fixture!("token_object.json"),
        fixture!("token_access_token.json"),
    ] {
        let token = scoped_token(body.as_bytes()).unwrap();
        assert_eq!(token.expose(), JWT);
    }
}

#[test]
fn an_invalid_token_is_refused_and_not_quoted() {
    let long = "hush".repeat(20_000);
    for body in [
        "",
        "{}",
        "{\"token\":null}",
        "to ken-hush",
        "<hush/>",
        &long,
    ] {
        let error = scoped_token(body.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(!format!("{error:?}").contains("hush"));
    }
}

fn expiry_of(claims: &str) -> Option<Duration> {
    let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
    Some(
        token_expiry(&token)?
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap(),
    )
}

#[test]
fn the_expiry_of_a_token_is_read_in_seconds_and_milliseconds() {
    let end = Duration::from_secs(2_000_000_000);
    let from_literal = token_expiry(JWT).unwrap();
    assert_eq!(from_literal, SystemTime::UNIX_EPOCH + end);
    assert_eq!(expiry_of(r#"{"exp":2000000000}"#), Some(end));
    assert_eq!(expiry_of(r#"{"exp":2000000000000}"#), Some(end));
    assert_eq!(
        expiry_of(r#"{"exp":2000000000.5}"#),
        Some(end + Duration::from_millis(500))
    );
    let of_workload = token_expiry(&format!("WIF.OIDC.{JWT}"));
    assert_eq!(of_workload, Some(from_literal));
}

#[test]
fn a_token_without_a_valid_expiry_has_none() {
    for claims in [
        "{}",
        "[]",
        "7",
        r#"{"exp":null}"#,
        r#"{"exp":"2000000000"}"#,
        r#"{"exp":-5}"#,
        r#"{"exp":0}"#,
        r#"{"exp":1e300}"#,
        "{",
    ] {
        assert_eq!(expiry_of(claims), None, "{claims}");
    }
    for token in ["", "opaque", "a.b.c", "a.%.c", ".", "WIF.", "WIF.OIDC"] {
        assert_eq!(token_expiry(token), None, "{token}");
    }
}

#[test]
fn errors_are_read_in_every_shape() {
    let said = |code: Option<&str>, message: Option<&str>| ServerError {
        code: code.map(str::to_owned),
        message: message.map(str::to_owned),
    };
    let cases = [
        (
            fixture!("error_code.json"),
            said(
                Some("STALE_CONTINUATION_TOKEN_SEQUENCER"),
                Some("Channel sequencer in the continuation token is stale."),
            ),
        ),
        (
            fixture!("error_error_code.json"),
            said(
                Some("ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"),
                Some("No such pipe."),
            ),
        ),
        (
            fixture!("error_string.json"),
            said(Some("ERR_GENERAL_EXCEPTION_RETRY_REQUEST"), None),
        ),
        (
            fixture!("error_prose.json"),
            said(None, Some("please try later")),
        ),
        (
            fixture!("error_numeric_text.json"),
            said(Some("390701"), Some("Request rate exceeds max. Try later.")),
        ),
        (
            fixture!("error_numeric.json"),
            said(Some("390144"), Some("JWT token is invalid.")),
        ),
        (
            fixture!("error_status_code.json"),
            said(Some("40"), Some("The channel is not there.")),
        ),
        (fixture!("error_gateway.html"), said(None, None)),
        ("", said(None, None)),
        ("{}", said(None, None)),
        ("[1]", said(None, None)),
        (
            r#"{"code":"","error_code":null,"message":""}"#,
            said(None, None),
        ),
        (
            r#"{"code":{"deep":1},"error_code":"ERR_X","message":7}"#,
            said(Some("ERR_X"), None),
        ),
        (
            r#"{"code":"ERR_Y","error_code":"ERR_X","status_code":3}"#,
            said(Some("ERR_Y"), None),
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(server_error(body.as_bytes()), expected, "{body}");
    }
}

#[test]
fn a_success_with_a_status_code_is_a_refusal() {
    let refused = refusal(br#"{"status_code": 55, "message": "no"}"#).unwrap();
    assert_eq!(refused.code.as_deref(), Some("55"));
    assert_eq!(refused.message.as_deref(), Some("no"));
    let named = refusal(br#"{"status_code": 55, "error_code": "ERR_X"}"#).unwrap();
    assert_eq!(named.code.as_deref(), Some("ERR_X"));
    for fine in [
        json!({"status_code": 0}),
        json!({"status_code": "0"}),
        json!({"status_code": "SUCCESS"}),
        json!({"status_code": null}),
        json!({"next_continuation_token": "1"}),
        json!([]),
    ] {
        assert_eq!(refusal(&bytes(&fine)), None, "{fine}");
    }
}

#[test]
fn a_continuation_token_must_be_there() {
    let next = |answer: &Value| next_continuation_token(&bytes(answer));
    assert_eq!(
        next(&json!({"next_continuation_token": "0_2"})).unwrap(),
        "0_2"
    );
    assert_eq!(next(&json!({"next_continuation_token": 7})).unwrap(), "7");
    for answer in [
        json!({}),
        json!({"next_continuation_token": null}),
        json!({"next_continuation_token": ""}),
        json!({"next_continuation_token": ["0_2"]}),
        json!({"next_continuation_token": "0".repeat(70_000)}),
    ] {
        let error = next(&answer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        let text = error.to_string();
        assert!(text.contains("next_continuation_token") && text.len() < 200);
    }
    for answer in [json!("0_2"), json!(["0_2"]), json!(null)] {
        let error = next(&answer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{answer}");
        assert!(error.to_string().contains("expected form"), "{error}");
    }
}

#[test]
fn an_open_answer_is_read_in_full() {
    let answer = fixture!("open_full.json").as_bytes();
    assert_eq!(next_continuation_token(answer).unwrap(), "0_1");
    assert_eq!(refusal(answer), None);
    assert_eq!(
        opened_status(answer).unwrap().unwrap(),
        ChannelStatus {
            database_name: "SKI".into(),
            schema_name: "PUBLIC".into(),
            pipe_name: "LIFT_RIDE-STREAMING".into(),
            channel_name: "rides".into(),
            status_code: "SUCCESS".into(),
            latest_committed_offset_token: Some(OffsetToken::from_server("41")),
            created_on_ms: Some(1_760_000_000_123),
            rows_inserted_count: 38,
            rows_parsed_count: 41,
            rows_error_count: 3,
            has_row_counts: true,
            last_error_offset_token_upper_bound: Some(OffsetToken::from_server("17")),
            last_error_message: Some("Numeric value 'abc' is not recognized".into()),
            last_error_timestamp_ms: Some(1_760_000_001_456),
            server_avg_processing_latency: Some(Duration::from_millis(850)),
        }
    );
}

#[test]
fn an_open_answer_may_leave_out_what_is_optional() {
    let answer = |text: &str| opened_status(text.as_bytes()).unwrap();
    let read = |text: &str| answer(text).unwrap();
    let sparse = read(fixture!("open_required_only.json"));
    assert_eq!(sparse.latest_committed_offset_token, None);
    assert_eq!(sparse.created_on_ms, Some(1_760_000_000_123));
    assert!(sparse.is_healthy());
    let nulls = read(fixture!("open_nulls.json"));
    assert_eq!(
        nulls,
        ChannelStatus {
            channel_name: "rides".into(),
            status_code: "SUCCESS".into(),
            ..ChannelStatus::default()
        }
    );
    // That is not the same as a status without a committed token.
    for none in [
        r#"{"next_continuation_token":"0_1"}"#,
        r#"{"next_continuation_token":"0_1","channel_status":null}"#,
    ] {
        assert_eq!(answer(none), None);
    }
    let invalid = read(fixture!("open_invalid_pipe.json"));
    assert!(!invalid.is_healthy());
}

#[test]
fn statuses_are_read_in_every_spelling() {
    let statuses = channel_statuses(fixture!("status_variants.json").as_bytes()).unwrap();
    let errors = |name: &str| statuses[name].rows_error_count;
    assert_eq!(errors("documented"), 2);
    assert_eq!(errors("observed"), 3);
    assert_eq!(errors("singular"), 4);
    assert_eq!(errors("numeric"), 5);
    assert_eq!(errors("fallback"), 0);
    let failed_at = |name: &str| statuses[name].last_error_timestamp_ms;
    assert_eq!(failed_at("documented"), Some(1_760_000_001_456));
    assert_eq!(failed_at("observed"), Some(1_760_000_002_000));
    assert_eq!(failed_at("singular"), None);
    let healthy: Vec<_> = statuses
        .iter()
        .filter(|(_, status)| status.is_healthy())
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        healthy,
        ["documented", "fallback", "numeric", "observed", "singular"]
    );
    assert_eq!(statuses["documented"].channel_name, "documented");
    assert_eq!(
        statuses["fallback"].latest_committed_offset_token,
        Some(OffsetToken::from_server("77"))
    );
    assert_eq!(
        statuses["broken"].latest_committed_offset_token,
        Some(OffsetToken::from_server("9"))
    );
}

#[test]
fn fields_that_decide_about_rows_must_be_readable() {
    for entry in [
        json!({"last_committed_offset_token": {"value": "9"}}),
        json!({"last_committed_offset_token": true}),
        json!({"rows_error_count": "many"}),
        json!({"rows_error_count": [1]}),
        json!({"rows_errors": -1}),
        json!({"rows_inserted": true}),
        json!("SUCCESS"),
        json!(null),
    ] {
        let answer = json!({"channel_statuses": {"c": entry}});
        let error = channel_statuses(&bytes(&answer)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{answer}");
    }
    for answer in [
        json!({}),
        json!([]),
        json!({"channel_statuses": []}),
        json!(1),
    ] {
        assert!(channel_statuses(&bytes(&answer)).is_err(), "{answer}");
    }
}

#[test]
fn informative_fields_may_be_unreadable() {
    let entry = json!({
        "channel_status_code": "SUCCESS",
        "created_on_ms": "yesterday",
        "last_error_message": {"text": "x"},
        "last_error_offset_upper_bound": [],
        "last_error_timestamp": -1,
        "snowflake_avg_processing_latency_ms": 1e300,
    });
    let statuses = channel_statuses(&bytes(&json!({"channel_statuses": {"c": entry}}))).unwrap();
    assert_eq!(
        statuses["c"],
        ChannelStatus {
            channel_name: "c".into(),
            status_code: "SUCCESS".into(),
            ..ChannelStatus::default()
        }
    );
}

#[test]
fn an_answer_that_is_not_json_is_quoted_in_short() {
    let page = format!("<html>{}</html>", "x".repeat(100_000));
    let error = next_continuation_token(page.as_bytes()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the answer to appending is not JSON")
    );
    assert!(error.to_string().len() < 500);
    let deep = "[".repeat(100_000);
    assert!(next_continuation_token(deep.as_bytes()).is_err());
    assert!(next_continuation_token(br#"{"next_continuation_token":"\ud800"}"#).is_err());
}

#[test]
fn an_answer_holds_no_more_statuses_than_a_call_asks_for() {
    let answer = |count: usize| {
        let entries: Vec<_> = (0..count).map(|n| format!("\"{n}\":{{}}")).collect();
        format!(r#"{{"channel_statuses":{{{}}}}}"#, entries.join(",")).into_bytes()
    };
    let most = channel_statuses(&answer(MAX_CHANNELS)).unwrap();
    assert_eq!(most.len(), MAX_CHANNELS);
    let error = channel_statuses(&answer(MAX_CHANNELS + 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
}

#[test]
fn fields_that_do_not_matter_are_skipped() {
    let clutter = "[[],{\"a\":[null,1,\"x\"]}],".repeat(1000);
    let answer = format!(
        r#"{{"clutter":[{clutter}0],"next_continuation_token":"0_2","channel_status":{{"clutter":[{clutter}0],"created_on_ms":5,"last_error_message":[{clutter}0]}}}}"#
    );
    assert_eq!(next_continuation_token(answer.as_bytes()).unwrap(), "0_2");
    let status = opened_status(answer.as_bytes()).unwrap().unwrap();
    let expected = ChannelStatus {
        created_on_ms: Some(5),
        ..ChannelStatus::default()
    };
    assert_eq!(status, expected);
}

#[test]
fn shown_text_is_cut_and_escaped() {
    let long = "\u{1b}[2J".to_owned() + &"x".repeat(100_000);
    let said = server_error(&bytes(&json!({"code": long, "message": long})));
    let string = server_error(&bytes(&json!(long)));
    let entry = json!({"channel_status_code": long, "last_error_message": long});
    let answer = bytes(&json!({"channel_statuses": {"c": entry}}));
    let status = channel_statuses(&answer).unwrap().remove("c").unwrap();
    let (code, message) = (said.code.unwrap(), said.message.unwrap());
    let reason = status.last_error_message.unwrap();
    for text in [
        code,
        message,
        string.message.unwrap(),
        status.status_code,
        reason,
    ] {
        assert!(text.starts_with("\\u{1b}[2Jxxx"), "{text}");
        assert!(text.chars().count() <= 1010, "{}", text.len());
    }
}
