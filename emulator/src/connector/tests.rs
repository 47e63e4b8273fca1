//! The routes of connectors over both storages: sessions, queries and their answers.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Request, Response};
use serde_json::{Value, json};

use crate::catalog::tables::Catalog;
use crate::protocol::faults::Fault;
use crate::protocol::routes::Endpoint;
use crate::rig::{Client, answered, jwt, settings};
use crate::sql_api::statements_tests::clients;
use crate::storage::data_file::DataFile;
use crate::storage::sqlite_file::Ddl;

/// A connector with an open session.
pub(crate) struct Connector<'a> {
    client: &'a Client,
    token: String,
}

fn gzip(text: &str) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap().into()
}

fn request(path: &str, token: &str, body: &Value) -> Request<Bytes> {
    Request::post(format!("http://127.0.0.1{path}"))
        .header("authorization", format!("Snowflake Token=\"{token}\""))
        .header("accept", "application/snowflake")
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .body(gzip(&body.to_string()))
        .unwrap()
}

#[track_caller]
fn read(answer: &Response<Bytes>) -> Value {
    assert_eq!(answer.status(), 200, "{answer:?}");
    serde_json::from_slice(answer.body()).unwrap()
}

pub(crate) fn call(client: &Client, path: &str, token: &str, body: &Value) -> Value {
    let reply = client
        .emulator
        .handle(client.now, request(path, token, body));
    read(&answered(reply))
}

fn log_in(client: &Client, query: &str, data: &Value) -> Value {
    let path = format!("/session/v1/login-request?request_id=1{query}");
    call(client, &path, "None", &json!({ "data": data }))
}

fn key_pair(client: &Client) -> Value {
    let now = client.now_ms() / 1000;
    json!({ "LOGIN_NAME": "U", "AUTHENTICATOR": "SNOWFLAKE_JWT", "TOKEN": jwt(now, now + 60) })
}

impl<'a> Connector<'a> {
    pub(crate) fn new(client: &'a Client) -> Self {
        Self::in_schema(client, "&databaseName=db&schemaName=s")
    }

    pub(crate) fn in_schema(client: &'a Client, query: &str) -> Self {
        let answer = log_in(client, query, &key_pair(client));
        assert_eq!(answer["success"], true, "{answer}");
        let token = answer["data"]["token"].as_str().unwrap().to_owned();
        Self { client, token }
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        call(self.client, path, &self.token, body)
    }

    pub(crate) fn request(&self, path: &str, body: &Value) -> Request<Bytes> {
        request(path, &self.token, body)
    }

    pub(crate) fn query(&self, body: &Value) -> Value {
        self.post("/queries/v1/query-request", body)
    }

    /// The answer to a statement that is carried out.
    #[track_caller]
    pub(crate) fn execute(&self, text: &str) -> Value {
        let answer = self.query(&json!({ "sqlText": text }));
        assert_eq!(answer["success"], true, "{text}: {answer}");
        answer["data"].clone()
    }

    #[track_caller]
    pub(crate) fn rows(&self, text: &str) -> Value {
        self.execute(text)["rowset"].clone()
    }

    /// The code, state and message of a statement that is refused.
    #[track_caller]
    pub(crate) fn refused(&self, text: &str) -> (String, String, String) {
        let answer = self.query(&json!({ "sqlText": text }));
        assert_eq!(answer["success"], false, "{text}: {answer}");
        let shown = |value: &Value| value.as_str().unwrap().to_owned();
        assert_eq!(answer["code"], answer["data"]["errorCode"]);
        (
            shown(&answer["code"]),
            shown(&answer["data"]["sqlState"]),
            shown(&answer["message"]),
        )
    }
}

/// An emulator with the tables of a script, in memory and in a file.
pub(crate) fn with_tables(ddl: &str) -> Vec<(Client, Option<tempfile::TempDir>)> {
    let in_memory = settings().catalog(Catalog::from_ddl(ddl).unwrap());
    let dir = tempfile::TempDir::new().unwrap();
    let script = Ddl::Bootstrap(ddl.to_owned());
    let storage = DataFile::open(&dir.path().join("e.db"), &script).unwrap();
    let in_file = settings().data_file(storage);
    vec![
        (Client::of(in_memory), None),
        (Client::of(in_file), Some(dir)),
    ]
}

