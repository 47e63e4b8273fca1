//! Carries out a scenario with the official SDK, in a Python process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::time::Instant;

use crate::ours::Access;
use crate::scenario::Scenario;

/// How long a scenario may take.
const PATIENCE: Duration = Duration::from_secs(150);

/// How often a process is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Where the official SDK is.
#[derive(Debug)]
pub(crate) struct Official {
    pub(crate) python: PathBuf,
    /// Where this test's own files are.
    pub(crate) here: PathBuf,
}

impl Official {
    /// What each step comes to, up to the first failure that the scenario does not expect. `dir` is for files that go.
    pub(crate) async fn carry_out(
        &self,
        scenario: &Scenario,
        access: &Access,
        url: &str,
        dir: &Path,
    ) -> anyhow::Result<Vec<Value>> {
        let (profile, authority) = (dir.join("profile.json"), dir.join("ca.pem"));
        let (outcomes, said) = (dir.join("outcomes.json"), dir.join("said.txt"));
        std::fs::write(&profile, &access.profile_json)?;
        std::fs::write(&authority, &access.authority_pem)?;
        let log = std::fs::File::create(&said)?;
        let process = Command::new(&self.python)
            .arg(self.here.join("sdk.py"))
            .arg(self.here.join("scenarios.json"))
            .arg(&scenario.name)
            .args([&profile, &outcomes])
            .env("SSL_CERT_FILE", &authority)
            .env("AWS_ENDPOINT_URL", url)
            .env("NO_PROXY", "127.0.0.1")
            .env("SS_LOG_LEVEL", "warn")
            .env_remove("SSL_CERT_DIR")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} does not start", self.python.display()))?;
        let said = || std::fs::read_to_string(&said).unwrap_or_default();
        match Running(process).ended().await? {
            None => bail!(
                "the official SDK is not done after {PATIENCE:?}\n{}",
                said()
            ),
            Some(status) if !status.success() => {
                bail!("the official SDK's script failed\n{}", said())
            }
            Some(_) => {}
        }
        let outcomes = std::fs::read(&outcomes).context("the outcomes cannot be read")?;
        Ok(serde_json::from_slice(&outcomes)?)
    }
}

/// A process that does not outlive this.
struct Running(Child);

impl Running {
    /// How it ended; `None` if it did not in time.
    async fn ended(mut self) -> anyhow::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.0.try_wait()? {
                return Ok(Some(status));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(None)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
