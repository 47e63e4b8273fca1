//! The emulator's admin endpoints over HTTP, as a test in another language uses them, beside a client that streams.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use snowpipe_streaming::sql::{SqlClient, Statement};
use snowpipe_streaming::transport::HttpTransport;
use snowpipe_streaming::{Pacing, PipePath, Profile, StreamingIngestClient};
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{DataFile, Ddl, Emulator, EmulatorBuilder, Limits, Server};

use crate::{TABLE, rows, within};

pub const DDL: &str = "
CREATE TABLE DB.PUBLIC.RIDES_PIPE (N INTEGER NOT NULL, LIFT VARCHAR(20));
CREATE PIPE DB.PUBLIC.RIDES_PIPE AS COPY INTO DB.PUBLIC.RIDES_PIPE
  FROM TABLE (DATA_SOURCE (TYPE => 'STREAMING')) MATCH_BY_COLUMN_NAME=CASE_SENSITIVE;";

/// The access token that lets a test use the SQL API.
pub const TOKEN: &str = "pat-of-a-test";

/// A server, and an HTTP client that does not use this crate.
pub struct Rig {
    pub server: Server,
    pub http: reqwest::Client,
}

impl Rig {
    pub async fn start(settings: EmulatorBuilder) -> Self {
        let emulator = settings.access_token(TOKEN, None).build().unwrap();
        Self {
            server: Server::builder(emulator).bind().await.unwrap(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.server.url());
        self.http.request(method, url)
    }

    /// Calls an admin endpoint. Returns the status and the JSON.
    pub async fn admin(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.request(method, &format!("/_emulator/{path}"));
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        answer(request).await
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.admin(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        let (status, body) = self.admin(Method::POST, path, Some(body)).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub fn sql(&self, statement: &str) -> reqwest::RequestBuilder {
        let body = json!({ "statement": statement, "database": "DB", "schema": "PUBLIC" });
        self.request(Method::POST, "/api/v2/statements")
            .bearer_auth(TOKEN)
            .header(
                "x-snowflake-authorization-token-type",
                "PROGRAMMATIC_ACCESS_TOKEN",
            )
            .header("accept", "application/json")
            .header("content-type", "application/json")
            .body(body.to_string())
    }

    pub async fn client_for(&self, database: &str) -> StreamingIngestClient {
        let profile = self.server.emulator().profile_json(&self.server.url());
        let profile = Profile::from_json(&profile).unwrap();
        let pipe = PipePath::for_table(database, "S", "T").unwrap();
        let client = StreamingIngestClient::builder(profile, pipe);
        client.build().await.unwrap()
    }

    pub async fn client(&self) -> StreamingIngestClient {
        let profile = self.server.emulator().profile_json(&self.server.url());
        let profile = Profile::from_json(&profile).unwrap();
        let pipe = PipePath::new("DB", "PUBLIC", "RIDES_PIPE").unwrap();
        // Reading the operating system's trust store takes longer than most tests.
        let transport = HttpTransport::builder().no_proxy().only_these_roots();
        StreamingIngestClient::builder(profile, pipe)
            .transport(transport.build().unwrap())
            .pacing(Pacing::Off)
            .max_client_lag(Duration::from_millis(10))
            .attempt_timeout(Duration::from_secs(10))
            .settle_timeout(Duration::from_millis(100))
            .close_timeout(Duration::from_secs(10))
            .build()
            .await
            .unwrap()
    }
}

pub async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = within(request.send()).await.unwrap();
    let status = answer.status().as_u16();
    let body = within(answer.bytes()).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

fn settings() -> EmulatorBuilder {
    Emulator::builder().catalog(Catalog::from_ddl(DDL).unwrap())
}

#[tokio::test]
async fn tables_channels_and_requests_can_be_queried() {
    let rig = Rig::start(settings()).await;
    assert_eq!(rig.get("health").await["status"], "ok");
    let client = rig.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let bad = json!({ "N": "none", "LIFT": "Elkhorn" });
    channel.append_rows(rows(0..3), 0..).await.unwrap();
    let receipt = channel.append_row(&bad, 3).await.unwrap();
    within(receipt.accepted()).await.unwrap();
    rig.post("commits", json!({ "commit_now": true })).await;

    let tables = rig.get("tables").await;
    assert_eq!(tables["tables"][0]["name"], TABLE);
    assert_eq!(tables["tables"][0]["rows"], 3);
    assert_eq!(
        tables["tables"][0]["columns"],
        json!([
            { "name": "N", "type": "NUMBER(38,0)", "nullable": false },
            { "name": "LIFT", "type": "VARCHAR(20)", "nullable": true },
        ])
    );
    let page = rig.get("tables/db.public.rides_pipe?skip=1&limit=1").await;
    assert_eq!(page["count"], 3);
    assert_eq!(page["rows"], json!([{ "N": 1, "LIFT": "Elkhorn 1" }]));
    let errors = rig.get(&format!("tables/{TABLE}/errors")).await;
    assert_eq!(errors["count"], 1);
    assert_eq!(errors["rows"][0]["payload"], bad.to_string());
    for (key, value) in [
        ("code", "100038"),
        ("sql_state", "22018"),
        ("message", "Numeric value 'none' is not recognized"),
        ("column", "N"),
    ] {
        assert_eq!(errors["rows"][0][key], value);
    }

    let channels = rig.get("channels").await;
    let only = &channels["channels"][0];
    assert_eq!(only["channel"], "c");
    assert_eq!(only["offset_token"], "3");
    assert_eq!(
        (&only["rows_inserted"], &only["rows_error_count"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(only["pending_batches"], 0);

    let appends = rig.get("requests?endpoint=append").await;
    let sent: Vec<Value> = appends["requests"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|request| request["body"].as_array().unwrap().clone())
        .collect();
    assert_eq!(sent, [rows(0..3), vec![bad]].concat());
    let first = &appends["requests"][0];
    assert_eq!(
        (&first["method"], &first["status"]),
        (&json!("POST"), &json!(200))
    );
    assert_eq!(first["headers"]["content-type"], "application/x-ndjson");
    assert_eq!(first["headers"]["authorization"], "Bearer [redacted]");
    assert!(!rig.get("requests").await.to_string().contains("eyJ"));

    let number = first["number"].as_u64().unwrap();
    let later = rig
        .get(&format!("requests?after={}&limit=1", number - 1))
        .await;
    assert_eq!(later["requests"][0]["number"], number);
    let (status, _) = rig.admin(Method::DELETE, "requests", None).await;
    assert_eq!(
        (status, rig.get("requests").await["requests"].clone()),
        (200, json!([]))
    );
}

#[tokio::test]
async fn tables_can_be_created_and_dropped_at_runtime() {
    let rig = Rig::start(Emulator::builder()).await;
    let made = rig.post("ddl", json!({ "sql": DDL })).await;
    assert_eq!(made, json!({ "tables": [TABLE], "pipes": [TABLE] }));
    let client = rig.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_rows(rows(0..2), 0..).await.unwrap();
    within(receipt.committed()).await.unwrap();

    // A script with an error changes nothing.
    let wrong =
        json!({ "sql": format!("DROP TABLE {TABLE}; CREATE TABLE DB.PUBLIC.T (A NOTHING);") });
    let (status, body) = rig.admin(Method::POST, "ddl", Some(wrong)).await;
    assert_eq!(status, 422);
    assert!(
        body["message"].as_str().unwrap().contains("line 1"),
        "{body}"
    );
    assert_eq!(rig.get("tables").await["tables"][0]["rows"], 2);

    let again =
        format!("CREATE OR REPLACE TABLE {TABLE} (N INTEGER); CREATE TABLE DB.PUBLIC.T (A INT);");
    rig.post("ddl", json!({ "sql": again })).await;
    let channels = rig.get("channels").await;
    assert_eq!(
        channels["channels"][0]["status_code"],
        "ERR_CHANNEL_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"
    );
    let tables = rig.get("tables").await;
    let counts: Vec<_> = tables["tables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|table| table["rows"].clone())
        .collect();
    assert_eq!(counts, [0, 0]);
}

#[tokio::test]
async fn an_emulator_that_takes_every_pipe_has_to_be_empty_for_ddl() {
    let rig = Rig::start(Emulator::builder()).await;
    let client = rig.client().await;
    let _channel = client.open_channel("c").await.unwrap();
    let (status, body) = rig
        .admin(Method::POST, "ddl", Some(json!({ "sql": DDL })))
        .await;
    assert_eq!(status, 422);
    assert!(
        body["message"].as_str().unwrap().contains("reset it first"),
        "{body}"
    );
    rig.post("reset", json!({})).await;
    rig.post("ddl", json!({ "sql": DDL })).await;
}

#[tokio::test]
async fn faults_strike_as_they_are_scripted() {
    let rig = Rig::start(settings()).await;
    let client = rig.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    rig.post(
        "faults",
        json!([
            { "fault": "apply_then_lose", "endpoint": "append", "channel": "C" },
            { "fault": "server_error", "status": 503, "endpoint": "append" },
        ]),
    )
    .await;
    let receipt = channel.append_rows(rows(0..5), 0..).await.unwrap();
    within(receipt.committed()).await.unwrap();
    let body = rig.get("faults").await;
    assert_eq!(body["faults"], json!([]));
    assert_eq!(
        body["injected"],
        json!({ "apply_then_lose": 1, "server_error": 1 })
    );
    assert_eq!(rig.server.emulator().rows(TABLE).unwrap(), rows(0..5));

    let always = json!({ "fault": "throttle", "always": true });
    assert_eq!(
        rig.post("faults", always.clone()).await["faults"],
        json!([always])
    );
    let (status, body) = rig.admin(Method::DELETE, "faults", None).await;
    assert_eq!(
        (status, body),
        (200, json!({ "faults": [], "injected": {} }))
    );
    let wrong = json!({ "fault": "lose", "chanel": "c" });
    let (status, body) = rig.admin(Method::POST, "faults", Some(wrong)).await;
    assert_eq!(status, 400);
    assert!(
        body["message"].as_str().unwrap().contains("`chanel`"),
        "{body}"
    );
}

#[tokio::test]
async fn commits_wait_for_a_manual_step() {
    let rig = Rig::start(settings()).await;
    let client = rig.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    rig.post(
        "commits",
        json!({ "hold": true, "delay_ms": 0, "every_ms": 0 }),
    )
    .await;
    let receipt = channel.append_rows(rows(0..2), 0..).await.unwrap();
    within(receipt.accepted()).await.unwrap();
    let held = rig.get("commits").await;
    assert_eq!(
        held,
        json!({ "delay_ms": 0, "every_ms": 0, "hold": true, "pending_batches": 1 })
    );
    rig.post("commits", json!({ "commit_now": true })).await;
    within(receipt.committed()).await.unwrap();

    // The new pace applies to rows that wait already, even without a request.
    rig.post("commits", json!({ "hold": false, "delay_ms": 3_600_000 }))
        .await;
    let receipt = channel.append_rows(rows(2..4), 2..).await.unwrap();
    within(receipt.accepted()).await.unwrap();
    assert_eq!(rig.server.emulator().rows(TABLE).unwrap().len(), 2);
    rig.post("commits", json!({ "delay_ms": 20 })).await;
    within(receipt.committed()).await.unwrap();
    let (status, body) = rig
        .admin(Method::POST, "commits", Some(json!({ "holds": true })))
        .await;
    assert_eq!(status, 400);
    assert!(
        body["message"].as_str().unwrap().contains("`holds`"),
        "{body}"
    );
}

#[tokio::test]
async fn a_reset_leaves_tables_and_keys_and_nothing_else() {
    let rig = Rig::start(settings()).await;
    let client = rig.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_rows(rows(0..2), 0..).await.unwrap();
    within(receipt.committed()).await.unwrap();
    rig.post(
        "faults",
        json!({ "fault": "hang", "endpoint": "append", "always": true }),
    )
    .await;
    rig.post("commits", json!({ "hold": true })).await;
    let (status, _) = answer(rig.sql("SELECT 1")).await;
    assert_eq!(status, 200);

    rig.post("reset", json!({})).await;
    assert_eq!(rig.get("tables").await["tables"][0]["rows"], 0);
    assert_eq!(rig.get("channels").await["channels"], json!([]));
    assert_eq!(rig.get("requests").await["requests"], json!([]));
    assert_eq!(
        rig.get("faults").await,
        json!({ "faults": [], "injected": {} })
    );
    assert_eq!(rig.get("commits").await["hold"], false);
    // Logged-in clients stay logged in.
    let client = rig.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_rows(rows(0..1), 0..).await.unwrap();
    within(receipt.committed()).await.unwrap();
}

/// Tables created at runtime are there after a restart, and the original DDL script still matches the file.
#[tokio::test]
async fn a_data_file_keeps_tables_created_at_runtime() {
    let dir = tempfile::TempDir::new().unwrap();
    let open = || {
        let ddl = Ddl::Bootstrap(DDL.to_owned());
        Emulator::builder().data_file(DataFile::open(&dir.path().join("e.db"), &ddl).unwrap())
    };
    let rig = Rig::start(open()).await;
    let client = rig.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_rows(rows(0..2), 0..).await.unwrap();
    within(receipt.committed()).await.unwrap();
    rig.post(
        "ddl",
        json!({ "sql": "CREATE TABLE DB.PUBLIC.T (A INT); CREATE TABLE DB.PUBLIC.GONE (A INT);" }),
    )
    .await;
    rig.post("ddl", json!({ "sql": "DROP TABLE DB.PUBLIC.GONE;" }))
        .await;
    let (status, counted) =
        answer(rig.sql("SELECT COUNT(*), (SELECT COUNT(*) FROM T) FROM RIDES_PIPE")).await;
    assert_eq!(
        (status, &counted["data"]),
        (200, &json!([["2", "0"]])),
        "{counted}"
    );
    within(rig.server.shutdown()).await;
    drop(client);

    let rig = Rig::start(open()).await;
    let tables = rig.get("tables").await;
    let names: Vec<_> = tables["tables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|table| table["name"].clone())
        .collect();
    assert_eq!(names, [TABLE, "DB.PUBLIC.T"]);
    rig.post("reset", json!({})).await;
    within(rig.server.shutdown()).await;

    let rig = Rig::start(open()).await;
    assert_eq!(rig.get("tables").await["tables"][0]["rows"], 0);
    assert_eq!(rig.get("channels").await["channels"], json!([]));
}

#[tokio::test]
async fn a_correct_request_is_served_and_others_are_refused_with_the_reason() {
    let settings = settings().oauth_client("id", "secret", None);
    let rig = Rig::start(settings.strict(true).limits(Limits::strict())).await;
    let client = rig.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_rows(rows(0..2), 0..).await.unwrap();
    within(receipt.committed()).await.unwrap();
    within(channel.close()).await.unwrap();
    client.drop_channel("c").await.unwrap();
    let profile = Profile::new("EMULATOR").with_url(rig.server.url());
    let sql = SqlClient::builder(profile.with_oauth_client("id", "secret"));
    let sql = sql.build().unwrap();
    let select = Statement::new(format!("SELECT * FROM {TABLE}"));
    assert_eq!(within(sql.query(&select)).await.unwrap().rows.len(), 2);

    let plain = |path: &str| {
        self::Rig::request(&rig, Method::POST, path)
            .header("accept", "application/json")
            .header("user-agent", "test")
    };
    let (status, body) = answer(plain("/oauth/token?requestID=1").body("grant_type=x")).await;
    assert_eq!(status, 400);
    assert!(
        body["message"].as_str().unwrap().contains("\"requestID\""),
        "{body}"
    );
    let (status, body) = answer(plain("/oauth/token").body("grant_type=x")).await;
    assert_eq!(status, 415);
    assert!(
        body["message"]
            .as_str()
            .unwrap()
            .contains("x-www-form-urlencoded"),
        "{body}"
    );
    let nameless = rig.request(Method::GET, "/v2/streaming/hostname");
    let (status, body) = answer(nameless.header("accept", "*/*")).await;
    assert_eq!(status, 400);
    assert!(
        body["message"].as_str().unwrap().contains("User-Agent"),
        "{body}"
    );
}
