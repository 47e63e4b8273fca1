//! The emulator over HTTP/1.1, or over TLS and HTTP/1.1 or HTTP/2: connections, limits and deadlines, a ticker for
//! commits, and a drained end.
//!
//! It uses hyper and not axum: faults have to drop connections before and in the middle of an answer, which a framework hides.

mod waiters;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::{AcquireError, Mutex, Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet, spawn_blocking};

use super::answer_memory::AnswerMemory;
use super::body_reader::{BodyReader, NotTaken, Taken};
use super::builder::ServerBuilder;
use super::connection::connection;
use super::eviction::{ConnectionEvictor, ConnectionSlot};
use super::guard::{self, Guard};
use super::reply_body::{Broken, ReplyBody};
use super::server_limits::ServerLimits;
use super::tls::Tls;
use crate::admin::endpoints;
use crate::admin::waiting;
use crate::error::{Error, ErrorKind, Result};
use crate::instance::Emulator;
use crate::messages::answer::{Refusal, Reply};
use crate::protocol::routes;
use snowpipe_streaming::time::{SystemClock, TimeSource as _};

/// The longest body if the emulator has no limit.
const MOST_BODY: usize = 64 * 1024 * 1024;
/// How long requests in flight may take to end when the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements that run at the same time, and those that may wait for it besides.
const MOST_STATEMENTS: usize = 2;
const MOST_WAITING: usize = 16;
/// The pause after a failed accept or commit: neither is fixed by trying at once.
const PAUSE: Duration = Duration::from_millis(50);

/// An emulator that listens on a loopback address. Dropping it stops it without draining.
///
/// ```
/// use snowpipe_streaming_emulator::{Emulator, Server};
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::bind(Emulator::builder().build()?, ([127, 0, 0, 1], 0).into()).await?;
/// let profile_json = server.emulator().profile_json(&server.url());
/// // … give the profile to a client, in this process or another …
/// server.shutdown().await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves `emulator` on `address`; port 0 picks a free one. Call it inside a runtime whose clock is not paused.
    ///
    /// Cancel safe: nothing is left behind.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the address is not loopback or cannot be listened on.
    pub async fn bind(emulator: Emulator, address: SocketAddr) -> Result<Self> {
        Self::bind_with(emulator, address, ServerLimits::default()).await
    }

    /// Serves `emulator` otherwise than by default.
    pub fn builder(emulator: Emulator) -> ServerBuilder {
        ServerBuilder::new(emulator)
    }

    /// The same as [`bind`](Self::bind), with other limits.
    ///
    /// Cancel safe: nothing is left behind.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the address is not loopback or cannot be listened on.
    pub async fn bind_with(
        emulator: Emulator,
        address: SocketAddr,
        limits: ServerLimits,
    ) -> Result<Self> {
        let settings = Self::builder(emulator).listen(address);
        settings.limits(limits).bind().await
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The URL for a profile: `http://127.0.0.1:PORT`, or `https://` with [`tls`](ServerBuilder::tls).
    pub fn url(&self) -> String {
        let scheme = if self.shared.tls.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", self.address)
    }

    /// The emulator behind it.
    pub fn emulator(&self) -> &Emulator {
        &self.shared.emulator
    }

    /// Stops accepting, ends the requests in flight within five seconds, and commits everything accepted. If this future
    /// is dropped, the server ends in the background.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        if let Err(why) = self.task.await {
            tracing::error!(%why, "the emulator's server ended badly");
        }
    }
}

/// Serves `emulator` on `address`, whatever that is.
pub(crate) async fn start(
    emulator: Emulator,
    address: SocketAddr,
    limits: ServerLimits,
    guard: Guard,
    tls: Option<Tls>,
) -> Result<Server> {
    let unusable = |why: std::io::Error| {
        Error::new(
            ErrorKind::Config,
            format!(
                "the emulator cannot listen on {address}: {why}; choose another port, or 0 for any"
            ),
        )
        .with_source(why)
    };
    let listener = TcpListener::bind(address).await.map_err(unusable)?;
    let address = listener.local_addr().map_err(unusable)?;
    let (stop, stopped) = watch::channel(false);
    emulator.keep_rows();
    let shared = Arc::new(Shared {
        intake: BodyReader::new(limits.body_bytes, limits.connections),
        answers: AnswerMemory::new(limits.answer_bytes),
        waiters: Semaphore::new(limits.connections.div_ceil(2)),
        most_body: emulator.most_request_bytes().unwrap_or(MOST_BODY),
        most_file: emulator.most_file_bytes(),
        emulator,
        limits,
        guard,
        tls,
        turn: Mutex::new(()),
        statements: Arc::new(Semaphore::new(MOST_STATEMENTS)),
        statement_queue: Semaphore::new(MOST_STATEMENTS + MOST_WAITING),
        accepted: Notify::new(),
        retimed: Notify::new(),
        commits: watch::Sender::new(0),
    });
    let task = tokio::spawn(serve(listener, shared.clone(), Stop(stopped)));
    Ok(Server {
        shared,
        address,
        stop,
        task,
    })
}

