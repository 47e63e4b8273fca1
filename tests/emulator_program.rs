//! The `snowpipe-emulator` program: what it prints, writes, keeps and refuses.
#![cfg(unix)]
#![expect(
    clippy::expect_used,
    reason = "a test that cannot go on says what it lacks"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

const DDL: &str = "CREATE TABLE D.S.T (A NUMBER(5,2));";

fn program(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snowpipe-emulator"));
    command
        .args(arguments)
        .current_dir(dir)
        .env_remove("RUST_LOG");
    command
}

/// A running emulator and the URL it printed. It is killed when dropped.
struct Running {
    child: Child,
    url: String,
}

impl Running {
    fn start(dir: &Path, arguments: &[&str]) -> Self {
        let mut child = program(dir, arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut url = String::new();
        let stdout = child.stdout.take().expect("its stdout");
        BufReader::new(stdout).read_line(&mut url).expect("a line");
        let url = url.trim_end().to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "{url:?}");
        Self { child, url }
    }

    fn terminate(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.expect("kill runs").success());
        self.child.wait().expect("it ends").code()
    }

    fn kill(mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn refused(dir: &Path, arguments: &[&str]) -> String {
    let Output { status, stderr, .. } = program(dir, arguments).output().expect("it runs");
    assert_eq!(status.code(), Some(2), "{arguments:?}");
    String::from_utf8(stderr).expect("text")
}

fn directory() -> TempDir {
    let dir = TempDir::new().expect("a directory");
    fs::write(dir.path().join("setup.sql"), DDL).expect("a script");
    dir
}

#[test]
fn a_killed_emulator_comes_back_with_the_same_port_profile_and_key() {
    let dir = directory();
    let here = dir.path();
    let options = [
        "--ddl",
        "setup.sql",
        "--data",
        "e.db",
        "--write-profile",
        "profile.json",
    ];
    let first = Running::start(here, &options);
    let profile = here.join("profile.json");
    let written = fs::read_to_string(&profile).expect("a profile");
    let mode = fs::metadata(&profile)
        .expect("a profile")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let fields: serde_json::Value = serde_json::from_str(&written).expect("JSON");
    assert_eq!(fields["url"], first.url);
    assert_eq!(fields["account"], "EMULATOR");
    assert_eq!(fields["user"], "STREAMING_INGEST");
    let key = fields["private_key"].as_str().expect("a key");
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"));

    let why = refused(here, &["--data", "e.db"]);
    let holder = format!("is in use by process {}", first.child.id());
    assert!(why.contains(&holder), "{why}");

    let address = first.url.trim_start_matches("http://").to_owned();
    first.kill();
    let mut again = options.to_vec();
    again.extend(["--listen", &address]);
    let second = Running::start(here, &again);
    assert_eq!(fs::read_to_string(&profile).expect("a profile"), written);
    assert_eq!(second.terminate(), Some(0));
    // Closed in good order, the log is folded into the file.
    assert!(!here.join("e.db-wal").exists());
}

#[test]
fn a_given_key_is_named_in_the_profile_and_not_copied() {
    let dir = directory();
    let here = dir.path();
    let key = snowpipe_streaming::emulator::Emulator::generate_key().expect("a key");
    fs::write(
        here.join("user.p8"),
        secrecy::ExposeSecret::expose_secret(&key),
    )
    .expect("a file");
    let options = [
        "--private-key",
        "user.p8",
        "--write-profile",
        "profile.json",
    ];
    let running = Running::start(here, &options);
    let written = fs::read_to_string(here.join("profile.json")).expect("a profile");
    let fields: serde_json::Value = serde_json::from_str(&written).expect("JSON");
    let file = here.join("user.p8").canonicalize().expect("a path");
    assert_eq!(fields["private_key_file"], file.to_str().expect("a path"));
    assert_eq!(fields.get("private_key"), None);
    assert_eq!(running.terminate(), Some(0));
}

#[test]
fn what_cannot_be_done_is_said_with_its_mend() {
    let dir = directory();
    let here = dir.path();
    fs::write(here.join("mine.json"), "{}").expect("a file");
    fs::write(
        here.join("broken.sql"),
        "USE D.S;\nCREATE TABLE T (A GEOGRAPHY);",
    )
    .expect("a file");
    for (arguments, want) in [
        (
            &["--write-profile", "mine.json"][..],
            "mine.json exists and was not written by the emulator: it is not overwritten",
        ),
        (
            &["--ddl", "broken.sql"][..],
            "line 2, column 17: column A: the emulator has no column type GEOGRAPHY",
        ),
        (&["--ddl", "absent.sql"][..], "the DDL script absent.sql: "),
        (
            &["--private-key", "setup.sql"][..],
            "is not an unencrypted PKCS#8 PEM of an RSA key",
        ),
        (&["--listen", "0.0.0.0:0"][..], "use a loopback address"),
        (&["--commit-delay", "soon"][..], "--commit-delay"),
        (&["--delay-answers=-1s"][..], "cannot be negative"),
        (&["--apply-ddl"][..], "--ddl"),
    ] {
        let why = refused(here, arguments);
        assert!(why.contains(want), "{arguments:?}: {why}");
    }
    assert_eq!(
        fs::read_to_string(here.join("mine.json")).expect("a file"),
        "{}"
    );
}

/// The first line of the answer to a request with this beginning.
fn answer(running: &Running, request: &str, headers: &str, body: &str) -> String {
    let address = running.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("a connection");
    let length = body.len();
    write!(
        stream,
        "{request} HTTP/1.1\r\nhost: {address}\r\naccept: */*\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
    .expect("a request");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn oauth_clients_and_access_tokens_are_let_in() {
    let dir = directory();
    let running = Running::start(
        dir.path(),
        &[
            "--oauth-client",
            "one:a:b",
            "--oauth-client",
            "two:c",
            "--access-token",
            "pat",
        ],
    );
    let grant = "grant_type=client_credentials&client_id";
    for (client, line) in [
        ("one&client_secret=a%3Ab", "HTTP/1.1 200 OK"),
        ("two&client_secret=c", "HTTP/1.1 200 OK"),
        ("two&client_secret=a%3Ab", "HTTP/1.1 401 Unauthorized"),
    ] {
        let form = format!("{grant}={client}");
        let seen = answer(&running, "POST /oauth/token-request", "", &form);
        assert_eq!(seen, line, "{client}");
    }
    for (token, line) in [
        ("pat", "HTTP/1.1 200 OK"),
        ("other", "HTTP/1.1 401 Unauthorized"),
    ] {
        let bearer = format!("authorization: Bearer {token}\r\n");
        let seen = answer(&running, "GET /v2/streaming/hostname", &bearer, "");
        assert_eq!(seen, line, "{token}");
    }
    let why = refused(dir.path(), &["--oauth-client", "secretless"]);
    assert!(why.contains("a colon and its secret"), "{why}");
}
