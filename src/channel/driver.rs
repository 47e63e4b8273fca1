//! The driver: one task per channel, which executes the core's actions and makes no decisions.

use std::sync::Arc;

use tokio::time::sleep;
use tracing::{Instrument, debug, error_span};

use super::core::batch::{RawBatch, SealedBatch};
use super::core::replay::{Opened, Reopen};
use super::core::schedule::Action;
use super::open_request;
use super::registry::Registry;
use super::shared::Shared;
use crate::api::call::Attempt;
use crate::api::failure::Failure;
use crate::api::{AppendAnswer, AppendRequest};
use crate::base::task::{Task, finished, reached};
use crate::context::ClientContext;
use crate::types::error::{Error, ErrorKind, Result};

/// Starts the driver. When the channel has ended, the driver removes it from the registry and ends.
pub(crate) fn spawn(registry: Arc<Registry>, shared: Arc<Shared>) {
    // An error span, so that no filter removes the channel's name from warnings.
    let span = error_span!("channel", name = %shared.name);
    let driving = Driving { registry, shared };
    tokio::spawn(async move { drive(&driving.registry, &driving.shared).await }.instrument(span));
}

/// Ends the channel when the driver stops for any reason, such as the shutdown of its runtime or a panic.
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
                    "the channel's task was stopped: its runtime shut down; reopen the channel",
                );
                core.end(now, error, false);
            }
            core.on_driver_stopped();
        });
        self.registry.forget(&self.shared);
    }
}

async fn drive(registry: &Arc<Registry>, shared: &Arc<Shared>) {
    let context = &registry.context;
    let mut sending: Option<Task<Result<AppendAnswer, Failure>>> = None;
    let mut sealing: Option<Task<Result<Vec<SealedBatch>>>> = None;
    let mut opening: Option<Task<Result<Opened>>> = None;
    let mut fresh_id = context.request_id();
    loop {
        if !registry.poll_turn().is_taken() {
            registry.ensure_polled();
        }
        let pressure = context.budget.pressure();
        tokio::pin!(pressure);
        pressure.as_mut().enable();
        let pressed = context.budget.is_pressed();
        let (action, is_reopening) =
            shared.update(|core, now| (core.poll(now, pressed, fresh_id), core.is_reopening()));
        if !is_reopening {
            opening = None;
        }
        match action {
            Action::Seal(batch, limit) => {
                shared.signal_caught_up();
                let len = batch.payload.len();
                sealing = Some(seal(context, len, limit, move || Ok(batch)));
            }
            Action::Split(batch, limit) => {
                shared.signal_caught_up();
                let len = batch.payload.uncompressed_len;
                sealing = Some(seal(context, len, limit, move || batch.decompress()));
            }
            Action::Send(request) => {
                if request.attempt.request_id == fresh_id {
                    fresh_id = context.request_id();
                }
                sending = Some(send(Arc::clone(context), Arc::clone(shared), request));
            }
            Action::Reopen(how) => {
                shared.signal_caught_up();
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
    request: AppendRequest,
) -> Task<Result<AppendAnswer, Failure>> {
    Box::pin(async move {
        let Attempt {
            request_id,
            retry_count,
        } = request.attempt;
        let (end, bytes) = (&request.end, request.body.len());
        let send = async {
            debug!(
                request = %request_id,
                retry = retry_count,
                bytes,
                uncompressed = request.uncompressed_len,
                through = ?end,
                "sent"
            );
            context.api.append_rows(&shared.name, &request).await
        };
        let answer = context.append(bytes, send).await;
        match &answer {
            Ok(_) => debug!(request = %request_id, through = ?end, "accepted"),
            Err(failure) => {
                debug!(request = %request_id, error = %failure.error(), "not accepted");
            }
        }
        answer
    })
}

fn reopen(context: Arc<ClientContext>, shared: Arc<Shared>, how: Reopen) -> Task<Result<Opened>> {
    Box::pin(async move {
        sleep(how.pause.mul_f64(0.5 + context.random_unit() / 2.0)).await;
        let retry_for = context.options.retry_for;
        let opened = open_request::send(&context, &shared.name, how.policy, None, retry_for).await;
        opened.map(|(answer, _)| answer)
    })
}

/// Compresses the batch that `batch` returns, of `len` uncompressed bytes, into requests of at most `limit` bytes.
fn seal(
    context: &ClientContext,
    len: usize,
    limit: usize,
    batch: impl FnOnce() -> Result<RawBatch> + Send + 'static,
) -> Task<Result<Vec<SealedBatch>>> {
    let compressors = Arc::clone(&context.compressors);
    Box::pin(compressors.run(len, move |compressor| {
        let sealed = super::core::batch::seal(compressor, batch()?, limit)?;
        for batch in &sealed {
            debug!(
                rows = batch.rows(),
                bytes = batch.payload.body.len(),
                uncompressed = batch.payload.uncompressed_len,
                "sealed"
            );
        }
        Ok(sealed)
    }))
}
