//! Changes are read once each, whatever breaks, and with the pages they make the table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Opts, TxOpts};
use serde_json::Value as Json;
use snowpipe_streaming::ingest::{Pair, Source};

use crate::following::{
    DATABASE, Target, changes, connect, describe, follow, page, rest, shop, summary, until_now,
};
use crate::proxy::Proxy;
use crate::server::MariaDb;
use snowpipe_mysql::changes::{COLUMNS, Change, Changes, Offset, end_of_log, preflight};

const CREATE: &str =
    "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(40)) PARTITION BY HASH(id) PARTITIONS 3";
fn offsets(changes: &[Change]) -> Vec<Offset> {
    changes.iter().map(|change| change.offset).collect()
}

/// The rows of pages after the changes, by key.
fn state(pages: Vec<Json>, changes: impl IntoIterator<Item = Json>) -> BTreeMap<i64, Json> {
    let key = |row: &Json| row["id"].as_i64().expect("a key");
    let mut state: BTreeMap<_, _> = pages.into_iter().map(|row| (key(&row), row)).collect();
    for change in changes {
        match change["CDC_OP"].as_str() {
            Some("D") => state.remove(&key(&change)),
            _ => state.insert(key(&change), change),
        };
    }
    state
}

fn same(state: &BTreeMap<i64, Json>, table: &[Json]) {
    let names = |row: &Json| (row["id"].clone(), row["name"].clone());
    let state: Vec<_> = state.values().map(names).collect();
    let table: Vec<_> = table.iter().map(names).collect();
    assert_eq!(state, table);
}

