//! An emulator on loopback, and the program in a directory with a profile for it.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{Emulator, Server};
use tempfile::TempDir;

const DDL: &str = "
    CREATE TABLE RESORT.PUBLIC.RIDE (TXID VARCHAR NOT NULL, METERS NUMBER(5, 0), LIFT VARCHAR);
    CREATE PIPE RESORT.PUBLIC.RIDE_PIPE AS COPY INTO RESORT.PUBLIC.RIDE
        FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) MATCH_BY_COLUMN_NAME = CASE_SENSITIVE;";
pub(crate) const TABLE: &str = "RESORT.PUBLIC.RIDE";

/// An emulator on loopback, and a directory with a profile for it.
pub(crate) struct World {
    pub(crate) runtime: tokio::runtime::Runtime,
    server: Option<Server>,
    directory: TempDir,
}

/// How the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl World {
    pub(crate) fn new() -> Self {
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
        let path = directory.path().join("profile.json");
        fs::write(&path, profile).expect("a profile");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let private = fs::Permissions::from_mode(0o600);
            fs::set_permissions(&path, private).expect("a mode");
        }
        Self {
            runtime,
            server: Some(server),
            directory,
        }
    }

    pub(crate) fn emulator(&self) -> &Emulator {
        self.server.as_ref().expect("it runs").emulator()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, lines: &[Value]) {
        fs::write(self.path(name), text(lines)).expect("a file");
    }

    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snowpipe"));
        let (verb, rest) = arguments.split_once(' ').unwrap_or((arguments, ""));
        command
            .arg(verb)
            .args(["--profile", "profile.json"])
            .args(rest.split_whitespace())
            .current_dir(self.directory.path());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().to_ascii_uppercase();
            let begins = ["SNOWFLAKE_", "PRIVATE_KEY", "SS_"];
            let others = ["DATABASE_NAME", "SCHEMA_NAME", "RUST_LOG"];
            if begins.iter().any(|begin| text.starts_with(begin))
                || text.ends_with("_PROXY")
                || others.contains(&&*text)
            {
                command.env_remove(name);
            }
        }
        command
    }

    pub(crate) fn run(&self, arguments: &str) -> Ended {
        let output = self.command(arguments).stdin(Stdio::null()).output();
        ended(output.expect("it runs"))
    }

    pub(crate) fn run_with(&self, arguments: &str, input: &[u8]) -> Ended {
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
    pub(crate) fn landed(&self, column: &str) -> Vec<Value> {
        let rows = self.emulator().rows(TABLE).expect("the table");
        rows.iter().map(|row| row[column].clone()).collect()
    }

    /// The records in a file of dead letters.
    pub(crate) fn letters(&self, name: &str) -> Vec<Value> {
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

pub(crate) fn ended(output: Output) -> Ended {
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

pub(crate) fn text(lines: &[Value]) -> String {
    let lines: Vec<_> = lines.iter().map(Value::to_string).collect();
    lines.join("\n") + "\n"
}

pub(crate) fn ride(n: u64) -> Value {
    json!({"TXID": format!("t{n}"), "METERS": n, "LIFT": "Elkhorn"})
}

pub(crate) fn rides(numbers: std::ops::Range<u64>) -> Vec<Value> {
    numbers.map(ride).collect()
}

pub(crate) fn numbers(range: std::ops::Range<u64>) -> Vec<Value> {
    range.map(Value::from).collect()
}
