//! A proxy between the writers and the service that cuts, delays, resets and refuses connections.
//!
//! It forwards bytes and reads only where to: TLS passes through it, so the client checks the certificate of the service itself.
//! What the client sends after an answer, or at the beginning, counts as one request. With TLS, the handshake does so as well.

use std::io;
use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::faults::{CUT_IN_ANSWER, CUT_IN_REQUEST, DELAYED, Faults, REFUSED, RESET, SHARE};
use crate::conformance::error::{Error, Result};

/// How many connections there are at once. Further ones wait.
const MOST_CONNECTIONS: usize = 256;
/// How many bytes are forwarded at once.
const CHUNK: usize = 16 << 10;
/// The longest head of the request that says where to connect.
const MOST_HEAD: usize = 16 << 10;
/// How long a client may take to say where to connect, and the connection to be there.
const TO_CONNECT: Duration = Duration::from_secs(20);
/// How long a side may take to receive a chunk.
const TO_FORWARD: Duration = Duration::from_secs(30);
/// How long a connection may be idle: longer than a client waits for an answer or keeps an unused connection.
const MOST_IDLE: Duration = Duration::from_secs(150);
/// The pause after a connection could not be accepted, for lack of file descriptors as a rule.
const BETWEEN_ACCEPTS: Duration = Duration::from_millis(100);

/// The answer to a request without the key.
const STRANGER: &[u8] =
    b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n\r\n";

/// What happens to a request or its answer.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The connection is cut after a part of the request.
    CutRequest,
    /// The connection is cut after a part of the answer.
    CutAnswer,
    /// The request is held back.
    Delayed,
}

/// The faults with their shares of a thousand requests.
type Shares = &'static [(u32, Fault)];

const SHARES: Shares = &[
    (SHARE, Fault::CutRequest),
    (SHARE, Fault::CutAnswer),
    (SHARE, Fault::Delayed),
];

/// A proxy that listens on loopback until it is dropped.
#[derive(Debug)]
pub(super) struct Proxy {
    url: String,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(super) async fn start(faults: Faults) -> Result<Self> {
        let listening = listen().await.map_err(|why| {
            let message = format!("the soak's proxy cannot listen on this machine: {why}");
            Error::Config(message)
        });
        let (listener, address) = listening?;
        let key = Key::new();
        let url = key.url(&address);
        let (sender, outage) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(outages(faults.clone(), sender));
        tasks.spawn(serve(listener, key, faults, SHARES, outage));
        Ok(Self { url, _tasks: tasks })
    }

    /// The URL of the proxy.
    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

/// What keeps other users of the machine from connecting through the proxy: a user and a password.
#[derive(Debug, Clone)]
struct Key(Arc<str>);

impl Key {
    fn new() -> Self {
        Self(format!("soak:{:032x}", fastrand::u128(..)).into())
    }

    /// The URL of a proxy with this key.
    fn url(&self, address: &str) -> String {
        format!("http://{}@{address}", self.0)
    }

    /// Whether the head of a request has it.
    fn is_in(&self, head: &[u8]) -> bool {
        let expected = format!("basic {}", STANDARD.encode(self.0.as_bytes()));
        let lines = head.split(|byte| *byte == b'\n');
        let mut fields = lines.filter_map(|line| std::str::from_utf8(line).ok()?.split_once(':'));
        fields.any(|(name, value)| {
            name.eq_ignore_ascii_case("proxy-authorization")
                && value.trim().eq_ignore_ascii_case(&expected)
        })
    }
}

async fn listen() -> io::Result<(TcpListener, String)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?.to_string();
    Ok((listener, address))
}

/// Says when an outage begins and ends.
async fn outages(faults: Faults, outage: watch::Sender<bool>) {
    loop {
        tokio::time::sleep(faults.peace()).await;
        outage.send_replace(true);
        tokio::time::sleep(faults.outage()).await;
        outage.send_replace(false);
    }
}

async fn serve(
    listener: TcpListener,
    key: Key,
    faults: Faults,
    shares: Shares,
    outage: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok((client, _)) => {
                    let outage = outage.clone();
                    let connection = connection(client, key.clone(), faults.clone(), shares, outage);
                    connections.spawn(connection);
                }
                Err(_) => tokio::time::sleep(BETWEEN_ACCEPTS).await,
            },
        }
    }
}

/// Serves one connection. During an outage it is refused, and at the beginning of one it is reset.
async fn connection(
    mut client: TcpStream,
    key: Key,
    faults: Faults,
    shares: Shares,
    mut outage: watch::Receiver<bool>,
) {
    if *outage.borrow() {
        faults.count(REFUSED);
        reset(&client);
        return;
    }
    let Ok((mut server, begun)) = within(TO_CONNECT, connect(&mut client, &key)).await else {
        return;
    };
    let is_out = async { outage.wait_for(|is_out| *is_out).await.is_ok() };
    let is_reset = tokio::select! {
        true = is_out => true,
        _ = forward(&mut client, &mut server, &begun, &faults, shares) => false,
    };
    if is_reset {
        faults.count(RESET);
        reset(&client);
        reset(&server);
    }
}

