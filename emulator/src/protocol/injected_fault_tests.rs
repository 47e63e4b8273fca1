//! Each fault: what the client receives, and whether the rows land.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::answers::ReplayedToken;
use crate::messages::answer::Reply;
use crate::protocol::faults::Fault;
use crate::protocol::routes::Endpoint;
use crate::rig::{Client, PIPES, START_MS, answered, code, read, settings};

/// A client with an open channel `c`, one row committed in it, and the token for the next.
fn ready() -> (Client, String) {
    let mut client = Client::new();
    let next = client.open("c");
    let next = client.append("c", &next, "1", "{\"n\":1}\n");
    client.pass(500);
    assert_eq!(client.committed("c"), "1");
    (client, next)
}

/// Strikes an append with `fault`; the reply, and whether the row landed.
fn with_fault(fault: Fault) -> (Reply, bool) {
    let (client, next) = ready();
    let name = fault.name();
    client.emulator.faults().push(fault.on(Endpoint::Append));
    let reply = client.send_rows("c", &next, "2", "{\"n\":2}\n");
    assert_eq!(client.emulator.faults().injected()[name], 1);
    client.emulator.commit_now();
    let landed = match client.landed().as_slice() {
        [1] => false,
        [1, 2] => true,
        other => panic!("{other:?}"),
    };
    // The fault is spent.
    assert_eq!(client.try_open("c", "{}").0, 200);
    (reply, landed)
}

#[test]
fn requests_that_are_lost_or_never_left() {
    assert!(matches!(with_fault(Fault::Refuse), (Reply::Refuse, false)));
    assert!(matches!(with_fault(Fault::Lose), (Reply::Reset, false)));
    assert!(matches!(with_fault(Fault::Hang), (Reply::Hang, false)));
}

#[test]
fn requests_that_are_carried_out_without_an_answer() {
    assert!(matches!(
        with_fault(Fault::ApplyThenLose),
        (Reply::Reset, true)
    ));
    assert!(matches!(
        with_fault(Fault::ApplyThenHang),
        (Reply::Hang, true)
    ));
    let (reply, landed) = with_fault(Fault::Cut);
    assert!(landed && matches!(reply, Reply::Cut(answer) if answer.status() == 200));
    let (reply, landed) = with_fault(Fault::Delay(Duration::from_secs(9)));
    let Reply::RespondAfter(wait, answer) = reply else {
        panic!("{reply:?}");
    };
    assert!(landed);
    assert_eq!((wait.as_secs(), answer.status().as_u16()), (9, 200));
}

#[test]
fn answers_that_carry_nothing_out() {
    for (fault, status, expected) in [
        (Fault::Throttle(None), 429, json!("390701")),
        (Fault::Unauthorized, 401, json!("390303")),
        (Fault::Forbidden, 403, json!("390403")),
        (Fault::FailedOver, 410, json!("ERR_PIPE_FAILED_OVER")),
        (
            Fault::Stale,
            400,
            json!("STALE_CONTINUATION_TOKEN_SEQUENCER"),
        ),
        (
            Fault::BadRequest("ERR_INVALID_REQUEST".into()),
            400,
            json!("ERR_INVALID_REQUEST"),
        ),
    ] {
        let (reply, landed) = with_fault(fault.clone());
        let (seen, body) = read(&answered(reply));
        assert_eq!(
            (seen, json!(code(&body)), landed),
            (status, expected, false),
            "{fault:?}"
        );
    }
    let (reply, landed) = with_fault(Fault::BareNotFound);
    let answer = answered(reply);
    assert_eq!(
        (answer.status().as_u16(), answer.body().len(), landed),
        (404, 0, false)
    );
}

#[test]
fn a_throttle_may_say_how_long() {
    let (reply, _) = with_fault(Fault::Throttle(Some(Duration::from_secs(7))));
    assert_eq!(answered(reply).headers()["retry-after"], "7");
}

#[test]
fn server_errors_come_before_or_after_the_deed() {
    for (fault, status, expected) in [
        (Fault::ServerError(503), 503, false),
        (Fault::ApplyThenServerError(500), 500, true),
    ] {
        let (reply, landed) = with_fault(fault);
        let (seen, body) = read(&answered(reply));
        assert_eq!((seen, landed), (status, expected));
        assert_eq!(body, "ERR_GENERAL_EXCEPTION_RETRY_REQUEST");
    }
}

