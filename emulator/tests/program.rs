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

use snowpipe_streaming::transport::{HttpTransport, HttpTransportBuilder};
use snowpipe_streaming::{PipePath, Profile, StreamingIngestClient};
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

/// A running emulator and the line it printed: its URL, and with TLS what clients need besides. It is killed when dropped.
struct Running {
    child: Child,
    url: String,
}

impl Running {
    fn start(dir: &Path, arguments: &[&str]) -> Self {
        Self::of(program(dir, arguments))
    }

    fn of(mut program: Command) -> Self {
        let mut child = program.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut url = String::new();
        let stdout = child.stdout.take().expect("its stdout");
        BufReader::new(stdout).read_line(&mut url).expect("a line");
        let url = url.trim_end().to_owned();
        assert!(url.starts_with("http"), "{url:?}");
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

// The client's connection has to be let go while this thread waits for the emulator's end.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn over_tls_the_line_says_what_clients_need() {
    let dir = directory();
    let here = dir.path();
    let options = [
        "--tls",
        "--tls-san",
        "emulator.internal",
        "--ddl",
        "setup.sql",
        "--write-profile",
        "profile.json",
    ];
    let running = Running::start(here, &options);
    let words: Vec<&str> = running.url.split(' ').collect();
    let [url, certificate, endpoint] = words[..] else {
        panic!("{words:?}");
    };
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    assert_eq!(endpoint, format!("AWS_ENDPOINT_URL={url}"));
    let file = here.join("profile.ca.pem").canonicalize().expect("a path");
    assert_eq!(certificate, format!("SSL_CERT_FILE={}", file.display()));

    let profile = Profile::from_file(here.join("profile.json")).expect("a profile");
    let authority = fs::read(&file).expect("a certificate");
    let transport = HttpTransport::builder()
        .no_proxy()
        .add_root_certificate_pem(&authority)
        .and_then(HttpTransportBuilder::build)
        .expect("a transport");
    let pipe = PipePath::for_table("D", "S", "T").expect("a pipe");
    let client = StreamingIngestClient::builder(profile, pipe).transport(transport);
    let client = client.build().await.expect("a client");
    let mut channel = client.open_channel("c").await.expect("a channel");
    let appended = channel.append_row(&serde_json::json!({ "A": 1 }), 1).await;
    let committed = appended.expect("a receipt").committed().await;
    committed.expect("a commit");
    client.close().await.expect("an end");

    // Another certificate takes the place of this one, but not of somebody's own file.
    let address = url.trim_start_matches("https://").to_owned();
    assert_eq!(running.terminate(), Some(0));
    let mut again = options.to_vec();
    again.extend(["--listen", &address]);
    let second = Running::start(here, &again);
    assert_ne!(fs::read(&file).expect("a certificate"), authority);
    assert_eq!(second.terminate(), Some(0));
    again.extend(["--tls-ca", "setup.sql"]);
    let why = refused(here, &again);
    assert!(
        why.contains("setup.sql exists and was not written by the emulator"),
        "{why}"
    );
    let why = refused(here, &["--write-profile", "profile.json"]);
    let remedy = format!("start it with --tls --listen {address}");
    assert!(why.contains(&remedy), "{why}");
}

#[test]
fn without_a_profile_the_certificate_is_a_temporary_file() {
    let dir = directory();
    let temporary = dir.path().to_str().expect("a path");
    let mut child = program(dir.path(), &["--tls"])
        .env("TMPDIR", temporary)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("its stdout");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let running = Running { child, url: line };
    let certificate = running.url.split(' ').nth(1).expect("a certificate");
    let file = certificate.trim_start_matches("SSL_CERT_FILE=").to_owned();
    assert!(
        file.ends_with(".ca.pem") && Path::new(&file).exists(),
        "{file}"
    );
    assert_eq!(running.terminate(), Some(0));
    assert!(!Path::new(&file).exists());
}

#[test]
fn a_given_key_is_named_in_the_profile_and_not_copied() {
    let dir = directory();
    let here = dir.path();
    let key = snowpipe_streaming_emulator::Emulator::generate_key().expect("a key");
    fs::write(here.join("user.p8"), key.expose()).expect("a file");
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
fn what_cannot_be_done_is_said_with_its_remedy() {
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
            "mine.json exists and was not written by the emulator, so it is not overwritten",
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
        (&["--tls-san", "emulator.internal"][..], "--tls"),
        (
            &["--tls", "--tls-san", "schlüssel"][..],
            "host names and IP addresses",
        ),
        (&["--commit-delay", "soon"][..], "--commit-delay"),
        (&["--token-life", "short"][..], "--token-life"),
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
            "--workload-identity",
            "oidc:a:b",
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
        ("WIF.OIDC.a:b", "HTTP/1.1 200 OK"),
        ("WIF.GCP.a:b", "HTTP/1.1 401 Unauthorized"),
    ] {
        let bearer = format!("authorization: Bearer {token}\r\n");
        let seen = answer(&running, "GET /v2/streaming/hostname", &bearer, "");
        assert_eq!(seen, line, "{token}");
    }
    let why = refused(dir.path(), &["--oauth-client", "secretless"]);
    assert!(why.contains("a colon and its secret"), "{why}");
    assert!(!why.contains("secretless"), "{why}");
    for token in ["hush", "oidc:", "k8s:hush"] {
        let why = refused(dir.path(), &["--workload-identity", token]);
        assert!(why.contains("AWS, AZURE, GCP or OIDC"), "{why}");
        assert!(!why.contains("hush"), "{why}");
    }
}

#[test]
fn secrets_come_from_the_environment_and_from_files_as_well() {
    let dir = directory();
    fs::write(dir.path().join("clients"), "one:a\n\n two:b \n").expect("a file");
    fs::write(dir.path().join("tokens"), "first\nsecond").expect("a file");
    let files = [
        "--oauth-client-file",
        "clients",
        "--access-token-file",
        "tokens",
    ];
    let mut program = program(dir.path(), &files);
    program.env("SNOWPIPE_EMULATOR_OAUTH_CLIENT", "three:c");
    program.env("SNOWPIPE_EMULATOR_ACCESS_TOKEN", "third");
    let running = Running::of(program);
    for client in [
        "one&client_secret=a",
        "two&client_secret=b",
        "three&client_secret=c",
    ] {
        let form = format!("grant_type=client_credentials&client_id={client}");
        let seen = answer(&running, "POST /oauth/token-request", "", &form);
        assert_eq!(seen, "HTTP/1.1 200 OK", "{client}");
    }
    for token in ["first", "second", "third"] {
        let bearer = format!("authorization: Bearer {token}\r\n");
        let seen = answer(&running, "GET /v2/streaming/hostname", &bearer, "");
        assert_eq!(seen, "HTTP/1.1 200 OK", "{token}");
    }
    drop(running);
    fs::write(dir.path().join("empty"), "\n").expect("a file");
    for (file, want) in [
        ("empty", "the access tokens empty: the file is empty"),
        ("absent", "the access tokens absent: "),
    ] {
        let why = refused(dir.path(), &["--access-token-file", file]);
        assert!(why.contains(want), "{why}");
    }
}

/// One that has found no profile, and is held up by a script that is still to be written.
#[test]
fn of_two_emulators_at_once_the_slower_one_leaves_the_profile_alone() {
    let dir = directory();
    let here = dir.path();
    let fifo = here.join("slow.sql");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo runs").success());
    let options = ["--write-profile", "profile.json", "--ddl", "slow.sql"];
    let mut slow = program(here, &options);
    slow.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut slow = Running {
        child: slow.spawn().expect("it starts"),
        url: String::new(),
    };
    // Opened as soon as the slow one reads the script, which it does after it has looked for a profile.
    let mut script = fs::OpenOptions::new()
        .write(true)
        .open(&fifo)
        .expect("it is read");
    let fast = Running::start(here, &options[..2]);
    let written = fs::read_to_string(here.join("profile.json")).expect("a profile");
    script.write_all(DDL.as_bytes()).expect("it is read");
    drop(script);
    let stdout = slow.child.stdout.take().expect("its stdout");
    let line = BufReader::new(stdout).lines().next();
    assert!(line.is_none(), "it serves: {line:?}");
    let mut why = String::new();
    let mut stderr = slow.child.stderr.take().expect("its stderr");
    stderr.read_to_string(&mut why).expect("text");
    assert!(
        why.contains("written by another process in the meantime"),
        "{why}"
    );
    assert_eq!(slow.child.wait().expect("it ends").code(), Some(2));
    let profile = fs::read_to_string(here.join("profile.json")).expect("a profile");
    assert_eq!(profile, written);
    let files = fs::read_dir(here).expect("a directory");
    assert_eq!(files.count(), 3, "nothing is left beside the profile");
    assert_eq!(fast.terminate(), Some(0));
}

#[test]
fn answers_come_from_a_file_and_are_told() {
    let dir = directory();
    let here = dir.path();
    let answers = r#"{"format": 1, "answers": {"wire": {"hostname_body": "json"}}}"#;
    fs::write(here.join("answers.json"), answers).expect("a file");
    let running = Running::start(here, &["--ddl", "setup.sql", "--answers", "answers.json"]);
    let address = running.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("a connection");
    let request =
        format!("GET /_emulator/health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.contains(r#""hostname_body":"json""#), "{answer}");
    assert!(answer.contains(r#""replayed_token":"accept""#), "{answer}");

    fs::write(
        here.join("wrong.json"),
        r#"{"wire": {"hostname_body": "xml"}}"#,
    )
    .expect("a file");
    let why = refused(here, &["--answers", "wrong.json"]);
    assert!(why.contains("wrong.json") && why.contains("xml"), "{why}");
    let why = refused(here, &["--answers", "none.json"]);
    assert!(why.contains("none.json"), "{why}");
}
