//! Operators and clauses with the results that Snowflake's documentation shows, and the corners that are refused.

use serde_json::json;

use super::function_tests::refuses;
use super::meaning_tests::{answers, computes};
use super::statements_tests::{data, sql};
use crate::catalog::tables::Catalog;
use crate::rig::{Client, settings};

/// An emulator with tables from these rows, given as INSERTs.
pub(super) fn client_with(script: &str) -> Client {
    let client = Client::of(settings().catalog(Catalog::from_ddl("CREATE DATABASE DB;").unwrap()));
    client.emulator.apply_ddl(script).unwrap();
    client
}

#[track_caller]
fn check(client: &Client, cases: &[(&str, serde_json::Value)]) {
    for (statement, wanted) in cases {
        assert_eq!(data(client, statement), *wanted, "{statement}");
    }
}

#[test]
fn texts_are_like_any_or_all_patterns() {
    let client = client_with(
        "CREATE TABLE DB.S.NAMES (NAME VARCHAR(20));
         INSERT INTO DB.S.NAMES VALUES ('John  Dddoe'), ('Joe   Doe'), ('John_do%wn'), ('Joe down'), ('Tom   Doe'), ('Tim down'), (NULL);",
    );
    check(
        &client,
        &[
            (
                "SELECT NAME FROM NAMES WHERE NAME LIKE ANY ('%Jo%oe%','T%e') ORDER BY NAME",
                json!([["Joe   Doe"], ["John  Dddoe"], ["Tom   Doe"]]),
            ),
            (
                "SELECT NAME FROM NAMES WHERE NAME LIKE ANY ('%J%h%^_do%', 'T%^%e') ESCAPE '^'",
                json!([["John_do%wn"]]),
            ),
            (
                "SELECT NAME FROM NAMES WHERE NAME LIKE ALL ('%Jo%oe%','J%e') ORDER BY NAME",
                json!([["Joe   Doe"], ["John  Dddoe"]]),
            ),
            (
                "SELECT NAME FROM NAMES WHERE NAME LIKE ALL ('%J%h%^_do%', 'J%^%wn') ESCAPE '^'",
                json!([["John_do%wn"]]),
            ),
            (
                "SELECT NAME FROM NAMES WHERE NAME ILIKE ANY ('JOHN%', 'tim%') ORDER BY NAME",
                json!([["John  Dddoe"], ["John_do%wn"], ["Tim down"]]),
            ),
            (
                "SELECT COUNT(*) FROM NAMES WHERE NOT NAME LIKE ANY ('J%')",
                json!([["2"]]),
            ),
        ],
    );
    refuses(&[
        ("'a' LIKE ANY ('a', NULL)", "texts"),
        ("'a' LIKE ANY ('a' || 'b', 'c')", "constants"),
        ("'a' NOT LIKE ANY ('a', 'b')", "NOT"),
        ("'a' ILIKE ALL ('a', 'b')", "ILIKE ALL"),
        ("NAME LIKE ANY (SELECT NAME FROM T) FROM T", "LIKE ANY"),
    ]);
}

