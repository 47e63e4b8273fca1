//! Functions with the results that their pages in Snowflake's documentation show, and the corners that are refused.

use serde_json::json;

use super::meaning_tests::{answers, clients, computes};
use super::statements_tests::{data, refused, sql};
use crate::catalog::tables::Catalog;
use crate::rig::{Client, settings};

/// Statements that are refused, each with a part of the message.
#[track_caller]
pub(super) fn refuses(cases: &[(&str, &str)]) {
    let (client, _) = clients().remove(0);
    for (expression, what) in cases {
        let (status, _, message) = refused(&client, &format!("SELECT {expression}"));
        assert_eq!(status, 422, "{expression}");
        assert!(message.contains(what), "{expression}: {message}");
    }
}

#[test]
fn texts_are_encoded_and_digested() {
    computes(&[
        ("MD5('Snowflake')", "edf1439075a83a447fb8b630ddc9c8de"),
        ("MD5_HEX(NULL)", "NULL"),
        (
            "SHA1('Snowflake')",
            "fda76b0bcc1e87cf259b1d1e3271d76f590fb5dd",
        ),
        (
            "SHA1_HEX('AbCd0')",
            "9ddb991863d53b35a52c490db256207c776ab8d8",
        ),
        (
            "SHA2('Snowflake', 224)",
            "6267d3d7a59929e6864dd4b737d98e3ef8569d9f88a7466647838532",
        ),
        (
            "SHA2('AbCd0')",
            "e1d8ba27889d6782008f495473278c4f071995c5549a976e4d4f93863ce93643",
        ),
        ("HEX_ENCODE('Snowflake')", "536E6F77666C616B65"),
        ("HEX_ENCODE('Snowflake', 0)", "536e6f77666c616b65"),
        ("HEX_DECODE_STRING('536e6F77666C616B65')", "Snowflake"),
        ("TRY_HEX_DECODE_STRING('5')", "NULL"),
        ("TRY_HEX_DECODE_STRING('FF')", "NULL"),
        ("TO_BINARY('SNOW', 'utf-8')", "534E4F57"),
        ("TO_BINARY(HEX_ENCODE('SNOW'))", "534E4F57"),
        ("TRY_TO_BINARY('SNOW', 'BASE32')", "NULL"),
        ("TRY_TO_BINARY('YW I=', 'BASE64')", "6162"),
        ("TO_BINARY('YW\nI=', 'base64')", "6162"),
        ("TRY_TO_BINARY('YW-I', 'BASE64')", "NULL"),
        ("SPLIT('127.0.0.1', '.')", r#"["127","0","0","1"]"#),
        ("SPLIT('127.0.0.1', '.')[0]", "\"127\""),
        ("SPLIT('|a||', '|')", r#"["","a","",""]"#),
        ("SPLIT('a', '')", r#"["a"]"#),
        ("ASCII('bcd')", "98"),
        ("ASCII('')", "0"),
        ("UNICODE('\\u2744')", "10052"),
        ("CHAR(UNICODE('\\u2744'))", "\u{2744}"),
        ("CHR(8364)", "\u{20ac}"),
    ]);
    refuses(&[
        ("ASCII('\u{e9}')", "ASCII"),
        ("CHR(-1)", "Invalid character code -1 in the CHR input"),
        ("SHA2('a', 1)", "1 bits"),
        ("HEX_ENCODE('a', 2)", "case 2"),
        ("HEX_DECODE_STRING('x')", "hex-encoded"),
        ("TO_BINARY('a', 'BASE32')", "BASE32"),
        ("TRY_TO_BINARY('a', 'UTF8')", "write UTF-8"),
    ]);
}

#[test]
fn variants_are_asked_for_their_types() {
    let (client, _) = clients().remove(0);
    let names = [
        "ARRAY",
        "BOOLEAN",
        "DECIMAL",
        "DOUBLE",
        "INTEGER",
        "OBJECT",
        "VARCHAR",
        "TIMESTAMP_NTZ",
    ];
    for (json, wanted) in [
        ("null", ""),
        ("true", "BOOLEAN"),
        ("-17", "DECIMAL DOUBLE INTEGER"),
        ("123.12", "DECIMAL DOUBLE"),
        ("1.912e2", "DOUBLE"),
        ("\"Om ara pa ca na dhih\"", "VARCHAR"),
        ("[-1, false]", "ARRAY"),
        ("{\"x\": \"abc\"}", "OBJECT"),
    ] {
        let tests = names.map(|name| format!("IS_{name}(PARSE_JSON('{json}'))"));
        let found = data(&client, &format!("SELECT {}", tests.join(", ")));
        let found: Vec<_> = names
            .into_iter()
            .enumerate()
            .filter(|(position, _)| found[0][*position] == "true")
            .map(|(_, name)| name)
            .collect();
        assert_eq!(found.join(" "), wanted, "{json}");
    }
    computes(&[
        ("IS_INTEGER(NULL)", "NULL"),
        ("IS_DECIMAL(TO_VARIANT(3::NUMBER(10,2)))", "true"),
        ("AS_REAL(PARSE_JSON('1.912e2'))", "191.2"),
        ("AS_REAL(PARSE_JSON('\"1\"'))", "NULL"),
        ("AS_VARCHAR(PARSE_JSON('\"Y\"'))", "Y"),
        ("AS_BOOLEAN(PARSE_JSON('null'))", "NULL"),
        ("AS_ARRAY(PARSE_JSON('[1]'))", "[1]"),
        ("AS_OBJECT(PARSE_JSON('[1]'))", "NULL"),
    ]);
    refuses(&[
        ("IS_ARRAY('a')", "VARCHAR"),
        (
            "TYPEOF(TO_VARIANT(3::NUMBER(10,2)))",
            "zeros behind the point",
        ),
        ("IS_INTEGER(PARSE_JSON('3.0'))", "zeros behind the point"),
    ]);
}

#[test]
fn variants_have_one_spelling_as_text() {
    computes(&[
        (
            "TO_JSON(PARSE_JSON('{\"b\":1,\"a\":2}'))",
            "{\"a\":2,\"b\":1}",
        ),
        (
            "OBJECT_KEYS(PARSE_JSON('{\"b\":1,\"a\":2}'))",
            "[\"a\",\"b\"]",
        ),
        ("LENGTH(PARSE_JSON('[1.50]')::VARCHAR)", "5"),
        ("ARRAY_TO_STRING(PARSE_JSON('[[2.0]]'), ',')", "[2]"),
        (
            "OBJECT_CONSTRUCT('a', 3::NUMBER(10,2))::VARCHAR",
            "{\"a\":3}",
        ),
        (
            "PARSE_JSON('{\"n\":\"\\\\u00e9\"}')::VARCHAR LIKE '%\u{e9}%'",
            "true",
        ),
    ]);
    refuses(&[
        ("TO_JSON(PARSE_JSON('[1.912e2]'))", "1.912e2"),
        (
            "PARSE_JSON('{\"a\":1,\"a\":2}')",
            "duplicate object attribute",
        ),
        ("TRY_PARSE_JSON('[1,2,]')", "strict JSON"),
    ]);
}

#[test]
fn arrays_are_made_searched_and_cut() {
    computes(&[
        (
            "TO_ARRAY('snowman,snowball,snowcone')",
            r#"["snowman,snowball,snowcone"]"#,
        ),
        ("TO_ARRAY(PARSE_JSON('[1]'))", "[1]"),
        ("TO_ARRAY(PARSE_JSON('null'))", "NULL"),
        ("PARSE_JSON('1')::ARRAY", "[1]"),
        ("TO_OBJECT(PARSE_JSON('{\"a\":1}'))", r#"{"a":1}"#),
        (
            "ARRAY_CAT(ARRAY_CONSTRUCT(1, 2), ARRAY_CONSTRUCT(3, 4))",
            "[1,2,3,4]",
        ),
        (
            "ARRAY_APPEND(ARRAY_CONSTRUCT(1, 2, 3), 'five')",
            r#"[1,2,3,"five"]"#,
        ),
        ("ARRAY_PREPEND(ARRAY_CONSTRUCT(1), 0)", "[0,1]"),
        ("ARRAY_APPEND(NULL, 1)", "NULL"),
        ("ARRAY_COMPACT(PARSE_JSON('[10, null, 30]'))", "[10,30]"),
        (
            "ARRAY_CONSTRUCT_COMPACT(NULL, 'hello', 4, 5)",
            r#"["hello",4,5]"#,
        ),
        (
            "ARRAY_CONTAINS('hello'::VARIANT, ARRAY_CONSTRUCT('hello', 'hi'))",
            "true",
        ),
        (
            "ARRAY_CONTAINS('hello'::VARIANT, ARRAY_CONSTRUCT('hola', 'bonjour'))",
            "false",
        ),
        (
            "ARRAY_CONTAINS(NULL, ARRAY_CONSTRUCT('hola', 'bonjour'))",
            "NULL",
        ),
        ("ARRAY_CONTAINS(5, ARRAY_CONSTRUCT(4, 5.0, 6))", "true"),
        (
            "ARRAY_POSITION('hi'::VARIANT, ARRAY_CONSTRUCT('hello', 'hi'))",
            "1",
        ),
        (
            "ARRAY_POSITION('hello'::VARIANT, ARRAY_CONSTRUCT('hola'))",
            "NULL",
        ),
        ("ARRAY_SLICE(PARSE_JSON('[0,1,2,3,4,5,6]'), 0, 2)", "[0,1]"),
        (
            "ARRAY_SLICE(PARSE_JSON('[0,1,2,3,4,5,6]'), 0, -2)",
            "[0,1,2,3,4]",
        ),
        (
            "ARRAY_SLICE(PARSE_JSON('[0,1,2,3,4,5,6]'), -5, -3)",
            "[2,3]",
        ),
        ("ARRAY_SLICE(PARSE_JSON('[0,1,2,3,4,5,6]'), 10, 12)", "[]"),
        ("ARRAY_SLICE(PARSE_JSON('[0,1,2,3,4,5,6]'), -10, -12)", "[]"),
        ("ARRAY_SLICE(PARSE_JSON('[0,1]'), NULL, 2)", "NULL"),
        (
            "ARRAY_TO_STRING(PARSE_JSON('[true, 1, \"Abc\", [\"x\",\"y\"], {\"a\":1}]'), ', ')",
            r#"true, 1, Abc, ["x","y"], {"a":1}"#,
        ),
        (
            "OBJECT_KEYS(PARSE_JSON('{\"level_1_A\": {\"level_2\": 2}, \"level_1_B\": 1}'))",
            r#"["level_1_A","level_1_B"]"#,
        ),
    ]);
    refuses(&[
        (
            "ARRAY_CONTAINS('hello', ARRAY_CONSTRUCT('hello'))",
            "cast to VARIANT",
        ),
        (
            "ARRAY_CONTAINS(NULL, PARSE_JSON('[\"hola\", null]'))",
            "NULL",
        ),
        (
            "ARRAY_CONTAINS(ARRAY_CONSTRUCT(1), ARRAY_CONSTRUCT(1))",
            "arrays",
        ),
        ("ARRAY_APPEND(ARRAY_CONSTRUCT(1), NULL)", "NULL"),
        ("ARRAY_CONSTRUCT(1, NULL)[1] IS NULL", "NULL as an element"),
        (
            "ARRAY_TO_STRING(PARSE_JSON('[\"A\", null]'), ', ')",
            "JSON null",
        ),
        ("OBJECT_CONSTRUCT('a', 1, 'a', 2)", "'a' twice"),
        ("OBJECT_CONSTRUCT('a', NULL, 'a', 2)", "'a' twice"),
        ("ARRAY_SLICE(PARSE_JSON('1'), 0, 1)", "ARRAY"),
    ]);
}

#[test]
fn wall_clocks_are_converted_between_zones() {
    computes(&[
        (
            "CONVERT_TIMEZONE('America/Los_Angeles', 'America/New_York', '2024-01-01 14:00:00'::TIMESTAMP_NTZ)::VARCHAR",
            "2024-01-01 17:00:00.000",
        ),
        (
            "CONVERT_TIMEZONE('Europe/Warsaw', 'UTC', '2024-01-01 00:00:00'::TIMESTAMP_NTZ)::VARCHAR",
            "2023-12-31 23:00:00.000",
        ),
        // 03:00 in UTC-7, as seconds since 1970 and minutes east of UTC, which 1440 is.
        (
            "CONVERT_TIMEZONE('America/Los_Angeles', '2024-04-05 12:00:00 +02:00')",
            "1712311200.000000000 1020",
        ),
        ("CONVERT_TIMEZONE('UTC', NULL)", "NULL"),
    ]);
    refuses(&[
        ("CONVERT_TIMEZONE('utc', CURRENT_TIMESTAMP())", "zone 'utc'"),
        ("CONVERT_TIMEZONE('Mars/Base', CURRENT_TIMESTAMP())", "Mars"),
        (
            "CONVERT_TIMEZONE('Europe/Berlin', 'UTC', '2026-03-29 02:30'::TIMESTAMP_NTZ)",
            "skips",
        ),
        (
            "CONVERT_TIMEZONE('UTC', 'UTC', CURRENT_TIMESTAMP())",
            "TIMESTAMP_LTZ",
        ),
    ]);
}

#[test]
fn random_values_differ_and_are_computed_once() {
    let ddl = "CREATE TABLE DB.S.T (ID NUMBER);";
    let client = Client::of(settings().catalog(Catalog::from_ddl(ddl).unwrap()));
    let rows = data(
        &client,
        "SELECT UUID_STRING() AS U, 'id-' || UUID_STRING(), RANDOM(), RANDOM() FROM (VALUES (1), (2)) WHERE COLUMN1 < 3 LIMIT 2",
    );
    let uuid = rows[0][0].as_str().unwrap();
    assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"), "{uuid}");
    for (row, column) in [(1, 0), (1, 2)] {
        assert_ne!(rows[0][column], rows[row][column], "{rows}");
    }
    assert_ne!(rows[0][2], rows[0][3], "{rows}");
    for statement in [
        "SELECT UUID_STRING() AS U FROM T ORDER BY U",
        "SELECT UUID_STRING() AS U, U FROM T",
        "SELECT UUID_STRING(), COUNT(*) FROM T GROUP BY 1",
        "SELECT DISTINCT RANDOM() FROM T",
        "SELECT 1 FROM T WHERE RANDOM() > 0",
        "SELECT A, A FROM (SELECT RANDOM() AS A FROM T)",
        "WITH A AS (SELECT RANDOM() AS A) SELECT A FROM A",
        "SELECT NULLIF(RANDOM(), 1)",
        "SELECT RANDOM() UNION ALL SELECT 1",
        "SELECT RANDOM(42)",
    ] {
        let (status, answer) = sql(&client, statement);
        assert_eq!(status, 422, "{statement}: {answer}");
    }
}

#[test]
fn functions_read_columns() {
    answers(&[
        (
            "SELECT REGEXP_REPLACE(NAME, '[a-c]', 'x'), MD5(NAME) FROM T WHERE NAME REGEXP '[[:lower:]]' ORDER BY ID LIMIT 1",
            json!([["x", "4a8a08f09d37b73795649038408b5f33"]]),
        ),
        (
            "SELECT NAME FROM T WHERE ARRAY_CONTAINS(1, V:l) ORDER BY 1",
            json!([["a"]]),
        ),
        ("SELECT COUNT(*) FROM T WHERE IS_OBJECT(V)", json!([["2"]])),
    ]);
}
