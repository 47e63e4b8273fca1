//! The answer of pipe-info, and uploads to the stage that it names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::ETAG;
use http::{Request, Response};
use serde_json::{Value, json};

use crate::auth::keys;
use crate::catalog::tables::Catalog;
use crate::channels::limits::Limits;
use crate::instance::Emulator;
use crate::protocol::faults::Fault;
use crate::protocol::routes::Endpoint;
use crate::rig::{Client, PIPES, START, START_MS, answered, code, jwt, settings, text};

/// What a client learns of a pipe.
pub(crate) struct Info {
    /// `bucket/prefix/`.
    pub(crate) location: String,
    pub(crate) session_token: String,
    pub(crate) key: [u8; 32],
    pub(crate) key_id: Value,
    pub(crate) diversifier: Value,
    pub(crate) whole: Value,
}

impl Info {
    pub(crate) fn of(client: &Client, pipe: &str) -> Self {
        let body = r#"{"generate_new_token":true,"encryption_version":"AES-CTR-128.1"}"#;
        let path = format!("{PIPES}/{pipe}:pipe-info?requestId=r&retryCount=0");
        let (status, whole) = client.call("POST", &path, body);
        assert_eq!(status, 200, "{whole}");
        let stage = &whole["rowset_stage_location"];
        let encryption = &whole["encryption_info"];
        let key = STANDARD.decode(encryption["pipe_key"].as_str().unwrap());
        Self {
            location: stage["location"].as_str().unwrap().to_owned(),
            session_token: stage["creds"]["AWS_TOKEN"].as_str().unwrap().to_owned(),
            key: key.unwrap().try_into().unwrap(),
            key_id: encryption["pipe_key_id"].clone(),
            diversifier: encryption["diversifier"].clone(),
            whole,
        }
    }
}

/// Uploads in one piece; the answer.
pub(crate) fn upload(client: &Client, path: &str, token: &str, content: &[u8]) -> Response<Bytes> {
    let upload = Request::put(format!("http://127.0.0.1/{path}?x-id=PutObject"))
        .header("x-amz-security-token", token)
        .body(Bytes::copy_from_slice(content));
    answered(client.emulator.handle(client.now, upload.unwrap()))
}

fn assert_refused(answer: &Response<Bytes>, status: u16, code: &str) {
    let text = text(answer);
    assert_eq!(answer.status(), status, "{text}");
    assert_eq!(answer.headers()["content-type"], "application/xml");
    assert!(text.starts_with("<?xml"), "{text}");
    assert!(text.contains(&format!("<Code>{code}</Code>")), "{text}");
}

#[test]
fn pipe_info_has_all_that_the_official_sdk_insists_on() {
    let client = Client::new();
    let Info { whole, .. } = Info::of(&client, "T-STREAMING");
    assert_eq!(whole["binary_input_format"], "BASE64");
    for name in [
        "stage_location",
        "rowset_stage_location",
        "durable_stage_location",
    ] {
        let stage = &whole[name];
        assert_eq!(stage["location_type"], "S3", "{name}");
        let location = stage["location"].as_str().unwrap();
        assert!(
            location.starts_with("snowpipe-emulator-stage/"),
            "{location}"
        );
        assert!(location.ends_with('/'), "{location}");
        assert_eq!(stage["use_s3_regional_url"], false);
        assert_eq!(stage["region"], "us-east-1");
        assert!(stage["expiry_time_ms"].as_u64().unwrap() > START_MS + 3_600_000);
        for key in ["AWS_KEY_ID", "AWS_SECRET_KEY", "AWS_TOKEN"] {
            assert!(stage["creds"][key].is_string(), "{key}");
        }
    }
    // It has two names for this and takes only one of them at a time.
    assert_eq!(whole.get("pipe_encryption_info"), None);
}

#[test]
fn clients_of_a_pipe_share_a_key_and_not_a_prefix() {
    let client = Client::new();
    let one = Info::of(&client, "T-STREAMING");
    let two = Info::of(&client, "T-STREAMING");
    let other = Info::of(&client, "U-STREAMING");
    assert_eq!((one.key, &one.key_id), (two.key, &two.key_id));
    assert_ne!((one.key, &one.key_id), (other.key, &other.key_id));
    assert_ne!(one.location, two.location);
    assert_ne!(
        one.whole["rowset_stage_location"]["location"],
        one.whole["durable_stage_location"]["location"]
    );
}

