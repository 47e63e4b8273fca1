//! The report and the exit code of complete runs, and of tables with errors.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;
use snowpipe_connector_support::text_table::{Align, aligned};
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{Emulator, Server};
use tokio::sync::watch;

use crate::cli::Args;
use crate::landing::{Landed, count, statements};
use crate::run;
use crate::table::Schema;
use crate::target::SETUP;

/// Runs the example with these arguments; `DIR` is the folder.
async fn example(folder: &Path, line: &str) -> (anyhow::Result<u8>, String) {
    let line = line.replace("DIR", &folder.display().to_string());
    let args = std::iter::once("orders").chain(line.split_whitespace());
    let (_stop, stopped) = watch::channel(false);
    let mut text = String::new();
    let mut print = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    let code = run(Args::read(args).unwrap(), stopped, &mut print).await;
    // The client's tasks end when they are next polled, and release the landing.
    tokio::task::yield_now().await;
    (code, text)
}

fn schema(name: &str) -> Schema {
    Schema {
        database: "AUTOMATED_INTELLIGENCE".to_owned(),
        name: name.to_owned(),
    }
}

#[tokio::test]
async fn a_run_is_reconciled_with_the_landed_rows() {
    let folder = tempfile::tempdir().unwrap();
    let line = "300 2 --landing DIR/landing.db --now 2026-01-17T14:00:00Z";
    let (code, text) = example(folder.path(), line).await;
    assert_eq!(code.unwrap(), 0, "{text}");
    assert!(
        text.contains("Progress: 300/300 orders streamed ("),
        "{text}"
    );
    assert!(
        text.contains("orders_channel_instance_1       ORDERS-STREAMING       order_150"),
        "{text}"
    );
    assert!(text.contains("exactly once"), "{text}");

    // All rows have landed: the second run streams nothing and ends exact as well.
    let (code, text) = example(folder.path(), line).await;
    assert_eq!(code.unwrap(), 0, "{text}");
    assert!(text.contains("\n0 orders in "), "{text}");

    let landing = folder.path().join("landing.db");
    let landed = count(&landing, &schema("RAW")).unwrap();
    assert_eq!(landed, Landed::exactly(300, landed.items));

    let wrong = |sql: &str| {
        Connection::open(&landing)
            .unwrap()
            .execute_batch(sql)
            .unwrap();
        count(&landing, &schema("RAW")).unwrap()
    };
    let once = landed;
    let landed = wrong("INSERT INTO ORDERS SELECT * FROM ORDERS WHERE rowid <= 3");
    assert_eq!(
        landed,
        Landed {
            orders: 303,
            ..once
        }
    );
    let (code, text) = example(folder.path(), line).await;
    assert_eq!(code.unwrap(), 1, "{text}");
    let mut lines = text.lines().map(|line| line.split_whitespace());
    assert!(
        lines.any(|words| words.eq(["orders", "303", "of", "300", "wrong"])),
        "{text}"
    );

    let landed = wrong("DELETE FROM ORDERS WHERE rowid > 300");
    assert_eq!(landed, once);
    let orphans = "DELETE FROM ORDERS WHERE ORDER_ID = (SELECT ORDER_ID FROM ORDER_ITEMS LIMIT 1)";
    let landed = wrong(orphans);
    assert_eq!((landed.orders, landed.orders_without_items), (299, 0));
    assert!((1..=8).contains(&landed.items_without_order), "{landed:?}");
    let childless =
        "DELETE FROM ORDER_ITEMS WHERE ORDER_ID = (SELECT ORDER_ID FROM ORDERS LIMIT 1)";
    assert_eq!(wrong(childless).orders_without_items, 1);
}

#[tokio::test]
async fn a_single_run_has_channels_without_a_number_and_other_orders_than_instances() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = example(folder.path(), "300 --landing DIR/landing.db --customers 70").await;
    assert_eq!(code.unwrap(), 0, "{text}");
    for token in ["customer_70", "order_300"] {
        assert!(text.contains(&format!(" {token} ")), "{text}");
    }
    assert!(text.contains("\norders_channel  "), "{text}");
    let landing = folder.path().join("landing.db");
    let landed = crate::landing::customers(&landing, &schema("RAW")).unwrap();
    assert_eq!((landed.rows, landed.distinct), (70, 70));

    // Without customers, which are in the table already.
    let without = crate::config::DEFAULT.replace(".customers.", ".others.");
    std::fs::write(folder.path().join("without.properties"), without).unwrap();
    let line = "100 2 DIR/without.properties --landing DIR/landing.db --customers 70";
    let (code, text) = example(folder.path(), line).await;
    assert_eq!(code.unwrap(), 1, "{text}");
    let landed = count(&landing, &schema("RAW")).unwrap();
    assert_eq!((landed.orders, landed.distinct_orders), (400, 400));
}

