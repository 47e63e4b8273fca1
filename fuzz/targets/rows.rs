//! Rows and offset tokens on their way through a channel into the emulator. An input is an offset token, NDJSON, and values
//! that may be rows.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use snowpipe_streaming_emulator::Emulator;
use snowpipe_streaming::{Channel, Nulls, OffsetToken, RowBatch, StreamingIngestClient};
use snowpipe_streaming_fuzz::{client_of, emulator, parts, run};

async fn open(emulator: &Emulator, nulls: Nulls) -> (StreamingIngestClient, Channel) {
    let client = client_of(emulator).nulls(nulls).build().await;
    let client = client.expect("a client");
    let channel = client.open_channel("c").await.expect("a channel");
    (client, channel)
}

fuzz_target!(|data: &[u8]| {
    let mut parts = parts(data);
    let token = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let lines = parts.next().unwrap_or_default().to_vec();
    let batch = RowBatch::from_ndjson(lines.clone());
    let checked = RowBatch::from_ndjson_checked(lines);
    if let Ok(checked) = &checked {
        assert_eq!(Some(checked), batch.as_ref().ok());
    }
    let token = OffsetToken::new(&*token);
    if let Ok(token) = &token {
        let _ = token.parse::<u64>();
        let _ = token.parse::<i128>();
    }
    let values: Vec<Value> = parts
        .take(4)
        .filter_map(|text| serde_json::from_slice(text).ok())
        .collect();
    if values.is_empty() && (token.is_err() || checked.is_err()) {
        return;
    }
    let nulls = if data.len() % 2 == 0 {
        Nulls::Send
    } else {
        Nulls::Omit
    };
    let emulator = emulator().build().expect("an emulator");
    run(async {
        let (client, mut channel) = open(&emulator, nulls).await;
        let mut rows = 0;
        for value in &values {
            match channel.append_row(value, rows).await {
                Ok(_) => rows += 1,
                Err(_) => assert!(!value.is_object(), "{value} was refused"),
            }
        }
        if let (Ok(token), Ok(checked)) = (token, checked) {
            let count = checked.len();
            if channel
                .append_batch(&checked, (token.clone(), token))
                .await
                .is_ok()
            {
                rows += count;
            }
        }
        channel.wait_for_commit().await.expect("a commit");
        channel.close().await.expect("a close");
        client.close().await.expect("an end");
        if rows > 0 {
            let landed = emulator.rows("DB.S.T").expect("rows").len();
            assert_eq!(landed as u64, rows);
        }
    });
});
