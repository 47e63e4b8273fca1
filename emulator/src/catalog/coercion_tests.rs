//! Each type against what it takes and what it refuses.
#![expect(
    clippy::unnecessary_wraps,
    reason = "expectations stand beside results"
)]

use super::*;
use crate::catalog::binary::BinaryFormat;

fn default_pipe() -> Rules {
    Rules {
        binary: BinaryFormat::Base64,
        ..Rules::default()
    }
}

fn select_pipe() -> Rules {
    Rules {
        is_cast: true,
        ..Rules::default()
    }
}

fn land(of: &str, json: &str) -> Result<Cell, String> {
    land_with(of, json, default_pipe())
}

fn land_with(of: &str, json: &str, rules: Rules) -> Result<Cell, String> {
    let raw: &RawValue = serde_json::from_str(json).expect("the test writes JSON");
    let of: DataType = of.parse().expect("the test writes a type");
    let landed = Input::from_json(raw).and_then(|input| of.land(&input, rules));
    landed.map_err(|why| why.to_string())
}

fn text(value: &str) -> Result<Cell, String> {
    Ok(Cell::Text(value.to_owned()))
}

fn json(value: &str) -> Result<Cell, String> {
    Ok(Cell::Json(value.to_owned()))
}

#[test]
fn varchar_takes_strings_numbers_and_booleans_of_a_fitting_length() {
    assert_eq!(land("varchar(255)", r#""Vail""#), text("Vail"));
    assert_eq!(land("varchar(255)", r#""a\u00e9\n""#), text("aé\n"));
    assert_eq!(land("STRING", "12.50"), text("12.50"));
    assert_eq!(land("text", "true"), text("true"));
    assert_eq!(land("varchar(3)", r#""äöü""#), text("äöü"));
    assert_eq!(
        land("varchar(3)", r#""abcd""#),
        Err("100078 (22000): String 'abcd' is too long and would be truncated".to_owned())
    );
    assert_eq!(
        land("char", r#""ab""#),
        Err("100078 (22000): String 'ab' is too long and would be truncated".to_owned())
    );
    assert_eq!(
        land("varchar", r#"{ "a b" : [ 1.10, "\" }" ] }"#),
        text(r#"{"a b":[1.10,"\" }"]}"#)
    );
    assert_eq!(land("varchar", "null"), Ok(Cell::Null));
}

#[test]
fn numbers_are_exact() {
    assert_eq!(land("DECIMAL(7,2)", "129"), text("129.00"));
    assert_eq!(land("DECIMAL(7,2)", "1.005"), text("1.01"));
    assert_eq!(land("DECIMAL(7,2)", r#""1478.5""#), text("1478.50"));
    assert_eq!(
        land("NUMBER(38,2)", "123456789012345678901234.56"),
        text("123456789012345678901234.56")
    );
    assert_eq!(land("integer", "3"), Ok(Cell::Integer(3)));
    assert_eq!(
        land("number", "-9223372036854775808"),
        Ok(Cell::Integer(i64::MIN))
    );
    assert_eq!(
        land("bigint", "18446744073709551616"),
        text("18446744073709551616")
    );
    assert_eq!(
        land("DECIMAL(7,2)", r#""abc""#),
        Err("100038 (22018): Numeric value 'abc' is not recognized".to_owned())
    );
    assert_eq!(
        land("DECIMAL(7,2)", "123456"),
        Err("100071 (22000): Failed to cast variant value 123456 to FIXED".to_owned())
    );
    assert!(land("number", "true").is_err());
    assert!(land("number", "[1]").is_err());
}

#[test]
fn floats_are_numbers_or_the_words_for_none() {
    assert_eq!(land("FLOAT", "1.5"), Ok(Cell::Float(1.5)));
    assert_eq!(
        land("double precision", r#""-2e3""#),
        Ok(Cell::Float(-2000.0))
    );
    assert_eq!(land("float", "5e-324"), Ok(Cell::Float(5e-324)));
    for infinite in [r#""inf""#, r#""Infinity""#] {
        assert_eq!(land("float", infinite), Ok(Cell::Float(f64::INFINITY)));
    }
    for infinite in [r#""-inf""#, r#""-Infinity""#] {
        assert_eq!(land("float", infinite), Ok(Cell::Float(f64::NEG_INFINITY)));
    }
    let nan = land("float", r#""NaN""#);
    assert!(matches!(nan, Ok(Cell::Float(number)) if number.is_nan()));
    for bad in ["1e400", r#""1e400""#, "true", r#""x""#, r#""""#, "[1]"] {
        assert!(land("float", bad).is_err(), "{bad}");
    }
}

#[test]
fn booleans_are_words_and_in_a_select_numbers_too() {
    for yes in ["true", r#""T""#, r#""Yes""#, r#""on""#, r#""1""#] {
        assert_eq!(land("boolean", yes), Ok(Cell::Boolean(true)), "{yes}");
    }
    for no in ["false", r#""f""#, r#""NO""#, r#""off""#, r#""0""#] {
        assert_eq!(land("boolean", no), Ok(Cell::Boolean(false)), "{no}");
    }
    for bad in [r#""maybe""#, r#""""#, "[]", "1", "0", "-0.5"] {
        assert!(land("boolean", bad).is_err(), "{bad}");
    }
    for (number, truth) in [("1", true), ("-0.5", true), ("0", false), ("0.0", false)] {
        let landed = land_with("boolean", number, select_pipe());
        assert_eq!(landed, Ok(Cell::Boolean(truth)), "{number}");
    }
}

#[test]
fn strings_become_objects_if_they_hold_one_and_arrays_of_one_string() {
    assert_eq!(land("object", r#"" {\"a\": 1}""#), json(r#"{"a": 1}"#));
    for bad in [r#""[1]""#, r#""text""#, r#""{\"a\"""#, "1", "true", "[1]"] {
        assert!(land("object", bad).is_err(), "{bad}");
    }
    assert!(land_with("object", r#""{}""#, select_pipe()).is_err());
    assert_eq!(land("array", r#""[1,2]""#), json(r#"["[1,2]"]"#));
    assert_eq!(land("array", r#""a\"b""#), json(r#"["a\"b"]"#));
    for bad in ["1", "true", r#"{"a":1}"#] {
        assert!(land("array", bad).is_err(), "{bad}");
        let landed = land_with("array", bad, select_pipe());
        assert_eq!(landed, json(&format!("[{bad}]")));
    }
}

#[test]
fn a_time_has_no_offset_except_in_a_select() {
    for bad in [r#""20:57:01+07:00""#, r#""20:57:01Z""#] {
        assert!(land("time", bad).is_err(), "{bad}");
        assert_eq!(land_with("time(0)", bad, select_pipe()), text("20:57:01"));
    }
}

#[test]
fn binary_follows_the_pipe() {
    let custom = Rules {
        binary: BinaryFormat::Hex,
        ..default_pipe()
    };
    assert_eq!(land("binary", r#""AP8=""#), Ok(Cell::Binary(vec![0, 255])));
    assert_eq!(
        land_with("binary", r#""00fF""#, custom),
        Ok(Cell::Binary(vec![0, 255]))
    );
    assert_eq!(
        land("binary", r#""00zz!""#),
        Err("100115 (22000): The following string is not a legal BASE64 value: '00zz!'".to_owned())
    );
    assert_eq!(
        land_with("binary", r#""0""#, custom),
        Err("100115 (22000): The following string is not a legal HEX value: '0'".to_owned())
    );
    assert_eq!(
        land("binary(1)", r#""AP8=""#),
        Err("100078 (22000): 2 bytes are too long for BINARY(1) and would be truncated".to_owned())
    );
    assert!(land("binary", "1").is_err());
}

#[test]
fn moments_are_sortable_text() {
    assert_eq!(
        land("datetime", r#""2026-01-17T14:00:00+00:00""#),
        text("2026-01-17 14:00:00.000000000")
    );
    assert_eq!(
        land("date", r#""2026-01-19T15:00:19.794240+00:00""#),
        text("2026-01-19")
    );
    assert_eq!(
        land("timestamp_ltz(3)", r#""2026-01-17T14:00:00-07:00""#),
        text("2026-01-17 21:00:00.000Z")
    );
    assert_eq!(
        land("timestamp_tz(0)", r#""2026-01-17T14:00:00-07:00""#),
        text("2026-01-17 14:00:00 -07:00")
    );
    assert_eq!(land("time(0)", r#""08:30""#), text("08:30:00"));
    assert_eq!(land("date", "86400"), text("1970-01-02"));
    assert_eq!(
        land("date", r#""tomorrow""#),
        Err("100040 (22007): Date 'tomorrow' is not recognized".to_owned())
    );
    assert!(land("datetime", "true").is_err());
    assert!(land("datetime", "1.5").is_err());
}

#[test]
fn variant_keeps_json_as_it_came() {
    assert_eq!(
        land("variant", r#"{"CITY":"Avon","n":1.10}"#),
        json(r#"{"CITY":"Avon","n":1.10}"#)
    );
    assert_eq!(land("variant", r#""{\"a\":1}""#), json(r#""{\"a\":1}""#));
    assert_eq!(land("variant", "12"), json("12"));
    assert_eq!(land("variant", "null"), json("null"));
    let sql_null = Rules {
        sql_null: true,
        ..default_pipe()
    };
    assert_eq!(land_with("variant", "null", sql_null), Ok(Cell::Null));
    assert_eq!(land("object", r#"{"a":1}"#), json(r#"{"a":1}"#));
    assert_eq!(land("array", "[1]"), json("[1]"));
    assert_eq!(land("object", "null"), Ok(Cell::Null));
}

#[test]
fn types_are_read_as_snowflake_spells_them() {
    for (spelled, shown) in [
        ("varchar", "VARCHAR(16777216)"),
        ("Character  Varying (20)", "VARCHAR(20)"),
        ("number", "NUMBER(38,0)"),
        ("NUMERIC(10)", "NUMBER(10,0)"),
        ("DECIMAL( 7 , 2 )", "NUMBER(7,2)"),
        ("int", "NUMBER(38,0)"),
        ("TIMESTAMP", "TIMESTAMP_NTZ(9)"),
        ("timestamp_ltz(6)", "TIMESTAMP_LTZ(6)"),
        ("varbinary", "BINARY(8388608)"),
    ] {
        let parsed = spelled.parse::<DataType>().map(|t| t.to_string());
        assert_eq!(parsed.as_deref(), Ok(shown));
    }
    for bad in [
        "number(39)",
        "number(5,6)",
        "varchar(0)",
        "time(10)",
        "varchar(x)",
        "GEOGRAPHY",
        "",
    ] {
        assert!(bad.parse::<DataType>().is_err(), "{bad}");
    }
}

#[test]
fn a_cast_cell_keeps_its_type() {
    let number: DataType = "number(5,2)".parse().expect("a type");
    let cell = Cell::Text("1.50".to_owned());
    assert_eq!(
        Input::from_cell(&cell, number),
        Ok(Input::Number("1.50".into()))
    );
    let bytes = Cell::Binary(vec![0, 171]);
    assert_eq!(
        Input::from_cell(&bytes, DataType::Binary(2)),
        Ok(Input::Text("00AB".into()))
    );
    let nested = Cell::Json("[1]".to_owned());
    assert_eq!(
        Input::from_cell(&nested, DataType::Variant),
        Ok(Input::Nested("[1]".into()))
    );
}

#[test]
fn each_refusal_has_a_code_and_names_the_value() {
    for (of, json, why) in [
        (
            "NUMBER(4,0)",
            r#""12345""#,
            "100071 (22000): Failed to cast variant value 12345 to FIXED",
        ),
        (
            "NUMBER",
            r#""NaN""#,
            "100038 (22018): Numeric value 'NaN' is not recognized",
        ),
        (
            "NUMBER",
            "[1]",
            "100071 (22000): Failed to cast variant value [1] to FIXED",
        ),
        (
            "FLOAT",
            r#""x""#,
            "100038 (22018): Numeric value 'x' is not recognized",
        ),
        (
            "BOOLEAN",
            r#""maybe""#,
            "100037 (22018): Boolean value 'maybe' is not recognized",
        ),
        (
            "BOOLEAN",
            "1",
            "100071 (22000): Failed to cast variant value 1 to BOOLEAN",
        ),
        (
            "TIME",
            r#""soon""#,
            "100108 (22007): Time 'soon' is not recognized",
        ),
        (
            "TIMESTAMP_NTZ",
            r#""soon""#,
            "100035 (22007): Timestamp 'soon' is not recognized",
        ),
        (
            "OBJECT",
            r#""[1]""#,
            "100071 (22000): Failed to cast variant value \"[1]\" to OBJECT",
        ),
        (
            "ARRAY",
            "1",
            "100071 (22000): Failed to cast variant value 1 to ARRAY",
        ),
    ] {
        assert_eq!(land(of, json), Err(why.to_owned()), "{of} {json}");
    }
    let long = format!("\"{}\"", "x".repeat(1000));
    let why = land("DATE", &long).expect_err("no date");
    assert!(why.len() < 200, "{why}");
}