#[test]
fn an_expired_token_stays_expired() {
    let (mut client, next) = ready();
    client.emulator.faults().push(Fault::ExpireToken);
    for _ in 0..2 {
        let (status, answer) = client.try_append("c", &next, "2", "{\"n\":2}\n");
        assert_eq!((status, code(&answer)), (401, "390303"));
    }
    client.login();
    client.append("c", &next, "2", "{\"n\":2}\n");
}

#[test]
fn a_zombie_arrives_after_its_retry() {
    for replay in [ReplayedToken::Accept, ReplayedToken::Stale] {
        let client = Client::of(settings().replay(replay));
        client.open("c");
        client
            .emulator
            .faults()
            .push(Fault::Zombie.on(Endpoint::Append));
        let reply = client.send_rows("c", "0_1", "1", "{\"n\":1}\n");
        assert!(matches!(reply, Reply::Reset));
        assert!(client.committed("c").is_null());
        assert_eq!(client.append("c", "0_1", "1", "{\"n\":1}\n"), "0_2");
        client.append("c", "0_2", "2", "{\"n\":2}\n");
        client.emulator.commit_now();
        assert_eq!(client.landed(), [1, 2]);
        let arrivals: Vec<_> = client
            .emulator
            .log()
            .into_iter()
            .filter(|entry| entry.fault == Some("zombie"))
            .map(|entry| entry.status)
            .collect();
        let answer = match replay {
            ReplayedToken::Accept => 200,
            _ => 400,
        };
        assert_eq!(arrivals, [None, Some(answer)]);
    }
}

#[test]
fn a_zombie_open_fences_its_own_retry() {
    let client = Client::new();
    client
        .emulator
        .faults()
        .push(Fault::Zombie.on(Endpoint::Open));
    let path = format!("{PIPES}/T-STREAMING/channels/c");
    assert!(matches!(client.send("PUT", &path, ""), Reply::Reset));
    let next = client.open("c");
    let (status, answer) = client.try_append("c", &next, "1", "{\"n\":1}\n");
    assert_eq!(
        (status, code(&answer)),
        (400, "STALE_CONTINUATION_TOKEN_SEQUENCER")
    );
}

#[test]
fn a_second_writer_fences_and_discards() {
    let (mut client, next) = ready();
    let next = client.append("c", &next, "2", "{\"n\":2}\n");
    client
        .emulator
        .faults()
        .push(Fault::SecondWriter.on(Endpoint::Append));
    let (status, answer) = client.try_append("c", &next, "3", "{\"n\":3}\n");
    assert_eq!(
        (status, code(&answer)),
        (400, "STALE_CONTINUATION_TOKEN_SEQUENCER")
    );
    client.pass(10_000);
    assert_eq!(client.landed(), [1]);
}

#[test]
fn commits_can_be_withheld_for_a_time_or_without_end() {
    for (length, expected) in [
        (Duration::from_secs(60), Some(START_MS + 60_500)),
        (Duration::MAX, None),
    ] {
        let (mut client, next) = ready();
        client
            .emulator
            .faults()
            .push(Fault::WithholdCommits(length).on(Endpoint::Append));
        client.append("c", &next, "2", "{\"n\":2}\n");
        let due = client.emulator.next_due();
        let expected = expected.map(|ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms));
        assert_eq!(due, expected);
        client.pass(59_999);
        assert_eq!(client.committed("c"), "1");
        client.pass(1);
        let token = client.committed("c");
        assert_eq!(token, if expected.is_some() { "2" } else { "1" });
    }
}

#[test]
fn a_channel_can_get_a_foreign_token_or_lose_its_token() {
    let (client, _) = ready();
    let faults = client.emulator.faults();
    faults.push(Fault::ForeignToken(Some("99".into())).on(Endpoint::Status));
    assert_eq!(client.committed("c"), "99");
    faults.push(Fault::ForeignToken(None).on(Endpoint::Status));
    assert!(client.committed("c").is_null());
}

