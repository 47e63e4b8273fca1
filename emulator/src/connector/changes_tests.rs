//! Fixtures over the routes of connectors, in memory and in a file: INSERT, DELETE, tables, and the session's schema.

use bytes::Bytes;
use serde_json::{Value, json};

use super::tests::{Connector, with_tables};
use crate::protocol::faults::Fault;
use crate::protocol::routes::Endpoint;
use crate::rig::{Client, settings};
use crate::storage::data_file::DataFile;
use crate::storage::sqlite_file::Ddl;

const DDL: &str = "CREATE TABLE DB.S.T (ID NUMBER(6,2) NOT NULL, NAME VARCHAR(5) DEFAULT 'none', V VARIANT, O OBJECT, A ARRAY,
    OK BOOLEAN, B BINARY(4), D DATE, TI TIME(3), N TIMESTAMP_NTZ(3), L TIMESTAMP_LTZ(0), Z TIMESTAMP_TZ(0), F FLOAT,
    AT TIMESTAMP_NTZ(0) DEFAULT CURRENT_TIMESTAMP());";

fn rows(client: &Client) -> Vec<Value> {
    client.emulator.rows("DB.S.T").unwrap()
}

#[test]
fn literals_land_as_their_column_takes_them() {
    for (client, _dir) in with_tables(DDL) {
        let connector = Connector::new(&client);
        let one = |columns: &str, values: &str| {
            let text = format!("INSERT INTO T (ID, {columns}) SELECT 1, {values}");
            assert_eq!(connector.rows(&text), json!([["1"]]), "{text}");
            let row = rows(&client).pop().unwrap();
            connector.execute("DELETE FROM T");
            row[columns].clone()
        };
        for (column, literal, wanted) in [
            ("NAME", "'it''s'", json!("it's")),
            ("NAME", r"'\u26c4\n'", json!("\u{26c4}\n")),
            ("NAME", "$$a\\b$$", json!("a\\b")),
            ("NAME", "1.50", json!("1.50")),
            ("NAME", "TRUE", json!("true")),
            ("NAME", "NULL", json!(null)),
            ("V", "1", json!(1)),
            ("V", "-.5", json!(-0.5)),
            ("V", "FALSE", json!(false)),
            ("V", "NULL", json!(null)),
            ("V", "PARSE_JSON('{\"a\": [1]}')", json!({ "a": [1] })),
            ("V", "PARSE_JSON(NULL)", json!(null)),
            ("O", "PARSE_JSON('{}')", json!({})),
            ("A", "PARSE_JSON('[1,2]')", json!([1, 2])),
            ("OK", "TRUE", json!(true)),
            ("OK", "0", json!(false)),
            ("OK", "'yes'", json!(true)),
            ("B", "X'00ff'", json!("AP8=")),
            ("B", "'00FF'", json!("AP8=")),
            ("D", "'2026-02-28'", json!("2026-02-28")),
            ("TI", "'14:05:06.7'", json!("14:05:06.700")),
            (
                "N",
                "'2026-01-17T14:00:00.5'",
                json!("2026-01-17 14:00:00.500"),
            ),
            (
                "L",
                "'2026-01-17 14:00:00 -07:00'",
                json!("2026-01-17 21:00:00Z"),
            ),
            (
                "Z",
                "'2026-01-17 14:00:00 -07:00'",
                json!("2026-01-17 14:00:00 -07:00"),
            ),
            ("N", "CURRENT_TIMESTAMP()", json!("2026-01-17 14:00:00.000")),
            ("F", "1e3", json!(1000.0)),
            ("F", "'inf'", json!("inf")),
        ] {
            assert_eq!(one(column, literal), wanted, "{column} {literal}");
        }
    }
}

