//! What the files on the command line may be: dead letters, reports, and files with secrets.
#![cfg(unix)]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Stdio};

use serde_json::Value;
use snowpipe_streaming_emulator::{Endpoint, Fault};

use crate::world::{World, ended, rides, text};

const SEND: &str = "send --table resort.public.ride --channel c --on-bad-line skip";

fn make_fifo(world: &World, name: &str) {
    let made = Command::new("mkfifo").arg(world.path(name)).status();
    assert!(made.expect("mkfifo runs").success());
}

fn mode(world: &World, name: &str) -> u32 {
    let about = fs::metadata(world.path(name)).expect("the file");
    about.permissions().mode() & 0o777
}

fn set_mode(world: &World, name: &str, mode: u32) {
    fs::set_permissions(world.path(name), Permissions::from_mode(mode)).expect("a mode");
}

#[test]
fn dead_letters_go_to_a_regular_file_only() {
    let world = World::new();
    world.write("rides", &rides(0..3));
    make_fifo(&world, "fifo");
    for file in ["fifo", "/dev/null", "/dev/stdout", "."] {
        let run = world.run(&format!("{SEND} --dead-letters {file} rides"));
        assert_eq!(run.code, 2, "{file}: {run:?}");
        let why = format!("the dead letters {file}: it is not a regular file");
        assert!(run.err.contains(&why), "{}", run.err);
    }
    assert!(world.landed("METERS").is_empty());
    let run = world.run(&format!("{SEND} --dead-letters dead rides"));
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(mode(&world, "dead"), 0o600);
}

#[test]
fn dead_letters_never_go_into_an_input() {
    let world = World::new();
    let lines = text(&rides(0..2)) + "oops\n";
    fs::write(world.path("rides"), &lines).expect("a file");
    fs::hard_link(world.path("rides"), world.path("linked")).expect("a link");
    symlink("rides", world.path("symlink")).expect("a link");
    for (letters, input) in [
        ("rides", "rides"),
        ("linked", "rides"),
        ("rides", "symlink"),
        ("symlink", "linked"),
        ("rides", "-"),
    ] {
        let mut command = world.command(&format!("{SEND} --dead-letters {letters} {input}"));
        let stdin = File::open(world.path("rides")).expect("the file");
        let run = ended(command.stdin(stdin).output().expect("it runs"));
        assert_eq!(run.code, 2, "{letters} {input}: {run:?}");
        assert!(run.err.contains("is an input"), "{}", run.err);
        let after = fs::read_to_string(world.path("rides")).expect("the file");
        assert_eq!(after, lines);
    }
    assert!(world.landed("METERS").is_empty());
}

/// Runs the command in a shell that first limits what it may use.
#[cfg(target_os = "linux")]
fn limited(world: &World, limit: &str, arguments: &str) -> crate::world::Ended {
    let command = world.command(arguments);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("{limit}; exec \"$0\" \"$@\"")])
        .arg(command.get_program())
        .args(command.get_args())
        .env("MALLOC_ARENA_MAX", "1")
        .current_dir(world.path(""))
        .stdin(Stdio::null());
    ended(shell.output().expect("it runs"))
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_of_dead_letters_without_line_ends_takes_little_memory() {
    let world = World::new();
    world.write("rides", &rides(0..3));
    let letters = File::create(world.path("dead")).expect("a file");
    letters.set_len(3 << 29).expect("a sparse file");
    let send = format!("{SEND} --dead-letters dead rides");
    let run = limited(&world, "ulimit -v 1000000", &send);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(world.landed("METERS").len(), 3);
}

#[test]
fn a_line_that_is_not_utf8_or_has_control_characters_is_kept_byte_by_byte() {
    let world = World::new();
    let run = world.run_with(
        &format!("{SEND} --dead-letters dead"),
        b"\xff{}\n\x01\x02\n\"t\tab\n",
    );
    assert_eq!(run.code, 1, "{run:?}");
    let letters = world.letters("dead");
    let kept: Vec<&Value> = letters
        .iter()
        .filter(|letter| letter["kind"] == "unreadable")
        .collect();
    assert_eq!(kept.len(), 3);
    assert_eq!(kept[0]["base64"], "/3t9");
    assert_eq!(kept[1]["base64"], "AQI=");
    assert_eq!(kept[2]["text"], "\"t\tab");
    assert!(kept[0].get("text").is_none() && kept[2].get("base64").is_none());
}

