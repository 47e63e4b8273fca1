//! Key-pair JWTs, scoped tokens, and who is turned away.

use std::time::{Duration, SystemTime};

use crate::answers::Answers;
use aws_lc_rs::rsa::KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use snowpipe_streaming::auth::Secret;

use crate::auth::keys;
use crate::auth::keys::PublicKey;
use crate::instance::Emulator;
use crate::rig::{
    Client, PIPES, START, START_MS, answered, code, jwt, jwt_of, read, request, settings, text,
};

fn hostname(client: &Client, jwt: &str) -> Response<Bytes> {
    let request = request(
        "GET",
        "/v2/streaming/hostname?requestId=r&retryCount=0",
        jwt,
    )
    .body(Bytes::new())
    .unwrap();
    answered(client.emulator.handle(client.now, request))
}

#[test]
fn the_hostname_is_bare_text() {
    let client = Client {
        emulator: settings().ingest_host("ingest.local").build().unwrap(),
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(START),
        token: String::new(),
    };
    let answer = hostname(&client, &jwt(START, START + 60));
    assert_eq!(answer.status(), 200);
    assert_eq!(text(&answer), "ingest.local");
}

#[test]
fn the_scoped_token_is_a_bare_jwt_and_each_expires_later() {
    let client = Client::of(settings().token_life(Duration::from_secs(600)));
    let expiry = |answer: Response<Bytes>| {
        let token = text(&answer);
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(parts.len(), 3);
        let claims = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
        serde_json::from_slice::<Value>(&claims).unwrap()["exp"].clone()
    };
    assert_eq!(
        expiry(client.exchange(&jwt(START, START + 60))),
        START + 601
    );
    assert_eq!(
        expiry(client.exchange(&jwt(START, START + 60))),
        START + 602
    );
}

#[test]
fn a_jwt_may_count_in_milliseconds() {
    let client = Client::new();
    let good = jwt(START_MS, START_MS + 3_540_000);
    assert_eq!(hostname(&client, &good).status(), 200);
    let late = jwt(START_MS - 3_540_000, START_MS);
    assert_eq!(hostname(&client, &late).status(), 401);
}

#[test]
fn a_jwt_must_be_current_and_live_an_hour_at_most() {
    let client = Client::new();
    for (iat, exp, status) in [
        (START - 3540, START + 1, 200),
        (START - 3540, START, 401),
        (START + 60, START + 120, 200),
        (START + 61, START + 120, 401),
        (START, START + 3600, 200),
        (START, START + 3601, 401),
    ] {
        let answer = hostname(&client, &jwt(iat, exp));
        assert_eq!(answer.status(), status, "{iat} {exp}");
        if status == 401 {
            let (_, body) = read(&answer);
            assert_eq!(code(&body), "390144");
        }
    }
}

#[test]
fn strangers_and_forgers_are_turned_away() {
    let client = Client::new();
    let stranger = Emulator::generate_key().unwrap();
    let ours = keys::shared().unwrap();
    let good = jwt(START, START + 60);
    let (message, _) = good.rsplit_once('.').unwrap();
    let (_, other_signature) = jwt(START, START + 61)
        .rsplit_once('.')
        .map(|(m, s)| (m.to_owned(), s.to_owned()))
        .unwrap();
    let claims = message.split_once('.').unwrap().1;
    let unsigned_header = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"none"}"#);
    for (what, token) in [
        (
            "another key",
            jwt_of(&stranger, "EMULATOR.STREAMING_INGEST", START, START + 60),
        ),
        (
            "another user",
            jwt_of(&ours, "EMULATOR.SOMEBODY", START, START + 60),
        ),
        (
            "another account",
            jwt_of(&ours, "ELSEWHERE.STREAMING_INGEST", START, START + 60),
        ),
        ("another signature", format!("{message}.{other_signature}")),
        ("no signature", format!("{message}.")),
        ("algorithm none", format!("{unsigned_header}.{claims}.")),
        ("no jwt", "secret".to_owned()),
        ("nothing", String::new()),
    ] {
        for answer in [hostname(&client, &token), client.exchange(&token)] {
            let (status, body) = read(&answer);
            assert_eq!((status, code(&body)), (401, "390144"), "{what}");
        }
    }
    let bare = Request::get("http://127.0.0.1/v2/streaming/hostname")
        .header("accept", "*/*")
        .body(Bytes::new())
        .unwrap();
    assert_eq!(
        answered(client.emulator.handle(client.now, bare)).status(),
        401
    );
}

