//! What the sink refuses, and what it considers complete. A count of rows would show none of these faults.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use snowpipe_connector_support::dice::Dice;

use crate::job::Outcome;
use crate::lab::Sample;
use crate::sink::judge::Pool;
use crate::sink::requests::Service;
use crate::sink::state::State;

/// Lines of the pool. They are as incompressible as rides, and fewer than the rows that are sent.
const LINES: u64 = 8;
/// Any initialization vector and key will do, if sink and file have the same.
const IV: [u8; 16] = [3; 16];
const KEY: [u8; 32] = [7; 32];

/// A sink and the pool of its rows.
struct Sink {
    service: Service,
    lines: Vec<String>,
}

impl Sink {
    /// A sink that reads rows, with the channels A and B open.
    async fn reading() -> Self {
        let mut sink = Self::discarding().await;
        let file = tempfile::NamedTempFile::new().expect("a file can be made");
        std::fs::write(file.path(), sink.lines.concat()).expect("it can be written");
        let pool = Pool::read(file.path()).expect("it has rows");
        sink.service.pool = Some(Arc::new(pool));
        sink
    }

    /// A sink that discards bodies, with the same channels open.
    async fn discarding() -> Self {
        let mut dice = Dice::new(1, 0);
        let mut line = |n| {
            let (a, b) = (dice.bits(128), dice.bits(128));
            format!("{{\"N\":{n},\"TEXT\":\"{a:032x}{b:032x}\"}}\n")
        };
        let sink = Self {
            lines: (0..LINES).map(&mut line).collect(),
            service: Service {
                state: Arc::new(State::new(Duration::ZERO)),
                delay: Duration::ZERO,
                pool: None,
            },
        };
        for channel in ["A", "B"] {
            let opened = sink
                .call("PUT", &format!("/channels/{channel}"), &[], b"{}")
                .await;
            assert_eq!(opened, (StatusCode::OK, None));
        }
        sink
    }

    /// Returns the status and the message of the answer.
    async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> (StatusCode, Option<String>) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let body = Full::new(Bytes::copy_from_slice(body));
        let request = request.body(body).expect("it is a request");
        let answer: Result<_, Infallible> = self.service.answer(request).await;
        let (head, body) = answer.expect("the body is there").into_parts();
        let body = body.collect().await.expect("it is there").to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = body.get("message").and_then(Value::as_str);
        (head.status, message.map(str::to_owned))
    }

    /// Appends these rows with the tokens `first` and `last`. Returns the reason if they are refused.
    async fn append(&self, channel: &str, first: u64, last: u64, rows: &[u64]) -> Option<String> {
        self.send(channel, first, last, &self.frame(rows)).await
    }

    async fn send(&self, channel: &str, first: u64, last: u64, body: &[u8]) -> Option<String> {
        let path =
            format!("/channels/{channel}/rows?startOffsetToken={first}&endOffsetToken={last}");
        let (status, why) = self.call("POST", &path, &[], body).await;
        assert_eq!(status.is_success(), why.is_none());
        why
    }

    /// The lines of these rows, compressed. Empty lines follow them, as in some requests of the official SDK.
    fn frame(&self, rows: &[u64]) -> Vec<u8> {
        let line = |row: &u64| self.lines.get(usize::try_from(row % LINES).ok()?);
        let lines: Vec<&str> = rows.iter().filter_map(line).map(String::as_str).collect();
        pack(&lines.join("\n"))
    }

    /// Uploads a file with these rows, and returns the description of it for an append.
    async fn upload(&self, name: &str, first: u64, last: u64, rows: &[u64]) -> Value {
        let file = self.frame(rows);
        let length = file.len().to_string();
        let headers = [("x-amz-decoded-content-length", length)];
        // The cipher is its own inverse, so the function that decrypts a file also encrypts it.
        let closed =
            snowpipe_streaming_emulator::__open_upload(&chunked(&file), file.len(), &KEY, IV)
                .expect("the upload is complete");
        let path = format!("/sink/{name}");
        let uploaded = self.call("PUT", &path, &headers, &chunked(&closed)).await;
        assert_eq!(uploaded, (StatusCode::OK, None));
        json!({
            "file_path": format!("sink/{name}"),
            "file_length_bytes": file.len(),
            "fragment_start_byte_offset": 0,
            "fragment_length_bytes": file.len(),
            "fragment_start_offset_token": first.to_string(),
            "fragment_end_offset_token": last.to_string(),
            "fragment_row_count": last - first + 1,
            "iv_base64": STANDARD.encode(IV),
        })
    }

    async fn append_file(&self, channel: &str, file: &Value) -> Option<String> {
        let path = format!("/channels/{channel}/filebuffer");
        let body = json!([file]).to_string();
        self.call("POST", &path, &[], body.as_bytes()).await.1
    }

    /// The counters of the sink, with the rows that a client reports as sent.
    fn sample(&self, sent: &[(&str, u64)]) -> Sample {
        let channels = sent.iter().map(|(name, rows)| ((*name).to_owned(), *rows));
        Sample {
            outcome: Outcome {
                channels: channels.collect(),
                ..Outcome::default()
            },
            counts: serde_json::from_value(self.service.state.stats()).expect("the counters parse"),
        }
    }
}

