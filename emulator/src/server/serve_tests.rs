//! The server over real sockets: a client's whole way, faults, limits of where it listens, and its end.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use snowpipe_streaming::auth::Secret;

use super::{Server, *};
use crate::builder::EmulatorBuilder;
use crate::catalog::cell::Cell;
use crate::catalog::object_name::ObjectName;
use crate::protocol::faults::Fault;
use crate::protocol::routes::Endpoint;
use crate::storage::data_file::DataFile;
use crate::storage::interface::{Storage, StorageError};
use crate::storage::memory::MemoryStorage;
use crate::storage::records::{AcceptedBatch, ChannelRecord, Commit, RejectedRow, StoredChannel};
use crate::storage::sqlite_file::Ddl;

const CHANNEL: &str = "/v2/streaming/databases/D/schemas/S/pipes/T-STREAMING/channels/c";
pub(crate) const ROWS: &str =
    "/v2/streaming/data/databases/D/schemas/S/pipes/T-STREAMING/channels/c/rows";

/// A key-pair JWT for the default account and user, valid at `now`.
fn jwt(private_key: &Secret, now: SystemTime) -> String {
    let (_, key) = pkcs8::SecretDocument::from_pem(private_key.expose()).expect("a PKCS#8 PEM");
    let pair = KeyPair::from_pkcs8(key.as_bytes()).expect("an RSA key");
    let public = Emulator::public_key_of(private_key).expect("its public half");
    let (_, public) = pkcs8::Document::from_pem(&public).expect("a PEM");
    let fingerprint = STANDARD.encode(Sha256::digest(public.as_bytes()));
    let seconds = now
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let subject = "EMULATOR.STREAMING_INGEST";
    let claims = json!({
        "iss": format!("{subject}.SHA256:{fingerprint}"), "sub": subject, "iat": seconds, "exp": seconds + 3540,
    });
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"RS256"}"#),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        message.as_bytes(),
        &mut signature,
    )
    .expect("a signature");
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A storage that notifies the test of each commit.
#[derive(Debug)]
struct Notifying(MemoryStorage, Arc<Notify>);

impl Storage for Notifying {
    fn load(&mut self) -> std::result::Result<Vec<StoredChannel>, StorageError> {
        self.0.load()
    }

    fn put_channel(
        &mut self,
        record: &ChannelRecord,
        discard: bool,
    ) -> std::result::Result<(), StorageError> {
        self.0.put_channel(record, discard)
    }

    fn drop_channel(
        &mut self,
        pipe: &ObjectName,
        channel: &str,
    ) -> std::result::Result<(), StorageError> {
        self.0.drop_channel(pipe, channel)
    }

    fn accept(
        &mut self,
        record: &ChannelRecord,
        batch: &AcceptedBatch,
    ) -> std::result::Result<(), StorageError> {
        self.0.accept(record, batch)
    }

    fn commit(&mut self, commit: &Commit<'_>) -> std::result::Result<(), StorageError> {
        self.0.commit(commit)?;
        self.1.notify_one();
        Ok(())
    }

    fn rows(&mut self, table: &ObjectName) -> std::result::Result<Vec<Vec<Cell>>, StorageError> {
        self.0.rows(table)
    }

    fn error_rows(
        &mut self,
        table: &ObjectName,
    ) -> std::result::Result<Vec<RejectedRow>, StorageError> {
        self.0.error_rows(table)
    }
}

/// A server and a client that has a scoped token.
pub(crate) struct Session {
    pub(crate) server: Server,
    http: reqwest::Client,
    pub(crate) token: String,
}

impl Session {
    pub(crate) async fn start(builder: EmulatorBuilder) -> Self {
        Self::with(builder, ServerLimits::default()).await
    }

