//! Puts records into the stream.

use std::time::Duration;

use anyhow::{Result, bail};
use bytes::Bytes;
use fastrand::Rng;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::warn;

use crate::cli::ProduceArgs;
use crate::say::say;
use crate::sensor::Measurement;
use crate::stopping;
use crate::stream::{self, Stream, StreamError};

/// `PutRecords` takes at most so many.
const PUT: usize = 500;
/// How often records are put in a second.
const PUTS_PER_SECOND: u64 = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_secs(1);
/// How long Kinesis may refuse a record.
const PATIENCE: Duration = Duration::from_mins(2);

/// Puts random measurements. Returns `true`: all of them are in the stream, or the program was asked to end.
///
/// # Errors
/// If Kinesis refuses them.
pub(crate) async fn run(args: &ProduceArgs, mut stop: watch::Receiver<bool>) -> Result<bool> {
    let stream = Stream::new(&stream::config().await, &*args.stream);
    let mut rng = Rng::with_seed(args.seed);
    let mut interval = interval(Duration::from_millis(1_000 / PUTS_PER_SECOND));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut put, mut sent_twice, mut owed) = (0, 0, 0);
    while put < args.records {
        tokio::select! {
            biased;
            () = stopping::requested(&mut stop) => break,
            _ = interval.tick() => {}
        }
        owed += args.rate;
        let count = (owed / PUTS_PER_SECOND).min(args.records - put);
        owed %= PUTS_PER_SECOND;
        let records = (0..count).map(|_| Measurement::random(&mut rng).encode());
        sent_twice += all(&stream, records.collect()).await?;
        put += count;
    }
    say(format_args!("{put} measurements put"));
    if sent_twice > 0 {
        say(format_args!(
            "{sent_twice} of them were sent again after a call without an answer, and may be in the stream twice"
        ));
    }
    Ok(true)
}

/// Puts all of these records. Those that Kinesis refuses are sent again, so their order may change. Returns how many were sent
/// again although they may be in the stream already.
///
/// # Errors
/// If Kinesis refuses a record for two minutes.
pub(crate) async fn all(stream: &Stream, mut records: Vec<(String, Bytes)>) -> Result<usize> {
    let mut pause = FIRST_PAUSE;
    let mut last_success = Instant::now();
    let mut sent_twice = 0;
    while !records.is_empty() {
        let rest = records.split_off(records.len().min(PUT));
        let why = match stream.put(&records).await {
            Ok(refused) => {
                let why = refused.iter().flatten().next().cloned();
                let count = records.len();
                let mut refused = refused.into_iter();
                records.retain(|_| refused.next().flatten().is_some());
                if records.len() < count {
                    last_success = Instant::now();
                }
                why
            }
            Err(error) if error.is_fatal() => return Err(error.into()),
            Err(error @ StreamError::Failed { .. }) => {
                sent_twice += records.len();
                Some(error.to_string())
            }
            Err(error) => Some(error.to_string()),
        };
        records.extend(rest);
        let Some(why) = why else {
            pause = FIRST_PAUSE;
            continue;
        };
        if last_success.elapsed() > PATIENCE {
            bail!("{} records are not in the stream: {why}", records.len());
        }
        // At the limit of a shard it is usual that a part is refused.
        if pause > SOON {
            warn!(
                why,
                count = records.len(),
                "records were not put; trying again"
            );
        }
        sleep(pause.mul_f64(1.0 + fastrand::f64() / 4.0)).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
    Ok(sent_twice)
}