#[test]
fn a_registered_public_key_lets_its_user_in() {
    let key = Emulator::generate_key().unwrap();
    let body: String = key
        .expose()
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let pair = KeyPair::from_pkcs8(&STANDARD.decode(body).unwrap()).unwrap();
    let public: aws_lc_rs::encoding::PublicKeyX509Der<'_> = {
        use aws_lc_rs::encoding::AsDer;
        use aws_lc_rs::signature::KeyPair as _;
        pair.public_key().as_der().unwrap()
    };
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD
            .encode(public.as_ref())
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8(line.to_vec()).unwrap())
            .collect::<Vec<_>>()
            .join("\n")
    );
    let client = Client::of(settings().public_key("other_user", pem));
    let jwt = jwt_of(&key, "EMULATOR.OTHER_USER", START, START + 60);
    assert_eq!(hostname(&client, &jwt).status(), 200);
}

#[test]
fn unreadable_keys_are_an_error_that_names_them() {
    let why = settings().public_key("u", "nonsense").build().unwrap_err();
    assert!(
        why.to_string().contains("public key cannot be read"),
        "{why}"
    );
    let key = Secret::from("-----BEGIN PRIVATE KEY-----\nAAEC\n-----END PRIVATE KEY-----\n");
    let why = settings().private_key(key).build().unwrap_err();
    assert!(why.to_string().contains("openssl genpkey"), "{why}");
    assert!(!why.to_string().contains("AAEC"));
}

#[test]
fn an_exchange_needs_the_grant_and_our_host() {
    let client = Client::new();
    let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
    for (form, status) in [
        (format!("{grant}&scope=127.0.0.1+session%3Arole%3AR"), 200),
        (format!("{grant}&scope=elsewhere"), 400),
        (format!("{grant}&scope=127.0.0.1+nonsense"), 400),
        (format!("{grant}&scope=session%3Arole%3AR+127.0.0.1"), 400),
        (format!("{grant}&scope="), 400),
        (grant.to_owned(), 400),
        ("scope=127.0.0.1".to_owned(), 400),
        (String::new(), 400),
    ] {
        let request = request("POST", "/oauth/token", &jwt(START, START + 60))
            .body(Bytes::from(form.clone()))
            .unwrap();
        let answer = answered(client.emulator.handle(client.now, request));
        assert_eq!(answer.status(), status, "{form}");
    }
}

#[test]
fn the_ingest_host_takes_only_its_own_current_tokens() {
    let mut client = Client::of(settings().token_life(Duration::from_secs(600)));
    client.open("c");
    let good = client.token.clone();

    let elsewhere = Client::new();
    client.token = elsewhere.token;
    assert_eq!(client.try_open("c", "{}").0, 401);

    client.token = good;
    client.pass(599_999);
    assert_eq!(client.try_open("c", "{}").0, 200);
    client.pass(1);
    assert_eq!(client.try_open("c", "{}").0, 401);
}

#[test]
fn a_request_must_say_what_it_accepts() {
    let client = Client::new();
    let request = Request::put(format!("http://127.0.0.1{PIPES}/P/channels/c"))
        .header("authorization", format!("Bearer {}", client.token))
        .body(Bytes::new())
        .unwrap();
    let (status, answer) = read(&answered(client.emulator.handle(client.now, request)));
    assert_eq!((status, code(&answer)), (400, "391902"));
}

#[test]
fn the_profile_is_what_the_official_sdk_reads() {
    let key = keys::shared().unwrap();
    let emulator = settings()
        .account("EXAMPLE")
        .user("LOADER")
        .build()
        .unwrap();
    let profile: Value =
        serde_json::from_str(&emulator.profile_json("http://127.0.0.1:8080")).unwrap();
    assert_eq!(
        profile,
        json!({
            "url": "http://127.0.0.1:8080",
            "account": "EXAMPLE",
            "user": "LOADER",
            "private_key": key.expose(),
        })
    );
    assert!(key.expose().starts_with("-----BEGIN PRIVATE KEY-----\n"));
}

#[test]
fn no_secret_shows_in_debug() {
    let emulator = settings().build().unwrap();
    let shown = format!("{emulator:?} {:?}", emulator.handler());
    assert!(!shown.contains("PRIVATE KEY"), "{shown}");
}

