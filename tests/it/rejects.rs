//! Rows that the server rejects: which calls report them.

use snowpipe_streaming::{ErrorKind, OffsetToken};

use crate::support::{World, row, rows};

#[tokio::test(start_paused = true)]
async fn rejected_rows_fail_their_own_receipts_and_no_others() {
    let ddl = "CREATE TABLE DB.PUBLIC.RIDES (N NUMBER NOT NULL, LIFT VARCHAR);
        CREATE PIPE DB.PUBLIC.RIDES_PIPE AS COPY INTO DB.PUBLIC.RIDES FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING'))
        MATCH_BY_COLUMN_NAME=CASE_SENSITIVE;";
    let catalog = snowpipe_streaming::emulator::tables::Catalog::from_ddl(ddl).unwrap();
    let world = World::with(|e| e.catalog(catalog));
    let (_client, mut channel) = world.channel().await;
    let good = channel.append_rows(rows(0..3), 0..).await.unwrap();
    good.committed().await.unwrap();
    let bad = channel
        .append_row(&serde_json::json!({ "LIFT": "no number" }), 3)
        .await
        .unwrap();
    let neighbour = channel.append_row(&row(4), 4).await.unwrap();
    let error = bad.committed().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RowsRejected);
    assert!(error.is_committed() && !error.is_retryable());
    let window = error.rejects().unwrap();
    assert_eq!(
        (window.count, window.after.as_ref(), window.through.as_ref()),
        (1, Some(&2.into()), Some(&4.into()))
    );
    neighbour.committed().await.unwrap_err();
    channel
        .append_row(&row(5), 5)
        .await
        .unwrap()
        .committed()
        .await
        .unwrap();
    good.committed().await.unwrap();
    channel.wait_for_commit().await.unwrap();
    let report = channel.close().await.unwrap();
    assert_eq!((report.rows_rejected(), report.uncommitted.len()), (1, 0));
    assert_eq!(
        world.emulator.rows("DB.PUBLIC.RIDES").unwrap(),
        [0, 1, 2, 4, 5].map(row)
    );
    assert_eq!(
        world.emulator.error_rows("DB.PUBLIC.RIDES").unwrap().len(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn rejects_that_no_receipt_reported_are_reported_by_the_next_wait_and_by_close() {
    let ddl = "CREATE TABLE DB.PUBLIC.T (N NUMBER NOT NULL);";
    let catalog = snowpipe_streaming::emulator::tables::Catalog::from_ddl(ddl).unwrap();
    let world = World::with(|e| e.catalog(catalog));
    for by_close in [false, true] {
        let pipe = snowpipe_streaming::PipePath::for_table("DB", "PUBLIC", "T").unwrap();
        let client = world.builder_for(pipe).build().await.unwrap();
        let mut channel = client.open_channel("c").await.unwrap();
        let token = i64::from(by_close);
        drop(
            channel
                .append_row(&serde_json::json!({ "X": 1 }), token)
                .await
                .unwrap(),
        );
        if by_close {
            let error = channel.close().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::RowsRejected);
            assert_eq!(error.close_report().unwrap().rows_rejected(), 1);
        } else {
            assert_eq!(
                channel.wait_for_commit().await.unwrap_err().kind(),
                ErrorKind::RowsRejected
            );
            assert_eq!(
                channel.wait_for_commit().await.unwrap(),
                Some(OffsetToken::from(token))
            );
            channel.close().await.unwrap();
        }
    }
}
