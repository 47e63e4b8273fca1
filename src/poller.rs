//! The status poller: one bulk call for all channels of a client, as often as their commits need it and no oftener.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use crate::channel::{Core, HEARTBEAT, Shared};
use crate::client::ClientInner;
use crate::retry::Bucket;
use crate::transport::api::{Attempt, Failure};

/// Polls a second, and how many may come at once after a pause.
const RATE: f64 = 2.0;
const BURST: f64 = 5.0;
/// Names in one call, until the server asks for fewer.
const CHUNK: usize = 1000;
/// A status that takes longer is asked for anew.
const DEADLINE: Duration = Duration::from_secs(15);

/// Runs until the client is closed.
pub(crate) async fn run(client: Arc<ClientInner>) {
    let mut bucket = Bucket::new(Instant::now(), RATE, BURST);
    let mut chunk = CHUNK;
    loop {
        let due = client
            .channels()
            .iter()
            .filter_map(|c| c.core().poll_due())
            .min();
        let at = due.map(|due| bucket.ready_at(Instant::now(), 1.0).max(due));
        tokio::select! {
            biased;
            () = client.closed() => return,
            // Something is due at another time than thought: look again.
            () = client.poller_woken() => continue,
            () = async { match at { Some(at) => sleep_until(at).await, None => std::future::pending().await } } => {}
        }
        let now = Instant::now();
        let asked: Vec<_> = client
            .channels()
            .into_iter()
            .filter(|c| wants(c, now))
            .collect();
        for some in asked.chunks(chunk.max(1)) {
            bucket.take(Instant::now(), 1);
            let poll = ask(&client, some);
            let many = tokio::select! {
                biased;
                () = client.closed() => return,
                many = poll => many,
            };
            if many {
                chunk = (some.len() / 2).max(1);
                debug!(chunk, "the server wants fewer channels in one status call");
                break;
            }
        }
    }
}

/// A channel that waits for commits or is due, or an idle one that will be due soon: the idle ones fall into step, and one
/// call serves them all.
fn wants(channel: &Shared, now: Instant) -> bool {
    let core = channel.core();
    core.awaits_commits()
        || core
            .poll_due()
            .is_some_and(|due| due <= now + HEARTBEAT / 2)
}

/// One call. True if it named too many channels.
async fn ask(client: &Arc<ClientInner>, channels: &[Arc<Shared>]) -> bool {
    let names: Vec<String> = channels.iter().map(|c| c.name.clone()).collect();
    let epochs: Vec<u64> = channels.iter().map(|c| c.core().epoch()).collect();
    let attempt = Attempt {
        request_id: client.request_id(),
        retry_count: 0,
    };
    let answer = timeout(DEADLINE, client.api.channel_statuses(&names, attempt)).await;
    match answer {
        Ok(Ok(statuses)) => {
            for (channel, epoch) in channels.iter().zip(epochs) {
                let status = statuses.get(&channel.name);
                channel.update_and_wake(|core, now| {
                    if core.epoch() == epoch {
                        core.on_status(now, status);
                    }
                });
            }
            false
        }
        Ok(Err(failure)) if is_too_many(&failure) && channels.len() > 1 => true,
        Ok(Err(failure)) => {
            debug!(error = %failure.error(), "channel statuses could not be had");
            client.heal_after(&failure);
            missed(channels);
            false
        }
        Err(_) => {
            debug!("channel statuses took too long");
            missed(channels);
            false
        }
    }
}

fn missed(channels: &[Arc<Shared>]) {
    for channel in channels {
        channel.update(Core::on_status_missed);
    }
}

fn is_too_many(failure: &Failure) -> bool {
    failure
        .code()
        .is_some_and(|code| code.contains("TOO_MANY_CHANNELS"))
}