fn pack(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), 1).expect("it can be compressed")
}

/// A body in the encoding of S3 clients: one chunk, and its checksum.
fn chunked(content: &[u8]) -> Vec<u8> {
    let checksum = STANDARD.encode(crc32(content).to_be_bytes());
    let mut body = format!("{:x}\r\n", content.len()).into_bytes();
    body.extend(content);
    body.extend(format!("\r\n0\r\nx-amz-checksum-crc32:{checksum}\r\n\r\n").into_bytes());
    body
}

fn crc32(content: &[u8]) -> u32 {
    content.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    }) ^ u32::MAX
}

#[track_caller]
fn says(why: Option<String>, expected: &str) {
    let why = why.expect("it is refused");
    assert!(why.contains(expected), "{why}");
}

#[tokio::test]
async fn consecutive_rows_are_accepted_and_counted_by_channel() {
    let sink = Sink::reading().await;
    assert_eq!(sink.append("A", 0, 4, &[0, 1, 2, 3, 4]).await, None);
    assert_eq!(sink.append("B", 0, 1, &[0, 1]).await, None);
    // The pool starts again.
    assert_eq!(sink.append("A", 5, 9, &[5, 6, 7, 8, 9]).await, None);
    let file = sink.upload("0.ndjson", 2, 4, &[2, 3, 4]).await;
    assert_eq!(sink.append_file("B", &file).await, None);
    let sample = sink.sample(&[("A", 10), ("B", 5)]);
    sample.is_complete(true).expect("everything arrived");
    assert_eq!((sample.counts.rows(), sample.counts.rows_read), (15, 15));
    assert_eq!(sample.counts.rewritten, 0);
}

#[tokio::test]
async fn a_body_with_one_row_lost_and_another_repeated_is_refused() {
    let sink = Sink::reading().await;
    let why = sink.append("A", 0, 3, &[0, 1, 1, 3]).await;
    says(
        why,
        "in the place of row 2, row 2 of the pool, is row 1 of the pool",
    );
    let why = sink.append("A", 0, 3, &[0, 2, 1, 3]).await;
    says(why, "in the place of row 1");
    assert!(
        sink.sample(&[("A", 0), ("B", 0)])
            .is_complete(true)
            .is_err()
    );
}

#[tokio::test]
async fn a_lost_and_a_repeated_request_are_found_without_reading_rows() {
    for sink in [Sink::discarding().await, Sink::reading().await] {
        assert_eq!(sink.append("A", 0, 3, &[0, 1, 2, 3]).await, None);
        says(
            sink.append("A", 0, 3, &[0, 1, 2, 3]).await,
            "goes on with row 4",
        );
        says(
            sink.append("A", 8, 11, &[8, 9, 10, 11]).await,
            "goes on with row 4",
        );
        says(
            sink.append("A", 3, 6, &[3, 4, 5, 6]).await,
            "goes on with row 4",
        );
        // The total is right.
        let complete = sink.sample(&[("A", 4), ("B", 0)]).is_complete(false);
        let why = complete
            .expect_err("three requests were refused")
            .to_string();
        assert!(why.contains("refused 3 requests"), "{why}");
    }
}

#[tokio::test]
async fn a_missing_row_in_one_channel_and_an_extra_row_in_another_are_found() {
    let sink = Sink::discarding().await;
    assert_eq!(sink.append("A", 0, 4, &[0, 1, 2, 3, 4]).await, None);
    assert_eq!(sink.append("B", 0, 2, &[0, 1, 2]).await, None);
    sink.sample(&[("A", 5), ("B", 3)])
        .is_complete(false)
        .expect("as sent");
    assert!(
        sink.sample(&[("A", 4), ("B", 4)])
            .is_complete(false)
            .is_err()
    );
    // If rows are to be read, unread rows do not count.
    assert!(
        sink.sample(&[("A", 5), ("B", 3)])
            .is_complete(true)
            .is_err()
    );
}

