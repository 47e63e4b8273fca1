//! The driver: one task a channel that does what the core says, and nothing on its own account.

use std::sync::Arc;

use tokio::time::sleep;
use tracing::{Instrument, debug, error_span};

use super::core::batch::SealedBatch;
use super::core::replay::{Opened, Reopen};
use super::core::responses::REFUSALS;
use super::core::schedule::{Action, SendRequest, Work};
use super::open;
use super::registry::Registry;
use super::shared::Shared;
use crate::api::call::Attempt;
use crate::api::failure::Failure;
use crate::api::{AppendAnswer, AppendRequest};
use crate::base::task::{Task, finished, reached};
use crate::context::ClientContext;
use crate::types::error::{Error, ErrorKind, Result};

/// Starts the driver. It ends by itself when the channel has ended, and takes the channel off the client's list.
pub(crate) fn spawn(registry: Arc<Registry>, shared: Arc<Shared>) {
    // Of warnings and errors too it says whom they are about.
    let span = error_span!("channel", name = %shared.name);
    let driving = Driving { registry, shared };
    tokio::spawn(
        async move { drive(&driving.registry.context, &driving.shared).await }.instrument(span),
    );
}

/// A driver at work. However it stops, a runtime that shuts down or a transport that panics included, nothing waits for it
/// any longer.
struct Driving {
    registry: Arc<Registry>,
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
        self.registry.forget(&self.shared);
    }
}

async fn drive(context: &Arc<ClientContext>, shared: &Arc<Shared>) {
    let mut sending: Option<Task<Result<AppendAnswer, Failure>>> = None;
    let mut sealing: Option<Task<Result<Vec<SealedBatch>>>> = None;
    let mut opening: Option<Task<Result<Opened>>> = None;
    let mut request_id = context.request_id();
    loop {
        let pressure = context.budget.pressure();
        tokio::pin!(pressure);
        pressure.as_mut().enable();
        let pressed = context.budget.is_pressed();
        let (action, is_reopening) =
            shared.update(|core, now| (core.poll(now, pressed), core.is_reopening()));
        if !is_reopening {
            opening = None;
        }
        match action {
            Action::Seal(work, limit) => {
                shared.tell_caught_up();
                sealing = Some(seal(context, work, limit));
            }
            Action::Send(order) => {
                // The id names the batch: it is kept over its retries.
                if order.retry_count == 0 {
                    request_id = context.request_id();
                }
                let attempt = Attempt {
                    request_id,
                    retry_count: order.retry_count,
                };
                sending = Some(send(
                    Arc::clone(context),
                    Arc::clone(shared),
                    order,
                    attempt,
                ));
            }
            Action::Reopen(how) => {
                shared.tell_caught_up();
                sending = None;
                opening = Some(reopen(Arc::clone(context), Arc::clone(shared), how));
            }
            Action::Wait(until) => {
                tokio::select! {
                    biased;
                    answer = finished(&mut sending) => {
                        let unit = context.random_unit();
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

fn send(
    context: Arc<ClientContext>,
    shared: Arc<Shared>,
    order: SendRequest,
    attempt: Attempt,
) -> Task<Result<AppendAnswer, Failure>> {
    Box::pin(async move {
        let _turn = context.turn_to_append().await;
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
        let answer = context.api.append_rows(&request, attempt).await;
        match &answer {
            Ok(_) => debug!(request = %attempt.request_id, through = ?order.end, "accepted"),
            Err(failure) => {
                debug!(request = %attempt.request_id, error = %failure.error(), "not accepted");
                context.heal_after(failure);
            }
        }
        answer
    })
}

fn reopen(context: Arc<ClientContext>, shared: Arc<Shared>, how: Reopen) -> Task<Result<Opened>> {
    Box::pin(async move {
        sleep(how.pause.mul_f64(0.5 + context.random_unit() / 2.0)).await;
        let patience = context.options.retry_for;
        let mut refusals = 0;
        loop {
            let open = open::request(&context, &shared.name, how.policy, None, patience);
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

fn seal(context: &Arc<ClientContext>, work: Work, limit: usize) -> Task<Result<Vec<SealedBatch>>> {
    let len = match &work {
        Work::Fresh(batch) => batch.bytes.len(),
        Work::TooLarge(batch) => batch.uncompressed_len,
    };
    let compressors = Arc::clone(&context.compressors);
    Box::pin(compressors.run(len, move |compressor| {
        let batch = match work {
            Work::Fresh(batch) => batch,
            Work::TooLarge(batch) => batch.reopen()?,
        };
        let sealed = super::core::batch::seal(compressor, batch, limit)?;
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
