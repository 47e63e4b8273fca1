//! Copies tables of MariaDB into Snowflake and follows their changes, each row once. Without arguments, it shows that with a table
//! in SQLite and an emulator on this machine.

mod changes;
mod cli;
mod connection;
mod copy;
mod ddl;
mod demo;
mod key;
mod load;
mod pages;
mod people_pages;
mod plan;
mod quality;
mod schema;
mod sql;
mod target;
mod types;
mod value;

use std::env;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Parser;
use snowpipe_connector_support::signals;
use snowpipe_streaming::sql::SqlClient;
use tokio::time::Instant;
use tracing_subscriber::EnvFilter;

use crate::cli::{Arguments, CheckArgs, Command, LoadArgs, SourceArgs};
use crate::connection::Database;
use crate::quality::{Landing, Source, TableName, Tables};

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether everything that was asked for is done and in order.
async fn run() -> Result<bool> {
    let stop = signals::listen()?;
    if env::args_os().len() == 1 {
        return demo::run(stop).await;
    }
    match Arguments::parse().command {
        Command::Copy(args) => copy::run(&args, stop).await,
        Command::Ddl(args) => {
            print!("{}", copy::ddl(&args).await?);
            Ok(true)
        }
        Command::Check(args) => check(args).await,
        Command::Load(args) => load(args).await,
    }
}

async fn check(args: CheckArgs) -> Result<bool> {
    let landing = match &args.profile {
        Some(profile) => {
            let client = SqlClient::builder(target::profile(profile)?).build()?;
            Landing::Account(Arc::new(client))
        }
        None => Landing::File(args.landing),
    };
    let database = database(&args.source)?;
    let mut raw = TableName::people(args.raw);
    if args.current && args.profile.is_some() {
        raw.name += "_CURRENT";
    } else if args.current {
        let mut conn = database.connect().await?;
        let table = schema::load(&mut conn, database.name(), &args.people).await?;
        let key = table
            .key_columns()
            .map(|column| sql::column_name(&column.name));
        raw.current_by = Some(key.collect());
    }
    let tables = Tables {
        source: Source::MariaDb(database.opts()),
        people: TableName::people(args.people),
        landing,
        raw,
        gold: args.gold.map(TableName::customers),
    };
    let report = quality::run(tables, &args.options).await?;
    println!("{report}");
    Ok(report.is_clean())
}

async fn load(args: LoadArgs) -> Result<bool> {
    let began = Instant::now();
    let new = load::fill(&database(&args.source)?, args.seed, args.rows).await?;
    println!("{new} new people in {:.1} s", began.elapsed().as_secs_f64());
    Ok(true)
}

fn database(args: &SourceArgs) -> Result<Database> {
    let database = Database::new(
        &args.source,
        args.password_file.as_deref(),
        args.ca.as_deref(),
    )?;
    if args.ca.is_none() && !database.is_on_this_machine() {
        tracing::warn!(
            %database,
            "the connection is not encrypted: password and rows can be read on the way; give the database's certificates with --ca"
        );
    }
    Ok(database)
}
