//! Rows and offset tokens, and channels that accept no more rows.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use snowpipe_streaming::{
    Channel, ErrorKind, InvalidationCause, OffsetToken, RowBatch, StreamingIngestClient,
};

use super::says;
use crate::scripted_server::{Call, Stage, noise, opened, refusal, within};

/// A small budget, for which rows can be too large.
const BUDGET: usize = 1 << 20;

async fn client(stage: &Stage) -> StreamingIngestClient {
    let builder = stage.builder().memory_budget(BUDGET);
    builder.max_request_bytes(128 << 10).build().await.unwrap()
}

/// Refused rows leave nothing behind, and the channel accepts others.
async fn still_works(client: &StreamingIngestClient, channel: &mut Channel, stage: &Stage) {
    assert_eq!(channel.last_appended(), None);
    assert_eq!(client.memory_in_use(), 0);
    let receipt = channel.append_row(&json!({"GOOD": 1}), 1).await.unwrap();
    within(receipt.committed()).await.unwrap();
    let sent = stage.seen(Call::Append);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].rows(), "{\"GOOD\":1}\n");
}

#[derive(Serialize)]
struct Deep {
    speed: Vec<Option<f32>>,
}

#[tokio::test]
async fn rows_that_are_no_json_objects_are_refused_at_the_call() {
    let stage = Stage::new().await;
    let client = client(&stage).await;
    let mut channel = client.open_channel("c").await.unwrap();
    let object: &[&str] = &["not a JSON object", "column names"];
    for row in [
        json!([1]),
        json!("text"),
        json!(7),
        json!(true),
        Value::Null,
    ] {
        let error = channel.append_row(&row, 1).await.unwrap_err();
        says(&error, ErrorKind::InvalidRow, object);
    }
    let error = channel.append_row(&Some(5), 1).await.unwrap_err();
    says(&error, ErrorKind::InvalidRow, object);
    let error = channel.append_row("text", 1).await.unwrap_err();
    says(&error, ErrorKind::InvalidRow, object);
    let bytes = channel.append_row(&b"{}"[..], 1).await.unwrap_err();
    says(&bytes, ErrorKind::InvalidRow, &["`append_json`"]);
    for json in ["[1]", "7", "{", "{} {}", ""] {
        let error = channel.append_json(json, 1).await.unwrap_err();
        says(&error, ErrorKind::InvalidRow, &["the row"]);
    }
    let keyed = BTreeMap::from([(vec![1], 2)]);
    let error = channel.append_row(&keyed, 1).await.unwrap_err();
    says(
        &error,
        ErrorKind::InvalidRow,
        &["the row cannot be sent", "key"],
    );
    still_works(&client, &mut channel, &stage).await;
}