#[tokio::test]
async fn other_rows_for_the_same_channels_are_refused_before_rows_are_added() {
    let folder = tempfile::tempdir().unwrap();
    let staging = include_str!("../config_staging.properties");
    std::fs::write(folder.path().join("staging.properties"), staging).unwrap();
    for (config, name) in [("", "RAW"), ("DIR/staging.properties", "STAGING")] {
        let run = async |line: &str| {
            let (arguments, flags) = line.split_once(" --").unwrap();
            let line = format!("{arguments} {config} --landing DIR/{name}.db --{flags}");
            example(folder.path(), &line).await
        };
        let (code, text) = run("300 3 --seed 5").await;
        assert_eq!(code.unwrap(), 0, "{text}");
        let landing = folder.path().join(format!("{name}.db"));
        let before = count(&landing, &schema(name)).unwrap();
        for other in [
            "600 3 --seed 6",
            "600 3 --seed 5 --customers 19000",
            "600 2 --seed 5",
            "900 4 --seed 5",
        ] {
            let (code, text) = run(other).await;
            let error = code.unwrap_err().to_string();
            assert!(
                error.contains("_instance_0 in ") && error.contains("are not those of this run"),
                "{other}: {error}\n{text}"
            );
            assert_eq!(count(&landing, &schema(name)).unwrap(), before, "{other}");
        }
        let (code, text) = run("600 3 --seed 5").await;
        assert_eq!(code.unwrap(), 0, "{text}");
    }
}

/// Items may be ahead of orders when a run is killed.
#[tokio::test]
async fn items_of_other_orders_are_refused_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = example(folder.path(), "300 2 --landing DIR/landing.db").await;
    assert_eq!(code.unwrap(), 0, "{text}");
    // This run has new channels for orders, and the same channels for items.
    let other_orders = crate::config::DEFAULT.replace("=orders_channel", "=other_orders");
    std::fs::write(folder.path().join("other.properties"), other_orders).unwrap();
    let line = "300 2 DIR/other.properties --customers 500 --landing DIR/landing.db";
    let (code, _) = example(folder.path(), line).await;
    let error = code.unwrap_err().to_string();
    assert!(
        error.contains("order_items_channel_instance_0 in "),
        "{error}"
    );
}

#[tokio::test]
async fn counts_are_not_final_when_a_stream_has_failed() {
    let folder = tempfile::tempdir().unwrap();
    let (_, text) = example(folder.path(), "300 2 --landing DIR/landing.db").await;
    assert!(!text.contains("not final"), "{text}");
    // The channels have committed more rows than this run has.
    let (code, text) = example(folder.path(), "200 2 --landing DIR/landing.db").await;
    assert_eq!(code.unwrap(), 1, "{text}");
    assert!(text.contains("failed: orders_channel_instance_0"), "{text}");
    assert!(text.contains("these counts are not final"), "{text}");
}

#[tokio::test]
async fn the_staging_configuration_fills_the_staging_tables() {
    let folder = tempfile::tempdir().unwrap();
    let staging = include_str!("../config_staging.properties");
    std::fs::write(folder.path().join("staging.properties"), staging).unwrap();
    let line = "40 3 DIR/staging.properties --landing DIR/landing.db";
    let (code, text) = example(folder.path(), line).await;
    assert_eq!(code.unwrap(), 0, "{text}");
    assert!(
        text.contains("schema AUTOMATED_INTELLIGENCE.STAGING"),
        "{text}"
    );
    let landing = folder.path().join("landing.db");
    assert_eq!(count(&landing, &schema("STAGING")).unwrap().orders, 40);
    assert_eq!(
        count(&landing, &schema("RAW")).unwrap(),
        Landed::exactly(0, 0)
    );
}

