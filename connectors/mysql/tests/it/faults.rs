//! What the program says when it cannot use the database, and what it waits for.

use std::process::Stdio;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use tokio::process::Command;
use tokio::time::sleep;

use crate::program::{World, output, table, text};

/// The output of a copy that fails.
async fn refused(command: Command) -> String {
    let output = output(command).await;
    assert!(!output.status.success(), "{}", text(&output));
    let text = text(&output);
    assert!(
        !text.contains("geheim") && !text.contains("falsch"),
        "{text}"
    );
    text
}

#[tokio::test]
async fn what_a_person_has_to_do_is_said() {
    let world = World::new(&[]).await;
    let mut conn = world.conn().await;
    for statement in [
        "CREATE TABLE orders (id INT PRIMARY KEY)",
        "CREATE TABLE keyless (id INT)",
        "CREATE USER blind@'%' IDENTIFIED BY 'geheim'",
        "CREATE USER reader@'%' IDENTIFIED BY 'geheim'",
        "GRANT SELECT ON shop.* TO reader@'%'",
    ] {
        conn.query_drop(statement).await.unwrap();
    }
    let orders = table("orders");
    let copy = |user: &str, password: &str, database: &str, options: &[&str]| {
        let url = world.server.url(user, password, database);
        let mut command = Command::new(env!("CARGO_BIN_EXE_snowpipe-mysql"));
        command.args(["copy", "--source", &url]).args(options);
        command
            .current_dir(world.path(""))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    };
    for (command, words) in [
        (
            copy("cdc", "falsch", "shop", &[&orders]),
            &["1045", "password"][..],
        ),
        (
            copy("blind", "geheim", "shop", &[&orders]),
            &["1044", "grant"],
        ),
        (
            copy("cdc", "geheim", "missing", &[&orders]),
            &["1049", "name of the database"],
        ),
        (
            copy("cdc", "geheim", "shop", &[&table("missing")]),
            &["no table shop.missing"],
        ),
        (
            copy("cdc", "geheim", "shop", &[&table("keyless")]),
            &["no primary key"],
        ),
        (
            copy("reader", "geheim", "shop", &[&orders]),
            &["REPLICATION SLAVE"],
        ),
    ] {
        let text = refused(command).await;
        for word in words {
            assert!(text.contains(word), "{word:?} is not in {text}");
        }
    }
}

#[tokio::test]
async fn a_database_that_is_away_or_full_is_waited_for() {
    let mut world = World::new(&["--max-connections=10"]).await;
    let mut conn = world.conn().await;
    conn.query_drop("CREATE TABLE orders (id INT PRIMARY KEY, note INT)")
        .await
        .unwrap();
    conn.query_drop("INSERT INTO orders SELECT seq, seq FROM seq_1_to_500")
        .await
        .unwrap();
    let orders = table("orders");
    // More channels than connections: each waits until one is free.
    let options = [orders.as_str(), "--channels=16", "--snapshot-only"];
    world.make_tables(&options).await;
    drop(conn);
    world.server.kill();
    let mut program = world.start_copy(&options);
    // Long enough for the program to have tried.
    sleep(Duration::from_millis(700)).await;
    world.server.up().await;
    let ended = tokio::time::timeout(crate::program::PATIENCE, program.wait()).await;
    assert!(ended.expect("the copy does not end").unwrap().success());
    assert_eq!(world.landed("ORDERS").len(), 500);
}
