//! Commits: when they come, what they land, what they count.

use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::rig::{Client, DATA, PIPES, START_MS, append_path, settings};

#[test]
fn rows_commit_at_the_first_tick_after_the_delay() {
    let mut client = Client::new();
    let next = client.open("c");
    client.pass(10);
    client.append("c", &next, "1", "{\"n\":1}\n{\"n\":2}\n");
    assert_eq!(
        client.emulator.next_due(),
        Some(SystemTime::UNIX_EPOCH + Duration::from_millis(START_MS + 750))
    );
    client.pass(739);
    assert!(client.committed("c").is_null());
    assert!(client.landed().is_empty());
    client.pass(1);
    assert_eq!(client.committed("c"), "1");
    assert_eq!(client.landed(), [1, 2]);
    assert_eq!(client.emulator.next_due(), None);
}

#[test]
fn a_tick_commits_all_batches_that_are_old_enough() {
    let mut client = Client::new();
    let mut next = client.open("c");
    for n in 1..=4 {
        client.pass(100);
        next = client.append("c", &next, &n.to_string(), &format!("{{\"n\":{n}}}\n"));
    }
    client.pass(350);
    assert_eq!(client.committed("c"), "2");
    client.pass(250);
    assert_eq!(client.committed("c"), "4");
}

#[test]
fn without_a_period_each_batch_commits_on_its_own() {
    let mut client = Client::of(settings().commit_every(Duration::ZERO));
    let next = client.open("c");
    client.pass(7);
    client.append("c", &next, "1", "{\"n\":1}\n");
    client.pass(499);
    assert!(client.committed("c").is_null());
    client.pass(1);
    assert_eq!(client.committed("c"), "1");
}

#[test]
fn rows_land_in_order_of_commit_however_late_one_looks() {
    let mut client = Client::new();
    let b = client.open("b");
    let a = client.open("a");
    client.append("b", &b, "1", "{\"n\":1}\n");
    client.pass(300);
    client.append("a", &a, "1", "{\"n\":2}\n");
    client.append("b", "0_2", "2", "{\"n\":3}\n");
    client.pass(100_000);
    client.emulator.advance(client.now);
    assert_eq!(client.landed(), [1, 2, 3]);
}

#[test]
fn commit_now_does_not_wait() {
    let client = Client::new();
    let next = client.open("c");
    client.append("c", &next, "1", "{\"n\":1}\n");
    client.emulator.commit_now();
    assert_eq!(client.committed("c"), "1");
}

#[test]
fn a_request_without_a_token_does_not_move_the_channel() {
    let mut client = Client::new();
    let next = client.open("c");
    let next = client.append("c", &next, "1", "{\"n\":1}\n");
    client.append("c", &next, "", "{\"n\":2}\n");
    client.pass(500);
    assert_eq!(client.committed("c"), "1");
    assert_eq!(client.landed(), [1, 2]);
}

#[test]
fn the_single_token_of_older_clients_is_taken() {
    let mut client = Client::new();
    client.open("c");
    let path =
        format!("{DATA}/T-STREAMING/channels/c/rows?continuationToken=0_1&offsetToken=a%20b%2B");
    assert_eq!(client.call("POST", &path, "{\"n\":1}").0, 200);
    client.pass(500);
    assert_eq!(client.committed("c"), "a b+");
}

