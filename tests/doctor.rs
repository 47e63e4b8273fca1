//! Faults that are planted one by one: the doctor finds each at the right check, names its mend, and tells no secret.
#![expect(
    clippy::expect_used,
    reason = "a test that cannot go on says what it lacks"
)]

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use snowpipe_streaming::doctor::{self, Check, Options, Outcome, Report};
use snowpipe_streaming::emulator::tables::Catalog;
use snowpipe_streaming::emulator::{Emulator, EmulatorBuilder, Endpoint, Fault, Limits, Server};
use snowpipe_streaming::{
    HttpTransport, PipePath, Profile, Request, Response, TimeSource, Transport, TransportError,
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

const DDL: &str = "
    CREATE TABLE RESORT.PUBLIC.RIDE (TXID VARCHAR);
    CREATE PIPE RESORT.PUBLIC.RIDE_PIPE AS COPY INTO RESORT.PUBLIC.RIDE
        FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) MATCH_BY_COLUMN_NAME = CASE_SENSITIVE;";

const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys");

/// An emulator on loopback.
struct World {
    server: Server,
}

impl World {
    async fn new() -> Self {
        Self::of(|builder| builder).await
    }

    async fn of(set: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder) -> Self {
        let builder = Emulator::builder().catalog(Catalog::from_ddl(DDL).expect("a catalog"));
        let emulator = set(builder).build().expect("an emulator");
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::bind(emulator, any_port).await.expect("a port");
        Self { server }
    }

    fn emulator(&self) -> &Emulator {
        self.server.emulator()
    }

    fn profile(&self) -> Profile {
        let json = self.emulator().profile_json(&self.server.url());
        Profile::from_json(&json).expect("a profile")
    }

    async fn examine(&self) -> Report {
        examine(self.profile()).await
    }

    /// How many channels are left behind.
    fn channels(&self) -> usize {
        let log = self.emulator().log();
        let opened = log.iter().filter(|r| r.endpoint == Endpoint::Open);
        let names = opened.flat_map(|request| &request.channels);
        let is_there = |name: &&String| self.emulator().channel(name).is_some();
        names.filter(is_there).count()
    }
}

fn pipe() -> PipePath {
    PipePath::new("RESORT", "PUBLIC", "RIDE_PIPE").expect("a name")
}

fn transport() -> HttpTransport {
    HttpTransport::builder()
        .no_proxy()
        .build()
        .expect("a transport")
}

async fn examine(profile: Profile) -> Report {
    examine_with(profile, &pipe(), Options::new().transport(transport())).await
}

async fn examine_with(profile: Profile, pipe: &PipePath, options: Options) -> Report {
    doctor::examine(Ok(profile), Some(pipe), &options).await
}

/// Checks that the first failure is at `check`, and that text and mend say these things.
#[track_caller]
fn assert_found(report: &Report, check: Check, text: &str, mend: &str) {
    let first = report
        .findings()
        .iter()
        .find(|f| f.outcome == Outcome::Fail);
    let Some(first) = first else {
        panic!("nothing was found: {report:#?}");
    };
    assert_eq!(first.check, check, "{report:#?}");
    assert!(first.text.contains(text), "{:?}", first.text);
    let told = first.mend.as_deref().unwrap_or_default();
    assert!(told.contains(mend), "{told:?}");
    assert!(!report.is_fine());
    assert!(
        report.summary().contains(&check.to_string()),
        "{}",
        report.summary()
    );
    assert_complete(report);
}

/// Checks that there is one finding for each check, and no secret in any.
#[track_caller]
fn assert_complete(report: &Report) {
    let checks: Vec<_> = report.findings().iter().map(|f| f.check).collect();
    assert_eq!(checks.len(), 16, "{checks:?}");
    assert!(checks.is_sorted(), "{checks:?}");
    let whole = format!("{report:?}{}", serde_json::to_string(report).expect("JSON"));
    for secret in [
        "PRIVATE KEY-----",
        "eyJ",
        "Bearer",
        "open sesame",
        "secret-token",
    ] {
        assert!(!whole.contains(secret), "{secret} is told: {whole}");
    }
}

