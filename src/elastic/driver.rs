//! The driver of an elastic channel: one task, which executes the core's actions and makes no decisions.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use tokio::runtime::Handle;
use tracing::{Instrument, debug, error_span};

use super::batch::{Frame, Piece, seal};
use super::schedule::Action;
use super::shared::Shared;
use crate::api::ElasticRequest;
use crate::api::call::Attempt;
use crate::api::failure::Failure;
use crate::base::task::{Task, finished, reached};
use crate::context::ClientContext;
use crate::types::error::{Error, ErrorKind, Result};

type Answer = std::result::Result<(), Failure>;

/// Starts the driver. It ends when the channel has ended.
pub(super) fn spawn<T: Send + 'static>(context: &Arc<ClientContext>, shared: &Arc<Shared<T>>) {
    let driving = Driving {
        context: Arc::clone(context),
        shared: Arc::clone(shared),
    };
    let drive = async move { drive(&driving.context, &driving.shared).await };
    let span = error_span!("channel", name = "ELASTIC");
    let runtime = Handle::try_current().unwrap_or_else(|_| context.runtime.clone());
    runtime.spawn(drive.instrument(span));
}

/// Ends the channel when the driver stops for any reason, such as the shutdown of its runtime or a panic, so that no task
/// waits for it.
struct Driving<T> {
    context: Arc<ClientContext>,
    shared: Arc<Shared<T>>,
}

impl<T> Drop for Driving<T> {
    fn drop(&mut self) {
        self.shared.update(|core, _| {
            if !core.stopped {
                core.stop(&Error::new(
                    ErrorKind::ClientClosed,
                    "the channel's task was stopped: its runtime shut down; build a new client",
                ));
            }
        });
        self.shared.warn_of_lost();
    }
}

async fn drive<T>(context: &Arc<ClientContext>, shared: &Arc<Shared<T>>) {
    let mut sending: Vec<(u64, Task<Answer>)> = Vec::new();
    let mut sealing: Option<Task<Result<Vec<Piece>>>> = None;
    loop {
        let pressure = context.budget.pressure();
        tokio::pin!(pressure);
        pressure.as_mut().enable();
        let pressed = context.budget.is_pressed();
        match shared.update(|core, now| core.poll(now, pressed)) {
            Action::Seal(frame, limit) => sealing = Some(seal_batch(context, frame, limit)),
            Action::Send(flight, request) => {
                sending.push((flight, send(Arc::clone(context), request)));
            }
            Action::Wait(until) => {
                tokio::select! {
                    biased;
                    (flight, answer) = first(&mut sending) => {
                        shared.update(|core, now| core.on_answer(now, flight, answer));
                    }
                    sealed = finished(&mut sealing) => shared.update(|core, _| core.on_sealed(sealed)),
                    () = shared.woken() => {}
                    () = pressure => {}
                    () = reached(until) => {}
                }
            }
            Action::Stop => return,
        }
    }
}

/// Waits for the first task that finishes and removes it. Never resolves if there are no tasks.
async fn first(tasks: &mut Vec<(u64, Task<Answer>)>) -> (u64, Answer) {
    poll_fn(|cx| {
        let done =
            tasks
                .iter_mut()
                .enumerate()
                .find_map(|(i, (_, task))| match task.as_mut().poll(cx) {
                    Poll::Ready(answer) => Some((i, answer)),
                    Poll::Pending => None,
                });
        match done {
            Some((i, answer)) => Poll::Ready((tasks.remove(i).0, answer)),
            None => Poll::Pending,
        }
    })
    .await
}

fn send(context: Arc<ClientContext>, request: ElasticRequest) -> Task<Answer> {
    Box::pin(async move {
        let Attempt {
            request_id,
            retry_count,
        } = request.attempt;
        let bytes = request.body.len();
        let send = async {
            debug!(
                request = %request_id,
                retry = retry_count,
                bytes,
                uncompressed = request.uncompressed_len,
                "sent"
            );
            context.api.append_elastic(&request).await
        };
        let answer = context.append(bytes, send).await;
        match &answer {
            Ok(()) => debug!(request = %request_id, "accepted"),
            Err(failure) => {
                debug!(request = %request_id, error = %failure.error(), "not accepted");
            }
        }
        answer
    })
}

fn seal_batch(
    context: &Arc<ClientContext>,
    frame: Arc<Frame>,
    limit: usize,
) -> Task<Result<Vec<Piece>>> {
    let compressors = Arc::clone(&context.compressors);
    Box::pin(compressors.run(frame.len(), move |compressor| {
        let sealed = seal(compressor, frame.rows()?, limit)?;
        for piece in &sealed {
            debug!(bytes = piece.body.len(), uncompressed = piece.len, "sealed");
        }
        Ok(sealed)
    }))
}
