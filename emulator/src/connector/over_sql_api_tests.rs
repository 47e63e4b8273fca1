//! Statements of the SQL API that are no query.

use serde_json::{Value, json};

use crate::rig::Client;
use crate::sql_api::statements_tests::{clients, data, post, refused, sql};

fn changed(client: &Client, statement: &str) -> String {
    let data = data(client, statement);
    data[0][0].as_str().unwrap().to_owned()
}

#[test]
fn tables_and_rows_are_changed_and_shown() {
    for (client, _dir) in clients() {
        let created = changed(&client, "CREATE TABLE U (A NUMBER, B VARCHAR)");
        assert_eq!(created, "Table U successfully created.");
        assert_eq!(
            changed(&client, "INSERT INTO U VALUES (1, 'a'), (2, NULL)"),
            "2"
        );
        assert_eq!(
            data(&client, "SELECT A, B FROM U ORDER BY A"),
            json!([["1", "a"], ["2", null]])
        );
        let body = json!({
            "statement": "INSERT INTO DB.S.U VALUES (?, ?)",
            "bindings": {
                "1": { "type": "FIXED", "value": "3" },
                "2": { "type": "TEXT", "value": "c" },
            },
        });
        let (status, answer) = post(&client, "", &body);
        assert_eq!(
            (status, &answer["data"]),
            (200, &json!([["1"]])),
            "{answer}"
        );
        assert_eq!(
            answer["resultSetMetaData"]["rowType"][0]["name"],
            "number of rows inserted"
        );
        let tables = data(&client, "SHOW TABLES LIKE 'U' IN SCHEMA DB.S");
        assert_eq!(tables[0][1], "U");
        let columns = data(&client, "DESC TABLE U");
        assert_eq!(columns[1][0], "B");
        assert_eq!(columns[1][1], "VARCHAR(16777216)");
        assert_eq!(changed(&client, "ALTER TABLE U ADD COLUMN C DATE"), DONE);
        assert_eq!(changed(&client, "DELETE FROM U"), "3");
        assert_eq!(changed(&client, "TRUNCATE TABLE IF EXISTS U"), DONE);
        assert_eq!(changed(&client, "DROP TABLE U"), "U successfully dropped.");
        assert_eq!(refused(&client, "SELECT A FROM U").1, "002003");
    }
}

const DONE: &str = "Statement executed successfully.";

#[test]
fn a_schema_is_dropped_with_its_tables_and_pipes() {
    for (client, _dir) in clients() {
        for statement in [
            "CREATE SCHEMA DB.OTHER",
            "CREATE TABLE DB.OTHER.A (A NUMBER)",
            "CREATE TABLE DB.OTHER.B (A NUMBER)",
            "CREATE PIPE DB.OTHER.P AS COPY INTO DB.OTHER.A FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) MATCH_BY_COLUMN_NAME = CASE_SENSITIVE",
            // Its pipe is in another schema.
            "CREATE PIPE DB.OTHER.Q AS COPY INTO DB.S.T FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) MATCH_BY_COLUMN_NAME = CASE_SENSITIVE",
        ] {
            let (status, answer) = sql(&client, statement);
            assert_eq!(status, 200, "{statement}: {answer}");
        }
        let schemas = |client: &Client| {
            let found = data(client, "SHOW SCHEMAS IN DATABASE DB");
            let names = found.as_array().unwrap().iter().map(|row| row[1].clone());
            names.collect::<Vec<Value>>()
        };
        assert_eq!(schemas(&client), ["OTHER", "S"]);
        assert_eq!(refused(&client, "DROP SCHEMA DB.OTHER RESTRICT").0, 422);
        let dropped = changed(&client, "DROP SCHEMA IF EXISTS DB.OTHER CASCADE");
        assert_eq!(dropped, "OTHER successfully dropped.");
        assert_eq!(schemas(&client), ["S"]);
        assert_eq!(refused(&client, "SELECT * FROM DB.OTHER.A").1, "002003");
        let path = "/v2/streaming/databases/DB/schemas/OTHER/pipes/Q/channels/c";
        assert_eq!(client.call("PUT", path, "{}").0, 404);
        assert_ne!(data(&client, "SELECT COUNT(*) FROM T"), json!([["0"]]));
        changed(&client, "DROP DATABASE DB");
        assert_eq!(refused(&client, "SELECT COUNT(*) FROM T").1, "002003");
    }
}

