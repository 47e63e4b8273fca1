//! Whether the raw and the gold table hold what they should by the source: compares the three row by row, in the order of the
//! key, in memory that does not grow with the tables.

pub(crate) mod gold;
pub(crate) mod phone;

mod account;
mod batches;
mod comparison;
mod defects;
mod groups;
mod html;
mod mariadb;
mod report;
mod tables;
mod text;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rusqlite::{Connection, OpenFlags};
use snowpipe_streaming::sql::SqlClient;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

pub(crate) use self::report::{Limits, Report};
pub(crate) use self::tables::TableName;

use self::comparison::Comparison;
use self::gold::Customer;
use self::groups::{Ordered, Rows, first};
use self::report::TableReport;

const EXAMPLES: u64 = 10;

/// What the check tolerates, and where it writes its report.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the report as a page for a browser
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// How many rows of each kind of difference are named
    #[arg(long, value_name = "ROWS", default_value_t = EXAMPLES)]
    pub(crate) examples: u64,
    #[command(flatten)]
    pub(crate) limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            json: None,
            html: None,
            examples: EXAMPLES,
            limits: Limits::default(),
        }
    }
}

/// Where the source is.
pub(crate) enum Source {
    Sqlite(PathBuf),
    MariaDb(mysql_async::Opts),
}

/// Where the raw and the gold table are.
pub(crate) enum Landing {
    /// The data file of an emulator.
    File(PathBuf),
    /// An account.
    Account(Arc<SqlClient>),
}

/// The tables to compare.
pub(crate) struct Tables {
    pub(crate) source: Source,
    pub(crate) people: TableName,
    pub(crate) landing: Landing,
    pub(crate) raw: TableName,
    pub(crate) gold: Option<TableName>,
}

/// Compares the tables, and writes the reports that the options name.
///
/// # Errors
/// If a table cannot be read or a report cannot be written.
pub(crate) async fn run(tables: Tables, options: &Options) -> Result<Report> {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let settings = Settings {
        today,
        examples: options.examples,
        limits: options.limits,
    };
    let runtime = Handle::current();
    let report = spawn_blocking(move || compare(&tables, &runtime, settings)).await??;
    let write = |file: &PathBuf, text: String| {
        std::fs::write(file, text)
            .with_context(|| format!("cannot write the report {}", file.display()))
    };
    if let Some(file) = &options.json {
        write(file, report.to_json()?)?;
    }
    if let Some(file) = &options.html {
        write(file, html::page(&report))?;
    }
    Ok(report)
}

fn compare(tables: &Tables, runtime: &Handle, settings: Settings) -> Result<Report> {
    let Tables {
        landing, raw, gold, ..
    } = tables;
    let file = match landing {
        Landing::File(file) => open(file)?,
        Landing::Account(client) => {
            let rows = |table| account::rows(runtime, client.clone(), table);
            return compare_with(
                tables,
                runtime,
                rows(raw),
                gold.as_ref().map(rows),
                settings,
            );
        }
    };
    // Both tables are read as of the same moment.
    let file = file.unchecked_transaction()?;
    let mut raw = tables::statement(&file, raw)?;
    let gold = gold.as_ref().map(|gold| tables::statement(&file, gold));
    let mut gold = gold.transpose()?;
    let raw = tables::rows(&mut raw)?;
    let gold = gold.as_mut().map(tables::rows).transpose()?;
    compare_with(tables, runtime, raw, gold, settings)
}

fn compare_with(
    tables: &Tables,
    runtime: &Handle,
    raw: Rows<'_>,
    gold: Option<Rows<'_>>,
    settings: Settings,
) -> Result<Report> {
    match &tables.source {
        Source::Sqlite(file) => {
            let file = open(file)?;
            let mut people = tables::statement(&file, &tables.people)?;
            check(tables::rows(&mut people)?, raw, gold, settings)
        }
        Source::MariaDb(options) => {
            let people = mariadb::rows(runtime, options.clone(), &tables.people);
            check(people, raw, gold, settings)
        }
    }
}

fn open(file: &PathBuf) -> Result<Connection> {
    Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .with_context(|| format!("cannot open {}", file.display()))
}

/// What a check goes by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Dates of birth after this are in the future.
    pub(crate) today: Date,
    /// How many rows of each kind of difference are named.
    pub(crate) examples: u64,
    pub(crate) limits: Limits,
}

/// Compares a raw and a gold table with the source, all in the order of the key's bytes with NULL first. What the gold table
/// should hold follows from the source and not from the raw table, so that an error in one is not reported for both.
///
/// # Errors
/// If a table cannot be read, is not in this order, or has a thousand rows with the same key.
pub(crate) fn check(
    source: Rows<'_>,
    raw: Rows<'_>,
    gold: Option<Rows<'_>>,
    settings: Settings,
) -> Result<Report> {
    let today = settings.today;
    let compared = || Some(Comparison::new(settings.examples));
    let mut source = Ordered::new("source", source)?;
    let mut raw = Ordered::new("raw", raw)?;
    let mut gold = gold.map(|gold| Ordered::new("gold", gold)).transpose()?;
    let mut reports = [
        TableReport::new("source", None),
        TableReport::new("raw", compared()),
        TableReport::new("gold", compared()),
    ];
    let [of_source, of_raw, of_gold] = &mut reports;
    while let Some(row) = first([Some(&source), Some(&raw), gold.as_ref()]) {
        let key = row.customer_id.clone();
        let key = key.as_deref();
        let people = source.take(key)?;
        let customers: Vec<_> = people.iter().map(Customer::from_raw).collect();
        of_source.add(&people, nationals(&customers), today, &[]);
        let landed = raw.take(key)?;
        let raw_nationals = landed.iter().map(|row| {
            // The phone rule takes most of the time, and nearly every row is as in the source.
            let same = people.iter().position(|person| person.phone == row.phone);
            let known = same.and_then(|position| customers.get(position)?.phone.clone());
            known
                .unwrap_or_else(|| phone::national_number(row.phone.as_deref().unwrap_or_default()))
        });
        let raw_nationals: Vec<_> = raw_nationals.collect();
        let people: Vec<_> = people.into_iter().map(Customer::landed).collect();
        of_raw.add(&landed, raw_nationals, today, &people);
        if let Some(gold) = &mut gold {
            let landed = gold.take(key)?;
            of_gold.add(&landed, nationals(&landed), today, &customers);
        }
    }
    let count = if gold.is_some() { 3 } else { 2 };
    let tables = reports.into_iter().take(count).collect();
    Ok(Report::new(today.to_string(), tables, &settings.limits))
}

/// The phones of the gold table are national numbers already.
fn nationals(customers: &[Customer]) -> impl Iterator<Item = String> {
    customers
        .iter()
        .map(|customer| customer.phone.clone().unwrap_or_default())
}
