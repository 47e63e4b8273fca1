//! Each answer to each point of the endpoints and channels is seen by a client.

use bytes::Bytes;
use serde_json::Value;

use crate::answers::{Answers, POINTS};
use crate::rig::{Client, DATA, PIPES, answered, code, jwt, request, settings};

fn playing(key: &str, word: &str) -> Client {
    let answers = Answers::default().with(key, word).unwrap();
    Client::of(settings().answers(answers))
}

/// What a client sees at a point, in the words of its answers.
fn seen(client: &mut Client, key: &str) -> String {
    let word = match key {
        "wire.hostname_body" => body_form(client, "GET", "/v2/streaming/hostname", "hostname"),
        "wire.token_body" => body_form(client, "POST", "/oauth/token", "token"),
        "wire.elastic_body" => {
            let path = format!("{DATA}/T-STREAMING/channels/ELASTIC/rows");
            let (status, answer) = client.call("POST", &path, "{\"n\":1}\n");
            assert_eq!((status, &answer["message"]), (200, &Value::from("OK")));
            match answer.get("next_continuation_token") {
                Some(_) => "with_token",
                None => "message",
            }
        }
        "wire.error_body" => {
            let missing = client.try_append("c", "0_1", "1", "{}\n").1;
            let malformed = client.try_open("c", "{").1;
            match (missing.get("error_code"), malformed.get("error_code")) {
                (Some(_), None) => "by_status",
                (Some(_), Some(_)) => "error_code",
                (None, _) if missing.is_string() => "text",
                _ => "code",
            }
        }
        "wire.healthy_status" => return status_field(client, "channel_status_code"),
        "wire.error_counter" => {
            let statuses = bulk(client);
            assert_eq!(
                client.try_open("d", "{}").1["channel_status"]["rows_error_count"],
                0
            );
            match statuses.get("rows_errors") {
                Some(_) => "rows_errors",
                None => "rows_error_count",
            }
        }
        "wire.error_timestamp" => error_timestamp(client),
        "wire.replayed_token" => {
            client.open("c");
            client.append("c", "0_1", "1", "{\"n\":1}\n");
            match client.try_append("c", "0_1", "1", "{\"n\":1}\n").0 {
                200 => "accept",
                400 => "stale",
                _ => "conflict",
            }
        }
        "wire.skipped_token" => {
            client.open("c");
            let (status, answer) = client.try_append("c", "0_2", "1", "{\"n\":1}\n");
            assert_eq!(status_field_of_open(client), code(&answer));
            match (status, code(&answer)) {
                (409, _) => "conflict",
                (_, "ERR_CHANNEL_HAS_INVALID_ROW_SEQUENCER") => "invalid",
                _ => "gap",
            }
        }
        "wire.superseded_token" => superseded_token(client),
        "wire.row_counters" => row_counters(client),
        "wire.max_body" | "wire.oversized_body" => {
            client.open("c");
            let long = |length: usize| format!("{{\"n\":\"{}\"}}\n", "x".repeat(length - 9));
            let (longer, _) = client.try_append("c", "0_1", "1", &long(4_000_001));
            let (longest, _) = client.try_append("c", "0_1", "1", &long((4 << 20) + 1));
            match (key, longer, longest) {
                ("wire.oversized_body", _, 400) => "400",
                ("wire.oversized_body", ..) => "413",
                (_, 200, 413) => "4194304",
                _ => "4000000",
            }
        }
        "wire.earlier_token" => {
            let earlier = client.token.clone();
            client.login();
            client.token = earlier;
            match client.try_open("c", "{}").0 {
                200 => "lives",
                _ => "dies",
            }
        }
        "wire.elastic_status" => match client.status("ELASTIC") {
            Value::Null => "absent",
            _ => "present",
        },
        "wire.after_skipped_token" => {
            client.open("c");
            let (skipped, _) = client.try_append("c", "0_2", "1", "{\"n\":1}\n");
            assert_eq!(skipped, 400);
            match client.try_append("c", "0_1", "1", "{\"n\":1}\n").0 {
                200 => "takes",
                _ => "refuses",
            }
        }
        other => of_channels(client, other),
    };
    word.to_owned()
}

/// The same at the points of channels and their rows.
fn of_channels(client: &Client, key: &str) -> &'static str {
    match key {
        "channels.name_case" => {
            client.open("c");
            client.open("C");
            match client.try_append("c", "0_1", "1", "{\"n\":1}\n").0 {
                200 => "exact",
                _ => "folded",
            }
        }
        "values.malformed_row" => {
            client.open("c");
            match client.try_append("c", "0_1", "1", "{\"n\":1}\n{\"n\":\n").0 {
                200 => "reject",
                _ => "refuse_request",
            }
        }
        other => panic!("no client looks at {other}"),
    }
}