#[test]
fn pipe_info_needs_a_scoped_token_and_a_pipe() {
    let none = Catalog::from_ddl("CREATE TABLE DB.S.U (A NUMBER);").unwrap();
    let mut client = Client::of(settings().catalog(none));
    let path = format!("{PIPES}/T-STREAMING:pipe-info");
    let (status, answer) = client.call("POST", &path, "{}");
    assert_eq!(
        (status, code(&answer)),
        (404, "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED")
    );
    client.token = jwt(START, START + 60);
    assert_eq!(client.call("POST", &path, "{}").0, 401);
}

#[test]
fn telemetry_is_thanked_for_if_the_primary_credential_is_good() {
    let mut client = Client::new();
    assert_eq!(
        client
            .call("POST", "/telemetry/send/sessionless", "{\"logs\":[]}")
            .0,
        401
    );
    client.token = jwt(START, START + 60);
    assert_eq!(
        client.call("POST", "/telemetry/send/sessionless", "{\"logs\":[]}"),
        (
            200,
            json!({"data": "Log Received", "code": null, "message": null, "success": true})
        )
    );
}

#[test]
fn an_upload_is_answered_with_the_etag_of_its_content() {
    let client = Client::new();
    let info = Info::of(&client, "T-STREAMING");
    let put = |name: &str, content: &[u8]| {
        let path = format!("{}{name}", info.location);
        let answer = upload(&client, &path, &info.session_token, content);
        assert_eq!(answer.status(), 200, "{}", text(&answer));
        answer.headers()[ETAG].to_str().unwrap().to_owned()
    };
    let etag = put("0.ndjson", b"abc");
    assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    assert_eq!(put("1.ndjson", b"abc"), etag);
    assert_ne!(put("0.ndjson", b"abd"), etag);
}

#[test]
fn only_the_token_of_the_prefix_may_write_there() {
    let mut client = Client::new();
    let info = Info::of(&client, "T-STREAMING");
    let other = Info::of(&client, "T-STREAMING");
    let path = format!("{}0.ndjson", info.location);
    let token = info.session_token.as_str();
    for (path, token, code) in [
        (path.as_str(), "", "InvalidToken"),
        (&path, "a.b.c", "InvalidToken"),
        (&path, &other.session_token, "AccessDenied"),
        (&info.location, token, "AccessDenied"),
        (
            "snowpipe-emulator-stage/elsewhere/0.ndjson",
            token,
            "AccessDenied",
        ),
        (&path.replace("0.n", "../../0.n"), "", "InvalidToken"),
    ] {
        assert_refused(&upload(&client, path, token, b"abc"), 403, code);
    }
    let long = format!("{path}{}", "a".repeat(1024));
    assert_refused(&upload(&client, &long, token, b""), 400, "KeyTooLongError");
    // Another stage's token, signed for a longer time.
    let mut parts: Vec<&str> = token.split('.').collect();
    parts[1] = "99999999999999";
    assert_refused(
        &upload(&client, &path, &parts.join("."), b"abc"),
        403,
        "InvalidToken",
    );
    client.pass(4_000_000);
    assert_refused(&upload(&client, &path, token, b"abc"), 403, "ExpiredToken");
}

#[test]
fn a_restart_with_the_same_key_takes_the_files_of_earlier_clients() {
    let info = Info::of(&Client::new(), "T-STREAMING");
    let path = format!("{}0.ndjson", info.location);
    let again = Client::new();
    let answer = upload(&again, &path, &info.session_token, b"abc");
    assert_eq!(answer.status(), 200, "{}", text(&answer));
    let other = Info::of(&again, "T-STREAMING");
    assert_eq!((other.key, &other.key_id), (info.key, &info.key_id));
    assert_ne!(other.location, info.location);
    let usual = Emulator::public_key_of(&keys::shared().unwrap()).unwrap();
    let other_key = settings().private_key(Emulator::generate_key().unwrap());
    let stranger = Client::of(other_key.public_key("STREAMING_INGEST", usual));
    let answer = upload(&stranger, &path, &info.session_token, b"abc");
    assert_refused(&answer, 403, "InvalidToken");
}

