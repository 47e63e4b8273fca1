//! Tables are copied by ranges of their keys, and copied on where an earlier run ended.

use std::collections::BTreeMap;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use rusqlite::types::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::program::{PATIENCE, World, output, table, text};

const PEOPLE: &str = "--table=people_100k=LAKE.PUBLIC.PEOPLE";
const GOLD: &str = "--gold=people_100k=LAKE.PUBLIC.CUSTOMERS";

async fn load(world: &World, rows: u32) {
    let mut command = world.command("load", &[]);
    // The user of a copy cannot write.
    command.arg(format!("--rows={rows}"));
    let mut conn = world.conn().await;
    conn.query_drop("GRANT CREATE, INSERT ON shop.* TO cdc@'%'")
        .await
        .unwrap();
    let output = output(command).await;
    assert!(output.status.success(), "{}", text(&output));
}

async fn check(world: &World) -> (bool, String) {
    let options = [
        "--landing=landing.db",
        "--raw=LAKE.PUBLIC.PEOPLE",
        "--gold=LAKE.PUBLIC.CUSTOMERS",
    ];
    let output = output(world.command("check", &options)).await;
    (output.status.success(), text(&output))
}

/// The landed rows in the order of their numbers.
fn sorted(world: &World) -> Vec<(i64, BTreeMap<String, Value>)> {
    let rows = world
        .landed("PEOPLE")
        .into_iter()
        .map(|row| match row.get("ROW_INDEX") {
            Some(Value::Integer(number)) => (*number, row),
            other => panic!("{other:?} is no number of a row"),
        });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|(number, _)| *number);
    rows
}

#[tokio::test]
async fn one_channel_and_eight_give_the_same_tables_and_a_rerun_gives_nothing() {
    let mut all = Vec::new();
    for channels in ["--channels=1", "--channels=8"] {
        let mut world = World::new(&[]).await;
        load(&world, 3_000).await;
        let options = [PEOPLE, GOLD, channels, "--snapshot-only"];
        world.make_tables(&options).await;
        world.copy(&options).await;
        let (is_clean, report) = check(&world).await;
        assert!(is_clean, "{report}");
        let rows = sorted(&world);
        assert_eq!(rows.len(), 3_000);

        let again = world.copy(&options).await;
        assert!(again.contains("people_100k: 0 rows"), "{again}");
        assert_eq!(sorted(&world), rows);

        load(&world, 3_010).await;
        let (is_clean, report) = check(&world).await;
        assert!(!is_clean && report.contains("missing"), "{report}");
        world.copy(&options).await;
        assert_eq!(sorted(&world).len(), 3_010);
        let (is_clean, report) = check(&world).await;
        assert!(is_clean, "{report}");
        all.push(sorted(&world));
    }
    assert_eq!(all[0], all[1]);
}

#[tokio::test]
async fn the_current_state_is_checked_after_changes() {
    let mut world = World::new(&[]).await;
    load(&world, 1_000).await;
    let options = [PEOPLE, "--until-now"];
    world.make_tables(&options).await;
    world.copy(&options).await;
    let mut conn = world.conn().await;
    for statement in [
        "UPDATE people_100k SET EMAIL = 'changed@example.org' WHERE ROW_INDEX % 7 = 0",
        "DELETE FROM people_100k WHERE ROW_INDEX % 11 = 0",
        "UPDATE people_100k SET ROW_INDEX = ROW_INDEX + 5000 WHERE ROW_INDEX % 13 = 0",
    ] {
        conn.query_drop(statement).await.unwrap();
    }
    let options = [
        "--landing=landing.db",
        "--raw=LAKE.PUBLIC.PEOPLE",
        "--current",
    ];
    let behind = output(world.command("check", &options)).await;
    assert!(!behind.status.success(), "{}", text(&behind));
    world.copy(&[PEOPLE, "--until-now"]).await;
    let report = output(world.command("check", &options)).await;
    assert!(report.status.success(), "{}", text(&report));
    let copy_only = output(world.command("check", &options[..2])).await;
    assert!(!copy_only.status.success(), "{}", text(&copy_only));
}

