//! BINARY: pipe-info names the format in which a pipe reads it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::stage_tests::Info;
use crate::catalog::binary::{BinaryFormat, hex};
use crate::catalog::tables::Catalog;
use crate::rig::{Client, DATA, PIPES, settings};

const DDL: &str = "
CREATE TABLE DB.S.T (B BINARY);
CREATE PIPE DB.S.P AS COPY INTO DB.S.T;
CREATE PIPE DB.S.PICKED AS COPY INTO DB.S.T FROM (SELECT $1:B::BINARY FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')));";

/// The bytes as the client of a pipe sends them.
fn encoded(format: &str, bytes: &[u8]) -> String {
    match format {
        "BASE64" => STANDARD.encode(bytes),
        "HEX" => hex(bytes, bytes.len()),
        "UTF-8" => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("no format {other:?}"),
    }
}

/// Sends bytes through a pipe in the format that pipe-info names; the format.
fn round_trip(client: &Client, pipe: &str) -> String {
    let info = Info::of(client, pipe).whole;
    let format = info["binary_input_format"].as_str().unwrap().to_owned();
    let overrides = &info["parameter_overrides"];
    assert_eq!(overrides["binary_input_format"], format, "{pipe}");
    let bytes = b"\0\0\0snow";
    let row = json!({ "B": encoded(&format, bytes) }).to_string();
    let path = format!("{PIPES}/{pipe}/channels/c");
    let (status, opened) = client.call("PUT", &path, "{}");
    assert_eq!(status, 200, "{opened}");
    let token = opened["next_continuation_token"].as_str().unwrap();
    let path = format!("{DATA}/{pipe}/channels/c/rows?continuationToken={token}&endOffsetToken=1");
    let before = client.emulator.rows("DB.S.T").unwrap().len();
    let (status, answer) = client.call("POST", &path, row);
    assert_eq!(status, 200, "{answer}");
    client.emulator.commit_now();
    let landed = client.emulator.rows("DB.S.T").unwrap();
    assert_eq!(landed.len(), before + 1, "{pipe} {format}");
    assert_eq!(
        landed[before]["B"],
        STANDARD.encode(bytes),
        "{pipe} {format}"
    );
    format
}

#[test]
fn a_pipe_reads_binary_in_the_format_that_pipe_info_names() {
    let client = Client::of(settings().catalog(Catalog::from_ddl(DDL).unwrap()));
    assert_eq!(round_trip(&client, "T-STREAMING"), "BASE64");
    assert_eq!(round_trip(&client, "P"), "HEX");
    assert_eq!(round_trip(&client, "PICKED"), "HEX");
}

#[test]
fn the_accounts_format_is_that_of_the_pipes_of_create_pipe() {
    for format in [BinaryFormat::Hex, BinaryFormat::Base64, BinaryFormat::Utf8] {
        let catalog = Catalog::from_ddl(DDL).unwrap();
        let client = Client::of(settings().catalog(catalog.with_binary_input_format(format)));
        assert_eq!(round_trip(&client, "T-STREAMING"), "BASE64");
        assert_eq!(round_trip(&client, "P"), format.to_string());
        assert_eq!(round_trip(&client, "PICKED"), format.to_string());
        let more = "CREATE PIPE DB.S.LATER AS COPY INTO DB.S.T;";
        client.emulator.apply_ddl(more).unwrap();
        assert_eq!(round_trip(&client, "LATER"), format.to_string());
    }
}

#[test]
fn formats_are_read_as_snowflake_spells_them() {
    for format in [BinaryFormat::Hex, BinaryFormat::Base64, BinaryFormat::Utf8] {
        assert_eq!(format.to_string().to_lowercase().parse(), Ok(format));
    }
    assert_eq!("UTF8".parse(), Ok(BinaryFormat::Utf8));
    assert!("octal".parse::<BinaryFormat>().is_err());
}
