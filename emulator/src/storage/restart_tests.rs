//! What survives a restart of the server.

use crate::protocol::faults::Fault;
use crate::protocol::routes::Endpoint;
use crate::rig::{Client, PIPES, START_MS, code, settings};
use crate::storage::memory::MemoryStorage;

#[test]
fn a_restart_continues_to_commit_what_was_accepted() {
    let storage = MemoryStorage::new();
    let mut client = Client::of(settings().storage(storage.clone()));
    let next = client.open("c");
    let next = client.append("c", &next, "1", "{\"n\":1}\n7\n");
    client.pass(500);
    let next = client.append("c", &next, "2", "{\"n\":2}\n");
    drop(client);

    let mut client = Client::at(settings().storage(storage).build().unwrap(), START_MS + 600);
    assert_eq!(client.committed("c"), "1");
    let next = client.append("c", &next, "3", "{\"n\":3}\n");
    assert_eq!(next, "0_4");
    client.pass(1000);
    let status = client.status("c");
    assert_eq!(status["last_committed_offset_token"], "3");
    assert_eq!(status["rows_parsed"], 4);
    assert_eq!(status["rows_error_count"], 1);
    assert_eq!(status["created_on_ms"], START_MS);
    assert_eq!(client.landed(), [1, 2, 3]);
}

#[test]
fn a_scoped_token_does_not_outlive_the_server() {
    let storage = MemoryStorage::new();
    let client = Client::of(settings().storage(storage.clone()));
    client.open("c");
    let mut restarted = Client::of(settings().storage(storage));
    restarted.token.clone_from(&client.token);
    assert_eq!(restarted.try_open("c", "{}").0, 401);
}

#[test]
fn a_lost_buffer_forgets_accepted_rows_and_asks_for_a_reopen() {
    const GAP: &str = "ERR_CHANNEL_MUST_BE_REOPENED_DUE_TO_ROW_SEQ_GAP";
    let storage = MemoryStorage::new();
    let mut client = Client::of(settings().storage(storage.clone()));
    client.open("idle");
    let next = client.open("c");
    let next = client.append("c", &next, "1", "{\"n\":1}\n");
    client.pass(500);
    let next = client.append("c", &next, "2", "{\"n\":2}\n");
    drop(client);

    let emulator = settings()
        .storage(storage.clone())
        .lose_buffer(true)
        .build()
        .unwrap();
    let mut client = Client::at(emulator, START_MS + 600);
    assert_eq!(client.status("idle")["channel_status_code"], "SUCCESS");
    assert_eq!(client.status("c")["channel_status_code"], GAP);
    let (status, answer) = client.try_append("c", &next, "3", "{\"n\":3}\n");
    assert_eq!((status, code(&answer)), (400, GAP));
    client.pass(10_000);
    assert_eq!(client.committed("c"), "1");
    drop(client);

    // The loss is durable: another start, without losing anything, still asks for the reopen.
    let mut client = Client::at(
        settings().storage(storage).build().unwrap(),
        START_MS + 20_000,
    );
    assert_eq!(client.status("c")["channel_status_code"], GAP);
    let next = client.open("c");
    client.append("c", &next, "2", "{\"n\":2}\n");
    client.pass(1000);
    assert_eq!(client.committed("c"), "2");
    assert_eq!(client.landed(), [1, 2]);
}

#[test]
fn a_channel_that_loses_rows_loses_them_until_it_is_opened_again() {
    let storage = MemoryStorage::new();
    let client = Client::of(settings().storage(storage.clone()));
    let next = client.open("c");
    let faults = client.emulator.faults();
    faults.push(Fault::AcceptAndLose.on(Endpoint::Append));
    let next = client.append("c", &next, "1", "{\"n\":1}\n");
    drop(client);

    let emulator = settings().storage(storage).build().unwrap();
    let mut client = Client::at(emulator, START_MS + 600);
    let status = &client.status("c")["channel_status_code"];
    assert_eq!(status, "ERR_CHANNEL_DOES_NOT_EXIST_OR_NOT_AUTHORIZED");
    client.try_append("c", &next, "2", "{\"n\":2}\n");
    client.pass(1000);
    assert!(client.landed().is_empty());
    let next = client.open("c");
    client.append("c", &next, "1", "{\"n\":1}\n");
    client.pass(1000);
    assert_eq!(client.committed("c"), "1");
    assert_eq!(client.landed(), [1]);
}

#[test]
fn a_dropped_channel_stays_dropped() {
    let storage = MemoryStorage::new();
    let client = Client::of(settings().storage(storage.clone()));
    client.open("c");
    let path = format!("{PIPES}/T-STREAMING/channels/C");
    assert_eq!(client.call("DELETE", &path, "").0, 200);
    let client = Client::of(settings().storage(storage));
    assert!(client.status("c").is_null());
}
