//! Appends of rows that were uploaded as files.

use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::ETAG;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::stage_tests::{Info, upload};
use crate::answers::ReplayedToken;
use crate::channels::limits::Limits;
use crate::protocol::faults::Fault;
use crate::protocol::routes::Endpoint;
use crate::rig::{Client, DATA, START_MS, code, settings, text};

const IV: [u8; 16] = [7; 16];

fn encrypted(key: &[u8; 32], plain: &[u8]) -> Vec<u8> {
    let key = UnboundCipherKey::new(&AES_256, key).unwrap();
    let mut content = plain.to_vec();
    let from = EncryptionContext::Iv128(FixedLength::from(IV));
    EncryptingKey::ctr(key)
        .unwrap()
        .less_safe_encrypt(&mut content, from)
        .unwrap();
    content
}

/// Uploads rows as a file of this name; what an append says of it.
fn file(client: &Client, info: &Info, name: &str, rows: &str, tokens: (&str, &str)) -> Value {
    let content = encrypted(&info.key, &zstd::encode_all(rows.as_bytes(), 3).unwrap());
    let path = format!("{}{name}", info.location);
    let answer = upload(client, &path, &info.session_token, &content);
    assert_eq!(answer.status(), 200, "{}", text(&answer));
    let count = rows.lines().filter(|line| !line.is_empty()).count();
    json!({
        "file_path": path,
        "content_type": "application/x-ndjson",
        "file_etag": answer.headers()[ETAG].to_str().unwrap().trim_matches('"'),
        "file_length_bytes": content.len(),
        "fragment_length_bytes": content.len(),
        "fragment_length_uncompressed_bytes": rows.len() + count,
        "fragment_start_offset_token": tokens.0,
        "fragment_end_offset_token": tokens.1,
        "fragment_row_count": count,
        "fragment_start_byte_offset": 0,
        "diversifier": info.diversifier,
        "master_key_id": info.key_id,
        "iv_base64": STANDARD.encode(IV),
        "encryption_version": "AES-CTR-128.1",
        "min_append_timestamp_ms": START_MS,
    })
}

fn append(client: &Client, channel: &str, token: &str, fragments: &Value) -> (u16, Value) {
    let path = format!(
        "{DATA}/T-STREAMING/channels/{channel}/filebuffer?continuationToken={token}&requestId=r&retryCount=0"
    );
    client.call("POST", &path, fragments.to_string())
}

fn next(answer: &(u16, Value)) -> &str {
    assert_eq!(answer.0, 200, "{}", answer.1);
    answer.1["next_continuation_token"].as_str().unwrap()
}

#[test]
fn files_land_in_order_with_the_rows_between_them() {
    let mut client = Client::new();
    let info = Info::of(&client, "T-STREAMING");
    let token = client.open("c");
    let first = file(
        &client,
        &info,
        "0.ndjson",
        "{\"n\":1}\n\n{\"n\":2}\n",
        ("1", "2"),
    );
    let second = file(&client, &info, "1.ndjson", "{\"n\":3}\n", ("3", "3"));
    let answer = append(&client, "c", &token, &json!([first, second]));
    let token = client.append("c", next(&answer), "4", "{\"n\":4}\n");
    let third = file(&client, &info, "2.ndjson", "{\"n\":5}\n[]\n", ("5", "6"));
    next(&append(&client, "c", &token, &json!([third])));
    client.pass(1000);
    let status = client.status("c");
    assert_eq!(client.landed(), [1, 2, 3, 4, 5]);
    assert_eq!(status["last_committed_offset_token"], "6");
    assert_eq!(
        (&status["rows_parsed"], &status["rows_error_count"]),
        (&json!(6), &json!(1))
    );
    assert_eq!(status["last_error_offset_upper_bound"], "6");
}

#[test]
fn a_repeated_append_is_known_again_and_lands_once() {
    let client = Client::new();
    let info = Info::of(&client, "T-STREAMING");
    let token = client.open("c");
    let fragments = json!([file(&client, &info, "0.ndjson", "{\"n\":1}\n", ("1", "1"))]);
    client
        .emulator
        .faults()
        .push(Fault::ApplyThenServerError(503).on(Endpoint::AppendFiles));
    assert_eq!(append(&client, "c", &token, &fragments).0, 503);
    let again = append(&client, "c", &token, &fragments);
    assert_eq!(next(&again), "0_2");
    client.emulator.commit_now();
    assert_eq!(client.landed(), [1]);

    let strict = Client::of(settings().replay(ReplayedToken::Stale));
    let info = Info::of(&strict, "T-STREAMING");
    let token = strict.open("c");
    let fragments = json!([file(&strict, &info, "0.ndjson", "{\"n\":1}\n", ("1", "1"))]);
    next(&append(&strict, "c", &token, &fragments));
    let (status, answer) = append(&strict, "c", &token, &fragments);
    assert_eq!(
        (status, code(&answer)),
        (400, "STALE_CONTINUATION_TOKEN_SEQUENCER")
    );
}

