//! Requests to the emulator: every one is answered, and never with a 500.
//!
//! An input is requests. A request is three lines, `METHOD PATH`, the `Content-Encoding` (blank for none; `zstd!` has the body
//! compressed first) and the `Authorization` (blank for a good one), and the body. `@` in a path is the pipe, `~` the last
//! continuation token.

#![no_main]

use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{Emulator, Reply};
use snowpipe_streaming_fuzz::{authorization, emulator, line, parts, start};

const TABLE: &str =
    "CREATE TABLE DB.S.T (N NUMBER(7,2) NOT NULL, A VARCHAR(5), B BINARY, D DATE, TM TIME,
    T1 TIMESTAMP_NTZ, T2 TIMESTAMP_TZ(3), F FLOAT, B1 BOOLEAN, V VARIANT, O OBJECT, L ARRAY);";
const FORM: &str =
    "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&scope=127.0.0.1";

fn request(method: &[u8], path: &str, authorization: &[u8]) -> http::request::Builder {
    http::Request::builder()
        .method(method)
        .uri(format!("http://127.0.0.1{path}"))
        .header("accept", "application/json")
        .header("authorization", authorization)
}

fn logged_in(emulator: &Emulator) -> String {
    let request = request(b"POST", "/oauth/token", authorization().as_bytes());
    let request = request.body(FORM.into()).expect("a request");
    match emulator.handle(start(), request) {
        Reply::Respond(answer) if answer.status() == 200 => {
            let token = String::from_utf8_lossy(answer.body());
            format!("Bearer {token}")
        }
        other => panic!("no token: {other:?}"),
    }
}

fuzz_target!(|data: &[u8]| {
    let catalog = Catalog::from_ddl(TABLE).expect("a table");
    let emulator = emulator().catalog(catalog).build().expect("an emulator");
    let token = logged_in(&emulator);
    let mut continuation = String::new();
    let mut now = start();
    for part in parts(data).take(16) {
        let (head, rest) = line(part);
        let (encoding, rest) = line(rest);
        let (who, body) = line(rest);
        let head = String::from_utf8_lossy(head);
        let (method, path) = head.split_once(' ').unwrap_or(("GET", &head));
        let path = path
            .replace('@', "databases/DB/schemas/S/pipes/T-STREAMING")
            .replace('~', &continuation);
        let who = if who.is_empty() {
            token.as_bytes()
        } else {
            who
        };
        let mut built = request(method.as_bytes(), &path, who);
        let mut body = Bytes::copy_from_slice(body);
        match encoding {
            b"" => {}
            b"zstd!" => {
                built = built.header("content-encoding", "zstd");
                body = zstd_of(&body);
            }
            other => built = built.header("content-encoding", other),
        }
        let Ok(request) = built.body(body) else {
            continue;
        };
        let Reply::Respond(answer) = emulator.handle(now, request) else {
            panic!("nothing was to go wrong");
        };
        assert!(answer.status().as_u16() < 500, "{answer:?}");
        if let Ok(said) = serde_json::from_slice::<Value>(answer.body())
            && let Some(next) = said.get("next_continuation_token").and_then(Value::as_str)
        {
            next.clone_into(&mut continuation);
        }
        now += Duration::from_millis(300);
    }
    emulator.commit_now();
    emulator.rows("DB.S.T").expect("the table");
    emulator.error_rows("DB.S.T").expect("the table");
});

/// One frame of one raw block: compression without a compressor.
fn zstd_of(body: &[u8]) -> Bytes {
    let body = &body[..body.len().min(0xffff)];
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    let header = u32::try_from(body.len()).unwrap_or_default() << 3 | 1;
    frame.extend_from_slice(&header.to_le_bytes()[..3]);
    frame.extend_from_slice(body);
    frame.into()
}