#[test]
fn bad_rows_are_rejected_and_counted_and_the_good_ones_land() {
    let mut client = Client::new();
    client.open("c");
    let rows = "{\"n\":1}\n[2]\n\n{\"n\":3\n{\"n\":4}\r\n \n\"five\"";
    let path = format!(
        "{DATA}/T-STREAMING/channels/c/rows?startOffsetToken=1&endOffsetToken=7&continuationToken=0_1"
    );
    assert_eq!(client.call("POST", &path, rows).0, 200);
    client.pass(500);
    let status = client.status("c");
    assert_eq!(status["last_committed_offset_token"], "7");
    assert_eq!(status["channel_status_code"], "SUCCESS");
    assert_eq!(status["rows_parsed"], 5);
    assert_eq!(status["rows_inserted"], 2);
    assert_eq!(status["rows_error_count"], 3);
    assert_eq!(status["last_error_offset_upper_bound"], "7");
    assert_eq!(
        status["last_error_message"],
        "100069 (22P02): Error parsing JSON: the row is not a JSON object"
    );
    assert_eq!(status["last_error_timestamp"], START_MS + 500);
    assert_eq!(status["snowflake_avg_processing_latency_ms"], 500);

    assert_eq!(client.landed(), [1, 4]);
    let rejected = client.emulator.error_rows("db.s.t").unwrap();
    let payloads: Vec<&str> = rejected.iter().map(|row| row.payload.as_str()).collect();
    assert_eq!(payloads, ["[2]", "{\"n\":3", "\"five\""]);
    assert!(
        rejected[1]
            .error
            .message
            .starts_with("Error parsing JSON: ")
    );
    for row in &rejected {
        assert_eq!(row.offset_token_lower_bound.as_deref(), Some("1"));
        assert_eq!(row.offset_token_upper_bound.as_deref(), Some("7"));
    }
}

#[test]
fn rows_that_are_not_utf_8_are_rejected() {
    let mut client = Client::new();
    client.open("c");
    let path = append_path("c", "0_1", "1");
    let body: &[u8] = b"{\"n\":\"\xff\"}\n";
    assert_eq!(client.call("POST", &path, body).0, 200);
    client.pass(500);
    assert_eq!(client.status("c")["rows_error_count"], 1);
}

#[test]
fn counters_survive_a_reopen() {
    let mut client = Client::new();
    let next = client.open("c");
    client.append("c", &next, "1", "{\"n\":1}\n7\n");
    client.pass(500);
    let next = client.open("c");
    client.append("c", &next, "2", "{\"n\":2}\n");
    client.pass(500);
    let status = client.status("c");
    assert_eq!(status["rows_parsed"], 3);
    assert_eq!(status["rows_inserted"], 2);
    assert_eq!(status["rows_error_count"], 1);
    assert_eq!(status["created_on_ms"], START_MS);
}

#[test]
fn a_channel_idle_for_thirty_days_is_forgotten() {
    const DAY_MS: u64 = 86_400_000;
    let mut client = Client::new();
    let next = client.open("c");
    client.pass(DAY_MS);
    client.login();
    client.append("c", &next, "1", "{\"n\":1}\n");
    client.pass(30 * DAY_MS);
    client.login();
    assert_eq!(client.committed("c"), "1");
    client.pass(1);
    assert!(client.status("c").is_null());
}

#[test]
fn a_table_is_asked_for_by_three_names() {
    let emulator = settings().build().unwrap();
    for name in ["T", "S.T", "A.B.C.D", ""] {
        let why = emulator.rows(name).unwrap_err();
        assert!(why.to_string().contains("DATABASE.SCHEMA.TABLE"), "{why}");
    }
}

#[cfg(feature = "server")]
#[test]
fn rows_that_do_not_fit_their_table_are_rejected_and_only_known_pipes_exist() {
    use crate::catalog::tables::Catalog;

    let ddl = "USE SCHEMA DB.S; CREATE TABLE T (N INTEGER NOT NULL, NAME VARCHAR(3));";
    let mut client = Client::of(settings().catalog(Catalog::from_ddl(ddl).unwrap()));
    client.open("c");
    let rows = r#"{"n":1,"name":"abc","other":true}
{"name":"ab"}
{"n":"x"}
{"N":"2"}
{"n":3,"name":"abcd"}"#;
    client.append("c", "0_1", "5", rows);
    client.pass(500);
    let status = client.status("c");
    assert_eq!(status["last_committed_offset_token"], "5");
    assert_eq!(status["rows_parsed"], 5);
    assert_eq!(status["rows_inserted"], 2);
    assert_eq!(status["rows_error_count"], 3);
    assert_eq!(
        client.emulator.rows("db.s.t").unwrap(),
        [
            json!({"N": 1, "NAME": "abc"}),
            json!({"N": 2, "NAME": null})
        ]
    );
    let payloads: Vec<String> = client
        .emulator
        .error_rows("DB.S.T")
        .unwrap()
        .into_iter()
        .map(|row| row.payload)
        .collect();
    assert_eq!(
        payloads,
        [
            r#"{"name":"ab"}"#,
            r#"{"n":"x"}"#,
            r#"{"n":3,"name":"abcd"}"#
        ]
    );

    for (method, path, body) in [
        ("PUT", format!("{PIPES}/OTHER-STREAMING/channels/c"), ""),
        (
            "POST",
            format!("{PIPES}/OTHER-STREAMING:bulk-channel-status"),
            r#"{"channel_names":["c"]}"#,
        ),
        (
            "POST",
            format!("{DATA}/OTHER-STREAMING/channels/c/rows?continuationToken=0_1"),
            "",
        ),
        ("DELETE", format!("{PIPES}/OTHER-STREAMING/channels/c"), ""),
    ] {
        let (status, answer) = client.call(method, &path, body);
        assert_eq!(status, 404, "{method} {path}");
        assert_eq!(
            answer["error_code"],
            "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"
        );
    }
    assert!(client.emulator.rows("DB.S.OTHER").is_err());
}