#[test]
fn a_value_that_does_not_fit_inserts_no_row() {
    for (client, _dir) in with_tables(DDL) {
        let connector = Connector::new(&client);
        for (columns, values, code) in [
            ("ID", "NULL", "100072"),
            ("NAME", "'x'", "100072"),
            ("ID", "'x'", "100038"),
            ("ID", "12345", "100039"),
            ("ID", "'12345'", "100039"),
            ("ID", "TRUE", "002023"),
            ("ID, NAME", "1, 'sixsix'", "100078"),
            ("ID, V", "1, '{}'", "002023"),
            ("ID, V", "1, PARSE_JSON('{}')", "002014"),
            ("ID, O", "1, '{}'", "002023"),
            ("ID, OK", "1, 'maybe'", "100037"),
            ("ID, B", "1, 'xyz'", "100115"),
            ("ID, B", "1, 12", "002023"),
            ("ID, D", "1, '2026-02-30'", "100040"),
            ("ID, D", "1, 20000", "002023"),
            ("ID, TI", "1, 'soon'", "100108"),
            ("ID, N", "1, 'soon'", "100035"),
            ("ID, F", "1, FALSE", "002023"),
            ("ID", "1, 2", "002020"),
            ("ID, NAME", "1", "002020"),
            ("ID, NONE", "1, 2", "000904"),
            ("ID, ID", "1, 2", "002028"),
            ("ID", "?", "002049"),
            ("ID", "ABS(1)", "000002"),
            ("ID", "1 + 1", "001003"),
            ("ID", "$1", "000002"),
        ] {
            let text = format!("INSERT INTO T ({columns}) VALUES ({values})");
            let (found, _, message) = connector.refused(&text);
            assert_eq!(found, code, "{text}: {message}");
        }
        for (text, code) in [
            ("INSERT INTO T (ID) VALUES (1), (2), ('x')", "100038"),
            ("INSERT INTO T (ID, V) SELECT 1, PARSE_JSON('{')", "100069"),
            (
                "INSERT INTO T (ID, V) SELECT 1, PARSE_JSON('{\"a\":{\"b\":1,\"b\":2}}')",
                "100069",
            ),
            (
                "INSERT INTO T (ID, V) SELECT 1, PARSE_JSON('{a:1}')",
                "000002",
            ),
            ("INSERT INTO T (ID) SELECT ID FROM T", "000002"),
            (
                "INSERT INTO T (ID, V) SELECT 1, PARSE_JSON(PARSE_JSON('1'))",
                "002014",
            ),
            ("INSERT OVERWRITE INTO T VALUES (1)", "000002"),
            ("INSERT INTO NONE VALUES (1)", "002003"),
            ("DELETE FROM NONE", "002003"),
            ("DELETE FROM T WHERE ID = 1", "000002"),
            ("DELETE FROM T USING U", "000002"),
        ] {
            let (found, _, message) = connector.refused(text);
            assert_eq!(found, code, "{text}: {message}");
        }
        assert_eq!(rows(&client).len(), 0);
    }
}

#[test]
fn defaults_are_those_of_the_table_and_rows_keep_their_order() {
    for (client, _dir) in with_tables(DDL) {
        let connector = Connector::new(&client);
        let inserted = connector
            .execute("insert into t (name, id) values (DEFAULT, 3), (null, 1), ('x', -2.5)");
        assert_eq!(inserted["rowset"], json!([["3"]]));
        assert_eq!(inserted["rowtype"][0]["name"], "number of rows inserted");
        let found: Vec<_> = rows(&client)
            .into_iter()
            .map(|row| (row["ID"].clone(), row["NAME"].clone(), row["AT"].clone()))
            .collect();
        let at = json!("2026-01-17 14:00:00");
        let wanted = [
            (json!("3.00"), json!("none"), at.clone()),
            (json!("1.00"), json!(null), at.clone()),
            (json!("-2.50"), json!("x"), at),
        ];
        assert_eq!(json!(found), json!(wanted));
        assert_eq!(
            connector.rows("INSERT INTO T (ID, V) SELECT COLUMN1, PARSE_JSON($2) FROM VALUES (7, '[1]'), (8, NULL)"),
            json!([["2"]])
        );
        assert_eq!(
            connector.rows("SELECT ID, V FROM T WHERE ID > 6 ORDER BY ID"),
            json!([["7.00", "[1]"], ["8.00", null]])
        );
        let deleted = connector.execute("DELETE FROM DB.S.T");
        assert_eq!(deleted["rowset"], json!([["5"]]));
        assert_eq!(deleted["rowtype"][0]["name"], "number of rows deleted");
        assert_eq!(rows(&client).len(), 0);
    }
}

