//! Pages of rows and rejected rows.

use bytes::Bytes;
use http::Request;
use serde_json::json;

use crate::emulator::rig::read;
use crate::emulator::sql_api::statements_tests::clients;

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
