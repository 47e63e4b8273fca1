//! Limits, compression, and bodies that try to be too large.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::channels::limits::Limits;
use crate::rig::{Client, PIPES, answered, append_path, code, read, request, settings};

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn send_encoded(client: &Client, token: &str, encoding: &str, body: Vec<u8>) -> (u16, Value) {
    let path = append_path("c", token, "1");
    let request = request("POST", &path, &client.token)
        .header("content-encoding", encoding)
        .body(Bytes::from(body))
        .unwrap();
    read(&answered(client.emulator.handle(client.now, request)))
}

#[test]
fn gzip_and_zstd_and_plain_bodies_are_read() {
    let client = Client::new();
    client.open("c");
    let first = zstd::encode_all(&b"{\"n\":1}\n\n"[..], 3).unwrap();
    assert_eq!(send_encoded(&client, "0_1", "zstd", first).0, 200);
    assert_eq!(
        send_encoded(&client, "0_2", "gzip", gzip(b"\n{\"n\":2}")).0,
        200
    );
    assert_eq!(
        send_encoded(&client, "0_3", "identity", b"{\"n\":3}".to_vec()).0,
        200
    );
    client.emulator.commit_now();
    assert_eq!(client.landed(), [1, 2, 3]);
}

/// Observed: supabase/etl, `tests/snowflake/large_rows.rs`, `multi_frame_request_lands_every_row_in_one_append`.
#[test]
fn the_rows_of_several_zstd_frames_in_one_body_land() {
    let client = Client::new();
    client.open("c");
    // The second row is in two frames.
    let pieces = ["{\"n\":1}\n", "{\"n\"", ":2}\n", "{\"n\":3}\n{\"n\":4}\n"];
    let frames = pieces.map(|piece| zstd::encode_all(piece.as_bytes(), 3).unwrap());
    assert_eq!(send_encoded(&client, "0_1", "zstd", frames.concat()).0, 200);
    client.emulator.commit_now();
    assert_eq!(client.landed(), [1, 2, 3, 4]);
}

/// 32 MiB were observed (supabase/etl, `tests/snowflake/large_rows.rs`). 128 MiB are the most that zstd's decoder takes unless it is
/// told otherwise.
#[test]
fn frames_with_windows_of_32_and_128_mib_are_read() {
    for (log, status) in [(25, 200), (27, 200), (28, 400)] {
        let client = Client::new();
        client.open("c");
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        encoder.write_all(b"{\"n\":1}\n").unwrap();
        let frame = encoder.finish().unwrap();
        // The window's descriptor follows the magic number and the frame's descriptor.
        assert_eq!(u32::from(frame[5] >> 3), log - 10);
        let answered = send_encoded(&client, "0_1", "zstd", frame);
        assert_eq!(answered.0, status, "{log}");
    }
}

#[test]
fn broken_and_unknown_encodings_are_refused() {
    let client = Client::new();
    client.open("c");
    let whole = zstd::encode_all(&b"{\"n\":1}\n"[..], 3).unwrap();
    let cut = whole[..whole.len() - 2].to_vec();
    assert_eq!(send_encoded(&client, "0_1", "zstd", cut).0, 400);
    assert_eq!(
        send_encoded(&client, "0_1", "zstd", b"{\"n\":1}\n".to_vec()).0,
        400
    );
    assert_eq!(send_encoded(&client, "0_1", "gzip", whole).0, 400);
    assert_eq!(send_encoded(&client, "0_1", "br", b"x".to_vec()).0, 415);
    assert_eq!(client.emulator.channel("c").unwrap().row_sequencer, 1);
}

#[test]
fn a_small_body_cannot_fill_memory() {
    let client = Client::of(settings().limits(Limits {
        decompressed_bytes: 1 << 20,
        ..Limits::off()
    }));
    client.open("c");
    let most = vec![b'\n'; 1 << 20];
    let bomb = vec![b'\n'; (1 << 20) + 1];
    for (encoding, body) in [
        ("gzip", gzip(&bomb)),
        ("zstd", zstd::encode_all(&bomb[..], 1).unwrap()),
        ("identity", bomb),
    ] {
        assert_eq!(
            send_encoded(&client, "0_1", encoding, body).0,
            413,
            "{encoding}"
        );
    }
    assert_eq!(send_encoded(&client, "0_1", "gzip", gzip(&most)).0, 200);
}

