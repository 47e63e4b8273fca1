//! Tests against answers written by hand from the "Snowflake SQL API reference".

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::client::{Counts, SqlClient, Statement};
use super::names::TableName;
use crate::auth::ProgrammaticAccessToken;
use crate::config::Profile;
use crate::http::{Request, Response, Transport, TransportError, TransportErrorKind};
use crate::types::error::{Error, ErrorKind};

/// A transport with prepared answers, which records the requests. `None` stands for a broken connection.
#[derive(Debug, Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Option<Response>>>>,
    asked: Arc<Mutex<Vec<Request>>>,
}

#[async_trait]
impl Transport for Script {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        self.asked.lock().unwrap().push(request);
        let broken = || TransportError::new(TransportErrorKind::Interrupted, "it broke");
        let next = self.answers.lock().unwrap().pop_front();
        next.expect("an answer is prepared").ok_or_else(broken)
    }
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Option<Response>>) -> Self {
        let script = Self::default();
        script.answers.lock().unwrap().extend(answers);
        script
    }

    fn client(&self, more: &Value) -> SqlClient {
        let mut profile = json!({
            "url": "https://127.0.0.1",
            "account": "EMULATOR",
            "user": "STREAMING",
            "private_key": include_str!("../../tests/fixtures/keys/rsa_p8.pem"),
        });
        let fields = profile.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        SqlClient::builder(Profile::from_json(&profile.to_string()).unwrap())
            .transport(self.clone())
            .build()
            .unwrap()
    }

    fn lines(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let line = |r: &Request| format!("{} {}", r.method(), r.uri().path());
        asked.iter().map(line).collect()
    }

    fn queries(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let query = |r: &Request| r.uri().query().unwrap_or_default().to_owned();
        asked.iter().map(query).collect()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what a script is made of")]
fn answer(status: u16, body: &Value) -> Option<Response> {
    let body = body.to_string().into();
    Some(http::Response::builder().status(status).body(body).unwrap())
}

fn result(rows: &Value) -> Value {
    json!({
        "resultSetMetaData": {
            "numRows": 1,
            "format": "jsonv2",
            "rowType": [{"name": "COUNT(*)", "type": "fixed"}, {"name": "X", "type": "text"}],
            "partitionInfo": [{"rowCount": 1, "uncompressedSize": 9}],
        },
        "data": rows,
        "code": "090001",
        "statementStatusUrl": "/api/v2/statements/01b2-34?requestId=5",
        "sqlState": "00000",
        "statementHandle": "01b2-34",
        "message": "Statement executed successfully.",
        "createdOn": 1_763_000_000_000_u64,
    })
}

async fn failure(answers: Vec<Option<Response>>) -> (Error, Script) {
    let script = Script::new(answers);
    let client = script.client(&json!({}));
    let error = client.query(&Statement::new("SELECT 1")).await.unwrap_err();
    (error, script)
}

#[tokio::test(start_paused = true)]
async fn a_statement_is_sent_as_documented_and_its_rows_are_returned() {
    let script = Script::new([answer(200, &result(&json!([["3", null]])))]);
    let more = json!({"role": "LOADER", "database": "RESORT", "schema": "PUBLIC"});
    let client = script.client(&more);
    let statement = Statement::new("SELECT COUNT(*), ? FROM LIFT_RIDE WHERE LIFT = ?")
        .bind("a")
        .bind("Elkhorn")
        .timeout(Duration::from_millis(30_999));
    let rows = client.query(&statement).await.unwrap();
    assert_eq!(rows.columns, ["COUNT(*)", "X"]);
    assert_eq!(rows.rows, [[Some("3".to_owned()), None]]);

    assert_eq!(script.lines(), ["POST /api/v2/statements"]);
    let asked = script.asked.lock().unwrap();
    let headers = asked[0].headers();
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["accept"], "application/json");
    assert_eq!(
        headers["x-snowflake-authorization-token-type"],
        "KEYPAIR_JWT"
    );
    let authorization = headers["authorization"].to_str().unwrap();
    assert!(authorization.starts_with("Bearer ey"), "a JWT");
    let body: Value = serde_json::from_slice(asked[0].body()).unwrap();
    let expected = json!({
        "statement": "SELECT COUNT(*), ? FROM LIFT_RIDE WHERE LIFT = ?",
        "timeout": 30,
        "database": "RESORT",
        "schema": "PUBLIC",
        "role": "LOADER",
        "bindings": {"1": {"type": "TEXT", "value": "a"}, "2": {"type": "TEXT", "value": "Elkhorn"}},
    });
    assert_eq!(body, expected);
}