/// Makes the drop of a connection a reset instead of an orderly close. An error means that the peer was faster.
fn reset(connection: &TcpStream) {
    let _ = connection.set_zero_linger();
}

/// Connects to where the client wants to. Returns what the server has to receive first: the request itself over plain HTTP,
/// nothing through a tunnel.
async fn connect(client: &mut TcpStream, key: &Key) -> io::Result<(TcpStream, Vec<u8>)> {
    // So large that a request over plain HTTP begins with more than its head.
    let mut head = Vec::with_capacity(CHUNK);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > MOST_HEAD || client.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let (host, is_tunnel) = target(&head).ok_or(io::ErrorKind::InvalidData)?;
    if !key.is_in(&head) {
        client.write_all(STRANGER).await?;
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let connected = TcpStream::connect(host).await;
    if is_tunnel {
        let answer: &[u8] = match connected {
            Ok(_) => b"HTTP/1.1 200 Connection established\r\n\r\n",
            Err(_) => b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
        };
        client.write_all(answer).await?;
        head.clear();
    }
    let server = connected?;
    server.set_nodelay(true)?;
    client.set_nodelay(true)?;
    Ok((server, head))
}

/// Host and port that a request to a proxy names, and whether it asks for a tunnel: `CONNECT host:443`, or `GET http://host/…`.
fn target(head: &[u8]) -> Option<(String, bool)> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let is_tunnel = words.next()? == "CONNECT";
    let uri: Uri = words.next()?.parse().ok()?;
    let authority = uri.authority()?;
    let port = match authority.port_u16() {
        Some(port) => port,
        None if is_tunnel => return None,
        None => 80,
    };
    Some((format!("{}:{port}", authority.host()), is_tunnel))
}

/// Forwards bytes until a side closes the connection or a fault cuts it.
async fn forward(
    client: &mut TcpStream,
    server: &mut TcpStream,
    begun: &[u8],
    faults: &Faults,
    shares: Shares,
) -> io::Result<()> {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let (mut request, mut answer) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut exchange = Exchange::new(faults, shares);
    let mut flow = match begun {
        [] => ControlFlow::Continue(()),
        begun => exchange.ask(begun, &mut to_server).await?,
    };
    while flow.is_continue() {
        let next = async {
            tokio::select! {
                read = from_client.read(&mut request) => read.map(|read| (true, read)),
                read = from_server.read(&mut answer) => read.map(|read| (false, read)),
            }
        };
        flow = match within(MOST_IDLE, next).await? {
            (_, 0) => ControlFlow::Break(()),
            (true, read) => {
                let bytes = request.get(..read).unwrap_or_default();
                exchange.ask(bytes, &mut to_server).await?
            }
            (false, read) => {
                let bytes = answer.get(..read).unwrap_or_default();
                exchange.answer(bytes, &mut to_client).await?
            }
        };
    }
    Ok(())
}

/// A request and its answer on their way.
struct Exchange<'f> {
    faults: &'f Faults,
    shares: Shares,
    /// Whether the last bytes came from the client.
    is_asking: bool,
    /// What is still to happen.
    fault: Option<Fault>,
}

impl<'f> Exchange<'f> {
    fn new(faults: &'f Faults, shares: Shares) -> Self {
        Self {
            faults,
            shares,
            is_asking: false,
            fault: None,
        }
    }

    /// Forwards bytes of the client.
    async fn ask(
        &mut self,
        bytes: &[u8],
        server: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<ControlFlow<()>> {
        if !self.is_asking {
            self.is_asking = true;
            self.fault = self.faults.draw(self.shares);
        }
        match self.fault {
            Some(Fault::CutRequest) => {
                return self.cut(CUT_IN_REQUEST, bytes, server).await;
            }
            Some(Fault::Delayed) => {
                self.fault = None;
                self.faults.count(DELAYED);
                tokio::time::sleep(self.faults.delay()).await;
            }
            Some(Fault::CutAnswer) | None => {}
        }
        within(TO_FORWARD, server.write_all(bytes)).await?;
        Ok(ControlFlow::Continue(()))
    }

    /// Forwards bytes of the server.
    async fn answer(
        &mut self,
        bytes: &[u8],
        client: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<ControlFlow<()>> {
        self.is_asking = false;
        if let Some(Fault::CutAnswer) = self.fault {
            return self.cut(CUT_IN_ANSWER, bytes, client).await;
        }
        within(TO_FORWARD, client.write_all(bytes)).await?;
        Ok(ControlFlow::Continue(()))
    }

    /// Forwards a part of the bytes as the last ones of the connection.
    async fn cut(
        &self,
        what: &'static str,
        bytes: &[u8],
        to: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<ControlFlow<()>> {
        self.faults.count(what);
        let part = bytes.get(..self.faults.part(bytes.len()));
        within(TO_FORWARD, to.write_all(part.unwrap_or_default())).await?;
        Ok(ControlFlow::Break(()))
    }
}

async fn within<T>(limit: Duration, future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(limit, future).await?
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
