//! Dates and times that are read and written by formats, with the results that Snowflake's documentation shows.

use serde_json::json;

use super::function_tests::refuses;
use super::meaning_tests::{answers, computes};
use crate::catalog::tables::Catalog;

#[test]
fn texts_become_dates_and_times_by_a_format() {
    computes(&[
        ("TO_DATE('2024.05.10', 'YYYY.MM.DD')::VARCHAR", "2024-05-10"),
        ("DATE('05/10/2024', 'MM/DD/YYYY')::VARCHAR", "2024-05-10"),
        ("TO_DATE('3/4/2024', 'dd/mm/yyyy')::VARCHAR", "2024-04-03"),
        ("TO_DATE('2024-05-10', 'AUTO')::VARCHAR", "2024-05-10"),
        (
            "TRY_TO_DATE('05/10/2024', 'MM/DD/YYYY')::VARCHAR",
            "2024-05-10",
        ),
        ("TRY_TO_DATE('2024-05-10', 'MM/DD/YYYY')", "NULL"),
        ("TO_TIME('11.15.00', 'HH24.MI.SS')::VARCHAR", "11:15:00"),
        (
            "TO_TIMESTAMP('2024.10.02 04:00:00', 'YYYY.MM.DD HH:MI:SS')::VARCHAR",
            "2024-10-02 04:00:00.000",
        ),
        (
            "TO_TIMESTAMP_TZ('04/05/2024 01:02:03', 'mm/dd/yyyy hh24:mi:ss')::VARCHAR",
            "2024-04-05 01:02:03.000 +0000",
        ),
        (
            "TO_TIMESTAMP_TZ('04/05/2024 01:02:03', 'dd/mm/yyyy hh24:mi:ss')::VARCHAR",
            "2024-05-04 01:02:03.000 +0000",
        ),
        (
            "TO_TIMESTAMP('2026-01-02T03:04:05 EST', 'YYYY-MM-DD\"T\"HH24:MI:SS \"EST\"')::VARCHAR",
            "2026-01-02 03:04:05.000",
        ),
        (
            "TO_TIMESTAMP_LTZ('2024-04-05 12:00:00 +02:00', 'YYYY-MM-DD HH24:MI:SS TZH:TZM')::VARCHAR",
            "2024-04-05 10:00:00.000 +0000",
        ),
        ("TRY_TO_TIMESTAMP_TZ('soon', 'YYYY')", "NULL"),
        (
            "TO_TIMESTAMP(1000000000, 3)::VARCHAR",
            "1970-01-12 13:46:40.000",
        ),
        (
            "TO_TIMESTAMP_LTZ(1000000000, 9)::VARCHAR",
            "1970-01-01 00:00:01.000 +0000",
        ),
        ("TO_DATE(NULL, 'YYYY')", "NULL"),
    ]);
    refuses(&[
        (
            "TO_DATE('2024-05-10', 'MM/DD/YYYY')",
            "Can't parse '2024-05-10' as date",
        ),
        ("TO_TIME('11.15', 'HH24.MI.SS')", "ends before its format"),
        (
            "TO_DATE('2024-02-30', 'YYYY-MM-DD')",
            "a day that its month does not have",
        ),
        ("TO_DATE(20240510, 'YYYYMMDD')", "NUMBER"),
        ("TO_TIMESTAMP('1', 3)", "NUMBER"),
        ("TO_DATE('2024', 'WW')", "the format 'WW'"),
        ("TIME('11.15', 'HH24.MI')", "arguments"),
        (
            "TRY_TO_TIMESTAMP('2024-05-10 01:02:03.1234', 'YYYY-MM-DD HH24:MI:SS.FF3')",
            "more digits",
        ),
    ]);
}

#[test]
fn a_format_that_snowflake_may_detect_is_refused() {
    computes(&[
        ("TRY_TO_DATE('2024-01-32')", "NULL"),
        ("TRY_TO_DATE('2024-00010-01x')", "NULL"),
        ("TRY_TO_TIME('25:00')", "NULL"),
        (
            "TO_TIMESTAMP('2024-01-01 00:00:00.000000001')::VARCHAR",
            "2024-01-01 00:00:00.000",
        ),
    ]);
    refuses(&[
        ("TRY_TO_DATE('9999-012-31')", "may detect"),
        ("TRY_TO_DATE('2024-0001-01')", "may detect"),
        ("TRY_TO_DATE('5-JAN-24')", "may detect"),
        ("TRY_TO_TIMESTAMP('2024-01-01  00:00:00')", "may detect"),
        ("TRY_TO_TIMESTAMP('2024-01-01 00:00:003')", "may detect"),
        ("TRY_TO_TIME('00:00:003')", "may detect"),
    ]);
}

