//! An emulator on loopback that things go wrong with, and what a report of them has to say.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use snowpipe_streaming::doctor::{self, Check, Options, Outcome, Report};
use snowpipe_streaming::time::TimeSource;
use snowpipe_streaming::transport::{HttpTransport, Request, Response, Transport, TransportError};
use snowpipe_streaming::{PipePath, Profile};
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{Emulator, EmulatorBuilder, Endpoint, Server};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

const DDL: &str = "
    CREATE TABLE RESORT.PUBLIC.RIDE (TXID VARCHAR);
    CREATE PIPE RESORT.PUBLIC.RIDE_PIPE AS COPY INTO RESORT.PUBLIC.RIDE
        FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) MATCH_BY_COLUMN_NAME = CASE_SENSITIVE;";

pub(crate) const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys");

/// An emulator on loopback.
pub(crate) struct World {
    pub(crate) server: Server,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::of(|builder| builder).await
    }

    pub(crate) async fn of(set: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder) -> Self {
        let builder = Emulator::builder().catalog(Catalog::from_ddl(DDL).expect("a catalog"));
        let emulator = set(builder).build().expect("an emulator");
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::bind(emulator, any_port).await.expect("a port");
        Self { server }
    }

    pub(crate) fn emulator(&self) -> &Emulator {
        self.server.emulator()
    }

    pub(crate) fn profile(&self) -> Profile {
        let json = self.emulator().profile_json(&self.server.url());
        Profile::from_json(&json).expect("a profile")
    }

    pub(crate) async fn examine(&self) -> Report {
        examine(self.profile()).await
    }

    /// How many channels are left behind.
    pub(crate) fn channels(&self) -> usize {
        let log = self.emulator().log();
        let opened = log.iter().filter(|r| r.endpoint == Endpoint::Open);
        let names = opened.flat_map(|request| &request.channels);
        let is_there = |name: &&String| self.emulator().channel(name).is_some();
        names.filter(is_there).count()
    }
}

pub(crate) fn pipe() -> PipePath {
    PipePath::new("RESORT", "PUBLIC", "RIDE_PIPE").expect("a name")
}

pub(crate) fn transport() -> HttpTransport {
    HttpTransport::builder()
        .no_proxy()
        .build()
        .expect("a transport")
}

pub(crate) async fn examine(profile: Profile) -> Report {
    examine_with(profile, &pipe(), Options::new().transport(transport())).await
}

pub(crate) async fn examine_with(profile: Profile, pipe: &PipePath, options: Options) -> Report {
    doctor::examine(Ok(profile), Some(pipe), &options).await
}

/// Checks that the first failure is at `check`, and that text and remedy say these things.
#[track_caller]
pub(crate) fn assert_found(report: &Report, check: Check, text: &str, remedy: &str) {
    let first = report
        .findings()
        .iter()
        .find(|f| f.outcome == Outcome::Fail);
    assert!(first.is_some(), "nothing was found: {report:#?}");
    let first = first.expect("a failure");
    assert_eq!(first.check, check, "{report:#?}");
    assert!(first.text.contains(text), "{:?}", first.text);
    let found = first.remedy.as_deref().unwrap_or_default();
    assert!(found.contains(remedy), "{found:?}");
    assert!(!report.is_fine());
    assert!(
        report.summary().contains(&check.to_string()),
        "{}",
        report.summary()
    );
    assert_complete(report);
}

/// Checks that there is one finding for each check, a remedy for each failure, and no secret in any.
#[track_caller]
pub(crate) fn assert_complete(report: &Report) {
    for finding in report.findings() {
        let is_failed = finding.outcome == Outcome::Fail;
        assert!(!is_failed || finding.remedy.is_some(), "{finding:?}");
    }
    let checks: Vec<_> = report.findings().iter().map(|f| f.check).collect();
    assert_eq!(checks.len(), 16, "{checks:?}");
    assert!(checks.is_sorted(), "{checks:?}");
    let whole = format!("{report:?}{}", serde_json::to_string(report).expect("JSON"));
    for secret in [
        "PRIVATE KEY-----",
        // What a JWT's second part begins with: the first part's "eyJ" alone may be in any key's base64.
        ".eyJ",
        "Bearer",
        "open sesame",
        "secret-token",
    ] {
        assert!(!whole.contains(secret), "{secret} is revealed: {whole}");
    }
}

#[track_caller]
pub(crate) fn outcome(report: &Report, check: Check) -> Outcome {
    report.finding(check).expect("a finding").outcome
}

/// Answers some requests in the server's place.
struct Interceptor {
    inner: HttpTransport,
    intercept: Box<Intercept>,
}

type Intercept = dyn Fn(&Request) -> Option<(u16, &'static str)> + Send + Sync;

impl fmt::Debug for Interceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interceptor")
    }
}

#[async_trait]
impl Transport for Interceptor {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        let Some((status, body)) = (self.intercept)(&request) else {
            return self.inner.call(request).await;
        };
        let response = http::Response::builder().status(status);
        Ok(response.body(body.into()).expect("a response"))
    }
}

pub(crate) fn intercepted(
    intercept: impl Fn(&Request) -> Option<(u16, &'static str)> + Send + Sync + 'static,
) -> Options {
    Options::new().transport(Interceptor {
        inner: transport(),
        intercept: Box::new(intercept),
    })
}

/// A clock that is off.
#[derive(Debug)]
pub(crate) struct Off {
    pub(crate) ahead: Duration,
    pub(crate) behind: Duration,
}

impl TimeSource for Off {
    fn now(&self) -> SystemTime {
        SystemTime::now() + self.ahead - self.behind
    }
}

/// Takes TLS connections under no name but `name`, vouched for by an unknown authority. Returns the URL and the authority.
pub(crate) async fn tls(name: &str) -> (String, String) {
    let mut params = CertificateParams::new(vec![]).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a configuration");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("a port"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // It ends with the handshake, one way or the other.
            let _ = acceptor.accept(stream).await;
        }
    });
    (url, authority.pem())
}
