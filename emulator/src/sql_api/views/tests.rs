//! Error tables, the channel history and the event table, over both storages.

use serde_json::{Value, json};

use crate::catalog::tables::Catalog;
use crate::rig::{Client, append_path, settings};
use crate::sql_api::statements_tests::sql;
use crate::storage::data_file::DataFile;
use crate::storage::sqlite_file::Ddl;

const DDL: &str = "CREATE TABLE DB.S.T (ID NUMBER NOT NULL) ERROR_LOGGING = TRUE;
CREATE TABLE DB.S.QUIET (ID NUMBER);";

/// A client that has sent a good row and bad ones of three kinds, over each storage.
fn clients() -> Vec<(Client, Option<tempfile::TempDir>)> {
    let dir = tempfile::TempDir::new().unwrap();
    let ddl = Ddl::Bootstrap(DDL.to_owned());
    let storage = DataFile::open(&dir.path().join("e.db"), &ddl).unwrap();
    let in_file = settings()
        .catalog(storage.catalog().clone())
        .storage(storage);
    let in_memory = settings().catalog(Catalog::from_ddl(DDL).unwrap());
    let settings = [(in_memory, None), (in_file, Some(dir))];
    let clients = settings.into_iter().map(|(settings, dir)| {
        let client = Client::of(settings);
        let token = client.open("it's");
        let body = [
            &b"{\"ID\":1}\n{\"ID\":\"x\"}\n{\"ID\":null}\n{\"ID\":\n"[..],
            b"\"\xff\"\n",
        ];
        let (status, answer) =
            client.call("POST", &append_path("it's", &token, "1"), body.concat());
        assert_eq!(status, 200, "{answer}");
        client.emulator.commit_now();
        (client, dir)
    });
    clients.collect()
}

fn rows(client: &Client, query: &str) -> Value {
    let (status, answer) = sql(client, query);
    assert_eq!(status, 200, "{query}: {answer}");
    answer["data"].clone()
}

#[test]
fn an_error_table_has_the_rejected_rows_in_the_documented_columns() {
    for (client, _dir) in clients() {
        let found = rows(
            &client,
            "SELECT error_code, error_metadata:sql_state, error_metadata:error_source::VARCHAR,
                error_metadata:details:offset_token_upper_bound::VARCHAR, error_metadata:details:error_data_content_type::VARCHAR,
                error_data:\"$1\"::VARCHAR
             FROM ERROR_TABLE(DB.S.T) ORDER BY error_code, 6",
        );
        assert_eq!(
            found,
            json!([
                ["100038", "\"22018\"", "ID", "1", "json", "{\"ID\":\"x\"}"],
                ["100069", "\"22P02\"", null, "1", "binary-base64", "Iv8i"],
                ["100069", "\"22P02\"", null, "1", "json-invalid", "{\"ID\":"],
                ["100072", "\"22000\"", "ID", "1", "json", "{\"ID\":null}"],
            ])
        );
    }
}

#[test]
fn the_query_of_a_channel_finds_its_rejected_rows() {
    for (client, _dir) in clients() {
        // As `Channel::error_table_sql` writes it.
        let query = |channel: &str| {
            format!(
                "SELECT timestamp, error_code, error_metadata, error_data FROM ERROR_TABLE(DB.S.\"T\") WHERE error_metadata:service = 'snowpipe_streaming' AND error_metadata:details:channel_name = '{channel}' ORDER BY timestamp"
            )
        };
        assert_eq!(rows(&client, &query("it''s")).as_array().unwrap().len(), 4);
        assert_eq!(rows(&client, &query("other")), json!([]));
        let joined =
            "SELECT COUNT(*) FROM DB.S.T AS t JOIN ERROR_TABLE(DB.S.T) AS e ON e.error_code > t.id";
        assert_eq!(rows(&client, joined), json!([["4"]]));
    }
}

