//! The SQL API over both storages: what is answered, and what a statement cannot do.

use std::time::Instant;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::catalog::tables::Catalog;
use crate::rig::{Client, START_MS, answered, code, jwt, read, request, settings};
use crate::storage::data_file::DataFile;
use crate::storage::sqlite_file::Ddl;

const DDL: &str = "
CREATE TABLE DB.S.T (ID NUMBER(38,0) NOT NULL, NAME VARCHAR(20), PRICE NUMBER(7,2), SEEN TIMESTAMP_NTZ(3), BODY VARIANT);
CREATE TABLE DB.S.RESORT (NAME VARCHAR, ALTITUDE FLOAT);
CREATE TABLE DB.OTHER.T (ID NUMBER);
";

const ROWS: &str = r#"{"ID":1,"NAME":"Elkhorn","PRICE":10.5,"SEEN":"1970-01-01 00:00:01.5","BODY":{"txid":"a","n":[1,2]}}
{"ID":2,"NAME":"elkhorn","PRICE":20,"SEEN":null,"BODY":{"txid":"b"}}
{"ID":12345678901234567890123456789012345678,"NAME":"it's","BODY":{"txid":"b"}}
"#;

/// A client with the rows landed, in memory and in a file.
pub(crate) fn clients() -> Vec<(Client, Option<tempfile::TempDir>)> {
    let in_memory = settings().catalog(Catalog::from_ddl(DDL).unwrap());
    let dir = tempfile::TempDir::new().unwrap();
    let ddl = Ddl::Bootstrap(DDL.to_owned());
    let storage = DataFile::open(&dir.path().join("e.db"), &ddl).unwrap();
    let catalog = storage.catalog().clone();
    let in_file = settings().catalog(catalog).storage(storage);
    [(in_memory, None), (in_file, Some(dir))]
        .into_iter()
        .map(|(settings, dir)| {
            let client = Client::of(settings);
            let token = client.open("c");
            client.append("c", &token, "1", ROWS);
            client.emulator.commit_now();
            (client, dir)
        })
        .collect()
}

pub(crate) fn post(client: &Client, query: &str, body: &Value) -> (u16, Value) {
    let now = client.now_ms() / 1000;
    let request = request(
        "POST",
        &format!("/api/v2/statements{query}"),
        &jwt(now, now + 3540),
    )
    .body(Bytes::from(body.to_string()))
    .unwrap();
    read(&answered(client.emulator.handle(client.now, request)))
}

fn get(client: &Client, handle: &str) -> (u16, Value) {
    let now = client.now_ms() / 1000;
    let request = request(
        "GET",
        &format!("/api/v2/statements/{handle}"),
        &jwt(now, now + 3540),
    )
    .body(Bytes::new())
    .unwrap();
    read(&answered(client.emulator.handle(client.now, request)))
}

pub(crate) fn sql(client: &Client, statement: &str) -> (u16, Value) {
    let body = json!({ "statement": statement, "database": "DB", "schema": "S" });
    post(client, "", &body)
}

#[track_caller]
pub(crate) fn data(client: &Client, statement: &str) -> Value {
    let (status, answer) = sql(client, statement);
    assert_eq!(status, 200, "{statement}: {answer}");
    answer["data"].clone()
}

#[track_caller]
pub(crate) fn refused(client: &Client, statement: &str) -> (u16, String, String) {
    let (status, answer) = sql(client, statement);
    let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
    assert!(!text("statementHandle").is_empty(), "{answer}");
    (status, text("code"), text("message"))
}

