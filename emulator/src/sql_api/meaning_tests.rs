//! Small questions over the SQL API, with the answers that Snowflake documents. Each is what a test suite would ask of the rows
//! that it has just sent.

use serde_json::{Value, json};

use super::statements_tests::{data, refused, sql};
use crate::catalog::tables::Catalog;
use crate::rig::{Client, settings};
use crate::storage::data_file::DataFile;
use crate::storage::sqlite_file::Ddl;

const DDL: &str = "
CREATE TABLE DB.S.T (
  ID NUMBER(38,0), PRICE NUMBER(10,2), WIDE NUMBER(38,10), RATIO FLOAT, NAME VARCHAR(20), OPEN BOOLEAN, RAW BINARY,
  DAY DATE, CLOCK TIME, AT TIMESTAMP_NTZ, SEEN TIMESTAMP_NTZ(3), LOCAL TIMESTAMP_LTZ, ZONED TIMESTAMP_TZ, V VARIANT
);";

const ROWS: &str = r#"{"ID":12345678901234567890123456789012345678,"PRICE":9.99,"WIDE":9.99,"RATIO":1.5,"NAME":"a","OPEN":true,"DAY":"2026-01-17","CLOCK":"14:05","AT":"2026-01-17 14:05:06.789","SEEN":"2026-01-17 14:05:06.789","LOCAL":"2026-01-17T14:05:06+01:00","ZONED":"2026-01-17T14:05:06+01:00","V":{"a":null,"n":12345678901234567890,"t":true,"d":1.50,"s":"x","l":[1,2.5,"three"]}}
{"ID":2,"PRICE":10.01,"WIDE":10.01,"RATIO":"NaN","NAME":"B","OPEN":false,"DAY":"2026-01-17","AT":"2026-01-17 23:59:59","SEEN":"2026-01-17 23:59:59","ZONED":"2026-01-17T13:05:06Z","V":{"n":2,"s":"y"}}
{"ID":3,"PRICE":null,"NAME":"c","DAY":"2026-01-18","AT":"2026-01-18 00:00:00","SEEN":"2026-01-18","V":"text"}
"#;

