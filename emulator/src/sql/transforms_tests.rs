//! Rows that land through pipes whose select list computes.

use std::time::{Duration, Instant, SystemTime};

use crate::answers::Answers;
use crate::catalog::cell::Cell;
use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::Catalog;
use crate::catalog::transforms::until;

const DDL: &str = r#"
CREATE TABLE DB.S.T (
  ID NUMBER(10,0), NAME VARCHAR(10), PRICE NUMBER(7,2), AT TIMESTAMP_NTZ(3), OPEN BOOLEAN, RAW BINARY, V VARIANT,
  LANDED TIMESTAMP_LTZ, KIND VARCHAR DEFAULT 'none'
);
CREATE PIPE DB.S.P AS COPY INTO DB.S.T (ID, NAME, PRICE, AT, OPEN, RAW, V, LANDED) FROM (
  SELECT
    COALESCE($1:id::NUMBER, 0),
    CONCAT('it''s ', TRIM($1['the name'])),
    $1:prices[0]::NUMBER(10,3) * 2,
    TRY_TO_TIMESTAMP($1:at::VARCHAR),
    IFF($1:id::NUMBER > 5, TRUE, FALSE),
    '0aff'::BINARY,
    PARSE_JSON($1:json::VARCHAR):deep."er",
    CURRENT_TIMESTAMP()
  FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING'))
);
"#;

fn landed(row: &str) -> Result<Vec<Cell>, String> {
    let catalog = Catalog::from_ddl(DDL).unwrap();
    let name = ObjectName {
        database: "DB".to_owned(),
        schema: "S".to_owned(),
        name: "P".to_owned(),
    };
    let pipe = catalog.pipe(&name).unwrap();
    let table = catalog.table(&pipe.table).unwrap();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
    let landed = table.land(&pipe, row, now).map(Option::unwrap);
    landed.map_err(|why| why.to_string())
}

#[test]
fn every_item_is_computed_and_converted_for_its_column() {
    let row = r#"{"id": 7, "the name": " Elk ", "prices": [1.005], "at": "2026-01-17 14:00", "json": "{\"deep\": {\"er\": 1.50}}"}"#;
    let text = |text: &str| Cell::Text(text.to_owned());
    assert_eq!(
        landed(row).unwrap(),
        [
            Cell::Integer(7),
            text("it's Elk"),
            text("2.01"),
            text("2026-01-17 14:00:00.000"),
            Cell::Boolean(true),
            Cell::Binary(vec![0x0A, 0xFF]),
            Cell::Json("1.50".to_owned()),
            text("1970-01-02 00:00:00.000000000Z"),
            text("none"),
        ]
    );
}