#[tokio::test]
async fn unusable_files_are_refused_before_rows_are_streamed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("empty.properties"), "").unwrap();
    for (line, expected) in [
        ("10 2 DIR/none.properties", "none.properties cannot be read"),
        ("10 2 DIR/empty.properties", "required keys are missing"),
        ("--landing DIR", "cannot be used"),
    ] {
        let (code, text) = example(folder.path(), line).await;
        let error = format!("{:#}", code.unwrap_err());
        assert!(
            error.contains(expected) && text.is_empty(),
            "{line}: {error}"
        );
    }
}

#[tokio::test]
async fn the_statements_for_an_account_count_the_same_as_the_landing() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = example(folder.path(), "40 3 --landing DIR/landing.db").await;
    assert_eq!(code.unwrap(), 0, "{text}");
    let landing = folder.path().join("landing.db");
    // An order that is there twice, one without items, and an item without an order.
    let writable = rusqlite::Connection::open(&landing).unwrap();
    writable
        .execute_batch(
            "INSERT INTO ORDERS SELECT * FROM ORDERS LIMIT 1;
             INSERT INTO ORDERS (ORDER_ID) VALUES ('lonely');
             INSERT INTO ORDER_ITEMS (ORDER_ITEM_ID, ORDER_ID) VALUES ('orphan', 'none')",
        )
        .unwrap();
    let counts = |sql: &String| {
        let two = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1).ok()));
        writable.query_row(sql, [], two).unwrap()
    };
    let counted: Vec<(u64, Option<u64>)> = statements("ORDERS", "ORDER_ITEMS")
        .iter()
        .map(counts)
        .collect();
    let landed = count(&landing, &schema("RAW")).unwrap();
    assert_eq!(
        counted,
        [
            (landed.orders, Some(landed.distinct_orders)),
            (landed.items, Some(landed.distinct_items)),
            (landed.orders_without_items, None),
            (landed.items_without_order, None),
        ]
    );
    assert_eq!((landed.orders, landed.distinct_orders), (42, 41));
    assert_eq!(
        (landed.orders_without_items, landed.items_without_order),
        (1, 1)
    );
}

/// A profile with a warehouse: the rows are counted over the SQL API, and the report depends on them.
#[tokio::test]
async fn rows_in_an_account_are_counted_with_its_warehouse() {
    let folder = tempfile::tempdir().unwrap();
    let emulator = Emulator::builder()
        .catalog(Catalog::from_ddl(SETUP).unwrap())
        .build()
        .unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = Server::bind(emulator, address).await.unwrap();
    let text = server.emulator().profile_json(&server.url());
    let mut profile: Value = serde_json::from_str(&text).unwrap();
    std::fs::write(
        folder.path().join("config.properties"),
        crate::config::DEFAULT,
    )
    .unwrap();
    let line = "60 2 DIR/config.properties DIR/profile.json --customers 30";
    let path = folder.path().join("profile.json");
    std::fs::write(&path, profile.to_string()).unwrap();
    let (code, text) = example(folder.path(), line).await;
    assert_eq!(code.unwrap(), 0, "{text}");
    assert!(text.contains("To count them in the account:"), "{text}");

    profile["warehouse"] = "COMPUTE_WH".into();
    std::fs::write(&path, profile.to_string()).unwrap();
    let (code, text) = example(folder.path(), line).await;
    assert_eq!(code.unwrap(), 0, "{text}");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words(&text).contains("customers 30 of 30"), "{text}");
    assert!(words(&text).contains("orders 60 of 60"), "{text}");

    // A single run adds its rows, and customers that are there already.
    let line = "40 DIR/config.properties DIR/profile.json --customers 30";
    let (code, text) = example(folder.path(), line).await;
    assert_eq!(code.unwrap(), 1, "{text}");
    assert!(
        words(&text).contains("customers twice 30 of 0 wrong"),
        "{text}"
    );
    assert!(words(&text).contains("orders 100 of 40 wrong"), "{text}");
}

