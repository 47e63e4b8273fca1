//! Rows that the server rejects: which calls report them.

use serde_json::json;
use snowpipe_streaming::sql::Statement;
use snowpipe_streaming::{ErrorKind, OffsetToken, PipePath};
use snowpipe_streaming_emulator::tables::Catalog;

use crate::support::{World, row, rows};

#[tokio::test(start_paused = true)]
async fn rejected_rows_fail_their_own_receipts_and_no_others() {
    let ddl = "CREATE TABLE DB.PUBLIC.RIDES (N NUMBER NOT NULL, LIFT VARCHAR);
        CREATE PIPE DB.PUBLIC.RIDES_PIPE AS COPY INTO DB.PUBLIC.RIDES FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING'))
        MATCH_BY_COLUMN_NAME=CASE_SENSITIVE;";
    let catalog = Catalog::from_ddl(ddl).unwrap();
    let world = World::with(|e| e.catalog(catalog));
    let (_client, mut channel) = world.channel().await;
    let good = channel.append_rows(rows(0..3), 0..).await.unwrap();
    good.committed().await.unwrap();
    let bad = channel
        .append_row(&json!({ "LIFT": "no number" }), 3)
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
    let catalog = Catalog::from_ddl(ddl).unwrap();
    let world = World::with(|e| e.catalog(catalog));
    for by_close in [false, true] {
        let pipe = PipePath::for_table("DB", "PUBLIC", "T").unwrap();
        let client = world.builder_for(pipe).build().await.unwrap();
        let mut channel = client.open_channel("c").await.unwrap();
        let token = i64::from(by_close);
        drop(channel.append_row(&json!({ "X": 1 }), token).await.unwrap());
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

/// Both queries of a channel find the rows of that channel in that table, and no others.
#[tokio::test(start_paused = true)]
async fn the_error_table_and_the_event_table_are_asked_for_the_rows_of_one_channel() {
    const EVENTS: &str = "SNOWFLAKE.TELEMETRY.EVENTS_VIEW";
    let ddl = r#"CREATE TABLE DB.PUBLIC."it's" (N NUMBER NOT NULL) ERROR_LOGGING = TRUE;
        CREATE TABLE DB.PUBLIC.OTHER (N NUMBER NOT NULL) ERROR_LOGGING = TRUE;"#;
    let world = World::with(|e| e.catalog(Catalog::from_ddl(ddl).unwrap()));
    let sql = world.sql();
    let mut channels = Vec::new();
    for (table, name) in [("it's", r"a\b's"), ("it's", "another"), ("OTHER", r"a\b's")] {
        let pipe = PipePath::for_table("DB", "PUBLIC", table).unwrap();
        let client = world.builder_for(pipe).build().await.unwrap();
        let mut channel = client.open_channel(name).await.unwrap();
        for token in [1, 2] {
            let rows = [json!({ "N": token }), json!({ "N": "x" })];
            let receipt = channel.append_rows(&rows, token * 2..).await.unwrap();
            receipt.committed().await.unwrap_err();
        }
        channels.push(channel);
    }
    let channel = &channels[0];
    let query = channel.error_table_sql(r#"DB.PUBLIC."it's""#);
    let found = sql.query(&Statement::new(query)).await.unwrap();
    assert_eq!(found.rows.len(), 2, "{found:?}");

    let events = channel.event_table_sql(EVENTS, r#"db.public."it's""#);
    let events = events.unwrap();
    let found = sql.query(&Statement::new(&events)).await.unwrap();
    let columns: Vec<&str> = found.columns.iter().map(String::as_str).collect();
    let [at, rest @ ..] = columns.as_slice() else {
        panic!("{columns:?}");
    };
    assert_eq!(*at, "TIMESTAMP");
    let wanted = ["OFFSET", "CODE", "MESSAGE", "COL_NAME", "LINE_NUMBER"];
    assert_eq!(rest, wanted.map(|name| format!("ERROR_{name}")));
    let offsets: Vec<_> = found.rows.iter().map(|row| row[1].as_deref()).collect();
    assert_eq!(offsets, [Some("3"), Some("5")]);
    for row in &found.rows {
        assert_eq!(row[2].as_deref(), Some("100038"), "{row:?}");
        assert!(row[3].as_deref().unwrap().contains("'x'"), "{row:?}");
        assert_eq!((row[4].as_deref(), row[5].as_deref()), (Some("N"), None));
    }
    // Database and schema are those of the pipe.
    for table in [r#""it's""#, r#"public."it's""#] {
        assert_eq!(channel.event_table_sql(EVENTS, table).unwrap(), events);
    }
    for table in ["", "a.b.c.d", r#""a"#] {
        let error = channel.event_table_sql(EVENTS, table).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
}