#[test]
fn a_commit_of_many_rows_keeps_their_order_and_counts_them() {
    let mut client = Client::new();
    let next = client.open("c");
    let rows = |from: u64| -> String {
        let lines = (from..from + 40_000).map(|n| match n % 1_000 {
            0 => format!("bad {n}\n"),
            _ => format!("{{\"n\":{n}}}\n"),
        });
        lines.collect()
    };
    let next = client.append("c", &next, "40000", &rows(0));
    client.append("c", &next, "80000", &rows(40_000));
    client.pass(1_000);
    assert_eq!(client.committed("c"), "80000");
    let good: Vec<_> = (0..80_000).filter(|n| n % 1_000 != 0).collect();
    assert_eq!(client.landed(), good);
    let rejected = client.emulator.error_rows("DB.S.T").expect("rejected rows");
    let payloads: Vec<_> = rejected.iter().map(|row| row.payload.clone()).collect();
    let bad: Vec<_> = (0..80).map(|n| format!("bad {}", n * 1_000)).collect();
    assert_eq!(payloads, bad);
    let tokens: Vec<_> = rejected
        .iter()
        .map(|row| row.offset_token_upper_bound.clone().expect("a token"))
        .collect();
    assert_eq!(tokens[39..41], ["40000", "80000"]);
    let channel = client.emulator.channel("c").expect("the channel");
    assert_eq!(channel.rows_parsed, 80_000);
    assert_eq!(
        (channel.rows_inserted, channel.rows_error_count),
        (79_920, 80)
    );
    assert_eq!(
        channel.last_error_offset_upper_bound.as_deref(),
        Some("80000")
    );
    assert_eq!(
        channel.last_error_message.as_deref(),
        rejected.last().map(|row| row.error.to_string()).as_deref()
    );
}

/// Observed of a role that sees nothing: redpanda-data/connect, `streaming_pipe_scope_probe_it_test.go`.
#[test]
#[cfg(feature = "server")]
fn an_unknown_database_is_named_by_the_code() {
    use crate::catalog::tables::Catalog;

    let ddl = "CREATE TABLE DB.S.T (N NUMBER)";
    let client = Client::of(settings().catalog(Catalog::from_ddl(ddl).unwrap()));
    for (database, schema, code) in [
        ("NONE", "S", "ERR_DATABASE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"),
        ("db", "s", "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"),
    ] {
        let path = format!(
            "/v2/streaming/databases/{database}/schemas/{schema}/pipes/NONE:bulk-channel-status"
        );
        let (status, answer) = client.call("POST", &path, r#"{"channel_names":["c"]}"#);
        assert_eq!((status, &answer["error_code"]), (404, &json!(code)));
    }
}

#[test]
fn a_conflict_has_its_code_under_both_names() {
    let client = Client::of(settings().commit_delay(Duration::MAX));
    let token = client.open("c");
    client.append("c", &token, "1", "{\"n\":1}\n");
    let (status, answer) = client.try_open("c", r#"{"fail_on_uncommitted_rows":true}"#);
    let code = json!("ERR_CHANNEL_HAS_UNCOMMITTED_DATA");
    assert_eq!(status, 409);
    assert_eq!((&answer["code"], &answer["error_code"]), (&code, &code));
}
