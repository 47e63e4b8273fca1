//! `snowpipe send`: lines that are no rows, rows that the server rejects, dead letters, and the exit status.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::world::{World, numbers, ride, rides, text};

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

    // All of it is committed: the line is not kept twice, and the input still has it.
    let done = world.run(&format!("{send} --on-bad-line skip"));
    assert_eq!(done.code, 1, "{done:?}");
    assert_eq!(world.letters("dead").len(), letters.len());
}

#[test]
fn a_row_that_no_request_carries_is_a_bad_line() {
    let world = World::new();
    let mut random = fastrand::Rng::with_seed(1);
    let noise: String = (0..6_000_000).map(|_| random.alphanumeric()).collect();
    let mut rows = rides(0..3);
    rows[1]["TXID"] = json!(noise);
    world.write("rides", &rows);
    let send = "send --table resort.public.ride --channel c rides --dead-letters dead";
    let stopped = world.run(send);
    assert_eq!(stopped.code, 3, "{}", stopped.err);
    assert!(
        stopped.err.contains("rides:2: a row of ")
            && stopped.err.contains("in the column \"TXID\"")
            && stopped.err.contains("committed, through 1"),
        "{}",
        stopped.err
    );
    let skipped = world.run(&format!("{send} --on-bad-line skip"));
    assert_eq!(skipped.code, 1, "{}", skipped.err);
    assert_eq!(world.landed("METERS"), [0, 2].map(Value::from));
    let letters = world.letters("dead");
    let kept = letters.iter().find(|l| l["kind"] == "unreadable");
    assert_eq!(kept.expect("it is kept")["line"], 2);
}

#[test]
fn a_rejected_row_is_kept_as_it_stood_in_the_input() {
    let world = World::new();
    let row = r#"{"TXID": "t", "METERS": "far", "B": 12345678901234567890123.10, "A": 0}"#;
    fs::write(world.path("rides"), format!("{row}\n")).expect("a file");
    let send = "send --table resort.public.ride --channel c --dead-letters dead rides";
    let run = world.run(send);
    assert_eq!(run.code, 1, "{run:?}");
    let letters = fs::read_to_string(world.path("dead")).expect("the file");
    assert!(letters.contains(row), "{letters}");
}