#[test]
fn dates_and_times_become_texts_by_a_format() {
    computes(&[
        (
            "TO_VARCHAR('2024-04-05 01:02:03'::TIMESTAMP, 'mm/dd/yyyy, hh24:mi \"hours\"')",
            "04/05/2024, 01:02 hours",
        ),
        ("TO_VARCHAR('03-April-2024'::DATE)", "2024-04-03"),
        (
            "TO_VARCHAR('03-April-2024'::DATE, 'yyyy.mm.dd')",
            "2024.04.03",
        ),
        (
            "TO_VARCHAR('2024-04-05'::DATE, 'mon dd, yyyy')",
            "Apr 05, 2024",
        ),
        (
            "TO_CHAR('04:05:06.789'::TIME, 'H12:MI P FF3')",
            "4:05 A 789",
        ),
        (
            "TO_CHAR('2024-04-05 01:02:03 -0730'::TIMESTAMP_TZ, 'HH24 TZH:TZM')",
            "01 -07:30",
        ),
        (
            "TO_CHAR('2024-04-05 01:02:03 +0200'::TIMESTAMP_LTZ, 'HH24 TZH')",
            "23 +00",
        ),
        ("TO_VARCHAR(TO_BINARY('SNOW', 'utf-8'), 'HEX')", "534E4F57"),
        (
            "TO_VARCHAR(TO_BINARY(HEX_ENCODE('A B'), 'HEX'), 'UTF-8')",
            "A B",
        ),
        ("TO_CHAR(TO_BINARY('SNOW', 'utf-8'), 'BASE64')", "U05PVw=="),
        (
            "'2024-04-05 01:02:03 -0730'::TIMESTAMP_TZ || ''",
            "2024-04-05 01:02:03.000 -0730",
        ),
    ]);
    answers(&[(
        "SELECT LOCAL::VARCHAR, ZONED::VARCHAR FROM T WHERE NAME = 'a'",
        json!([[
            "2026-01-17 13:05:06.000 +0000",
            "2026-01-17 14:05:06.000 +0100"
        ]]),
    )]);
    refuses(&[
        (
            "TO_CHAR('2024-04-05'::DATE, 'TZH')",
            "for a value of this type",
        ),
        ("TO_CHAR('01:02'::TIME, 'YYYY')", "for a value of this type"),
        (
            "TO_CHAR('2024-04-05'::DATE, 'hh24:mi hours')",
            "text in double quotes",
        ),
        ("TO_CHAR(1.5, '9.99')", "NUMBER"),
        ("TO_CHAR(TO_BINARY('SNOW', 'utf-8'), 'BASE32')", "BASE32"),
    ]);
}

/// COPY's list of functions has `TRY_TO_DATE` and `TRY_TO_TIME` without their formats.
#[test]
fn pipes_take_the_formats_that_copy_takes() {
    for (item, is_taken) in [
        ("TO_DATE($1:a::VARCHAR, 'DD.MM.YYYY')", true),
        ("TRY_TO_TIMESTAMP($1:a::VARCHAR, 'DD.MM.YYYY')", true),
        ("TRY_TO_DATE($1:a::VARCHAR, 'DD.MM.YYYY')", false),
    ] {
        let ddl = format!(
            "CREATE TABLE D.S.T (A DATE); CREATE PIPE D.S.P AS COPY INTO D.S.T FROM (SELECT {item} FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')))"
        );
        let catalog = Catalog::from_ddl(&ddl);
        assert_eq!(catalog.is_ok(), is_taken, "{item}");
        // A date is computed in UTC.
        let in_zone = catalog.map(|catalog| catalog.with_timezone("Europe/Berlin"));
        assert!(
            in_zone.is_err() || in_zone.is_ok_and(|catalog| catalog.is_err()),
            "{item}"
        );
    }
}
