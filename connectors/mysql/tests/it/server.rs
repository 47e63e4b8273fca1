//! A private MariaDB server on a free port, in a directory that is deleted with it.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mysql_async::{Conn, OptsBuilder};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// How long a server may take until it accepts connections, on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_millis(50);

/// A running server. It is killed when it is dropped.
pub(crate) struct MariaDb {
    directory: TempDir,
    port: u16,
    options: Vec<String>,
    process: Option<Child>,
}

impl MariaDb {
    /// A new server that writes a complete binary log, with further `options` of `mariadbd`.
    pub(crate) async fn start(options: &[&str]) -> Self {
        let directory = TempDir::new().expect("a directory");
        let log = File::create(directory.path().join("install.log")).expect("a log");
        std::fs::create_dir(path(&directory, "tmp")).expect("a directory");
        let status = Command::new(program("mariadb-install-db"))
            .arg("--no-defaults")
            .arg(format!("--user={}", user()))
            .arg(format!("--datadir={}", path(&directory, "data").display()))
            // A server that starts deletes the temporary tables that it finds, including those of other servers.
            .arg(format!("--tmpdir={}", path(&directory, "tmp").display()))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .status()
            .expect("mariadb-install-db");
        let said = || std::fs::read_to_string(path(&directory, "install.log")).unwrap_or_default();
        assert!(
            status.success(),
            "mariadb-install-db: {status}:\n{}",
            said()
        );
        let mut server = Self {
            directory,
            port: free_port(),
            options: options.iter().map(ToString::to_string).collect(),
            process: None,
        };
        server.up().await;
        server
    }

    /// Starts the process, and waits until it accepts connections.
    pub(crate) async fn up(&mut self) {
        assert!(self.process.is_none(), "the server runs already");
        let process = Command::new(program("mariadbd"))
            .arg("--no-defaults")
            .arg(format!("--user={}", user()))
            .arg(format!(
                "--datadir={}",
                path(&self.directory, "data").display()
            ))
            .arg(format!(
                "--tmpdir={}",
                path(&self.directory, "tmp").display()
            ))
            .arg(format!(
                "--socket={}",
                path(&self.directory, "my.sock").display()
            ))
            .arg(format!(
                "--pid-file={}",
                path(&self.directory, "my.pid").display()
            ))
            .arg(format!(
                "--log-error={}",
                path(&self.directory, "error.log").display()
            ))
            .arg(format!("--port={}", self.port))
            .args([
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
                "--server-id=1",
                "--log-bin=bin",
                "--binlog-format=ROW",
                "--binlog-row-image=FULL",
                "--binlog-row-metadata=FULL",
                "--character-set-server=utf8mb4",
                "--innodb-buffer-pool-size=64M",
            ])
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mariadbd");
        self.process = Some(process);
        let until = Instant::now() + START_TIMEOUT;
        while let Err(error) = Conn::new(self.root()).await {
            let exited = self
                .process
                .as_mut()
                .and_then(|server| server.try_wait().ok()?);
            assert!(
                exited.is_none(),
                "the server ended with {exited:?}:\n{}",
                self.log()
            );
            assert!(Instant::now() < until, "{error}:\n{}", self.log());
            sleep(RETRY).await;
        }
    }

    /// Kills the server, as a loss of power would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// A connection as root.
    pub(crate) async fn connect(&self) -> Conn {
        Conn::new(self.root()).await.expect("a connection")
    }

    /// The server's address as `--source` takes it, for a user and a database.
    pub(crate) fn url(&self, user: &str, password: &str, database: &str) -> String {
        format!(
            "mysql://{user}:{password}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What the server has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(path(&self.directory, "error.log")).unwrap_or_default()
    }

    fn root(&self) -> OptsBuilder {
        OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.port)
            .user(Some("root"))
            .prefer_socket(false)
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.kill();
    }
}

fn path(directory: &TempDir, name: &str) -> PathBuf {
    directory.path().join(name)
}

/// A program of the server's package, which Debian keeps partly in `/usr/sbin`.
fn program(name: &str) -> PathBuf {
    ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"]
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{name} is missing: install mariadb-server"))
}

/// A server that is started as root needs the name of its user.
fn user() -> String {
    let id = Command::new("id").arg("-un").output().expect("id");
    String::from_utf8_lossy(&id.stdout).trim().to_owned()
}

pub(crate) fn free_port() -> u16 {
    let any = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    any.local_addr().expect("an address").port()
}
