//! The commands of the program.

use std::sync::Arc;

use anyhow::Result;
use snowpipe_streaming::sql::SqlClient;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cli::{Arguments, CheckArgs, Command, LoadArgs, SourceArgs};
use crate::connection::Database;
use crate::quality::{Landing, Source, TableName, Tables};
use crate::{copy, load as filling, quality, schema, sql, target};

/// Runs a command until its end, or until `stop` is true. Returns whether everything that was asked for is done and in order.
///
/// # Errors
/// If the database, the account or a file fails, with the remedy where there is one.
pub async fn run(arguments: Arguments, stop: watch::Receiver<bool>) -> Result<bool> {
    match arguments.command {
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
    let new = filling::fill(&database(&args.source)?, args.seed, args.rows).await?;
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
