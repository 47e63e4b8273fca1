//! Names in quotes keep their case, and statements find tables and pipes by the exact name.

use crate::catalog::tables::Catalog;
use crate::rig::{Client, settings};
use crate::sql_api::statements_tests::sql;

#[test]
fn names_that_differ_by_case_are_not_the_same() {
    let made = r#"CREATE TABLE DB.S."low" (A NUMBER);
        CREATE PIPE DB.S."pipe" AS COPY INTO DB.S."low" FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) MATCH_BY_COLUMN_NAME = CASE_SENSITIVE;"#;
    let catalog = Catalog::from_ddl(made).unwrap();
    for (statement, why) in [
        ("CREATE TABLE DB.S.LOW (A NUMBER)", "differ by case alone"),
        (
            "CREATE OR REPLACE TABLE DB.S.LOW (A NUMBER)",
            "differ by case alone",
        ),
        (
            "CREATE TABLE IF NOT EXISTS DB.S.LOW (A NUMBER)",
            "differ by case alone",
        ),
        ("DROP TABLE DB.S.LOW", "there is no LOW"),
        ("DROP PIPE DB.S.PIPE", "there is no PIPE"),
        ("TRUNCATE TABLE DB.S.LOW", "there is no table LOW"),
        ("ALTER TABLE DB.S.LOW ADD COLUMN B NUMBER", "no table LOW"),
        (
            "ALTER TABLE DB.S.LOW SET ERROR_LOGGING = TRUE",
            "no table LOW",
        ),
        (
            "CREATE OR REPLACE PIPE DB.S.PIPE AS COPY INTO DB.S.\"low\" MATCH_BY_COLUMN_NAME = CASE_SENSITIVE",
            "differ by case alone",
        ),
        (
            "CREATE PIPE DB.S.P AS COPY INTO DB.S.LOW MATCH_BY_COLUMN_NAME = CASE_SENSITIVE",
            "there is no table DB.S.LOW",
        ),
    ] {
        let refused = catalog.clone().apply_ddl(statement).unwrap_err();
        assert!(refused.message.contains(why), "{statement}: {refused}");
    }
    catalog
        .clone()
        .apply_ddl("DROP TABLE IF EXISTS DB.S.LOW; ALTER TABLE DB.S.\"low\" ADD COLUMN B NUMBER")
        .unwrap();
}

#[test]
fn queries_find_tables_by_the_exact_name() {
    let ddl = r#"CREATE TABLE DB.S."low" (A NUMBER) ERROR_LOGGING = TRUE"#;
    let client = Client::of(settings().catalog(Catalog::from_ddl(ddl).unwrap()));
    for (statement, status) in [
        (r#"SELECT * FROM DB.S."low""#, 200),
        (r#"SELECT * FROM ERROR_TABLE(DB.S."low")"#, 200),
        (r#"DESC TABLE DB.S."low""#, 200),
        (r#"INSERT INTO DB.S."low" VALUES (1)"#, 200),
        (r#"SHOW CHANNELS IN PIPE DB.S."low-STREAMING""#, 200),
        (r#"SELECT SYSTEM$PIPE_STATUS('DB.S."low-STREAMING"')"#, 200),
        ("SELECT * FROM DB.S.LOW", 422),
        (r#"SELECT * FROM "db".S."low""#, 422),
        ("SELECT * FROM ERROR_TABLE(DB.S.LOW)", 422),
        ("DESC TABLE DB.S.LOW", 422),
        ("INSERT INTO DB.S.LOW VALUES (1)", 422),
        ("DELETE FROM DB.S.LOW", 422),
        (r#"SHOW CHANNELS IN PIPE DB.S."LOW-STREAMING""#, 422),
        (r#"DESC PIPE DB.S."LOW-STREAMING""#, 422),
        (r#"SELECT SYSTEM$PIPE_STATUS('DB.S."LOW-STREAMING"')"#, 422),
    ] {
        let (found, answer) = sql(&client, statement);
        assert_eq!(found, status, "{statement}: {answer}");
    }
}