#[test]
fn a_row_without_values_lands_with_nulls_and_what_replaces_them() {
    let cells = landed(r#"{"at": "soon"}"#).unwrap();
    assert_eq!(cells.first(), Some(&Cell::Integer(0)));
    // NULL > 5 is not true.
    assert_eq!(cells.get(4), Some(&Cell::Boolean(false)));
    let nulls = cells.iter().filter(|cell| **cell == Cell::Null).count();
    assert_eq!(nulls, 4, "{cells:?}");
}

#[test]
fn a_value_that_cannot_be_computed_rejects_the_row() {
    for (row, why) in [
        (r#"{"id": "seven"}"#, "FIXED"),
        (r#"{"prices": [99999999]}"#, "out of representable range"),
        (r#"{"the name": "much too long for it"}"#, "NAME"),
        (r#"{"json": "{"}"#, "Error parsing JSON"),
        ("[]", "not a JSON object"),
    ] {
        let message = landed(row).unwrap_err();
        assert!(message.contains(why), "{row}: {message}");
    }
}

#[test]
fn texts_are_taken_apart_and_rows_are_numbered() {
    let ddl = r"
CREATE SEQUENCE DB.S.Q START 10 INCREMENT 5;
CREATE TABLE DB.S.T (ID NUMBER NOT NULL, DIGEST VARCHAR, DIGITS NUMBER, PARTS ARRAY, UUID VARCHAR, NEXT NUMBER);
CREATE PIPE DB.S.P AS COPY INTO DB.S.T FROM (
  SELECT
    Q.NEXTVAL, MD5($1:name), REGEXP_REPLACE($1:name, $$\D$$)::NUMBER, SPLIT($1:name, '-'),
    UUID_STRING(), Q.NEXTVAL
  FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING'))
);";
    let catalog = Catalog::from_ddl(&format!("USE SCHEMA DB.S; {ddl}")).unwrap();
    let pipe = catalog.pipe(&ObjectName::new("DB", "S", "P")).unwrap();
    let table = catalog.table(&pipe.table).unwrap();
    let land = |row| {
        let landed = table.land(&pipe, row, SystemTime::UNIX_EPOCH);
        landed.map(Option::unwrap)
    };
    let first = land(r#"{"name": "x-1-y-2"}"#).unwrap();
    assert_eq!(first[0], Cell::Integer(10));
    assert_eq!(
        first[1],
        Cell::Text("607782f0c63ef1077283bdac728610a9".to_owned())
    );
    assert_eq!(first[2], Cell::Integer(12));
    assert_eq!(first[3], Cell::Json(r#"["x","1","y","2"]"#.to_owned()));
    assert_eq!(first[5], Cell::Integer(15));
    // A row that is rejected takes no number.
    assert!(land(r#"{"name": "no digits"}"#).is_err());
    let second = land(r#"{"name": "7"}"#).unwrap();
    assert_eq!(
        (&second[0], &second[5]),
        (&Cell::Integer(20), &Cell::Integer(25))
    );
    assert_ne!(first[4], second[4]);
}

#[test]
fn rows_for_which_the_condition_is_not_true_are_left_out() {
    let answers = Answers::default();
    let mut catalog =
        Catalog::default().with_answers(&answers.with("pipes.where_clause", "filter").unwrap());
    let create = |name: &str, filter: &str| {
        format!(
            "CREATE PIPE DB.S.{name} AS COPY INTO DB.S.T FROM (SELECT $1:n::NUMBER, 'x' FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) {filter});"
        )
    };
    let ddl = "CREATE TABLE DB.S.T (N NUMBER NOT NULL, X VARCHAR);";
    catalog.apply_ddl(ddl).unwrap();
    for (pipe, filter, row, wanted) in [
        (
            "P1",
            "WHERE $1:n::NUMBER > 1 AND ($1:n::NUMBER < 5)",
            r#"{"n":4}"#,
            Ok(true),
        ),
        ("P2", "AS S WHERE $1:n::NUMBER > 1", r#"{"n":1}"#, Ok(false)),
        ("P3", "S WHERE $1:n::NUMBER > 1", r#"{"m":2}"#, Ok(false)),
        (
            "P4",
            "WHERE $1:is_new",
            r#"{"n":1,"is_new":true}"#,
            Ok(true),
        ),
        ("P5", "WHERE $1:is_new", r#"{"n":1}"#, Ok(false)),
        // What is selected has to fit its column, and what is not has not.
        (
            "P6",
            "WHERE $1:kind::VARCHAR = 'a'",
            r#"{"kind":"a"}"#,
            Err(()),
        ),
        (
            "P7",
            "WHERE $1:kind::VARCHAR = 'a'",
            r#"{"kind":"b"}"#,
            Ok(false),
        ),
        ("P8", "WHERE $1:n::NUMBER > 1", r#"{"n":"x"}"#, Err(())),
        ("P9", "WHERE $1:n::NUMBER > 1", "[]", Err(())),
    ] {
        catalog.apply_ddl(&create(pipe, filter)).unwrap();
        let pipe = catalog.pipe(&ObjectName::new("DB", "S", pipe)).unwrap();
        let table = catalog.table(&pipe.table).unwrap();
        let landed = table.land(&pipe, row, SystemTime::UNIX_EPOCH);
        let landed = landed.map(|cells| cells.is_some()).map_err(drop);
        assert_eq!(landed, wanted, "{filter} {row}");
    }
    for (filter, why) in [
        ("WHERE", "WHERE: "),
        ("WHERE $1:a IS NULL ORDER BY 1", "WHERE: unexpected ORDER"),
        ("WHERE $1:n::NUMBER", "the condition"),
        ("WHERE UPPER($1:a) = 'A'", "UPPER"),
        ("WHERE RANDOM() > 0", "RANDOM"),
        ("S, LATERAL FLATTEN($1:a)", "no JOIN"),
    ] {
        let said = catalog.apply_ddl(&create("Q", filter)).unwrap_err();
        assert!(said.message.contains(why), "{filter}: {said}");
    }
}

#[test]
fn a_pattern_is_a_constant_and_the_search_for_it_ends_with_its_commit() {
    let mut catalog = Catalog::default();
    catalog
        .apply_ddl("CREATE TABLE DB.S.T (A VARCHAR);")
        .unwrap();
    let create = |item: &str| {
        format!(
            "CREATE OR REPLACE PIPE DB.S.P AS COPY INTO DB.S.T FROM (SELECT {item} FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')));"
        )
    };
    for item in [
        "IFF($1:a LIKE $1:p, 'x', 'y')",
        "IFF($1:a ILIKE 'a' || $1:p::VARCHAR, 'x', 'y')",
        "REGEXP_REPLACE($1:a, $1:p)",
    ] {
        let why = catalog.apply_ddl(&create(item)).unwrap_err();
        assert!(why.message.contains("not a constant"), "{item}: {why}");
    }
    let row = format!(r#"{{"a":"{}"}}"#, "a".repeat(200_000));
    for (item, function) in [
        ("REGEXP_REPLACE($1:a, 'a')", "REGEXP_REPLACE"),
        ("IFF($1:a LIKE '%ab', 'x', 'y')", "LIKE"),
        ("IFF($1:a ILIKE '%ab', 'x', 'y')", "ILIKE"),
    ] {
        catalog.apply_ddl(&create(item)).unwrap();
        let pipe = catalog.pipe(&ObjectName::new("DB", "S", "P")).unwrap();
        let table = catalog.table(&pipe.table).unwrap();
        let land = || table.land(&pipe, &row, SystemTime::UNIX_EPOCH);
        let now = Instant::now();
        let why = until(now, land).unwrap_err().to_string();
        assert!(why.contains(&format!("{function} that takes")), "{why}");
        assert!(until(now + Duration::from_secs(3600), land).is_ok());
    }
}