#[tokio::test]
async fn a_body_without_rows_does_not_count_as_rows() {
    for sink in [Sink::discarding().await, Sink::reading().await] {
        says(sink.send("A", 0, 99, b"").await, "0 bytes cannot hold them");
        says(sink.send("A", 0, 99, &pack("")).await, "cannot hold them");
        // Half of the rows are missing.
        let rows: Vec<u64> = (0..LINES).collect();
        says(
            sink.append("A", 0, 2 * LINES - 1, &rows).await,
            "cannot hold them",
        );
    }
    // Reading finds a body that is only long enough.
    let sink = Sink::reading().await;
    let zeros = vec![0; 2_700];
    says(sink.send("A", 0, 99, &zeros).await, "are not a zstd frame");
    let rows = sink.frame(&(0..LINES - 1).collect::<Vec<_>>());
    says(
        sink.send("A", 0, LINES - 1, &rows).await,
        "ends before row 7",
    );
    let rows = sink.frame(&(0..LINES).collect::<Vec<_>>());
    says(
        sink.send("A", 0, LINES - 2, &rows).await,
        "has an additional row",
    );
}

#[tokio::test]
async fn a_changed_row_is_refused_and_equal_json_in_other_bytes_is_counted() {
    let sink = Sink::reading().await;
    let mut row: Value = serde_json::from_str(&sink.lines[0]).expect("it is JSON");
    let text = row["TEXT"].as_str().expect("it is a text").to_owned();
    let reversed = format!("{{\"TEXT\": \"{text}\", \"N\": 0}}\n");
    assert_eq!(sink.send("A", 0, 0, &pack(&reversed)).await, None);
    row["N"] = json!(1);
    says(
        sink.send("B", 0, 0, &pack(&row.to_string())).await,
        "in the place of row 0",
    );
    assert_eq!(sink.sample(&[]).counts.rewritten, 1);
}

#[tokio::test]
async fn tokens_that_are_not_numbers_of_rows_and_closed_channels_are_refused() {
    let sink = Sink::discarding().await;
    for tokens in [
        "",
        "?startOffsetToken=&endOffsetToken=",
        "?startOffsetToken=2&endOffsetToken=1",
    ] {
        let path = format!("/channels/A/rows{tokens}");
        let (status, why) = sink.call("POST", &path, &[], &sink.frame(&[0, 1])).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        says(why, "are not the numbers of rows");
    }
    says(
        sink.append("C", 0, 1, &[0, 1]).await,
        "channel C is not open",
    );
    // All faults are counted, although only some messages are kept.
    for _ in 0..20 {
        says(
            sink.append("C", 0, 1, &[0, 1]).await,
            "channel C is not open",
        );
    }
    assert_eq!(sink.sample(&[]).counts.fault_count, 24);
}

#[tokio::test]
async fn files_are_decrypted_and_each_is_appended_once() {
    let sink = Sink::reading().await;
    let wrong = sink.upload("0.ndjson", 0, 3, &[0, 1, 1, 3]).await;
    says(sink.append_file("A", &wrong).await, "in the place of row 2");

    let mut file = sink.upload("1.ndjson", 0, 3, &[0, 1, 2, 3]).await;
    assert_eq!(sink.append_file("A", &file).await, None);
    says(sink.append_file("A", &file).await, "appended before");
    file["file_path"] = json!("sink/2.ndjson");
    says(sink.append_file("A", &file).await, "was not uploaded");

    let mut file = sink.upload("3.ndjson", 4, 7, &[4, 5, 6, 7]).await;
    file["iv_base64"] = json!(STANDARD.encode([4; 16]));
    says(sink.append_file("A", &file).await, "are not a zstd frame");
    let mut file = sink.upload("4.ndjson", 4, 7, &[4, 5, 6, 7]).await;
    file["fragment_row_count"] = json!(5);
    says(sink.append_file("A", &file).await, "are to be 5 rows");
}

#[tokio::test]
async fn the_length_of_a_file_is_that_of_the_upload_and_not_of_the_append() {
    let sink = Sink::discarding().await;
    let mut file = sink.upload("0.ndjson", 0, 3, &[0, 1, 2, 3]).await;
    file["file_length_bytes"] = json!(1_000_000);
    file["fragment_length_bytes"] = json!(1_000_000);
    says(
        sink.append_file("A", &file).await,
        "the append names 1000000",
    );
    // An append that claims rows for an empty file.
    let file = sink.upload("1.ndjson", 0, 99, &[]).await;
    says(sink.append_file("A", &file).await, "cannot hold them");
    let file = sink.upload("2.ndjson", 0, 3, &[0, 1, 2, 3]).await;
    assert_eq!(sink.append_file("A", &file).await, None);
}