#[test]
fn an_answer_has_the_shape_of_the_sql_api() {
    for (client, _dir) in clients() {
        let (status, answer) = sql(
            &client,
            "select id, Name, price, seen, body from t order by id limit 2",
        );
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["code"], "090001");
        assert_eq!(answer["sqlState"], "00000");
        assert_eq!(answer["createdOn"], START_MS);
        assert_eq!(answer["resultSetMetaData"]["numRows"], 2);
        let types = answer["resultSetMetaData"]["rowType"].as_array().unwrap();
        let shown: Vec<_> = types
            .iter()
            .map(|column| {
                (
                    column["name"].as_str().unwrap(),
                    column["type"].as_str().unwrap(),
                )
            })
            .collect();
        let wanted = [
            ("ID", "fixed"),
            ("NAME", "text"),
            ("PRICE", "fixed"),
            ("SEEN", "timestamp_ntz"),
            ("BODY", "variant"),
        ];
        assert_eq!(shown, wanted);
        assert_eq!(types[2]["scale"], 2);
        let wanted = json!([
            [
                "1",
                "Elkhorn",
                "10.50",
                "1.500000000",
                "{\"n\":[1,2],\"txid\":\"a\"}"
            ],
            ["2", "elkhorn", "20.00", null, "{\"txid\":\"b\"}"],
        ]);
        assert_eq!(answer["data"], wanted);

        let handle = answer["statementHandle"].as_str().unwrap();
        assert_eq!(get(&client, handle), (200, answer.clone()));
        assert_eq!(get(&client, "no-such-handle").0, 404);
    }
}

