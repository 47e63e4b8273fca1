//! The brokers and the emulator as processes, which are killed and started again.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::log::Record;
use crate::{PARTITIONS, TOPIC, proxy};

const DDL: &str = "CREATE TABLE RESORT.PUBLIC.LIFT_RIDE (RIDE_ID NUMBER, RECORD_METADATA VARIANT);";
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A process that listens on a port.
struct Service {
    program: PathBuf,
    arguments: Vec<String>,
    address: SocketAddr,
    child: Child,
}

impl Service {
    async fn start(program: PathBuf, arguments: Vec<String>, address: SocketAddr) -> Result<Self> {
        let child = spawn(&program, &arguments)?;
        let mut service = Self {
            program,
            arguments,
            address,
            child,
        };
        service.is_up().await?;
        Ok(service)
    }

    async fn is_up(&mut self) -> Result<()> {
        let until = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(self.address).await.is_err() {
            let ended = self.child.try_wait()?;
            ensure!(
                ended.is_none(),
                "{} ended with {ended:?}",
                self.program.display()
            );
            ensure!(
                Instant::now() < until,
                "{} does not listen",
                self.program.display()
            );
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Kills the process, and starts another one after a pause.
    async fn restart(&mut self, pause: Duration) -> Result<()> {
        self.child.kill().await?;
        sleep(pause).await;
        self.child = spawn(&self.program, &self.arguments)?;
        self.is_up().await
    }
}

fn spawn(program: &Path, arguments: &[String]) -> Result<Child> {
    Command::new(program)
        .args(arguments)
        .env("RUST_LOG", "error")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}

/// Two brokers behind one address.
pub(crate) struct Brokers {
    services: [Service; 2],
    proxy: SocketAddr,
}

impl Brokers {
    /// Starts the brokers, and makes the topic.
    ///
    /// # Errors
    /// If a program is missing or fails.
    pub(crate) async fn start() -> Result<Self> {
        let nisshi = PathBuf::from(variable("NISSHI")?);
        let storage = variable("STORAGE")?;
        let storage = storage.into_string().ok().context("STORAGE is no text")?;
        let addresses = [free().await?, free().await?];
        let proxy = proxy::start(addresses).await?;
        let start = |address: SocketAddr| {
            let arguments = [
                "broker".to_owned(),
                "--cluster-id=snowpipe-kafka".to_owned(),
                format!("--listener-url=tcp://{address}"),
                format!("--advertised-listener-url=tcp://{proxy}"),
                format!("--storage-engine={storage}"),
            ];
            Service::start(nisshi.clone(), arguments.to_vec(), address)
        };
        let [first, second] = addresses;
        let services = [start(first).await?, start(second).await?];
        let created = Command::new(&nisshi)
            .args(["topic", "create", "--broker"])
            .arg(format!("tcp://{first}"))
            .args(["--partitions", &PARTITIONS.to_string(), TOPIC])
            .stdout(Stdio::null())
            .status()
            .await?;
        ensure!(created.success(), "the topic was not made: {created}");
        Ok(Self { services, proxy })
    }

    pub(crate) fn address(&self) -> String {
        self.proxy.to_string()
    }

    /// Kills the first or the second broker, and starts it again after a pause.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) async fn restart(&mut self, first: bool, pause: Duration) -> Result<()> {
        let [one, other] = &mut self.services;
        if first { one } else { other }.restart(pause).await
    }
}

/// The emulator, with its table in a file.
pub(crate) struct Emulator {
    service: Service,
    profile: PathBuf,
    data: PathBuf,
}

impl Emulator {
    /// # Errors
    /// If the program is missing or fails.
    pub(crate) async fn start(folder: &Path) -> Result<Self> {
        let (profile, data) = (folder.join("profile.json"), folder.join("tables.db"));
        let ddl = folder.join("tables.sql");
        std::fs::write(&ddl, DDL)?;
        let address = free().await?;
        let arguments = [
            format!("--listen={address}"),
            format!("--data={}", data.display()),
            format!("--ddl={}", ddl.display()),
            format!("--write-profile={}", profile.display()),
        ];
        let program = PathBuf::from(variable("EMULATOR")?);
        Ok(Self {
            service: Service::start(program, arguments.to_vec(), address).await?,
            profile,
            data,
        })
    }

    pub(crate) fn profile(&self) -> &Path {
        &self.profile
    }

    /// # Errors
    /// If it does not start again.
    pub(crate) async fn restart(&mut self, pause: Duration) -> Result<()> {
        self.service.restart(pause).await
    }

    /// The rows of the table by partition, in the order in which they were committed.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn landed(&self) -> Result<BTreeMap<i32, Vec<Record>>> {
        let table = Connection::open_with_flags(&self.data, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        table.busy_timeout(START_TIMEOUT)?;
        let mut select = table.prepare("SELECT RIDE_ID, RECORD_METADATA FROM LIFT_RIDE")?;
        let mut rows = select.query([])?;
        let mut landed: BTreeMap<i32, Vec<Record>> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let ride: i64 = row.get(0)?;
            let metadata: Value = serde_json::from_str(&row.get::<_, String>(1)?)?;
            let number = |field: &str| {
                metadata
                    .get(field)
                    .and_then(Value::as_i64)
                    .context("no number")
            };
            let partition = i32::try_from(number("partition")?)?;
            let record = (number("offset")?, u64::try_from(ride)?);
            landed.entry(partition).or_default().push(record);
        }
        Ok(landed)
    }
}

fn variable(name: &str) -> Result<OsString> {
    env::var_os(name)
        .with_context(|| format!("{name} is not set: start this with tests/brokers/run.sh"))
}

async fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await?
        .local_addr()?)
}
