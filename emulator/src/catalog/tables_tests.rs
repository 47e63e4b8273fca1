//! Matching, defaults, NOT NULL and name lookup.

use std::time::{Duration, SystemTime};

use super::*;
use crate::catalog::columns::ColumnDefault;
use proptest::prelude::*;

fn name(text: &str) -> ObjectName {
    let parts: Vec<&str> = text.split('/').collect();
    ObjectName {
        database: parts[0].to_owned(),
        schema: parts[1].to_owned(),
        name: parts[2].to_owned(),
    }
}

fn column(name: &str, data_type: &str) -> Column {
    Column {
        name: name.to_owned(),
        data_type: data_type.parse().expect("a type"),
        nullable: true,
        default: None,
    }
}

/// RIDES(TXID varchar not null, DAYS number default 1, ADDRESS variant, AT timestamp default now).
fn rides() -> Catalog {
    let mut catalog = Catalog::default();
    catalog.add_table(Table::new(
        name("DB/S/RIDES"),
        vec![
            Column {
                nullable: false,
                ..column("TXID", "varchar(8)")
            },
            Column {
                default: Some(ColumnDefault::Constant(Cell::Integer(1))),
                ..column("DAYS", "number")
            },
            column("ADDRESS", "variant"),
            Column {
                default: Some(ColumnDefault::CurrentTimestamp),
                ..column("AT", "timestamp_ntz(3)")
            },
        ],
    ));
    catalog
}

fn with_mapping(mapping: Mapping) -> Pipe {
    Pipe {
        mapping,
        definition: None,
        ..rides()
            .pipe(&name("DB/S/RIDES-STREAMING"))
            .expect("the default pipe")
    }
}

fn land(pipe: &Pipe, row: &str) -> Result<Vec<Cell>, String> {
    let catalog = rides();
    let table = catalog.table(&pipe.table).expect("the table");
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_768_658_400_250);
    let landed = table.land(pipe, row, now);
    let landed = landed.map(|cells| cells.expect("a pipe without WHERE"));
    landed.map_err(|why| why.to_string())
}

fn text(value: &str) -> Cell {
    Cell::Text(value.to_owned())
}

