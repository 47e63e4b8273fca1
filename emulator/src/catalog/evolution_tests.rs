//! What rows need of a table.

use super::*;
use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::Catalog;

fn table() -> (Table, Pipe) {
    let name = ObjectName {
        database: "D".to_owned(),
        schema: "S".to_owned(),
        name: "T".to_owned(),
    };
    let integer = "NUMBER".parse().expect("a type");
    let columns = [
        Column::new("ID", integer).not_null(),
        Column::new("city", DataType::Variant),
    ];
    let table = Table::new(name.clone(), columns).evolving();
    let mut catalog = Catalog::default();
    catalog.add_table(table.clone());
    let pipe = ObjectName {
        name: "T-STREAMING".to_owned(),
        ..name
    };
    let pipe = catalog.pipe(&pipe).expect("the default pipe");
    (table, pipe)
}

fn of(rows: &str) -> Result<Option<Evolution>, String> {
    let (table, pipe) = table();
    let answers = answers::Evolution::default();
    Evolution::of(&table, &pipe, answers, rows.lines().map(str::as_bytes))
}

fn ddl(rows: &str) -> String {
    let (table, _) = table();
    let evolution = of(rows).expect("the rows can be taken");
    evolution.map_or_else(String::new, |evolution| evolution.to_ddl(&table))
}

#[test]
fn the_first_value_gives_the_type() {
    for (value, data_type) in [
        ("42", "NUMBER(38,0)"),
        ("-1", "NUMBER(38,0)"),
        ("0.99", "FLOAT"),
        ("1e-10", "FLOAT"),
        ("true", "BOOLEAN"),
        (r#""text""#, "VARCHAR(16777216)"),
        (r#""NaN""#, "VARCHAR(16777216)"),
        (r#""12:34:56""#, "TIME(9)"),
        (r#""12""#, "VARCHAR(16777216)"),
        (r#""2026-01-02T03:04:05""#, "VARCHAR(16777216)"),
        ("null", "VARCHAR(16777216)"),
        (r#"{"a":1}"#, "VARIANT"),
        ("[1]", "ARRAY"),
    ] {
        let row = format!(r#"{{"ID":1,"new":{value}}}"#);
        let expected = format!("ALTER TABLE \"D\".\"S\".\"T\" ADD COLUMN \"NEW\" {data_type};\n");
        assert_eq!(ddl(&row), expected, "{value}");
    }
}

#[test]
fn a_null_leaves_the_type_to_a_later_row() {
    let rows = "{\"ID\":1,\"a\":null}\n{\"ID\":2,\"A\":true}\n{\"ID\":3,\"a\":7}";
    assert_eq!(
        ddl(rows),
        "ALTER TABLE \"D\".\"S\".\"T\" ADD COLUMN \"A\" BOOLEAN;\n"
    );
}

#[test]
fn keys_that_differ_in_case_alone_add_nothing() {
    assert_eq!(of(r#"{"id":1,"CITY":2,"City":3}"#), Ok(None));
}

#[test]
fn columns_that_a_row_leaves_out_lose_not_null() {
    let script = "ALTER TABLE \"D\".\"S\".\"T\" ALTER COLUMN \"ID\" DROP NOT NULL;\n";
    assert_eq!(ddl("{\"city\":1}\n{}\nnonsense\n[1]"), script);
    assert_eq!(of(r#"{"id":null}"#), Ok(None));
    let (mut table, _) = table();
    let evolution = of(r#"{"new":1}"#).expect("taken").expect("needed");
    evolution.apply(&mut table);
    assert!(table.columns[0].nullable);
    assert_eq!(table.columns[2].name, "NEW");
}

#[test]
fn too_many_columns_and_impossible_names_are_refused() {
    let row = |keys: usize| {
        let keys: Vec<String> = (0..keys).map(|n| format!("\"k{n}\":1")).collect();
        format!("{{\"ID\":1,{}}}", keys.join(","))
    };
    assert!(of(&row(100)).is_ok());
    let why = of(&row(101)).expect_err("too many");
    assert!(why.contains("more than 100 new keys"), "{why}");
    for key in [String::new(), "x".repeat(256)] {
        let why = of(&format!("{{\"ID\":1,\"{key}\":1}}")).expect_err("no name");
        assert!(why.contains("is no name of a column"), "{why}");
    }
}
