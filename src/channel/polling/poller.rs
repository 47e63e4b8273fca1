//! The status poller: one bulk call for all channels of a client, only as often as pending commits require.
//!
//! The burst of calls is reserved for rows that come alone and for the last rows of a channel that closes; a steady stream uses
//! the surplus. The poller notes the epoch of a channel when it asks, and drops an answer to a question from before a reopen.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tracing::{Span, debug, error_span};

use super::estimator::LatencyEstimator;
use super::throttle::Throttle;
use super::timer::PollTimer;
use super::timer::{CommitSample, HEARTBEAT, PollInterest};
use crate::api::call::Attempt;
use crate::api::failure::Failure;
use crate::api::wire::MAX_CHANNELS;
use crate::base::retry::Bucket;
use crate::base::task::reached;
use crate::channel::registry::{Closing, Registry};
use crate::channel::shared::Shared;
use crate::types::error::{Error, ErrorKind};

/// Polls per second.
const RATE: f64 = 2.0;
/// How many polls may follow each other at once after a pause.
const BURST: f64 = 5.0;
/// The timeout of a status call.
const DEADLINE: Duration = Duration::from_secs(15);

/// Starts the poller with this number on a runtime. It runs until the client is closed, its last handle and channel are dropped, or
/// another poller has its turn.
pub(crate) fn start(registry: &Arc<Registry>, runtime: &Handle, number: u64) {
    let timer = Arc::clone(registry.poll_timer());
    let moved = timer.new_waiter();
    let closing = Arc::clone(registry.closing());
    let turn = Turn {
        registry: Arc::downgrade(registry),
        number,
    };
    runtime.spawn(async move { run(&turn, &timer, &moved, &closing).await });
}

/// Whatever stops the poller, its channels learn of it: they start another one, unless a call has panicked, which ends them.
struct Turn {
    registry: Weak<Registry>,
    number: u64,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.poller_stopped(self.number, std::thread::panicking());
        }
    }
}

async fn run(turn: &Turn, timer: &PollTimer, moved: &Notify, closing: &Closing) {
    let mut bucket = Bucket::new(Instant::now(), RATE, BURST);
    // Lowered when the server accepts fewer channels in one call.
    let mut chunk = MAX_CHANNELS;
    let mut throttle = Throttle::default();
    loop {
        let at = timer.due().map(|due| {
            let now = Instant::now();
            let earliest = bucket.ready_at(now, BURST).max(due.earliest);
            throttle.delay(earliest.min(bucket.ready_at(now, 1.0).max(due.latest)))
        });
        tokio::select! {
            biased;
            () = closing.closed() => return,
            () = moved.notified() => {}
            () = reached(at) => {}
        }
        let Some(registry) = turn.registry.upgrade() else {
            return;
        };
        if !registry.poll_turn().is_of(turn.number) {
            return;
        }
        if at.is_none_or(|at| Instant::now() < at) {
            continue;
        }
        let estimator = timer.take();
        let asked = due(registry.channels(), estimator, Instant::now());
        for some in asked.chunks(chunk.max(1)) {
            let asked = Instant::now();
            bucket.take(asked, 1);
            let poll = ask(&registry, turn.number, some);
            let outcome = tokio::select! {
                biased;
                () = closing.closed() => return,
                outcome = poll => outcome,
            };
            match outcome {
                Outcome::Answered => throttle.answered(),
                Outcome::Missed => throttle.missed(asked),
                Outcome::Delayed(after) => {
                    throttle.throttled(
                        asked,
                        Instant::now(),
                        after,
                        registry.context.options.retry_for,
                    );
                    break;
                }
                Outcome::TooMany => {
                    chunk = (some.len() / 2).max(1);
                    debug!(chunk, "the server wants fewer channels in one status call");
                    break;
                }
            }
        }
        if !registry.poll_turn().is_of(turn.number) {
            return;
        }
        let channels = registry.channels();
        timer.set_all(
            channels
                .iter()
                .map(|channel| channel.core().poll_interest()),
        );
    }
}

