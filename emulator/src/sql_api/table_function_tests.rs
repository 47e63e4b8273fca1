//! FLATTEN and GENERATOR with the rows that their pages in Snowflake's documentation show, and the tables that the information
//! schema lists.

use serde_json::json;

use super::operator_tests::client_with;
use super::statements_tests::{data, refused, sql};

const NESTED: &str = r#"PARSE_JSON('{"a":1, "b":[77,88], "c": {"d":"X"}}')"#;

#[test]
fn flatten_goes_as_deep_as_it_is_asked_to() {
    let client = client_with("CREATE TABLE DB.S.T (V VARIANT);");
    let rows = |arguments: &str| {
        let query =
            format!("SELECT F.KEY, F.PATH, F.INDEX, F.VALUE FROM TABLE(FLATTEN({arguments})) F");
        data(&client, &query)
    };
    let (object, array) = (r#"{"d":"X"}"#, "[77,88]");
    assert_eq!(
        rows(&format!("INPUT => {NESTED}, RECURSIVE => TRUE")),
        json!([
            ["a", "a", null, "1"],
            ["b", "b", null, array],
            [null, "b[0]", "0", "77"],
            [null, "b[1]", "1", "88"],
            ["c", "c", null, object],
            ["d", "c.d", null, "\"X\""]
        ])
    );
    assert_eq!(
        rows(&format!(
            "INPUT => {NESTED}, RECURSIVE => TRUE, MODE => 'OBJECT'"
        )),
        json!([
            ["a", "a", null, "1"],
            ["b", "b", null, array],
            ["c", "c", null, object],
            ["d", "c.d", null, "\"X\""]
        ])
    );
    assert_eq!(
        rows(r#"INPUT => PARSE_JSON('{"b":1.50, "a":2}')"#),
        json!([["a", "a", null, "2"], ["b", "b", null, "1.5"]])
    );
    assert_eq!(
        rows(&format!("INPUT => {NESTED}, PATH => 'b'")),
        json!([[null, "b[0]", "0", "77"], [null, "b[1]", "1", "88"]])
    );
    assert_eq!(
        rows(&format!("INPUT => {NESTED}, MODE => 'ARRAY'")),
        json!([])
    );
    assert_eq!(
        rows("INPUT => PARSE_JSON('[]'), OUTER => TRUE"),
        json!([[null, "", null, null]])
    );
    assert_eq!(
        rows("INPUT => PARSE_JSON('1'), OUTER => TRUE"),
        json!([[null, null, null, null]])
    );
    assert_eq!(
        rows("INPUT => NULL, OUTER => TRUE"),
        json!([[null, null, null, null]])
    );
    assert_eq!(rows("INPUT => PARSE_JSON('[]'), OUTER => FALSE"), json!([]));
    assert_eq!(
        data(
            &client,
            "SELECT F.VALUE, F.THIS FROM TABLE(FLATTEN(INPUT => PARSE_JSON('{\"b\":[7]}'), PATH => 'b')) F"
        ),
        json!([["7", "[7]"]])
    );
}

#[test]
fn flatten_is_refused_where_its_rows_are_not_documented() {
    let client = client_with("CREATE TABLE DB.S.T (V VARIANT);");
    for (query, what) in [
        (
            "SELECT F.PATH FROM TABLE(FLATTEN(PARSE_JSON('{\"a b\": 1}'))) F",
            "PATH",
        ),
        (
            "SELECT F.SEQ FROM TABLE(FLATTEN(PARSE_JSON('[1]'))) F",
            "SEQ",
        ),
        (
            "SELECT F.PATH FROM TABLE(FLATTEN(INPUT => PARSE_JSON('{\"b\":[]}'), PATH => 'b', OUTER => TRUE)) F",
            "PATH",
        ),
        (
            "SELECT 1 FROM TABLE(FLATTEN(PARSE_JSON('{\"b\":[1]}'), 'b'))",
            "name of the argument",
        ),
        (
            "SELECT 1 FROM TABLE(FLATTEN(PARSE_JSON('[1]'), INPUT => PARSE_JSON('[]')))",
            "INPUT twice",
        ),
        (
            "SELECT * FROM TABLE(FLATTEN(PARSE_JSON('[1]')))",
            "name its columns",
        ),
        (
            "SELECT F.THIS FROM TABLE(FLATTEN(INPUT => PARSE_JSON('[1]'), RECURSIVE => TRUE)) F",
            "THIS",
        ),
        (
            "SELECT 1 FROM TABLE(FLATTEN(INPUT => PARSE_JSON('[1]'), RECURSIVE => TRUE, OUTER => TRUE))",
            "OUTER",
        ),
        (
            "SELECT 1 FROM TABLE(FLATTEN(INPUT => PARSE_JSON('[1]'), MODE => 'ALL'))",
            "MODE",
        ),
        ("SELECT 1 FROM T JOIN TABLE(FLATTEN(T.V)) ON TRUE", "join"),
    ] {
        let (_, _, message) = refused(&client, query);
        assert!(message.contains(what), "{query}: {message}");
    }
    let deep = format!("{}{}", "[".repeat(110), "]".repeat(110));
    let deep = format!(
        "SELECT COUNT(*) FROM TABLE(FLATTEN(INPUT => PARSE_JSON('{deep}'), RECURSIVE => TRUE))"
    );
    assert!(refused(&client, &deep).2.contains("levels"));
}

#[test]
fn generators_make_rows() {
    let client = client_with("CREATE TABLE DB.S.T (A NUMBER); INSERT INTO DB.S.T VALUES (1), (2);");
    for (query, wanted) in [
        (
            "SELECT COUNT(*) FROM TABLE(GENERATOR(ROWCOUNT => 10))",
            json!([["10"]]),
        ),
        (
            "SELECT COUNT(*) FROM TABLE(GENERATOR(ROWCOUNT => 1000000))",
            json!([["1000000"]]),
        ),
        (
            "SELECT 'x' FROM TABLE(GENERATOR(ROWCOUNT => 2)) V",
            json!([["x"], ["x"]]),
        ),
        ("SELECT 1 FROM TABLE(GENERATOR(ROWCOUNT => 0))", json!([])),
        (
            "SELECT SUM(A) FROM T, TABLE(GENERATOR(ROWCOUNT => 3))",
            json!([["9"]]),
        ),
        (
            "SELECT COUNT(*) FROM TABLE(GENERATOR(ROWCOUNT => 3)) A, TABLE(GENERATOR(ROWCOUNT => 4)) B",
            json!([["12"]]),
        ),
    ] {
        assert_eq!(data(&client, query), wanted, "{query}");
    }
    for query in [
        "SELECT * FROM TABLE(GENERATOR(ROWCOUNT => 2))",
        "SELECT 1 FROM TABLE(GENERATOR(ROWCOUNT => 1000001))",
        "SELECT 1 FROM TABLE(GENERATOR(TIMELIMIT => 1))",
        "SELECT 1 FROM TABLE(GENERATOR(ROWCOUNT => 1, TIMELIMIT => 1))",
        "SELECT 1 FROM TABLE(GENERATOR(ROWCOUNT => NULL))",
        "SELECT SEQ4() FROM TABLE(GENERATOR(ROWCOUNT => 2))",
    ] {
        let (status, answer) = sql(&client, query);
        assert_eq!(status, 422, "{query}: {answer}");
    }
}

#[test]
fn the_information_schema_lists_tables_and_columns() {
    let client = client_with(
        "CREATE TABLE DB.S.T (ID NUMBER(10,2) NOT NULL, NAME VARCHAR(20) DEFAULT 'x', N NUMBER IDENTITY, AT TIMESTAMP_LTZ, V VARIANT);
         CREATE TABLE DB.OTHER.\"t\" (A DATE);
         CREATE TABLE ELSE.S.T (A DATE);
         CREATE TABLE \"else\".S.U (A BINARY(7));
         INSERT INTO DB.S.T (ID) VALUES (1), (2);",
    );
    for (query, wanted) in [
        (
            "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ROW_COUNT FROM INFORMATION_SCHEMA.TABLES ORDER BY 1",
            json!([["OTHER", "t", "BASE TABLE", "0"], ["S", "T", "BASE TABLE", "2"]]),
        ),
        (
            "SELECT COUNT(*) FROM ELSE.INFORMATION_SCHEMA.TABLES WHERE TABLE_CATALOG = 'ELSE'",
            json!([["1"]]),
        ),
        (
            "SELECT TABLE_CATALOG, DATA_TYPE, CHARACTER_MAXIMUM_LENGTH FROM \"else\".INFORMATION_SCHEMA.COLUMNS",
            json!([["else", "BINARY", "7"]]),
        ),
        (
            "SELECT COLUMN_NAME, ORDINAL_POSITION, DATA_TYPE, IS_NULLABLE, CHARACTER_MAXIMUM_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE, IS_IDENTITY
             FROM information_schema.columns WHERE table_schema = 'S' AND table_name = 'T' ORDER BY ordinal_position",
            json!([
                ["ID", "1", "NUMBER", "NO", null, "10", "2", "NO"],
                ["NAME", "2", "TEXT", "YES", "20", null, null, "NO"],
                ["N", "3", "NUMBER", "YES", null, "38", "0", "YES"],
                ["AT", "4", "TIMESTAMP_LTZ", "YES", null, null, null, "NO"],
                ["V", "5", "VARIANT", "YES", null, null, null, "NO"]
            ]),
        ),
    ] {
        assert_eq!(data(&client, query), wanted, "{query}");
    }
    for (query, what) in [
        ("SELECT 1 FROM INFORMATION_SCHEMA.VIEWS", "VIEWS"),
        ("SELECT 1 FROM NONE.INFORMATION_SCHEMA.TABLES", "NONE"),
        ("SELECT 1 FROM \"db\".INFORMATION_SCHEMA.TABLES", "db"),
        (
            "SELECT * FROM INFORMATION_SCHEMA.TABLES",
            "name its columns",
        ),
        (
            "SELECT COMMENT FROM INFORMATION_SCHEMA.TABLES",
            "the column COMMENT",
        ),
        (
            "SELECT C.COLUMN_DEFAULT FROM INFORMATION_SCHEMA.COLUMNS C",
            "the column C.COLUMN_DEFAULT",
        ),
        (
            "SELECT 1 FROM INFORMATION_SCHEMA.COLUMNS NATURAL JOIN INFORMATION_SCHEMA.TABLES",
            "NATURAL JOIN",
        ),
    ] {
        let (status, _, message) = refused(&client, query);
        assert_eq!(status, 422, "{query}");
        assert!(message.contains(what), "{query}: {message}");
    }
}
