//! The program as a process, between a private server and an emulator that is a process as well.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rusqlite::{Connection, OpenFlags, types::Value};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::server::{MariaDb, free_port};

const PROGRAM: &str = env!("CARGO_BIN_EXE_snowpipe-mysql");
const EMULATOR: &str = env!("CARGO_BIN_EXE_emulator");
/// What takes longer will not happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);
const SCHEMA: &str = "LAKE.PUBLIC";

/// A server with the database `shop`, a user `cdc` with the rights that the program needs, and an emulator.
pub(crate) struct World {
    pub(crate) server: MariaDb,
    folder: TempDir,
    port: u16,
    emulator: Option<Child>,
}

impl World {
    /// # Panics
    /// If a process does not start.
    pub(crate) async fn new(options: &[&str]) -> Self {
        let server = MariaDb::start(options).await;
        let mut conn = server.connect().await;
        for statement in [
            "CREATE DATABASE shop",
            "CREATE USER cdc@'%' IDENTIFIED BY 'geheim'",
            "GRANT SELECT, REPLICATION SLAVE, BINLOG MONITOR ON *.* TO cdc@'%'",
            "USE shop",
        ] {
            conn.query_drop(statement).await.unwrap();
        }
        Self {
            server,
            folder: TempDir::new().unwrap(),
            port: free_port(),
            emulator: None,
        }
    }

    pub(crate) async fn conn(&self) -> Conn {
        let mut conn = self.server.connect().await;
        conn.query_drop("SET time_zone = '+00:00'").await.unwrap();
        conn.query_drop("USE shop").await.unwrap();
        conn
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program with the source and the options.
    pub(crate) fn command(&self, command: &str, options: &[&str]) -> Command {
        let mut program = Command::new(PROGRAM);
        program
            .arg(command)
            .arg(format!(
                "--source={}",
                self.server.url("cdc", "geheim", "shop")
            ))
            .args(options)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        program
    }

    /// Makes the tables for these options of `copy`, and starts the emulator.
    pub(crate) async fn make_tables(&mut self, options: &[&str]) {
        let ddl = output(self.command("ddl", options)).await;
        assert!(ddl.status.success(), "{}", text(&ddl));
        std::fs::write(self.path("tables.sql"), ddl.stdout).unwrap();
        self.emulator_up().await;
    }

    /// Starts the emulator, which goes on with its file.
    pub(crate) async fn emulator_up(&mut self) {
        let child = Command::new(EMULATOR)
            .arg(self.port.to_string())
            .args(["tables.sql", "landing.db", "profile.json"])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.emulator = Some(child);
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err()
            || !self.path("profile.json").exists()
        {
            assert!(Instant::now() < until, "the emulator does not listen");
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn kill_emulator(&mut self) {
        if let Some(mut emulator) = self.emulator.take() {
            emulator.kill().await.unwrap();
        }
    }

    /// A copy that is running.
    pub(crate) fn start_copy(&self, options: &[&str]) -> Child {
        let mut command = self.command("copy", &["--profile=profile.json"]);
        command
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// A copy to its end, which has to succeed.
    pub(crate) async fn copy(&self, options: &[&str]) -> String {
        let mut command = self.command("copy", &["--profile=profile.json"]);
        command.args(options);
        let output = output(command).await;
        assert!(output.status.success(), "{}", text(&output));
        text(&output)
    }

    /// The rows of a table in the emulator's file, as they were committed.
    pub(crate) fn landed(&self, table: &str) -> Vec<BTreeMap<String, Value>> {
        landed(&self.path("landing.db"), table)
    }
}

/// The options of a copy of a table to the table of the same name.
pub(crate) fn table(name: &str) -> String {
    format!("--table={name}={SCHEMA}.{}", name.to_uppercase())
}

/// Runs a program to its end.
pub(crate) async fn output(mut command: Command) -> Output {
    let output = timeout(PATIENCE, command.output()).await;
    output.expect("the program does not end").unwrap()
}

/// What a program has written.
pub(crate) fn text(output: &Output) -> String {
    let parts = [&output.stdout, &output.stderr].map(|part| String::from_utf8_lossy(part));
    parts.join("\n")
}

pub(crate) fn landed(file: &Path, table: &str) -> Vec<BTreeMap<String, Value>> {
    let file = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    file.busy_timeout(PATIENCE).unwrap();
    let mut select = file.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
    let names: Vec<String> = select.column_names().map(str::to_owned).collect();
    let rows = select.query_map([], |row| {
        let values = names.iter().enumerate();
        values
            .map(|(at, name)| Ok((name.clone(), row.get(at)?)))
            .collect()
    });
    rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
}
