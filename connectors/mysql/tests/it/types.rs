//! Each type of column: pages and the log give the same values, and these land as the README says.

use mysql_async::Value as Sql;
use mysql_async::prelude::Queryable;
use serde_json::Value as Json;

use crate::cases::{CASES, Case};
use crate::following::{Target, changes, describe, follow, page, shop, stopped, until_now};
use crate::server::MariaDb;
use snowpipe_mysql::changes::end_of_log;
use snowpipe_mysql::schema::Column;
use snowpipe_mysql::types::{check, from_page, snowflake_type, zero_dates};

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_the_log_give_the_same_values_and_these_land() {
    let server = MariaDb::start(&["--sql-mode="]).await;
    let mut conn = shop(&server).await;
    let columns: Vec<_> = CASES
        .iter()
        .enumerate()
        .map(|(n, case)| format!("c{n} {}", case.0))
        .collect();
    let ddl = format!(
        "CREATE TABLE everything (id INT PRIMARY KEY, {})",
        columns.join(", ")
    );
    conn.query_drop(ddl).await.unwrap();
    let table = describe(&mut conn, "everything").await;
    let start = snowpipe_mysql::changes::preflight(&mut conn, std::slice::from_ref(&table))
        .await
        .unwrap();
    // Row 0 is null throughout. Row n has the n-th value of each column.
    let rows = CASES.iter().map(|case| case.2.len()).max().unwrap();
    conn.query_drop("INSERT INTO everything (id) VALUES (0)")
        .await
        .unwrap();
    for row in 0..rows {
        let of = |case: &Case| case.2.get(row).map_or("NULL", |(sql, _)| *sql).to_owned();
        let values: Vec<_> = CASES.iter().map(of).collect();
        let insert = format!(
            "INSERT INTO everything VALUES ({}, {})",
            row + 1,
            values.join(", ")
        );
        conn.query_drop(insert).await.unwrap();
    }

    let by_page = page(&mut conn, &table).await;
    let logged = until_now(&mut conn, changes(&server, &table, start.clone()))
        .await
        .unwrap();
    assert_eq!((by_page.len(), logged.len()), (rows + 1, rows + 1));
    for (row, change) in by_page.iter().zip(&logged) {
        for (column, (page, log)) in table
            .columns
            .iter()
            .zip(row.values.iter().zip(&change.row.values))
        {
            let text = |value| serde_json::to_string(value).unwrap();
            assert_eq!(text(page), text(log), "{column:?}");
        }
    }
    assert!(zero_dates() >= 8, "four zero dates were read twice");

    for (column, case) in table.columns.iter().skip(1).zip(CASES) {
        assert_eq!(snowflake_type(column).unwrap(), case.1, "{column:?}");
    }
    let target = Target::new(&table, &[("CDC_OP", "VARCHAR")]);
    let end = end_of_log(&mut conn).await.unwrap();
    let mut source = changes(&server, &table, start).until(end);
    Target::stream(&target.client().await, &mut source)
        .await
        .unwrap();
    let landed = target.rows();
    assert_eq!(landed.len(), rows + 1);
    let mut wrong = Vec::new();
    for row in &landed {
        let id = usize::try_from(row["ID"].as_u64().unwrap()).unwrap();
        for (n, case) in CASES.iter().enumerate() {
            let expected = id
                .checked_sub(1)
                .and_then(|row| case.2.get(row))
                .map_or(Json::Null, |(_, json)| serde_json::from_str(json).unwrap());
            let found = &row[format!("C{n}")];
            if *found != expected {
                wrong.push(format!("{}: {found} instead of {expected}", case.0));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_and_deletes_have_the_same_values_as_pages() {
    let server = MariaDb::start(&[]).await;
    let mut conn = shop(&server).await;
    let ddl = "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT AS (a * 2) VIRTUAL, c INT AS (a * 3) STORED,
        d VARCHAR(9) INVISIBLE, e TEXT, UNIQUE (e))";
    conn.query_drop(ddl).await.unwrap();
    let table = describe(&mut conn, "t").await;
    let mut following = follow(&mut conn, &server, &table).await;
    conn.query_drop("INSERT INTO t (id, a, d, e) VALUES (1, 5, 'x', 'u')")
        .await
        .unwrap();
    let inserted = page(&mut conn, &table).await;
    conn.query_drop("UPDATE t SET a = 6").await.unwrap();
    let updated = page(&mut conn, &table).await;
    conn.query_drop("DELETE FROM t").await.unwrap();
    following = following.with_before(true);
    let changes = until_now(&mut conn, following).await.unwrap();
    let text = |row| serde_json::to_string(row).unwrap();
    let rows: Vec<_> = changes.iter().map(|change| text(&change.row)).collect();
    assert_eq!(
        rows,
        [text(&inserted[0]), text(&updated[0]), text(&updated[0])]
    );
    let before: Vec<_> = changes
        .iter()
        .map(|change| change.before.as_ref().map(text))
        .collect();
    assert_eq!(before, [None, Some(text(&inserted[0])), None]);
}

#[test]
fn what_cannot_be_kept_is_refused_with_a_remedy() {
    let column = |data_type: &str, column_type: &str, character_set: Option<&str>| Column {
        name: "c".to_owned(),
        data_type: data_type.to_owned(),
        column_type: column_type.to_owned(),
        character_set: character_set.map(str::to_owned),
        is_nullable: true,
    };
    for (refused, problem, remedy) in [
        (
            column("varchar", "varchar(9)", Some("utf16")),
            "utf16",
            "utf8mb4",
        ),
        (
            column(
                "varchar",
                "varchar(9) /*M!100301 COMPRESSED*/",
                Some("utf8mb4"),
            ),
            "compressed",
            "without COMPRESSED",
        ),
        (column("time", "time(2)", None), "decimals", "TIME(3)"),
        (
            column("vector", "vector(3)", None),
            "vector",
            "without the column",
        ),
    ] {
        let error = check(&refused).expect_err("a refusal");
        assert_eq!(error.column, "c");
        assert!(
            error.problem.contains(problem) && error.remedy.contains(remedy),
            "{error}"
        );
        assert_eq!(snowflake_type(&refused), Err(error));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_cannot_be_kept_is_named() {
    let server = MariaDb::start(&[]).await;
    let mut conn = shop(&server).await;
    conn.query_drop("CREATE TABLE t (id INT PRIMARY KEY, j JSON)")
        .await
        .unwrap();
    let table = describe(&mut conn, "t").await;
    let following = follow(&mut conn, &server, &table).await;
    conn.query_drop("SET check_constraint_checks = 0")
        .await
        .unwrap();
    conn.query_drop("INSERT INTO t VALUES (1, '{no json')")
        .await
        .unwrap();
    let error = stopped(&mut conn, following).await;
    for word in [
        "shop.t",
        "`j`",
        "not JSON",
        "change 1:",
        ":1:",
        "JSON_VALID",
    ] {
        assert!(error.contains(word), "{word} is not in: {error}");
    }
    let error =
        from_page(&table.columns[1], Sql::Bytes(b"{no json".to_vec())).expect_err("an error");
    assert_eq!(
        (error.column.as_str(), error.problem.as_str()),
        ("j", "the text is not JSON")
    );
}
