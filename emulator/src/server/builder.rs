//! The settings of a [`Server`], each with a default that is safe on a machine that others use as well.

use std::net::SocketAddr;

use snowpipe_streaming::auth::Secret;

use super::guard::Guard;
use super::serve::{self, Server};
use super::server_limits::ServerLimits;
use super::tls::Tls;
use crate::error::{Error, ErrorKind, Result};
use crate::instance::Emulator;

/// How an emulator is served. By default it listens on a free port of 127.0.0.1, and only for this machine.
///
/// ```
/// use snowpipe_streaming_emulator::{Emulator, Server, ServerLimits};
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut limits = ServerLimits::default();
/// limits.connections = 16;
/// let server = Server::builder(Emulator::builder().build()?)
///     .limits(limits)
///     .bind()
///     .await?;
/// assert!(server.url().starts_with("http://127.0.0.1:"));
/// # server.shutdown().await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use]
pub struct ServerBuilder {
    emulator: Emulator,
    address: SocketAddr,
    limits: ServerLimits,
    hosts: Vec<String>,
    allow_remote: bool,
    admin_token: Option<Secret>,
    tls: Option<Tls>,
}

impl ServerBuilder {
    pub(crate) fn new(emulator: Emulator) -> Self {
        Self {
            emulator,
            address: ([127, 0, 0, 1], 0).into(),
            limits: ServerLimits::default(),
            hosts: Vec::new(),
            allow_remote: false,
            admin_token: None,
            tls: None,
        }
    }

    /// The address to listen on; port 0 picks a free one.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// What the server puts up with from those who connect.
    pub fn limits(mut self, limits: ServerLimits) -> Self {
        self.limits = limits;
        self
    }

    /// One more name that requests to `/_emulator/` and the SQL API may carry in their `Host`. Without it that is an
    /// address or name of loopback, so that a web page whose name leads here reads nothing.
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(name.into());
        self
    }

    /// Lets the server listen on an address that is not loopback. Then [`admin_token`](Self::admin_token) has to be
    /// given, and any IP address will do as a `Host`.
    pub fn allow_remote(mut self, allow: bool) -> Self {
        self.allow_remote = allow;
        self
    }

    /// The bearer token that every request to `/_emulator/` must carry. Without it none is asked for.
    pub fn admin_token(mut self, token: Secret) -> Self {
        self.admin_token = Some(token);
        self
    }

    /// Serves over TLS, as the official SDK wants it: HTTP/2 and HTTP/1.1, whichever the client asks for. Plain HTTP is not
    /// answered then.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Starts the server. Call it inside a runtime whose clock is not paused.
    ///
    /// Cancel safe: nothing is left behind.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the address cannot be listened on, or is not loopback and that is not allowed, or is
    /// allowed without an admin token.
    pub async fn bind(self) -> Result<Server> {
        let remote = !self.address.ip().is_loopback();
        if remote && !self.allow_remote {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "the emulator does not listen on {}: its keys are no secret; use a loopback address such as 127.0.0.1:0, or allow remote peers and give an admin token",
                    self.address
                ),
            ));
        }
        let guard = Guard::new(self.hosts, self.allow_remote, self.admin_token);
        if self.allow_remote && !guard.has_token() {
            return Err(Error::new(
                ErrorKind::Config,
                "an emulator that remote peers may reach needs an admin token that is not empty",
            ));
        }
        if self.allow_remote && self.tls.is_none() {
            tracing::warn!(
                "remote peers may connect without TLS: the admin token and the rows can be read on the network"
            );
        }
        serve::start(self.emulator, self.address, self.limits, guard, self.tls).await
    }
}