#[test]
fn counts_paths_joins_and_names_are_as_in_snowflake() {
    for (client, _dir) in clients() {
        let cases = [
            (
                "SELECT COUNT(*), COUNT(DISTINCT ID) FROM DB.S.T",
                json!([["3", "3"]]),
            ),
            (
                "SELECT COUNT(DISTINCT body:txid::STRING) FROM s.t",
                json!([["2"]]),
            ),
            ("SELECT body:n[1]::INT FROM T WHERE ID = 1", json!([["2"]])),
            (
                "SELECT body['txid'] FROM T WHERE t.id = 1",
                json!([["\"a\""]]),
            ),
            ("SELECT COUNT(*) FROM DB.OTHER.T", json!([["0"]])),
            (
                "SELECT a.ID FROM T a JOIN db.s.T b ON a.NAME = b.NAME WHERE a.ID < 3 ORDER BY 1",
                json!([["1"], ["2"]]),
            ),
            ("SELECT ID FROM T WHERE NAME LIKE 'E%'", json!([["1"]])),
            (
                "SELECT ID FROM T WHERE NAME = 'it''s'",
                json!([["12345678901234567890123456789012345678"]]),
            ),
            (
                "SELECT ID FROM T WHERE NAME = 'it\\'s' -- a comment",
                json!([["12345678901234567890123456789012345678"]]),
            ),
            (
                "WITH x AS (SELECT ID FROM T WHERE ID < 3) SELECT COUNT(*) FROM X",
                json!([["2"]]),
            ),
            (
                "SELECT n FROM (SELECT COUNT(*) AS n FROM T)",
                json!([["3"]]),
            ),
            (
                "SELECT \"ID\" FROM \"DB\".\"S\".\"T\" ORDER BY ID LIMIT 1",
                json!([["1"]]),
            ),
            (
                "SELECT T.* FROM RESORT RIGHT JOIN T ON FALSE WHERE T.ID = 99",
                json!([]),
            ),
            (
                "SELECT NAME, COUNT(*) FROM T GROUP BY NAME HAVING COUNT(*) > 1",
                json!([]),
            ),
            ("SELECT 1 UNION ALL SELECT 2;", json!([["1"], ["2"]])),
            ("SELECT SUM(ID) FROM T WHERE ID < 3", json!([["3"]])),
        ];
        for (statement, wanted) in cases {
            assert_eq!(data(&client, statement), wanted, "{statement}");
        }
        let (_, answer) = sql(
            &client,
            "select count(*), count(distinct id) as Ids, t.name from t group by name",
        );
        let names = answer["resultSetMetaData"]["rowType"].as_array().unwrap();
        let names: Vec<_> = names
            .iter()
            .map(|column| column["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["COUNT(*)", "IDS", "NAME"]);
    }
}

#[test]
fn bindings_nulls_and_asynchronous_answers() {
    for (client, _dir) in clients() {
        let body = json!({
            "statement": "SELECT ID, SEEN FROM DB.S.T WHERE NAME = ? AND 'x' = 'x' AND ID < ?",
            "bindings": { "1": { "type": "TEXT", "value": "elkhorn" }, "2": { "type": "FIXED", "value": "10" } },
        });
        let (status, answer) = post(&client, "", &body);
        assert_eq!(
            (status, &answer["data"]),
            (200, &json!([["2", null]])),
            "{answer}"
        );
        let (_, answer) = post(&client, "?nullable=false", &body);
        assert_eq!(answer["data"], json!([["2", "null"]]));

        let (status, answer) = post(&client, "?async=true&requestId=r1", &body);
        assert_eq!((status, answer["code"].as_str()), (202, Some("333334")));
        let (status, answer) = get(&client, answer["statementHandle"].as_str().unwrap());
        assert_eq!((status, &answer["data"]), (200, &json!([["2", null]])));
        assert_eq!(answer["requestId"], "r1");

        let unbound = json!({ "statement": "SELECT ?" });
        assert_eq!(post(&client, "", &unbound).0, 422);
        assert_eq!(post(&client, "", &json!({ "sql": "SELECT 1" })).0, 400);
        let skipped = json!({ "statement": "SELECT ?", "bindings": { "2": { "type": "TEXT", "value": "x" } } });
        assert_eq!(post(&client, "", &skipped).0, 400);
    }
}

#[test]
fn mistakes_have_snowflakes_codes() {
    for (client, _dir) in clients() {
        let cases = [
            ("SELEC 1", 422, "001003", "SELEC"),
            ("SELECT FROM FROM", 422, "001003", "syntax error line 1"),
            ("SELECT (1", 422, "001003", "syntax error line 1"),
            ("", 422, "001003", "empty"),
            (
                "SELECT * FROM NOWHERE",
                422,
                "002003",
                "Object 'DB.S.NOWHERE' does not exist",
            ),
            ("SELECT * FROM a.b.c.d", 422, "002003", "does not exist"),
            ("SELECT NOPE FROM T", 422, "000904", "NOPE"),
            ("SELECT \"id\" FROM T", 422, "000904", "id"),
            (
                "SELECT SOUNDEX(NAME) FROM T",
                422,
                "002140",
                "Unknown function SOUNDEX",
            ),
            (
                "SELECT 1; SELECT 2",
                422,
                "000008",
                "Actual statement count 2",
            ),
            (
                "SELECT * FROM TABLE(SPLIT_TO_TABLE('a.b', '.'))",
                422,
                "000002",
                "FROM",
            ),
            ("SELECT \"a\"\"b\" FROM T", 422, "000002", "double quote"),
        ];
        for (statement, status, code, message) in cases {
            if status == 200 {
                data(&client, statement);
                continue;
            }
            let refusal = refused(&client, statement);
            assert_eq!(
                (refusal.0, refusal.1.as_str()),
                (status, code),
                "{statement}: {}",
                refusal.2
            );
            assert!(refusal.2.contains(message), "{statement}: {}", refusal.2);
        }
        let (status, answer) = post(&client, "", &json!({ "statement": "SELECT * FROM T" }));
        assert_eq!((status, answer["code"].as_str()), (422, Some("090105")));
    }
}

/// Whatever it is that a statement tries, the rows and the emulator are as before.
#[test]
fn a_statement_reaches_nothing_but_tables() {
    for (client, dir) in clients() {
        let outside = dir.as_ref().map(|dir| dir.path().join("outside.db"));
        let attach = format!(
            "ATTACH '{}' AS X",
            outside
                .as_ref()
                .map_or("x.db".into(), |p| p.display().to_string())
        );
        let vacuum = "VACUUM INTO 'copy.db'";
        let statements = [
            attach.as_str(),
            vacuum,
            "PRAGMA journal_mode = DELETE",
            "UPDATE T SET ID = 9",
            "WITH X AS (SELECT 1) DELETE FROM T",
            "SELECT * FROM _snowpipe_keys",
            "SELECT * FROM sqlite_master",
            "SELECT * FROM pragma_table_info",
            "SELECT * FROM pragma_table_info('T')",
            "SELECT load_extension('x')",
            "SELECT readfile('/etc/passwd')",
            "SELECT ID FROM T WHERE NAME = '\\' UNION SELECT public_key FROM _snowpipe_keys --'",
            "SELECT * INTO X FROM T",
        ];
        for statement in statements {
            let (status, answer) = sql(&client, statement);
            let is_empty = answer["data"] == json!([]);
            assert!(
                status == 422 || (status == 200 && is_empty),
                "{statement}: {answer}"
            );
        }
        assert_eq!(client.emulator.rows("DB.S.T").unwrap().len(), 3);
        assert!(outside.is_none_or(|path| !path.exists()));
    }
}

#[test]
fn a_statement_ends_within_its_bounds() {
    let counting = "WITH RECURSIVE N(I) AS (SELECT 1 UNION ALL SELECT I + 1 FROM N) SELECT";
    for (client, _dir) in clients() {
        let begun = Instant::now();
        let endless = json!({ "statement": format!("{counting} COUNT(*) FROM N"), "timeout": 1 });
        let (status, answer) = post(&client, "", &endless);
        assert_eq!(
            (status, answer["code"].as_str()),
            (408, Some("000630")),
            "{answer}"
        );
        assert!(begun.elapsed().as_secs() < 60);

        assert_eq!(
            refused(&client, &format!("{counting} I FROM N")).1,
            "391908"
        );
        assert_eq!(
            refused(&client, "SELECT REPEAT('a', 1000000000)").1,
            "391908"
        );
        assert_eq!(refused(&client, "SELECT REPEAT('ab', 5000000)").1, "391908");
        let wide = format!("{counting} REPEAT('x', 1000000) FROM N LIMIT 20");
        assert_eq!(refused(&client, &wide).1, "391908");
        assert_eq!(
            refused(&client, &format!("SELECT {}", "1+".repeat(3_000) + "1")).1,
            "000002"
        );
        // Deep, and short enough to be read.
        for deep in [
            format!("SELECT {}1", "1+".repeat(499)),
            format!("SELECT {}1{}", "(".repeat(499), ")".repeat(499)),
            format!("SELECT {}1", "NOT ".repeat(990)),
            format!("SELECT {}", vec!["1"; 330].join(" UNION ALL SELECT ")),
        ] {
            let (status, _) = sql(&client, &deep);
            assert!(matches!(status, 200 | 422), "{status}");
        }
    }
}

#[test]
fn a_statement_needs_the_accounts_credential() {
    let client = Client::new();
    let body = json!({ "statement": "SELECT 1" }).to_string();
    // A scoped token is none.
    let (status, answer) = client.call("POST", "/api/v2/statements", body);
    assert_eq!((status, code(&answer)), (401, "390144"));
    let (status, answer) = client.call("GET", "/api/v2/statements/x", "");
    assert_eq!((status, code(&answer)), (401, "390144"));
    // A path that only decodes to the address runs nothing.
    let now = client.now_ms() / 1000;
    let odd = request("POST", "/api/v2/%73tatements", &jwt(now, now + 60));
    let odd = odd
        .body(Bytes::from(r#"{"statement":"SELECT 1"}"#))
        .unwrap();
    assert_eq!(
        answered(client.emulator.handle(client.now, odd)).status(),
        404
    );
}

#[test]
fn a_table_that_stands_for_any_is_there_once_it_holds_rows() {
    let client = Client::new();
    assert_eq!(refused(&client, "SELECT COUNT(*) FROM T").1, "002003");
    let token = client.open("c");
    client.append("c", &token, "1", "{\"n\":1}\n{\"n\":2}\n");
    client.emulator.commit_now();
    assert_eq!(
        data(&client, "SELECT SUM(ROW:n::INT) FROM T"),
        json!([["3"]])
    );
}
