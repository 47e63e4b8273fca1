//! A proxy whose connections can fall silent while they stay open, as those behind a firewall do that has forgotten them.

use std::future::pending;
use std::net::Ipv4Addr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub(crate) struct Proxy {
    port: u16,
    silenced: watch::Sender<()>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Forwards connections to a port of this machine.
    pub(crate) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (silenced, _) = watch::channel(());
        let sender = silenced.clone();
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(forward(client, to, sender.subscribe()));
            }
        });
        Self {
            port,
            silenced,
            accepting,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The connections that are open now carry nothing any more. New ones do.
    pub(crate) fn silence(&self) {
        self.silenced.send_replace(());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn forward(mut client: TcpStream, to: u16, mut silenced: watch::Receiver<()>) {
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await else {
        return;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = silenced.changed() => pending().await,
    }
}