#[test]
fn pieces_are_put_together_and_their_checksum_is_verified() {
    let client = Client::new();
    let info = Info::of(&client, "T-STREAMING");
    let path = format!("{}0.ndjson", info.location);
    let plain = upload(&client, &path, &info.session_token, b"123456789");
    let in_pieces = |length: &str, crc: &str| {
        let crc = match crc {
            "" => String::new(),
            crc => format!("x-amz-checksum-crc32:{crc}\r\n"),
        };
        let upload = Request::put(format!("http://127.0.0.1/{path}?x-id=PutObject"))
            .header("x-amz-security-token", &info.session_token)
            .header("content-encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", length)
            .header("x-amz-trailer", "x-amz-checksum-crc32")
            .body(Bytes::from(format!(
                "4\r\n1234\r\n5\r\n56789\r\n0\r\n{crc}\r\n"
            )));
        answered(client.emulator.handle(client.now, upload.unwrap()))
    };
    // Of the nine digits the CRC-32 is known: cbf43926.
    let answer = in_pieces("9", "y/Q5Jg==");
    assert_eq!(answer.status(), 200, "{}", text(&answer));
    assert_eq!(answer.headers()[ETAG], plain.headers()[ETAG]);
    assert_refused(&in_pieces("9", "y/Q5Jw=="), 400, "BadDigest");
    assert_refused(&in_pieces("9", ""), 400, "MalformedTrailerError");
    assert_refused(&in_pieces("8", "y/Q5Jg=="), 400, "IncompleteBody");
    assert_refused(&in_pieces("nine", "y/Q5Jg=="), 411, "MissingContentLength");
}

#[test]
fn an_upload_has_a_most() {
    let client = Client::of(settings().limits(Limits {
        file_bytes: 10,
        ..Limits::default()
    }));
    let info = Info::of(&client, "T-STREAMING");
    let path = format!("{}0.ndjson", info.location);
    let put = |content: &[u8]| upload(&client, &path, &info.session_token, content);
    assert_eq!(put(&[0; 10]).status(), 200);
    assert_refused(&put(&[0; 11]), 400, "EntityTooLarge");
}

#[test]
fn a_full_stage_takes_nothing_until_files_expire() {
    let mut client = Client::new();
    let info = Info::of(&client, "T-STREAMING");
    let content = vec![0; 64 << 20];
    let put = |client: &Client, name: usize| {
        let path = format!("{}{name}.ndjson", info.location);
        upload(client, &path, &info.session_token, &content)
    };
    for name in 0..3 {
        assert_eq!(put(&client, name).status(), 200);
    }
    assert_refused(&put(&client, 3), 503, "SlowDown");
    // Over itself a file needs no more room.
    assert_eq!(put(&client, 2).status(), 200);
    client.pass(15 * 60 * 1000);
    assert_eq!(put(&client, 3).status(), 200);
}

#[test]
fn a_file_that_cannot_be_replaced_stays() {
    let client = Client::new();
    let info = Info::of(&client, "T-STREAMING");
    let put = |name: &str, length: usize| {
        let path = format!("{}{name}", info.location);
        upload(&client, &path, &info.session_token, &vec![0; length])
    };
    for (name, length) in [("0", 96 << 20), ("1", 96 << 20), ("2", 60 << 20)] {
        assert_eq!(put(name, length).status(), 200);
    }
    assert_refused(&put("2", 90 << 20), 503, "SlowDown");
    let key = format!("{}2", info.location.split_once('/').unwrap().1);
    let kept = client.emulator.handler().stage.get(&key).cloned();
    assert_eq!(kept.map(|file| file.content.len()), Some(60 << 20));
}

#[test]
fn faults_speak_as_the_object_store_does() {
    let client = Client::new();
    let info = Info::of(&client, "T-STREAMING");
    let path = format!("{}0.ndjson", info.location);
    let faults = client.emulator.faults();
    for (fault, status, code) in [
        (Fault::ServerError(500), 500, "InternalError"),
        (Fault::Forbidden, 403, "ExpiredToken"),
    ] {
        faults.push(fault.on(Endpoint::Upload));
        let answer = upload(&client, &path, &info.session_token, b"abc");
        assert_refused(&answer, status, code);
    }
    let log = client.emulator.log();
    let last = log.last().unwrap();
    assert_eq!((last.endpoint, last.status), (Endpoint::Upload, Some(403)));
}
