//! `snowpipe send`.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use snowpipe_streaming_emulator::{Endpoint, Fault, Server, Tls};

use crate::world::{World, ended, numbers, ride, rides, text};

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
fn a_file_that_cannot_be_the_one_from_before_is_refused() {
    let world = World::new();
    world.write("rides", &rides(0..10));
    let send = "send --table resort.public.ride --channel c rides";
    assert_eq!(world.run(send).code, 0);
    // As after a log was rotated: its lines are others, and none of them is sent.
    world.write("rides", &rides(10..15));
    let rotated = world.run(send);
    assert_eq!(rotated.code, 2, "{rotated:?}");
    assert!(
        rotated
            .err
            .contains("the last row is rides:5, but the channel has 10 from an earlier run"),
        "{}",
        rotated.err
    );
    let empty = world.run_with("send --table resort.public.ride --channel c", b"");
    assert_eq!(empty.code, 2, "{empty:?}");
    assert_eq!(world.landed("METERS"), numbers(0..10));
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
    assert_eq!(token("files").as_deref(), Some("2:10:10"));
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
fn offsets_that_are_texts_of_digits_are_in_the_order_of_texts() {
    let world = World::new();
    let ride_of = |n: u64| {
        let mut ride = ride(n);
        ride["TXID"] = n.to_string().into();
        ride
    };
    let by_text = "send --table resort.public.ride --channel t --offset-from TXID";
    let sent = world.run_with(by_text, text(&[10, 100, 11, 2].map(ride_of)).as_bytes());
    assert_eq!(sent.code, 0, "{sent:?}");
    // A later stretch, which begins before what is committed.
    let sent = world.run_with(by_text, text(&[11, 2, 20, 9].map(ride_of)).as_bytes());
    assert_eq!(sent.code, 0, "{sent:?}");
    assert_eq!(
        world.landed("METERS"),
        [10, 100, 11, 2, 20, 9].map(Value::from)
    );
    let sent = world.run_with(by_text, text(&[91, 92, 100].map(ride_of)).as_bytes());
    assert_eq!(sent.code, 3, "{sent:?}");
    let expected = "the offset 100 comes after 92 of stdin:2; offsets have to rise, texts in the order of their bytes";
    assert!(sent.err.contains(expected), "{}", sent.err);
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
fn the_table_is_counted_by_sql() {
    let world = World::new();
    world.write("rides", &rides(0..40));
    let verify = "--verify-sql txid";
    let send = format!("send --table resort.public.ride --channel c {verify} rides");
    let first = world.run(&send);
    assert_eq!(first.code, 0, "{first:?}");
    let found =
        r#""RESORT"."PUBLIC"."RIDE" has 40 rows with 40 distinct TXID, 40 and 40 more than before"#;
    assert!(
        first.err.contains(&format!("verified: {found}")),
        "{}",
        first.err
    );

    // The same rows under other offsets.
    let twice = world.run(&format!(
        "send --pipe resort.public.ride_pipe --table resort.public.ride --channel d {verify} rides"
    ));
    assert_eq!(twice.code, 4, "{twice:?}");
    assert!(
        twice
            .err
            .contains("80 rows with 40 distinct TXID, 40 and 0 more than before"),
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
    let reopen = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
    faults.push(reopen.on(Endpoint::Append));
    let send = "send --table resort.public.ride --channel c --verify-sql TXID";
    let done = world.run(&format!("{send} rides"));
    assert_eq!(done.code, 0, "{done:?}");
    let injected = world.emulator().faults().injected();
    for fault in ["apply then lose", "invalidate", "server error"] {
        assert_eq!(injected.get(fault), Some(&1), "{injected:?}");
    }
    assert_eq!(world.landed("METERS"), numbers(0..2000));
}

#[test]
fn a_batch_that_is_refused_says_where_it_was_and_how_far_it_came() {
    let world = World::new();
    world.write("rides", &rides(0..20));
    let send = "send --table resort.public.ride --channel c";
    let done = world.run_with(&format!("{send} -"), text(&rides(0..10)).as_bytes());
    assert_eq!(done.code, 0, "{done:?}");
    let faults = world.emulator().faults();
    faults.push(Fault::BadRequest("ERR_ODD".to_owned()).on(Endpoint::Append));
    let refused = world.run(&format!("{send} rides"));
    assert_eq!(refused.code, 3, "{refused:?}");
    for part in [
        "error: the channel \"c\" was invalidated (Rejected: ",
        "[ERR_ODD]",
        "\ncommitted through 10: after a fix the same command continues after the committed rows\n",
    ] {
        assert!(refused.err.contains(part), "{}", refused.err);
    }
}

#[test]
fn a_program_that_is_killed_repeats_and_loses_nothing() {
    let world = World::new();
    world.write("rides", &rides(0..3000));
    let send = "send --table resort.public.ride --channel c --max-client-lag 1ms";
    let mut after = 0;
    for round in 1..=3 {
        let mut child = world
            .command(&format!("{send} -"))
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        let mut stdin = child.stdin.take().expect("its stdin");
        // The end never comes: it is killed in the middle of its work.
        let lines = text(&rides(0..900 * round));
        stdin.write_all(lines.as_bytes()).expect("it reads");
        while world.landed("METERS").len() <= after {
            std::thread::yield_now();
        }
        child.kill().expect("it is killed");
        child.wait().expect("it ends");
        drop(stdin);
        after = world.landed("METERS").len();
    }
    let done = world.run(&format!("{send} --verify-sql TXID rides"));
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(world.landed("METERS"), numbers(0..3000));
}

#[test]
fn a_private_authority_is_trusted_if_it_is_named() {
    let world = World::new();
    let tls = Tls::generate(["localhost"]).expect("a certificate");
    fs::write(world.path("ca.pem"), tls.authority_pem()).expect("a file");
    let server = Server::builder(world.emulator().clone()).tls(tls).bind();
    let server = world.runtime.block_on(server).expect("a port");
    let profile = server.emulator().profile_json(&server.url());
    fs::write(world.path("profile.json"), profile).expect("a profile");
    world.write("rides", &rides(0..3));
    let send = "send --table resort.public.ride --channel c --verify-sql TXID rides";
    let mut trusting = world.command(&format!("{send} --ca ca.pem"));
    let done = ended(
        trusting
            .env("NO_PROXY", "127.0.0.1")
            .output()
            .expect("it runs"),
    );
    assert_eq!(done.code, 0, "{done:?}");
    let mut doubting = world.command(send);
    let refused = ended(
        doubting
            .env("NO_PROXY", "127.0.0.1")
            .output()
            .expect("it runs"),
    );
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.err.contains("TLS"), "{}", refused.err);
    world.runtime.block_on(server.shutdown());
}

#[cfg(unix)]
#[test]
fn a_fifo_is_opened_once_and_every_line_of_it_is_sent() {
    let world = World::new();
    let fifo = world.path("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo runs").success());
    let child = world
        .command("send --table resort.public.ride --channel c fifo")
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let open = move || fs::OpenOptions::new().write(true).open(&fifo);
    let mut writer = open().expect("a reader comes");
    // A reader that is gone is not an error of the test: the rows that are missing are.
    let _ = writer.write_all(text(&rides(0..50)).as_bytes());
    drop(writer);
    // A reader that opens the FIFO again waits for another writer: with one, the command ends and the rows are missing.
    std::thread::spawn(move || {
        while open().is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let done = ended(child.wait_with_output().expect("it ends"));
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(world.landed("METERS"), numbers(0..50));
}

#[test]
fn an_earlier_file_that_has_grown_is_refused() {
    let world = World::new();
    world.write("a", &rides(0..10));
    world.write("b", &rides(10..20));
    let send = "send --table resort.public.ride --channel c a b";
    assert_eq!(world.run(send).code, 0);
    world.write("a", &[rides(0..10), rides(20..21)].concat());
    let grown = world.run(send);
    assert_eq!(grown.code, 2, "{grown:?}");
    for part in ["b:10", "2:10:10", "only the last file may grow"] {
        assert!(grown.err.contains(part), "{part:?}: {}", grown.err);
    }
    assert_eq!(world.landed("METERS"), numbers(0..20));

    world.write("a", &rides(0..10));
    world.write("b", &rides(10..21));
    world.write("d", &rides(21..25));
    let more = world.run(&format!("{send} d"));
    assert_eq!(more.code, 0, "{more:?}");
    assert_eq!(world.landed("METERS"), numbers(0..25));
}
