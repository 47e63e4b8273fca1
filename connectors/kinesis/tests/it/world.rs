//! A stream, a bucket and tables, and the programs on them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aws_sdk_kinesis::Client;
use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

use snowpipe_kinesis::bucket::{Bucket, BucketName, Listed};
use snowpipe_kinesis::csv;
use snowpipe_kinesis::demo::landing::{Landing, MICROBATCH, STREAMING};
use snowpipe_kinesis::demo::process::Process;
use snowpipe_kinesis::demo::server::{Faults, Server};
use snowpipe_kinesis::sensor::Measurement;
use snowpipe_kinesis::stream::{self, Stream};

pub(crate) const STREAM: &str = "sensors";
const ITERATOR_LIFE: Duration = Duration::from_mins(5);

pub(crate) struct World {
    pub(crate) landing: Landing,
    /// The stream in this process, if it is not another server's.
    pub(crate) server: Option<Server>,
    pub(crate) stream: Stream,
    client: Client,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) bucket: Bucket,
    bucket_name: String,
    folder: TempDir,
    profile: PathBuf,
    /// What was put, malformed records excluded.
    pub(crate) put: Vec<Measurement>,
    rng: fastrand::Rng,
}

impl World {
    pub(crate) async fn new(shards: usize) -> Result<Self> {
        Self::with(shards, ITERATOR_LIFE, None).await
    }

    pub(crate) async fn with(
        shards: usize,
        iterator_life: Duration,
        faults: Option<Faults>,
    ) -> Result<Self> {
        let server = Server::start(STREAM, shards, iterator_life, faults).await?;
        let folder = TempDir::new()?;
        let bucket = folder.path().join("bucket").display().to_string();
        let (url, environment) = (server.url().to_owned(), server.environment());
        Self::on(folder, &url, environment, bucket, Some(server)).await
    }

