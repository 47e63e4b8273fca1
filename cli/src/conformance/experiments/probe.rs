//! E33: what expressions give in queries.

use crate::conformance::Broken;
use crate::conformance::lab::Lab;
use crate::conformance::statements::{first_cell, refused};

/// Expressions, each with what is documented: a value as the SQL API shows it, the code of an error, or that the statement fails.
const EXPRESSIONS: &[(&str, &str)] = &[
    ("SELECT 7/2", "3.500000"),
    ("SELECT 1/3", "0.333333"),
    ("SELECT 99999999999999999999 + 1", "100000000000000000000"),
    ("SELECT 1.50 * 2", "3.00"),
    ("SELECT 2.5::INT", "3"),
    ("SELECT -2.5::INT", "-3"),
    ("SELECT ROUND(2.5)", "3"),
    ("SELECT ROUND(-2.5)", "-3"),
    ("SELECT 1/0", "refused 100051"),
    ("SELECT DIV0(1, 0)", "0.000000"),
    ("SELECT 'abc'::INT", "refused 100038"),
    ("SELECT TRY_CAST('abc' AS INT)", "NULL"),
    ("SELECT 'true'::BOOLEAN", "true"),
    ("SELECT '1.0' = 1", "true"),
    ("SELECT 'a' || NULL", "NULL"),
    ("SELECT CONCAT('a', NULL)", "NULL"),
    ("SELECT 'abcdef'::VARCHAR(3)", "fails"),
    ("SELECT SUBSTR('hello', 0, 2)", "he"),
    ("SELECT SUBSTR('hello', -3, 2)", "ll"),
    ("SELECT SPLIT_PART('a-b-c', '-', -1)", "c"),
    ("SELECT UPPER('é')", "É"),
    ("SELECT LENGTH('a\\nb')", "3"),
    ("SELECT 'Elk' LIKE 'e%'", "false"),
    ("SELECT 'Elk' ILIKE 'e%'", "true"),
    ("SELECT NULL = NULL", "NULL"),
    ("SELECT EQUAL_NULL(NULL, NULL)", "true"),
    ("SELECT NULLIF(1, 1)", "NULL"),
    ("SELECT GREATEST(1, NULL)", "NULL"),
    (
        "SELECT '2026-01-17 14:00:00'::TIMESTAMP_NTZ::DATE::VARCHAR",
        "2026-01-17",
    ),
    (
        "SELECT '2026-01-17 14:00:00'::TIMESTAMP_NTZ::VARCHAR",
        "2026-01-17 14:00:00.000",
    ),
    ("SELECT '17-JAN-2026'::DATE::VARCHAR", "2026-01-17"),
    (
        "SELECT DATEADD(month, 1, '2026-01-31'::DATE)::VARCHAR",
        "2026-02-28",
    ),
    (
        "SELECT DATEDIFF(week, '2026-01-17'::DATE, '2026-01-19'::DATE)",
        "1",
    ),
    (
        "SELECT DATE_TRUNC('week', '2026-01-17'::DATE)::VARCHAR",
        "2026-01-12",
    ),
    (
        "SELECT TO_CHAR('2026-01-17'::DATE, 'DD.MM.YYYY')",
        "17.01.2026",
    ),
    ("SELECT DAYOFWEEK('2026-01-18'::DATE)", "0"),
    ("SELECT PARSE_JSON('{\"a\": null}'):a IS NULL", "false"),
    ("SELECT PARSE_JSON('{\"a\": null}'):a::STRING", "NULL"),
    ("SELECT PARSE_JSON('{\"a\": 1.50}'):a::STRING", "1.5"),
    ("SELECT PARSE_JSON('{\"a\": \"b\"}'):a::STRING", "b"),
    ("SELECT PARSE_JSON('{\"a\": true}'):a::STRING", "true"),
    ("SELECT TYPEOF(PARSE_JSON('[1]'))", "ARRAY"),
    ("SELECT ARRAY_SIZE(PARSE_JSON('[1,2]'))", "2"),
    (
        "SELECT COUNT(*) FROM (SELECT COLUMN1 FROM VALUES (1), (NULL)) WHERE COLUMN1 <> 1",
        "0",
    ),
    (
        "SELECT LISTAGG(COLUMN1, ',') WITHIN GROUP (ORDER BY COLUMN1 DESC) FROM VALUES ('a'), ('b')",
        "b,a",
    ),
    (
        "SELECT COLUMN1 FROM VALUES (1), (NULL), (2) ORDER BY COLUMN1 DESC LIMIT 1",
        "NULL",
    ),
    ("SELECT SUM(COLUMN1) FROM VALUES (1.10), (2.20)", "3.30"),
    ("SELECT AVG(COLUMN1) FROM VALUES (1), (2)", "1.500000"),
    (
        "SELECT MAX(COLUMN1) FROM VALUES ('9.99'), ('10.01')",
        "9.99",
    ),
];

/// How many expressions one run asks about.
pub(super) const COUNT: u32 = 49;

/// What is documented of an expression.
pub(super) fn expected(what: &str) -> Option<&'static str> {
    let found = EXPRESSIONS.iter().find(|(text, _)| *text == what);
    found.map(|(_, value)| *value)
}

pub(super) async fn expressions(lab: &mut Lab<'_>) -> Result<(), Broken> {
    for (text, documented) in EXPRESSIONS {
        let answer = lab.try_plain_sql(*text).await;
        let word = answer.map(|answer| match answer {
            Ok(rows) => first_cell(rows).unwrap_or_else(|| "no row".to_owned()),
            Err(_) if *documented == "fails" => "fails".to_owned(),
            Err(why) => refused(&why),
        });
        lab.see_part(text, word)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{COUNT, EXPRESSIONS};

    #[test]
    fn the_number_of_statements_is_that_of_the_expressions() {
        assert_eq!(usize::try_from(COUNT), Ok(EXPRESSIONS.len()));
    }
}