#[derive(Debug)]
pub(crate) struct Shared {
    emulator: Emulator,
    guard: Guard,
    pub(crate) limits: ServerLimits,
    intake: BodyReader,
    answers: AnswerMemory,
    pub(crate) tls: Option<Tls>,
    most_body: usize,
    most_file: usize,
    /// The emulator handles one request at a time: the others wait here, and not on a thread.
    turn: Mutex<()>,
    /// Statements do not take turns with the others: they may take long, and those that write wait for the emulator's lock.
    statements: Arc<Semaphore>,
    statement_queue: Semaphore,
    /// Told after each request: there may be something to commit.
    accepted: Notify,
    /// Told when commits may have become due at other times.
    retimed: Notify,
    /// How many commits there were.
    commits: watch::Sender<u64>,
    /// Places for requests that wait for rows: half of the connections, so that others get through.
    waiters: Semaphore,
}

/// Tells when the server stops: on request, or because it was dropped.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    pub(crate) async fn stopped(&mut self) {
        // An error means that the server was dropped.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

impl Shared {
    /// Calls the emulator on a thread that may block, because the storage writes to a disk.
    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Emulator) -> T + Send + 'static,
    ) -> std::result::Result<T, JoinError> {
        let emulator = self.emulator.clone();
        let _turn = self.turn.lock().await;
        let asked = spawn_blocking(move || {
            let done = work(&emulator);
            let commits = emulator.handler().state.commits;
            (done, commits)
        });
        let (done, commits) = asked.await?;
        self.committed(commits);
        Ok(done)
    }

    /// Wakes the requests that wait for rows if there were commits. Counts may arrive out of order.
    fn committed(&self, count: u64) {
        let newer = |known: &mut u64| std::mem::replace(known, count.max(*known)) < count;
        self.commits.send_if_modified(newer);
    }

    /// An answer on its way over a connection, or 503 if too much is on its way already.
    fn given(
        &self,
        response: Response<Bytes>,
        place: &Arc<ConnectionSlot>,
        body: impl FnOnce(Bytes) -> ReplyBody,
    ) -> Response<ReplyBody> {
        let (parts, bytes) = response.into_parts();
        let timeout = self.limits.answer_timeout;
        match self.answers.admit(bytes, place, timeout) {
            Some(bytes) => Response::from_parts(parts, body(bytes)),
            None => bare(StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    /// Has the emulator answer a statement.
    async fn query(
        &self,
        request: Request<Bytes>,
        taken: Taken,
    ) -> std::result::Result<Reply, Broken> {
        let Ok(_place) = self.statement_queue.try_acquire() else {
            let refusal = Refusal::throttled(None).into_answer();
            return Ok(Reply::Respond(refusal));
        };
        let slot = self.statements.clone().acquire_owned().await;
        let slot = slot.map_err(|_| Broken)?;
        let emulator = self.emulator.clone();
        let work = move || {
            // Held until it has run, even if the client is gone.
            let _held = (slot, taken);
            let reply = emulator.handle(SystemClock.now(), request);
            let commits = emulator.handler().state.commits;
            (reply, commits)
        };
        let (reply, commits) = spawn_blocking(work).await.map_err(|_| Broken)?;
        self.committed(commits);
        Ok(reply)
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, mut stop: Stop) {
    let ticker = tokio::spawn(tick(shared.clone(), stop.clone()));
    let slots = Arc::new(Semaphore::new(shared.limits.connections.max(1)));
    let crowd = Arc::new(ConnectionEvictor::default());
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.stopped() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(why) => {
                tracing::warn!(%why, "the emulator cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let slot = tokio::select! {
            biased;
            () = stop.stopped() => break,
            slot = slot(&slots, &crowd) => slot,
        };
        let Ok(slot) = slot else { break };
        let place = crowd.enter();
        connections.spawn(connection(
            stream,
            shared.clone(),
            stop.clone(),
            place,
            slot,
        ));
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIMEOUT, drained).await.is_err() {
        tracing::warn!("requests to the emulator were cut off at its end");
        connections.shutdown().await;
    }
    // Both have nothing to hand back, and a panic in them was reported by its thread.
    let _ = ticker.await;
    let _ = shared.ask(Emulator::commit_now).await;
}

/// A slot for one more connection, for which another may have to go.
async fn slot(
    slots: &Arc<Semaphore>,
    crowd: &ConnectionEvictor,
) -> std::result::Result<OwnedSemaphorePermit, AcquireError> {
    tokio::select! {
        biased;
        slot = slots.clone().acquire_owned() => slot,
        () = crowd.send_one_away() => slots.clone().acquire_owned().await,
    }
}

/// Commits what becomes due, so that it lands without a request.
async fn tick(shared: Arc<Shared>, mut stop: Stop) {
    loop {
        let due = shared.ask(|emulator| {
            emulator.advance(SystemClock.now());
            emulator.next_due()
        });
        let Ok(due) = due.await else { return };
        let wait = async {
            match due {
                Some(due) => {
                    let wait = due.duration_since(SystemClock.now()).unwrap_or_default();
                    // What is due and still here could not be committed.
                    tokio::time::sleep(if wait.is_zero() { PAUSE } else { wait }).await;
                }
                None => shared.accepted.notified().await,
            }
        };
        tokio::select! {
            biased;
            () = stop.stopped() => return,
            () = shared.retimed.notified() => {}
            () = wait => {}
        }
    }
}

/// What is answered to a request.
pub(crate) async fn answer(
    shared: Arc<Shared>,
    mut stop: Stop,
    place: Arc<ConnectionSlot>,
    request: Request<Incoming>,
) -> std::result::Result<Response<ReplyBody>, Broken> {
    let (parts, body) = request.into_parts();
    let refusal = shared.guard.check(&parts).err();
    // One byte more than is allowed, for the emulator to see that it is too much.
    let most = if refusal.is_some() {
        0
    } else if routes::is_upload(&parts.method, parts.uri.path()) {
        shared.most_file.saturating_add(1)
    } else {
        shared.most_body.saturating_add(1)
    };
    let taken = shared.intake.take(body, most);
    let taken = match tokio::time::timeout(shared.limits.body_timeout, taken).await {
        Ok(Ok(taken)) => taken,
        Ok(Err(NotTaken::Broken)) => return Err(Broken),
        Ok(Err(NotTaken::Endless)) => return Ok(bare(StatusCode::PAYLOAD_TOO_LARGE)),
        Ok(Err(NotTaken::NoMemory)) => return Ok(bare(StatusCode::SERVICE_UNAVAILABLE)),
        Err(_) => return Ok(bare(StatusCode::REQUEST_TIMEOUT)),
    };
    // Not before its last byte was read: over HTTP/2 an earlier answer ends a client's sending, and some take that for an error.
    if let Some(refusal) = refusal {
        return Ok(refusal.into_answer().map(ReplyBody::whole));
    }
    // Without it the connection is about to be closed, and the answer would not arrive.
    let Some(work) = place.work() else {
        return Err(Broken);
    };
    let request = Request::from_parts(parts, taken.bytes.clone());
    let reply = if request.uri().path() == waiting::PATH {
        let waited = tokio::select! {
            biased;
            () = stop.stopped() => return Err(Broken),
            waited = shared.wait(request) => waited?,
        };
        Reply::Respond(waited)
    } else if guard::is_admin(request.uri().path()) {
        let handled = shared.ask(move |emulator| {
            let answer = endpoints::answer(emulator, SystemClock.now(), &request);
            drop(taken);
            answer
        });
        let answer = handled.await.map_err(|_| Broken)?;
        shared.retimed.notify_one();
        Reply::Respond(answer)
    } else if routes::has_statement(request.uri().path()) {
        shared.query(request, taken).await?
    } else {
        let handled = shared.ask(move |emulator| {
            let reply = emulator.handle(SystemClock.now(), request);
            drop(taken);
            reply
        });
        handled.await.map_err(|_| Broken)?
    };
    shared.accepted.notify_one();
    match reply {
        Reply::Respond(response) => Ok(shared.given(response, &place, ReplyBody::whole)),
        Reply::RespondAfter(wait, response) => {
            let _held = Held::new();
            tokio::time::sleep(wait).await;
            Ok(shared.given(response, &place, ReplyBody::whole))
        }
        // The request has been read by now: a broken connection is as near to a refused one as it gets.
        Reply::Reset | Reply::Refuse => Err(Broken),
        Reply::Hang => {
            drop(work);
            stop.stopped().await;
            Err(Broken)
        }
        Reply::Cut(mut response) => {
            let length = HeaderValue::from(response.body().len());
            response.headers_mut().insert(CONTENT_LENGTH, length);
            Ok(shared.given(response, &place, ReplyBody::cut))
        }
    }
}

/// Says in the log from when until when a request that was carried out has no answer. Scripts that kill processes rely on it:
/// where the first line is and the second is not, nothing has gone back.
struct Held;

impl Held {
    fn new() -> Self {
        tracing::debug!("an answer is held back");
        Self
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        tracing::debug!("the answer is no longer held back");
    }
}

fn bare(status: StatusCode) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::whole(Bytes::new()));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "hostile_tests.rs"]
mod hostile_tests;

#[cfg(test)]
#[path = "unread_tests.rs"]
mod unread_tests;