fn json(rows: &[impl serde::Serialize]) -> Vec<Json> {
    rows.iter()
        .map(|row| serde_json::to_value(row).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_offset_continues_with_the_change_after_it() {
    let mut server = MariaDb::start(&[]).await;
    let mut conn = shop(&server).await;
    conn.query_drop(CREATE).await.unwrap();
    conn.query_drop("CREATE TABLE other (id INT PRIMARY KEY)")
        .await
        .unwrap();
    let table = describe(&mut conn, "t").await;
    let start = preflight(&mut conn, std::slice::from_ref(&table))
        .await
        .unwrap();
    for sql in [
        "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')",
        "INSERT INTO other VALUES (1)",
        "UPDATE t SET id = id + 10 WHERE id < 3",
        "REPLACE INTO t VALUES (3, 'd'), (4, 'e')",
        "INSERT INTO t VALUES (4, 'f') ON DUPLICATE KEY UPDATE name = 'g'",
        "FLUSH BINARY LOGS",
        "CREATE TABLE unrelated (id INT)",
        "INSERT INTO t SELECT seq, 'many' FROM seq_100_to_1500",
        "DELETE FROM t WHERE id BETWEEN 100 AND 120",
    ] {
        conn.query_drop(sql).await.unwrap();
    }
    drop(conn);
    server.kill();
    server.up().await;
    let mut conn = connect(&server).await;
    let mut transaction = conn.start_transaction(TxOpts::default()).await.unwrap();
    for sql in [
        "UPDATE shop.t SET name = 'h' WHERE id = 3",
        "INSERT INTO shop.other VALUES (2)",
        "DELETE FROM shop.t WHERE id = 3",
    ] {
        transaction.query_drop(sql).await.unwrap();
    }
    transaction.commit().await.unwrap();
    conn.query_drop("ALTER TABLE shop.other ADD COLUMN x INT")
        .await
        .unwrap();

    let all = until_now(&mut conn, changes(&server, &table, start.clone()))
        .await
        .unwrap();
    let said = summary(&all);
    let begin = [
        "I1", "I2", "I3", "D1", "I11", "D2", "I12", "U3", "I4", "U4", "I100",
    ];
    assert_eq!(said[..begin.len()], begin);
    assert_eq!(said[said.len() - 3..], ["D120", "U3", "D3"]);
    assert_eq!(said.len(), 10 + 1401 + 21 + 2);
    let offsets = offsets(&all);
    assert!(offsets.is_sorted() && offsets.windows(2).all(|pair| pair[0] != pair[1]));
    assert!(
        offsets
            .iter()
            .all(|offset| offset.to_string().parse::<Offset>().unwrap() == *offset)
    );
    let files: Vec<_> = offsets.iter().map(|Pair(file, _)| *file).collect();
    assert!(files.first() < files.last(), "{files:?}");

    // The end may be at the beginning of a file.
    conn.query_drop("FLUSH BINARY LOGS").await.unwrap();
    let end = end_of_log(&mut conn).await.unwrap();
    let every = (0..all.len()).filter(|n| *n < 12 || n % 200 == 0 || *n > all.len() - 4);
    let mut one = changes(&server, &table, start.clone()).until(end);
    for n in every {
        // A new source, as after a crash, and one that is asked to go back.
        let mut new = changes(&server, &table, start.clone()).until(end);
        for source in [&mut new, &mut one] {
            let found = rest(source, Some(offsets[n])).await.unwrap();
            assert_eq!(json(&found), json(&all[n + 1..]), "after {}", offsets[n]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_transaction_is_returned_before_it_was_read_to_its_end() {
    let server = MariaDb::start(&[]).await;
    let mut conn = shop(&server).await;
    conn.query_drop(CREATE).await.unwrap();
    let table = describe(&mut conn, "t").await;
    let following = follow(&mut conn, &server, &table).await;
    conn.query_drop("INSERT INTO t SELECT seq, 'a row of some length' FROM seq_1_to_50000")
        .await
        .unwrap();
    let mut following = following.until(end_of_log(&mut conn).await.unwrap());
    let (mut last, mut rows, mut largest) = (None, 0, 0);
    loop {
        let batch = following.read_after(last.as_ref(), 500).await.unwrap();
        last = batch.through.or(last);
        rows += batch.rows.len();
        largest = largest.max(following.buffered());
        if batch.is_end {
            break;
        }
        if batch.rows.is_empty() {
            following.ready().await.unwrap();
        }
    }
    assert_eq!(rows, 50_000);
    assert!(largest < 15_000, "{largest} rows were held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_falls_silent_is_replaced() {
    let server = MariaDb::start(&[]).await;
    let mut conn = shop(&server).await;
    conn.query_drop(CREATE).await.unwrap();
    let table = describe(&mut conn, "t").await;
    let start = preflight(&mut conn, std::slice::from_ref(&table))
        .await
        .unwrap();
    let proxy = Proxy::start(server.port()).await;
    let url = format!(
        "mysql://root@127.0.0.1:{}/{DATABASE}?prefer_socket=false",
        proxy.port()
    );
    let mut following = Changes::new(Opts::from_url(&url).unwrap(), "test", vec![table], start)
        .heartbeat(Duration::from_secs(1));
    conn.query_drop("INSERT INTO t VALUES (1, 'a')")
        .await
        .unwrap();
    while following
        .read_after(None, 10)
        .await
        .unwrap()
        .rows
        .is_empty()
    {
        following.ready().await.unwrap();
    }
    proxy.silence();
    conn.query_drop("INSERT INTO t VALUES (2, 'b')")
        .await
        .unwrap();
    let error = following.ready().await.expect_err("a silent connection");
    assert!(!following.is_fatal(&error), "{error}");
    // The server still serves the old connection, whose place the new one takes.
    let mut following = following.until(end_of_log(&mut conn).await.unwrap());
    assert_eq!(
        summary(&rest(&mut following, None).await.unwrap()),
        ["I1", "I2"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_again_is_followed_on() {
    let mut server = MariaDb::start(&[]).await;
    let mut conn = shop(&server).await;
    conn.query_drop(CREATE).await.unwrap();
    let table = describe(&mut conn, "t").await;
    let mut following = follow(&mut conn, &server, &table).await;
    conn.query_drop("INSERT INTO t VALUES (1, 'a')")
        .await
        .unwrap();
    let first = loop {
        let batch = following.read_after(None, 10).await.unwrap();
        if let Some(through) = batch.through {
            break through;
        }
        following.ready().await.unwrap();
    };
    drop(conn);
    server.kill();
    let error = following.ready().await.expect_err("the server is down");
    assert!(!following.is_fatal(&error), "{error}");
    let error = following
        .read_after(Some(&first), 10)
        .await
        .expect_err("the server is down");
    assert!(!following.is_fatal(&error), "{error}");
    server.up().await;
    let mut conn = connect(&server).await;
    conn.query_drop("INSERT INTO shop.t VALUES (2, 'b')")
        .await
        .unwrap();
    let mut following = following.until(end_of_log(&mut conn).await.unwrap());
    assert_eq!(
        summary(&rest(&mut following, Some(first)).await.unwrap()),
        ["I2"]
    );
}

/// Writes until it is over: rows come, change, change their keys and go, in transactions that are committed or not.
async fn write(mut conn: mysql_async::Conn, seed: u64, is_over: Arc<AtomicBool>) {
    let mut random = fastrand::Rng::with_seed(seed);
    while !is_over.load(Ordering::Relaxed) {
        let mut transaction = conn.start_transaction(TxOpts::default()).await.unwrap();
        for _ in 0..random.u32(1..6) {
            let (a, b, text) = (random.i32(0..400), random.i32(0..400), random.u32(..));
            let sql = match random.u8(0..5) {
                0 => format!("INSERT IGNORE INTO t VALUES ({a}, 'new {text}')"),
                1 => format!("DELETE FROM t WHERE id = {a}"),
                2 => format!("UPDATE IGNORE t SET id = {b} WHERE id = {a}"),
                3 => format!("REPLACE INTO t VALUES ({a}, 'replaced {text}')"),
                _ => {
                    format!("UPDATE t SET name = 'updated {text}' WHERE id BETWEEN {a} AND {a} + 5")
                }
            };
            // Two writers may block each other.
            if transaction.query_drop(sql).await.is_err() {
                break;
            }
        }
        let ended = if random.u8(0..5) == 0 {
            transaction.rollback().await
        } else {
            transaction.commit().await
        };
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_changes_make_the_table_while_it_is_written_and_the_program_is_killed() {
    let server = MariaDb::start(&[]).await;
    let mut conn = shop(&server).await;
    conn.query_drop(CREATE).await.unwrap();
    conn.query_drop("INSERT INTO t SELECT seq, 'first' FROM seq_0_to_300")
        .await
        .unwrap();
    let table = describe(&mut conn, "t").await;
    let is_over = Arc::new(AtomicBool::new(false));
    let mut writers = tokio::task::JoinSet::new();
    for seed in [1, 2] {
        let mut writer = connect(&server).await;
        writer.query_drop("USE shop").await.unwrap();
        writers.spawn(write(writer, seed, Arc::clone(&is_over)));
    }
    let start = preflight(&mut conn, std::slice::from_ref(&table))
        .await
        .unwrap();
    // Pages of a table that changes meanwhile.
    let mut pages = Vec::new();
    let mut after = -1;
    loop {
        let query = "SELECT id, name FROM t WHERE id > ? ORDER BY id LIMIT 10";
        let found: Vec<(i32, String)> = conn.exec(query, (after,)).await.unwrap();
        let Some((last, _)) = found.last() else { break };
        after = *last;
        pages.extend(
            found
                .into_iter()
                .map(|(id, name)| serde_json::json!({"id": id, "name": name})),
        );
        // The log grows with each page.
        let end = end_of_log(&mut conn).await.unwrap();
        while end_of_log(&mut conn).await.unwrap() == end {
            tokio::task::yield_now().await;
        }
    }

    // Runs that are killed after some rows have landed, while the table is written.
    let target = Target::new(&table, &COLUMNS);
    for landed in [1, 200, 400] {
        let mut source = changes(&server, &table, start.clone());
        let client = target.client().await;
        let killed = async {
            while target.rows().len() < landed {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            ended = Target::stream(&client, &mut source) => panic!("{ended:?}"),
            () = killed => {}
        }
        client.abort();
    }
    is_over.store(true, Ordering::Relaxed);
    writers.join_all().await;
    let table_now = json(&page(&mut conn, &table).await);
    let end = end_of_log(&mut conn).await.unwrap();
    let mut source = changes(&server, &table, start.clone()).until(end);
    Target::stream(&target.client().await, &mut source)
        .await
        .unwrap();

    // Each change has landed once.
    let expected = until_now(&mut conn, changes(&server, &table, start))
        .await
        .unwrap();
    let number = |row: &Json, name: &str| {
        row[name]
            .to_string()
            .trim_matches('"')
            .parse::<u64>()
            .unwrap()
    };
    let place = |row: &Json| {
        Pair(
            number(row, "CDC_FILE"),
            Pair(number(row, "CDC_POSITION"), number(row, "CDC_ROW")),
        )
    };
    let mut landed = target.rows();
    landed.sort_by_key(place);
    assert_eq!(
        landed.iter().map(place).collect::<Vec<_>>(),
        offsets(&expected)
    );
    assert!(expected.len() > 400);

    same(&state(pages.clone(), json(&expected)), &table_now);
    let lower = |row: Json| serde_json::json!({"id": row["ID"], "name": row["NAME"], "CDC_OP": row["CDC_OP"]});
    same(&state(pages, landed.into_iter().map(lower)), &table_now);
}
