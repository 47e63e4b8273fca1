//! The network between a client and the server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use snowpipe_streaming::Recovery;
use snowpipe_streaming::transport::{
    Request, Response, Transport, TransportError, TransportErrorKind,
};
use snowpipe_streaming_emulator::Reply;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::client_view::RequestInfo;
use super::contention::Opened;
use super::outage::Part;
use super::plan::{Kind, Policy};
use super::script::RequestPhase;
use super::truth::Sabotage;
use super::world::{ClientProcess, World};
use super::{sabotage, trap};
use crate::repeatable::{self, described};

/// The transport of a client.
pub struct Wire {
    pub world: Arc<World>,
    pub process: Arc<ClientProcess>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

#[async_trait::async_trait]
impl Transport for Wire {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        if self.process.is_dead() {
            return std::future::pending().await;
        }
        let (world, process) = (&self.world, self.process.id);
        let asked = RequestInfo::of(&request);
        world.check_throttled(&self.process, &asked);
        world.pass(trap::Call::Request(asked.part));
        // In a separate task: a request that was sent arrives even if the client stops.
        let (sender, receiver) = oneshot::channel();
        let asked = RequestInfo {
            number: self.number(asked.part),
            ..asked
        };
        let carried = Arc::clone(world).carry(process, asked.clone(), request);
        tokio::spawn(async move {
            let _ = sender.send(carried.await);
        });
        match receiver.await {
            Ok(answer) if !self.process.is_dead() => {
                if let Ok(answer) = &answer {
                    let life = Duration::from_secs(world.plan.server.token_life_s);
                    world.view().note(process, &asked, answer, life);
                    let opened = answer.extensions().get::<Opened>();
                    if let (Some(channel), Some(opened)) = (&asked.channel, opened) {
                        let mut opens = world.opens.lock().unwrap();
                        opens.note_known(process, channel, *opened);
                    }
                }
                answer
            }
            _ => std::future::pending().await,
        }
    }
}

impl Wire {
    /// Assigns the number of a request. The requests of a rival are not counted.
    fn number(&self, part: Part) -> Option<u64> {
        let is_counted = !self.process.is_rival_writer;
        is_counted.then(|| self.world.script.number(part)).flatten()
    }
}

fn outcome(reply: &Reply) -> String {
    match reply {
        Reply::Respond(answer) => repeatable::outcome(answer),
        Reply::RespondAfter(wait, answer) => {
            format!("{} after {wait:?}", repeatable::outcome(answer))
        }
        Reply::Refuse => "no connection".to_owned(),
        Reply::Reset => "broken".to_owned(),
        Reply::Hang => "no answer".to_owned(),
        Reply::Cut(answer) => format!("half of {}", repeatable::outcome(answer)),
        other => unreachable!("{other:?}"),
    }
}

impl World {
    /// Checks that a client that waits for uncommitted rows does not discard them.
    fn check_open(&self, request: &Request) {
        if request.method() != http::Method::PUT || self.plan.has_foreign_token() {
            return;
        }
        let path = request.uri().path().to_lowercase();
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
            self.report_violation(format!(
                "it discards rows that it should wait for: {path} {body}"
            ));
        }
    }

    /// Checks that a throttled poller waits for as long as the server asked it to, except for one call when `retry_for` ends.
    /// Status calls of a program have their own limit.
    fn check_throttled(&self, process: &ClientProcess, asked: &RequestInfo) {
        if !process.only_polls || asked.part != Part::Statuses {
            return;
        }
        let view = self.view();
        let silence = view.silence(process.id).unwrap_or(process.time_limit);
        let is_early = view.is_early(process.id);
        drop(view);
        if is_early && silence < process.time_limit {
            self.report_violation(format!(
                "client {} asks for a status before it was asked to",
                process.id
            ));
        }
    }

    /// Removes the channel's status from the answer to an open, at random or if the script says so.
    fn with_status_omitted(&self, is_open: bool, number: Option<u64>, reply: Reply) -> Reply {
        let Reply::Respond(mut answer) = reply else {
            return reply;
        };
        let omits_status = || self.omits_status() || self.script.omits_status(number);
        if is_open && answer.status().is_success() && omits_status() {
            let mut body: Value = serde_json::from_slice(answer.body()).unwrap();
            if body
                .as_object_mut()
                .unwrap()
                .remove("channel_status")
                .is_some()
            {
                self.count("open without a status");
            }
            *answer.body_mut() = body.to_string().into();
        }
        Reply::Respond(answer)
    }

    /// The answer, falsified if the run is sabotaged.
    fn sabotaged(&self, part: Part, reply: Reply) -> Reply {
        match (self.sabotage, reply) {
            (Some(Sabotage::CountHalf), Reply::Respond(mut answer))
                if matches!(part, Part::Opens | Part::Statuses) =>
            {
                *answer.body_mut() = sabotage::count_half(answer.body());
                Reply::Respond(answer)
            }
            (Some(Sabotage::Ahead), Reply::Respond(mut answer)) if part == Part::Opens => {
                *answer.body_mut() = sabotage::ahead(answer.body());
                Reply::Respond(answer)
            }
            (Some(Sabotage::Fence), Reply::Respond(_)) if part == Part::Appends => {
                Reply::Respond(sabotage::stale())
            }
            (_, reply) => reply,
        }
    }

    /// Carries a request to the server and its answer back, even if the caller no longer waits.
    async fn carry(
        self: Arc<Self>,
        process: u64,
        asked: RequestInfo,
        request: Request,
    ) -> Result<Response, TransportError> {
        let what = described(&request);
        self.check_open(&request);
        self.script.reach(asked.number, RequestPhase::Sent);
        let late = self.request_delay() + self.script.request_delay(asked.number);
        if !late.is_zero() {
            self.count("late request");
        }
        let latency = Duration::from_millis(self.plan.server.latency_ms);
        sleep(latency + late).await;
        let part = asked.part;
        let is_open = part == Part::Opens;
        let outage = self.view().outage(part);
        let (reply, restarts) = match outage {
            Some(outage) => {
                self.count(outage.how.name());
                (outage.how.reply(), self.restarts())
            }
            None => self.handle_request(process, &asked, request),
        };
        self.check();
        let place = asked
            .number
            .map_or_else(String::new, |number| format!("#{number} "));
        let answered = outcome(&reply);
        self.log(format!("client {process} {place}{what} -> {answered}"));
        let reply = self.with_status_omitted(is_open, asked.number, reply);
        let reply = self.sabotaged(part, reply);
        if self.sabotage == Some(Sabotage::DelayStatuses) && part == Part::Statuses {
            sleep(Duration::from_secs(10)).await;
        }
        self.script.reach(asked.number, RequestPhase::Handled);
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
            other => unreachable!("{other:?}"),
        };
        sleep(latency).await;
        let answer = match answer {
            Ok(_) if self.restarts() != restarts => broken("the server went down"),
            answer => answer,
        };
        self.script.arrive(asked.number, answer.is_ok());
        answer
    }
}
