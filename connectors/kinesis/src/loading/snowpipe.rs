//! Asks Snowpipe of an account to load the objects, through its REST API: `insertFiles`, then `insertReport` and
//! `loadHistoryScan` for what has become of them.
//!
//! Snowpipe loads a name once within 14 days, so a request whose answer was lost is repeated. The names that it gets are relative
//! to the place that the definition of the pipe has, `@stage/kinesiscsv/`. Source: the documentation of the Snowpipe REST API.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use snowpipe_streaming::PipePath;
use snowpipe_streaming::sql::SqlClient;
use snowpipe_streaming::transport::http::{Method, StatusCode};
use snowpipe_streaming::transport::{HttpTransport, Request, Transport as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};
use uuid::Uuid;

use super::history::{History, Taken};
use super::{PREFIX, list};
use crate::bucket::Bucket;
use crate::cli::LoadArgs;
use crate::{stopping, streaming};

const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// A request has at most 5,000 files.
const FILES: usize = 1_000;
/// How long a file may go without a report. It is then looked up in the history, and submitted again if it is not there.
const UNREPORTED: Duration = Duration::from_mins(10);
/// How long calls may fail.
const PATIENCE: Duration = Duration::from_mins(10);

struct Snowpipe {
    url: String,
    login: SqlClient,
    transport: HttpTransport,
    /// Where the next report begins.
    mark: Option<String>,
}

/// The answer to `insertReport`, and to `loadHistoryScan`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    #[serde(default)]
    files: Vec<Loaded>,
    #[serde(default)]
    next_begin_mark: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Loaded {
    path: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    rows_inserted: u64,
    #[serde(default)]
    first_error: Option<String>,
    #[serde(default = "yes")]
    complete: bool,
}

fn yes() -> bool {
    true
}

/// Submits new objects until `stop` is true, or until those that are there were reported.
///
/// # Errors
/// If the account refuses the program, or does not answer for ten minutes.
pub(super) async fn run(
    args: &LoadArgs,
    pipe: &PipePath,
    bucket: &Bucket,
    history: &History,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let profile = streaming::profile(&args.target)?;
    let name = super::full_name(pipe);
    let mut snowpipe = Snowpipe {
        url: format!("{}v1/data/pipes/{name}/", profile.url()?),
        login: SqlClient::builder(profile).build()?,
        transport: HttpTransport::builder().build()?,
        mark: None,
    };
    let mut last_success = Instant::now();
    while !*stop.borrow() {
        match snowpipe.round(bucket, history).await {
            Ok(open) => {
                last_success = Instant::now();
                if args.once && open == 0 {
                    break;
                }
            }
            Err(error) if is_fatal(&error) || last_success.elapsed() > PATIENCE => {
                return Err(error);
            }
            Err(error) => warn!(error = format!("{error:#}"), "a call failed; trying again"),
        }
        tokio::select! {
            () = stopping::requested(&mut stop) => {}
            () = sleep(args.poll) => {}
        }
    }
    Ok(())
}

/// The account has refused the program.
#[derive(Debug, thiserror::Error)]
#[error(
    "Snowpipe refuses {call} with {status}: {body}; check the pipe's name and the role's rights (OPERATE and MONITOR on it)"
)]
struct Refused {
    call: String,
    status: StatusCode,
    body: String,
}

fn is_fatal(error: &anyhow::Error) -> bool {
    let is_permanent = |error: &snowpipe_streaming::Error| !error.is_retryable();
    error.is::<Refused>() || error.downcast_ref().is_some_and(is_permanent)
}

impl Snowpipe {
    /// Takes, submits and asks once. Returns how many objects were not reported yet.
    async fn round(&mut self, bucket: &Bucket, history: &History) -> Result<usize> {
        list(bucket, history).await?;
        loop {
            let new = history.waiting(false, FILES).await?;
            if new.is_empty() {
                break;
            }
            self.submit(history, &new).await?;
        }
        let open = history.waiting(true, FILES).await?;
        if open.is_empty() {
            return Ok(0);
        }
        let report = match &self.mark {
            Some(mark) => self.get(&format!("insertReport?beginMark={mark}")).await?,
            None => self.get("insertReport").await?,
        };
        let Report {
            files,
            next_begin_mark,
        } = report;
        note(history, files).await?;
        self.mark = next_begin_mark.or(self.mark.take());

        let now = now()?;
        let is_old = |taken: &&Taken| {
            taken
                .submitted
                .is_some_and(|at| at + UNREPORTED.as_secs() < now)
        };
        let open = history.waiting(true, FILES).await?;
        if let Some(since) = open
            .iter()
            .filter(is_old)
            .filter_map(|taken| taken.submitted)
            .min()
        {
            let since = rfc3339(since);
            let scan = format!("loadHistoryScan?startTimeInclusive={since}");
            let Report { files, .. } = self.get(&scan).await?;
            note(history, files).await?;
            let mut lost = history.waiting(true, FILES).await?;
            lost.retain(|taken| is_old(&taken));
            if !lost.is_empty() {
                warn!(
                    count = lost.len(),
                    "objects were not reported in time; submitting them again"
                );
                self.submit(history, &lost).await?;
            }
        }
        Ok(open.len())
    }

