//! The report and the exit code, of whole runs and of tables in which something is wrong.

use std::path::Path;

use clap::Parser;
use rusqlite::Connection;
use tokio::sync::watch;

use crate::cli::Args;
use crate::landing::{Landed, count};
use crate::run;
use crate::table::Schema;

/// Runs the example with these arguments; `DIR` is the folder.
async fn example(folder: &Path, line: &str) -> (anyhow::Result<u8>, String) {
    let line = line.replace("DIR", &folder.display().to_string());
    let args = std::iter::once("orders").chain(line.split_whitespace());
    let (_stop, stopped) = watch::channel(false);
    let mut text = String::new();
    let mut say = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    let code = run(Args::parse_from(args), stopped, &mut say).await;
    // The client's own tasks end at their next turn, and the landing with them.
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
async fn a_run_is_reconciled_with_what_landed() {
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

    // Everything is there: nothing is streamed, and it adds up all the same.
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
    assert!(text.contains("303 of       300  wrong"), "{text}");

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
async fn other_rows_for_the_same_channels_are_refused_before_anything_is_added() {
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
                error.contains("_instance_0 was fed with other rows than this run makes"),
                "{other}: {error}\n{text}"
            );
            assert_eq!(count(&landing, &schema(name)).unwrap(), before, "{other}");
        }
        let (code, text) = run("600 3 --seed 5").await;
        assert_eq!(code.unwrap(), 0, "{text}");
    }
}

/// Items may be further than orders when a run is killed.
#[tokio::test]
async fn items_of_other_orders_are_refused_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = example(folder.path(), "300 2 --landing DIR/landing.db").await;
    assert_eq!(code.unwrap(), 0, "{text}");
    // Nobody has heard of this run's channels of orders; those of items are the same.
    let orders_anew = crate::config::DEFAULT.replace("=orders_channel", "=orders_anew");
    std::fs::write(folder.path().join("anew.properties"), orders_anew).unwrap();
    let line = "300 2 DIR/anew.properties --customers 500 --landing DIR/landing.db";
    let (code, _) = example(folder.path(), line).await;
    let error = code.unwrap_err().to_string();
    assert!(
        error.contains("order_items_channel_instance_0 was fed with other rows"),
        "{error}"
    );
}

#[tokio::test]
async fn counts_are_not_final_when_a_stream_has_failed() {
    let folder = tempfile::tempdir().unwrap();
    let (_, text) = example(folder.path(), "300 2 --landing DIR/landing.db").await;
    assert!(!text.contains("not final"), "{text}");
    // The channels are further than the orders they would get.
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
async fn what_cannot_be_used_is_refused_before_anything_is_streamed() {
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

#[test]
fn rows_that_are_to_come_are_not_wrong_and_rows_that_are_too_many_are() {
    let landed = Landed {
        orders_without_items: 2,
        ..Landed::exactly(7, 12)
    };
    let verdicts = |orders, items, is_to_come| {
        let text = landed.against(orders, items, is_to_come);
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
async fn an_interrupted_run_goes_on_only_where_its_tables_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let landing = folder.path().join("landing.db");
    let kept = ["--landing", landing.to_str().unwrap()];
    for (flags, last) in [(&kept[..], "goes on"), (&[], "--landing FILE does")] {
        let (_stop, stopped) = watch::channel(true);
        let (mut text, mut said) = (String::new(), String::new());
        let args = ["orders", "100000", "2"].iter().chain(flags);
        let mut say = |line: &str| {
            text.push_str(line);
            line.clone_into(&mut said);
        };
        let code = run(Args::parse_from(args), stopped, &mut say).await;
        assert_eq!(code.unwrap(), 130, "{said}");
        assert!(!text.contains("wrong"), "{text}");
        assert!(
            said.starts_with("interrupted") && said.ends_with(last),
            "{said}"
        );
    }
}
