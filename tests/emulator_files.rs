//! The files and names that the `snowpipe-emulator` program is given.
#![cfg(unix)]
#![expect(
    clippy::expect_used,
    reason = "a test that cannot go on says what it lacks"
)]

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

fn program(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snowpipe-emulator"));
    command
        .args(arguments)
        .current_dir(dir)
        .env_remove("RUST_LOG");
    command
}

fn refused(dir: &Path, arguments: &[&str]) -> String {
    let output = program(dir, arguments).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    String::from_utf8(output.stderr).expect("text")
}

fn kill(child: &Child, signal: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args([signal, &pid]).status();
    assert!(sent.expect("kill runs").success());
}

#[test]
fn a_file_without_an_end_is_refused() {
    let dir = TempDir::new().expect("a directory");
    for option in [
        "--ddl",
        "--private-key",
        "--answers",
        "--access-token-file",
        "--oauth-client-file",
        "--write-profile",
    ] {
        let why = refused(dir.path(), &[option, "/dev/zero"]);
        assert!(why.contains("larger than"), "{option}: {why}");
    }
    let why = refused(dir.path(), &["--tls", "--tls-ca", "/dev/zero"]);
    assert!(why.contains("was not written by the emulator"), "{why}");
    let why = refused(dir.path(), &["--data", "/dev/zero"]);
    assert!(why.contains("is not a regular file"), "{why}");
}

#[test]
fn a_certificate_is_not_written_through_a_link() {
    let dir = TempDir::new().expect("a directory");
    symlink("victim", dir.path().join("ca.pem")).expect("a link");
    let why = refused(dir.path(), &["--tls", "--tls-ca", "ca.pem"]);
    assert!(why.contains("the certificate ca.pem"), "{why}");
    assert!(!dir.path().join("victim").exists());
}

#[test]
fn a_signal_ends_it_while_a_file_does_not_come() {
    let dir = TempDir::new().expect("a directory");
    let fifo = dir.path().join("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo runs").success());
    let mut child = program(dir.path(), &["--write-profile", "fifo"])
        .spawn()
        .expect("it starts");
    // This returns when the program has opened the other end, from which it then reads.
    let _writer = OpenOptions::new().write(true).open(&fifo).expect("a pipe");
    kill(&child, "-TERM");
    let status = child.wait().expect("it ends");
    assert_eq!(status.signal(), Some(15), "{status:?}");
}

#[test]
fn a_name_that_is_not_a_host_is_refused() {
    let dir = TempDir::new().expect("a directory");
    for name in ["", "a b", "a/b", "evil.example:80", "a@b", "a\u{7}b", "::1"] {
        let why = refused(dir.path(), &["--host", name]);
        assert!(why.contains("--host"), "{name:?}: {why}");
    }
    for name in ["", "a b", "a\u{7}b"] {
        let why = refused(dir.path(), &["--tls", "--tls-san", name]);
        assert!(why.contains("--tls-san"), "{name:?}: {why}");
    }
}

#[test]
fn without_tls_remote_peers_are_a_warning() {
    let dir = TempDir::new().expect("a directory");
    fs::write(dir.path().join("t.sql"), "CREATE TABLE D.S.T (A INT);").expect("a script");
    let remote = ["--ddl", "t.sql", "--allow-remote", "--admin-token", "t"];
    for (more, is_warned) in [(&[][..], true), (&["--tls"][..], false)] {
        let arguments = [&remote[..], more].concat();
        let mut child = program(dir.path(), &arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let log = BufReader::new(child.stderr.take().expect("its stderr"));
        let lines = log.lines().map(|line| line.expect("a line"));
        let mut warned = false;
        for line in lines {
            warned |= line.contains("without TLS");
            if line.contains("is ready") {
                break;
            }
        }
        kill(&child, "-KILL");
        child.wait().expect("it ends");
        assert_eq!(warned, is_warned, "{arguments:?}");
    }
}