    async fn submit(&self, history: &History, taken: &[Taken]) -> Result<()> {
        let files: Vec<_> = taken
            .iter()
            .map(|taken| json!({ "path": relative(&taken.key), "size": taken.size }))
            .collect();
        let body = serde_json::to_vec(&json!({ "files": files }))?;
        let call = format!(
            "insertFiles?requestId={}",
            Uuid::from_u128(fastrand::u128(..))
        );
        let _: serde::de::IgnoredAny = self.call(Method::POST, &call, body).await?;
        info!(count = files.len(), "submitted objects");
        let numbers = taken.iter().map(|taken| taken.number).collect();
        history.submitted(numbers, now()?).await
    }

    async fn get(&self, call: &str) -> Result<Report> {
        self.call(Method::GET, call, Vec::new()).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        call: &str,
        body: Vec<u8>,
    ) -> Result<T> {
        let bearer = self.login.bearer().await?;
        let mut request = Request::new(body.into());
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}{call}", self.url)
            .parse()
            .context("the pipe's name is not fit for a URL")?;
        let token = format!("Bearer {}", bearer.token().expose());
        let headers = request.headers_mut();
        let mut token: snowpipe_streaming::transport::http::HeaderValue = token
            .parse()
            .map_err(|_| anyhow!("the credential's token is not fit for a header"))?;
        token.set_sensitive(true);
        headers.insert("authorization", token);
        headers.insert(
            "x-snowflake-authorization-token-type",
            bearer.token_type().parse()?,
        );
        headers.insert("content-type", "application/json".parse()?);
        headers.insert("accept", "application/json".parse()?);
        let answer = timeout(CALL_TIMEOUT, self.transport.call(request));
        let Ok(answer) = answer.await else {
            bail!("Snowpipe has not answered {call} within {CALL_TIMEOUT:?}");
        };
        let answer = answer.with_context(|| format!("cannot call {call}"))?;
        let status = answer.status();
        if status.is_success() {
            return serde_json::from_slice(answer.body())
                .with_context(|| format!("the answer to {call} cannot be understood"));
        }
        let call = call.split('?').next().unwrap_or_default().to_owned();
        let body: String = String::from_utf8_lossy(answer.body())
            .chars()
            .take(300)
            .collect();
        if status.is_client_error() && !matches!(status.as_u16(), 408 | 429) {
            return Err(Refused { call, status, body }.into());
        }
        bail!("Snowpipe answers {call} with {status}: {body}")
    }
}

/// Stores what was reported.
async fn note(history: &History, files: Vec<Loaded>) -> Result<()> {
    for file in files.into_iter().filter(|file| file.complete) {
        let name = relative(&file.path);
        let Some(taken) = history.reported(format!("{PREFIX}{name}")).await? else {
            continue;
        };
        if file.status == "LOADED" {
            history
                .read(taken.number, taken.etag.clone(), file.rows_inserted)
                .await?;
        } else {
            let why = file
                .first_error
                .unwrap_or_else(|| "no reason was reported".to_owned());
            let reason = format!("{}: {why}", file.status);
            warn!(key = taken.key, reason, "an object is not loaded");
            history.refuse(taken.number, reason).await?;
        }
    }
    Ok(())
}

fn relative(key: &str) -> &str {
    key.strip_prefix(PREFIX).unwrap_or(key)
}

fn now() -> Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Ok(now.context("the clock is before 1970")?.as_secs())
}

/// A time in seconds since 1970, as `2026-01-31T08:00:00Z`.
fn rfc3339(seconds: u64) -> String {
    let time = i64::try_from(seconds).unwrap_or(i64::MAX);
    aws_sdk_kinesis::primitives::DateTime::from_secs(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::Listed;

    #[tokio::test]
    async fn a_report_concerns_any_of_the_submitted_objects() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("loads.db");
        let history = History::open(&path, "bucket", "pipe").await.unwrap();
        let count = FILES as u64 + 1;
        let listed = |number: u64| Listed {
            key: format!("{PREFIX}{number}.csv"),
            etag: "x".to_owned(),
            size: 1,
        };
        let taken = (1..=count).map(listed).collect();
        history.take(taken).await.unwrap();
        history.submitted((1..=count).collect(), 1).await.unwrap();
        let loaded = |path: String| Loaded {
            path,
            status: "LOADED".to_owned(),
            rows_inserted: 3,
            first_error: None,
            complete: true,
        };
        let files = vec![
            loaded(format!("{count}.csv")),
            loaded(format!("{PREFIX}1.csv")),
        ];
        note(&history, files).await.unwrap();
        assert_eq!(history.counts().await.unwrap().rows, 6);
    }
}
