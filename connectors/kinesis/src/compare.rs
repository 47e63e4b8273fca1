//! Compares the tables of both paths: how many rows, and whether they are the same.

use anyhow::{Context as _, Result};
use rusqlite::{Connection, OpenFlags};
use snowpipe_streaming::PipePath;
use snowpipe_streaming::sql::{SqlClient, Statement, TableName};
use tokio::task::spawn_blocking;

use crate::cli::CompareArgs;
use crate::say::say;
use crate::streaming;

/// What the tables have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Comparison {
    pub(crate) streaming: u64,
    pub(crate) microbatch: u64,
    /// How many different rows one table has more often than the other.
    pub(crate) different: u64,
}

impl Comparison {
    /// Whether both tables have the same rows, each as often.
    pub(crate) fn is_equal(&self) -> bool {
        self.streaming == self.microbatch && self.different == 0
    }
}

/// Prints the comparison. Returns whether the tables are equal.
///
/// # Errors
/// If the tables cannot be read.
pub(crate) async fn run(args: CompareArgs) -> Result<bool> {
    let comparison = if let Some(landing) = args.landing {
        let compare = move || {
            let connection =
                Connection::open_with_flags(&landing, OpenFlags::SQLITE_OPEN_READ_ONLY)
                    .with_context(|| format!("cannot open {}", landing.display()))?;
            let streaming = kept_as(&connection, &args.streaming)?;
            let microbatch = kept_as(&connection, &args.microbatch)?;
            in_file(&connection, &streaming, &microbatch)
        };
        spawn_blocking(compare).await??
    } else {
        let client = SqlClient::builder(streaming::profile(&args.target)?).build()?;
        in_account(&client, &name(&args.streaming)?, &name(&args.microbatch)?).await?
    };
    print(&comparison);
    Ok(comparison.is_equal())
}

pub(crate) fn print(comparison: &Comparison) {
    say(format_args!(
        "streaming mode    {:>12} rows",
        comparison.streaming
    ));
    say(format_args!(
        "micro-batch mode  {:>12} rows",
        comparison.microbatch
    ));
    if comparison.is_equal() {
        say("both tables have the same rows");
    } else {
        say(format_args!(
            "{} different rows are not as often in one table as in the other",
            comparison.different
        ));
    }
}

/// The statements that count the rows of both tables and the differences.
fn statements(streaming: &str, microbatch: &str) -> [String; 3] {
    let columns = "SENSORID, CURRENTTEMPERATURE, STATUS";
    [
        format!("SELECT COUNT(*) FROM {streaming}"),
        format!("SELECT COUNT(*) FROM {microbatch}"),
        format!(
            "SELECT COUNT(*) FROM (
                SELECT {columns} FROM (
                    SELECT {columns}, 1 AS N FROM {streaming} UNION ALL SELECT {columns}, -1 AS N FROM {microbatch}
                ) AS BOTH_TABLES GROUP BY {columns} HAVING SUM(N) <> 0
            ) AS DIFFERENCES"
        ),
    ]
}

/// Compares tables in the data file of an emulator.
///
/// # Errors
/// If the tables cannot be read.
fn in_file(connection: &Connection, streaming: &str, microbatch: &str) -> Result<Comparison> {
    let mut numbers = [0; 3];
    for (number, sql) in numbers.iter_mut().zip(statements(streaming, microbatch)) {
        *number = connection.query_row(&sql, [], |row| row.get(0))?;
    }
    Ok(of(numbers))
}

async fn in_account(
    client: &SqlClient,
    streaming: &TableName,
    microbatch: &TableName,
) -> Result<Comparison> {
    let mut numbers = [0; 3];
    let statements = statements(&streaming.to_string(), &microbatch.to_string());
    for (number, sql) in numbers.iter_mut().zip(statements) {
        let answer = client.query(&Statement::new(sql)).await?;
        let text = answer.rows.into_iter().flatten().flatten().next();
        *number = text.context("a count without a number")?.parse()?;
    }
    Ok(of(numbers))
}

fn of([streaming, microbatch, different]: [u64; 3]) -> Comparison {
    Comparison {
        streaming,
        microbatch,
        different,
    }
}

fn name(path: &PipePath) -> Result<TableName> {
    Ok(TableName::new(path.database(), path.schema(), path.pipe())?)
}

/// The name of a table in the data file.
fn kept_as(connection: &Connection, table: &PipePath) -> Result<String> {
    let sql = "SELECT kept_as FROM _snowpipe_tables
        WHERE database_name = ? COLLATE NOCASE AND schema_name = ? COLLATE NOCASE AND table_name = ? COLLATE NOCASE";
    let parts = [table.database(), table.schema(), table.pipe()];
    let name: String = connection
        .query_row(sql, parts, |row| row.get(0))
        .with_context(|| format!("the file has no table {}", parts.join(".")))?;
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}
