//! Connections to the sink: TLS, the negotiated HTTP version, and a counter for all bytes.

use std::io::{self, IoSlice};
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, version};

use super::requests::Service;

const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";
/// The size of the read buffer for HTTP/1.1.
const READ_BUFFER: usize = 256 * 1024;
/// The flow-control window of HTTP/2: larger than a request, so that the client never waits for it.
const WINDOW: u32 = 32 * 1024 * 1024;

/// A certificate for loopback, created at the start.
pub(super) struct Tls {
    acceptor: TlsAcceptor,
    certificate_pem: String,
}

impl Tls {
    /// It is self-signed.
    pub(super) fn generate() -> anyhow::Result<Self> {
        let names = ["127.0.0.1", "localhost"].map(str::to_owned);
        let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names)?;
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let provider = CryptoProvider {
            // The server chooses the cipher, as most do, so that both sides of a comparison use the same one.
            cipher_suites: vec![
                aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
                aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384,
            ],
            ..aws_lc_rs::default_provider()
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)?;
        config.ignore_client_order = true;
        config.alpn_protocols = vec![H2.to_vec(), HTTP1.to_vec()];
        Ok(Self {
            acceptor: Arc::new(config).into(),
            certificate_pem: cert.pem(),
        })
    }

    pub(super) fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }
}

/// Accepts and serves connections on this thread.
pub(super) fn serve(listener: TcpListener, tls: &Tls, service: &Service) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(connection(stream, tls.acceptor.clone(), service.clone()));
        }
    })
}

/// Serves one connection to its end. It is no error if a client breaks it.
async fn connection(stream: TcpStream, acceptor: TlsAcceptor, service: Service) {
    // Otherwise each small answer waits for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let counted = Counted {
        stream,
        bytes: service.state.socket_bytes(),
    };
    let Ok(stream) = acceptor.accept(counted).await else {
        return;
    };
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(H2);
    let io = TokioIo::new(stream);
    let answer = service_fn(move |request| {
        let service = service.clone();
        async move { service.answer(request).await }
    });
    let _ = if is_h2 {
        http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .serve_connection(io, answer)
            .await
    } else {
        http1::Builder::new()
            .max_buf_size(READ_BUFFER)
            .serve_connection(io, answer)
            .await
    };
}

/// A socket that counts all bytes, TLS and HTTP headers included.
struct Counted {
    stream: TcpStream,
    bytes: Arc<AtomicU64>,
}

impl Counted {
    fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn written(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = result {
            self.count(bytes);
        }
        result
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.count(buffer.filled().len() - before);
        result
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