#[test]
fn a_session_needs_a_credential_of_the_account() {
    let client = Client::of(
        settings()
            .access_token("pat", None)
            .external_token("oauth", None),
    );
    let now = client.now_ms() / 1000;
    let jwt = jwt(now, now + 60);
    let data = |authenticator: &str, token: &str| json!({ "LOGIN_NAME": "U", "AUTHENTICATOR": authenticator, "TOKEN": token });
    for accepted in [
        data("SNOWFLAKE_JWT", &jwt),
        data("PROGRAMMATIC_ACCESS_TOKEN", "pat"),
        data("oauth", "oauth"),
    ] {
        let answer = log_in(&client, "", &accepted);
        assert_eq!(answer["success"], true, "{answer}");
    }
    for (refused, code) in [
        (json!({ "LOGIN_NAME": "U", "PASSWORD": "p" }), "390100"),
        (data("SNOWFLAKE", ""), "390100"),
        (data("SNOWFLAKE_JWT", "x"), "390144"),
        (data("SNOWFLAKE_JWT", "pat"), "390144"),
        (json!({ "AUTHENTICATOR": "SNOWFLAKE_JWT" }), "390144"),
        (data("OAUTH", &jwt), "390303"),
        (data("OAUTH", "pat"), "390303"),
        (data("PROGRAMMATIC_ACCESS_TOKEN", "oauth"), "390303"),
        (data("EXTERNALBROWSER", ""), "390190"),
    ] {
        let answer = log_in(&client, "", &refused);
        assert_eq!(
            (&answer["success"], &answer["code"]),
            (&json!(false), &json!(code)),
            "{answer}"
        );
    }
    for token in ["None", "", &jwt] {
        let body = json!({ "sqlText": "SELECT 1" });
        let answer = call(&client, "/queries/v1/query-request", token, &body);
        assert_eq!(answer["code"], "390111", "{answer}");
    }
}

#[test]
fn nothing_of_a_login_is_logged() {
    let client = Client::new();
    log_in(
        &client,
        "",
        &json!({ "LOGIN_NAME": "U", "PASSWORD": "hunter2" }),
    );
    let log = client.emulator.log();
    let entry = log.last().unwrap();
    assert_eq!(entry.endpoint, Endpoint::Login);
    assert!(entry.head.body_start.is_empty());
}

#[test]
fn a_session_ends_once_it_is_closed() {
    let client = Client::new();
    let (one, other) = (Connector::new(&client), Connector::new(&client));
    let alive = |connector: &Connector<'_>| {
        let answer = connector.post("/session/heartbeat", &json!({}));
        answer["success"].as_bool().unwrap()
    };
    assert!(alive(&one) && alive(&other));
    let ended = one.post("/session?delete=true", &json!({}));
    assert_eq!(ended["success"], true);
    assert!(!alive(&one) && alive(&other));
    assert_eq!(one.refused("SELECT 1").0, "390111");
    assert_eq!(other.rows("SELECT 1"), json!([["1"]]));
    let telemetry = one.post("/telemetry/send", &json!({ "logs": [] }));
    assert_eq!(telemetry["success"], true);
}

#[test]
fn a_query_is_answered_in_the_form_of_connectors() {
    for (client, _dir) in clients() {
        let connector = Connector::new(&client);
        let answer =
            connector.execute("SELECT ID, NAME, SEEN, BODY FROM T WHERE ID < 3 ORDER BY ID;");
        let rows = json!([
            ["1", "Elkhorn", "1.500", "{\"n\":[1,2],\"txid\":\"a\"}"],
            ["2", "elkhorn", null, "{\"txid\":\"b\"}"],
        ]);
        assert_eq!(answer["rowset"], rows);
        assert_eq!(
            (&answer["total"], &answer["returned"]),
            (&json!(2), &json!(2))
        );
        assert_eq!(answer["queryResultFormat"], "json");
        assert_eq!(answer["finalDatabaseName"], "DB");
        assert_eq!(answer["finalSchemaName"], "S");
        let types = answer["rowtype"].as_array().unwrap();
        let shown: Vec<_> = types
            .iter()
            .map(|column| (&column["name"], &column["type"], &column["byteLength"]))
            .collect();
        let wanted = json!([
            ["ID", "fixed", null],
            ["NAME", "text", 80],
            ["SEEN", "timestamp_ntz", null],
            ["BODY", "variant", null],
        ]);
        assert_eq!(json!(shown), wanted);

        let described = json!({ "sqlText": "SELECT ID FROM T", "describeOnly": true });
        let described = connector.query(&described);
        assert_eq!(described["data"]["rowset"], json!([]));
        assert_eq!(described["data"]["rowtype"][0]["name"], "ID");

        let bound = json!({
            "sqlText": "SELECT ID FROM T WHERE NAME = ? AND ID > ?",
            "bindings": { "1": { "type": "TEXT", "value": "elkhorn" }, "2": { "type": "FIXED", "value": "1" } },
        });
        assert_eq!(connector.query(&bound)["data"]["rowset"], json!([["2"]]));
    }
}

