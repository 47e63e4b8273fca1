//! What lands in an account whose TIMEZONE is not UTC.

use std::time::{Duration, UNIX_EPOCH};

use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::Catalog;

const DDL: &str = "CREATE TABLE D.S.T (N TIMESTAMP_NTZ(0), L TIMESTAMP_LTZ(0), Z TIMESTAMP_TZ(0), A TIMESTAMP_NTZ(0) DEFAULT CURRENT_TIMESTAMP());";

fn landed(catalog: &Catalog, row: &str) -> String {
    let name = |name: &str| ObjectName::new("D", "S", name);
    let pipe = catalog.pipe(&name("T-STREAMING")).unwrap();
    let table = catalog.table(&name("T")).unwrap();
    let now = UNIX_EPOCH + Duration::from_secs(1_705_312_800);
    let cells = table.land(&pipe, row, now).unwrap().unwrap();
    table.to_json(cells).to_string()
}

#[test]
fn integers_and_texts_without_an_offset_are_times_in_the_zone_of_the_account() {
    let catalog = Catalog::from_ddl(DDL).unwrap();
    let catalog = catalog.with_timezone("America/Los_Angeles").unwrap();
    for (row, wanted) in [
        // An account was seen to land this integer so.
        (
            r#"{"N":1705312800,"L":1705312800,"Z":1705312800}"#,
            r#"{"A":"2024-01-15 02:00:00","L":"2024-01-15 10:00:00Z","N":"2024-01-15 02:00:00","Z":"2024-01-15 02:00:00 -08:00"}"#,
        ),
        (
            r#"{"N":"2024-07-01 12:00","L":"2024-07-01 12:00","Z":"2024-07-01 12:00"}"#,
            r#"{"A":"2024-01-15 02:00:00","L":"2024-07-01 19:00:00Z","N":"2024-07-01 12:00:00","Z":"2024-07-01 12:00:00 -07:00"}"#,
        ),
        (
            r#"{"N":"2024-07-01 12:00Z","L":"2024-07-01 12:00+02:00","Z":"2024-07-01 12:00+02:00"}"#,
            r#"{"A":"2024-01-15 02:00:00","L":"2024-07-01 10:00:00Z","N":"2024-07-01 12:00:00","Z":"2024-07-01 12:00:00 +02:00"}"#,
        ),
        // Skipped in spring, and twice in autumn.
        (
            r#"{"L":"2024-03-10 02:30","Z":"2024-11-03 01:30"}"#,
            r#"{"A":"2024-01-15 02:00:00","L":"2024-03-10 10:30:00Z","N":null,"Z":"2024-11-03 01:30:00 -07:00"}"#,
        ),
    ] {
        assert_eq!(landed(&catalog, row), wanted, "{row}");
    }
}

#[test]
fn what_is_computed_in_utc_is_refused_in_another_zone() {
    const STREAM: &str = "FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING'))";
    let refused = [
        format!(
            "{DDL} CREATE PIPE D.S.P AS COPY INTO D.S.T (N) FROM (SELECT CURRENT_TIMESTAMP()::TIMESTAMP_NTZ {STREAM});"
        ),
        format!(
            "{DDL} CREATE PIPE D.S.P AS COPY INTO D.S.T (N) FROM (SELECT TO_TIMESTAMP($1:a::VARCHAR) {STREAM});"
        ),
        "CREATE TABLE D.S.T (A TIMESTAMP_LTZ DEFAULT '2026-01-17 14:00');".to_owned(),
        "CREATE TABLE D.S.T (A DATE DEFAULT CURRENT_TIMESTAMP()::DATE);".to_owned(),
    ];
    for script in refused {
        let catalog = Catalog::from_ddl(&script).expect("UTC takes it");
        let why = catalog.with_timezone("Europe/Berlin").unwrap_err();
        assert!(why.contains("UTC"), "{why}");
    }
    let catalog = Catalog::from_ddl(DDL).unwrap();
    let catalog = catalog.with_timezone("Europe/Berlin").unwrap();
    let pipe = format!(
        "CREATE PIPE D.S.P AS COPY INTO D.S.T (N) FROM (SELECT TO_TIMESTAMP($1:a::VARCHAR) {STREAM})"
    );
    assert!(catalog.clone().apply_ddl(&pipe).is_err());
    let plain = format!("CREATE PIPE D.S.P AS COPY INTO D.S.T (N) FROM (SELECT $1:a {STREAM})");
    catalog.clone().apply_ddl(&plain).unwrap();
    let why = catalog.with_timezone("Mars/Olympus").unwrap_err();
    assert!(why.contains("Mars/Olympus"), "{why}");
}