#[test]
fn pipes_are_listed_and_described() {
    for (client, _dir) in clients() {
        let create = "CREATE PIPE DB.OTHER.P COMMENT = 'x' AS COPY  INTO DB.S.T (NAME)
            FROM (SELECT $1:N::VARCHAR FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')))";
        changed(&client, create);
        let listed = data(&client, "SHOW PIPES IN ACCOUNT");
        let columns = |row: &Value| {
            let shown = [1, 2, 3, 4, 13, 14].map(|column| row[column].clone());
            json!(shown)
        };
        let made = json!([
            "P",
            "DB",
            "OTHER",
            "COPY INTO DB.S.T (NAME) FROM (SELECT $1:N::VARCHAR FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')))",
            "STREAMING",
            "false"
        ]);
        let default = json!([
            "T-STREAMING",
            "DB",
            "S",
            "COPY INTO DB.S.T FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE",
            "STREAMING",
            "true"
        ]);
        let rows = listed.as_array().unwrap();
        assert_eq!(
            rows.iter().map(columns).collect::<Vec<_>>(),
            [made.clone(), default.clone()]
        );
        let described = data(&client, "DESC PIPE DB.OTHER.P");
        assert_eq!(columns(&described[0]), made);
        let described = data(&client, "DESCRIBE PIPE \"T-STREAMING\"");
        assert_eq!(columns(&described[0]), default);
        assert_eq!(
            data(&client, "SHOW PIPES LIKE 'p' IN DATABASE DB")
                .as_array()
                .unwrap()
                .len(),
            1
        );
        assert_eq!(refused(&client, "DESC PIPE NONE").1, "002003");
    }
}

#[test]
fn channels_are_listed_with_their_pipes_and_tokens() {
    for (client, _dir) in clients() {
        client.open("Second");
        let all = data(&client, "SHOW CHANNELS IN PIPE DB.S.\"T-STREAMING\"");
        let wanted = json!([
            ["c", "DB", "S", "T", "0", "2", "1", "T-STREAMING", "PIPE"],
            [
                "Second",
                "DB",
                "S",
                "T",
                "0",
                "1",
                null,
                "T-STREAMING",
                "PIPE"
            ],
        ]);
        let shown = |rows: &Value| {
            let rows = rows.as_array().unwrap().iter();
            rows.map(|row| json!(row.as_array().unwrap()[1..]))
                .collect::<Vec<_>>()
        };
        assert_eq!(json!(shown(&all)), wanted);
        for (statement, count) in [
            ("SHOW CHANNELS", 2),
            ("SHOW CHANNELS LIKE 'sec%'", 1),
            ("SHOW CHANNELS LIKE 'sec%' IN SCHEMA DB.S", 1),
            ("SHOW CHANNELS LIKE 'sec%' IN PIPE \"T-STREAMING\"", 1),
            ("SHOW CHANNELS IN SCHEMA DB.OTHER", 0),
            // Only channels of the classic architecture belong to tables.
            ("SHOW CHANNELS IN TABLE DB.S.T", 0),
        ] {
            let rows = data(&client, statement);
            assert_eq!(rows.as_array().unwrap().len(), count, "{statement}");
        }
        assert_eq!(refused(&client, "SHOW CHANNELS IN PIPE NONE").1, "002003");
    }
}

#[test]
fn the_status_of_a_pipe_is_its_execution_state() {
    for (client, _dir) in clients() {
        let query = "SELECT SYSTEM$PIPE_STATUS('db.s.\"T-STREAMING\"')";
        let (_, answer) = sql(&client, query);
        let name = &answer["resultSetMetaData"]["rowType"][0]["name"];
        assert_eq!(name, "SYSTEM$PIPE_STATUS('db.s.\"T-STREAMING\"')");
        assert_eq!(
            answer["data"],
            json!([["{\"executionState\":\"RUNNING\"}"]])
        );
        let state =
            "SELECT PARSE_JSON(SYSTEM$PIPE_STATUS('\"T-STREAMING\"')):executionState::VARCHAR AS S";
        assert_eq!(data(&client, state), json!([["RUNNING"]]));
        assert_eq!(
            refused(&client, "SELECT SYSTEM$PIPE_STATUS('NONE')").1,
            "002003"
        );
        assert_eq!(
            refused(&client, "SELECT SYSTEM$PIPE_STATUS(NAME) FROM T").1,
            "000002"
        );
    }
}

#[test]
fn a_change_that_is_sent_again_happens_once() {
    let (client, _dir) = clients().swap_remove(0);
    let body = json!({ "statement": "CREATE TABLE DB.S.U (A NUMBER)" });
    let (first, created) = post(&client, "?requestId=one", &body);
    let (again, same) = post(&client, "?requestId=one&retry=true", &body);
    assert_eq!((first, again), (200, 200));
    assert_eq!(created, same);
    let insert = json!({ "statement": "INSERT INTO DB.S.U VALUES (1)" });
    for query in [
        "?requestId=two",
        "?requestId=two&retry=true",
        "?requestId=three",
    ] {
        assert_eq!(post(&client, query, &insert).0, 200);
    }
    assert_eq!(data(&client, "SELECT COUNT(*) FROM U"), json!([["2"]]));
}

#[test]
fn what_needs_a_session_and_what_is_wrong_is_refused() {
    let (client, _dir) = clients().swap_remove(0);
    for (statement, code, part) in [
        ("USE SCHEMA DB.S", "000002", "no session"),
        ("ALTER SESSION SET TIMEZONE = 'UTC'", "000002", "no session"),
        ("COMMIT", "000002", "COMMIT"),
        ("UPDATE T SET A = 1", "000002", "UPDATE"),
        ("CREATE TABLE T (A NUMBER", "001003", "line 1"),
        ("CREATE TABLE T (A NUMBER)", "002002", "already exists"),
        ("DROP TABLE NONE", "002003", "NONE"),
        ("SHOW WAREHOUSES", "000002", "SHOW"),
        ("DESC VIEW P", "000002", "TABLE"),
        ("INSERT INTO T VALUES (?)", "", ""),
    ] {
        let (status, found, message) = refused(&client, statement);
        assert_eq!(status, 422, "{statement}: {message}");
        assert!(
            code.is_empty() || found == code,
            "{statement}: {found} {message}"
        );
        assert!(message.contains(part), "{statement}: {message}");
    }
    let body = json!({
        "statement": "DELETE FROM DB.S.T",
        "bindings": { "1": { "type": "TEXT", "value": "x" } },
    });
    assert_eq!(post(&client, "", &body).0, 422);
}

/// redpanda-data/connect, `streaming_pipe_ithelper_test.go`: both are private previews.
#[test]
fn a_pipe_with_a_join_or_a_condition_is_refused_with_the_codes_of_accounts() {
    for (client, _dir) in clients() {
        for (pipe, code, state) in [
            (
                "SELECT S.$1:id::NUMBER, D.B FROM STREAM S LEFT JOIN DB.S.U D ON D.A = S.$1:id::NUMBER",
                "003001",
                "42501",
            ),
            (
                "SELECT $1:id::NUMBER, D.B FROM STREAM INNER JOIN DB.S.U D ON D.A = 1",
                "003001",
                "42501",
            ),
            (
                "SELECT $1:id::NUMBER, $1:b FROM STREAM WHERE $1:id::NUMBER >= 2.00",
                "002098",
                "0A000",
            ),
        ] {
            changed(&client, "CREATE OR REPLACE TABLE U (A NUMBER, B VARCHAR)");
            let pipe = pipe.replace("STREAM", "TABLE(DATA_SOURCE(TYPE => 'STREAMING'))");
            let statement = format!("CREATE PIPE DB.S.P AS COPY INTO DB.S.U FROM ({pipe})");
            let (status, answer) = sql(&client, &statement);
            assert_eq!(
                (status, &answer["code"], &answer["sqlState"]),
                (422, &json!(code), &json!(state)),
                "{answer}"
            );
        }
    }
}