    pub(crate) async fn with(builder: EmulatorBuilder, limits: ServerLimits) -> Self {
        let key = Emulator::generate_key().expect("a key");
        let emulator = builder
            .private_key(key.clone())
            .build()
            .expect("an emulator");
        let server = Server::bind_with(emulator, ([127, 0, 0, 1], 0).into(), limits)
            .await
            .expect("it listens");
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client");
        let mut session = Self {
            server,
            http,
            token: jwt(&key, SystemTime::now()),
        };
        let scoped = session
            .request(Method::POST, "/oauth/token")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(
                "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&scope=127.0.0.1",
            )
            .send()
            .await
            .expect("an answer");
        assert_eq!(scoped.status(), 200);
        session.token = scoped.text().await.expect("a token");
        session
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.server.url()))
            .header("Accept", "application/json")
            .bearer_auth(&self.token)
    }

    /// Opens the channel; its continuation token.
    pub(crate) async fn open(&self) -> String {
        let opened = self.request(Method::PUT, CHANNEL).body("{}").send().await;
        let text = opened.expect("an answer").text().await.expect("a body");
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        answer["next_continuation_token"]
            .as_str()
            .unwrap_or_else(|| panic!("no token in {answer}"))
            .to_owned()
    }

    pub(crate) fn append(
        &self,
        token: &str,
        body: impl Into<reqwest::Body>,
    ) -> reqwest::RequestBuilder {
        let path = format!("{ROWS}?continuationToken={token}&startOffsetToken=1&endOffsetToken=1");
        self.request(Method::POST, &path)
            .header("Content-Type", "application/x-ndjson")
            .body(body)
    }

    pub(crate) fn landed(&self) -> Vec<Value> {
        self.server.emulator().rows("D.S.T").expect("rows")
    }
}

#[tokio::test]
async fn rows_land_over_http_without_requests() {
    let landed_rows = Arc::new(Notify::new());
    let storage = Notifying(MemoryStorage::new(), landed_rows.clone());
    let settings = Emulator::builder()
        .storage(storage)
        .commit_delay(Duration::from_millis(1))
        .commit_every(Duration::ZERO);
    let session = Session::start(settings).await;

    let token = session.open().await;
    let accepted = session
        .append(&token, "{\"a\":1}\n\n{\"a\":2}\n")
        .send()
        .await;
    assert_eq!(accepted.expect("an answer").status(), 200);
    landed_rows.notified().await;
    assert_eq!(
        session.landed(),
        [json!({"ROW": {"a": 1}}), json!({"ROW": {"a": 2}})]
    );
    session.server.shutdown().await;
}

#[tokio::test]
async fn the_end_commits_what_was_accepted_and_frees_the_port() {
    let settings = Emulator::builder().commit_delay(Duration::from_secs(3600));
    let session = Session::start(settings).await;
    let token = session.open().await;
    let accepted = session.append(&token, "{\"a\":1}\n").send().await;
    assert_eq!(accepted.expect("an answer").status(), 200);
    assert!(session.landed().is_empty());

    let (emulator, address) = (
        session.server.emulator().clone(),
        session.server.local_addr(),
    );
    session.server.shutdown().await;
    assert_eq!(
        emulator.rows("D.S.T").expect("rows"),
        [json!({"ROW": {"a": 1}})]
    );
    let again = Server::bind(emulator, address)
        .await
        .expect("the port is free");
    again.shutdown().await;
}

#[tokio::test]
async fn broken_and_cut_answers_break_the_connection() {
    let session = Session::start(Emulator::builder()).await;
    let faults = session.server.emulator().faults();
    let token = session.open().await;

    faults.push(Fault::Lose.on(Endpoint::Append));
    let lost = session.append(&token, "{\"a\":1}\n").send().await;
    assert!(lost.is_err_and(|why| why.status().is_none() && !why.is_connect()));

    faults.push(Fault::Cut.on(Endpoint::Append));
    let cut = session.append(&token, "{\"a\":1}\n").send().await;
    let cut = cut.expect("the head of an answer");
    assert_eq!(cut.status(), 200);
    let promised = cut.content_length().expect("a length");
    assert!(promised > 2);
    assert!(cut.bytes().await.is_err());

    // The cut request was carried out, the lost one was not.
    session.server.emulator().commit_now();
    assert_eq!(session.landed(), [json!({"ROW": {"a": 1}})]);
    session.server.shutdown().await;
}

