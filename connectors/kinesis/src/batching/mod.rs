//! The micro-batch path, first half: from the stream to CSV objects in a bucket.

mod checkpoint;
mod writer;

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{error, warn};

use self::checkpoint::Checkpoint;
use self::writer::{Ended, Lost, Writer};
use crate::bucket::Bucket;
use crate::cli::BatchArgs;
use crate::cursor::Cursor;
use crate::discovery::{Discovery, Elsewhere};
use crate::letters::Kept;
use crate::say::say;
use crate::stopping;
use crate::stream::{self, Shard, Stream, StreamError, Summary};

/// The first and the longest pause after a failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The checkpoints of all programs.
struct Checkpoints {
    bucket: Bucket,
    stream: String,
}

impl Elsewhere for Checkpoints {
    async fn is_done(&self, shard: &Shard) -> Result<bool> {
        let key = Checkpoint::key(&self.stream, &shard.id);
        let checkpoint = Checkpoint::load(self.bucket.clone(), key).await?;
        Ok(checkpoint.decided.is_done)
    }
}

/// Writes objects until `stop` is true. Returns whether no shard has failed.
///
/// # Errors
/// If the stream or the bucket cannot be used.
pub(crate) async fn run(args: &BatchArgs, mut stop: watch::Receiver<bool>) -> Result<bool> {
    let stream = Stream::new(&stream::config().await, &*args.stream.stream);
    let Summary { created, .. } = stream.summary().await?;
    let bucket = Bucket::open(&args.bucket.bucket).await?;
    let name = format!("{}@{created}", stream.name());
    let letters = args.stream.letters()?;
    let checkpoints = Checkpoints {
        bucket: bucket.clone(),
        stream: name.clone(),
    };
    let (mut discovery, finish) = Discovery::new(stream.clone(), args.stream.worker, checkpoints);
    let mut shards = JoinSet::new();
    let mut is_in_order = true;
    let mut pause = FIRST_PAUSE;
    while !*stop.borrow() {
        tokio::select! {
            biased;
            () = stopping::requested(&mut stop) => {}
            Some(ended) = shards.join_next() => is_in_order &= is_fine(ended),
            ready = discovery.next() => match ready {
                Ok(ready) => for shard in ready {
                    let writer = Writer {
                        cursor: Cursor::new(
                            stream.clone(),
                            &*shard,
                            args.stream.readers,
                            args.stream.on_gap,
                        ),
                        bucket: bucket.clone(),
                        stream: name.clone(),
                        shard,
                        letters: letters.clone(),
                        on_gap: args.stream.on_gap,
                        window: args.window,
                        kept: Kept::default(),
                        objects: 0,
                    };
                    shards.spawn(shard_to_objects(writer, stop.clone(), finish.clone()));
                    pause = FIRST_PAUSE;
                },
                Err(error) if error.is_fatal() => return Err(error.into()),
                Err(error) => {
                    warn!(%error, ?pause, "the shards cannot be listed; trying again");
                    wait(&mut stop, &mut pause).await;
                }
            }
        }
    }
    while let Some(ended) = shards.join_next().await {
        is_in_order &= is_fine(ended);
    }
    Ok(is_in_order)
}

/// Writes a shard, and tries again after a failure. Returns what a repetition cannot help.
async fn shard_to_objects(
    mut writer: Writer,
    mut stop: watch::Receiver<bool>,
    finish: mpsc::UnboundedSender<String>,
) -> Result<()> {
    let mut pause = FIRST_PAUSE;
    say(format_args!("{} begun", writer.shard));
    loop {
        let objects = writer.objects;
        let error = match writer.run(&mut stop).await {
            Ok(ended) => {
                let Writer { shard, objects, .. } = writer;
                let how = match ended {
                    Ended::Done => "done",
                    Ended::Stopped => "stopped",
                };
                say(format_args!("{shard} {how}, {objects} objects written"));
                if ended == Ended::Done {
                    // Without a receiver the program ends.
                    let _ = finish.send(shard);
                }
                return Ok(());
            }
            Err(error) => error,
        };
        let is_fatal =
            error.is::<Lost>() || error.downcast_ref().is_some_and(StreamError::is_fatal);
        if is_fatal || *stop.borrow() {
            return Err(error).with_context(|| format!("the shard {}", writer.shard));
        }
        if writer.objects > objects {
            pause = FIRST_PAUSE;
        }
        warn!(
            shard = writer.shard,
            error = format!("{error:#}"),
            ?pause,
            "the shard failed; trying again"
        );
        wait(&mut stop, &mut pause).await;
    }
}

/// Pauses for longer each time, or until the program is asked to stop.
async fn wait(stop: &mut watch::Receiver<bool>, pause: &mut Duration) {
    tokio::select! {
        () = sleep(pause.mul_f64(1.0 + fastrand::f64() / 4.0)) => {}
        () = stopping::requested(stop) => {}
    }
    *pause = LONGEST_PAUSE.min(*pause * 2);
}

fn is_fine(ended: Result<Result<()>, tokio::task::JoinError>) -> bool {
    let error = match ended {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => error,
        Err(error) => error.into(),
    };
    error!(
        error = format!("{error:#}"),
        "a shard is not written any more"
    );
    false
}