#[test]
fn bindings_have_the_types_of_connectors() {
    for (client, _dir) in with_tables(DDL) {
        let connector = Connector::new(&client);
        let insert = |kind: &str, value: Value, column: &str| {
            let body = json!({
                "sqlText": format!("INSERT INTO T (ID, {column}) VALUES (:1, :2)"),
                "bindings": { "1": { "type": "FIXED", "value": "1" }, "2": { "type": kind, "value": value } },
            });
            connector.query(&body)
        };
        for (kind, value, column, wanted) in [
            ("TEXT", json!("x"), "NAME", json!("x")),
            ("ANY", json!(null), "NAME", json!(null)),
            ("REAL", json!("1.5"), "F", json!(1.5)),
            ("REAL", json!("inf"), "F", json!("inf")),
            ("BOOLEAN", json!("true"), "OK", json!(true)),
            ("BINARY", json!("00ff"), "B", json!("AP8=")),
            ("DATE", json!("-86400000"), "D", json!("1969-12-31")),
            ("TIME", json!("3723456000000"), "TI", json!("01:02:03.456")),
            (
                "TIMESTAMP_NTZ",
                json!("-500000000"),
                "N",
                json!("1969-12-31 23:59:59.500"),
            ),
            (
                "TIMESTAMP_LTZ",
                json!("1768658400000000000"),
                "L",
                json!("2026-01-17 14:00:00Z"),
            ),
            (
                "TIMESTAMP_TZ",
                json!("1768658400000000000 1770"),
                "Z",
                json!("2026-01-17 19:30:00 +05:30"),
            ),
            (
                "TIMESTAMP_TZ",
                json!("1768658400000000000 1020"),
                "Z",
                json!("2026-01-17 07:00:00 -07:00"),
            ),
            (
                "TIMESTAMP_TZ",
                json!("1768658400000000000"),
                "Z",
                json!("2026-01-17 14:00:00 +00:00"),
            ),
        ] {
            let answer = insert(kind, value.clone(), column);
            assert_eq!(answer["success"], true, "{kind} {value}: {answer}");
            let row = rows(&client).pop().unwrap();
            assert_eq!(row[column], wanted, "{kind} {value}");
        }
        for (kind, value, column, code) in [
            ("DATE", "soon", "D", "002086"),
            ("TIME", "86400000000000", "TI", "002086"),
            (
                "TIMESTAMP_NTZ",
                "99999999999999999999999999999",
                "N",
                "002086",
            ),
            ("TIMESTAMP_TZ", "0 99999999999", "Z", "002086"),
            ("TIMESTAMP_TZ", "0 -2147483648", "Z", "002086"),
            ("BOOLEAN", "maybe", "OK", "002086"),
            ("VECTOR", "[1]", "NAME", "000002"),
            ("DATE", "0", "NAME", "002023"),
            ("TIME", "0", "D", "002023"),
        ] {
            assert_eq!(
                insert(kind, json!(value), column)["code"],
                code,
                "{kind} {value}"
            );
        }
    }
}

#[test]
fn executemany_sends_lists() {
    for (client, _dir) in with_tables(DDL) {
        let connector = Connector::new(&client);
        let body = |text: &str, names: Value| {
            json!({
                "sqlText": text,
                "bindings": { "1": { "type": "FIXED", "value": ["1", "2"] }, "2": { "type": "TEXT", "value": names } },
            })
        };
        let text = "INSERT INTO T (ID, NAME) VALUES (?, ?)";
        let answer = connector.query(&body(text, json!(["x", null])));
        assert_eq!(answer["data"]["rowset"], json!([["2"]]), "{answer}");
        assert_eq!(rows(&client)[1]["NAME"], json!(null));
        for (text, names, code) in [
            (text, json!(["x"]), "001003"),
            (text, json!("x"), "001003"),
            (text, json!(["x", "longer"]), "100078"),
            (text, json!([1, 2]), "001003"),
            (
                "INSERT INTO T (ID, NAME) VALUES (?, ?), (1, '')",
                json!(["x", "y"]),
                "000002",
            ),
            ("DELETE FROM T", json!(["x", "y"]), "000002"),
        ] {
            let answer = connector.query(&body(text, names));
            assert_eq!(answer["code"], code, "{text}: {answer}");
        }
        assert_eq!(rows(&client).len(), 2);
    }
}