#[test]
fn a_channel_can_be_invalidated() {
    let (client, next) = ready();
    let fault = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".into());
    client.emulator.faults().push(fault.on(Endpoint::Status));
    assert_eq!(
        client.status("c")["channel_status_code"],
        "ERR_CHANNEL_MUST_BE_REOPENED"
    );
    let (status, answer) = client.try_append("c", &next, "2", "{\"n\":2}\n");
    assert_eq!(
        (status, code(&answer)),
        (400, "ERR_CHANNEL_MUST_BE_REOPENED")
    );
    client.open("c");
    assert_eq!(client.status("c")["channel_status_code"], "SUCCESS");
}

#[test]
fn a_rule_is_about_its_endpoint_and_channel_after_so_many_and_so_often() {
    let client = Client::new();
    let rule = Fault::ServerError(500)
        .on(Endpoint::Append)
        .channel("C")
        .after(1)
        .times(2);
    client.emulator.faults().push(rule);
    client.open("c");
    client.open("d");
    let mut seen = Vec::new();
    for n in 1..=5 {
        assert_eq!(
            client
                .try_append("d", &format!("0_{n}"), "", "{\"n\":0}\n")
                .0,
            200
        );
        let token = format!("0_{}", client.emulator.channel("c").unwrap().row_sequencer);
        seen.push(client.try_append("c", &token, "", "{\"n\":0}\n").0);
    }
    assert_eq!(seen, [200, 500, 500, 200, 200]);
    assert_eq!(client.emulator.faults().injected()["server error"], 2);
}

#[test]
fn a_fault_passes_over_requests_it_cannot_strike() {
    for fault in [
        Fault::Stale,
        Fault::BadRequest("ERR_INVALID_REQUEST".into()),
    ] {
        let client = Client::new();
        client.emulator.faults().push(fault.clone());
        let next = client.open("c");
        assert_eq!(client.try_append("c", &next, "1", "{\"n\":1}\n").0, 400);
        assert_eq!(client.try_append("c", &next, "1", "{\"n\":1}\n").0, 200);
        let injected = client.emulator.faults().injected();
        assert_eq!(injected.get(fault.name()), Some(&1));
    }
}

#[test]
fn rules_can_be_cleared() {
    let client = Client::new();
    client
        .emulator
        .faults()
        .push(crate::protocol::faults::Rule::from(Fault::Lose).always());
    assert!(matches!(
        client.send("GET", "/v2/streaming/hostname", ""),
        Reply::Reset
    ));
    assert!(matches!(
        client.send("GET", "/v2/streaming/hostname", ""),
        Reply::Reset
    ));
    client.emulator.faults().clear();
    client.open("c");
}

#[test]
fn a_rate_is_drawn_from_the_seed() {
    let run = |seed: u64| -> Vec<u16> {
        let client = Client::of(settings().seed(seed));
        client
            .emulator
            .faults()
            .push(Fault::ServerError(500).on(Endpoint::Open).at_rate(0.5));
        (0..200).map(|_| client.try_open("c", "{}").0).collect()
    };
    let first = run(7);
    assert_eq!(first, run(7));
    assert_ne!(first, run(8));
    let failed = first.iter().filter(|&&status| status == 500).count();
    assert!((60..=140).contains(&failed), "{failed} of 200");
}

#[test]
fn a_status_may_be_an_old_one_or_lack_the_channel() {
    let (mut client, next) = ready();
    client.append("c", &next, "2", "{\"n\":2}\n");
    client.pass(3000);
    assert_eq!(client.committed("c"), "2");
    let faults = client.emulator.faults().clone();
    for (lag_ms, shown) in [(1000, "2"), (2_600, "1")] {
        faults.push(Fault::StaleStatus(Duration::from_millis(lag_ms)));
        assert_eq!(client.committed("c"), shown, "{lag_ms} ms ago");
    }
    faults.push(Fault::Absent);
    assert_eq!(client.status("c"), Value::Null);
    // Both are spent.
    assert_eq!(client.committed("c"), "2");
}

#[test]
fn zombies_that_wait_have_a_bound() {
    let client = Client::new();
    client
        .emulator
        .faults()
        .push(Fault::Zombie.on(Endpoint::Append).always());
    let rows = " ".repeat(3_900_000);
    let token = client.open("c");
    for channel in 0..40 {
        let reply = client.send_rows(&format!("c{channel}"), &token, "1", &rows);
        assert!(matches!(reply, Reply::Reset));
    }
    let handler = client.emulator.handler();
    // Seventeen have more than 64 MiB, and one more comes on top.
    assert_eq!(handler.zombies.bytes(), 18 * 3_900_000);
}
