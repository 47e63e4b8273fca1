//! Servers, tables, rights and places that are refused before a change is read, with the remedy.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, Row};
use snowpipe_streaming::ingest::Source;
use tokio::time::{Instant, sleep};

use crate::following::{
    DATABASE, changes, describe, opts, rest, shop, stopped, summary, until_now,
};
use crate::program::PATIENCE;
use crate::server::MariaDb;
use crate::traps::{self, has, refused, run, table};
use snowpipe_mysql::changes::{Changes, Place, Start, end_of_log, preflight};
use snowpipe_mysql::schema::Table;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_followed_is_refused_at_once() {
    let server = MariaDb::start(&[]).await;
    let mut conn = shop(&server).await;
    let table = table(&mut conn).await;
    for (wrong, right, words) in [
        (
            "binlog_format = STATEMENT",
            "binlog_format = ROW",
            "binlog_format=ROW",
        ),
        (
            "binlog_row_image = MINIMAL",
            "binlog_row_image = FULL",
            "binlog_row_image=FULL",
        ),
        (
            "binlog_row_metadata = NO_LOG",
            "binlog_row_metadata = FULL",
            "binlog_row_metadata=FULL",
        ),
        (
            "log_bin_compress = ON",
            "log_bin_compress = OFF",
            "log_bin_compress=OFF",
        ),
    ] {
        run(&mut conn, &[&format!("SET GLOBAL {wrong}")]).await;
        has(&refused(&mut conn, &table).await, &[words]);
        run(&mut conn, &[&format!("SET GLOBAL {right}")]).await;
    }
    preflight(&mut conn, std::slice::from_ref(&table))
        .await
        .unwrap();
    let mut misnamed = Table::clone(&table);
    misnamed.name = "T".to_owned();
    has(
        &refused(&mut conn, &Arc::new(misnamed)).await,
        &["shop.T", "capital letters"],
    );

    for (ddl, words) in [
        ("CREATE TABLE u (id INT)", ["primary key", "add one"]),
        (
            "CREATE TABLE u (id INT PRIMARY KEY) WITH SYSTEM VERSIONING",
            ["SYSTEM VERSIONED", "base table"],
        ),
        (
            "CREATE TABLE u (id INT PRIMARY KEY, cdc_op INT)",
            ["cdc_op", "rename"],
        ),
        (
            "CREATE TABLE u (id INT PRIMARY KEY, x VARCHAR(9) CHARACTER SET utf16)",
            ["`x`", "utf8mb4"],
        ),
        (
            "CREATE TABLE u (id INT PRIMARY KEY, t INT, FOREIGN KEY cut (t) REFERENCES t (id) ON DELETE CASCADE)",
            ["cascades", "trigger"],
        ),
        (
            "CREATE TABLE u (id INT PRIMARY KEY, t INT, FOREIGN KEY (t) REFERENCES t (id) ON UPDATE SET NULL)",
            ["cascades", "--snapshot-only"],
        ),
    ] {
        run(&mut conn, &[ddl]).await;
        let described = describe(&mut conn, "u").await;
        has(&refused(&mut conn, &described).await, &words);
        run(&mut conn, &["DROP TABLE u"]).await;
    }
    let harmless = "CREATE TABLE u (id INT PRIMARY KEY, t INT, FOREIGN KEY (t) REFERENCES t (id))";
    run(&mut conn, &[harmless]).await;
    let described = describe(&mut conn, "u").await;
    preflight(&mut conn, &[described]).await.unwrap();

    let filtered = MariaDb::start(&["--binlog-ignore-db=shop"]).await;
    let mut conn = shop(&filtered).await;
    let table = traps::table(&mut conn).await;
    has(&refused(&mut conn, &table).await, &["not logged", "filter"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_rights_are_named() {
    let server = MariaDb::start(&[]).await;
    let mut conn = shop(&server).await;
    let table = table(&mut conn).await;
    run(
        &mut conn,
        &[
            "CREATE USER cdc IDENTIFIED BY 'secret'",
            "GRANT SELECT ON shop.* TO cdc",
        ],
    )
    .await;
    let as_cdc = || Opts::from_url(&server.url("cdc", "secret", DATABASE)).unwrap();
    let mut cdc = Conn::new(as_cdc()).await.unwrap();
    has(
        &refused(&mut cdc, &table).await,
        &["cdc@", "REPLICATION SLAVE, BINLOG MONITOR", "GRANT"],
    );
    run(&mut conn, &["GRANT REPLICATION SLAVE ON *.* TO cdc"]).await;
    let error = refused(&mut Conn::new(as_cdc()).await.unwrap(), &table).await;
    assert!(
        error.contains("lacks BINLOG MONITOR") && !error.contains("SLAVE"),
        "{error}"
    );
    run(&mut conn, &["GRANT BINLOG MONITOR ON *.* TO cdc"]).await;
    let start = preflight(
        &mut Conn::new(as_cdc()).await.unwrap(),
        std::slice::from_ref(&table),
    )
    .await
    .unwrap();
    // `information_schema` shows foreign keys only to users that may write.
    let cascade = "CREATE TABLE u (id INT PRIMARY KEY, t INT, FOREIGN KEY (t) REFERENCES t (id) ON DELETE CASCADE)";
    run(&mut conn, &[cascade]).await;
    let child = describe(&mut conn, "u").await;
    let mut cdc = Conn::new(as_cdc()).await.unwrap();
    has(
        &refused(&mut cdc, &child).await,
        &["`u_ibfk_1`", "cascades", "trigger"],
    );
    run(&mut conn, &["DELETE FROM t WHERE id = 1"]).await;
    let following = Changes::new(as_cdc(), "cdc", vec![Arc::clone(&table)], start.clone());
    assert_eq!(
        summary(&until_now(&mut conn, following).await.unwrap()),
        ["D1"]
    );

    // Rights that are taken away later, and a wrong password.
    run(&mut conn, &["REVOKE REPLICATION SLAVE ON *.* FROM cdc"]).await;
    let following = Changes::new(as_cdc(), "cdc", vec![Arc::clone(&table)], start.clone());
    has(
        &stopped(&mut conn, following).await,
        &["REPLICATION SLAVE", "GRANT"],
    );
    let wrong = Opts::from_url(&server.url("cdc", "wrong-secret", DATABASE)).unwrap();
    let following = Changes::new(wrong, "cdc", vec![table], start);
    let error = stopped(&mut conn, following).await;
    assert!(
        error.contains("Access denied") && !error.contains("wrong-secret"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_not_in_the_log_stops() {
    let server = MariaDb::start(&[]).await;
    let mut conn = shop(&server).await;
    let table = table(&mut conn).await;
    let start = preflight(&mut conn, std::slice::from_ref(&table))
        .await
        .unwrap();
    run(&mut conn, &["UPDATE t SET name = 'c'"]).await;
    let Place { file, position } = start.place;
    let at = |file, position| Start {
        place: Place { file, position },
        ..start.clone()
    };
    for (start, words) in [
        (
            at(file, position + 1),
            ["cannot be read from here", "--source-id"],
        ),
        (at(file, position - 1), ["of the binary log", "--source-id"]),
        (
            at(file, position + 100_000),
            ["lost its end", "--source-id"],
        ),
        (
            at(file, (1 << 32) + position),
            ["lost its end", "--source-id"],
        ),
        (at(file + 1, 4), ["not in the server's log", "--source-id"]),
        (
            Start {
                server_id: 7,
                ..start.clone()
            },
            ["the server 7", "--source-id"],
        ),
        (
            Start {
                base: "other".to_owned(),
                ..start.clone()
            },
            ["other.", "--source-id"],
        ),
    ] {
        has(
            &stopped(&mut conn, changes(&server, &table, start)).await,
            &words,
        );
    }
    run(&mut conn, &["SET GLOBAL server_id = 2"]).await;
    has(
        &stopped(&mut conn, changes(&server, &table, start.clone())).await,
        &["the server 2", "the server 1"],
    );
    run(
        &mut conn,
        &[
            "SET GLOBAL server_id = 1",
            "FLUSH BINARY LOGS",
            "DELETE FROM t",
        ],
    )
    .await;
    let through_both = until_now(&mut conn, changes(&server, &table, start.clone()))
        .await
        .unwrap();
    assert_eq!(summary(&through_both), ["U1", "U2", "D1", "D2"]);
    // The server keeps a file as long as it sends it to a reader whose connection it still takes to be open.
    let purge = format!("PURGE BINARY LOGS TO '{}'", start.file_name(file + 1));
    let deadline = Instant::now() + PATIENCE;
    loop {
        run(&mut conn, &[&purge]).await;
        let first: Option<Row> = conn.query_first("SHOW BINARY LOGS").await.unwrap();
        if first.unwrap().get::<String, _>(0) != Some(start.file_name(file)) {
            break;
        }
        assert!(Instant::now() < deadline, "the file is not purged");
        sleep(Duration::from_millis(20)).await;
    }
    has(
        &stopped(&mut conn, changes(&server, &table, start)).await,
        &["purged", "--source-id"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_readers_with_one_name_the_older_stops() {
    let server = MariaDb::start(&[]).await;
    let mut conn = shop(&server).await;
    let table = table(&mut conn).await;
    let start = preflight(&mut conn, std::slice::from_ref(&table))
        .await
        .unwrap();
    let mut older = changes(&server, &table, start.clone());
    let mut newer = changes(&server, &table, start.clone());
    {
        assert!(older.read_after(None, 10).await.unwrap().rows.is_empty());
        assert!(newer.read_after(None, 10).await.unwrap().rows.is_empty());
        let error = older.ready().await.expect_err("an error");
        assert!(older.is_fatal(&error));
        has(&error.to_string(), &["same id", "--source-id"]);
    }
    let mut other = Changes::new(opts(&server), "another", vec![Arc::clone(&table)], start);
    run(&mut conn, &["DELETE FROM t WHERE id = 1"]).await;
    let end = end_of_log(&mut conn).await.unwrap();
    for reader in [&mut newer, &mut other] {
        let reader =
            std::mem::replace(reader, changes(&server, &table, "b.1:4@1".parse().unwrap()));
        assert_eq!(
            summary(&rest(&mut reader.until(end), None).await.unwrap()),
            ["D1"]
        );
    }
}
