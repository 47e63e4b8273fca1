//! The `snowpipe` program against an emulator: what it sends, says, keeps and ends with.
#![expect(
    clippy::expect_used,
    reason = "a test that cannot go on says what it lacks"
)]

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use snowpipe_streaming::emulator::tables::Catalog;
use snowpipe_streaming::emulator::{Emulator, Endpoint, Fault, Server};
use tempfile::TempDir;

const DDL: &str = "
    CREATE TABLE RESORT.PUBLIC.RIDE (TXID VARCHAR NOT NULL, METERS NUMBER(5, 0), LIFT VARCHAR);
    CREATE PIPE RESORT.PUBLIC.RIDE_PIPE AS COPY INTO RESORT.PUBLIC.RIDE
        FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) MATCH_BY_COLUMN_NAME = CASE_SENSITIVE;";
const TABLE: &str = "RESORT.PUBLIC.RIDE";

/// An emulator on loopback, and a directory with a profile for it.
struct World {
    runtime: tokio::runtime::Runtime,
    server: Option<Server>,
    directory: TempDir,
}

/// How the program ended.
#[derive(Debug)]
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl World {
    fn new() -> Self {
        let emulator = Emulator::builder()
            .catalog(Catalog::from_ddl(DDL).expect("a catalog"))
            .commit_delay(Duration::from_millis(20))
            .commit_every(Duration::from_millis(10))
            .build()
            .expect("an emulator");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = runtime
            .block_on(Server::bind(emulator, any_port))
            .expect("a port");
        let directory = TempDir::new().expect("a directory");
        let profile = server.emulator().profile_json(&server.url());
        fs::write(directory.path().join("profile.json"), profile).expect("a profile");
        Self {
            runtime,
            server: Some(server),
            directory,
        }
    }

    fn emulator(&self) -> &Emulator {
        self.server.as_ref().expect("it runs").emulator()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, lines: &[Value]) {
        fs::write(self.path(name), text(lines)).expect("a file");
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snowpipe"));
        let (verb, rest) = arguments.split_once(' ').unwrap_or((arguments, ""));
        command
            .arg(verb)
            .args(["--profile", "profile.json"])
            .args(rest.split_whitespace())
            .current_dir(self.directory.path());
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if name_text.starts_with("SNOWFLAKE_") || name_text == "RUST_LOG" {
                command.env_remove(name);
            }
        }
        command
    }

    fn run(&self, arguments: &str) -> Ended {
        let output = self.command(arguments).stdin(Stdio::null()).output();
        ended(output.expect("it runs"))
    }

    fn run_with(&self, arguments: &str, input: &[u8]) -> Ended {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut stdin = child.stdin.take().expect("its stdin");
        // It may end before it has read everything.
        let _ = stdin.write_all(input);
        drop(stdin);
        ended(child.wait_with_output().expect("it ends"))
    }

    /// The values of a column of the landed rows, in order.
    fn landed(&self, column: &str) -> Vec<Value> {
        let rows = self.emulator().rows(TABLE).expect("the table");
        rows.iter().map(|row| row[column].clone()).collect()
    }

    /// The records in a file of dead letters.
    fn letters(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(name)).expect("the file");
        let record = |line| serde_json::from_str(line).expect("a record");
        text.lines().map(record).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.shutdown());
        }
    }
}

