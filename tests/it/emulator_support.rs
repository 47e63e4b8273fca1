//! The tables of the chapter `emulator_support`, carried out line by line.

use serde_json::Value;
use snowpipe_streaming::emulator::tables::Catalog;
use snowpipe_streaming::{ErrorKind, PipePath};

use crate::support::World;

const PAGE: &str = include_str!("../../src/guide/emulator_support.md");
const STREAM: &str = "TABLE(DATA_SOURCE(TYPE => 'STREAMING'))";
const TABLE: &str = "CREATE TABLE D.S.T (A NUMBER);";

/// The cells of the lines of the table under a heading, without their backticks.
fn lines(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = PAGE
        .split_once(&format!("\n## {heading}\n"))
        .expect("a heading");
    let section = section.split("\n## ").next().expect("a section");
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let rows = rows.map(|row| {
        let cells = row.trim_matches('|').split(" | ");
        cells
            .map(|cell| cell.trim().trim_matches('`').trim())
            .collect()
    });
    let rows: Vec<Vec<&str>> = rows.collect();
    assert!(rows.len() > 10, "{heading} has {} lines", rows.len());
    rows
}

fn check(script: &str, is_refused: bool) {
    let read = Catalog::from_ddl(script);
    match read {
        Ok(_) => assert!(!is_refused, "this is not refused: {script}"),
        Err(why) => assert!(is_refused, "this is refused: {script}: {why}"),
    }
}

fn is_refused(verdict: &str) -> bool {
    match verdict {
        "supported" | "ignored" => false,
        "refused" => true,
        other => panic!("{other:?} is no verdict"),
    }
}

#[test]
fn statements() {
    let setup = format!(
        "{TABLE}\nCREATE PIPE D.S.P AS COPY INTO D.S.T FROM {STREAM} MATCH_BY_COLUMN_NAME = CASE_SENSITIVE;\n"
    );
    for line in lines("Statements") {
        let [statement, verdict] = line[..] else {
            panic!("{line:?}")
        };
        check(&format!("{setup}{statement};"), is_refused(verdict));
        if verdict == "ignored" {
            let shown =
                |script: &str| format!("{:?}", Catalog::from_ddl(script).expect("a script"));
            assert_eq!(
                shown(&setup),
                shown(&format!("{setup}{statement};")),
                "{statement}"
            );
        }
    }
}

#[test]
fn columns() {
    for line in lines("Columns") {
        let [column, verdict] = line[..] else {
            panic!("{line:?}")
        };
        check(
            &format!("CREATE TABLE D.S.T ({column});"),
            is_refused(verdict),
        );
    }
}

#[test]
fn pipes() {
    for line in lines("Pipes") {
        let [pipe, verdict] = line[..] else {
            panic!("{line:?}")
        };
        let pipe = pipe
            .replace("STREAM ", &format!("{STREAM} "))
            .replace("STREAM)", &format!("{STREAM})"));
        let pipe = pipe
            .strip_suffix("STREAM")
            .map_or(pipe.clone(), |start| format!("{start}{STREAM}"));
        check(
            &format!("{TABLE} CREATE PIPE D.S.P AS COPY INTO D.S.T {pipe};"),
            is_refused(verdict),
        );
    }
}

#[tokio::test(start_paused = true)]
async fn values() {
    for line in lines("Values") {
        let [data_type, value, expected] = line[..] else {
            panic!("{line:?}")
        };
        let ddl = format!("CREATE TABLE D.S.T (A {data_type});");
        let catalog = Catalog::from_ddl(&ddl).expect("a table");
        let world = World::with(|emulator| emulator.catalog(catalog));
        let landed = landed(&world, value).await;
        let expected = match expected {
            "rejected" => None,
            json => Some(serde_json::from_str::<Value>(json).expect("the page has JSON")),
        };
        assert_eq!(landed, expected, "{line:?}");
    }
}

/// What a value lands as in the column `A`; `None` if its row is rejected.
async fn landed(world: &World, value: &str) -> Option<Value> {
    let pipe = PipePath::for_table("D", "S", "T").expect("a name");
    let client = world.builder_for(pipe).build().await.expect("a client");
    let mut channel = client.open_channel("c").await.expect("a channel");
    let row = format!("{{\"A\":{value}}}");
    let receipt = channel.append_json(row, 1).await.expect("an append");
    if let Err(why) = receipt.committed().await {
        assert_eq!(why.kind(), ErrorKind::RowsRejected, "{value}: {why}");
    }
    client.close().await.expect("a clean end");
    let mut rows = world.emulator.rows("D.S.T").expect("rows");
    assert!(rows.len() < 2);
    rows.pop().map(|mut row| row["A"].take())
}