/// Rows of other writers, and copies of which exactly one is kept.
#[tokio::test]
async fn what_other_writers_left_is_deleted_only_when_asked_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let staging = include_str!("../config_staging.properties");
    std::fs::write(folder.path().join("staging.properties"), staging).unwrap();
    for (config, name, suffix) in [
        ("", "RAW", ""),
        ("DIR/staging.properties", "STAGING", "_STAGING"),
    ] {
        let line = format!("40 3 {config} --landing DIR/{name}.db");
        let (code, text) = example(folder.path(), &line).await;
        assert_eq!(code.unwrap(), 0, "{text}");
        let landing = folder.path().join(format!("{name}.db"));
        let once = count(&landing, &schema(name)).unwrap();
        let damage = "INSERT INTO ORDERS SELECT * FROM ORDERS WHERE rowid <= 3;
             INSERT INTO ORDERS SELECT * FROM ORDERS WHERE rowid = 1;
             INSERT INTO ORDER_ITEMS SELECT * FROM ORDER_ITEMS WHERE rowid <= 5;
             INSERT INTO ORDERS (ORDER_ID) VALUES ('lonely');
             INSERT INTO ORDER_ITEMS (ORDER_ITEM_ID, ORDER_ID) VALUES ('orphan', 'none'), ('another', NULL)";
        let damage = damage.replace("ORDERS ", &format!("ORDERS{suffix} "));
        let damage = damage.replace("ORDER_ITEMS ", &format!("ORDER_ITEMS{suffix} "));
        Connection::open(&landing)
            .unwrap()
            .execute_batch(&damage)
            .unwrap();
        let damaged = count(&landing, &schema(name)).unwrap();
        let (code, text) = example(folder.path(), &line).await;
        assert_eq!(code.unwrap(), 1, "{text}");
        assert_eq!(count(&landing, &schema(name)).unwrap(), damaged);

        for deleted in [
            "4 copies of orders, 5 copies of items, 1 orders without items, 2 items without order",
            "0 copies of orders, 0 copies of items",
        ] {
            let (code, text) = example(folder.path(), &format!("{line} --clean")).await;
            assert_eq!(code.unwrap(), 0, "{text}");
            assert!(text.contains(deleted), "{text}");
            assert_eq!(count(&landing, &schema(name)).unwrap(), once, "{text}");
        }
    }
    let profile = Emulator::builder()
        .build()
        .unwrap()
        .profile_json("http://127.0.0.1:1");
    std::fs::write(folder.path().join("profile.json"), profile).unwrap();
    std::fs::write(
        folder.path().join("config.properties"),
        crate::config::DEFAULT,
    )
    .unwrap();
    let line = "40 3 DIR/config.properties DIR/profile.json --clean";
    let (code, _) = example(folder.path(), line).await;
    assert!(code.unwrap_err().to_string().contains("--landing"));
}

#[test]
fn columns_are_as_wide_as_their_widest_cells() {
    let rows = [["a", "1", "x"], ["abc", "23", ""]].map(|row| row.map(str::to_owned));
    let text = aligned([Align::Left, Align::Right, Align::Left], &rows);
    assert_eq!(text, "a     1  x\nabc  23\n");
}

#[test]
fn missing_rows_of_an_incomplete_run_are_not_wrong_and_extra_rows_are() {
    let landed = Landed {
        orders_without_items: 2,
        ..Landed::exactly(7, 12)
    };
    let verdicts = |orders, items, is_incomplete| {
        let text = landed.compare(None, [0, orders, items], is_incomplete);
        let verdict = |line: &str| match line {
            line if line.ends_with("wrong") => "wrong",
            line if line.ends_with("not all landed yet") => "early",
            _ => "",
        };
        text.lines().map(verdict).collect::<Vec<_>>()
    };
    assert_eq!(
        verdicts(10, 30, true),
        ["early", "", "early", "early", "", ""]
    );
    assert_eq!(
        verdicts(10, 30, false),
        ["wrong", "", "wrong", "wrong", "", ""]
    );
    assert_eq!(verdicts(6, 12, true), ["wrong", "", "early", "", "", ""]);
}

#[tokio::test]
async fn an_interrupted_run_continues_only_with_kept_tables() {
    let folder = tempfile::tempdir().unwrap();
    let landing = folder.path().join("landing.db");
    let kept = ["--landing", landing.to_str().unwrap()];
    for (flags, ending) in [(&kept[..], "continues"), (&[], "--landing FILE keeps them")] {
        let (_stop, stopped) = watch::channel(true);
        let (mut text, mut last_line) = (String::new(), String::new());
        let args = ["orders", "100000", "2"].iter().chain(flags);
        let mut print = |line: &str| {
            text.push_str(line);
            line.clone_into(&mut last_line);
        };
        let code = run(Args::read(args).unwrap(), stopped, &mut print).await;
        assert_eq!(code.unwrap(), 130, "{last_line}");
        assert!(!text.contains("wrong"), "{text}");
        assert!(
            last_line.starts_with("interrupted") && last_line.ends_with(ending),
            "{last_line}"
        );
    }
}
