//! Code of users that has to compile. Code that must not compile is in the documentation of `Channel`.

use std::cell::Cell;

use serde::Serialize;
use snowpipe_streaming::append::Append;
use snowpipe_streaming::{
    Channel, Commits, OffsetToken, Receipt, RowBatch, StreamingIngestClient, WeakChannelSender,
};

use crate::support::World;

/// May be sent to another thread, and not be shared with one.
#[derive(Serialize)]
struct Ride {
    n: Cell<i64>,
}

fn ride(n: i64) -> Ride {
    Ride { n: Cell::new(n) }
}

async fn committed(client: &StreamingIngestClient, name: &str) -> Option<OffsetToken> {
    let tokens = client.latest_committed_offset_tokens([name]).await.unwrap();
    tokens[name].clone()
}

#[tokio::test(start_paused = true)]
async fn rows_that_cannot_be_shared_go_from_a_spawned_task() {
    let client = World::new().client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let task = tokio::spawn(async move {
        let row = ride(1);
        let receipt = channel.append_row(&row, 1).await?;
        row.n.set(3);
        let _ = channel.append_rows([ride(2)], 2..).await?;
        let _ = channel.append_each([(row, 3)]).await?;
        receipt.committed().await?;
        channel.close().await
    });
    assert_eq!(task.await.unwrap().unwrap().rows_committed, 3);
    assert_eq!(committed(&client, "c").await, Some(OffsetToken::from(3)));
}

#[tokio::test(start_paused = true)]
async fn a_row_may_be_dropped_before_the_await() {
    let client = World::new().client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let append: Append<'_> = {
        let row = ride(1);
        let token = String::from("first");
        channel.append_row(&row, &token)
    };
    append.await.unwrap().committed().await.unwrap();
    let first = OffsetToken::new("first").unwrap();
    assert_eq!(channel.close().await.unwrap().committed_token, Some(first));
}

#[tokio::test(start_paused = true)]
async fn offsets_of_all_types_are_accepted() {
    let client = World::new().client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let rows = vec![ride(1), ride(2)];
    let _ = channel.append_rows(&rows, 0..).await.unwrap();
    let _ = channel.append_row(&rows[0], 7).await.unwrap();
    let _ = channel.append_rows(&rows, 8..=19).await.unwrap();
    let _ = channel.append_row(&rows[0], 20_u32).await.unwrap();
    let _ = channel.append_row(&rows[0], 21_i64).await.unwrap();
    let _ = channel.append_rows(rows.iter(), 22_u64..).await.unwrap();
    let _ = channel.append_rows(&rows, (24, 30)).await.unwrap();
    let _ = channel.append_rows(&rows, ("a", "b")).await.unwrap();
    let token = OffsetToken::from(41);
    let (start, end) = (OffsetToken::new("c").unwrap(), String::from("d"));
    let _ = channel.append_rows(&rows, (&start, end)).await.unwrap();
    let _ = channel
        .append_row(&rows[0], OffsetToken::from(40))
        .await
        .unwrap();
    let _ = channel.append_row(&rows[0], &token).await.unwrap();
    let _ = channel.append_each(rows.iter().zip(42..)).await.unwrap();
    let _ = channel
        .append_each(rows.iter().zip(["e", "f"]))
        .await
        .unwrap();
    for (n, row) in rows.iter().enumerate() {
        let _ = channel.append_row(row, 50 + n).await.unwrap();
    }
    let _ = channel.append_rows(&rows, 52_usize..).await.unwrap();
    let line = String::from("{\"n\":1}");
    let (payload, offset) = (line.as_bytes(), 54_i64);
    let _ = channel.append_json(payload, offset).await.unwrap();
    let _ = channel.append_json(&line, 55).await.unwrap();
    let batch = RowBatch::from_ndjson(&line).unwrap();
    let _ = channel.append_batch(&batch, 56..).await.unwrap();
    let _ = channel.append_batch(&batch, 57..).await.unwrap();
    let _ = channel.append_row(&rows[0], "g").await.unwrap();
    let none: [Ride; 0] = [];
    let receipt = channel.append_rows(none, 0..).await.unwrap();
    channel.initiate_flush();
    receipt.committed().await.unwrap();
    let last = OffsetToken::new("g").unwrap();
    assert_eq!(channel.latest_committed_offset_token(), Some(last));
    let report = channel.close().await.unwrap();
    assert_eq!(
        report.rows_committed,
        2 + 1 + 2 + 1 + 1 + 2 + 2 + 2 + 2 + 1 + 1 + 2 + 2 + 9
    );
}

#[tokio::test(start_paused = true)]
async fn a_sender_is_shared_and_its_appends_are_spawned() {
    let client = World::new().client().await;
    let channel = client.open_untracked_channel("c").await.unwrap();
    let sender = channel.weak_sender();
    let one: Append<'static> = {
        let row = ride(1);
        sender.append_row(&row)
    };
    // Two appends of one handle at once.
    let two = sender.append_rows(vec![ride(2), ride(3)]);
    let (one, two) = (tokio::spawn(one), tokio::spawn(two));
    let _: Receipt = one.await.unwrap().unwrap();
    let receipt = two.await.unwrap().unwrap();
    let line = RowBatch::from_ndjson("{\"n\":4}").unwrap();
    let _ = sender.append_batch(&line).await.unwrap();
    let _ = sender.append_json("{\"n\":5}").await.unwrap();
    receipt.committed().await.unwrap();
    assert_eq!(channel.close().await.unwrap().rows_committed, 5);
}

#[test]
fn handles_are_send_and_clone_where_users_need_it() {
    fn send<T: Send>() {}
    fn send_and_sync<T: Send + Sync>() {}
    fn cloned<T: Clone>() {}
    send::<Channel>();
    send::<Append<'_>>();
    send_and_sync::<StreamingIngestClient>();
    send_and_sync::<Receipt>();
    send_and_sync::<Commits>();
    send_and_sync::<WeakChannelSender>();
    cloned::<StreamingIngestClient>();
    cloned::<Receipt>();
    cloned::<Commits>();
    cloned::<WeakChannelSender>();
    assert_eq!(size_of::<snowpipe_streaming::Error>(), size_of::<usize>());
}
