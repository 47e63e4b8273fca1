//! The run without arguments: people in SQLite, copied into the raw and the gold table of an emulator, and compared.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use rusqlite::{Connection, params};
use snowpipe_connector_support::data_file::create_parent;
use snowpipe_connector_support::data_file::open_read_only;
use snowpipe_connector_support::keyset::{Keyset, Page, Pages};
use snowpipe_connector_support::people;
use snowpipe_streaming::ingest::{self, Finish};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::ddl::{self, TablePath};
use crate::people_pages::{GOLD, GoldPages};
use crate::quality::{self, Landing, Source, TableName, Tables};
use crate::schema::{Column, Table};
use crate::target::Target;
use crate::value::{Row, Value};

const DIRECTORY: &str = "mysql_data";
const RAW: &str = "SNOWPIPE_STREAMING.DEV.SF_CUSTOMER_RAW";
const CUSTOMERS: &str = "SNOWPIPE_STREAMING.DEV.SF_CUSTOMER_GOLD";
const PAGE_ROWS: usize = 5_000;
const COLUMNS: [(&str, &str); 9] = [
    ("ROW_INDEX", "int"),
    ("USER_ID", "varchar"),
    ("FIRST_NAME", "varchar"),
    ("LAST_NAME", "varchar"),
    ("SEX", "varchar"),
    ("EMAIL", "varchar"),
    ("PHONE", "varchar"),
    ("DATE_OF_BIRTH", "date"),
    ("JOB_TITLE", "varchar"),
];

/// Copies what is new, and compares. Returns whether no check failed.
///
/// # Errors
/// If a file cannot be used.
pub async fn run(stop: watch::Receiver<bool>) -> Result<bool> {
    let folder = Path::new(DIRECTORY);
    let (source, landing) = (folder.join("source.db"), folder.join("landing.db"));
    let new = people::generate(&source, None)?;
    println!("source: {}, {new} new people", source.display());
    let table = Arc::new(table());
    let path = |name: &str| name.parse::<TablePath>().map_err(anyhow::Error::msg);
    let (raw, gold) = (path(RAW)?, path(CUSTOMERS)?);
    let targets = [ddl::Target {
        source: &table,
        path: &raw,
    }];
    let script = ddl::script(&targets, &[(gold.clone(), GOLD)])?;
    let target = Target::emulator(&landing, script).await?;
    let client = target.client(raw.pipe()?).await?;
    let began = Instant::now();
    let pages = || SqlitePages::open(&source, &table);
    let rejects = folder.join("rejects.db");
    create_parent(&rejects)?;
    let mut rows = Keyset::new(pages()?, &rejects, format!("{RAW} in {}", target.name()))?;
    let customers = GoldPages(pages()?);
    let mut customers = Keyset::new(
        customers,
        &rejects,
        format!("{CUSTOMERS} in {}", target.name()),
    )?;
    let until = || {
        let mut stop = stop.clone();
        async move {
            // Without a sender nothing asks the program to end.
            if stop.wait_for(|stop| *stop).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let for_gold = client.for_pipe(gold.pipe()?);
    let (raw_report, gold_report) = tokio::try_join!(
        ingest::run(&client, "people:raw", &mut rows)
            .batch_rows(PAGE_ROWS)
            .until(until())
            .into_future(),
        ingest::run(&for_gold, "people:gold", &mut customers)
            .batch_rows(PAGE_ROWS)
            .until(until())
            .into_future(),
    )?;
    println!(
        "copied in {:.1} s: {} rows raw, {} rows gold",
        began.elapsed().as_secs_f64(),
        raw_report.rows_committed,
        gold_report.rows_committed
    );
    client.close().await?;
    target.close().await;
    if [raw_report.finish, gold_report.finish].contains(&Finish::Stopped) {
        println!("interrupted: run it again to continue");
        return Ok(false);
    }
    let html = folder.join("report.html");
    let tables = Tables {
        source: Source::Sqlite(source),
        people: TableName::people("PEOPLE_100K"),
        landing: Landing::File(landing),
        raw: TableName::people(RAW),
        gold: Some(TableName::customers(CUSTOMERS)),
    };
    let options = quality::Options {
        html: Some(html.clone()),
        ..quality::Options::default()
    };
    let report = quality::run(tables, &options).await?;
    println!("\n{report}\nthe same as a page: {}", html.display());
    Ok(report.is_clean())
}

/// The table as MariaDB describes it.
fn table() -> Table {
    let column = |(name, data_type): (&str, &str)| Column {
        name: name.to_owned(),
        data_type: data_type.to_owned(),
        column_type: data_type.to_owned(),
        character_set: (data_type == "varchar").then(|| "utf8mb4".to_owned()),
        is_nullable: true,
    };
    Table {
        database: "main".to_owned(),
        name: "PEOPLE_100K".to_owned(),
        columns: COLUMNS.map(column).to_vec(),
        key: vec![0],
    }
}

/// The table of people in SQLite.
struct SqlitePages {
    connection: Arc<Mutex<Connection>>,
    table: Arc<Table>,
}

impl SqlitePages {
    fn open(path: &Path, table: &Arc<Table>) -> Result<Self> {
        let connection = open_read_only(path)
            .with_context(|| format!("cannot open the source {}", path.display()))?;
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
            table: Arc::clone(table),
        })
    }
}

impl Pages for SqlitePages {
    type Offset = i64;
    type Row = Row;

    async fn page(&mut self, after: Option<&i64>, max: usize) -> Result<Page<i64, Row>> {
        let after = after.copied().unwrap_or(i64::MIN);
        let (connection, table) = (Arc::clone(&self.connection), Arc::clone(&self.table));
        let read = move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            read(&connection, &table, after, max)
        };
        let rows = spawn_blocking(read)
            .await?
            .context("cannot read the source")?;
        Ok(Page {
            is_end: rows.len() < max,
            rows,
        })
    }

    async fn check(&mut self, _: &str, _: &i64) -> Result<()> {
        Ok(())
    }

    fn is_temporary(&self, _: &anyhow::Error) -> bool {
        false
    }
}

fn read(
    connection: &Connection,
    table: &Arc<Table>,
    after: i64,
    max: usize,
) -> rusqlite::Result<Vec<(i64, Row)>> {
    let select = "SELECT * FROM PEOPLE_100K WHERE ROW_INDEX > ? ORDER BY ROW_INDEX LIMIT ?";
    let mut select = connection.prepare_cached(select)?;
    let rows = select.query_map(params![after, max], |row| {
        let number: i64 = row.get(0)?;
        let mut values = vec![Value::Int(number)];
        for at in 1..table.columns.len() {
            let text: Option<String> = row.get(at)?;
            values.push(text.map_or(Value::Null, Value::Text));
        }
        let row = Row {
            table: Arc::clone(table),
            values,
        };
        Ok((number, row))
    })?;
    rows.collect()
}
