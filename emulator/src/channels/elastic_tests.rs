//! The elastic channel: no open, no tokens, nothing lost and nothing recognized.

use std::time::Duration;

use serde_json::{Value, json};

use crate::channels::limits::Limits;
use crate::instance::Emulator;
use crate::messages::answer::Reply;
use crate::protocol::faults::Fault;
use crate::protocol::routes::Endpoint;
use crate::rig::{Client, PIPES, START_MS, answered, code, settings};
use crate::storage::memory::MemoryStorage;

const BY_PIPE: &str =
    "/v2/streaming/data/databases/DB/schemas/S/pipes/T-STREAMING/channels/ELASTIC/rows";
const BY_TABLE: &str = "/v2/streaming/data/databases/DB/schemas/S/tables/T/rows";

fn append(client: &Client, path: &str, rows: &str) -> (u16, Value) {
    client.call(
        "POST",
        &format!("{path}?requestId=r&retryCount=0"),
        rows.to_owned(),
    )
}

#[test]
fn both_addresses_lead_to_the_same_channel() {
    let mut client = Client::new();
    let ok = json!({ "status_code": 0, "message": "OK", "next_continuation_token": "" });
    assert_eq!(append(&client, BY_TABLE, "{\"n\":1}\n"), (200, ok.clone()));
    assert_eq!(
        append(&client, BY_PIPE, "{\"n\":2}\n\n{\"n\":3}\n"),
        (200, ok)
    );
    assert_eq!(client.landed(), [0; 0]);
    client.pass(500);
    let status = client.status("ELASTIC");
    assert_eq!(client.landed(), [1, 2, 3]);
    assert_eq!(
        (&status["rows_parsed"], &status["rows_inserted"]),
        (&json!(3), &json!(3))
    );
}