#[test]
fn an_error_table_is_there_while_logging_is_on() {
    for (client, _dir) in clients() {
        let count = "SELECT COUNT(*) FROM ERROR_TABLE(DB.S.T)";
        let refused = |query: &str| assert_eq!(sql(&client, query).0, 422, "{query}");
        let apply = |script: &str| client.emulator.apply_ddl(script).unwrap();
        assert_eq!(rows(&client, count), json!([["4"]]));
        refused("SELECT * FROM ERROR_TABLE(DB.S.QUIET)");
        refused("SELECT * FROM ERROR_TABLE(DB.S.NONE)");
        refused("SELECT * FROM ERROR_TABLE('DB.S.T')");
        refused("SELECT * FROM ERROR_TABLE(DB.S.T, 1)");
        apply("TRUNCATE TABLE DB.S.T");
        assert_eq!(rows(&client, count), json!([["4"]]));
        apply("TRUNCATE ERROR_TABLE(DB.S.T)");
        assert_eq!(rows(&client, count), json!([["0"]]));
        assert!(
            client
                .emulator
                .apply_ddl("TRUNCATE ERROR_TABLE(DB.S.QUIET)")
                .is_err()
        );
        apply("TRUNCATE TABLE IF EXISTS ERROR_TABLE(DB.S.QUIET)");
        apply("ALTER TABLE DB.S.T SET ERROR_LOGGING = FALSE");
        refused(count);
        apply(
            "ALTER TABLE IF EXISTS DB.S.T SET ERROR_LOGGING = TRUE, ENABLE_SCHEMA_EVOLUTION = TRUE",
        );
        assert_eq!(rows(&client, count), json!([["0"]]));
        apply("ALTER TABLE DB.S.T UNSET ERROR_LOGGING");
        refused(count);
    }
}

#[test]
fn a_table_that_begins_to_evolve_takes_rows_without_a_value() {
    for (client, _dir) in clients() {
        let script = "ALTER TABLE DB.S.T SET ENABLE_SCHEMA_EVOLUTION = TRUE";
        client.emulator.apply_ddl(script).unwrap();
        let token = client.open("it's");
        client.append("it's", &token, "2", r#"{"N":"new"}"#);
        client.emulator.commit_now();
        let found = rows(&client, "SELECT ID, N FROM DB.S.T ORDER BY ID");
        assert_eq!(found, json!([["1", null], [null, "new"]]));
    }
}

#[test]
fn the_channel_history_has_a_row_for_each_commit() {
    for (client, _dir) in clients() {
        let found = rows(
            &client,
            "SELECT CHANNEL_NAME, PIPE_NAME, TABLE_NAME, TABLE_SCHEMA_NAME, TABLE_DATABASE_NAME, END_OFFSET, ROWS_PARSED, ROWS_INSERTED,
                ROW_ERROR_COUNT, LAST_ERROR_OFFSET_UPPER_BOUND
             FROM SNOWFLAKE.ACCOUNT_USAGE.SNOWPIPE_STREAMING_CHANNEL_HISTORY",
        );
        let row = json!([
            "it's",
            "T-STREAMING",
            "T",
            "S",
            "DB",
            "1",
            "5",
            "1",
            "4",
            "1"
        ]);
        assert_eq!(found, json!([row]));
    }
}

#[test]
fn the_event_table_has_openings_commits_and_the_last_row_error() {
    for (client, _dir) in clients() {
        let (status, _) = client.call("DELETE", &path("it's"), "");
        assert_eq!(status, 200);
        let found = rows(
            &client,
            "SELECT RECORD:name::VARCHAR, RECORD:severity_text::VARCHAR, VALUE:channel_name::VARCHAR,
                COALESCE(VALUE:event_type::VARCHAR, VALUE:error_offset::VARCHAR, VALUE:row_count::VARCHAR)
             FROM SNOWFLAKE.TELEMETRY.EVENTS_VIEW
             WHERE SCOPE:\"name\" = 'snow.snowpipe.streaming' AND RECORD_TYPE = 'EVENT'
                AND RESOURCE_ATTRIBUTES:\"snow.table.name\" = 'T'",
        );
        assert_eq!(
            found,
            json!([
                ["channel_lifecycle", "INFO", "it's", "OPEN"],
                ["commit", "INFO", "it's", "1"],
                ["latency", "INFO", "it's", null],
                ["row_error", "ERROR", "it's", "1"],
                ["channel_lifecycle", "INFO", "it's", "DROP"],
            ])
        );
    }
}

fn path(channel: &str) -> String {
    format!("/v2/streaming/databases/DB/schemas/S/pipes/T-STREAMING/channels/{channel}")
}
