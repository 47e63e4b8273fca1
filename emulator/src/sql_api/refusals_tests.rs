//! Bindings, whose type is that of what they are compared with, and statements that are refused by name.

use serde_json::json;

use super::meaning_tests::clients;
use super::statements_tests::{post, refused};

#[test]
fn bindings_take_on_the_type_of_the_other_side() {
    for (client, _dir) in clients() {
        let cases = [
            (
                "ID = ?",
                "TEXT",
                "12345678901234567890123456789012345678",
                json!([["a"]]),
            ),
            ("ID = ?", "FIXED", "2", json!([["B"]])),
            ("PRICE > ?", "TEXT", "10", json!([["B"]])),
            ("RATIO = ?", "REAL", "1.5", json!([["a"]])),
            ("DAY = ?", "DATE", "1768694400000", json!([["c"]])),
            (
                "AT = ?",
                "TIMESTAMP_NTZ",
                "1768694400000000000",
                json!([["c"]]),
            ),
            ("AT = ?", "TEXT", "2026-01-18T00:00:00", json!([["c"]])),
            ("OPEN = ?", "BOOLEAN", "true", json!([["a"]])),
            ("NAME = :1", "TEXT", "B", json!([["B"]])),
        ];
        for (condition, kind, value, wanted) in cases {
            let body = json!({
                "statement": format!("SELECT NAME FROM DB.S.T WHERE {condition}"),
                "bindings": { "1": { "type": kind, "value": value } },
            });
            let (_, answer) = post(&client, "", &body);
            assert_eq!(answer["data"], wanted, "{condition} {kind}: {answer}");
        }
        let wrong = json!({ "statement": "SELECT ?", "bindings": { "1": { "type": "FIXED", "value": "x" } } });
        let (status, answer) = post(&client, "", &wrong);
        assert_eq!(
            (status, &answer["code"]),
            (422, &json!("100037")),
            "{answer}"
        );
    }
}

#[test]
fn what_has_no_rule_is_refused_by_name() {
    let (client, _) = clients().remove(0);
    for (statement, code, what) in [
        ("SELECT NAME, COUNT(*) FROM T", "000979", "NAME"),
        ("SELECT * FROM T GROUP BY NAME", "000979", "ID"),
        ("SELECT (SELECT NAME FROM T)", "090150", "more than one row"),
        ("SELECT ID FROM T A, T B", "002028", "ID"),
        (
            "SELECT A.ID, B.ID FROM T A, T B ORDER BY ID",
            "002028",
            "ID",
        ),
        (
            "SELECT 1 FROM T A, T B RIGHT JOIN T C ON B.ID = C.ID",
            "000002",
            "RIGHT JOIN",
        ),
        (
            "SELECT SUM(RATIO) OVER (ORDER BY ID ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM T",
            "000002",
            "FLOAT",
        ),
        ("SELECT OPEN || 'x' FROM T", "001044", "BOOLEAN"),
        ("SELECT V > V FROM T", "000002", "VARIANT"),
        ("SELECT 1 FROM T ORDER BY V", "000002", "VARIANT"),
        ("SELECT COALESCE(PRICE, 'none') FROM T", "000002", "cast"),
        ("SELECT HASH(NAME) FROM T", "002140", "HASH"),
        ("SELECT 1e3", "000002", "1e3"),
        ("SELECT NAME FROM T WHERE V:n = 'x'", "000002", "VARIANT"),
        ("SELECT UPPER('\u{df}')", "000002", "case"),
        ("SELECT '\\xe9'", "000002", "escape"),
        (
            "SELECT DISTINCT NAME FROM T ORDER BY ID",
            "000002",
            "DISTINCT",
        ),
        ("SELECT \"name\" FROM T", "000904", "name"),
        ("SELECT NAME FROM T WHERE NAME", "000002", "condition"),
        ("SELECT 1 WHERE COUNT(*) > 1", "000002", "aggregate"),
        (
            "SELECT * FROM T, LATERAL FLATTEN(INPUT => V:l)",
            "000002",
            "FLATTEN",
        ),
        ("SELECT PRICE FROM T SAMPLE (10)", "000002", "FROM"),
    ] {
        let (_, found, message) = refused(&client, statement);
        assert_eq!(found, code, "{statement}: {message}");
        assert!(message.contains(what), "{statement}: {message}");
    }
}