/// Made by openssl, and so is the fingerprint: `openssl rsa -pubin -outform DER | openssl dgst -sha256 -binary | base64`.
const PUBLIC_PEM: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA6LAgx1oosmGP1wai6kPm\n\
uE8/bueVJhMVryX4ziTsZtiQFM7J55/3S6FcbpAZI4Y4XHYwk3Zaxt3ixOFeKFCU\n\
MRmXyer3/FumMNJ7fq1/8bxMWCMTCDZD07oeAnIaZju6U8sHc0u/+zvI8DqdI8TN\n\
fSzxuAxDDaiGEI2H99Wz1jIgezq29442lk20lSf3BywxEz2uFl454oO3A6X+pYfm\n\
KsvLmW+S6pPCS+9EB4NzzqCOXhIU/WGvUZjdaH0sIFkQGdjA0WxsvobdmMQbXfKr\n\
qDABpHGOJX2cYpWQB1OGuDvBJjBLFzeyNBJ8NZkH6OTjnE6nFXyF3SoXtiR1BJlM\n\
mwIDAQAB\n\
-----END PUBLIC KEY-----\n";

#[test]
fn a_fingerprint_is_what_openssl_computes() {
    let key = PublicKey::from_pem(PUBLIC_PEM).unwrap();
    assert_eq!(
        key.fingerprint(),
        "SHA256:Z/o72oAXOoe5y9zDJrMIxe45DTIg2r0uvnqrZxcRIVM="
    );
}

#[test]
fn an_exchange_ends_the_earlier_token_of_its_own_user_alone() {
    let key = keys::shared().unwrap();
    let answers = Answers::default()
        .with("wire.earlier_token", "dies")
        .unwrap();
    let public = Emulator::public_key_of(&key).unwrap();
    let mut client = Client::of(settings().answers(answers).public_key("OTHER", public));
    let opens = |client: &Client| client.try_open("c", "{}").0;
    let first = client.token.clone();
    let other = jwt_of(&key, "EMULATOR.OTHER", START, START + 60);
    assert_eq!(client.exchange(&other).status(), 200);
    assert_eq!(client.exchange("no.j.wt").status(), 401);
    assert_eq!(opens(&client), 200);
    client.login();
    assert_eq!(opens(&client), 200);
    client.token = first;
    assert_eq!(opens(&client), 401);
}

/// A request with these headers.
fn call(client: &Client, headers: &[(&str, &str)], to: (&str, &str), body: &str) -> (u16, String) {
    let mut request = Request::builder()
        .method(to.0)
        .uri(format!("http://127.0.0.1{}", to.1))
        .header("accept", "*/*");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Bytes::from(body.to_owned())).unwrap();
    let answer = answered(client.emulator.handle(client.now, request));
    (answer.status().as_u16(), text(&answer))
}

/// An exchange of the JWT in the form, without `Authorization`.
fn assert_jwt(client: &Client, scope: &str) -> (u16, String) {
    let jwt = jwt(START, START + 60);
    let mut form =
        format!("grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion={jwt}");
    if !scope.is_empty() {
        form.push_str("&scope=");
        form.push_str(&scope.replace(' ', "+"));
    }
    call(client, &[], ("POST", "/oauth/token"), &form)
}

