//! A table of a private server that is read by page and followed in the log, inside of the test.

use std::sync::Arc;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, Row as SqlRow};
use serde_json::Value as Json;
use snowpipe_streaming::ingest::{self, Report, Source};
use snowpipe_streaming::{PipePath, StreamingIngestClient};
use snowpipe_streaming_emulator::Emulator;

use crate::server::MariaDb;
use snowpipe_mysql::changes::{
    Change, Changes, ChangesError, Offset, Start, end_of_log, preflight,
};
use snowpipe_mysql::schema::{Column, Table};
use snowpipe_mysql::types::{from_page, snowflake_type};
use snowpipe_mysql::value::Row;

pub(crate) const DATABASE: &str = "shop";

/// A connection with a time zone, as the program has, to a new database.
pub(crate) async fn shop(server: &MariaDb) -> Conn {
    let mut conn = connect(server).await;
    conn.query_drop(format!("CREATE DATABASE {DATABASE}"))
        .await
        .unwrap();
    conn.query_drop(format!("USE {DATABASE}")).await.unwrap();
    conn
}

pub(crate) async fn connect(server: &MariaDb) -> Conn {
    let mut conn = server.connect().await;
    conn.query_drop("SET time_zone = '+00:00'").await.unwrap();
    conn
}

pub(crate) fn opts(server: &MariaDb) -> Opts {
    Opts::from_url(&server.url("root", "", DATABASE)).unwrap()
}

/// The table as `information_schema` describes it.
pub(crate) async fn describe(conn: &mut Conn, name: &str) -> Arc<Table> {
    let json = "SELECT CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS
        WHERE CONSTRAINT_SCHEMA = ? AND TABLE_NAME = ?";
    let json: Vec<String> = conn.exec(json, (DATABASE, name)).await.unwrap();
    let columns = "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, IS_NULLABLE = 'YES', COLUMN_KEY = 'PRI'
        FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION";
    let mut found: Vec<(String, String, String, Option<String>, bool, bool)> =
        conn.exec(columns, (DATABASE, name)).await.unwrap();
    for (name, data_type, ..) in &mut found {
        if json.contains(&format!("json_valid(`{name}`)")) {
            *data_type = "json".to_owned();
        }
    }
    let key = found.iter().enumerate().filter(|(_, column)| column.5);
    Arc::new(Table {
        database: DATABASE.to_owned(),
        name: name.to_owned(),
        key: key.map(|(index, _)| index).collect(),
        columns: found
            .into_iter()
            .map(
                |(name, data_type, column_type, character_set, is_nullable, _)| Column {
                    name,
                    data_type,
                    column_type,
                    character_set,
                    is_nullable,
                },
            )
            .collect(),
    })
}

/// All rows of the table in the order of its first column, as pages show them.
pub(crate) async fn page(conn: &mut Conn, table: &Arc<Table>) -> Vec<Row> {
    let names: Vec<_> = table
        .columns
        .iter()
        .map(|column| format!("`{}`", column.name))
        .collect();
    let query = format!("SELECT {} FROM {} ORDER BY 1", names.join(", "), table.name);
    let rows: Vec<SqlRow> = conn.exec(query, ()).await.unwrap();
    let row = |row: SqlRow| {
        let values = table.columns.iter().zip(row.unwrap());
        Row {
            table: Arc::clone(table),
            values: values
                .map(|(column, value)| from_page(column, value).unwrap())
                .collect(),
        }
    };
    rows.into_iter().map(row).collect()
}

/// The changes of a table that begin now.
pub(crate) async fn follow(conn: &mut Conn, server: &MariaDb, table: &Arc<Table>) -> Changes {
    let start = preflight(conn, &[Arc::clone(table)]).await.unwrap();
    changes(server, table, start)
}

pub(crate) fn changes(server: &MariaDb, table: &Arc<Table>, start: Start) -> Changes {
    Changes::new(opts(server), "test", vec![Arc::clone(table)], start)
}

/// Everything up to the end of the log, or the error.
pub(crate) async fn until_now(
    conn: &mut Conn,
    changes: Changes,
) -> Result<Vec<Change>, ChangesError> {
    let mut changes = changes.until(end_of_log(conn).await?);
    rest(&mut changes, None).await
}

/// Everything after an offset until the source ends.
pub(crate) async fn rest(
    changes: &mut Changes,
    after: Option<Offset>,
) -> Result<Vec<Change>, ChangesError> {
    let (mut last, mut all) = (after, Vec::new());
    loop {
        let batch = changes.read_after(last.as_ref(), 1_000).await?;
        last = batch.through.or(last);
        if let Some(last) = &last {
            changes.release_through(last).await?;
        }
        let is_idle = batch.rows.is_empty();
        all.extend(batch.rows.into_iter().map(|(_, change)| change));
        if batch.is_end {
            return Ok(all);
        }
        if is_idle {
            changes.ready().await?;
        }
    }
}

/// The error with which the source stops.
pub(crate) async fn stopped(conn: &mut Conn, changes: Changes) -> String {
    let error = until_now(conn, changes).await.expect_err("an error");
    assert!(error.is_fatal(), "{error}");
    error.to_string()
}

/// The operation and the first column of each change.
pub(crate) fn summary(changes: &[Change]) -> Vec<String> {
    let one = |change: &Change| {
        let json = serde_json::to_value(change).unwrap();
        format!(
            "{}{}",
            json["CDC_OP"].as_str().unwrap(),
            json[&change.row.table.columns[0].name]
        )
    };
    changes.iter().map(one).collect()
}

/// A table in the emulator with the columns of a table and further ones.
pub(crate) struct Target {
    pub(crate) emulator: Emulator,
}

impl Target {
    pub(crate) fn new(table: &Table, more: &[(&str, &str)]) -> Self {
        let columns = table
            .columns
            .iter()
            .map(|column| (column.name.clone(), snowflake_type(column).unwrap()));
        let more = more
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned()));
        let columns: Vec<_> = columns
            .chain(more)
            .map(|(name, kind)| format!("{name} {kind}"))
            .collect();
        let emulator = Emulator::builder().build().unwrap();
        let ddl = format!("CREATE TABLE DB.PUBLIC.TARGET ({})", columns.join(", "));
        emulator.apply_ddl(&ddl).unwrap();
        Self { emulator }
    }

    /// A new client, as a new program has.
    pub(crate) async fn client(&self) -> StreamingIngestClient {
        let path = PipePath::for_table("DB", "PUBLIC", "TARGET").unwrap();
        StreamingIngestClient::builder(self.emulator.profile().unwrap(), path)
            .transport(self.emulator.transport())
            .build()
            .await
            .unwrap()
    }

    /// Streams the source to its end.
    pub(crate) async fn stream(
        client: &StreamingIngestClient,
        source: &mut Changes,
    ) -> snowpipe_streaming::Result<Report<Offset>> {
        ingest::run(client, "changes", source).await
    }

    pub(crate) fn rows(&self) -> Vec<Json> {
        self.emulator.rows("DB.PUBLIC.TARGET").unwrap()
    }
}
