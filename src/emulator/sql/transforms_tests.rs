//! Rows that land through pipes whose select list computes.

use std::time::{Duration, SystemTime};

use crate::emulator::catalog::cell::Cell;
use crate::emulator::catalog::object_name::ObjectName;
use crate::emulator::catalog::tables::Catalog;

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
    table.land(&pipe, row, now).map_err(|why| why.to_string())
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