#[test]
fn intervals_are_added_part_by_part() {
    computes(&[
        (
            "(TO_DATE('2019-02-28') + INTERVAL '1 day, 1 year')::VARCHAR",
            "2020-03-01",
        ),
        (
            "(TO_DATE('2019-02-28') + INTERVAL '1 year, 1 day')::VARCHAR",
            "2020-02-29",
        ),
        (
            "(TO_DATE('2023-04-15') + INTERVAL '1 year')::VARCHAR",
            "2024-04-15",
        ),
        (
            "('2026-01-31'::DATE + INTERVAL '1 month' + INTERVAL '2 days')::VARCHAR",
            "2026-03-02",
        ),
        (
            "(TO_TIME('04:15:29') + INTERVAL '3 hours, 18 minutes')::VARCHAR",
            "07:33:29",
        ),
        (
            "TO_CHAR(TO_DATE('2025-01-17') + INTERVAL '1 y, 3 q, 4 mm, 5 w, 6 d, 7 h, 9 m, 8 s, 1000 ms, 445343232 us, 898498273498 ns', 'YYYY-MM-DD HH24:MI:SS.FF9')",
            "2027-03-30 07:31:32.841505498",
        ),
        (
            "('2026-01-17 14:00'::TIMESTAMP_NTZ - INTERVAL '2')::VARCHAR",
            "2026-01-17 13:59:58.000",
        ),
        (
            "'2026-01-17'::DATE > CURRENT_DATE - INTERVAL '20 weeks, 1 day'",
            "true",
        ),
        (
            "DATEADD(MONTH, 6, '2024-01-01 12:00:00 -0800'::TIMESTAMP_TZ)::TIMESTAMP_NTZ::VARCHAR",
            "2024-07-01 12:00:00.000",
        ),
        ("NULL::DATE + INTERVAL '1 day'", "NULL"),
    ]);
    refuses(&[
        ("INTERVAL '1 day'", "INTERVAL"),
        (
            "'2026-01-17'::DATE + INTERVAL '3' DAYS",
            "constants such as",
        ),
        (
            "'2026-01-17'::DATE + INTERVAL '-1 day'",
            "constants such as",
        ),
        (
            "'2026-01-17'::DATE + INTERVAL '1 fortnight'",
            "constants such as",
        ),
        ("INTERVAL '1 day' + '2026-01-17'::DATE", "INTERVAL"),
        ("'2026-01-17' + INTERVAL '1 day'", "VARCHAR"),
        ("'23:00'::TIME + INTERVAL '2 hours'", "midnight"),
        ("'23:00'::TIME + INTERVAL '1 day'", "TIME"),
        ("'9999-12-31'::DATE + INTERVAL '1 day'", "years"),
    ]);
}

#[test]
fn answers_are_cut_and_sorted_as_a_whole() {
    let client = client_with(
        "CREATE TABLE DB.S.SORTED (A NUMBER, S VARCHAR, B BOOLEAN);
         INSERT INTO DB.S.SORTED VALUES (0, 'abc', TRUE), (0, 'abc', FALSE), (0, 'abc', NULL), (0, 'xyz', FALSE), (0, NULL, FALSE), (1, 'xyz', TRUE), (NULL, 'xyz', FALSE);",
    );
    check(
        &client,
        &[
            (
                "SELECT * FROM SORTED ORDER BY ALL",
                json!([
                    ["0", "abc", "false"],
                    ["0", "abc", "true"],
                    ["0", "abc", null],
                    ["0", "xyz", "false"],
                    ["0", null, "false"],
                    ["1", "xyz", "true"],
                    [null, "xyz", "false"]
                ]),
            ),
            (
                "SELECT B, S, A FROM SORTED ORDER BY ALL NULLS LAST LIMIT 3",
                json!([
                    ["false", "abc", "0"],
                    ["false", "xyz", "0"],
                    ["false", "xyz", null]
                ]),
            ),
            (
                "SELECT DISTINCT A FROM SORTED ORDER BY ALL DESC",
                json!([[null], ["1"], ["0"]]),
            ),
            (
                "SELECT TOP 2 S FROM SORTED WHERE S IS NOT NULL ORDER BY S DESC",
                json!([["xyz"], ["xyz"]]),
            ),
            (
                "SELECT COUNT(*) FROM (SELECT TOP 3 A FROM SORTED)",
                json!([["3"]]),
            ),
        ],
    );
    for statement in [
        "SELECT COUNT(*) FROM SORTED ORDER BY ALL",
        "SELECT A FROM SORTED UNION SELECT 1 ORDER BY ALL",
        "SELECT TOP 2 A FROM SORTED LIMIT 1",
        "SELECT TOP 2 A FROM SORTED UNION ALL SELECT 1",
        "SELECT TOP 10 PERCENT A FROM SORTED",
    ] {
        let (status, answer) = sql(&client, statement);
        assert_eq!(status, 422, "{statement}: {answer}");
    }
}