#[test]
fn a_description_and_a_lost_request_change_nothing() {
    for (client, _dir) in with_tables(DDL) {
        let connector = Connector::new(&client);
        let text = "INSERT INTO T (ID) VALUES (1)";
        let described = connector.query(&json!({ "sqlText": text, "describeOnly": true }));
        assert_eq!(
            described["data"]["rowtype"][0]["name"],
            "number of rows inserted"
        );
        assert_eq!(described["data"]["rowset"], json!([]));
        assert_eq!(rows(&client).len(), 0);

        client
            .emulator
            .faults()
            .push(Fault::Lose.on(Endpoint::Query));
        let send = |id: &str| {
            let path = format!("/queries/v1/query-request?requestId={id}");
            client.emulator.handle(
                client.now,
                connector.request(&path, &json!({ "sqlText": text })),
            )
        };
        send("a");
        assert_eq!(rows(&client).len(), 0);
        // An answer that is lost: the connector sends the same request once more.
        client
            .emulator
            .faults()
            .push(Fault::ApplyThenLose.on(Endpoint::Query));
        send("a");
        send("a");
        assert_eq!(rows(&client).len(), 1);
        send("b");
        assert_eq!(rows(&client).len(), 2);
    }
}

#[test]
fn tables_are_made_and_dropped_in_the_schema_of_the_session() {
    for (client, _dir) in with_tables(DDL) {
        let connector = Connector::new(&client);
        let other = Connector::new(&client);
        for (text, message) in [
            ("CREATE TABLE U (A INT)", "Table U successfully created."),
            (
                "CREATE TABLE IF NOT EXISTS U (A INT)",
                "U already exists, statement succeeded.",
            ),
            (
                "CREATE OR REPLACE TRANSIENT TABLE U (A INT, B INT)",
                "Table U successfully created.",
            ),
            (
                "ALTER TABLE U ADD COLUMN C INT",
                "Statement executed successfully.",
            ),
            ("INSERT INTO DB.S.U VALUES (1, 2, 3)", "1"),
            ("TRUNCATE TABLE U", "Statement executed successfully."),
            ("USE SCHEMA \"low\"", "Statement executed successfully."),
            ("CREATE TABLE U (X INT)", "Table U successfully created."),
            ("DROP TABLE U", "U successfully dropped."),
            (
                "DROP TABLE IF EXISTS U",
                "Drop statement executed successfully (U already dropped).",
            ),
            ("CREATE DATABASE NEW", "Database NEW successfully created."),
            ("USE ROLE R", "Statement executed successfully."),
            (
                "GRANT SELECT ON TABLE DB.S.U TO ROLE R",
                "Statement executed successfully.",
            ),
        ] {
            assert_eq!(connector.rows(text), json!([[message]]), "{text}");
        }
        assert_eq!(connector.execute("SELECT 1")["finalDatabaseName"], "NEW");
        assert_eq!(connector.execute("SELECT 1")["finalSchemaName"], "PUBLIC");
        assert_eq!(
            other.execute("SELECT A, B, C FROM U")["finalSchemaName"],
            "S"
        );
        for (text, code, part) in [
            ("CREATE TABLE DB.S.U (A INT)", "002002", "already exists"),
            ("DROP TABLE DB.S.NONE", "002003", "NONE"),
            ("TRUNCATE TABLE DB.S.NONE", "002003", "NONE"),
            ("ALTER TABLE DB.S.NONE ADD COLUMN A INT", "002003", "NONE"),
            ("CREATE TEMPORARY TABLE X (A INT)", "000002", "temporary"),
            ("CREATE VIEW X AS SELECT 1", "000002", "CREATE VIEW"),
            ("DROP VIEW X", "000002", "DROP VIEW"),
            ("DROP SCHEMA S RESTRICT", "000002", "RESTRICT"),
            ("CREATE TABLE X (A INT", "001003", "line 1"),
            ("CREATE TABLE X (A GEOGRAPHY)", "000002", "GEOGRAPHY"),
        ] {
            let (found, _, message) = connector.refused(text);
            assert_eq!(found, code, "{text}: {message}");
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}

#[test]
fn without_transactions_nothing_is_rolled_back_in_silence() {
    let client = Client::new();
    let connector = Connector::new(&client);
    connector.execute("ROLLBACK");
    connector.refused("ALTER SESSION SET AUTOCOMMIT = FALSE");
    assert_eq!(connector.refused("ROLLBACK").0, "000002");
    connector.execute("COMMIT");
    Connector::new(&client).execute("ROLLBACK");
}

#[test]
fn an_emulator_that_takes_every_table_takes_fixtures() {
    let client = Client::new();
    let connector = Connector::new(&client);
    connector.execute("INSERT INTO RIDES SELECT PARSE_JSON('{\"n\":1}')");
    assert_eq!(connector.rows("SELECT ROW:n FROM RIDES"), json!([["1"]]));
    let tables = connector.rows("DESC TABLE RIDES");
    assert_eq!(tables[0][0], "ROW");
    let token = client.open("c");
    client.append("c", &token, "1", "{\"n\":2}\n");
    client.emulator.commit_now();
    assert_eq!(
        connector.rows("TRUNCATE TABLE T")[0][0],
        "Statement executed successfully."
    );
    assert_eq!(client.landed(), Vec::<i64>::new());
    assert_eq!(connector.refused("CREATE TABLE U (A INT)").0, "000002");
}

/// What a data file keeps of fixtures is their rows.
#[test]
fn a_data_file_is_read_again_with_its_rows() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("e.db");
    let open = |ddl: Ddl| settings().data_file(DataFile::open(&path, &ddl).unwrap());
    {
        let client = Client::of(open(Ddl::Bootstrap(DDL.to_owned())));
        let connector = Connector::new(&client);
        connector.execute("CREATE TABLE U (A INT)");
        connector.execute("INSERT INTO U VALUES (1)");
        let script = "CREATE TABLE DB.S.W (A INT); INSERT INTO DB.S.W VALUES (1); ALTER TABLE DB.S.W ADD COLUMN B INT DEFAULT 7;
            INSERT INTO DB.S.W VALUES (2, 3);";
        client.emulator.apply_ddl(script).unwrap();
    }
    let client = Client::of(open(Ddl::Stored));
    let connector = Connector::new(&client);
    assert_eq!(connector.rows("SELECT A FROM U"), json!([["1"]]));
    assert_eq!(
        connector.rows("SELECT A, B FROM W ORDER BY A"),
        json!([["1", "7"], ["2", "3"]])
    );
}

#[test]
fn a_script_is_carried_out_whole_or_not_at_all() {
    for (client, _dir) in with_tables(DDL) {
        let emulator = &client.emulator;
        let wrong = "INSERT INTO DB.S.T (ID) VALUES (1); CREATE TABLE DB.S.U (A INT); INSERT INTO DB.S.U VALUES ('x');";
        let why = emulator.apply_ddl(wrong).unwrap_err().to_string();
        assert!(
            why.contains("line 1") && why.contains("Numeric value 'x' is not recognized"),
            "{why}"
        );
        assert_eq!(rows(&client).len(), 0);
        let script = "INSERT INTO DB.S.T (ID) VALUES (1); DELETE FROM DB.S.T; INSERT INTO DB.S.T (ID) VALUES (2), (3);
            CREATE TABLE DB.S.U (A INT); INSERT INTO DB.S.U VALUES (1); DROP TABLE DB.S.U; CREATE TABLE DB.S.U (A INT);";
        emulator.apply_ddl(script).unwrap();
        let ids: Vec<_> = rows(&client).iter().map(|row| row["ID"].clone()).collect();
        assert_eq!(ids, [json!("2.00"), json!("3.00")]);
        assert!(emulator.rows("DB.S.U").unwrap().is_empty());
    }
}

/// A body with anything in it.
#[test]
fn a_body_that_is_no_json_is_refused() {
    let client = Client::new();
    let connector = Connector::new(&client);
    let (mut parts, _) = connector
        .request("/queries/v1/query-request", &json!({}))
        .into_parts();
    parts.headers.remove("content-encoding");
    let request = http::Request::from_parts(parts, Bytes::from("nothing"));
    let answer = crate::rig::answered(client.emulator.handle(client.now, request));
    let answer: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(answer["success"], false);
}
