//! Pages of rows and rejected rows.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use crate::rig::read;
use crate::sql_api::statements_tests::clients;

#[test]
fn pages_of_rejected_rows_are_those_that_are_asked_for() {
    for (client, _dir) in clients() {
        let token = client.open("d");
        let rows: Vec<String> = (0..120).map(|n| format!("{{\"NAME\":\"{n}\"}}")).collect();
        client.append("d", &token, "1", &rows.join("\n"));
        client.emulator.commit_now();
        for (query, wanted) in [
            ("?limit=3", 0..3),
            ("?skip=1&limit=1", 1..2),
            ("?skip=10&limit=110", 10..120),
            ("?skip=119", 119..120),
            ("?skip=120", 0..0),
            ("?skip=18446744073709551615", 0..0),
            ("?limit=0", 0..0),
        ] {
            let path = format!("http://127.0.0.1/_emulator/tables/DB.S.T/errors{query}");
            let request = Request::get(path).body(Bytes::new()).unwrap();
            let answer = super::endpoints::answer(&client.emulator, client.now, &request);
            let (status, page) = read(&answer);
            assert_eq!((status, &page["count"]), (200, &json!(120)), "{query}");
            let shown = page["rows"].as_array().unwrap().iter();
            let shown: Vec<&str> = shown.map(|row| row["payload"].as_str().unwrap()).collect();
            assert_eq!(shown, rows[wanted], "{query}");
        }
    }
}

#[test]
fn ndjson_has_all_rows_and_one_on_each_line() {
    for (client, _dir) in clients() {
        let token = client.open("d");
        let rows: Vec<String> = (0..1_200)
            .map(|n| format!("{{\"ID\":{n},\"NAME\":\"a\\nb\"}}"))
            .collect();
        client.append("d", &token, "1", &rows.join("\n"));
        client.emulator.commit_now();
        let get = |query: &str, accept: &str| {
            let path = format!("http://127.0.0.1/_emulator/tables/DB.S.T{query}");
            let request = Request::get(path).header("accept", accept);
            let request = request.body(Bytes::new()).unwrap();
            super::endpoints::answer(&client.emulator, client.now, &request)
        };
        let ids = |query: &str, accept: &str| -> Vec<Value> {
            let answer = get(query, accept);
            assert_eq!(answer.status(), 200, "{answer:?}");
            assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
            let text = str::from_utf8(answer.body()).unwrap();
            let rows = text.lines().map(|line| serde_json::from_str(line).unwrap());
            rows.map(|mut row: Value| row["ID"].take()).collect()
        };
        // Three rows are there already.
        let all = ids("?format=ndjson", "*/*");
        assert_eq!(all.len(), 1_203);
        assert_eq!(all.last(), Some(&json!(1_199)));
        assert_eq!(ids("", "application/x-ndjson"), all);
        assert_eq!(ids("?format=ndjson&skip=3&limit=2", "*/*"), [0, 1]);
        assert_eq!(get("?format=json", "application/x-ndjson").status(), 200);
        assert_eq!(
            read(&get("?format=json", "application/x-ndjson")).1["count"],
            1_203
        );
        assert_eq!(get("?format=csv", "*/*").status(), 400);
    }
}

#[test]
fn rows_that_are_too_long_for_ndjson_are_read_in_parts() {
    let client = crate::rig::Client::new();
    let mut token = client.open("c");
    // Sixty rows, of which fifty are longer than an answer may be.
    let row = format!("{{\"text\":\"{}\"}}\n", "x".repeat(680_000));
    for _ in 0..12 {
        token = client.append("c", &token, "1", &row.repeat(5));
    }
    client.emulator.commit_now();
    let get = |query: &str| {
        let path = format!("http://127.0.0.1/_emulator/tables/DB.S.T?format=ndjson{query}");
        let request = Request::get(path).body(Bytes::new()).unwrap();
        super::endpoints::answer(&client.emulator, client.now, &request)
    };
    let refused = get("");
    assert_eq!(refused.status(), 413, "{:?}", refused.headers());
    assert!(
        read(&refused).1["message"]
            .as_str()
            .unwrap()
            .contains("skip and limit")
    );
    let lines = |query: &str| {
        let answer = get(query);
        str::from_utf8(answer.body()).unwrap().lines().count()
    };
    assert_eq!(lines("&limit=40"), 40);
    assert_eq!(lines("&skip=40"), 20);
}
