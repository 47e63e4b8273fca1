//! `snowpipe status`, `snowpipe doctor`, and what is refused.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use snowpipe_streaming_emulator::{Endpoint, Fault, LoggedRequest};

use crate::world::{World, ended, rides};

#[test]
fn channels_are_shown_as_a_table_and_as_json() {
    let world = World::new();
    let mut rows = rides(0..5);
    rows[4]["METERS"] = json!("far");
    world.write("rides", &rows);
    world.run("send --table resort.public.ride --channel c rides");
    let shown = world.run("status --table resort.public.ride c");
    assert_eq!(shown.code, 0, "{shown:?}");
    let lines: Vec<Vec<_>> = shown
        .out
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0][..6],
        [
            "channel",
            "status",
            "committed",
            "inserted",
            "parsed",
            "rejected"
        ]
    );
    assert_eq!(lines[1][..6], ["c", "SUCCESS", "5", "4", "5", "1"]);
    assert!(
        shown
            .out
            .contains("c: last rejected row (at or before 5): "),
        "{}",
        shown.out
    );

    let shown = world.run("status --table resort.public.ride c nobody --json");
    assert_eq!(shown.code, 1, "{shown:?}");
    let channels: Value = serde_json::from_str(&shown.out).expect("JSON");
    assert_eq!(channels[0]["channel"], "c");
    assert_eq!(channels[0]["healthy"], true);
    assert_eq!(channels[0]["committed_offset_token"], "5");
    assert_eq!(channels[0]["rows_inserted"], 4);
    assert_eq!(channels[0]["rows_rejected"], 1);
    assert_eq!(channels[1], json!({"channel": "nobody", "found": false}));

    let missing = world.run("status --pipe resort.public.nothing c");
    assert_eq!(missing.code, 2, "{missing:?}");
    assert!(
        missing
            .err
            .contains("ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"),
        "{}",
        missing.err
    );
    assert!(
        missing.err.contains("run snowpipe doctor"),
        "{}",
        missing.err
    );
}

#[test]
fn no_text_of_a_server_moves_the_cursor_of_a_terminal() {
    let world = World::new();
    let mut rows = rides(0..2);
    for (n, row) in rows.iter_mut().enumerate() {
        row["TXID"] = json!(format!("\u{1b}[2J{n}"));
    }
    rows[1]["METERS"] = json!("\u{1b}[31mfar");
    world.write("rides", &rows);
    let sent = world.run("send --table resort.public.ride --channel c --offset-from TXID rides");
    let shown = world.run("status --table resort.public.ride c");
    let text = format!("{}{}{}", sent.err, shown.out, shown.err);
    assert!(!text.contains('\u{1b}'), "{text:?}");
    assert!(shown.out.contains("\\u{1b}[2J1"), "the token: {text:?}");
    assert!(shown.out.contains("\\u{1b}[31mfar"), "the reason: {text:?}");
}

#[test]
fn the_doctor_prints_lines_or_json_and_leaves_nothing_behind() {
    let world = World::new();
    let fine = world.run("doctor --pipe resort.public.ride_pipe");
    assert_eq!(fine.code, 0, "{fine:?}");
    assert!(fine.out.ends_with("No check failed.\n"), "{}", fine.out);
    assert!(
        fine.out
            .contains("ALTER USER STREAMING_INGEST SET RSA_PUBLIC_KEY='MII"),
        "{}",
        fine.out
    );
    assert!(
        !fine.out.contains("PRIVATE KEY-----"),
        "no secret is printed"
    );

    let missing = world.run("doctor --pipe resort.public.nothing --json");
    assert_eq!(missing.code, 1, "{missing:?}");
    let report: Value = serde_json::from_str(&missing.out).expect("JSON");
    assert_eq!(report["fine"], false);
    let findings = report["findings"].as_array().expect("findings");
    let of = |check: &str| {
        findings
            .iter()
            .find(|f| f["check"] == check)
            .expect("it is there")
    };
    assert_eq!(of("token")["outcome"], "ok");
    assert_eq!(of("pipe")["outcome"], "fail");
    assert!(
        of("pipe")["remedy"]
            .as_str()
            .expect("a remedy")
            .contains("SHOW PIPES IN SCHEMA RESORT.PUBLIC")
    );
    assert_eq!(of("channel")["outcome"], "skipped");

    let opened = world
        .emulator()
        .log()
        .into_iter()
        .filter(|r| r.endpoint == Endpoint::Open);
    for request in opened {
        let name = request.channels.first().expect("a channel");
        assert!(
            world.emulator().channel(name).is_none(),
            "{name} was dropped"
        );
    }
}

