//! One address for two brokers: each connection goes to the first of them that accepts it.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// Serves until the process ends. Returns the address.
///
/// # Errors
/// If no port is free.
pub(crate) async fn start(brokers: [SocketAddr; 2]) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(forward(client, brokers));
        }
    });
    Ok(address)
}

/// An end without an answer is what a client sees of a dead broker.
async fn forward(mut client: TcpStream, brokers: [SocketAddr; 2]) {
    for broker in brokers {
        if let Ok(mut broker) = TcpStream::connect(broker).await {
            let _ = copy_bidirectional(&mut client, &mut broker).await;
            return;
        }
    }
}
