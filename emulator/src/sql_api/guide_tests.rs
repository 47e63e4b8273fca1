//! The queries, expressions and functions of the guide's chapter `support`, carried out line by line.

use std::collections::BTreeSet;

use super::statements_tests::sql;
use crate::catalog::tables::Catalog;
use crate::rig::{Client, settings};
use crate::sql::compiler::aggregates::{AGGREGATES, WINDOW_FUNCTIONS};
use crate::sql::compiler::scalar_names::SCALARS;
use crate::sql::transforms::FUNCTIONS;

const PAGE: &str = include_str!("../guide/support.md");
const DDL: &str = "CREATE TABLE DB.S.T (ID NUMBER, PRICE NUMBER(10,2), NAME VARCHAR, AT TIMESTAMP_NTZ, SEEN TIMESTAMP_LTZ, V VARIANT) ERROR_LOGGING = TRUE;";

fn section(heading: &str) -> &'static str {
    let (_, section) = PAGE.split_once(&format!("\n## {heading}\n")).unwrap();
    section.split("\n## ").next().unwrap()
}

/// The two cells of the lines of a section's table.
fn lines(heading: &str) -> Vec<(String, String)> {
    let rows = section(heading).lines();
    let rows = rows.filter(|line| line.starts_with('|')).skip(2);
    let cell = |text: &str| {
        let text = text.trim().trim_matches('`').trim();
        text.replace("\\|", "|")
    };
    let rows = rows.map(|row| {
        let (left, right) = row.trim_matches('|').rsplit_once(" | ").unwrap();
        (cell(left), cell(right))
    });
    rows.collect()
}

fn client() -> Client {
    let client = Client::of(settings().catalog(Catalog::from_ddl(DDL).unwrap()));
    let token = client.open("c");
    let row = r#"{"ID":1,"PRICE":"1.50","NAME":"a","AT":"2026-01-17","V":{"list":[1]}}"#;
    client.append("c", &token, "1", row);
    client.emulator.commit_now();
    client
}

#[test]
fn queries() {
    let client = client();
    let lines = lines("Queries");
    assert!(lines.len() > 40);
    for (query, verdict) in lines {
        let (status, answer) = sql(&client, &query);
        let wanted = match verdict.as_str() {
            "supported" => 200,
            "refused" => 422,
            other => panic!("{other} is no verdict"),
        };
        assert_eq!(status, wanted, "{query}: {answer}");
    }
}

#[test]
fn expressions() {
    let client = client();
    let lines = lines("Expressions");
    assert!(lines.len() > 40);
    for (expression, wanted) in lines {
        let (status, answer) = sql(&client, &format!("SELECT {expression}"));
        if wanted == "refused" {
            assert_eq!(status, 422, "{expression}: {answer}");
            continue;
        }
        let found = answer["data"][0][0].as_str().unwrap_or("NULL");
        assert_eq!(
            (status, found),
            (200, wanted.as_str()),
            "{expression}: {answer}"
        );
    }
}

#[test]
fn functions() {
    let listed = |kind: &str| -> BTreeSet<&str> {
        let (_, list) = section("Expressions")
            .split_once(&format!("\n{kind}: "))
            .unwrap();
        let list = list.split("\n\n").next().unwrap();
        list.split('`').skip(1).step_by(2).collect()
    };
    assert_eq!(listed("Aggregates"), AGGREGATES.iter().copied().collect());
    assert_eq!(
        listed("Scalar functions"),
        SCALARS.iter().copied().collect()
    );
    let (_, of_pipes) = section("Pipes")
        .split_once("Snowflake's COPY has:\n")
        .unwrap();
    let of_pipes = of_pipes.split("\n\n").next().unwrap();
    let of_pipes: BTreeSet<&str> = of_pipes.split('`').skip(1).step_by(2).collect();
    assert_eq!(of_pipes, FUNCTIONS.iter().copied().collect());
    let windows = listed("Window functions");
    assert!(WINDOW_FUNCTIONS.iter().all(|name| windows.contains(name)));
    // None of them is known by its name alone.
    let client = client();
    for name in SCALARS {
        let code = |call: &str| {
            let (_, answer) = sql(&client, &format!("SELECT {call}"));
            answer["code"].as_str().unwrap_or_default().to_owned()
        };
        let calls = [
            format!("{name}()"),
            format!("{name}(NULL)"),
            format!("{name}(NULL, NULL)"),
            format!("{name}(NULL, NULL, NULL)"),
            format!("{name}(day, '2026-01-17')"),
            format!("{name}(day, '2026-01-17', '2026-01-17')"),
            format!("{name}(day, 1, '2026-01-17')"),
            format!("{name}(PARSE_JSON('{{}}'), 'a')"),
            format!("{name}(day FROM '2026-01-17'::DATE)"),
            format!("{name}(1, 2)"),
        ];
        assert!(calls.iter().any(|call| code(call) == "090001"), "{name}");
    }
}