#[test]
fn the_elastic_channel_takes_files_without_tokens_and_takes_them_again() {
    let client = Client::new();
    let info = Info::of(&client, "T-STREAMING");
    let mut fragment = file(&client, &info, "0.ndjson", "{\"n\":1}\n", ("", ""));
    fragment["fragment_start_offset_token"] = Value::Null;
    fragment["fragment_end_offset_token"] = Value::Null;
    let path = format!("{DATA}/T-STREAMING/channels/ELASTIC/filebuffer?requestId=r&retryCount=0");
    for _ in 0..2 {
        let answer = client.call("POST", &path, json!([fragment]).to_string());
        assert_eq!(next(&answer), "");
    }
    client.emulator.commit_now();
    assert_eq!(client.landed(), [1, 1]);
}

#[test]
fn the_description_of_a_file_must_be_true() {
    let client = Client::new();
    let info = Info::of(&client, "T-STREAMING");
    let other = Info::of(&client, "U-STREAMING");
    let token = client.open("c");
    let good = file(&client, &info, "0.ndjson", "{\"n\":1}\n", ("1", "1"));
    let foreign = file(&client, &other, "0.ndjson", "{\"n\":1}\n", ("1", "1"));
    let wrong = |field: &str, value: Value| {
        let mut fragment = good.clone();
        fragment[field] = value;
        fragment
    };
    let length = good["file_length_bytes"].as_u64().unwrap();
    for (fragment, why) in [
        (foreign, "is not in the stage of the pipe"),
        (
            wrong("file_path", json!("elsewhere/0.ndjson")),
            "is not in the stage of the pipe",
        ),
        (
            wrong("file_etag", json!("0123")),
            "has another etag or length",
        ),
        (
            wrong("file_length_bytes", json!(length + 1)),
            "has another etag or length",
        ),
        (
            wrong("fragment_length_bytes", json!(length + 1)),
            "does not have the bytes",
        ),
        (
            wrong("fragment_start_byte_offset", json!(usize::MAX)),
            "does not have the bytes",
        ),
        (
            wrong("fragment_row_count", json!(2)),
            "does not have the stated number of rows",
        ),
        (
            wrong("master_key_id", json!(1)),
            "is not encrypted with the key",
        ),
        (
            wrong("diversifier", json!("d")),
            "is not encrypted with the key",
        ),
        (
            wrong("encryption_version", json!("AES-CTR-128.2")),
            "is not encrypted with the key",
        ),
        (
            wrong("iv_base64", json!("AAAA")),
            "no initialization vector",
        ),
        (
            // Decrypted with it, the file is no zstd.
            wrong("iv_base64", json!(STANDARD.encode([8; 16]))),
            "The body ",
        ),
    ] {
        let (status, answer) = append(&client, "c", &token, &json!([fragment]));
        assert_eq!(
            (status, code(&answer)),
            (400, "ERR_INVALID_REQUEST"),
            "{why}"
        );
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains(why), "{message}");
    }
    for body in [
        json!([]),
        json!({}),
        json!([{}]),
        json!(vec![good.clone(); 1001]),
    ] {
        assert_eq!(append(&client, "c", &token, &body).0, 400, "{body}");
    }
    // None of it has moved the channel.
    let answer = append(&client, "c", &token, &json!([good]));
    assert_eq!(next(&answer), "0_2");
}

#[test]
fn a_small_file_may_not_unpack_to_a_large_one() {
    let client = Client::of(settings().limits(Limits {
        file_bytes: 1000,
        ..Limits::default()
    }));
    let info = Info::of(&client, "T-STREAMING");
    let token = client.open("c");
    let rows = "{\"n\":1}\n".repeat(125);
    let most = file(&client, &info, "0.ndjson", &rows, ("1", "1"));
    let one_more = file(&client, &info, "1.ndjson", "{\"n\":1}\n", ("2", "2"));
    let (status, answer) = append(&client, "c", &token, &json!([most, one_more]));
    assert_eq!((status, code(&answer)), (413, "ERR_PAYLOAD_TOO_LARGE"));
    // Nor may a file be read again and again.
    let many = json!(vec![most.clone(); 100]);
    assert_eq!(append(&client, "c", &token, &many).0, 413);
    next(&append(&client, "c", &token, &json!([most])));
}

proptest! {
    #[test]
    fn every_description_of_a_file_gets_an_answer(
        at in any::<prop::sample::Index>(),
        value in prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            "[ -~]{0,24}".prop_map(Value::from),
            Just(json!([])),
        ],
    ) {
        let client = Client::new();
        let info = Info::of(&client, "T-STREAMING");
        let token = client.open("c");
        let mut fragment = file(&client, &info, "0.ndjson", "{\"n\":1}\n", ("1", "1"));
        let fields: Vec<String> = fragment.as_object().unwrap().keys().cloned().collect();
        fragment[at.get(&fields)] = value;
        let (status, _) = append(&client, "c", &token, &json!([fragment]));
        prop_assert!(status == 200 || (400..500).contains(&status), "{}", status);
        client.emulator.commit_now();
        prop_assert_eq!(client.landed().len(), usize::from(status == 200));
    }
}
