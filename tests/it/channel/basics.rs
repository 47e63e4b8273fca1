//! A channel on the emulator: when it flushes, commits, and resumes.

use std::time::Duration;

use snowpipe_streaming::{ErrorKind, OffsetToken};
use snowpipe_streaming_emulator::Endpoint;
use tokio::time::Instant;

use crate::support::{World, row, rows};

#[tokio::test(start_paused = true)]
async fn rows_are_committed_in_order_and_resumed_after() {
    let world = World::new();
    let (client, mut channel) = world.channel().await;
    assert_eq!(channel.resume_after::<u64>().unwrap(), None);
    channel
        .append_row(&row(0), 0)
        .await
        .unwrap()
        .committed()
        .await
        .unwrap();
    let last = channel.append_rows(rows(1..100), 1..).await.unwrap();
    last.committed().await.unwrap();
    assert_eq!(world.landed(), (0..100).collect::<Vec<_>>());
    assert_eq!(
        channel.latest_committed_offset_token(),
        Some(OffsetToken::from(99))
    );
    let report = channel.close().await.unwrap();
    assert!(report.is_clean());
    assert_eq!((report.rows_appended, report.rows_committed), (100, 100));

    let channel = client.open_channel("c").await.unwrap();
    assert_eq!(channel.resume_after::<u64>().unwrap(), Some(99));
}

#[tokio::test(start_paused = true)]
async fn a_lone_row_is_sent_when_the_lag_has_passed() {
    let world = World::new();
    let client = world
        .builder()
        .max_client_lag(Duration::from_secs(3))
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let start = Instant::now();
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let second = channel.append_row(&row(1), 1).await.unwrap();
    receipt.accepted().await.unwrap();
    assert_eq!(
        start.elapsed(),
        Duration::from_secs(3),
        "the first row of a batch arms the timer"
    );
    second.accepted().await.unwrap();
    assert_eq!(
        start.elapsed(),
        Duration::from_secs(3),
        "and the second goes with it"
    );
    assert_eq!(world.requests(Endpoint::Append), 1);
    channel.close().await.unwrap();
    assert_eq!(world.landed(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_goes_backward_is_refused_and_nothing_is_appended() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    drop(channel.append_row(&row(5), 5).await.unwrap());
    for token in [5, 4, -1] {
        let error = channel.append_row(&row(0), token).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TokenReused, "{error}");
    }
    // The rows of a range would be repeated by a resume as well.
    for (first, last) in [(5, 7), (4, 8)] {
        let error = channel
            .append_rows([row(0)], first..=last)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TokenReused, "{error}");
    }
    let error = channel.append_rows([row(0)], (9, 8)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOffset, "{error}");
    drop(channel.append_row(&row(6), 6).await.unwrap());
    assert_eq!(channel.last_appended(), Some(OffsetToken::from(6)));
    channel.close().await.unwrap();
    assert_eq!(world.landed(), [5, 6]);
}
