//! Opening, appending, fencing, dropping: the rules of continuation tokens.

use serde_json::json;

use crate::answers::ReplayedToken;
use crate::rig::{Client, PIPES, START_MS, code, settings};

#[test]
fn a_new_channel_has_every_field_the_official_sdk_insists_on() {
    let client = Client::new();
    let (status, answer) = client.try_open("c", r#"{"fail_on_uncommitted_rows":true}"#);
    assert_eq!(status, 200);
    assert_eq!(answer["next_continuation_token"], "0_1");
    assert_eq!(
        answer["channel_status"],
        json!({
            "database_name": "DB",
            "schema_name": "S",
            "pipe_name": "T-STREAMING",
            "channel_name": "c",
            "channel_status_code": "SUCCESS",
            "last_committed_offset_token": null,
            "created_on_ms": START_MS,
            "rows_parsed": 0,
            "rows_inserted": 0,
            "rows_error_count": 0,
            "last_error_offset_upper_bound": null,
            "last_error_message": null,
            "last_error_timestamp": null,
            "last_error_timestamp_ms": null,
            "snowflake_avg_processing_latency_ms": null,
        })
    );
}

#[test]
fn an_append_is_answered_with_the_next_token() {
    let client = Client::new();
    client.open("c");
    let (status, answer) = client.try_append("c", "0_1", "1", "{\"n\":1}\n");
    assert_eq!(status, 200);
    assert_eq!(
        answer,
        json!({
            "status_code": 0,
            "message": "Data buffered successfully",
            "next_continuation_token": "0_2",
        })
    );
}

#[test]
fn an_open_may_set_the_token() {
    let client = Client::new();
    let (_, answer) = client.try_open("c", r#"{"offset_token":"77"}"#);
    assert_eq!(
        answer["channel_status"]["last_committed_offset_token"],
        "77"
    );
    assert_eq!(client.committed("c"), "77");
}

#[test]
fn reopening_discards_what_is_not_committed() {
    let mut client = Client::new();
    let next = client.open("c");
    let next = client.append("c", &next, "1", "{\"n\":1}\n");
    client.pass(500);
    client.append("c", &next, "2", "{\"n\":2}\n");
    let (_, answer) = client.try_open("c", "{}");
    assert_eq!(answer["next_continuation_token"], "1_1");
    assert_eq!(answer["channel_status"]["last_committed_offset_token"], "1");
    client.pass(10_000);
    assert_eq!(client.committed("c"), "1");
    assert_eq!(client.landed(), [1]);
}

#[test]
fn reopening_can_refuse_to_discard() {
    let mut client = Client::new();
    let next = client.open("c");
    client.append("c", &next, "1", "{\"n\":1}\n");
    let (status, answer) = client.try_open("c", r#"{"fail_on_uncommitted_rows":true}"#);
    assert_eq!(status, 409);
    assert_eq!(code(&answer), "ERR_CHANNEL_HAS_UNCOMMITTED_DATA");
    client.pass(500);
    let (status, answer) = client.try_open("c", r#"{"fail_on_uncommitted_rows":true}"#);
    assert_eq!(status, 200);
    assert_eq!(answer["channel_status"]["last_committed_offset_token"], "1");
    assert_eq!(client.landed(), [1]);
}

#[test]
fn the_older_holder_is_fenced() {
    let client = Client::new();
    let older = client.open("c");
    let younger = client.open("c");
    let (status, answer) = client.try_append("c", &older, "1", "{\"n\":1}\n");
    assert_eq!(status, 400);
    assert_eq!(code(&answer), "STALE_CONTINUATION_TOKEN_SEQUENCER");
    client.append("c", &younger, "2", "{\"n\":2}\n");
}

#[test]
fn a_replayed_token_is_known_again_or_stale() {
    for (replay, expected) in [(ReplayedToken::Accept, 200), (ReplayedToken::Stale, 400)] {
        let mut client = Client::of(settings().replay(replay));
        client.open("c");
        client.append("c", "0_1", "1", "{\"n\":1}\n");
        client.append("c", "0_2", "2", "{\"n\":2}\n");
        let (status, answer) = client.try_append("c", "0_1", "1", "{\"n\":1}\n");
        assert_eq!(status, expected);
        if expected == 200 {
            assert_eq!(answer["next_continuation_token"], "0_2");
        } else {
            assert_eq!(code(&answer), "STALE_CONTINUATION_TOKEN_SEQUENCER");
        }
        client.pass(500);
        assert_eq!(client.committed("c"), "2");
        assert_eq!(client.landed(), [1, 2]);
    }
}

#[test]
fn a_gap_closes_the_channel_until_it_is_reopened() {
    const GAP: &str = "ERR_CHANNEL_MUST_BE_REOPENED_DUE_TO_ROW_SEQ_GAP";
    let client = Client::new();
    client.open("c");
    for token in ["0_3", "0_1"] {
        let (status, answer) = client.try_append("c", token, "1", "{\"n\":1}\n");
        assert_eq!(status, 400);
        assert_eq!(code(&answer), GAP);
    }
    assert_eq!(client.status("c")["channel_status_code"], GAP);
    let next = client.open("c");
    client.append("c", &next, "1", "{\"n\":1}\n");
    assert_eq!(client.status("c")["channel_status_code"], "SUCCESS");
}

#[test]
fn tokens_that_are_none_are_refused() {
    let client = Client::new();
    client.open("c");
    for token in ["", "7", "a_b", "0_", "0_1_1", "-1_1"] {
        let (status, _) = client.try_append("c", token, "1", "{\"n\":1}\n");
        assert_eq!(status, 400, "{token}");
    }
    let (status, answer) = client.try_append("c", "9_1", "1", "{\"n\":1}\n");
    assert_eq!(status, 400);
    assert_eq!(code(&answer), "ERR_CHANNEL_HAS_INVALID_CLIENT_SEQUENCER");
    assert_eq!(client.emulator.channel("c").unwrap().row_sequencer, 1);
}

#[test]
fn names_ignore_case_in_addresses_but_not_in_lists() {
    let client = Client::new();
    client.open("Rides");
    assert_eq!(client.open("RIDES"), "1_1");
    assert_eq!(client.status("Rides")["channel_name"], "Rides");
    assert!(client.status("RIDES").is_null());
    let (status, _) = client.call(
        "PUT",
        "/v2/streaming/databases/db/schemas/%22S%22/pipes/%22t-streaming%22/channels/rides",
        "",
    );
    assert_eq!(status, 200);
    assert_eq!(
        client.emulator.channel("rides").unwrap().client_sequencer,
        2
    );
}

#[test]
fn an_encoded_name_is_decoded() {
    let client = Client::new();
    client.open("a%20b%2Fc");
    assert_eq!(client.status("a b/c")["channel_name"], "a b/c");
}

#[test]
fn elastic_is_reserved() {
    let (status, _) = Client::new().try_open("Elastic", "{}");
    assert_eq!(status, 400);
}

#[test]
fn unknown_channels_are_absent_from_status_and_not_found_elsewhere() {
    const UNKNOWN: &str = "ERR_CHANNEL_DOES_NOT_EXIST_OR_NOT_AUTHORIZED";
    let client = Client::new();
    assert!(client.status("c").is_null());
    let (status, answer) = client.try_append("c", "0_1", "1", "{\"n\":1}\n");
    assert_eq!((status, code(&answer)), (404, UNKNOWN));
    let path = format!("{PIPES}/T-STREAMING/channels/c");
    let (status, answer) = client.call("DELETE", &path, "");
    assert_eq!((status, code(&answer)), (404, UNKNOWN));
}

#[test]
fn a_dropped_channel_is_forgotten_with_its_token() {
    let mut client = Client::new();
    let next = client.open("c");
    client.append("c", &next, "1", "{\"n\":1}\n");
    let path = format!("{PIPES}/T-STREAMING/channels/c");
    let (status, answer) = client.call("DELETE", &path, r#"{"fail_on_uncommitted_rows":true}"#);
    assert_eq!(status, 409);
    assert_eq!(code(&answer), "ERR_CHANNEL_HAS_UNCOMMITTED_DATA");
    client.pass(500);
    let (status, _) = client.call("DELETE", &path, "");
    assert_eq!(status, 200);
    assert!(client.status("c").is_null());
    client.pass(1000);
    let (_, answer) = client.try_open("c", "{}");
    assert_eq!(answer["next_continuation_token"], "0_1");
    assert!(answer["channel_status"]["last_committed_offset_token"].is_null());
    assert_eq!(answer["channel_status"]["created_on_ms"], START_MS + 1500);
}

#[test]
fn what_is_no_endpoint_is_not_found() {
    let client = Client::new();
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/oauth/token"),
        ("POST", "/v2/streaming/hostname"),
        ("POST", "/v2/streaming/databases/DB/schemas/S/pipes/P"),
        (
            "GET",
            "/v2/streaming/databases/DB/schemas/S/pipes/P/channels/c",
        ),
        (
            "POST",
            "/v2/streaming/databases/DB/schemas/S/pipes/P/channels/c/rows",
        ),
        (
            "PUT",
            "/v2/streaming/data/databases/DB/schemas/S/pipes/P/channels/c",
        ),
    ] {
        let (status, answer) = client.call(method, path, "");
        assert_eq!(status, 404, "{method} {path}");
        assert_eq!(code(&answer), "ERR_ENDPOINT_DOES_NOT_EXIST");
    }
}

#[test]
fn unreadable_bodies_are_refused() {
    let client = Client::new();
    let (status, _) = client.try_open("c", "{");
    assert_eq!(status, 400);
    let (status, _) = client.try_open("c", r#"{"fail_on_uncommitted_rows":"yes"}"#);
    assert_eq!(status, 400);
    for body in ["", "[]", r#"{"channel_names":"c"}"#] {
        let path = format!("{PIPES}/P:bulk-channel-status");
        let (status, _) = client.call("POST", &path, body.to_owned());
        assert_eq!(status, 400, "{body}");
    }
}