#[tokio::test(start_paused = true)]
async fn a_running_statement_is_polled_until_it_completes() {
    let running = json!({
        "code": "333334",
        "message": "Asynchronous execution in progress.",
        "statementHandle": "01b2-34",
        "statementStatusUrl": "/api/v2/statements/01b2-34",
    });
    let script = Script::new([
        answer(202, &running),
        answer(202, &running),
        answer(200, &result(&json!([["7", "5"]]))),
    ]);
    let table = TableName::new("D", "S", "odd\"name").unwrap();
    let counts = script.client(&json!({})).count(&table, Some("TXID")).await;
    let expected = Counts {
        rows: 7,
        distinct: Some(5),
    };
    assert_eq!(counts.unwrap(), expected);
    assert_eq!(
        script.lines(),
        [
            "POST /api/v2/statements",
            "GET /api/v2/statements/01b2-34",
            "GET /api/v2/statements/01b2-34"
        ]
    );
    let asked = script.asked.lock().unwrap();
    let body: Value = serde_json::from_slice(asked[0].body()).unwrap();
    assert_eq!(
        body["statement"],
        r#"SELECT COUNT(*), COUNT(DISTINCT "TXID") FROM "D"."S"."odd""name""#
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_is_retried_with_the_same_request_id() {
    let script = Script::new([
        None,
        answer(503, &json!({})),
        answer(429, &json!({"code": "390701"})),
        answer(200, &result(&json!([["1", "1"]]))),
    ]);
    let client = script.client(&json!({}));
    client.query(&Statement::new("SELECT 1")).await.unwrap();
    let queries = script.queries();
    let id = |query: &str| {
        let (_, id) = query.split_once("requestId=").unwrap();
        id.split('&').next().unwrap().to_owned()
    };
    assert_eq!(queries.len(), 4);
    assert!(!queries[0].contains("retry"), "{queries:?}");
    for again in &queries[1..] {
        assert!(again.contains("retry=true"), "{queries:?}");
        assert!(!again.contains("retryCount"), "{queries:?}");
        assert_eq!(id(again), id(&queries[0]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_statement_reports_the_reason_and_is_not_retried() {
    let said = json!({
        "code": "002003",
        "sqlState": "42S02",
        "message": "SQL compilation error:\nObject 'D.S.T' does not exist or not authorized.",
        "statementHandle": "01b2-34",
    });
    let (error, script) = failure(vec![answer(422, &said)]).await;
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert_eq!(error.code(), Some("002003"));
    assert!(
        error.to_string().contains("'D.S.T' does not exist"),
        "{error}"
    );
    assert_eq!(script.lines().len(), 1);

    let (error, script) = failure(vec![answer(408, &json!({"code": "000630"}))]).await;
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(script.lines().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn incomplete_and_malformed_results_are_refused() {
    let mut parted = result(&json!([["1", "1"]]));
    parted["resultSetMetaData"]["partitionInfo"] = json!([{"rowCount": 1}, {"rowCount": 9}]);
    let (error, _) = failure(vec![answer(200, &parted)]).await;
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");

    let numbers = result(&json!([[1, 2]]));
    let (error, _) = failure(vec![answer(200, &numbers)]).await;
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    let (error, _) = failure(vec![answer(202, &json!({}))]).await;
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");

    let script = Script::new([answer(200, &result(&json!([["many"]])))]);
    let table = TableName::new("D", "S", "T").unwrap();
    let error = script.client(&json!({})).count(&table, None).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Protocol);
    assert!(TableName::new("D", " ", "T").is_err());
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_never_completes_times_out() {
    let running = json!({"statementHandle": "01b2-34"});
    let answers: Vec<_> = (0..1000).map(|_| answer(202, &running)).collect();
    let (error, _) = failure(answers).await;
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("360s"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn another_credential_is_used_and_needs_no_key() {
    let script = Script::new([answer(200, &result(&json!([["1", "1"]])))]);
    let profile = Profile::new("ORG-ACCOUNT").with_url("https://127.0.0.1");
    let client = SqlClient::builder(profile)
        .credential(ProgrammaticAccessToken::new("token-of-mine", None))
        .transport(script.clone())
        .build()
        .unwrap();
    client.query(&Statement::new("SELECT 1")).await.unwrap();
    let asked = script.asked.lock().unwrap();
    let headers = asked[0].headers();
    assert_eq!(headers["authorization"], "Bearer token-of-mine");
    assert_eq!(
        headers["x-snowflake-authorization-token-type"],
        "PROGRAMMATIC_ACCESS_TOKEN"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_the_statement_and_not_the_login() {
    for (status, kind, remedy) in [
        (400, ErrorKind::Refused, "would be refused again"),
        (403, ErrorKind::Forbidden, "SELECT on the table"),
        (404, ErrorKind::NotFound, "run it again"),
    ] {
        let (error, _) = failure(vec![answer(status, &json!({"code": "390000"}))]).await;
        assert_eq!(error.kind(), kind, "{status}");
        assert!(error.to_string().contains(remedy), "{error}");
    }
}

#[tokio::test]
async fn a_bearer_token_for_other_calls_is_that_of_the_login() {
    let script = Script::new([]);
    let client = script.client(&json!({}));
    let bearer = client.bearer().await.unwrap();
    assert_eq!(bearer.token_type(), "KEYPAIR_JWT");
    assert_eq!(bearer.token().expose().split('.').count(), 3);
    // It is not signed anew for each call.
    let again = client.bearer().await.unwrap();
    assert_eq!(again.token().expose(), bearer.token().expose());

    let token = ProgrammaticAccessToken::new("a token", None);
    let client = SqlClient::builder(Profile::new("ACME"))
        .credential(token)
        .transport(script.clone())
        .build()
        .unwrap();
    let bearer = client.bearer().await.unwrap();
    assert_eq!(
        (bearer.token_type(), bearer.token().expose()),
        ("PROGRAMMATIC_ACCESS_TOKEN", "a token")
    );
    assert!(script.lines().is_empty());
}