fn ended(output: Output) -> Ended {
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

fn text(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn ride(n: u64) -> Value {
    json!({"TXID": format!("t{n}"), "METERS": n, "LIFT": "Elkhorn"})
}

fn rides(numbers: std::ops::Range<u64>) -> Vec<Value> {
    numbers.map(ride).collect()
}

fn numbers(range: std::ops::Range<u64>) -> Vec<Value> {
    range.map(Value::from).collect()
}

#[test]
fn a_file_is_sent_once_however_often_the_command_is_given() {
    let world = World::new();
    world.write("rides.ndjson", &rides(0..500));
    let send = "send --table resort.public.ride --channel c --max-client-lag 10ms rides.ndjson";
    let first = world.run(send);
    assert_eq!(first.code, 0, "{first:?}");
    assert_eq!(first.out, "", "stdout is for data");
    assert!(
        first.err.contains("500 rows committed, 0 of them rejected"),
        "{}",
        first.err
    );
    assert_eq!(world.landed("METERS"), numbers(0..500));

    let again = world.run(send);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.err.contains("resumed after 500"), "{}", again.err);
    assert_eq!(world.landed("METERS").len(), 500);

    // More lines at its end are the only ones that are sent.
    world.write("rides.ndjson", &rides(0..700));
    let more = world.run(&format!("{send} --quiet"));
    assert_eq!((more.code, more.err.as_str()), (0, ""));
    assert_eq!(world.landed("METERS"), numbers(0..700));
}

#[test]
fn several_files_are_one_input_and_stdin_is_another() {
    let world = World::new();
    world.write("a", &rides(0..10));
    world.write("b", &rides(10..20));
    let files = world.run("send --table resort.public.ride --channel files a b");
    assert_eq!(files.code, 0, "{files:?}");
    let stdin = text(&rides(20..30)).replace('\n', "\r\n\n");
    let piped = world.run_with(
        "send --pipe resort.public.ride_pipe --channel stdin -",
        stdin.as_bytes(),
    );
    assert_eq!(piped.code, 0, "{piped:?}");
    assert_eq!(world.landed("METERS"), numbers(0..30));
    let token = |channel| {
        world
            .emulator()
            .channel(channel)
            .expect("it is")
            .offset_token
    };
    assert_eq!(token("files").as_deref(), Some("2:10"));
    assert_eq!(token("stdin").as_deref(), Some("19"), "blank lines count");

    // Another part of the same stream: what is committed is skipped by its number of line.
    let more = text(&rides(20..33)).replace('\n', "\r\n\n");
    let again = world.run_with(
        "send --pipe resort.public.ride_pipe --channel stdin",
        more.as_bytes(),
    );
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(world.landed("METERS"), numbers(0..33));
}

#[test]
fn offsets_come_from_a_field_as_integers_or_as_texts() {
    let world = World::new();
    let rows = [ride(8), ride(9), ride(10), ride(100)];
    let by_number = "send --table resort.public.ride --channel n --offset-from METERS";
    let sent = world.run_with(by_number, text(&rows).as_bytes());
    assert_eq!(sent.code, 0, "{sent:?}");
    // A later stretch of the source, which begins before what is committed.
    let later = [ride(100), ride(101)];
    let sent = world.run_with(by_number, text(&later).as_bytes());
    assert_eq!(sent.code, 0, "{sent:?}");
    assert_eq!(
        world.landed("METERS"),
        [8, 9, 10, 100, 101].map(Value::from)
    );

    let by_text = "send --table resort.public.ride --channel t --offset-from TXID";
    let sent = world.run_with(by_text, text(&rides(1000..1003)).as_bytes());
    assert_eq!(sent.code, 0, "{sent:?}");
    let token = world.emulator().channel("t").expect("it is").offset_token;
    assert_eq!(token.as_deref(), Some("t1002"));

    // As texts, t9 comes after t10.
    let disorder = [ride(2000), ride(9), ride(10)];
    let sent = world.run_with(by_text, text(&disorder).as_bytes());
    assert_eq!(sent.code, 3, "{sent:?}");
    assert!(
        sent.err
            .contains("stdin:3: the offset t10 comes after t9 of stdin:2"),
        "{}",
        sent.err
    );
    let odd = world.run_with(
        "send --table resort.public.ride --channel x --offset-from NOWHERE",
        text(&rows).as_bytes(),
    );
    assert_eq!(odd.code, 2, "{odd:?}");
    assert!(odd.err.contains(r#"in the field "NOWHERE""#), "{}", odd.err);

    // Offsets of another kind than those that are committed.
    let other = world.run_with(
        "send --table resort.public.ride --channel t",
        text(&rows).as_bytes(),
    );
    assert_eq!(other.code, 2, "{other:?}");
    assert!(other.err.contains("\"t1002\""), "{}", other.err);
}

#[test]
fn a_bad_line_ends_the_run_where_it_is_or_is_kept() {
    let world = World::new();
    let mut lines = text(&rides(0..3));
    lines.push_str("{\"TXID\": oops}\n");
    lines.push_str(&text(&rides(4..6)));
    fs::write(world.path("rides"), lines).expect("a file");
    let send = "send --table resort.public.ride --channel c rides --dead-letters dead";
    let stopped = world.run(send);
    assert_eq!(stopped.code, 3, "{stopped:?}");
    assert!(
        stopped.err.contains("rides:4: it is not a JSON object"),
        "{}",
        stopped.err
    );
    assert!(
        stopped.err.contains("committed, through 3"),
        "{}",
        stopped.err
    );
    assert_eq!(world.landed("METERS"), numbers(0..3));

    let skipped = world.run(&format!("{send} --on-bad-line skip"));
    assert_eq!(skipped.code, 1, "{skipped:?}");
    assert_eq!(world.landed("METERS"), [0, 1, 2, 4, 5].map(Value::from));
    let letters = world.letters("dead");
    let unreadable: Vec<_> = letters
        .iter()
        .filter(|l| l["kind"] == "unreadable")
        .collect();
    let [kept] = unreadable.as_slice() else {
        panic!("{letters:?}");
    };
    assert_eq!(kept["file"], "rides");
    assert_eq!(kept["line"], 4);
    assert_eq!(kept["text"], "{\"TXID\": oops}");

    // All of it is committed: nothing is told twice.
    let done = world.run(&format!("{send} --on-bad-line skip"));
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(world.letters("dead").len(), letters.len());
}

#[test]
fn rejected_rows_are_kept_and_the_others_land() {
    let world = World::new();
    let mut rows = rides(0..20);
    rows[7]["METERS"] = json!("far");
    rows[13]["TXID"] = Value::Null;
    world.write("rides", &rows);
    let send = "send --table resort.public.ride --channel c --dead-letters dead rides";
    let sent = world.run(send);
    assert_eq!(sent.code, 1, "{sent:?}");
    assert!(
        sent.err.contains("20 rows committed, 2 of them rejected"),
        "{}",
        sent.err
    );
    assert_eq!(world.landed("METERS").len(), 18);
    let letters = world.letters("dead");
    let of_kind =
        |kind: &str| -> Vec<&Value> { letters.iter().filter(|l| l["kind"] == kind).collect() };
    let rejected: Vec<_> = of_kind("rejected")
        .iter()
        .map(|l| l["offset"].clone())
        .collect();
    for offset in ["8", "14"] {
        assert!(rejected.contains(&json!(offset)), "{rejected:?}");
    }
    assert_eq!(of_kind("rejected")[0]["channel"], "c");
    let row = of_kind("rejected").into_iter().find(|l| l["offset"] == "8");
    assert_eq!(row.expect("it is there")["row"], rows[7]);
    let counted: Vec<_> = of_kind("counted")
        .iter()
        .map(|l| l["total"].clone())
        .collect();
    assert_eq!(counted.first(), Some(&json!(0)));
    assert_eq!(counted.last(), Some(&json!(2)));

    let again = world.run(send);
    assert_eq!(again.code, 0, "they were told: {again:?}");
    assert_eq!(world.letters("dead").len(), letters.len());

    // Without a file they are told all the same.
    let bad = json!({"TXID": "t", "METERS": "near"});
    let told = world.run_with(
        "send --table resort.public.ride --channel d --quiet",
        format!("{bad}\n").as_bytes(),
    );
    assert_eq!(told.code, 1, "{told:?}");
    assert!(
        told.err
            .contains("the server rejected 1 of the rows after the beginning through 1"),
        "{}",
        told.err
    );
}

#[test]
fn the_table_is_counted_by_sql() {
    let world = World::new();
    world.write("rides", &rides(0..40));
    let verify = "--verify-sql txid";
    let send = format!("send --table resort.public.ride --channel c {verify} rides");
    let sent = world.run(&send);
    assert_eq!(sent.code, 0, "{sent:?}");
    let found = r#""RESORT"."PUBLIC"."RIDE" has 40 rows with 40 different TXID, 40 and 40 more than before"#;
    assert!(
        sent.err.contains(&format!("verified: {found}")),
        "{}",
        sent.err
    );

    // The same rows under other offsets.
    let twice = world.run(&format!(
        "send --pipe resort.public.ride_pipe --table resort.public.ride --channel d {verify} rides"
    ));
    assert_eq!(twice.code, 4, "{twice:?}");
    assert!(
        twice
            .err
            .contains("80 rows with 40 different TXID, 40 and 0 more than before"),
        "{}",
        twice.err
    );

    let unknown = world.run(&format!(
        "send --pipe resort.public.ride_pipe --channel e {verify} rides"
    ));
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(
        unknown.err.contains("name it with --table"),
        "{}",
        unknown.err
    );
    let no_column =
        world.run("send --table resort.public.ride --channel f --verify-sql nothing rides");
    assert_eq!(no_column.code, 2, "{no_column:?}");
    assert!(
        no_column.err.contains("invalid identifier"),
        "{}",
        no_column.err
    );
    assert_eq!(world.landed("METERS").len(), 80, "nothing was sent");
}

#[cfg(unix)]
#[test]
fn ctrl_c_commits_what_was_sent_and_the_next_run_goes_on() {
    let world = World::new();
    let mut child = world
        .command("send --table resort.public.ride --channel c --max-client-lag 10ms -")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stdin = child.stdin.take().expect("its stdin");
    let lines = text(&rides(0..50));
    stdin.write_all(lines.as_bytes()).expect("it reads");
    stdin.flush().expect("it reads");
    while world.landed("METERS").len() < 50 {
        std::thread::yield_now();
    }
    // More may come: it waits.
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status();
    assert!(sent.expect("kill runs").success());
    let stopped = ended(child.wait_with_output().expect("it ends"));
    drop(stdin);
    assert_eq!(stopped.code, 3, "{stopped:?}");
    assert!(
        stopped.err.contains("stopped; committed through 50"),
        "{}",
        stopped.err
    );

    let rest = world.run_with(
        "send --table resort.public.ride --channel c -",
        text(&rides(0..60)).as_bytes(),
    );
    assert_eq!(rest.code, 0, "{rest:?}");
    assert_eq!(world.landed("METERS"), numbers(0..60));
}

#[test]
fn a_connection_that_breaks_costs_no_row_and_adds_none() {
    let world = World::new();
    world.write("rides", &rides(0..2000));
    let faults = world.emulator().faults();
    faults.push(Fault::ApplyThenLose.on(Endpoint::Append));
    faults.push(Fault::ServerError(503).on(Endpoint::Status).after(1));
    let sent = world.run("send --table resort.public.ride --channel c --verify-sql TXID rides");
    assert_eq!(sent.code, 0, "{sent:?}");
    assert_eq!(world.landed("METERS"), numbers(0..2000));
}

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
        of("pipe")["mend"]
            .as_str()
            .expect("a mend")
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

#[test]
fn what_is_wrong_with_the_command_line_is_said_before_anything_is_sent() {
    let world = World::new();
    for (arguments, want) in [
        ("send --channel c", "--table"),
        ("send --table t --channel c", "names no database"),
        ("send --table a.b.c.d --channel c", "has 4 parts"),
        (
            "send --table a.b.c --channel c absent.ndjson",
            "absent.ndjson: ",
        ),
        (
            "send --table a.b.c --channel c - -",
            "stdin can be read once only",
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
        ("doctor --table t", "names no database"),
        ("doctor --connection nobody", "nobody"),
    ] {
        let refused = world.run(arguments);
        assert!(
            refused.err.contains(want) || refused.out.contains(want),
            "{arguments}: {refused:?}"
        );
        assert!([1, 2].contains(&refused.code), "{arguments}: {refused:?}");
    }
    let sent = |r: &snowpipe_streaming::emulator::LoggedRequest| r.endpoint == Endpoint::Append;
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
