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

/// It ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
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
    let child = program(dir.path(), &["--write-profile", "fifo"]).spawn();
    let mut running = Running(child.expect("it starts"));
    // This returns when the program has opened the other end, from which it then reads.
    let _writer = OpenOptions::new().write(true).open(&fifo).expect("a pipe");
    kill(&running.0, "-TERM");
    let status = running.0.wait().expect("it ends");
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
        let child = program(dir.path(), &arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut running = Running(child.expect("it starts"));
        let log = BufReader::new(running.0.stderr.take().expect("its stderr"));
        let lines = log.lines().map(|line| line.expect("a line"));
        let mut warned = false;
        for line in lines {
            warned |= line.contains("without TLS");
            if line.contains("is ready") {
                break;
            }
        }
        assert_eq!(warned, is_warned, "{arguments:?}");
    }
}

/// Carries out a statement, and returns the answer.
#[cfg(target_os = "linux")]
fn answer(address: &str, statement: &str) -> String {
    use std::io::{Read as _, Write as _};
    let body = serde_json::json!({ "statement": statement }).to_string();
    let mut stream = std::net::TcpStream::connect(address).expect("a connection");
    write!(
        stream,
        "POST /api/v2/statements HTTP/1.1\r\nhost: {address}\r\naccept: */*\r\nuser-agent: test\r\nconnection: close\r\nauthorization: Bearer pat\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("a request");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

/// The most memory that a process had, in MiB.
#[cfg(target_os = "linux")]
fn most_memory(child: &Child) -> u64 {
    let path = format!("/proc/{}/status", child.id());
    let status = fs::read_to_string(path).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let mut words = line.expect("the peak").split_whitespace();
    words.nth(1).expect("a number").parse::<u64>().expect("kB") / 1024
}

#[cfg(target_os = "linux")]
#[test]
fn a_statement_takes_bounded_memory() {
    let dir = TempDir::new().expect("a directory");
    fs::write(dir.path().join("t.sql"), "CREATE TABLE D.S.T (A INT);").expect("a script");
    let child = program(dir.path(), &["--ddl", "t.sql", "--access-token", "pat"])
        .stdout(Stdio::piped())
        .spawn();
    let mut running = Running(child.expect("it starts"));
    let mut url = String::new();
    let stdout = running.0.stdout.take().expect("its stdout");
    BufReader::new(stdout).read_line(&mut url).expect("a line");
    let address = url.trim_end().trim_start_matches("http://");
    let long = "WITH A AS (SELECT PARSE_JSON(CONCAT('[', REPEAT('1,', 3900000), '1]')) X) SELECT";
    let many = |what: &str, times: usize| vec![what; times].join(",");
    let fields = (0..100).map(|n| format!("'{n}',X")).collect::<Vec<_>>();
    for (select, most_mib) in [
        (
            format!("LENGTH(TO_JSON(ARRAY_CONSTRUCT({})))", many("X", 100)),
            1_300,
        ),
        (
            format!("LENGTH(TO_JSON(OBJECT_CONSTRUCT({})))", fields.join(",")),
            1_300,
        ),
        (many("X", 600), 2_500),
    ] {
        let seen = answer(address, &format!("{long} {select} FROM A"));
        assert!(seen.starts_with("HTTP/1.1 422 "), "{seen}");
        let most = most_memory(&running.0);
        assert!(most < most_mib, "{most} MiB");
    }
    let seen = answer(address, "SELECT 1");
    assert!(seen.starts_with("HTTP/1.1 200 "), "{seen}");
}
