//! What the log does not say exactly stops the source, with an error that names the remedy. One server serves several traps:
//! each one begins after those before it.

use std::sync::Arc;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use snowpipe_streaming::ingest::Pair;

use crate::following::{
    changes, connect, describe, follow, page, rest, shop, stopped, summary, until_now,
};
use crate::server::MariaDb;
use snowpipe_mysql::changes::{Place, end_of_log, preflight};
use snowpipe_mysql::schema::Table;

pub(crate) async fn run(conn: &mut Conn, statements: &[&str]) {
    for statement in statements {
        conn.query_drop(*statement)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

/// A new table `t (id, name)` with the rows 1 and 2.
pub(crate) async fn table(conn: &mut Conn) -> Arc<Table> {
    let create = "CREATE OR REPLACE TABLE t (id INT PRIMARY KEY, name VARCHAR(20), note TEXT)";
    run(
        conn,
        &[create, "INSERT INTO t VALUES (1, 'a', 'x'), (2, 'b', 'y')"],
    )
    .await;
    describe(conn, "t").await
}

/// Why the changes cannot be followed.
pub(crate) async fn refused(conn: &mut Conn, table: &Arc<Table>) -> String {
    let error = preflight(conn, std::slice::from_ref(table))
        .await
        .expect_err("a refusal");
    assert!(error.is_fatal(), "{error}");
    error.to_string()
}

pub(crate) fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word} is not in: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_with_other_settings_stop() {
    let server = MariaDb::start(&[]).await;
    let mut conn = shop(&server).await;
    let table = table(&mut conn).await;
    for image in ["MINIMAL", "NOBLOB"] {
        let following = follow(&mut conn, &server, &table).await;
        let mut writer = connect(&server).await;
        run(
            &mut writer,
            &[
                "USE shop",
                &format!("SET SESSION binlog_row_image = {image}"),
            ],
        )
        .await;
        run(
            &mut writer,
            &["UPDATE t SET name = CONCAT(name, 'c') WHERE id = 1"],
        )
        .await;
        let error = stopped(&mut conn, following).await;
        has(
            &error,
            &[
                "shop.t",
                "binlog_row_image",
                "FULL",
                "--source-id",
                "position",
            ],
        );
    }
    for format in ["STATEMENT", "MIXED"] {
        let following = follow(&mut conn, &server, &table).await;
        let mut writer = connect(&server).await;
        run(
            &mut writer,
            &["USE shop", &format!("SET SESSION binlog_format = {format}")],
        )
        .await;
        run(
            &mut writer,
            &["UPDATE t SET name = CONCAT(name, 'd') WHERE id = 1"],
        )
        .await;
        let error = stopped(&mut conn, following).await;
        has(&error, &["STATEMENT", "binlog_format=ROW", "--source-id"]);
    }
    let following = follow(&mut conn, &server, &table).await;
    run(
        &mut conn,
        &[
            "SET GLOBAL binlog_row_metadata = NO_LOG",
            "UPDATE t SET name = 'e'",
        ],
    )
    .await;
    has(
        &stopped(&mut conn, following).await,
        &["shop.t", "binlog_row_metadata=FULL"],
    );
    run(&mut conn, &["SET GLOBAL binlog_row_metadata = FULL"]).await;

    let following = follow(&mut conn, &server, &table).await;
    run(
        &mut conn,
        &[
            "SET GLOBAL log_bin_compress = ON",
            "SET GLOBAL log_bin_compress_min_len = 10",
        ],
    )
    .await;
    let long = "x".repeat(500);
    run(&mut conn, &[&format!("UPDATE t SET note = '{long}'")]).await;
    has(
        &stopped(&mut conn, following).await,
        &["compressed", "log_bin_compress=OFF"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_emptied_dropped_or_rebuilt_stops() {
    let server = MariaDb::start(&[]).await;
    let mut conn = shop(&server).await;
    for ddl in [
        "TRUNCATE t",
        "DROP TABLE t",
        "RENAME TABLE t TO old",
        "ALTER TABLE t MODIFY name VARCHAR(2) NOT NULL",
        "ALTER TABLE t DROP COLUMN note",
        "ALTER TABLE t ADD COLUMN level INT DEFAULT 5",
        "CREATE OR REPLACE TABLE t (id INT PRIMARY KEY)",
    ] {
        run(&mut conn, &["DROP TABLE IF EXISTS old"]).await;
        let table = table(&mut conn).await;
        let start = preflight(&mut conn, std::slice::from_ref(&table))
            .await
            .unwrap();
        run(&mut conn, &["UPDATE t SET name = 'c' WHERE id = 1", ddl]).await;
        let mut following = changes(&server, &table, start.clone());
        // The rows before it come first, and the error when they are in the table.
        let first = loop {
            use snowpipe_streaming::ingest::Source;
            let batch = following.read_after(None, 10).await.unwrap();
            if let Some((offset, change)) = batch.rows.into_iter().next() {
                assert_eq!(summary(&[change]), ["U1"]);
                break offset;
            }
            following.ready().await.unwrap();
        };
        let error = rest(&mut following, Some(first))
            .await
            .expect_err("an error");
        has(&error.to_string(), &["shop.t", "--source-id", "position"]);
        // It stops again until the table is copied again.
        has(
            &stopped(&mut conn, changes(&server, &table, start)).await,
            &["shop.t", "--source-id"],
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_column_stops_until_it_is_known() {
    let server = MariaDb::start(&[]).await;
    let mut conn = shop(&server).await;
    let old = table(&mut conn).await;
    let start = preflight(&mut conn, std::slice::from_ref(&old))
        .await
        .unwrap();
    run(
        &mut conn,
        &[
            "UPDATE t SET name = 'c' WHERE id = 1",
            "ALTER TABLE t ADD COLUMN city VARCHAR(9) AFTER id",
        ],
    )
    .await;
    run(&mut conn, &["ALTER TABLE t ADD INDEX (city)"]).await;
    // Nothing is lost before the column has a value.
    let before = until_now(&mut conn, changes(&server, &old, start.clone()))
        .await
        .unwrap();
    assert_eq!(summary(&before), ["U1"]);
    run(&mut conn, &["UPDATE t SET city = 'Bern' WHERE id = 2"]).await;
    let error = stopped(&mut conn, changes(&server, &old, start.clone())).await;
    has(&error, &["shop.t", "`city`", "start the program again"]);
    // As after a restart.
    let new = describe(&mut conn, "t").await;
    let found = until_now(&mut conn, changes(&server, &new, start))
        .await
        .unwrap();
    let rows: Vec<_> = found
        .iter()
        .map(|change| serde_json::to_string(&change.row).unwrap())
        .collect();
    let by_page: Vec<_> = page(&mut conn, &new)
        .await
        .iter()
        .map(|row| serde_json::to_string(row).unwrap())
        .collect();
    assert_eq!(rows, by_page);
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_transactions_stop() {
    let server = MariaDb::start(&[]).await;
    let mut conn = shop(&server).await;
    run(&mut conn, &["CREATE TABLE other (id INT PRIMARY KEY)"]).await;
    let table = table(&mut conn).await;
    let prepare = [
        "XA START 'x'",
        "UPDATE t SET name = 'c' WHERE id = 1",
        "XA END 'x'",
        "XA PREPARE 'x'",
    ];

    let following = follow(&mut conn, &server, &table).await;
    run(&mut conn, &prepare).await;
    let mut observer = connect(&server).await;
    has(&refused(&mut observer, &table).await, &["XA", "XA RECOVER"]);
    run(&mut conn, &["XA COMMIT 'x'"]).await;
    has(
        &stopped(&mut conn, following).await,
        &["XA", "shop.t", "--source-id"],
    );

    // Those of other tables do not matter.
    let following = follow(&mut conn, &server, &table).await;
    run(
        &mut conn,
        &[
            "XA START 'y'",
            "INSERT INTO other VALUES (1)",
            "XA END 'y'",
            "XA PREPARE 'y'",
        ],
    )
    .await;
    run(
        &mut conn,
        &["XA ROLLBACK 'y'", "DELETE FROM t WHERE id = 2"],
    )
    .await;
    assert_eq!(
        summary(&until_now(&mut conn, following).await.unwrap()),
        ["D2"]
    );
    // One phase is an ordinary transaction.
    let following = follow(&mut conn, &server, &table).await;
    run(
        &mut conn,
        &[
            "XA START 'z'",
            "DELETE FROM t WHERE id = 1",
            "XA END 'z'",
            "XA COMMIT 'z' ONE PHASE",
        ],
    )
    .await;
    assert_eq!(
        summary(&until_now(&mut conn, following).await.unwrap()),
        ["D1"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_rolled_back_are_not_sent() {
    let server = MariaDb::start(&[]).await;
    let mut conn = shop(&server).await;
    let table = table(&mut conn).await;
    let temporary = "CREATE TEMPORARY TABLE temp (a INT)";

    // The log has the row, and the rollback.
    let following = follow(&mut conn, &server, &table).await;
    run(
        &mut conn,
        &[
            "BEGIN",
            "INSERT INTO t VALUES (9, '', '')",
            temporary,
            "DROP TEMPORARY TABLE temp",
            "ROLLBACK",
        ],
    )
    .await;
    run(&mut conn, &["DELETE FROM t WHERE id = 1"]).await;
    assert_eq!(
        summary(&until_now(&mut conn, following).await.unwrap()),
        ["D1"]
    );

    let following = follow(&mut conn, &server, &table).await;
    run(
        &mut conn,
        &[
            "BEGIN",
            "INSERT INTO t VALUES (8, '', '')",
            "SAVEPOINT s",
            "INSERT INTO t VALUES (9, '', '')",
            temporary,
        ],
    )
    .await;
    run(
        &mut conn,
        &[
            "DROP TEMPORARY TABLE temp",
            "ROLLBACK TO s",
            "UPDATE t SET name = 'd'",
            "COMMIT",
        ],
    )
    .await;
    has(
        &stopped(&mut conn, following).await,
        &["savepoint", "--source-id"],
    );

    // More rows than are held back.
    let start = preflight(&mut conn, std::slice::from_ref(&table))
        .await
        .unwrap();
    run(
        &mut conn,
        &[
            "BEGIN",
            "INSERT INTO t SELECT seq + 10, '', '' FROM seq_1_to_20000",
            temporary,
        ],
    )
    .await;
    run(&mut conn, &["DROP TEMPORARY TABLE temp", "ROLLBACK"]).await;
    let words = ["rolled back", "--source-id"];
    has(
        &stopped(&mut conn, changes(&server, &table, start.clone())).await,
        &words,
    );
    // After a restart fewer rows are left than are held back.
    let Place { file, position } = start.place;
    let mut following = changes(&server, &table, start).until(end_of_log(&mut conn).await.unwrap());
    let late = Pair(file, Pair(position, 15_000));
    let error = rest(&mut following, Some(late))
        .await
        .expect_err("an error");
    has(&error.to_string(), &words);
    assert_eq!(page(&mut conn, &table).await.len(), 2);
}