#[cfg(unix)]
#[test]
fn channels_are_watched_until_somebody_has_seen_enough() {
    let world = World::new();
    let mut child = world
        .command("status --table resort.public.ride --watch 1ms c")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("its stdout")).lines();
    for wanted in ["channel", "c", "channel", "c", "channel"] {
        let line = lines.next().expect("a line").expect("text");
        assert!(line.starts_with(wanted), "{line}");
    }
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(sent.expect("kill runs").success());
    drop(lines);
    let stopped = ended(child.wait_with_output().expect("it ends"));
    assert_eq!(stopped.code, 1, "the channel was not found: {stopped:?}");
}

#[cfg(unix)]
#[test]
fn the_program_stops_at_once_while_a_status_call_hangs() {
    let world = World::new();
    let hanging = Fault::Hang.on(Endpoint::Status).always();
    world.emulator().faults().push(hanging);
    let child = world
        .command("status --table resort.public.ride --watch 1ms c")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let is_asked = || {
        let log = world.emulator().log();
        log.iter().any(|r| r.endpoint == Endpoint::Status)
    };
    while !is_asked() {
        std::thread::yield_now();
    }
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(sent.expect("kill runs").success());
    let stopped = ended(child.wait_with_output().expect("it ends"));
    assert_eq!(stopped.code, 3, "{stopped:?}");
    assert_eq!(stopped.err, "", "it did not wait for the answer");
}

#[test]
fn watching_reports_an_outage_and_its_end() {
    let world = World::new();
    // More than one call's own tries: away when the watch begins, and once more.
    for endpoint in [Endpoint::Hostname, Endpoint::Status] {
        let away = Fault::ServerError(503).on(endpoint).times(6);
        world.emulator().faults().push(away);
    }
    let mut child = world
        .command("status --table resort.public.ride --watch 1ms c")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("its stdout")).lines();
    let line = lines.next().expect("a line").expect("text");
    assert!(line.starts_with("channel"), "{line}");
    drop(lines);
    let stopped = ended(child.wait_with_output().expect("it ends"));
    assert_eq!(stopped.code, 1, "the channel was not found: {stopped:?}");
    let lines: Vec<_> = stopped.err.lines().collect();
    assert!(lines.len() >= 2, "{lines:?}");
    for line in lines {
        assert!(line.starts_with("error: "), "{line}");
        assert!(line.contains("503"), "{line}");
    }
}

#[test]
fn behind_a_proxy_the_doctor_leaves_names_and_ports_to_it() {
    let world = World::new();
    let profile = world.path("profile.json");
    let text = std::fs::read_to_string(&profile).expect("a profile");
    std::fs::write(&profile, text.replace("http://", "https://")).expect("a profile");
    let output = world
        .command("doctor --json")
        .env("HTTPS_PROXY", "http://me:hush@127.0.0.1:1")
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output();
    let examined = ended(output.expect("it runs"));
    assert_eq!(examined.code, 1, "{examined:?}");
    let report: Value = serde_json::from_str(&examined.out).expect("JSON");
    let findings = report["findings"].as_array().expect("findings");
    let of = |check: &str| {
        let mut findings = findings.iter();
        findings.find(|f| f["check"] == check).expect("it is there")
    };
    for check in ["dns", "tcp"] {
        assert_eq!(of(check)["outcome"], "skipped");
        let text = of(check)["text"].as_str().expect("text");
        assert!(text.contains("proxy http://127.0.0.1:1"), "{text}");
        assert!(!text.contains("hush"), "{text}");
    }
    assert_eq!(of("tls")["outcome"], "fail");
    let remedy = of("tls")["remedy"].as_str().expect("a remedy");
    assert!(remedy.contains("the proxy in HTTPS_PROXY"), "{remedy}");

    let output = world
        .command("doctor --json")
        .env("HTTPS_PROXY", "http://me:hush@127.0.0.1:1")
        .env("NO_PROXY", "127.0.0.1")
        .output();
    let examined = ended(output.expect("it runs"));
    let report: Value = serde_json::from_str(&examined.out).expect("JSON");
    let findings = report["findings"].as_array().expect("findings");
    let tcp = findings.iter().find(|f| f["check"] == "tcp");
    assert_eq!(tcp.expect("it is there")["outcome"], "ok");
}

