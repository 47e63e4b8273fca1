//! The tables of the guide's chapter `support`, carried out line by line.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use snowpipe_streaming::time::TokioClock;
use snowpipe_streaming::{ErrorKind, PipePath, StreamingIngestClient};
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{Emulator, MemoryTransport, Reply};

const PAGE: &str = include_str!("../../src/guide/support.md");
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
    verify(Catalog::from_ddl(script), script, is_refused);
}

fn verify<T, E: Display>(carried_out: Result<T, E>, script: &str, is_refused: bool) {
    match carried_out {
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
        // An emulator that runs, because some statements change rows.
        let emulator = Emulator::builder().catalog(Catalog::from_ddl(&setup).expect("a setup"));
        let emulator = emulator.build().expect("an emulator");
        verify(
            emulator.apply_ddl(statement),
            statement,
            is_refused(verdict),
        );
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

/// What a connector is answered.
fn connector(emulator: &Emulator, token: &str, path: &str, body: &Value) -> Value {
    let request = Request::post(format!("http://127.0.0.1{path}"))
        .header("accept", "application/json")
        .header("content-type", "application/json")
        .header("authorization", format!("Snowflake Token=\"{token}\""))
        .body(Bytes::from(body.to_string()))
        .expect("a request");
    let Reply::Respond(answer) = emulator.handle(SystemTime::now(), request) else {
        panic!("no answer to {body}")
    };
    serde_json::from_slice(answer.body()).expect("JSON")
}

#[test]
fn statements_of_connectors() {
    for line in lines("Connectors") {
        let [statement, verdict] = line[..] else {
            panic!("{line:?}")
        };
        let catalog = Catalog::from_ddl(TABLE).expect("a table");
        let emulator = Emulator::builder().catalog(catalog);
        let emulator = emulator.access_token("token", None);
        let emulator = emulator.build().expect("an emulator");
        let login =
            json!({ "data": { "AUTHENTICATOR": "PROGRAMMATIC_ACCESS_TOKEN", "TOKEN": "token" } });
        let path = "/session/v1/login-request?databaseName=D&schemaName=S";
        let session = connector(&emulator, "None", path, &login);
        let token = session["data"]["token"].as_str().expect("a session");
        let query = json!({ "sqlText": statement });
        let answer = connector(&emulator, token, "/queries/v1/query-request", &query);
        assert_eq!(
            answer["success"],
            !is_refused(verdict),
            "{statement}: {answer}"
        );
    }
}

#[test]
fn columns() {
    for line in lines("Columns") {
        let [column, verdict] = line[..] else {
            panic!("{line:?}")
        };
        check(
            &format!("CREATE SEQUENCE D.S.Q; CREATE TABLE D.S.T ({column});"),
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
            &format!(
                "CREATE SEQUENCE D.S.Q; CREATE TABLE D.S.T (A NUMBER, B NUMBER); CREATE PIPE D.S.P AS COPY INTO D.S.T {pipe};"
            ),
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
        let emulator = Emulator::builder()
            .catalog(catalog)
            .build()
            .expect("an emulator");
        let landed = landed(&emulator, value).await;
        let expected = match expected {
            "rejected" => None,
            json => Some(serde_json::from_str::<Value>(json).expect("the page has JSON")),
        };
        assert_eq!(landed, expected, "{line:?}");
    }
}

/// What a value lands as in the column `A`; `None` if its row is rejected.
async fn landed(emulator: &Emulator, value: &str) -> Option<Value> {
    let pipe = PipePath::for_table("D", "S", "T").expect("a name");
    let profile = emulator.profile().expect("a profile");
    let clock =
        TokioClock::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_768_658_400));
    let client = StreamingIngestClient::builder(profile, pipe)
        .transport(MemoryTransport::new(emulator.clone(), Arc::new(clock)))
        .time_source(clock)
        .build()
        .await
        .expect("a client");
    let mut channel = client.open_channel("c").await.expect("a channel");
    let row = format!("{{\"A\":{value}}}");
    let receipt = channel.append_json(row, 1).await.expect("an append");
    if let Err(why) = receipt.committed().await {
        assert_eq!(why.kind(), ErrorKind::RowsRejected, "{value}: {why}");
    }
    client.close().await.expect("a clean end");
    let mut rows = emulator.rows("D.S.T").expect("rows");
    assert!(rows.len() < 2);
    rows.pop().map(|mut row| row["A"].take())
}
