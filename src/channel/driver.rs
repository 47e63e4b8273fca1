//! The driver: one task a channel that does what the core says, and nothing on its own account.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::{Instant, sleep, sleep_until};
use tracing::{Instrument, debug, error_span};

use super::answers::REFUSALS;
use super::batch::SealedBatch;
use super::open::{self, Opened};
use super::replay::Reopen;
use super::schedule::{Action, Order, Work};
use super::shared::Shared;
use crate::client::ClientInner;
use crate::error::{Error, ErrorKind, Result};
use crate::transport::api::{AppendAnswer, AppendRequest, Attempt, Failure};

/// What a driver waits for.
pub(crate) type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Starts the driver. It ends by itself when the channel has ended, and takes the channel off the client's list.
pub(crate) fn spawn(client: Arc<ClientInner>, shared: Arc<Shared>) {
    // Of warnings and errors too it says whom they are about.
    let span = error_span!("channel", name = %shared.name);
    let driving = Driving { client, shared };
    tokio::spawn(async move { drive(&driving.client, &driving.shared).await }.instrument(span));
}

/// A driver at work. However it stops, a runtime that shuts down or a transport that panics included, nobody is left to
/// wait for it.
struct Driving {
    client: Arc<ClientInner>,
    shared: Arc<Shared>,
}

impl Drop for Driving {
    fn drop(&mut self) {
        self.shared.update(|core, now| {
            if !core.is_ended() {
                let error = Error::new(
                    ErrorKind::ClientClosed,
                    "the channel's task was stopped: its runtime shut down, or the transport panicked; reopen the channel",
                );
                core.end(now, error, false);
            }
        });
        self.client.forget(&self.shared);
    }
}

async fn drive(client: &Arc<ClientInner>, shared: &Arc<Shared>) {
    let mut sending: Option<Task<Result<AppendAnswer, Failure>>> = None;
    let mut sealing: Option<Task<Result<Vec<SealedBatch>>>> = None;
    let mut opening: Option<Task<Result<Opened>>> = None;
    let mut request_id = client.request_id();
    loop {
        let pressure = client.budget.pressure();
        tokio::pin!(pressure);
        pressure.as_mut().enable();
        let pressed = client.budget.is_pressed();
        let (action, is_reopening) =
            shared.update(|core, now| (core.poll(now, pressed), core.is_reopening()));
        if !is_reopening {
            opening = None;
        }
        match action {
            Action::Seal(work, limit) => {
                shared.tell_caught_up();
                sealing = Some(seal(client, work, limit));
            }
            Action::Send(order) => {
                // The id names the batch: it is kept over its retries.
                if order.retry_count == 0 {
                    request_id = client.request_id();
                }
                let attempt = Attempt {
                    request_id,
                    retry_count: order.retry_count,
                };
                sending = Some(send(Arc::clone(client), Arc::clone(shared), order, attempt));
            }
            Action::Reopen(how) => {
                shared.tell_caught_up();
                sending = None;
                opening = Some(reopen(Arc::clone(client), Arc::clone(shared), how));
            }
            Action::Wait(until) => {
                tokio::select! {
                    biased;
                    answer = finished(&mut sending) => {
                        let unit = client.random_unit();
                        shared.update(|core, now| core.on_response(now, answer, unit));
                    }
                    answer = finished(&mut opening) => {
                        shared.update(|core, now| core.on_recovered(now, answer));
                    }
                    sealed = finished(&mut sealing) => shared.update(|core, now| core.on_sealed(now, sealed)),
                    () = shared.woken() => {}
                    () = pressure => {}
                    () = reached(until) => {}
                }
            }
            Action::Stop => return,
        }
    }
}

/// The result of the task in the slot, which is emptied; never, if there is none.
pub(crate) async fn finished<T>(slot: &mut Option<Task<T>>) -> T {
    match slot {
        Some(task) => {
            let result = task.await;
            *slot = None;
            result
        }
        None => std::future::pending().await,
    }
}

/// Waits until then; for ever, if there is no such instant.
pub(crate) async fn reached(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

fn send(
    client: Arc<ClientInner>,
    shared: Arc<Shared>,
    order: Order,
    attempt: Attempt,
) -> Task<Result<AppendAnswer, Failure>> {
    Box::pin(async move {
        let _turn = client.turn_to_append().await;
        let request = AppendRequest {
            channel: &shared.name,
            continuation_token: &order.continuation_token,
            start: order.start.as_ref(),
            end: Some(&order.end),
            uncompressed_len: order.uncompressed_len as u64,
            body: order.body,
            min_append_timestamp_ms: order.first_append_ms,
            session: order.session.as_ref(),
        };
        debug!(
            request = %attempt.request_id,
            retry = attempt.retry_count,
            bytes = request.body.len(),
            uncompressed = order.uncompressed_len,
            through = ?order.end,
            "sent"
        );
        let answer = client.api.append_rows(&request, attempt).await;
        match &answer {
            Ok(_) => debug!(request = %attempt.request_id, through = ?order.end, "accepted"),
            Err(failure) => {
                debug!(request = %attempt.request_id, error = %failure.error(), "not accepted");
                client.heal_after(failure);
            }
        }
        answer
    })
}

fn reopen(client: Arc<ClientInner>, shared: Arc<Shared>, how: Reopen) -> Task<Result<Opened>> {
    Box::pin(async move {
        sleep(how.pause.mul_f64(0.5 + client.random_unit() / 2.0)).await;
        let patience = client.options.retry_for;
        let mut refusals = 0;
        loop {
            let open = open::request(&client, &shared.name, how.policy, None, patience);
            match open.await {
                // As for an append: a credential may be on its way to be renewed.
                Err(error) if is_about_credentials(&error) && refusals < REFUSALS => {
                    refusals += 1;
                    debug!(%error, "not open yet");
                    sleep(how.pause).await;
                }
                answer => return answer.map(|(answer, _)| answer),
            }
        }
    })
}

fn is_about_credentials(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Authentication | ErrorKind::Forbidden
    )
}

fn seal(client: &Arc<ClientInner>, work: Work, limit: usize) -> Task<Result<Vec<SealedBatch>>> {
    let len = match &work {
        Work::Fresh(batch) => batch.bytes.len(),
        Work::TooLarge(batch) => batch.uncompressed_len,
    };
    let compressors = Arc::clone(&client.compressors);
    Box::pin(compressors.run(len, move |compressor| {
        let batch = match work {
            Work::Fresh(batch) => batch,
            Work::TooLarge(batch) => batch.reopen()?,
        };
        let sealed = compressor.seal(batch, limit)?;
        for batch in &sealed {
            debug!(
                rows = batch.rows,
                bytes = batch.body.len(),
                uncompressed = batch.uncompressed_len,
                "sealed"
            );
        }
        Ok(sealed)
    }))
}