#[test]
fn a_report_that_cannot_be_written_is_noticed_before_the_run() {
    let world = World::new();
    symlink("nowhere", world.path("dangling")).expect("a link");
    let conformance = "conformance --database sandbox --only E1 --yes";
    for file in ["nodir/x.json", "dangling"] {
        let run = world.run(&format!("{conformance} --out {file}"));
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.err.contains(file), "{}", run.err);
        let soak = "conformance --database sandbox --soak 1s --yes --out s.json";
        let run = world.run(&format!("{soak} --picture {file}"));
        assert_eq!(run.code, 2, "{run:?}");
        // Without a run nothing is left.
        assert!(!world.path("s.json").exists());
    }
    assert!(!world.path("nowhere").exists());
    assert_eq!(world.emulator().log().len(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_report_is_printed_although_its_file_cannot_be_written() {
    let world = World::new();
    let run = limited(
        &world,
        "trap '' XFSZ; ulimit -f 0",
        "conformance --database sandbox --only E6 --runs 1 --yes --out r.json",
    );
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.out.contains("wire.healthy_status"), "{run:?}");
    assert!(run.err.contains("r.json cannot be written"), "{}", run.err);
}

#[test]
fn files_with_secrets_that_others_can_read_or_change_are_named() {
    let world = World::new();
    let status = "status --table resort.public.ride c";
    assert_eq!(world.run(status).err, "");
    for (bits, what) in [
        (0o640, "other users can read the profile"),
        (0o602, "other users can change the profile"),
        (0o666, "other users can read and change the profile"),
    ] {
        set_mode(&world, "profile.json", bits);
        let run = world.run(status);
        assert!(run.err.contains(what), "{bits:o}: {}", run.err);
        let doctor = world.run("doctor");
        assert_eq!(doctor.code, 0, "{doctor:?}");
        let begins = doctor.out.lines().find(|line| line.starts_with("warn"));
        let begins = begins.expect("a warning");
        assert!(begins.contains("profile"), "{begins}");
        assert!(doctor.out.contains(what), "{}", doctor.out);
        assert!(doctor.out.contains("chmod 600"), "{}", doctor.out);
    }
}

#[test]
fn a_key_that_is_a_fifo_is_refused_at_once() {
    let world = World::new();
    make_fifo(&world, "key.p8");
    let profile = fs::read_to_string(world.path("profile.json")).expect("the profile");
    let mut profile: Value = serde_json::from_str(&profile).expect("JSON");
    let fields = profile.as_object_mut().expect("an object");
    fields.remove("private_key");
    fields.insert("private_key_file".to_owned(), "key.p8".into());
    fs::write(world.path("profile.json"), profile.to_string()).expect("a file");
    let run = world.run("status --table resort.public.ride c");
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.err.contains("is not a regular file"), "{}", run.err);
    let run = world.run("status --table resort.public.ride c --ca /dev/zero");
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.err.contains("/dev/zero"), "{}", run.err);
}

#[test]
fn a_count_that_the_server_does_not_answer_is_worth_another_run() {
    let world = World::new();
    world.write("rides", &rides(0..3));
    let send = format!("{SEND} --verify-sql TXID rides");
    for fault in [Fault::Throttle(None), Fault::ServerError(500)] {
        let faults = world.emulator().faults();
        faults.push(fault.on(Endpoint::Statement).always());
        let run = world.run(&send);
        assert_eq!(run.code, 3, "{run:?}");
        assert!(
            run.err.contains("the table cannot be counted"),
            "{}",
            run.err
        );
        faults.clear();
    }
    assert!(world.landed("METERS").is_empty(), "nothing was sent");
}

#[test]
fn json_has_no_characters_that_change_a_terminal() {
    let world = World::new();
    let row = "{\"TXID\": \"t\u{202e}\u{9b}\", \"METERS\": 1}\n";
    let send = "send --table resort.public.ride --channel c --offset-from TXID";
    assert_eq!(world.run_with(send, row.as_bytes()).code, 0);
    let shown = world.run("status --table resort.public.ride c --json");
    assert!(!shown.out.contains(['\u{202e}', '\u{9b}']), "{}", shown.out);
    let channels: Value = serde_json::from_str(&shown.out).expect("JSON");
    assert_eq!(channels[0]["committed_offset_token"], "t\u{202e}\u{9b}");
}