/// An append with a token from before another open.
fn superseded_token(client: &Client) -> &'static str {
    client.open("c");
    client.open("c");
    let (status, answer) = client.try_append("c", "0_1", "1", "{\"n\":1}\n");
    let next = answer
        .get("next_continuation_token")
        .and_then(Value::as_str);
    match (status, next) {
        (400, _) => "stale",
        (409, _) => "conflict",
        (_, Some("1_1")) => "drop_with_owners_token",
        (_, Some("0_2")) => "drop_with_old_token",
        other => panic!("{other:?}"),
    }
}

/// A status right after a commit, and four seconds later.
fn row_counters(client: &mut Client) -> &'static str {
    client.open("c");
    client.append("c", "0_1", "1", "{\"n\":1}\n[]\n");
    client.pass(1_000);
    let counts = |client: &Client| {
        let status = bulk(client);
        let rejected = [&status["rows_error_count"], &status["rows_errors"]];
        let rejected = rejected.into_iter().find_map(Value::as_u64);
        assert_eq!(status["last_committed_offset_token"], "1");
        (status["rows_inserted"].as_u64(), rejected)
    };
    match counts(client) {
        (Some(1), Some(1)) => "at_once",
        none => {
            assert_eq!(none, (Some(0), Some(0)));
            client.pass(4_000);
            assert_eq!(counts(client), (Some(1), Some(1)));
            "late"
        }
    }
}

/// A row is rejected, and the status has the time.
fn error_timestamp(client: &mut Client) -> &'static str {
    client.open("c");
    client.append("c", "0_1", "1", "[]\n");
    client.pass(1_000);
    match &bulk(client)["last_error_timestamp"] {
        Value::String(text) => {
            assert_eq!(text, "2026-01-17T14:00:00.500Z");
            "text"
        }
        number => {
            assert!(number.is_u64(), "{number}");
            "milliseconds"
        }
    }
}

fn user(client: &Client) -> String {
    let now = client.now_ms() / 1000;
    jwt(now, now + 60)
}

fn body_form(client: &Client, method: &str, path: &str, field: &str) -> &'static str {
    let answer = if field == "token" {
        client.exchange(&user(client))
    } else {
        let request = request(method, path, &user(client));
        let request = request.body(Bytes::new()).unwrap();
        answered(client.emulator.handle(client.now, request))
    };
    let text = String::from_utf8(answer.body().to_vec()).unwrap();
    match serde_json::from_str::<Value>(&text) {
        Ok(object) => {
            assert!(object[field].is_string(), "{text}");
            "json"
        }
        Err(_) if text.ends_with('\n') => "line",
        Err(_) => "text",
    }
}

/// The status of the channel `c`, which is opened if there is none.
fn bulk(client: &Client) -> Value {
    let path = format!("{PIPES}/T-STREAMING:bulk-channel-status");
    let ask = || client.call("POST", &path, r#"{"channel_names":["c"]}"#).1;
    let found = ask()["channel_statuses"]["c"].clone();
    if found.is_object() {
        return found;
    }
    client.open("c");
    ask()["channel_statuses"]["c"].clone()
}

fn status_field(client: &Client, field: &str) -> String {
    let opened = client.try_open("c", "{}").1["channel_status"][field].clone();
    let listed = bulk(client)[field].clone();
    assert_eq!(opened, listed);
    listed.as_str().unwrap().to_owned()
}

fn status_field_of_open(client: &Client) -> String {
    let code = &bulk(client)["channel_status_code"];
    code.as_str().unwrap().to_owned()
}

#[test]
fn each_answer_is_played() {
    for point in POINTS {
        // What needs statements has tests of its own.
        let needs_statements = !point.key.starts_with("wire.")
            && !point.key.starts_with("channels.")
            && point.key != "values.malformed_row";
        if needs_statements {
            continue;
        }
        for word in point.words {
            let mut client = playing(point.key, word);
            assert_eq!(seen(&mut client, point.key), *word, "{}", point.key);
        }
    }
}

#[test]
fn the_guide_has_each_point_and_each_answer() {
    let guide = include_str!("../guide/usage.md");
    for point in POINTS {
        let of_point = |line: &&str| line.starts_with("| `") && line.contains(point.key);
        let line = guide.lines().find(of_point).unwrap_or_default();
        for word in point.words {
            assert!(
                line.contains(&format!("`{word}`")),
                "{} {word}: {line}",
                point.key
            );
        }
    }
}
