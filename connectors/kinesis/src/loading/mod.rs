//! The micro-batch path, second half: from the objects of the bucket to a table, each object once.

mod history;
mod snowpipe;
mod source;

use anyhow::{Context as _, Result};
use snowpipe_streaming::{PipePath, ingest};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::warn;

use self::history::{Counts, History};
use self::source::Objects;
use crate::bucket::{Bucket, BucketName};
use crate::cli::{self, LoadArgs};
use crate::say::say;
use crate::{stopping, streaming};

/// The objects of the micro-batch path.
const PREFIX: &str = "kinesiscsv/";

/// Loads until `stop` is true, or what is there. Returns whether every object could be loaded.
///
/// # Errors
/// If the bucket, the history or the account cannot be used.
pub(crate) async fn run(args: LoadArgs, stop: watch::Receiver<bool>) -> Result<bool> {
    let bucket = Bucket::open(&args.bucket.bucket).await?;
    let place = match &args.bucket.bucket {
        BucketName::Folder(path) => {
            let path = path.canonicalize();
            path.context("the folder of the bucket is gone")?
                .display()
                .to_string()
        }
        BucketName::S3(name) => format!("s3://{name}"),
    };
    let (target, kind) = match (&args.snowpipe, &args.table) {
        (Some(pipe), _) => (pipe, "the pipe"),
        (None, Some(table)) => (table, "the table"),
        (None, None) => anyhow::bail!("give --table or --snowpipe"),
    };
    cli::create_parent(&args.history)?;
    let name = full_name(target);
    let name = match args.snowpipe {
        Some(_) => format!("{kind} {name}"),
        None => format!("{kind} {name} with the channel {}", args.source_id),
    };
    let history = History::open(&args.history, &place, &name).await?;
    say(format_args!("{place} is loaded into {name}"));
    if args.snowpipe.is_some() {
        snowpipe::run(&args, target, &bucket, &history, stop).await?;
    } else {
        stream(&args, target, bucket, history.clone(), stop).await?;
    }
    let Counts {
        taken,
        rows,
        changed,
        refused,
    } = history.counts().await?;
    say(format_args!(
        "{taken} objects taken, {rows} rows, {changed} changed later, {refused} refused"
    ));
    Ok(refused == 0)
}

/// Streams the rows of the objects.
async fn stream(
    args: &LoadArgs,
    table: &PipePath,
    bucket: Bucket,
    history: History,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let client = streaming::client(&args.target, table).await?;
    let mut objects = Objects {
        bucket,
        history,
        letters: cli::letters(&args.dead_letters)?,
        poll: args.poll,
        once: args.once,
        next_list: Instant::now(),
        current: None,
    };
    ingest::run(&client, &args.source_id, &mut objects)
        .until(async move { stopping::requested(&mut stop).await })
        .await?;
    client
        .close()
        .await
        .context("the client cannot be closed")?;
    Ok(())
}

/// Takes the new objects of the bucket.
///
/// # Errors
/// If the bucket cannot be listed or the history cannot be written.
async fn list(bucket: &Bucket, history: &History) -> Result<()> {
    let mut next = None;
    loop {
        let page = bucket.list(PREFIX, next.take()).await?;
        for key in history.take(page.objects).await? {
            warn!(
                key,
                "the object has changed since it was taken; it is not loaded again"
            );
        }
        next = page.next;
        if next.is_none() {
            return Ok(());
        }
    }
}

fn full_name(path: &PipePath) -> String {
    format!("{}.{}.{}", path.database(), path.schema(), path.pipe())
}