const HOSTNAME: (&str, &str) = ("GET", "/v2/streaming/hostname");

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// supabase/etl, crates/etl-destinations/src/snowflake/auth.rs: the token is for both hosts, and has no type.
#[test]
fn an_assertion_without_a_scope_gives_a_token_for_both_hosts() {
    let mut client = Client::new();
    let (status, token) = assert_jwt(&client, "");
    assert_eq!(status, 200, "{token}");
    let headers = [("authorization", &*bearer(&token))];
    assert_eq!(
        call(&client, &headers, HOSTNAME, ""),
        (200, "127.0.0.1".to_owned())
    );
    client.token.clone_from(&token);
    let next = client.open("c");
    client.append("c", &next, "1", "{\"n\":1}\n");
    client.emulator.commit_now();
    assert_eq!(client.committed("c"), "1");
    #[cfg(feature = "server")]
    {
        let to = ("POST", "/api/v2/statements");
        assert_eq!(
            call(&client, &headers, to, r#"{"statement":"SELECT 1"}"#).0,
            200
        );
        // A token for the ingest host is no credential of the account.
        let (_, scoped) = assert_jwt(&client, "127.0.0.1");
        let headers = [("authorization", &*bearer(&scoped))];
        assert_eq!(
            call(&client, &headers, to, r#"{"statement":"SELECT 1"}"#).0,
            401
        );
        assert_eq!(call(&client, &headers, HOSTNAME, "").0, 401);
    }
    client.pass(3_600_000 + 2_000);
    assert_eq!(call(&client, &headers, HOSTNAME, "").0, 401, "it has ended");
}

#[test]
fn what_is_asserted_is_a_good_key_pair_jwt() {
    let client = Client::of(settings().access_token("pat", None));
    let grant = "grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer";
    let late = jwt(START - 60, START);
    for assertion in ["pat", "no.j.wt", "", &late, &client.token] {
        let form = format!("{grant}&assertion={assertion}");
        let (status, answer) = call(&client, &[], ("POST", "/oauth/token"), &form);
        assert_eq!(status, 401, "{assertion}: {answer}");
    }
    let good = jwt(START, START + 60);
    let other_grant = format!("grant_type=client_credentials&assertion={good}");
    assert_eq!(
        call(&client, &[], ("POST", "/oauth/token"), &other_grant).0,
        400
    );
    // The header counts, and with it there is a scope.
    let headers = [("authorization", &*bearer(&good))];
    let form = format!("{grant}&assertion={good}");
    assert_eq!(
        call(&client, &headers, ("POST", "/oauth/token"), &form).0,
        400
    );
}

/// redpanda-data/connect, `streaming_pipe_scope_probe_it_test.go`: each form works, and the role is enforced.
#[test]
fn a_scope_is_the_host_or_a_role_or_both() {
    let client = Client::new();
    let path = format!("{PIPES}/T-STREAMING:bulk-channel-status");
    let body = r#"{"channel_names":["scope-probe"]}"#;
    for (scope, status) in [
        ("127.0.0.1", 200),
        ("session:role:LOADER", 200),
        ("127.0.0.1 session:role:LOADER", 200),
        ("127.0.0.1 session:role:PUBLIC", 404),
        ("session:role:public", 404),
    ] {
        let (minted, token) = assert_jwt(&client, scope);
        assert_eq!(minted, 200, "{scope}: {token}");
        let headers = [
            ("authorization", &*bearer(&token)),
            ("x-snowflake-authorization-token-type", "OAUTH"),
        ];
        let (seen, answer) = call(&client, &headers, ("POST", &path), body);
        assert_eq!(seen, status, "{scope}: {answer}");
        let is_refused = answer.contains("ERR_DATABASE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED")
            && answer
                .to_uppercase()
                .contains("ROLE PUBLIC FAILED TO RETRIEVE PIPE");
        assert_eq!(is_refused, status == 404, "{answer}");
    }
}

/// littleK0i/SnowDDL, pull request 330, test PI004: the open, on the account host. redpanda-data/connect, streamingv2: the status.
#[test]
fn a_key_pair_jwt_opens_and_asks_as_it_is_but_sends_no_rows() {
    let mut client = Client::new();
    client.token = jwt(START, START + 60);
    let body = r#"{"offset_token":null,"fail_on_uncommitted_rows":false}"#;
    let path = format!("{PIPES}/T-STREAMING/channels/c");
    let token = bearer(&client.token);
    for kind in ["KEYPAIR_JWT", "OAUTH"] {
        let headers = [
            ("authorization", &*token),
            ("x-snowflake-authorization-token-type", kind),
        ];
        let (status, answer) = call(&client, &headers, ("PUT", &path), body);
        assert_eq!(status == 200, kind == "KEYPAIR_JWT", "{kind}: {answer}");
    }
    assert_eq!(client.status("c")["channel_status_code"], "SUCCESS");
    let (status, answer) = client.try_append("c", "0_1", "1", "{}\n");
    assert_eq!((status, code(&answer)), (401, "390303"));
    client.token = jwt(START - 60, START);
    assert_eq!(client.try_open("c", "{}").0, 401);
}

/// "Authenticating Snowflake REST APIs with Snowflake"; clients that run on accounts send it to the ingest host as it is.
#[test]
fn a_programmatic_access_token_streams_as_it_is() {
    let mut client = Client::of(settings().access_token("pat", Some("LOADER")));
    client.token = "pat".to_owned();
    let next = client.open("c");
    client.append("c", &next, "1", "{\"n\":1}\n");
    client.emulator.commit_now();
    assert_eq!(client.committed("c"), "1");
    client.token = "pat2".to_owned();
    assert_eq!(client.try_open("c", "{}").0, 401);
}