#[test]
fn rejected_rows_are_kept_and_the_others_land() {
    let world = World::new();
    let mut rows = rides(0..20);
    rows[7]["METERS"] = json!("far");
    rows[13]["TXID"] = Value::Null;
    world.write("rides", &rows);
    let send = "send --table resort.public.ride --channel c --dead-letters dead rides";
    let first = world.run(send);
    assert_eq!(first.code, 1, "{first:?}");
    assert!(
        first.err.contains("20 rows committed, 2 of them rejected"),
        "{}",
        first.err
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
    assert_eq!(again.code, 1, "the input still has them: {again:?}");
    assert_eq!(world.letters("dead").len(), letters.len());

    // Without a file they are reported all the same.
    let bad = json!({"TXID": "t", "METERS": "near"});
    let run = world.run_with(
        "send --table resort.public.ride --channel d --quiet",
        format!("{bad}\n").as_bytes(),
    );
    assert_eq!(run.code, 1, "{run:?}");
    assert!(
        run.err
            .contains("the server rejected 1 of the rows after the beginning through 1"),
        "{}",
        run.err
    );
}

#[test]
fn channels_of_one_name_in_two_pipes_share_a_file_of_dead_letters() {
    let world = World::new();
    let mut rows = rides(0..20);
    rows[7]["METERS"] = json!("far");
    rows[13]["METERS"] = json!("farther");
    world.write("first", &rows);
    rows[7] = ride(7);
    world.write("second", &rows);
    let first = "send --table resort.public.ride --channel c --dead-letters dead first";
    let second = "send --pipe resort.public.ride_pipe --channel c --dead-letters dead second";
    let kept = |pipe: &str| {
        let letters = world.letters("dead");
        let of_pipe = |letter: &&Value| letter["kind"] == "rejected" && letter["pipe"][2] == pipe;
        letters.iter().filter(of_pipe).count()
    };
    assert_eq!(world.run(first).code, 1);
    assert!(kept("RIDE-STREAMING") >= 2, "{:?}", world.letters("dead"));
    // Its one reject is news, although the other pipe's channel has two.
    assert_eq!(world.run(second).code, 1);
    assert!(kept("RIDE_PIPE") >= 1, "{:?}", world.letters("dead"));
    // The other pipe's two are not, although this one's are fewer.
    let letters = world.letters("dead").len();
    for send in [first, second] {
        world.run(send);
        assert_eq!(world.letters("dead").len(), letters);
    }
}

/// Starts a command that reads stdin, hands it lines and kills it when all of them are committed.
fn killed_after_commit(world: &World, send: &str, lines: &str, token: &str) {
    let mut child = world
        .command(send)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    let mut stdin = child.stdin.take().expect("its stdin");
    stdin.write_all(lines.as_bytes()).expect("it reads");
    let committed = || world.emulator().channel("c")?.offset_token;
    while committed().as_deref() != Some(token) {
        std::thread::yield_now();
    }
    child.kill().expect("it is killed");
    child.wait().expect("it ends");
}

#[test]
fn the_exit_status_says_what_holds_of_the_whole_input() {
    let mut rejected = rides(0..20);
    rejected[7]["METERS"] = json!("far");
    let skipped = format!("{}oops\n{}", text(&rides(0..3)), text(&rides(3..20)));
    for (lines, last) in [(text(&rejected), "20"), (skipped, "21")] {
        let world = World::new();
        let send = "send --table resort.public.ride --channel c --on-bad-line skip";
        killed_after_commit(&world, &format!("{send} -"), &lines, last);
        fs::write(world.path("rides"), lines + &text(&rides(20..22))).expect("a file");
        for _ in 0..2 {
            let again = world.run(&format!("{send} --quiet rides"));
            assert_eq!(again.code, 1, "{again:?}");
            assert!(again.err.contains("earlier run"), "{}", again.err);
        }
    }
}

#[test]
fn a_bad_line_between_offsets_of_a_field_is_kept_once() {
    let world = World::new();
    let lines = format!("oops\n{}oops\noops\n", text(&rides(1..4)));
    fs::write(world.path("rides"), lines).expect("a file");
    let send = "send --table resort.public.ride --channel c --offset-from METERS --on-bad-line skip --dead-letters dead";
    for _ in 0..3 {
        let run = world.run(&format!("{send} rides"));
        assert_eq!(run.code, 1, "the input has lines that are no rows: {run:?}");
        let letters = world.letters("dead");
        let unreadable = letters.iter().filter(|l| l["kind"] == "unreadable");
        assert_eq!(unreadable.count(), 3, "{letters:?}");
    }
    // The same text at the same line of a later file is another line.
    fs::write(world.path("rides"), format!("{}oops\n", text(&rides(6..9)))).expect("a file");
    assert_eq!(world.run(&format!("{send} rides")).code, 1);
    let letters = world.letters("dead");
    assert_eq!(
        letters.iter().filter(|l| l["kind"] == "unreadable").count(),
        4
    );
}

#[test]
fn rejects_of_an_input_that_is_gone_are_not_said_to_be_kept() {
    let world = World::new();
    let send = "send --table resort.public.ride --channel c --offset-from METERS";
    let run = |row: &Value, more: &str| {
        world.run_with(&format!("{send} {more}"), format!("{row}\n").as_bytes())
    };
    let keeping = "--dead-letters dead";
    assert_eq!(run(&ride(8), keeping).code, 0);
    let mut bad = ride(9);
    bad["TXID"] = Value::Null;
    assert_eq!(run(&bad, "").code, 1);
    // Its file counts no reject of the channel yet, and the input has the row no more.
    let rotated = run(&ride(10), keeping);
    assert_eq!(rotated.code, 1, "{rotated:?}");
    assert!(
        rotated.err.contains("the server rejected 1 of the rows"),
        "{}",
        rotated.err
    );
    assert!(
        rotated
            .err
            .contains("the input has none of these rows, so none is stored"),
        "{}",
        rotated.err
    );
    let letters = world.letters("dead");
    assert!(
        letters.iter().all(|l| l["kind"] == "counted"),
        "{letters:?}"
    );
    // Nothing is wrong with this input, and of the one before it everything is said.
    let clean = run(&ride(11), keeping);
    assert_eq!(
        (clean.code, clean.err.contains("earlier run")),
        (0, false),
        "{clean:?}"
    );
}