#[tokio::test]
async fn a_hanging_request_ends_with_the_server() {
    let session = Session::start(Emulator::builder()).await;
    let token = session.open().await;
    session
        .server
        .emulator()
        .faults()
        .push(Fault::Hang.on(Endpoint::Append));
    let hanging = tokio::spawn(session.append(&token, "{\"a\":1}\n").send());
    while session.server.emulator().faults().injected().is_empty() {
        tokio::task::yield_now().await;
    }
    session.server.shutdown().await;
    assert!(hanging.await.expect("it ran").is_err());
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    let emulator = Emulator::builder().build().expect("an emulator");
    let bound = Server::bind(emulator, ([0, 0, 0, 0], 0).into()).await;
    let why = bound.expect_err("it is refused");
    assert_eq!(why.kind(), ErrorKind::Config);
    assert!(why.to_string().contains("use a loopback address"), "{why}");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let emulator = Emulator::builder().build().expect("an emulator");
    let first = Server::bind(emulator.clone(), ([127, 0, 0, 1], 0).into())
        .await
        .expect("it listens");
    let why = Server::bind(emulator, first.local_addr())
        .await
        .expect_err("the port is taken");
    let named = format!("cannot listen on {}", first.local_addr());
    assert!(why.to_string().contains(&named), "{why}");
}

/// Accepted rows survive a process that ended between accept and commit; the token appears with the rows.
#[tokio::test]
async fn a_restart_on_the_same_file_continues_to_commit() {
    let dir = tempfile::TempDir::new().expect("a directory");
    let path = dir.path().join("emulator.db");
    let ddl = Ddl::Bootstrap("CREATE TABLE D.S.T (A NUMBER(5,2), B VARCHAR NOT NULL);".to_owned());
    let open = || {
        let storage = DataFile::open(&path, &ddl).expect("it opens");
        let catalog = storage.catalog().clone();
        Emulator::builder()
            .catalog(catalog)
            .storage(storage)
            .commit_delay(Duration::from_secs(3600))
    };
    let session = Session::start(open()).await;
    let token = session.open().await;
    let body = "{\"a\":1.005,\"b\":\"x\"}\n{\"a\":2}\n";
    let accepted = session.append(&token, body).send().await;
    assert_eq!(accepted.expect("an answer").status(), 200);
    let image = dir.path().join("killed.db");
    for suffix in ["", "-wal"] {
        // What a killed process leaves: the file and its log, as they are at this moment.
        let from = format!("{}{suffix}", path.display());
        std::fs::copy(from, format!("{}{suffix}", image.display())).expect("a copy");
    }
    session.server.shutdown().await;

    let storage = DataFile::open(&image, &ddl).expect("it opens");
    let emulator = Emulator::builder()
        .catalog(storage.catalog().clone())
        .storage(storage)
        .build()
        .expect("an emulator");
    let before = emulator.channel("c").expect("the channel");
    assert_eq!((before.offset_token, before.rows_inserted), (None, 0));
    assert_eq!(emulator.rows("D.S.T").expect("rows"), Vec::<Value>::new());

    emulator.commit_now();
    let after = emulator.channel("c").expect("the channel");
    assert_eq!(after.offset_token.as_deref(), Some("1"));
    assert_eq!((after.rows_inserted, after.rows_error_count), (1, 1));
    assert_eq!(
        emulator.rows("D.S.T").expect("rows"),
        [json!({"A": "1.01", "B": "x"})]
    );
    let rejected = emulator.error_rows("D.S.T").expect("error rows");
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0].error.column.as_deref(), Some("B"));
}
