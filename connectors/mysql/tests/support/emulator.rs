//! The emulator as a process for the tests, so that it can be killed: `emulator PORT DDL DATA PROFILE`.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use snowpipe_streaming::auth::Secret;
use snowpipe_streaming_emulator::{DataFile, Ddl, Emulator, Server};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [port, ddl, data, profile] = arguments.as_slice() else {
        bail!("usage: emulator PORT DDL DATA PROFILE");
    };
    let script = fs::read_to_string(ddl).context("cannot read the statements")?;
    let data = DataFile::open(Path::new(data), &Ddl::Bootstrap(script))?;
    let mut emulator = Emulator::builder().data_file(data);
    let profile = Path::new(profile);
    let is_new = !profile.exists();
    if !is_new {
        // The key of the last run stays valid, because its clients use it.
        let written: Value = serde_json::from_str(&fs::read_to_string(profile)?)?;
        let key = written.get("private_key").and_then(Value::as_str);
        emulator = emulator.private_key(Secret::from(key.context("no key")?));
    }
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?));
    let server = Server::bind(emulator.build()?, address).await?;
    if is_new {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(profile)?;
        file.write_all(server.emulator().profile_json(&server.url()).as_bytes())?;
    }
    std::future::pending::<()>().await;
    drop(server);
    Ok(())
}