#[test]
fn booleans_are_digits_and_null_is_null() {
    for (client, _dir) in with_tables("CREATE TABLE DB.S.T (ID NUMBER, OK BOOLEAN);") {
        let token = client.open("c");
        client.append(
            "c",
            &token,
            "1",
            "{\"ID\":1,\"OK\":true}\n{\"ID\":2,\"OK\":false}\n{\"ID\":3}\n",
        );
        client.emulator.commit_now();
        let rows = Connector::new(&client).rows("SELECT OK FROM T ORDER BY ID");
        assert_eq!(rows, json!([["1"], ["0"], [null]]));
    }
}

#[test]
fn tables_are_listed_and_described() {
    let ddl = "CREATE TABLE DB.S.RIDES (ID NUMBER NOT NULL, LIFT VARCHAR(9) DEFAULT 'a''b', AT TIMESTAMP_NTZ DEFAULT CURRENT_TIMESTAMP());
        CREATE TABLE DB.S.T (N FLOAT DEFAULT 1.5, B BOOLEAN DEFAULT TRUE);
        CREATE TABLE DB.OTHER.T (N NUMBER); CREATE TABLE D2.S.T (N NUMBER);";
    for (client, _dir) in with_tables(ddl) {
        let token = client.open("c");
        client.append("c", &token, "1", "{\"N\":1}\n");
        client.emulator.commit_now();
        let connector = Connector::new(&client);
        let listed = |text: &str| {
            let rows = connector.rows(text);
            let rows = rows.as_array().unwrap().iter();
            let names = rows.map(|row| {
                let part = |at: usize| row[at].as_str().unwrap().to_owned();
                format!("{}.{}.{} {}", part(2), part(3), part(1), part(7))
            });
            names.collect::<Vec<_>>()
        };
        let (rides, t, other, second) = ("DB.S.RIDES 0", "DB.S.T 1", "DB.OTHER.T 0", "D2.S.T 0");
        for (text, wanted) in [
            ("SHOW TABLES", vec![other, rides, t]),
            ("show tables in account", vec![second, other, rides, t]),
            ("SHOW TABLES IN SCHEMA", vec![rides, t]),
            ("SHOW TABLES IN SCHEMA OTHER", vec![other]),
            ("SHOW TABLES IN D2.S", vec![second]),
            ("SHOW TABLES IN DATABASE d2 LIMIT 5", vec![second]),
            ("SHOW TABLES LIKE 'r%' IN SCHEMA DB.S", vec![rides]),
            ("SHOW TABLES STARTS WITH 'R' LIMIT 1", vec![rides]),
            ("SHOW TABLES STARTS WITH 'r'", vec![]),
            ("SHOW TABLES LIMIT 1", vec![other]),
        ] {
            assert_eq!(listed(text), wanted, "{text}");
        }
        let wanted = json!([
            ["ID", "NUMBER(38,0)", "COLUMN", "N", null],
            ["LIFT", "VARCHAR(9)", "COLUMN", "Y", "'a''b'"],
            [
                "AT",
                "TIMESTAMP_NTZ(9)",
                "COLUMN",
                "Y",
                "CURRENT_TIMESTAMP()"
            ],
        ]);
        assert_eq!(connector.rows("DESC TABLE rides"), wanted);
        let wanted = json!([
            ["N", "FLOAT", "COLUMN", "Y", "1.5"],
            ["B", "BOOLEAN", "COLUMN", "Y", "TRUE"],
        ]);
        assert_eq!(connector.rows("DESCRIBE TABLE DB.S.T"), wanted);
        assert_eq!(connector.refused("DESC TABLE NONE").0, "002003");
        for text in [
            "SHOW WAREHOUSES",
            "SHOW TERSE TABLES",
            "SHOW TABLES HISTORY",
            "DESC VIEW V",
            "DESC TABLE T TYPE = STAGE",
        ] {
            assert_eq!(connector.refused(text).1, "0A000", "{text}");
        }
    }
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let client = Client::new();
    let connector = Connector::new(&client);
    for text in [
        "COMMIT",
        "ROLLBACK",
        "ALTER SESSION SET QUERY_TAG = 'x', TIMEZONE = 'UTC' AUTOCOMMIT = true",
        "ALTER SESSION UNSET QUERY_TAG",
        "ALTER SESSION SET PYTHON_CONNECTOR_QUERY_RESULT_FORMAT = 'ARROW'",
    ] {
        let wanted = json!([["Statement executed successfully."]]);
        assert_eq!(connector.rows(text), wanted, "{text}");
    }
    for (text, code, part) in [
        ("UPDATE T SET A = 1", "000002", "UPDATE T SET A"),
        ("MERGE INTO T USING U ON TRUE", "000002", "MERGE"),
        ("CALL P()", "000002", "CALL P"),
        ("BEGIN", "000002", "BEGIN"),
        ("SELECT 1; SELECT 2", "000008", "statement count 2"),
        ("", "001003", "empty"),
        ("SELEC 1", "001003", "unexpected 'SELEC'"),
        ("SELECT * FROM NONE", "002003", "DB.S.NONE"),
        (
            "ALTER SESSION SET AUTOCOMMIT = FALSE",
            "001008",
            "AUTOCOMMIT",
        ),
        (
            "ALTER SESSION SET TIMEZONE = 'Europe/Berlin'",
            "001008",
            "TIMEZONE",
        ),
        ("ALTER SESSION SET WEEK_START = 1", "001008", "WEEK_START"),
    ] {
        let (found, _, message) = connector.refused(text);
        assert_eq!(found, code, "{text}: {message}");
        assert!(message.contains(part), "{text}: {message}");
    }
    for (body, part) in [
        (
            json!({ "sqlText": "SELECT 1", "asyncExec": true }),
            "asynchronous",
        ),
        (
            json!({ "sqlText": "SELECT 1", "parameters": { "MULTI_STATEMENT_COUNT": 2 } }),
            "MULTI_STATEMENT_COUNT",
        ),
        (
            json!({ "sqlText": "SELECT ?", "bindings": { "2": { "type": "TEXT", "value": "x" } } }),
            "numbered",
        ),
        (
            json!({ "sqlText": "SELECT ?", "bindings": { "1": { "type": "TEXT", "value": ["x"] } } }),
            "list of bindings",
        ),
        (json!({ "sqlText": " ".repeat(1_048_577) }), "1048576 bytes"),
        (json!({ "text": "SELECT 1" }), "sqlText"),
    ] {
        let answer = connector.query(&body);
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains(part), "{message}");
    }
    let parameters = json!({ "AUTOCOMMIT": false });
    let mut data = key_pair(&client);
    data["SESSION_PARAMETERS"] = parameters;
    assert_eq!(log_in(&client, "", &data)["code"], "001008");
}

#[test]
fn faults_meet_connectors_too() {
    let client = Client::new();
    let connector = Connector::new(&client);
    client
        .emulator
        .faults()
        .push(Fault::Throttle(None).on(Endpoint::Query));
    let body = json!({ "sqlText": "SELECT 1" });
    let path = "/queries/v1/query-request";
    let request = connector.request(path, &body);
    let answer = answered(client.emulator.handle(client.now, request));
    assert_eq!(answer.status(), 429);
    assert_eq!(connector.rows("SELECT 1"), json!([["1"]]));
}

#[test]
fn a_body_that_grows_is_refused() {
    let client = Client::new();
    let connector = Connector::new(&client);
    let answer = connector.query(&json!({ "sqlText": " ".repeat(9 << 20) }));
    assert_eq!(answer["code"], "391908", "{answer}");
    let answer = connector.query(&json!([]));
    assert_eq!(answer["code"], "390400", "{answer}");
}