#[test]
fn its_status_is_there_before_the_first_row() {
    let mut client = Client::new();
    let first = client.status("ELASTIC");
    assert_eq!(
        first,
        json!({
            "database_name": "DB",
            "schema_name": "S",
            "pipe_name": "T-STREAMING",
            "channel_name": "ELASTIC",
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
    // Unlike a named channel it is there for good.
    client.pass(40 * 24 * 60 * 60 * 1000);
    client.login();
    assert_eq!(client.status("ELASTIC"), first);
}

#[test]
fn tokens_of_named_channels_are_refused() {
    let client = Client::new();
    for name in [
        "offsetToken",
        "startOffsetToken",
        "endOffsetToken",
        "continuationToken",
    ] {
        for path in [BY_PIPE, BY_TABLE] {
            let (status, answer) =
                client.call("POST", &format!("{path}?requestId=r&{name}="), "{}\n");
            assert_eq!(
                (status, code(&answer)),
                (400, "ERR_INVALID_REQUEST"),
                "{name}"
            );
            assert!(
                answer["message"].as_str().unwrap().contains(name),
                "{answer}"
            );
        }
    }
    client.emulator.commit_now();
    assert_eq!(client.status("ELASTIC")["rows_parsed"], 0);
}

#[test]
fn it_can_be_neither_opened_nor_dropped() {
    let client = Client::new();
    append(&client, BY_PIPE, "{\"n\":1}\n");
    for method in ["PUT", "DELETE"] {
        let (status, answer) =
            client.call(method, &format!("{PIPES}/T-STREAMING/channels/Elastic"), "");
        assert_eq!(
            (status, code(&answer)),
            (400, "ERR_INVALID_REQUEST"),
            "{method}"
        );
    }
    client.emulator.commit_now();
    assert_eq!(client.landed(), [1]);
}

#[test]
fn a_request_that_is_repeated_lands_again() {
    let client = Client::new();
    append(&client, BY_PIPE, "{\"n\":1}\n");
    append(&client, BY_PIPE, "{\"n\":1}\n");
    client.emulator.commit_now();
    assert_eq!(client.landed(), [1, 1]);
}

#[test]
fn the_rates_of_named_channels_do_not_apply() {
    let client = Client::of(Emulator::builder().limits(Limits {
        bytes_per_second: Some(100),
        ..Limits::default()
    }));
    for n in 0..100 {
        assert_eq!(append(&client, BY_PIPE, &format!("{{\"n\":{n}}}\n")).0, 200);
    }
}

#[test]
fn it_is_none_of_the_channels_a_pipe_may_have() {
    let client = Client::of(Emulator::builder().limits(Limits {
        channels_per_pipe: Some(1),
        ..Limits::default()
    }));
    append(&client, BY_PIPE, "{\"n\":1}\n");
    client.open("c");
    assert_eq!(client.try_open("d", "{}").0, 400);
    assert_eq!(append(&client, BY_PIPE, "{\"n\":2}\n").0, 200);
}

#[test]
fn a_rejected_row_has_no_offsets() {
    let client = Client::new();
    append(&client, BY_TABLE, "{\"n\":1}\n7\n");
    client.emulator.commit_now();
    let status = client.status("ELASTIC");
    assert_eq!(
        (&status["rows_parsed"], &status["rows_error_count"]),
        (&json!(2), &json!(1))
    );
    assert!(status["last_error_offset_upper_bound"].is_null());
    let errors = client.emulator.error_rows("DB.S.T").unwrap();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].payload, "7");
    assert_eq!(
        (
            &errors[0].offset_token_lower_bound,
            &errors[0].offset_token_upper_bound
        ),
        (&None, &None)
    );
}

#[test]
fn what_was_accepted_outlives_a_restart_even_one_that_loses_its_buffer() {
    let storage = MemoryStorage::new();
    let client = Client::of(settings().storage(storage.clone()));
    append(&client, BY_PIPE, "{\"n\":1}\n");
    drop(client);
    let emulator = settings()
        .storage(storage)
        .lose_buffer(true)
        .build()
        .unwrap();
    let client = Client::at(emulator, START_MS + 1000);
    let status = client.status("ELASTIC");
    assert_eq!(status["channel_status_code"], "SUCCESS");
    assert_eq!(status["created_on_ms"], START_MS);
    append(&client, BY_PIPE, "{\"n\":2}\n");
    client.emulator.commit_now();
    assert_eq!(client.landed(), [1, 2]);
}

#[test]
fn faults_strike_it_and_a_second_writer_is_none() {
    let client = Client::new();
    let faults = client.emulator.faults();
    faults.push(
        Fault::Throttle(Some(Duration::from_secs(3)))
            .on(Endpoint::Append)
            .channel("ELASTIC"),
    );
    let answer = answered(client.send("POST", BY_PIPE, "{\"n\":1}\n"));
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (429, &"3".parse().unwrap())
    );
    faults.push(Fault::ApplyThenLose.on(Endpoint::Append));
    assert!(matches!(
        client.send("POST", BY_TABLE, "{\"n\":2}\n"),
        Reply::Reset
    ));
    faults.push(Fault::SecondWriter.on(Endpoint::Append));
    faults.push(Fault::ForeignToken(Some("9".to_owned())).on(Endpoint::Append));
    assert_eq!(append(&client, BY_PIPE, "{\"n\":3}\n").0, 200);
    assert_eq!(append(&client, BY_PIPE, "{\"n\":4}\n").0, 200);
    client.emulator.commit_now();
    assert_eq!(client.landed(), [2, 3, 4]);
    assert!(client.committed("ELASTIC").is_null());
    faults.push(Fault::Invalidate("ERR_PIPE_IN_INVALID_STATE".to_owned()).on(Endpoint::Append));
    let (status, answer) = append(&client, BY_PIPE, "{\"n\":5}\n");
    assert_eq!((status, code(&answer)), (400, "ERR_PIPE_IN_INVALID_STATE"));
}

#[test]
fn a_pipe_that_is_only_asked_about_leaves_no_channel() {
    let client = Client::new();
    for pipe in 0..3 {
        let path = format!("{PIPES}/P{pipe}:bulk-channel-status");
        let (status, answer) = client.call("POST", &path, r#"{"channel_names":["ELASTIC"]}"#);
        assert_eq!(status, 200, "{answer}");
        assert_eq!(
            answer["channel_statuses"]["ELASTIC"]["channel_status_code"],
            "SUCCESS"
        );
    }
    assert!(client.emulator.channel("ELASTIC").is_none());
}