    /// On other servers.
    pub(crate) async fn on(
        folder: TempDir,
        kinesis: &str,
        environment: Vec<(String, String)>,
        bucket_name: String,
        server: Option<Server>,
    ) -> Result<Self> {
        let landing = Landing::start(Some(&folder.path().join("landing.db"))).await?;
        let config = stream::local(kinesis).await;
        let name: BucketName = bucket_name.parse().map_err(anyhow::Error::msg)?;
        Ok(Self {
            stream: Stream::new(&config, STREAM),
            client: Client::new(&config),
            server,
            environment,
            bucket: Bucket::open(&name).await?,
            bucket_name,
            profile: landing.write_profile(folder.path())?,
            landing,
            folder,
            put: Vec::new(),
            rng: fastrand::Rng::with_seed(1),
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts records, and those that were refused again.
    pub(crate) async fn put_records(&mut self, records: Vec<(String, Bytes)>) -> Result<()> {
        let mut rest = records;
        while !rest.is_empty() {
            let later = rest.split_off(rest.len().min(500));
            let refused = self.stream.put(&rest).await?;
            let mut refused = refused.into_iter();
            rest.retain(|_| refused.next().flatten().is_some());
            if !rest.is_empty() {
                // What a shard takes in a tenth of a second.
                sleep(Duration::from_millis(100)).await;
            }
            rest.extend(later);
        }
        Ok(())
    }

    /// Puts random measurements.
    pub(crate) async fn put(&mut self, count: usize) -> Result<()> {
        let measurements: Vec<_> = (0..count)
            .map(|_| Measurement::random(&mut self.rng))
            .collect();
        self.put_these(measurements).await
    }

    pub(crate) async fn put_these(&mut self, measurements: Vec<Measurement>) -> Result<()> {
        let records = measurements.iter().map(Measurement::encode).collect();
        self.put_records(records).await?;
        self.put.extend(measurements);
        Ok(())
    }

    /// Splits the open shard with the widest range in the middle.
    pub(crate) async fn split(&self) -> Result<()> {
        let mut open = self.open_shards().await?;
        open.sort_by_key(|(_, begin, end)| end - begin);
        let (shard, begin, end) = open.pop().context("no open shard")?;
        let call = self
            .client
            .split_shard()
            .stream_name(STREAM)
            .shard_to_split(shard);
        let at = begin / 2 + end / 2;
        call.new_starting_hash_key(at.to_string())
            .send()
            .await
            .context("no split")?;
        self.is_active().await
    }

    /// Merges the first two open shards.
    pub(crate) async fn merge(&self) -> Result<()> {
        let mut open = self.open_shards().await?;
        open.sort_by_key(|(_, begin, _)| *begin);
        let [(first, ..), (second, ..), ..] = open.as_slice() else {
            return Ok(());
        };
        let call = self.client.merge_shards().stream_name(STREAM);
        let call = call.shard_to_merge(first).adjacent_shard_to_merge(second);
        call.send().await.context("no merge")?;
        self.is_active().await
    }

    async fn is_active(&self) -> Result<()> {
        for _ in 0..300 {
            let call = self.client.describe_stream_summary().stream_name(STREAM);
            let answer = call.send().await;
            let summary = answer
                .ok()
                .and_then(|answer| answer.stream_description_summary);
            if summary.is_some_and(|summary| summary.stream_status.as_str() == "ACTIVE") {
                return Ok(());
            }
            sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!("the stream does not become active")
    }

    async fn open_shards(&self) -> Result<Vec<(String, u128, u128)>> {
        let mut open = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let call = self.client.list_shards();
            let call = match next.take() {
                Some(token) => call.next_token(token),
                None => call.stream_name(STREAM),
            };
            let answer = call.send().await.context("no list")?;
            for shard in answer.shards() {
                let range = shard.hash_key_range().context("no range")?;
                let sequences = shard.sequence_number_range().context("no range")?;
                if sequences.ending_sequence_number().is_none() {
                    let (begin, end) = (range.starting_hash_key(), range.ending_hash_key());
                    open.push((shard.shard_id().to_owned(), begin.parse()?, end.parse()?));
                }
            }
            next = answer.next_token().map(str::to_owned);
            if next.is_none() {
                return Ok(open);
            }
        }
    }

    pub(crate) fn program(&self, arguments: &[&str]) -> Result<Process> {
        self.start(&[], arguments)
    }

    fn start(&self, arguments: &[String], more: &[&str]) -> Result<Process> {
        let more = more.iter().map(|argument| (*argument).to_owned());
        let arguments: Vec<_> = arguments.iter().cloned().chain(more).collect();
        let program = Path::new(env!("CARGO_BIN_EXE_snowpipe-kinesis"));
        Process::start(program, &arguments, &self.environment)
    }

    fn letters_argument(&self, path: &str) -> String {
        format!(
            "--dead-letters={}",
            self.path(&format!("letters-{path}.ndjson")).display()
        )
    }

    fn profile(&self) -> String {
        format!("--profile={}", self.profile.display())
    }

    pub(crate) fn streaming(&self, more: &[&str]) -> Result<Process> {
        let arguments = [
            "stream".to_owned(),
            format!("--stream={STREAM}"),
            format!("--table={STREAMING}"),
            self.profile(),
            self.letters_argument("stream"),
        ];
        self.start(&arguments, more)
    }

    pub(crate) fn batching(&self, more: &[&str]) -> Result<Process> {
        let arguments = [
            "batch".to_owned(),
            format!("--stream={STREAM}"),
            format!("--bucket={}", self.bucket_name),
            "--window=1".to_owned(),
            self.letters_argument("batch"),
        ];
        self.start(&arguments, more)
    }

    pub(crate) fn loading(&self, more: &[&str]) -> Result<Process> {
        let arguments = [
            "load".to_owned(),
            format!("--bucket={}", self.bucket_name),
            format!("--history={}", self.path("loads.db").display()),
            "--poll=0.5".to_owned(),
            self.profile(),
            self.letters_argument("load"),
        ];
        let is_snowpipe = more
            .iter()
            .any(|argument| argument.starts_with("--snowpipe"));
        let table = format!("--table={MICROBATCH}");
        let mut all: Vec<_> = more.to_vec();
        if !is_snowpipe {
            all.push(&table);
        }
        self.start(&arguments, &all)
    }

    /// Compares both tables with the program. Returns whether they are equal.
    pub(crate) async fn compare(&self) -> Result<bool> {
        let arguments = [
            "compare".to_owned(),
            format!("--landing={}", self.path("landing.db").display()),
            format!("--streaming={STREAMING}"),
            format!("--microbatch={MICROBATCH}"),
        ];
        let ended = self.start(&arguments, &[])?.ended().await?;
        match ended.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => anyhow::bail!("the comparison ended with {ended}"),
        }
    }

    /// Waits until both tables have as many rows as were put.
    pub(crate) async fn have_all(&mut self) -> Result<()> {
        let count = self.put.len();
        self.landing.have_rows(count, count).await
    }

    /// Checks that both tables have exactly what was put.
    pub(crate) fn are_exact(&self) -> Result<()> {
        let mut put = self.put.clone();
        put.sort_unstable();
        for table in [STREAMING, MICROBATCH] {
            let landed = self.landing.measurements(table)?;
            ensure!(
                landed.len() == put.len(),
                "{} of {} in {table}",
                landed.len(),
                put.len()
            );
            ensure!(landed == put, "{table} has other measurements");
        }
        Ok(())
    }

    pub(crate) async fn objects(&self) -> Result<Vec<Listed>> {
        let mut all = Vec::new();
        let mut next = None;
        loop {
            let page = self.bucket.list("kinesiscsv/", next.take()).await?;
            all.extend(page.objects);
            next = page.next;
            if next.is_none() {
                return Ok(all);
            }
        }
    }

    /// The rows of an object.
    pub(crate) async fn object(&self, key: &str) -> Result<Vec<Measurement>> {
        let object = self.bucket.get(key).await?.context("no such object")?;
        csv::read(&object.bytes).map_err(anyhow::Error::msg)
    }

    /// The dead letters of a path by origin and sequence number.
    pub(crate) fn letters(&self, path: &str) -> Result<BTreeMap<(String, String), Value>> {
        let text = std::fs::read_to_string(self.path(&format!("letters-{path}.ndjson")))?;
        let mut letters = BTreeMap::new();
        for line in text.lines() {
            let letter: Value = serde_json::from_str(line)?;
            let field = |name: &str| {
                let field = letter.get(name).and_then(Value::as_str);
                field.map(str::to_owned).context("no field")
            };
            letters.insert((field("origin")?, field("sequence")?), letter.clone());
        }
        Ok(letters)
    }
}
