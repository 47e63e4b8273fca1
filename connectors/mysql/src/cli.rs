//! The options of the program.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::ddl::TablePath;
use crate::quality;

/// Copies tables of MariaDB into Snowflake, and follows their changes, each row once.
///
/// Without arguments, a table in SQLite is copied to an emulator on this machine.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Copy tables, and follow their changes until Ctrl-C or SIGTERM
    Copy(CopyArgs),
    /// Print the statements that make the tables in Snowflake
    Ddl(DdlArgs),
    /// Compare the source with the tables that were copied from it
    Check(CheckArgs),
    /// Make the table `people_100k` and fill it with generated people
    Load(LoadArgs),
}

#[derive(Debug, Args)]
#[allow(clippy::doc_markdown, reason = "the terminal shows the text as it is")]
pub(crate) struct SourceArgs {
    /// The database: mysql://USER@HOST:PORT/DATABASE. Its password is in the address, the file or MARIADB_PASSWORD
    #[arg(long, env = "MARIADB_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) source: String,
    /// A file with the password
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Connect with TLS, and trust the certificates of this PEM file only
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// A table of the source and its table in Snowflake; can be given several times
    #[arg(long = "table", value_name = "NAME=DB.SCHEMA.TABLE", required = true)]
    pub(crate) tables: Vec<TableArg>,
    /// Also write the gold table of a table of people: customers with the national number of their phone
    #[arg(long, value_name = "NAME=DB.SCHEMA.TABLE")]
    pub(crate) gold: Option<TableArg>,
    /// Names the channels. Change it to copy the tables again, from another server or into other tables
    #[arg(long, value_name = "ID", default_value = "mariadb")]
    pub(crate) source_id: String,
    /// How many channels copy a table. The first start decides: a later one continues with its channels
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) channels: u32,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Copy the rows, and do not follow the changes
    #[arg(long)]
    pub(crate) snapshot_only: bool,
    /// Follow the changes up to the end that the log has after the copy, and end
    #[arg(long, conflicts_with = "snapshot_only")]
    pub(crate) until_now: bool,
    /// Add the row before an update to its change
    #[arg(long)]
    pub(crate) before: bool,
    /// The SQLite file for rows that Snowflake rejects
    #[arg(long, value_name = "FILE", default_value = "mysql_data/rejects.db")]
    pub(crate) rejects: PathBuf,
    /// How long a program that was asked to end waits until its rows are committed
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub(crate) drain_timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct DdlArgs {
    #[command(flatten)]
    pub(crate) copy: CopyArgs,
    /// Also the views of the current state, which the emulator does not have
    #[arg(long, conflicts_with = "snapshot_only")]
    pub(crate) views: bool,
    /// Also dynamic tables of the current state, which this warehouse keeps up to date
    #[arg(long, value_name = "NAME", conflicts_with_all = ["views", "snapshot_only"])]
    pub(crate) warehouse: Option<String>,
    /// How far a dynamic table may be behind
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "1 minute",
        requires = "warehouse"
    )]
    pub(crate) lag: String,
}

#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// Copy to an account, or to an emulator in another process: a profile.json, or "env" for the SNOWFLAKE_* variables
    #[arg(long, value_name = "FILE|env", conflicts_with = "landing")]
    pub(crate) profile: Option<PathBuf>,
    /// Copy to an emulator on this machine, whose tables are in this SQLite file
    #[arg(long, value_name = "FILE", default_value = "mysql_data/landing.db")]
    pub(crate) landing: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// The table of people in the source
    #[arg(long, value_name = "NAME", default_value = "people_100k")]
    pub(crate) people: String,
    /// Compare the tables of an account, with its SQL API: a profile.json, or "env" for the SNOWFLAKE_* variables
    #[arg(long, value_name = "FILE|env", conflicts_with = "landing")]
    pub(crate) profile: Option<PathBuf>,
    /// The file with the tables of the emulator
    #[arg(long, value_name = "FILE", default_value = "mysql_data/landing.db")]
    pub(crate) landing: PathBuf,
    /// The copy of the table
    #[arg(long, value_name = "DB.SCHEMA.TABLE")]
    pub(crate) raw: String,
    /// The gold table
    #[arg(long, value_name = "DB.SCHEMA.TABLE")]
    pub(crate) gold: Option<String>,
    /// Compare the current state, which the copy and its changes make. In an account, it is the view with the suffix _CURRENT
    #[arg(long, conflicts_with = "gold")]
    pub(crate) current: bool,
    #[command(flatten)]
    pub(crate) options: quality::Options,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// How many people the table has afterwards
    #[arg(long, default_value_t = 500_000)]
    pub(crate) rows: u32,
    /// Other people
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

/// A table of the source and its table in Snowflake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableArg {
    pub(crate) name: String,
    pub(crate) path: TablePath,
}

impl FromStr for TableArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, path) = text
            .split_once('=')
            .ok_or("write TABLE=DATABASE.SCHEMA.TABLE")?;
        if name.is_empty() || name.contains(':') {
            return Err(format!(
                "{name:?} is not the name of a table that can be copied"
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            path: path.parse()?,
        })
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().map_err(|error| error.to_string())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_options_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_table_has_a_target() {
        let table: TableArg = "people=dev.public.people".parse().unwrap();
        assert_eq!(table.name, "people");
        assert_eq!(table.path.sql(), "\"DEV\".\"PUBLIC\".\"PEOPLE\"");
        for wrong in ["people", "=A.B.C", "people=A.B", "a:b=A.B.C"] {
            assert!(wrong.parse::<TableArg>().is_err(), "{wrong}");
        }
    }
}