#[test]
fn case_sensitive_pipes_match_letter_by_letter_and_fill_in_defaults() {
    let pipe = with_mapping(Mapping::ByName(MatchBy::CaseSensitive));
    assert_eq!(
        land(&pipe, r#"{"TXID":"a","days":3,"DAYS_USED":0}"#),
        Ok(vec![
            text("a"),
            Cell::Integer(1),
            Cell::Null,
            text("2026-01-17 14:00:00.250"),
        ])
    );
    assert_eq!(
        land(&pipe, r#"{"txid":"a"}"#),
        Err("100072 (22000): NULL result in a non-nullable column (column TXID)".to_owned())
    );
}

#[test]
fn default_pipes_match_in_any_case_and_prefer_the_exact_key() {
    let pipe = with_mapping(Mapping::ByName(MatchBy::CaseInsensitive));
    assert_eq!(
        land(
            &pipe,
            r#"{"txid":"a","DAYS":2,"days":3,"Address":null,"AT":null}"#
        ),
        Ok(vec![
            text("a"),
            Cell::Integer(2),
            Cell::Json("null".to_owned()),
            Cell::Null,
        ])
    );
}

#[test]
fn rejects_name_the_column_and_the_value() {
    let pipe = with_mapping(Mapping::ByName(MatchBy::CaseSensitive));
    for (row, why) in [
        (
            r#"{"TXID":"a","DAYS":"soon"}"#,
            "100038 (22018): Numeric value 'soon' is not recognized (column DAYS)",
        ),
        (
            r#"{"TXID":null}"#,
            "100072 (22000): NULL result in a non-nullable column (column TXID)",
        ),
        (
            r#"{"TXID":"123456789"}"#,
            "100078 (22000): String '123456789' is too long and would be truncated (column TXID)",
        ),
        (
            "[1]",
            "100069 (22P02): Error parsing JSON: the row is not a JSON object",
        ),
        (
            "7",
            "100069 (22P02): Error parsing JSON: the row is not a JSON object",
        ),
    ] {
        assert_eq!(land(&pipe, row), Err(why.to_owned()), "{row}");
    }
    for row in ["", "{", r#"{"TXID":"a"} x"#, "nonsense", r#"{"TXID":NaN}"#] {
        let why = land(&pipe, row).expect_err("a broken row is rejected");
        assert!(
            why.starts_with("100069 (22P02): Error parsing JSON: "),
            "{row}: {why}"
        );
    }
}

#[test]
fn select_lists_pick_by_path_and_cast_on_the_way() {
    let pipe = with_mapping(Mapping::Select(vec![
        Selected {
            column: 0,
            path: vec!["a".to_owned(), "b".to_owned()],
            cast: Some(DataType::Number {
                precision: 4,
                scale: 1,
            }),
        },
        Selected {
            column: 2,
            path: vec![],
            cast: None,
        },
        Selected {
            column: 3,
            path: vec!["missing".to_owned()],
            cast: None,
        },
    ]));
    assert_eq!(
        land(&pipe, r#" {"a":{"b":1.25}} "#),
        Ok(vec![
            text("1.3"),
            Cell::Integer(1),
            Cell::Json(r#"{"a":{"b":1.25}}"#.to_owned()),
            Cell::Null,
        ])
    );
    assert_eq!(
        land(&pipe, r#"{"a":{"b":"x"}}"#),
        Err("100038 (22018): Numeric value 'x' is not recognized (column TXID)".to_owned())
    );
}

#[test]
fn names_are_found_whatever_their_case_or_quotes() {
    let catalog = rides();
    let pipe = catalog
        .pipe(&name("db/s/\"rides-streaming\""))
        .expect("found");
    assert_eq!(pipe.name, name("DB/S/RIDES-STREAMING"));
    assert_eq!(pipe.table, name("DB/S/RIDES"));
    assert!(catalog.table(&name("db/S/Rides")).is_some());
    assert_eq!(catalog.pipe(&name("DB/S/RIDES")), None);
    assert_eq!(catalog.pipe(&name("DB/OTHER/RIDES-STREAMING")), None);
}

#[test]
fn anything_takes_whole_rows_for_any_name() {
    let catalog = Catalog::anything();
    let pipe = catalog
        .pipe(&name("db/s/events-streaming"))
        .expect("any pipe");
    assert_eq!(pipe.table, name("DB/S/EVENTS"));
    let table = catalog.table(&pipe.table).expect("any table");
    assert_eq!(
        table.land(&pipe, r#"{"a":1}"#, SystemTime::UNIX_EPOCH),
        Ok(Some(vec![Cell::Json(r#"{"a":1}"#.to_owned())]))
    );
    assert!(table.land(&pipe, "[]", SystemTime::UNIX_EPOCH).is_err());
}

#[test]
fn the_sql_null_switch_reaches_every_pipe() {
    let catalog = rides().with_sql_null(true);
    let pipe = catalog
        .pipe(&name("DB/S/RIDES-STREAMING"))
        .expect("the pipe");
    let table = catalog.table(&pipe.table).expect("the table");
    let cells = table
        .land(
            &pipe,
            r#"{"TXID":"a","ADDRESS":null}"#,
            SystemTime::UNIX_EPOCH,
        )
        .expect("it lands")
        .expect("a pipe without WHERE");
    assert_eq!(cells[2], Cell::Null);
}

proptest! {
    /// Each type accepts or refuses any value.
    #[test]
    fn no_value_breaks_a_column(
        text in prop_oneof!["\\PC{0,24}", "[-+0-9.:eETZ ]{0,24}"],
        number in "-?[1-9][0-9]{0,30}(\\.[0-9]{1,30})?(e-?[0-9]{1,22})?",
        of in prop::sample::select(&[
            "VARCHAR(4)", "NUMBER(38,37)", "NUMBER(1,0)", "FLOAT", "BOOLEAN", "BINARY", "DATE", "TIME", "TIMESTAMP_NTZ",
            "TIMESTAMP_LTZ(0)", "TIMESTAMP_TZ", "VARIANT", "OBJECT", "ARRAY",
        ][..]),
    ) {
        let catalog = {
            let mut catalog = Catalog::default();
            catalog.add_table(Table::new(name("D/S/T"), [column("A", of)]));
            catalog
        };
        let pipe = catalog.pipe(&name("D/S/T-STREAMING")).expect("the pipe");
        let table = catalog.table(&pipe.table).expect("the table");
        let quoted = serde_json::Value::from(text.as_str()).to_string();
        for value in [quoted, number] {
            let _ = table.land(&pipe, &format!("{{\"A\":{value}}}"), SystemTime::UNIX_EPOCH);
        }
        let _ = table.land(&pipe, &text, SystemTime::UNIX_EPOCH);
    }
}

#[test]
fn a_key_twice_in_a_nested_object_rejects_the_row_in_each_mapping() {
    for mapping in [
        Mapping::ByName(MatchBy::CaseSensitive),
        Mapping::ByName(MatchBy::CaseInsensitive),
        Mapping::Select(Vec::new()),
        Mapping::WholeRow,
    ] {
        let pipe = with_mapping(mapping);
        let row = r#"{"TXID":"a","ADDRESS":{"no":[{"x":1,"x":2}]}}"#;
        let why = land(&pipe, row).expect_err("a key twice");
        assert_eq!(
            why,
            r#"100069 (22P02): Error parsing JSON: duplicate object attribute "x""#
        );
    }
}
