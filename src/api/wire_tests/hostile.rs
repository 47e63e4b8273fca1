//! No answer of a server makes the parser panic.

use proptest::prelude::*;

use super::*;
use crate::api::failure::{Failure, Host, answered};
use crate::base::mutated::mutated;

/// JSON of any shape, with many of the field names that the client reads.
fn hostile() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    let name = prop::sample::select(vec![
        "hostname",
        "token",
        "code",
        "error_code",
        "status_code",
        "message",
        "next_continuation_token",
        "channel_status",
        "channel_statuses",
        "last_committed_offset_token",
        "created_on_ms",
        "rows_errors",
        "rows_error_count",
        "last_error_timestamp",
        "snowflake_avg_processing_latency_ms",
    ]);
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(|fields| {
                Value::Object(
                    fields
                        .into_iter()
                        .map(|(name, value)| (name.to_owned(), value))
                        .collect(),
                )
            }),
        ]
    })
}

/// Observed answers.
fn answers() -> Vec<Vec<u8>> {
    [
        fixture!("status_variants.json"),
        fixture!("open_full.json"),
        fixture!("open_invalid_pipe.json"),
        fixture!("error_numeric.json"),
        fixture!("error_string.json"),
        fixture!("token_access_token.json"),
        JWT,
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect()
}

fn read_everything(body: &[u8]) {
    let _ = ingest_host(body, &account());
    let _ = scoped_token(body);
    let _ = server_error(body);
    if let Ok(text) = std::str::from_utf8(body) {
        let _ = token_expiry(text);
    }
    let _ = refusal(body);
    let _ = next_continuation_token(body);
    let _ = opened_status(body);
    let _ = channel_statuses(body);
}

proptest! {
    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        read_everything(&body);
    }

    #[test]
    fn no_json_panics(value in hostile(), cut in 0usize..400) {
        let body = value.to_string().into_bytes();
        read_everything(&body);
        read_everything(body.get(..cut).unwrap_or(&body));
        read_everything(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(&body)).as_bytes());
    }

    #[test]
    fn no_almost_valid_answer_panics(body in mutated(answers())) {
        read_everything(&body);
    }

    #[test]
    fn a_named_host_is_one_that_can_be_called(body in mutated(vec![
        b"acct.ingest.snowflakecomputing.com".to_vec(),
        b"{\"hostname\":\"https://x_y.privatelink.snowflakecomputing.com:443/\"}".to_vec(),
        b"\"[::1]:8080\"".to_vec(),
    ])) {
        if let Ok(found) = ingest_host(&body, &account()) {
            let url = Url::parse(&found.base).unwrap();
            prop_assert!(url.has_host() && url.username().is_empty() && url.path() == "/", "{}", found.base);
            http::Uri::try_from(format!("{}/v2/streaming", found.base)).unwrap();
        }
    }

    #[test]
    fn no_delay_a_server_names_is_longer_than_an_hour(value in prop_oneof![
        mutated(vec![b"120".to_vec(), b"Sat, 17 Jan 2026 14:00:30 GMT".to_vec()]),
        "-?[0-9]{1,30}".prop_map(String::into_bytes),
    ]) {
        let Ok(value) = http::HeaderValue::from_bytes(&value) else { return Ok(()) };
        let answer = http::Response::builder().status(429).header("retry-after", value);
        let answer = answer.body(bytes::Bytes::new()).unwrap();
        let failure @ Failure::Throttled(_) = answered(Host::Ingest, "x", &answer, SystemTime::UNIX_EPOCH) else {
            panic!("not throttled");
        };
        prop_assert!(failure.asked_delay().is_none_or(|delay| delay <= Duration::from_secs(3600)));
    }
}