#[test]
fn what_is_wrong_with_the_command_line_is_said_before_anything_is_sent() {
    let world = World::new();
    for (arguments, want) in [
        ("send --channel c", "--table"),
        ("send --table t --channel c", "has a database"),
        ("send --table a.b.c.d --channel c", "has 4 parts"),
        (
            "send --table a.b.c --channel c absent.ndjson",
            "absent.ndjson: ",
        ),
        (
            "send --table a.b.c --channel c - -",
            "stdin can be read only once",
        ),
        (
            "send --table a.b.c --channel c --max-client-lag soon",
            "a duration has a number and a unit",
        ),
        (
            "send --table a.b.c --channel c --ca profile.json",
            "no certificate in PEM",
        ),
        (
            "send --table resort.public.ride --channel elastic profile.json",
            "is reserved",
        ),
        ("status --table a.b.c", "<CHANNEL>"),
        ("doctor --table t", "has a database"),
        ("doctor --connection nobody", "nobody"),
    ] {
        let refused = world.run(arguments);
        assert!(
            refused.err.contains(want) || refused.out.contains(want),
            "{arguments}: {refused:?}"
        );
        assert!([1, 2].contains(&refused.code), "{arguments}: {refused:?}");
    }
    let sent = |r: &LoggedRequest| r.endpoint == Endpoint::Append;
    assert!(!world.emulator().log().iter().any(sent));
    let help = world.run("send --help");
    for status in [
        "  0  every row",
        "  1  every row",
        "  2  the command",
        "  3  not every row",
        "  4  with --verify-sql",
    ] {
        assert!(help.out.contains(status), "{}", help.out);
    }
}

#[test]
fn rejected_rows_are_an_alert() {
    let world = World::new();
    let mut rows = rides(0..4);
    rows[3]["METERS"] = json!("far");
    world.write("rides", &rows[..3]);
    world.write("others", &rows);
    world.run("send --table resort.public.ride --channel c rides");
    let fine = world.run("status --table resort.public.ride --fail-on-rejects c");
    assert_eq!(fine.code, 0, "{fine:?}");
    let mut command =
        world.command("status --table resort.public.ride --watch 1ms --fail-on-rejects c");
    let piped = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn().expect("it runs");
    let mut stdout = BufReader::new(child.stdout.take().expect("its stdout"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    assert!(line.starts_with("channel"), "{line}");
    world.run("send --table resort.public.ride --channel d others");
    // The file has grown.
    world.write("rides", &rows);
    let grown = world.run("send --table resort.public.ride --channel c rides");
    assert_eq!(grown.code, 1, "{grown:?}");
    let end = ended(child.wait_with_output().expect("it ends"));
    assert_eq!(end.code, 4, "{end:?}");
    let alert = "c: 1 more rows rejected, 1 in all: ";
    assert!(end.err.contains(alert), "{}", end.err);
    assert!(!end.err.contains("d: "), "{}", end.err);
    let seen = world.run("status --table resort.public.ride --fail-on-rejects c");
    assert_eq!(seen.code, 4, "{seen:?}");
    let silent = world.run("status --table resort.public.ride c");
    assert_eq!(silent.code, 0, "{silent:?}");
}