#[test]
fn natural_joins_have_common_columns_once() {
    let client = client_with(
        "CREATE TABLE DB.S.D1 (ID NUMBER, NAME VARCHAR); INSERT INTO DB.S.D1 VALUES (1, 'a'), (2, 'b'), (4, 'c');
         CREATE TABLE DB.S.D2 (ID NUMBER, VALUE VARCHAR); INSERT INTO DB.S.D2 VALUES (1, 'xx'), (2, 'yy'), (5, 'zz');
         CREATE TABLE DB.S.D3 (VALUE VARCHAR, ID NUMBER);",
    );
    check(
        &client,
        &[
            (
                "SELECT * FROM D1 NATURAL INNER JOIN D2 ORDER BY ID",
                json!([["1", "a", "xx"], ["2", "b", "yy"]]),
            ),
            (
                "SELECT ID, VALUE FROM D1 NATURAL LEFT JOIN D2 ORDER BY ID",
                json!([["1", "xx"], ["2", "yy"], ["4", null]]),
            ),
            ("SELECT ID FROM D3 NATURAL JOIN D1", json!([])),
        ],
    );
    for statement in [
        "SELECT * FROM D3 NATURAL JOIN D1",
        "SELECT * FROM D1 NATURAL FULL OUTER JOIN D2",
        "SELECT 1 FROM D1 NATURAL JOIN D2 NATURAL JOIN D3",
        "SELECT 1 FROM D1 NATURAL JOIN (SELECT 1 AS OTHER)",
    ] {
        let (status, answer) = sql(&client, statement);
        assert_eq!(status, 422, "{statement}: {answer}");
    }
}

#[test]
fn operators_read_columns() {
    answers(&[
        (
            "SELECT NAME FROM T WHERE NAME LIKE ANY ('a%', 'B') ORDER BY NAME",
            json!([["B"], ["a"]]),
        ),
        (
            "SELECT (AT + INTERVAL '1 day')::VARCHAR FROM T WHERE NAME = 'c'",
            json!([["2026-01-19 00:00:00.000"]]),
        ),
        (
            "SELECT (ZONED + INTERVAL '1 hour')::TIMESTAMP_NTZ::VARCHAR FROM T WHERE NAME = 'a'",
            json!([["2026-01-17 15:05:06.000"]]),
        ),
    ]);
}

#[test]
fn numbers_of_any_size_are_joined() {
    let client = client_with(
        "CREATE TABLE DB.S.A (N NUMBER, P NUMBER(20,2));
         INSERT INTO DB.S.A VALUES (5, 5), (12345678901234567890123, 7), (-12345678901234567890123, 5.5), (NULL, NULL);
         CREATE TABLE DB.S.B (M NUMBER(30,0), K NUMBER(5,0));
         INSERT INTO DB.S.B VALUES (5, 5), (12345678901234567890123, 7), (9223372036854775807, 8), (NULL, NULL);",
    );
    check(
        &client,
        &[
            (
                "SELECT N, K FROM A JOIN B ON N = M ORDER BY K",
                json!([["5", "5"], ["12345678901234567890123", "7"]]),
            ),
            ("SELECT N, M FROM A JOIN B ON N = K", json!([["5", "5"]])),
            (
                "SELECT P, K FROM A JOIN B ON P = K ORDER BY K",
                json!([["5.00", "5"], ["7.00", "7"]]),
            ),
            ("SELECT COUNT(*) FROM A JOIN B ON N <> M", json!([["7"]])),
            (
                "SELECT COUNT(*) FROM A JOIN B ON EQUAL_NULL(N, M)",
                json!([["3"]]),
            ),
            (
                "SELECT N FROM A JOIN B ON N = M GROUP BY N, M HAVING N = M AND MAX(K) > 5",
                json!([["12345678901234567890123"]]),
            ),
        ],
    );
}