/// Clients with the rows landed, in memory and in a file.
pub(crate) fn clients() -> Vec<(Client, Option<tempfile::TempDir>)> {
    let in_memory = settings().catalog(Catalog::from_ddl(DDL).unwrap());
    let dir = tempfile::TempDir::new().unwrap();
    let storage =
        DataFile::open(&dir.path().join("e.db"), &Ddl::Bootstrap(DDL.to_owned())).unwrap();
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

#[track_caller]
pub(super) fn answers(cases: &[(&str, Value)]) {
    for (client, _dir) in clients() {
        for (statement, wanted) in cases {
            assert_eq!(data(&client, statement), *wanted, "{statement}");
        }
    }
}

/// Expressions without a table: one row of texts.
#[track_caller]
pub(super) fn computes(cases: &[(&str, &str)]) {
    let (client, _) = clients().remove(0);
    for (expression, wanted) in cases {
        let found = data(&client, &format!("SELECT {expression}"));
        let found = match &found[0][0] {
            Value::Null => "NULL".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        assert_eq!(found, *wanted, "{expression}");
    }
}

#[test]
fn casts_convert_as_documented() {
    computes(&[
        ("2.5::INT", "3"),
        ("-2.5::INT", "-3"),
        ("'2.5'::INT", "3"),
        ("1.005::NUMBER(10,2)", "1.01"),
        ("'true'::BOOLEAN", "true"),
        ("'no'::BOOLEAN", "false"),
        ("0::BOOLEAN", "false"),
        ("TRUE::INT", "1"),
        ("TRUE::VARCHAR", "true"),
        ("10.50::VARCHAR", "10.50"),
        ("'2026-01-17'::DATE", "20470"),
        (
            "'2026-01-17 14:00'::TIMESTAMP_NTZ::VARCHAR",
            "2026-01-17 14:00:00.000",
        ),
        ("'2026-01-17'::DATE::TIMESTAMP_NTZ", "1768608000.000000000"),
        ("TRY_CAST('x' AS INT)", "NULL"),
        ("TRY_CAST('5' AS INT)", "5"),
        ("'1.5'::FLOAT", "1.5"),
        ("NULL::INT", "NULL"),
        ("TO_NUMBER('12.345', 10, 1)", "12.3"),
        ("TRY_TO_DATE('soon')", "NULL"),
    ]);
    let (client, _) = clients().remove(0);
    for (statement, code) in [
        ("SELECT 'abc'::INT", "100038"),
        ("SELECT NAME::INT FROM T", "100038"),
        ("SELECT 'maybe'::BOOLEAN", "100037"),
        ("SELECT 'soon'::DATE", "100040"),
        ("SELECT 1/0", "100051"),
        ("SELECT PRICE/(ID-2) FROM T WHERE ID = 2", "100051"),
        ("SELECT 1000::NUMBER(3,0)", "100046"),
        ("SELECT '17-JAN-2026 10:00'::TIMESTAMP", "000002"),
        ("SELECT 'abcdef'::VARCHAR(3)", "000002"),
    ] {
        assert_eq!(refused(&client, statement).1, code, "{statement}");
    }
}

#[test]
fn arithmetic_is_exact_and_has_snowflakes_scales() {
    computes(&[
        ("7/2", "3.500000"),
        ("1/3", "0.333333"),
        ("-2/3", "-0.666667"),
        ("10.10::NUMBER(10,2) * 3", "30.30"),
        ("99999999999999999999 + 1", "100000000000000000000"),
        ("7 % 3", "1"),
        ("-7 % 3", "-1"),
        ("1.5 + 1", "2.5"),
        ("'1.5' + 1", "2.5"),
        ("1.5::FLOAT + 1", "2.5"),
        ("ROUND(2.5)", "3"),
        ("ROUND(-2.5)", "-3"),
        ("ROUND(1.2345, 2)", "1.23"),
        ("CEIL(1.01)", "2"),
        ("FLOOR(-1.01)", "-2"),
        ("TRUNC(-1.99)", "-1"),
        ("ABS(-1.5)", "1.5"),
        ("MOD(5, 3)", "2"),
        ("DIV0(1, 0)", "0.000000"),
        ("DIV0(NULL, 0)", "NULL"),
        ("DIV0(1, NULL)", "NULL"),
        ("DIV0NULL(1, NULL)", "0.000000"),
        ("DIV0NULL(NULL, 0)", "NULL"),
        ("DIV0NULL(NULL, NULL)", "NULL"),
        ("ZEROIFNULL(NULL)", "0"),
        ("SQRT(16)", "4"),
    ]);
    answers(&[
        (
            "SELECT SUM(PRICE), AVG(PRICE) FROM T",
            json!([["20.00", "10.00000000"]]),
        ),
        (
            "SELECT SUM(ID) FROM T",
            json!([["12345678901234567890123456789012345683"]]),
        ),
        (
            "SELECT MAX(PRICE), MIN(WIDE), MAX(WIDE) FROM T",
            json!([["10.01", "9.9900000000", "10.0100000000"]]),
        ),
        ("SELECT SUM(PRICE) FROM T WHERE ID < 0", json!([[null]])),
        (
            "SELECT COUNT_IF(PRICE > 9.995), COUNT(PRICE) FROM T",
            json!([["1", "2"]]),
        ),
    ]);
}

#[test]
fn comparisons_have_one_type_on_both_sides() {
    answers(&[
        ("SELECT ID FROM T WHERE WIDE > '10'", json!([["2"]])),
        ("SELECT ID FROM T WHERE PRICE > 9.995", json!([["2"]])),
        (
            "SELECT NAME FROM T WHERE ID = '12345678901234567890123456789012345678'",
            json!([["a"]]),
        ),
        (
            "SELECT NAME FROM T WHERE ID IN (2.0, '3') ORDER BY 1",
            json!([["B"], ["c"]]),
        ),
        ("SELECT NAME FROM T WHERE OPEN = 'true'", json!([["a"]])),
        (
            "SELECT NAME FROM T WHERE AT = '2026-01-17T14:05:06.789'",
            json!([["a"]]),
        ),
        (
            "SELECT NAME FROM T WHERE SEEN = AT ORDER BY NAME",
            json!([["B"], ["a"], ["c"]]),
        ),
        (
            "SELECT NAME FROM T WHERE AT >= '2026-01-18'",
            json!([["c"]]),
        ),
        (
            "SELECT NAME FROM T WHERE DAY = '2026-01-18'",
            json!([["c"]]),
        ),
        (
            "SELECT NAME FROM T WHERE AT BETWEEN '2026-01-17 20:00' AND '2026-01-18'",
            json!([["B"], ["c"]]),
        ),
        (
            "SELECT a.NAME FROM T a JOIN T b ON a.ZONED = b.ZONED WHERE b.NAME = 'B' ORDER BY 1",
            json!([["B"], ["a"]]),
        ),
        (
            "SELECT COUNT(DISTINCT ZONED), COUNT(*) FROM T",
            json!([["1", "3"]]),
        ),
        ("SELECT NAME FROM T WHERE RATIO = 'NaN'", json!([["B"]])),
        (
            "SELECT MAX(RATIO), MIN(RATIO) FROM T",
            json!([["NaN", "1.5"]]),
        ),
        (
            "SELECT NAME FROM T WHERE RATIO IS DISTINCT FROM 1.5 ORDER BY NAME",
            json!([["B"], ["c"]]),
        ),
    ]);
    computes(&[
        ("'1.0' = 1", "true"),
        ("1 = 1.00", "true"),
        ("'a' = 'A'", "false"),
        ("NULL = NULL", "NULL"),
        ("EQUAL_NULL(NULL, NULL)", "true"),
        ("NULLIF(1, 1.0)", "NULL"),
        ("GREATEST(1, 2.5)", "2.5"),
        ("LEAST(1, NULL)", "NULL"),
        ("99999999999999999999999999999999999999 > 0.5", "true"),
    ]);
}

#[test]
fn dates_are_dates() {
    answers(&[
        (
            "SELECT AT::DATE, COUNT(*) FROM T GROUP BY AT::DATE ORDER BY 1",
            json!([["20470", "2"], ["20471", "1"]]),
        ),
        (
            "SELECT DATE_TRUNC('day', AT) AS D, COUNT(*) FROM T GROUP BY D ORDER BY D DESC",
            json!([["1768694400.000000000", "1"], ["1768608000.000000000", "2"]]),
        ),
        (
            "SELECT MAX(AT)::VARCHAR FROM T",
            json!([["2026-01-18 00:00:00.000"]]),
        ),
        (
            "SELECT LOCAL::TIMESTAMP_NTZ::VARCHAR FROM T WHERE LOCAL IS NOT NULL",
            json!([["2026-01-17 13:05:06.000"]]),
        ),
        (
            "SELECT CLOCK::VARCHAR, HOUR(CLOCK) FROM T WHERE NAME = 'a'",
            json!([["14:05:00", "14"]]),
        ),
        (
            "SELECT DAY - 1, DAY + 1, DAY - '2026-01-01'::DATE FROM T WHERE NAME = 'c'",
            json!([["20470", "20472", "17"]]),
        ),
    ]);
    computes(&[
        ("DATEADD(month, 1, '2026-01-31'::DATE)", "20512"),
        (
            "DATEADD('hour', 2, '2026-01-31'::DATE)::VARCHAR",
            "2026-01-31 02:00:00.000",
        ),
        ("DATEDIFF(day, '2026-01-31 23:00', '2026-02-01 01:00')", "1"),
        (
            "DATEDIFF(hour, '2026-01-31 23:30', '2026-02-01 01:00')",
            "2",
        ),
        ("YEAR('2026-01-31'::DATE)", "2026"),
        ("DAYOFWEEK('2026-01-17'::DATE)", "6"),
        ("EXTRACT(month FROM '2026-03-31'::DATE)", "3"),
        (
            "DATE_PART(epoch_second, '1970-01-02'::TIMESTAMP_NTZ)",
            "86400",
        ),
        (
            "TO_CHAR('2026-01-17 14:05:06'::TIMESTAMP_NTZ, 'YYYY/MM/DD HH24:MI')",
            "2026/01/17 14:05",
        ),
        ("LAST_DAY('2024-02-10'::DATE)::VARCHAR", "2024-02-29"),
        ("MONTHNAME('2026-01-17'::DATE)", "Jan"),
        ("TO_TIMESTAMP(86400)::VARCHAR", "1970-01-02 00:00:00.000"),
        (
            "TO_TIMESTAMP(86400123, 3)::VARCHAR",
            "1970-01-02 00:00:00.123",
        ),
    ]);
}

#[test]
fn nulls_are_the_greatest_values() {
    answers(&[
        (
            "SELECT PRICE FROM T ORDER BY PRICE",
            json!([["9.99"], ["10.01"], [null]]),
        ),
        (
            "SELECT PRICE FROM T ORDER BY PRICE DESC",
            json!([[null], ["10.01"], ["9.99"]]),
        ),
        (
            "SELECT PRICE FROM T ORDER BY PRICE NULLS FIRST LIMIT 1",
            json!([[null]]),
        ),
        (
            "SELECT NAME FROM T QUALIFY ROW_NUMBER() OVER (ORDER BY PRICE DESC) = 1",
            json!([["c"]]),
        ),
        (
            "SELECT NAME FROM T ORDER BY WIDE, NAME",
            json!([["a"], ["B"], ["c"]]),
        ),
        (
            "SELECT NAME FROM T ORDER BY (10 IS NOT NULL), NAME",
            json!([["B"], ["a"], ["c"]]),
        ),
        (
            "SELECT COUNT(*) FROM T GROUP BY (10 IS NULL)",
            json!([["3"]]),
        ),
        (
            "SELECT LISTAGG(NAME, ',') WITHIN GROUP (ORDER BY PRICE) FROM T",
            json!([["a,B,c"]]),
        ),
    ]);
}

#[test]
fn texts_are_counted_in_characters_and_keep_nulls() {
    computes(&[
        ("'a' || NULL", "NULL"),
        ("CONCAT('a', NULL)", "NULL"),
        ("CONCAT('a', 1, 'b')", "a1b"),
        ("'a' || 1.50", "a1.50"),
        ("UPPER('\u{e9}a')", "\u{c9}A"),
        ("LENGTH('gr\u{fc}n')", "4"),
        ("SUBSTR('hello', 0, 2)", "he"),
        ("SUBSTR('hello', -3, 2)", "ll"),
        ("'Elk' LIKE 'e%'", "false"),
        ("'Elk' ILIKE 'e%'", "true"),
        ("SPLIT_PART('a-b-c', '-', 2)", "b"),
        ("'a\\nb'", "a\nb"),
        ("'a\\\\b'", "a\\b"),
        ("'\\u26c4'", "\u{26c4}"),
        ("$$it's \\n$$", "it's \\n"),
        ("TRIM('  a ')", "a"),
        ("LTRIM('xxa', 'x')", "a"),
        ("REPLACE('abc', 'b', 'x')", "axc"),
        ("LPAD('7', 3, '0')", "007"),
        ("POSITION('c', 'abc')", "3"),
        ("CONTAINS('abc', 'bc')", "true"),
        ("IFF(1 > 2, 'a', 'b')", "b"),
        ("NVL(NULL, 'b')", "b"),
        ("COALESCE(NULL, NULL, 3)", "3"),
        ("CASE 1 WHEN 1.0 THEN 'one' END", "one"),
    ]);
}

#[test]
fn variants_keep_their_values_and_their_nulls() {
    answers(&[
        (
            "SELECT V:a IS NULL, V:missing IS NULL, V:a::STRING FROM T WHERE NAME = 'a'",
            json!([["false", "true", null]]),
        ),
        (
            "SELECT V:t::STRING, V:d::STRING, V:n::STRING, V:n::NUMBER FROM T WHERE NAME = 'a'",
            json!([[
                "true",
                "1.5",
                "12345678901234567890",
                "12345678901234567890"
            ]]),
        ),
        (
            "SELECT V::STRING FROM T WHERE NAME = 'c'",
            json!([["text"]]),
        ),
        (
            "SELECT V:s, V['s']::VARCHAR, V:l[1], V:l[2]::STRING FROM T WHERE NAME = 'a'",
            json!([["\"x\"", "x", "2.5", "three"]]),
        ),
        ("SELECT NAME FROM T WHERE V:s = 'y'", json!([["B"]])),
        ("SELECT NAME FROM T WHERE V:n > 2", json!([["a"]])),
        (
            "SELECT TYPEOF(V), COUNT(*) FROM T GROUP BY TYPEOF(V) ORDER BY 2 DESC",
            json!([["OBJECT", "2"], ["VARCHAR", "1"]]),
        ),
        (
            "SELECT V:s, COUNT(*) FROM T GROUP BY V:s ORDER BY COUNT(*), V:s::STRING",
            json!([["\"x\"", "1"], ["\"y\"", "1"], [null, "1"]]),
        ),
        (
            "SELECT F.INDEX, F.VALUE::STRING FROM T, LATERAL FLATTEN(INPUT => V:l) F ORDER BY 1",
            json!([["0", "1"], ["1", "2.5"], ["2", "three"]]),
        ),
        (
            "SELECT ARRAY_SIZE(V:l) FROM T WHERE NAME = 'a'",
            json!([["3"]]),
        ),
    ]);
    computes(&[
        ("PARSE_JSON('{\"a\": [1, 2.50]}'):a[1]", "2.5"),
        ("PARSE_JSON('123.12')", "123.12"),
        ("PARSE_JSON('1.912e2')", "1.912000000000000e+02"),
        ("TYPEOF(PARSE_JSON('1.912e2'))", "DOUBLE"),
        (
            r#"PARSE_JSON('{ "1.50" : [-2.50, "a\\"1.50", 1E-7, 10] }')"#,
            r#"{"1.50":[-2.5,"a\"1.50",1.000000000000000e-07,10]}"#,
        ),
        ("PARSE_JSON('null') IS NULL", "false"),
        ("IS_NULL_VALUE(PARSE_JSON('null'))", "true"),
        ("TRY_PARSE_JSON('{')", "NULL"),
        ("ARRAY_CONSTRUCT(1, 'a')", "[1,\"a\"]"),
        ("OBJECT_CONSTRUCT('a', 1, 'b', NULL)", "{\"a\":1}"),
    ]);
}

#[test]
fn types_survive_queries_and_unions() {
    let (client, _) = clients().remove(0);
    let (_, answer) = sql(
        &client,
        "WITH A AS (SELECT PRICE * 2 AS P, AT::DATE AS D, V:s AS S, OPEN FROM T), B AS (SELECT * FROM A UNION ALL SELECT 1, NULL, NULL, NULL) SELECT MAX(P), MAX(D), ANY_VALUE(S), OPEN FROM (SELECT * FROM B) GROUP BY OPEN ORDER BY OPEN",
    );
    let types = answer["resultSetMetaData"]["rowType"].as_array();
    let types: Vec<_> = types
        .unwrap_or_else(|| panic!("{answer}"))
        .iter()
        .map(|column| column["type"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["fixed", "date", "variant", "boolean"]);
    assert_eq!(answer["data"][0][0], "20.02");
    answers(&[
        (
            "SELECT COUNT(*) FROM (SELECT PRICE FROM T UNION SELECT PRICE::NUMBER(20,5) FROM T)",
            json!([["3"]]),
        ),
        (
            "SELECT (SELECT MAX(PRICE) FROM T) - PRICE FROM T WHERE NAME = 'a'",
            json!([["0.02"]]),
        ),
        (
            "SELECT NAME FROM T A WHERE EXISTS (SELECT 1 FROM T B WHERE B.PRICE > A.PRICE)",
            json!([["a"]]),
        ),
        (
            "SELECT * EXCLUDE (V, RAW, LOCAL, ZONED, CLOCK, SEEN, AT, DAY, RATIO, WIDE, ID) FROM T WHERE NAME = 'B'",
            json!([["10.01", "B", "false"]]),
        ),
        (
            "SELECT SUM(PRICE) OVER (ORDER BY NAME) FROM T ORDER BY NAME",
            json!([["10.01"], ["20.00"], ["20.00"]]),
        ),
        (
            "SELECT LAG(NAME) OVER (ORDER BY ID) FROM T ORDER BY ID LIMIT 2",
            json!([[null], ["B"]]),
        ),
        (
            "SELECT COUNT(*), SUM(PRICE) FROM T WHERE ID < 0 GROUP BY ALL",
            json!([["0", null]]),
        ),
        (
            "SELECT A.NAME, B.NAME FROM T A, T B LEFT JOIN T C ON B.ID = C.ID AND C.ID = 2 WHERE C.ID IS NULL AND A.ID = 2 ORDER BY B.NAME",
            json!([["B", "a"], ["B", "c"]]),
        ),
        (
            "SELECT DAY, SUM(PRICE) AS TOTAL FROM T GROUP BY ALL HAVING TOTAL > 1 ORDER BY 1",
            json!([["20470", "20.00"]]),
        ),
    ]);
}
