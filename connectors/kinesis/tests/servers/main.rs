//! The programs on kinesalite and moto, which `run.sh` installs and starts: `servers KINESIS_URL S3_URL`.

#[path = "../it/scenarios.rs"]
mod scenarios;
#[path = "../it/world.rs"]
#[allow(dead_code, reason = "the tests use a part of it")]
mod world;

use std::env;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use aws_sdk_kinesis::Client;
use bytes::Bytes;
use tempfile::TempDir;
use tokio::time::sleep;

use self::world::{STREAM, World};
use snowpipe_kinesis::bucket::{Bucket, BucketName, Changed};
use snowpipe_kinesis::stream;

/// The servers, and how many worlds they had.
struct Servers {
    kinesis: String,
    s3: String,
    worlds: usize,
}

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let [kinesis, s3] = arguments.as_slice() else {
        bail!("usage: servers KINESIS_URL S3_URL; see run.sh");
    };
    let mut servers = Servers {
        kinesis: kinesis.clone(),
        s3: s3.clone(),
        worlds: 0,
    };
    let runtime = tokio::runtime::Runtime::new()?;
    // The bucket of this process is read from the environment, as those of its programs are.
    ensure!(
        env::var("AWS_ENDPOINT_URL_S3").as_deref() == Ok(s3),
        "set AWS_ENDPOINT_URL_S3 to {s3}"
    );
    runtime.block_on(servers.run())
}

impl Servers {
    async fn run(&mut self) -> Result<()> {
        scenarios::batches_of_a_hundred(self.world(1).await?).await?;
        println!("batches of a hundred: ok");
        scenarios::shards_come_and_go(self.world(2).await?).await?;
        println!("shards that come and go: ok");
        scenarios::odd_records(self.world(1).await?).await?;
        println!("odd records: ok");
        conditions(&self.world(1).await?.bucket).await?;
        println!("checkpoints in S3: ok");
        let seeds = env::var("KINESIS_SEEDS")
            .ok()
            .and_then(|seeds| seeds.parse().ok());
        for seed in 1..=seeds.unwrap_or(2_u64) {
            scenarios::killed_at_random(self.world(2).await?, seed, 4).await?;
            println!("seed {seed}, four kills: ok");
        }
        Ok(())
    }

    /// A new stream and a new bucket.
    async fn world(&mut self, shards: i32) -> Result<World> {
        self.worlds += 1;
        let kinesis = Client::new(&stream::local(&self.kinesis).await);
        if self.worlds > 1 {
            let deleted = kinesis.delete_stream().stream_name(STREAM).send().await;
            deleted.context("the stream cannot be deleted")?;
            while kinesis
                .describe_stream_summary()
                .stream_name(STREAM)
                .send()
                .await
                .is_ok()
            {
                sleep(Duration::from_millis(50)).await;
            }
        }
        let create = kinesis
            .create_stream()
            .stream_name(STREAM)
            .shard_count(shards);
        create.send().await.context("no stream")?;
        let is_active = async || {
            let call = kinesis.describe_stream_summary().stream_name(STREAM);
            let answer = call.send().await.context("no stream")?;
            let summary = answer
                .stream_description_summary
                .context("no description")?;
            anyhow::Ok(summary.stream_status.as_str() == "ACTIVE")
        };
        while !is_active().await? {
            sleep(Duration::from_millis(50)).await;
        }
        let bucket = format!("raw-{}-{}", std::process::id(), self.worlds);
        let config = aws_sdk_s3::config::Builder::from(&stream::local(&self.s3).await);
        let s3 = aws_sdk_s3::Client::from_conf(config.force_path_style(true).build());
        s3.create_bucket()
            .bucket(&bucket)
            .send()
            .await
            .context("no bucket")?;
        let environment = [
            ("AWS_ENDPOINT_URL_KINESIS", &*self.kinesis),
            ("AWS_ENDPOINT_URL_S3", &*self.s3),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("AWS_REGION", "us-east-1"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let bucket = format!("s3://{bucket}");
        World::on(
            TempDir::new()?,
            &self.kinesis,
            environment.into(),
            bucket,
            None,
        )
        .await
    }
}

/// What the checkpoints need of S3, and lists of more than a page.
async fn conditions(bucket: &Bucket) -> Result<()> {
    let put = |etag: Option<String>, text: &'static str| async move {
        let replaced = bucket.replace("state", etag.as_deref(), Bytes::from(text));
        anyhow::Ok(replaced.await?)
    };
    let first = put(None, "1").await?;
    let Ok(first) = first else {
        bail!("a new object was refused")
    };
    ensure!(
        put(None, "2").await? == Err(Changed),
        "an object was created twice"
    );
    ensure!(
        put(Some("\"0\"".to_owned()), "2").await? == Err(Changed),
        "an object was replaced without its tag"
    );
    ensure!(
        put(Some(first), "2").await?.is_ok(),
        "an object was not replaced"
    );
    let object = bucket.get("state").await?.context("no object")?;
    ensure!(object.bytes == "2", "{object:?}");
    ensure!(
        bucket.get("other").await?.is_none(),
        "an object that does not exist"
    );
    for number in 0..1_005 {
        bucket
            .put(&format!("many/{number:04}"), Bytes::from_static(b"x"))
            .await?;
    }
    let mut count = 0;
    let mut next = None;
    loop {
        let page = bucket.list("many/", next.take()).await?;
        count += page.objects.len();
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    ensure!(count == 1_005, "{count} objects in the list");
    let name: BucketName = "s3://does-not-exist".parse().map_err(anyhow::Error::msg)?;
    let missing = Bucket::open(&name).await?.list("", None).await;
    ensure!(
        missing.is_err_and(|error| format!("{error:#}").contains("does-not-exist")),
        "no error"
    );
    Ok(())
}