#[track_caller]
fn outcome(report: &Report, check: Check) -> Outcome {
    report.finding(check).expect("a finding").outcome
}

/// Answers some requests in the server's place.
struct Meddled {
    inner: HttpTransport,
    meddle: Box<Meddle>,
}

type Meddle = dyn Fn(&Request) -> Option<(u16, &'static str)> + Send + Sync;

impl fmt::Debug for Meddled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meddled")
    }
}

#[async_trait]
impl Transport for Meddled {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        let Some((status, body)) = (self.meddle)(&request) else {
            return self.inner.call(request).await;
        };
        let response = http::Response::builder().status(status);
        Ok(response.body(body.into()).expect("a response"))
    }
}

fn meddled(
    meddle: impl Fn(&Request) -> Option<(u16, &'static str)> + Send + Sync + 'static,
) -> Options {
    Options::new().transport(Meddled {
        inner: transport(),
        meddle: Box::new(meddle),
    })
}

/// A clock that is off.
#[derive(Debug)]
struct Off {
    ahead: Duration,
    behind: Duration,
}

impl TimeSource for Off {
    fn now(&self) -> SystemTime {
        SystemTime::now() + self.ahead - self.behind
    }
}

#[tokio::test]
async fn all_is_well() {
    let world = World::new().await;
    let report = world.examine().await;
    assert_complete(&report);
    assert!(report.is_fine(), "{report:#?}");
    for finding in report.findings() {
        // The URL is plain loopback HTTP.
        let expected = match finding.check {
            Check::Tls | Check::IngestTls => Outcome::Skipped,
            _ => Outcome::Ok,
        };
        assert_eq!(finding.outcome, expected, "{finding:?}");
    }
    assert_eq!(report.summary(), "No check failed.");
    let key = report.finding(Check::PrivateKey).expect("a finding");
    let line = format!(
        "ALTER USER STREAMING_INGEST SET RSA_PUBLIC_KEY='{}'",
        world.profile().rsa_public_key().expect("a key")
    );
    assert!(key.mend.as_deref().is_some_and(|mend| mend.contains(&line)));
    assert!(key.text.contains("fingerprint SHA256:"), "{}", key.text);
    let identity = &report.finding(Check::Identity).expect("a finding").text;
    assert!(
        identity.contains(
            "subject EMULATOR.STREAMING_INGEST, issuer EMULATOR.STREAMING_INGEST.SHA256:"
        ),
        "{identity}"
    );
    assert_eq!(world.channels(), 0, "the probe was dropped");
}

#[tokio::test]
async fn without_a_pipe_it_goes_as_far_as_the_role() {
    let world = World::new().await;
    let options = Options::new().transport(transport());
    let report = doctor::examine(Ok(world.profile()), None, &options).await;
    assert_complete(&report);
    assert!(report.is_fine(), "{report:#?}");
    assert_eq!(outcome(&report, Check::Role), Outcome::Ok);
    assert_eq!(outcome(&report, Check::Pipe), Outcome::Skipped);
}

#[tokio::test]
async fn a_profile_that_cannot_be_read() {
    for (profile, text, mend) in [
        (
            Profile::from_file("/nonexistent/profile.json"),
            "/nonexistent/profile.json",
            "",
        ),
        (Profile::from_json("{"), "not valid JSON", ""),
        (
            Profile::from_json(r#"{"account": "A"}"#),
            "user is missing",
            "set \"user\"",
        ),
    ] {
        let report = doctor::examine(profile, Some(&pipe()), &Options::new()).await;
        assert_found(&report, Check::Profile, text, mend);
        assert_eq!(outcome(&report, Check::PrivateKey), Outcome::Skipped);
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_used() {
    let world = World::new().await;
    let file = |name: &str| {
        world
            .profile()
            .with_private_key_file(format!("{KEYS}/{name}"))
    };
    for (profile, text, mend) in [
        (file("absent.p8"), "absent.p8", ""),
        (
            file("README.md"),
            "neither PEM, base64 nor DER",
            "openssl pkcs8 -topk8",
        ),
        (file("rsa_public.pem"), "public key", ""),
        (file("ec_p8.pem"), "EC key", "openssl genrsa"),
        (file("rsa_1024.pem"), "1024 bits", "openssl genrsa 2048"),
        (
            file("rsa_p8_aes256.pem"),
            "no passphrase was given",
            "set private_key_passphrase",
        ),
        (
            file("rsa_p8_aes256.pem").with_private_key_passphrase("open sesame"),
            "the passphrase is wrong",
            "openssl pkcs8",
        ),
        (
            file("rsa_traditional_encrypted.pem"),
            "traditional PEM format",
            "openssl pkcs8 -topk8",
        ),
    ] {
        let report = examine(profile).await;
        assert_found(&report, Check::PrivateKey, text, mend);
        // The network is looked at all the same.
        assert_eq!(outcome(&report, Check::Tcp), Outcome::Ok);
        assert_eq!(outcome(&report, Check::IngestHost), Outcome::Skipped);
    }
}

#[tokio::test]
async fn a_key_user_or_account_that_the_server_does_not_know() {
    let world = World::new().await;
    let other = Emulator::generate_key().expect("a key");
    let unregistered = world.profile().with_private_key(other);
    let mend = format!(
        "ALTER USER STREAMING_INGEST SET RSA_PUBLIC_KEY='{}'",
        unregistered.rsa_public_key().expect("a key")
    );
    let report = examine(unregistered).await;
    assert_found(&report, Check::IngestHost, "401", &mend);
    assert!(report.summary().contains("login"), "{}", report.summary());

    let report = examine(world.profile().with_user("nobody")).await;
    assert_found(
        &report,
        Check::IngestHost,
        "390144",
        "DESC USER nobody has to show the fingerprint",
    );

    let json = world.emulator().profile_json(&world.server.url());
    let elsewhere = json.replace("EMULATOR", "ORG-ELSEWHERE");
    let report = examine(Profile::from_json(&elsewhere).expect("a profile")).await;
    let mend = "check account and user in the profile: they make the subject ORG-ELSEWHERE.STREAMING_INGEST";
    assert_found(&report, Check::IngestHost, "401", mend);
}

#[tokio::test]
async fn an_access_token_that_the_server_does_not_know() {
    let world = World::new().await;
    let json = format!(
        r#"{{"url": "{}", "account": "EMULATOR", "authorization_type": "PAT", "personal_access_token": "secret-token"}}"#,
        world.server.url()
    );
    let report = examine(Profile::from_json(&json).expect("a profile")).await;
    assert_found(
        &report,
        Check::IngestHost,
        "401",
        "SHOW USER PROGRAMMATIC ACCESS TOKENS",
    );
    assert_eq!(outcome(&report, Check::PrivateKey), Outcome::Skipped);
}

#[tokio::test]
async fn a_clock_that_is_off() {
    let world = World::new().await;
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let examined = async |ahead, behind| {
        let options = Options::new()
            .transport(transport())
            .time_source(Off { ahead, behind });
        examine_with(world.profile(), &pipe(), options).await
    };
    let report = examined(minutes(10), minutes(0)).await;
    assert_found(
        &report,
        Check::Clock,
        "clock is",
        "set the clock, and keep it with NTP",
    );
    let text = &report.finding(Check::Clock).expect("a finding").text;
    assert!(text.contains("s ahead of the server's"), "{text}");
    let report = examined(minutes(0), minutes(10)).await;
    assert_found(
        &report,
        Check::Clock,
        "s behind the server's",
        "set the clock",
    );

    let report = examined(Duration::from_secs(45), minutes(0)).await;
    assert!(report.is_fine(), "{report:#?}");
    assert_eq!(outcome(&report, Check::Clock), Outcome::Warn);
    assert_eq!(report.summary(), "No check failed, 1 warned.");
}

#[tokio::test]
async fn a_host_that_cannot_be_reached() {
    let world = World::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = taken.local_addr().expect("a port").port();
    drop(taken);
    let report = examine(world.profile().with_url(format!("http://127.0.0.1:{port}"))).await;
    assert_found(
        &report,
        Check::Tcp,
        &format!("no connection to 127.0.0.1:{port}"),
        "firewall",
    );
    assert_eq!(outcome(&report, Check::Dns), Outcome::Ok);
    assert_eq!(outcome(&report, Check::Tls), Outcome::Skipped);

    let report = examine(world.profile().with_url("https://account.invalid")).await;
    assert_found(
        &report,
        Check::Dns,
        r#""account.invalid" does not resolve"#,
        "check account and url in the profile",
    );
    assert_eq!(outcome(&report, Check::Tcp), Outcome::Skipped);
}

#[tokio::test]
async fn a_server_that_never_answers() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("a port"));
    let world = World::new().await;
    let options = Options::new()
        .transport(transport())
        .timeout(Duration::from_millis(100));
    let report = examine_with(world.profile().with_url(url), &pipe(), options).await;
    assert_found(
        &report,
        Check::Tls,
        "no answer within 100ms",
        "any proxy between",
    );
}

/// Takes TLS connections as `name`, vouched for by an authority that nobody knows. Returns the URL and the authority.
async fn tls(name: &str) -> (String, String) {
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

#[tokio::test]
async fn a_certificate_that_is_not_trusted_or_of_another_name() {
    let world = World::new().await;
    let (url, _) = tls("127.0.0.1").await;
    let report = examine(world.profile().with_url(url)).await;
    assert_found(&report, Check::Tls, "127.0.0.1", "--ca FILE");

    let (url, authority) = tls("elsewhere.invalid").await;
    let trusting = HttpTransport::builder()
        .no_proxy()
        .add_root_certificate_pem(authority.as_bytes())
        .and_then(snowpipe_streaming::HttpTransportBuilder::build)
        .expect("a transport");
    let options = Options::new().transport(trusting);
    let report = examine_with(world.profile().with_url(url), &pipe(), options).await;
    assert_found(
        &report,
        Check::Tls,
        "127.0.0.1",
        "the certificate is another host's",
    );
}

#[tokio::test]
async fn an_ingest_host_that_cannot_be_reached() {
    let world = World::of(|builder| builder.ingest_host("ingest.invalid")).await;
    let report = world.examine().await;
    assert_found(
        &report,
        Check::IngestDns,
        r#""ingest.invalid" does not resolve"#,
        "allow it in this machine's DNS",
    );
    assert_eq!(outcome(&report, Check::IngestHost), Outcome::Ok);
    assert_eq!(outcome(&report, Check::Token), Outcome::Skipped);

    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = taken.local_addr().expect("a port").port();
    drop(taken);
    let world = World::new().await;
    let host = Box::leak(format!("127.0.0.1:{port}").into_boxed_str());
    let elsewhere = meddled(|request| {
        (request.uri().path() == "/v2/streaming/hostname").then_some((200, &*host))
    });
    let report = examine_with(world.profile(), &pipe(), elsewhere).await;
    assert_found(
        &report,
        Check::IngestTcp,
        &format!("no connection to 127.0.0.1:{port}"),
        "firewall",
    );
}

#[tokio::test]
async fn a_login_that_is_forbidden_or_not_found() {
    let world = World::new().await;
    for (endpoint, check) in [
        (Endpoint::Hostname, Check::IngestHost),
        (Endpoint::Token, Check::Token),
    ] {
        world
            .emulator()
            .faults()
            .push(Fault::Forbidden.on(endpoint).always());
        let report = world.examine().await;
        assert_found(&report, check, "403", "network policy");
        world.emulator().faults().clear();
    }
    world
        .emulator()
        .faults()
        .push(Fault::BareNotFound.on(Endpoint::Hostname));
    let report = world.examine().await;
    assert_found(&report, Check::IngestHost, "404", "CREATE PIPE");
}

#[tokio::test]
async fn a_role_that_the_user_may_not_assume() {
    let world = World::new().await;
    let without = |request: &Request| {
        let body = String::from_utf8_lossy(request.body());
        let is_asked =
            request.uri().path() == "/oauth/token" && body.contains("session%3Arole%3ANOBODY");
        is_asked.then_some((
            400,
            r#"{"code": "390186", "message": "Role NOBODY is not granted."}"#,
        ))
    };
    let profile = world.profile().with_role("NOBODY");
    let report = examine_with(profile, &pipe(), meddled(without)).await;
    assert_found(
        &report,
        Check::Role,
        "Role NOBODY is not granted",
        "GRANT ROLE NOBODY TO USER STREAMING_INGEST",
    );
    assert_eq!(outcome(&report, Check::Token), Outcome::Ok);
    assert_eq!(outcome(&report, Check::Pipe), Outcome::Skipped);

    // It is not the role if there is no token without it either.
    let never = |request: &Request| (request.uri().path() == "/oauth/token").then_some((400, "{}"));
    let profile = world.profile().with_role("NOBODY");
    let report = examine_with(profile, &pipe(), meddled(never)).await;
    assert_found(&report, Check::Token, "400", "");
    assert_eq!(outcome(&report, Check::Role), Outcome::Skipped);
}

#[tokio::test]
async fn a_pipe_or_table_that_is_not_there() {
    let world = World::new().await;
    let options = || Options::new().transport(transport());
    let missing = PipePath::new("RESORT", "PUBLIC", "NOTHING").expect("a name");
    let report = examine_with(world.profile(), &missing, options()).await;
    assert_found(
        &report,
        Check::Pipe,
        "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED",
        "SHOW PIPES IN SCHEMA RESORT.PUBLIC",
    );
    assert_eq!(outcome(&report, Check::Channel), Outcome::Skipped);

    // A default pipe may come into being with its first channel, and here it does not.
    let missing = PipePath::for_table("RESORT", "PUBLIC", "NOTHING").expect("a name");
    let report = examine_with(world.profile(), &missing, options()).await;
    assert_found(
        &report,
        Check::Channel,
        "404",
        "check that the table RESORT.PUBLIC.NOTHING exists",
    );
    assert_eq!(outcome(&report, Check::Pipe), Outcome::Warn);
    assert_eq!(outcome(&report, Check::Drop), Outcome::Skipped);
}

#[tokio::test]
async fn a_pipe_that_the_role_may_not_use() {
    let world = World::new().await;
    world
        .emulator()
        .faults()
        .push(Fault::Forbidden.on(Endpoint::Status).always());
    let report = examine(world.profile().with_role("LOADER")).await;
    let mend = "GRANT OPERATE ON PIPE RESORT.PUBLIC.RIDE_PIPE TO ROLE LOADER";
    assert_found(&report, Check::Pipe, "403", mend);
}

#[tokio::test]
async fn a_pipe_that_is_broken() {
    let world = World::new().await;
    let status = |request: &Request| {
        let is_asked = request.uri().path().ends_with(":bulk-channel-status");
        is_asked.then_some((
            409,
            r#"{"code": "ERR_PIPE_IN_INVALID_STATE", "message": "It is."}"#,
        ))
    };
    let report = examine_with(world.profile(), &pipe(), meddled(status)).await;
    assert_found(
        &report,
        Check::Pipe,
        "ERR_PIPE_IN_INVALID_STATE",
        "repair the pipe and its table",
    );

    // It opens all the same, with 200.
    let opened = |request: &Request| {
        (request.method() == http::Method::PUT).then_some((
            200,
            r#"{"next_continuation_token": "0_1", "channel_status": {"channel_status_code": "ERR_PIPE_IN_INVALID_STATE"}}"#,
        ))
    };
    let report = examine_with(world.profile(), &pipe(), meddled(opened)).await;
    assert_found(
        &report,
        Check::Channel,
        "its status is ERR_PIPE_IN_INVALID_STATE",
        "DESC PIPE RESORT.PUBLIC.RIDE_PIPE",
    );
    let dropped = world.emulator().log();
    assert!(
        dropped.iter().any(|r| r.endpoint == Endpoint::Drop),
        "the probe is dropped"
    );
}

#[tokio::test]
async fn a_server_that_asks_to_slow_down() {
    for (endpoint, check) in [
        (Endpoint::Hostname, Check::IngestHost),
        (Endpoint::Token, Check::Token),
        (Endpoint::Status, Check::Pipe),
        (Endpoint::Open, Check::Channel),
    ] {
        let world = World::new().await;
        world
            .emulator()
            .faults()
            .push(Fault::Throttle(None).on(endpoint).always());
        let report = world.examine().await;
        assert_found(&report, check, "429", "wait a minute and run this again");
    }
}

#[tokio::test]
async fn a_pipe_that_has_all_the_channels_it_may_have() {
    let limits = Limits {
        channels_per_pipe: Some(0),
        ..Limits::default()
    };
    let world = World::of(|builder| builder.limits(limits)).await;
    let report = world.examine().await;
    let mend = "SHOW CHANNELS IN PIPE RESORT.PUBLIC.RIDE_PIPE";
    assert_found(
        &report,
        Check::Channel,
        "ERR_CHANNEL_LIMIT_EXCEEDED_FOR_PIPE",
        mend,
    );
    assert_eq!(outcome(&report, Check::Drop), Outcome::Skipped);
}

#[tokio::test]
async fn a_probe_that_may_be_open_is_dropped() {
    let world = World::new().await;
    world
        .emulator()
        .faults()
        .push(Fault::ApplyThenLose.on(Endpoint::Open));
    let report = world.examine().await;
    assert_found(&report, Check::Channel, "broke before the answer", "");
    assert_eq!(outcome(&report, Check::Drop), Outcome::Ok);
    assert_eq!(world.channels(), 0);

    // The first try to drop it fails.
    world
        .emulator()
        .faults()
        .push(Fault::ServerError(503).on(Endpoint::Drop));
    let report = world.examine().await;
    assert!(report.is_fine(), "{report:#?}");
    assert_eq!(world.channels(), 0);
}

#[tokio::test]
async fn a_probe_that_cannot_be_dropped() {
    let world = World::new().await;
    world
        .emulator()
        .faults()
        .push(Fault::Forbidden.on(Endpoint::Drop).always());
    let report = world.examine().await;
    assert_found(&report, Check::Drop, "403", "idle for thirty days");
    assert_eq!(outcome(&report, Check::Channel), Outcome::Ok);
}

#[tokio::test]
async fn the_form_of_a_key_is_told() {
    let public = std::fs::read_to_string(format!("{KEYS}/rsa_public.pem")).expect("a key");
    let world = World::of(|builder| builder.public_key("STREAMING_INGEST", public)).await;
    for (file, form) in [
        ("rsa_p8_aes256.pem", "encrypted PKCS#8 PEM;"),
        ("rsa_p8.pem", "PKCS#8 PEM, not encrypted;"),
        ("rsa_pkcs1.pem", "PKCS#1 PEM, not encrypted;"),
    ] {
        let profile = world
            .profile()
            .with_private_key_file(format!("{KEYS}/{file}"));
        let report = examine(profile.with_private_key_passphrase("snowpipe")).await;
        assert!(report.is_fine(), "{report:#?}");
        let text = &report.finding(Check::PrivateKey).expect("a finding").text;
        assert!(text.contains(form), "{text}");
    }
}
