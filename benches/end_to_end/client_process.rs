//! A process that runs one client once, so that the process's resource usage is the client's.

use std::sync::Arc;

use anyhow::Result;
use tokio::runtime::Runtime;

use crate::client::connect;
use crate::job::{Job, Task};
use crate::rows::Pool;
use crate::{extremes, known, stream};

/// Runs the job that `job` describes as JSON, and prints the outcome.
pub(crate) fn run(job: &str) -> Result<()> {
    let job: Job = serde_json::from_str(job)?;
    let pool = Arc::new(Pool::read(&job.pool, job.config.form)?);
    // The same runtime as that of `#[tokio::main]`.
    let runtime = Runtime::new()?;
    let outcome = runtime.block_on(async {
        let client = connect(&job).await?;
        match job.task {
            Task::Stream => stream::stream(&client, &pool, &job).await,
            Task::Steady => known::steady(&client, &pool, &job).await,
            Task::Stalled { .. } => extremes::stalled(&client, &pool, &job).await,
            Task::Idle { seconds } => extremes::idle(&client, &pool, &job, seconds).await,
            Task::Many => extremes::many(&client, &pool, &job).await,
        }
    })?;
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}
