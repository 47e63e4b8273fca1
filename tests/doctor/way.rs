//! The profile, its key, the clock, and the way to the hosts.

use std::time::Duration;

use snowpipe_streaming::Profile;
use snowpipe_streaming::doctor::{self, Check, Options, Outcome};
use snowpipe_streaming::transport::HttpTransport;
use snowpipe_streaming_emulator::{Emulator, Server, Tls};
use tokio::net::{TcpListener, TcpSocket};

use crate::world::{
    KEYS, Off, World, assert_complete, assert_found, examine, examine_with, intercepted, outcome,
    pipe, tls, transport,
};

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
    assert!(
        key.remedy
            .as_deref()
            .is_some_and(|remedy| remedy.contains(&line))
    );
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
    for (profile, text, remedy) in [
        (
            Profile::from_file("/nonexistent/profile.json"),
            "/nonexistent/profile.json",
            "files that are named there have to exist",
        ),
        (Profile::from_json("{"), "not valid JSON", ""),
        (
            Profile::from_json(r#"{"account": "A"}"#),
            "user is missing",
            "set \"user\"",
        ),
    ] {
        let report = doctor::examine(profile, Some(&pipe()), &Options::new()).await;
        assert_found(&report, Check::Profile, text, remedy);
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
    for (profile, text, remedy) in [
        (file("absent.p8"), "absent.p8", "have to exist"),
        (
            file("README.md"),
            "not an RSA private key in PEM, base64 or DER",
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
        assert_found(&report, Check::PrivateKey, text, remedy);
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
    let remedy = format!(
        "ALTER USER STREAMING_INGEST SET RSA_PUBLIC_KEY='{}'",
        unregistered.rsa_public_key().expect("a key")
    );
    let report = examine(unregistered).await;
    assert_found(&report, Check::IngestHost, "401", &remedy);
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
    let remedy = "check account and user in the profile, which make the subject ORG-ELSEWHERE.STREAMING_INGEST";
    assert_found(&report, Check::IngestHost, "401", remedy);
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
        "set the clock, and synchronize it with NTP",
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

/// A port without a listener, reserved for as long as the socket exists.
fn closed() -> (TcpSocket, u16) {
    let held = TcpSocket::new_v4().expect("a socket");
    held.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let port = held.local_addr().expect("a port").port();
    (held, port)
}

/// Whether the environment names a proxy: hosts elsewhere are its affair then, and not looked for.
fn is_behind_a_proxy() -> bool {
    std::env::vars_os().any(|(name, _)| {
        let name = name.to_string_lossy().to_ascii_uppercase();
        name == "HTTPS_PROXY" || name == "ALL_PROXY"
    })
}

#[tokio::test]
async fn a_host_that_cannot_be_reached() {
    let world = World::new().await;
    let (_held, port) = closed();
    let report = examine(world.profile().with_url(format!("http://127.0.0.1:{port}"))).await;
    assert_found(
        &report,
        Check::Tcp,
        &format!("no connection to 127.0.0.1:{port}"),
        "firewall",
    );
    assert_eq!(outcome(&report, Check::Dns), Outcome::Ok);
    assert_eq!(outcome(&report, Check::Tls), Outcome::Skipped);

    if is_behind_a_proxy() {
        return;
    }
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
        // What comes before is to be through within it, however busy the machine is.
        .timeout(Duration::from_secs(2));
    let report = examine_with(world.profile().with_url(url), &pipe(), options).await;
    assert_found(
        &report,
        Check::Tls,
        "no answer within 2s",
        "any proxy on the way",
    );
}

fn trusting(authority: &str) -> HttpTransport {
    HttpTransport::builder()
        .no_proxy()
        .add_root_certificate_pem(authority.as_bytes())
        .and_then(snowpipe_streaming::transport::HttpTransportBuilder::build)
        .expect("a transport")
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_or_of_another_name() {
    let emulator = Emulator::builder().build().expect("an emulator");
    let known = Tls::generate(["localhost"]).expect("a certificate");
    let server = Server::builder(emulator).tls(known.clone()).bind().await;
    let world = World {
        server: server.expect("a port"),
    };
    assert_found(&world.examine().await, Check::Tls, "127.0.0.1", "--ca FILE");

    let options = Options::new().transport(trusting(known.authority_pem()));
    let report = examine_with(world.profile(), &pipe(), options).await;
    assert!(report.is_fine(), "{report:#?}");
    for check in [Check::Tls, Check::IngestTls, Check::Channel] {
        assert_eq!(outcome(&report, check), Outcome::Ok, "{check}");
    }

    let (url, authority) = tls("elsewhere.invalid").await;
    let options = Options::new().transport(trusting(&authority));
    let report = examine_with(world.profile().with_url(url), &pipe(), options).await;
    assert_found(
        &report,
        Check::Tls,
        "127.0.0.1",
        "the certificate is for another host",
    );
}

#[tokio::test]
async fn an_ingest_host_that_cannot_be_reached() {
    let world = World::new().await;
    let (_held, port) = closed();
    let host = Box::leak(format!("127.0.0.1:{port}").into_boxed_str());
    let elsewhere = intercepted(|request| {
        (request.uri().path() == "/v2/streaming/hostname").then_some((200, &*host))
    });
    let report = examine_with(world.profile(), &pipe(), elsewhere).await;
    assert_found(
        &report,
        Check::IngestTcp,
        &format!("no connection to 127.0.0.1:{port}"),
        "firewall",
    );

    if is_behind_a_proxy() {
        return;
    }
    let nowhere = intercepted(|request| {
        let asked = request.uri().path() == "/v2/streaming/hostname";
        asked.then_some((200, "https://ingest.invalid"))
    });
    let report = examine_with(world.profile(), &pipe(), nowhere).await;
    assert_found(
        &report,
        Check::IngestDns,
        r#""ingest.invalid" does not resolve"#,
        "make it resolvable in this machine's DNS",
    );
    assert_eq!(outcome(&report, Check::IngestHost), Outcome::Ok);
    assert_eq!(outcome(&report, Check::Token), Outcome::Skipped);
}

#[tokio::test]
async fn the_form_of_a_key_is_reported() {
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