/// A prepared transaction of another table hides no changes, once the place in the log is known.
#[tokio::test]
async fn a_copy_continues_beside_a_prepared_transaction() {
    let mut world = World::new(&[]).await;
    let mut conn = world.conn().await;
    for statement in [
        "CREATE TABLE orders (id INT PRIMARY KEY)",
        "CREATE TABLE others (id INT PRIMARY KEY)",
        "INSERT INTO orders VALUES (1)",
    ] {
        conn.query_drop(statement).await.unwrap();
    }
    let options = [&table("orders"), "--until-now"];
    world.make_tables(&options).await;
    world.copy(&options).await;
    for statement in [
        "XA START 'x'",
        "INSERT INTO others VALUES (1)",
        "XA END 'x'",
        "XA PREPARE 'x'",
    ] {
        conn.query_drop(statement).await.unwrap();
    }
    let mut other = world.conn().await;
    other
        .query_drop("INSERT INTO orders VALUES (2)")
        .await
        .unwrap();
    world.copy(&options).await;
    assert_eq!(world.landed("ORDERS_CHANGES").len(), 1);
}

/// Keys of several columns, in the order of a collation, with signs, with decimals and with dates.
#[tokio::test]
async fn rows_are_read_by_any_primary_key() {
    let mut world = World::new(&[]).await;
    let mut conn = world.conn().await;
    let tables = [
        (
            "names",
            "name VARCHAR(20), PRIMARY KEY (name)",
            "CONCAT(IF(seq % 2, 'ä', 'A'), LPAD(seq, 4, ' '), 'é')",
        ),
        (
            "signed",
            "id BIGINT, PRIMARY KEY (id)",
            "CAST(seq AS SIGNED) - 150",
        ),
        (
            "huge",
            "id BIGINT UNSIGNED, PRIMARY KEY (id)",
            "18446744073709551615 - seq * 1000000000000000",
        ),
        (
            "prices",
            "price DECIMAL(20,2), PRIMARY KEY (price)",
            "9007199254740993.00 + seq / 100",
        ),
        (
            "days",
            "day DATETIME(6), PRIMARY KEY (day)",
            "'2026-01-01' + INTERVAL seq MICROSECOND",
        ),
        (
            "bytes",
            "id VARBINARY(8), PRIMARY KEY (id)",
            "UNHEX(CONCAT('FF', LPAD(HEX(seq), 6, '0')))",
        ),
        ("ids", "id UUID, PRIMARY KEY (id)", "UUID()"),
        (
            "parts",
            "a VARCHAR(3), b SMALLINT, c DATE, PRIMARY KEY (a, c, b)",
            "CHAR(97 + seq % 3), seq % 7, '2026-01-01' + INTERVAL seq DAY",
        ),
    ];
    let mut options: Vec<String> = vec!["--channels=5".to_owned(), "--snapshot-only".to_owned()];
    for (name, columns, values) in tables {
        for statement in [
            format!(
                "CREATE TABLE {name} ({columns}, note INT) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"
            ),
            format!("INSERT INTO {name} SELECT {values}, seq FROM seq_1_to_300"),
        ] {
            conn.query_drop(&statement)
                .await
                .unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        options.push(table(name));
    }
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    world.make_tables(&options).await;
    world.copy(&options).await;
    for (name, ..) in tables {
        let rows = world.landed(&name.to_uppercase());
        let mut notes: Vec<_> = rows.iter().map(|row| row.get("NOTE").cloned()).collect();
        notes.sort_by_key(|note| match note {
            Some(Value::Integer(note)) => *note,
            other => panic!("{other:?} in {name}"),
        });
        let all: Vec<_> = (1..=300).map(|note| Some(Value::Integer(note))).collect();
        assert_eq!(notes, all, "{name}");
    }
    let again = world.copy(&options).await;
    for (name, ..) in tables {
        assert!(again.contains(&format!("{name}: 0 rows")), "{again}");
    }
}

/// `information_schema` shows the checks of a table only to users with a right to the whole database.
#[tokio::test]
async fn a_user_with_select_on_the_table_alone_reads_json() {
    let mut world = World::new(&[]).await;
    let mut conn = world.conn().await;
    for statement in [
        "CREATE TABLE documents (id INT PRIMARY KEY, `a``b` JSON, note LONGTEXT COMMENT 'CHECK (json_valid(`note`))')",
        "REVOKE SELECT ON *.* FROM cdc@'%'",
        "GRANT SELECT ON shop.documents TO cdc@'%'",
    ] {
        conn.query_drop(statement).await.unwrap();
    }
    let ddl = output(world.command("ddl", &[&table("documents")])).await;
    let text = text(&ddl);
    assert!(text.contains("\"A`B\" VARIANT"), "{text}");
    assert!(text.contains("\"NOTE\" VARCHAR"), "{text}");
    // The content of a document lands as such.
    conn.query_drop(r#"INSERT INTO documents VALUES (1, '{"a": [1]}', 'x')"#)
        .await
        .unwrap();
    let options = [&table("documents"), "--snapshot-only"];
    world.make_tables(&options).await;
    world.copy(&options).await;
    let rows = world.landed("DOCUMENTS");
    assert_eq!(
        rows[0].get("A`B"),
        Some(&Value::Text(r#"{"a": [1]}"#.to_owned()))
    );
}

/// The program does not keep a connection while it copies, because the database may close it.
#[tokio::test]
async fn the_end_of_the_log_is_asked_for_after_the_database_has_restarted() {
    let mut world = World::new(&[]).await;
    let mut conn = world.conn().await;
    for statement in [
        "CREATE TABLE orders (id INT PRIMARY KEY)",
        "INSERT INTO orders SELECT seq FROM seq_1_to_20000",
    ] {
        conn.query_drop(statement).await.unwrap();
    }
    let options = [&table("orders"), "--until-now", "--channels=2"];
    world.make_tables(&options).await;
    let mut program = world.start_copy(&options);
    let until = Instant::now() + PATIENCE;
    while world.landed("ORDERS").is_empty() {
        assert!(Instant::now() < until, "no row lands");
        sleep(Duration::from_millis(5)).await;
    }
    drop(conn);
    world.server.kill();
    world.server.up().await;
    let ended = timeout(PATIENCE, program.wait()).await;
    assert!(ended.expect("the copy does not end").unwrap().success());
    assert_eq!(world.landed("ORDERS").len(), 20_000);
}

/// The place in a range is that in the order of the key.
#[tokio::test]
async fn another_primary_key_is_refused() {
    let mut world = World::new(&[]).await;
    let mut conn = world.conn().await;
    for statement in [
        "CREATE TABLE orders (a INT, b INT, PRIMARY KEY (a))",
        "CREATE TABLE names (name VARCHAR(9) COLLATE utf8mb4_general_ci PRIMARY KEY)",
        "INSERT INTO orders SELECT seq, 400 - seq FROM seq_1_to_300",
        "INSERT INTO names VALUES ('a'), ('B')",
    ] {
        conn.query_drop(statement).await.unwrap();
    }
    let tables = [table("orders"), table("names")];
    world
        .make_tables(&[&tables[0], &tables[1], "--snapshot-only"])
        .await;
    for (name, alter, words) in [
        (
            "orders",
            "ALTER TABLE orders DROP PRIMARY KEY, ADD PRIMARY KEY (b)",
            ["a integer", "b integer"],
        ),
        (
            "names",
            "ALTER TABLE names MODIFY name VARCHAR(9) COLLATE utf8mb4_bin",
            ["utf8mb4_general_ci", "utf8mb4_bin"],
        ),
    ] {
        let options = [&table(name), "--snapshot-only"];
        world.copy(&options).await;
        conn.query_drop(alter).await.unwrap();
        let mut command = world.command("copy", &["--profile=profile.json"]);
        command.args(options);
        let output = output(command).await;
        let text = text(&output);
        assert!(!output.status.success(), "{text}");
        for word in words.iter().chain(&["--source-id"]) {
            assert!(text.contains(word), "{word:?} is not in {text}");
        }
    }
}

/// Zero dates become null, so two rows would have the same key.
#[tokio::test]
async fn a_zero_date_in_a_key_is_refused() {
    let mut world = World::new(&[]).await;
    let mut conn = world.conn().await;
    for statement in [
        "CREATE TABLE copied (day DATE PRIMARY KEY)",
        "CREATE TABLE followed (day DATE PRIMARY KEY)",
        "INSERT INTO copied VALUES ('0000-00-00')",
        "INSERT INTO followed VALUES ('2026-01-01')",
    ] {
        conn.query_drop(statement).await.unwrap();
    }
    let (copied, followed) = (table("copied"), table("followed"));
    world.make_tables(&[&copied, &followed]).await;
    world.copy(&[&followed, "--until-now"]).await;
    conn.query_drop("INSERT INTO followed VALUES ('2026-00-00')")
        .await
        .unwrap();
    // The rows of `followed` are copied already, so only the log has the new one below its range.
    for (options, name) in [
        ([copied.as_str(), "--snapshot-only"], "shop.copied"),
        ([followed.as_str(), "--until-now"], "shop.followed"),
    ] {
        let mut command = world.command("copy", &["--profile=profile.json"]);
        command.args(options);
        let output = output(command).await;
        let text = text(&output);
        assert!(!output.status.success(), "{text}");
        for word in [name, "`day`", "correct the row"] {
            assert!(text.contains(word), "{word:?} is not in {text}");
        }
    }
}
