//! The network between a client and the server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use snowpipe_streaming::emulator::Reply;
use snowpipe_streaming::{
    Recovery, Request, Response, Transport, TransportError, TransportErrorKind,
};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::plan::{Kind, Policy};
use super::world::{House, World};

/// What a client sends through.
pub struct Wire {
    pub world: Arc<World>,
    pub house: Arc<House>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

#[async_trait::async_trait]
impl Transport for Wire {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        if self.house.is_dead() {
            return std::future::pending().await;
        }
        let is_open = request.method() == http::Method::PUT;
        let channel = channel_of(&request);
        // On its own: what has left a client arrives, whatever becomes of the client.
        let (sender, receiver) = oneshot::channel();
        let carried = Arc::clone(&self.world).carry(self.house.id, request);
        tokio::spawn(async move {
            let _ = sender.send(carried.await);
        });
        match receiver.await {
            Ok(answer) if !self.house.is_dead() => {
                if let (Some(channel), Ok(answer)) = (channel, &answer) {
                    let (house, status) = (self.house.id, answer.status());
                    self.world.note_answer(house, &channel, is_open, status);
                }
                answer
            }
            _ => std::future::pending().await,
        }
    }
}

/// The channel that a request opens or appends to.
fn channel_of(request: &Request) -> Option<String> {
    let (_, channel) = request.uri().path().split_once("/channels/")?;
    let name = channel.strip_suffix("/rows").unwrap_or(channel);
    Some(name.to_owned())
}

fn describe(request: &Request) -> String {
    let uri = request.uri().to_string();
    let tail = uri.rsplit_once("/pipes/").map_or(&*uri, |(_, tail)| tail);
    format!("{} {tail} {}", request.method(), request.body().len())
}

fn outcome(reply: &Reply) -> String {
    let text = |answer: &Response| format!("{}", answer.status().as_u16());
    match reply {
        Reply::Respond(answer) => text(answer),
        Reply::RespondAfter(wait, answer) => format!("{} after {wait:?}", text(answer)),
        Reply::Refuse => "no connection".to_owned(),
        Reply::Reset => "broken".to_owned(),
        Reply::Hang => "no answer".to_owned(),
        Reply::Cut(answer) => format!("half of {}", text(answer)),
    }
}

impl World {
    /// A program that said to wait for uncommitted rows, and never to discard them, is obeyed.
    fn check_open(&self, request: &Request) {
        if request.method() != http::Method::PUT || self.plan.tampers() {
            return;
        }
        let path = request.uri().path();
        let number = path
            .rsplit_once("/c")
            .and_then(|(_, n)| n.parse::<usize>().ok());
        let Some(channel) = number.and_then(|n| self.plan.channels.get(n)) else {
            return;
        };
        let waits = matches!(channel.policy, Policy::Wait(_))
            && !matches!(channel.kind, Kind::Source { .. })
            && self.plan.processes[channel.process].recovery == Recovery::Surface;
        let body = String::from_utf8_lossy(request.body());
        if waits && !body.contains("\"fail_on_uncommitted_rows\":true") {
            self.blame(format!(
                "it discards what it was told to wait for: {path} {body}"
            ));
        }
    }

    /// Carries a request to the server and its answer back, whoever still waits for it.
    async fn carry(
        self: Arc<Self>,
        house: u64,
        request: Request,
    ) -> Result<Response, TransportError> {
        let what = describe(&request);
        self.check_open(&request);
        let late = self.lateness();
        if !late.is_zero() {
            self.count("late request");
        }
        let latency = Duration::from_millis(self.plan.server.latency_ms);
        sleep(latency + late).await;
        let (reply, lives) = self.hand_over(request);
        self.check();
        self.tell(format!("client {house} {what} -> {}", outcome(&reply)));
        let broken = |why| Err(TransportError::new(TransportErrorKind::Interrupted, why));
        let answer = match reply {
            Reply::Respond(answer) => Ok(answer),
            Reply::RespondAfter(wait, answer) => {
                sleep(wait).await;
                Ok(answer)
            }
            Reply::Refuse => Err(TransportError::new(
                TransportErrorKind::Connect,
                "no connection",
            )),
            Reply::Reset => broken("no answer"),
            Reply::Cut(_) => Err(TransportError::new(
                TransportErrorKind::Body,
                "half an answer",
            )),
            Reply::Hang => std::future::pending().await,
        };
        sleep(latency).await;
        if answer.is_ok() && self.lives() != lives {
            return broken("the server went down");
        }
        answer
    }
}