#[tokio::test]
async fn floats_that_are_no_numbers_are_refused_at_the_call() {
    let stage = Stage::new().await;
    let client = client(&stage).await;
    let mut channel = client.open_channel("c").await.unwrap();
    for (value, name) in [
        (f64::NAN, "NaN"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
    ] {
        let error = channel
            .append_row(&BTreeMap::from([("A", value)]), 1)
            .await
            .unwrap_err();
        let words = [name, "not a finite number", "send a null or a string"];
        says(&error, ErrorKind::InvalidRow, &words);
    }
    let deep = Deep {
        speed: vec![None, Some(1.5), Some(f32::NAN)],
    };
    let error = channel.append_row(&deep, 1).await.unwrap_err();
    says(&error, ErrorKind::InvalidRow, &["NaN"]);
    let rows = [json!({"A": 1}), json!([])];
    let error = channel.append_rows(&rows, 1..=2).await.unwrap_err();
    says(&error, ErrorKind::InvalidRow, &["not a JSON object"]);
    still_works(&client, &mut channel, &stage).await;
}

#[test]
fn batches_that_are_no_rows_name_the_line() {
    let refused = |bytes: &'static [u8]| RowBatch::from_ndjson(bytes).unwrap_err();
    let kind = ErrorKind::InvalidRow;
    says(
        &refused(b"{}\n\n[1]\n"),
        kind,
        &["line 3", "not a JSON object", "each line"],
    );
    says(&refused(b"{}\n{\xff}"), kind, &["line 2", "not UTF-8"]);
    says(&refused(b"{\n}\n"), kind, &["line 1"]);
    let checked = RowBatch::from_ndjson_checked("{\"A\":1}\n{A:1}\n").unwrap_err();
    says(&checked, kind, &["line 2", "not valid JSON"]);
}

#[tokio::test]
async fn rows_and_units_over_the_limits_are_refused_at_the_call() {
    let stage = Stage::new().await;
    let client = client(&stage).await;
    let mut channel = client.open_channel("c").await.unwrap();
    let kind = ErrorKind::TooLarge;

    let budget: &[&str] = &[
        "than 262144 bytes",
        "in the column \"A\"",
        "a quarter of the memory budget",
        "raise the memory budget",
    ];
    let long = json!({"A": "a".repeat(BUDGET / 4)});
    says(
        &channel.append_row(&long, 1).await.unwrap_err(),
        kind,
        budget,
    );
    says(
        &channel.append_rows([&long], 1..).await.unwrap_err(),
        kind,
        budget,
    );
    let part = json!({"A": "a".repeat(BUDGET / 16)});
    let unit = std::iter::repeat_n(&part, 4);
    says(
        &channel.append_rows(unit, 1..=9).await.unwrap_err(),
        kind,
        budget,
    );
    let endless = std::iter::repeat(&part);
    says(
        &channel.append_rows(endless, ("a", "b")).await.unwrap_err(),
        kind,
        budget,
    );
    let batch = RowBatch::from_ndjson(format!("{long}\n")).unwrap();
    says(
        &channel.append_batch(&batch, 1..).await.unwrap_err(),
        kind,
        budget,
    );

    let request: &[&str] = &[
        "a row of 200019 bytes does not fit",
        "more than the 131072 bytes of one request",
        "the largest value has 200002 bytes, in the column \"NOISE\"",
        "a smaller row",
    ];
    let noisy = json!({"A": 1, "NOISE": noise(1, 200_000)});
    says(
        &channel.append_row(&noisy, 1).await.unwrap_err(),
        kind,
        request,
    );
    says(
        &channel.append_rows([&noisy], 1..=9).await.unwrap_err(),
        kind,
        request,
    );

    let error = channel.append_row(&noisy, 1).await.unwrap_err();
    let value = noise(1, 200_000);
    assert!(!error.to_string().contains(&value[..8]), "{error}");

    let batch = RowBatch::from_ndjson(format!("{part}\n").repeat(9)).unwrap();
    let error = channel.try_append_batch(&batch, 1..).unwrap_err();
    says(&error, kind, &["the channel's 524288 bytes", "split it"]);
    still_works(&client, &mut channel, &stage).await;
}

#[tokio::test]
async fn tokens_that_were_used_or_go_backward_are_refused() {
    let stage = Stage::new().await;
    stage.answer(Call::Open, opened(Some("10"), "SUCCESS"));
    let client = client(&stage).await;
    let mut channel = client.open_channel("c").await.unwrap();
    let kind = ErrorKind::TokenReused;
    let row = json!({"A": 1});
    for token in [10, 9, -1] {
        let error = channel.append_row(&row, token).await.unwrap_err();
        let name = format!("token {token} does not come after 10");
        says(&error, kind, &[&name, "must rise"]);
    }
    says(
        &channel.append_row(&row, "10").await.unwrap_err(),
        kind,
        &["10"],
    );
    says(
        &channel.append_rows([&row], 5..).await.unwrap_err(),
        kind,
        &["5"],
    );
    says(
        &channel.append_rows([&row], 1..=10).await.unwrap_err(),
        kind,
        &["10"],
    );

    let _ = channel.append_row(&row, "order-17").await.unwrap();
    let error = channel.append_row(&row, "order-17").await.unwrap_err();
    says(
        &error,
        kind,
        &["\"order-17\" was used before", "in one append_rows"],
    );
    let error = channel
        .append_rows([&row], ("x", "order-17"))
        .await
        .unwrap_err();
    says(&error, kind, &["\"order-17\""]);
    let receipt = channel.append_row(&row, 11).await.unwrap();
    within(receipt.accepted()).await.unwrap();
}

#[tokio::test]
async fn tokens_that_cannot_be_sent_are_refused() {
    let stage = Stage::new().await;
    let client = client(&stage).await;
    let mut channel = client.open_channel("c").await.unwrap();
    let kind = ErrorKind::InvalidOffset;
    let row = json!({"A": 1});
    let long: &[&str] = &[
        "4098 bytes long when percent-encoded",
        "more than 4096",
        "shorter",
    ];
    // A slash is sent as three bytes.
    let slashes = "/".repeat(1366);
    says(
        &channel.append_row(&row, &slashes[..]).await.unwrap_err(),
        kind,
        long,
    );
    says(
        &channel
            .append_rows([&row], ("a", &slashes[..]))
            .await
            .unwrap_err(),
        kind,
        long,
    );
    says(
        &channel
            .append_each([(&row, slashes.clone())])
            .await
            .unwrap_err(),
        kind,
        long,
    );
    says(
        &client
            .open_channel("d")
            .offset_token(&slashes)
            .await
            .unwrap_err(),
        kind,
        long,
    );
    OffsetToken::new("/".repeat(1365)).unwrap();
    let empty = channel.append_row(&row, "").await.unwrap_err();
    says(&empty, kind, &["empty", "at least one character"]);
    #[expect(clippy::reversed_empty_ranges, reason = "that is the bad input")]
    let backward = channel.append_rows([&row], 5..=1).await.unwrap_err();
    says(
        &backward,
        kind,
        &["5..=1 go backward", "first row's and the last row's"],
    );
    assert_eq!(stage.count(Call::Append), 0);
}

#[tokio::test]
async fn a_token_of_another_program_names_itself_and_the_type() {
    let stage = Stage::new().await;
    stage.answer(Call::Open, opened(Some("p=1&o=7"), "SUCCESS"));
    let client = client(&stage).await;
    let channel = client.open_channel("c").await.unwrap();
    let error = channel.resume_after::<u64>().unwrap_err();
    let words = ["\"p=1&o=7\"", "not a u64", "written by another program"];
    says(&error, ErrorKind::InvalidOffset, &words);
    assert_eq!(
        channel.resume_after::<String>().unwrap().unwrap(),
        "p=1&o=7"
    );
}

#[tokio::test]
async fn an_invalidated_channel_refuses_rows_with_the_reason() {
    let stage = Stage::new().await;
    stage.answer(
        Call::Append,
        refusal(400, "STALE_CONTINUATION_TOKEN_SEQUENCER"),
    );
    let client = client(&stage).await;
    let mut channel = client.open_channel("c").await.unwrap();
    let row = json!({"A": 1});
    let receipt = channel.append_row(&row, 1).await.unwrap();
    within(receipt.committed()).await.unwrap_err();

    let kind = ErrorKind::Invalidated(InvalidationCause::Fenced);
    let words: &[&str] = &[
        "was invalidated",
        "another writer opened it",
        "reopen the channel",
        "STALE_CONTINUATION_TOKEN_SEQUENCER",
    ];
    let batch = RowBatch::from_ndjson("{}\n").unwrap();
    says(&channel.append_row(&row, 2).await.unwrap_err(), kind, words);
    says(
        &channel.append_rows([&row], 2..).await.unwrap_err(),
        kind,
        words,
    );
    says(
        &channel.append_each([(&row, 2)]).await.unwrap_err(),
        kind,
        words,
    );
    says(
        &channel.append_batch(&batch, 2..).await.unwrap_err(),
        kind,
        words,
    );
    says(
        &channel.try_append_batch(&batch, 2..).unwrap_err(),
        kind,
        words,
    );
    says(
        &within(channel.wait_for_flush()).await.unwrap_err(),
        kind,
        words,
    );
    says(
        &within(channel.wait_for_commit()).await.unwrap_err(),
        kind,
        words,
    );
    assert_eq!(stage.count(Call::Append), 1);
    assert_eq!(client.memory_in_use(), 0);
    within(channel.reopen()).await.unwrap();
    let receipt = channel.append_row(&row, 1).await.unwrap();
    within(receipt.committed()).await.unwrap();
}