/// The channels to include in the next status call. If one channel is due, all that wait for a commit are included. If an
/// idle channel is due, so are all idle channels that will be due soon: they synchronize, and one call serves them all.
fn due(channels: Vec<Arc<Shared>>, estimator: LatencyEstimator, now: Instant) -> Vec<Arc<Shared>> {
    let (mut waiting, mut idle) = (Vec::new(), Vec::new());
    let (mut is_due, mut is_idle_due) = (false, false);
    for channel in channels {
        let interest = channel.core().poll_interest();
        match interest {
            PollInterest::Nothing => {}
            PollInterest::Heartbeat(at) => {
                is_idle_due |= at <= now;
                if at <= now + HEARTBEAT / 2 {
                    idle.push(channel);
                }
            }
            PollInterest::At(_) | PollInterest::Commit { .. } => {
                is_due |= estimator
                    .due(interest)
                    .is_some_and(|due| due.earliest <= now);
                waiting.push(channel);
            }
        }
    }
    if !is_due && !is_idle_due {
        waiting.clear();
    }
    if is_idle_due {
        waiting.append(&mut idle);
    }
    waiting
}

/// The outcome of one call.
enum Outcome {
    Answered,
    Missed,
    /// The server asks for this delay.
    Delayed(Duration),
    /// The call named more channels than the server accepts in one.
    TooMany,
}

/// Makes one call and passes its answer to the channels.
async fn ask(registry: &Registry, number: u64, channels: &[Arc<Shared>]) -> Outcome {
    let names: Vec<String> = channels.iter().map(|c| c.name.clone()).collect();
    let now = Instant::now();
    let epochs: Vec<u64> = channels.iter().map(|c| c.core().asked(now)).collect();
    let attempt = Attempt {
        request_id: registry.context.request_id(),
        retry_count: 0,
    };
    let answer = timeout(
        DEADLINE,
        registry.context.api.channel_statuses(&names, attempt),
    )
    .await;
    if !registry.poll_turn().is_of(number) {
        // Another poller has asked since, and the channels would take this answer for one to its question.
        return Outcome::Missed;
    }
    match answer {
        Ok(Ok(statuses)) => {
            let mut seen: Option<CommitSample> = None;
            for (channel, epoch) in channels.iter().zip(epochs) {
                let status = statuses.get(&channel.name);
                let _named = span(channel).entered();
                let sample = channel.update_and_wake(|core, now| {
                    let is_current = core.epoch() == epoch;
                    is_current.then(|| core.on_status(now, status)).flatten()
                });
                // The samples of one answer count as one. The one with the latest missed poll is the most precise.
                seen = seen.into_iter().chain(sample).max_by_key(|s| s.missed);
            }
            if let Some(sample) = seen {
                registry.poll_timer().learn(sample);
            }
            Outcome::Answered
        }
        Ok(Err(failure)) if is_too_many(&failure) && channels.len() > 1 => Outcome::TooMany,
        Ok(Err(failure)) => {
            debug!(error = %failure.error(), "status call failed");
            missed(channels, failure.error());
            failure
                .asked_delay()
                .map_or(Outcome::Missed, Outcome::Delayed)
        }
        Err(_) => {
            debug!("status call timed out");
            let text = format!("the status call had no answer within {DEADLINE:?}");
            missed(channels, &Error::new(ErrorKind::Timeout, text));
            Outcome::Missed
        }
    }
}

fn missed(channels: &[Arc<Shared>], why: &Error) {
    for channel in channels {
        let _named = span(channel).entered();
        channel.update_and_wake(|core, now| core.on_status_failed(now, why));
    }
}

/// Names the channel in log lines, which no other span does here.
fn span(channel: &Shared) -> Span {
    error_span!("channel", name = %channel.name)
}

fn is_too_many(failure: &Failure) -> bool {
    failure
        .code()
        .is_some_and(|code| code.contains("TOO_MANY_CHANNELS"))
}