/// The token of a refused body stays valid (observed: supabase/etl, `tests/snowflake/large_rows.rs`).
#[test]
fn a_body_may_have_exactly_four_mebibytes_on_the_wire() {
    let client = Client::new();
    client.open("c");
    let body = vec![b'\n'; 4_194_305];
    assert_eq!(
        send_encoded(&client, "0_1", "identity", body.clone()).0,
        413
    );
    assert_eq!(
        send_encoded(&client, "0_1", "identity", body[1..].to_vec()).0,
        200
    );

    let client = Client::of(settings().limits(Limits::off()));
    client.open("c");
    assert_eq!(send_encoded(&client, "0_1", "identity", body).0, 200);
}

#[test]
fn a_channel_has_ten_requests_a_second() {
    let limits = Limits {
        retry_after: Some(Duration::from_secs(3)),
        ..Limits::default()
    };
    let mut client = Client::of(settings().limits(limits));
    client.open("c");
    for n in 1..=20 {
        client.append("c", &format!("0_{n}"), "1", "{\"n\":1}\n");
    }
    let answer = answered(client.send_rows("c", "0_21", "1", "{\"n\":1}\n"));
    assert_eq!(answer.headers()["retry-after"], "3");
    let (status, body) = read(&answer);
    assert_eq!((status, code(&body)), (429, "390701"));
    client.open("other");
    client.append("other", "0_1", "1", "{\"n\":1}\n");
    client.pass(100);
    client.append("c", "0_21", "1", "{\"n\":1}\n");
    let (status, _) = client.try_append("c", "0_22", "1", "{\"n\":1}\n");
    assert_eq!(status, 429);

    let client = Client::of(settings().limits(Limits::off()));
    client.open("c");
    for n in 1..=100 {
        client.append("c", &format!("0_{n}"), "1", "{\"n\":1}\n");
    }
}

#[test]
fn a_channel_has_twenty_megabytes_a_second() {
    let mut client = Client::new();
    client.open("c");
    let body = || zstd::encode_all(&vec![b'\n'; 41_000_000][..], 1).unwrap();
    assert_eq!(send_encoded(&client, "0_1", "zstd", body()).0, 200);
    assert_eq!(send_encoded(&client, "0_2", "zstd", body()).0, 429);
    client.pass(50);
    assert_eq!(client.try_append("c", "0_2", "2", "{\"n\":1}\n").0, 429);
    client.pass(1);
    assert_eq!(client.try_append("c", "0_2", "2", "{\"n\":1}\n").0, 200);
}

#[test]
fn a_pipe_has_so_many_channels() {
    let limits = Limits {
        channels_per_pipe: Some(2),
        ..Limits::default()
    };
    let client = Client::of(settings().limits(limits));
    client.open("a");
    client.open("b");
    let (status, answer) = client.try_open("c", "{}");
    assert_eq!(status, 400);
    assert_eq!(code(&answer), "ERR_CHANNEL_LIMIT_EXCEEDED_FOR_PIPE");
    client.open("a");
    let path = format!("{PIPES}/OTHER/channels/c");
    assert_eq!(client.call("PUT", &path, "").0, 200);
}

#[test]
fn a_status_request_has_so_many_names() {
    let limits = Limits {
        status_names: Some(2),
        ..Limits::default()
    };
    let client = Client::of(settings().limits(limits));
    let path = format!("{PIPES}/P:bulk-channel-status");
    let body = r#"{"channel_names":["a","b"]}"#;
    assert_eq!(client.call("POST", &path, body).0, 200);
    let body = r#"{"channel_names":["a","b","c"]}"#;
    let (status, answer) = client.call("POST", &path, body);
    assert_eq!(status, 400);
    assert_eq!(
        code(&answer),
        "ERR_GET_CHANNEL_STATUS_BATCH_TOO_MANY_CHANNELS"
    );
}
