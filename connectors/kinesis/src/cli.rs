//! The options of the program.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use snowpipe_connector_support::lines::Lines;
use snowpipe_streaming::PipePath;

use crate::bucket::BucketName;
use crate::lineage::Share;

/// Streams the records of Kinesis into Snowflake, and loads the same records in micro-batches beside it.
///
/// Region, credentials and endpoint come from where all tools of AWS read them: AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL and
/// so on. Without any argument, the program shows both paths with a stream, a bucket and tables on this machine.
#[derive(Debug, Parser)]
#[command(version, about)]
#[allow(clippy::doc_markdown, reason = "the terminal shows the text as it is")]
pub struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Streams each record into a table once
    Stream(StreamArgs),
    /// Writes batches of at most 100 records as CSV objects into a bucket
    Batch(BatchArgs),
    /// Loads each object of the bucket into a table once
    Load(LoadArgs),
    /// Compares the tables of both paths
    Compare(CompareArgs),
    /// Puts random measurements into the stream
    Produce(ProduceArgs),
}

#[derive(Debug, Args)]
pub(crate) struct StreamArgs {
    #[command(flatten)]
    pub(crate) stream: SourceArgs,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// The table
    #[arg(long, value_name = "DB.SCHEMA.TABLE", value_parser = table)]
    pub(crate) table: PipePath,
    /// Names the channels; the same for all programs that share the stream, and in each run
    #[arg(long, value_name = "ID", default_value = "kinesis")]
    pub(crate) source_id: String,
    /// How long a program that was asked to end waits until its rows are committed
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub(crate) drain_timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct BatchArgs {
    #[command(flatten)]
    pub(crate) stream: SourceArgs,
    #[command(flatten)]
    pub(crate) bucket: BucketArgs,
    /// How long a batch waits until it has 100 records
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) window: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    pub(crate) bucket: BucketArgs,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// The table: its rows are streamed to it
    #[arg(long, value_name = "DB.SCHEMA.TABLE", value_parser = table, required_unless_present = "snowpipe")]
    pub(crate) table: Option<PipePath>,
    /// A pipe over a stage: Snowpipe is asked to load the objects, in an account
    #[arg(long, value_name = "DB.SCHEMA.PIPE", conflicts_with = "table")]
    pub(crate) snowpipe: Option<PipePath>,
    /// The file that knows which objects were taken
    #[arg(long, value_name = "FILE", default_value = "kinesis_data/loads.db")]
    pub(crate) history: PathBuf,
    /// Names the channel; use another one with another history
    #[arg(long, value_name = "ID", default_value = "kinesis-objects")]
    pub(crate) source_id: String,
    /// How often the bucket is listed
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub(crate) poll: Duration,
    /// The file of dead letters: rows that the table rejected
    #[arg(
        long,
        value_name = "FILE",
        default_value = "kinesis_data/dead_letters.ndjson"
    )]
    pub(crate) dead_letters: PathBuf,
    /// Loads what is there, and ends
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// The data file of the emulator, in place of an account
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    pub(crate) landing: Option<PathBuf>,
    /// The table of the streaming path
    #[arg(long, value_name = "DB.SCHEMA.TABLE", value_parser = table)]
    pub(crate) streaming: PipePath,
    /// The table of the micro-batch path
    #[arg(long, value_name = "DB.SCHEMA.TABLE", value_parser = table)]
    pub(crate) microbatch: PipePath,
}

#[derive(Debug, Args)]
pub(crate) struct ProduceArgs {
    /// The stream
    #[arg(long, value_name = "NAME")]
    pub(crate) stream: String,
    /// How many measurements
    #[arg(long, default_value_t = 10_000)]
    pub(crate) records: u64,
    /// How many measurements in a second: 1 to 1,000
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub(crate) rate: u64,
    /// Another seed gives other measurements
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// The stream and who reads it.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// The stream
    #[arg(long, value_name = "NAME")]
    pub(crate) stream: String,
    /// Which of several programs this one is, if they share the shards
    #[arg(long, value_name = "N/OF", default_value = "1/1")]
    pub(crate) worker: Share,
    /// How many programs read the same shards, this one included: they share the limits of a shard
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) readers: u32,
    /// The file of dead letters: malformed records, and rows that the table rejected
    #[arg(
        long,
        value_name = "FILE",
        default_value = "kinesis_data/dead_letters.ndjson"
    )]
    pub(crate) dead_letters: PathBuf,
    /// What happens if records may have been deleted before they were read: the shard stops, or goes on with the oldest record
    #[arg(long, value_enum, default_value_t = OnGap::Stop)]
    pub(crate) on_gap: OnGap,
}

#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// The profile of the account, or of an emulator [default: what the environment says]
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct BucketArgs {
    /// The bucket of the objects: a folder, or one in S3
    #[arg(long, value_name = "FOLDER|s3://BUCKET")]
    pub(crate) bucket: BucketName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OnGap {
    Stop,
    Continue,
}

impl SourceArgs {
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn letters(&self) -> Result<Lines> {
        letters(&self.dead_letters)
    }
}

/// Opens a file of dead letters.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn letters(path: &std::path::Path) -> Result<Lines> {
    create_parent(path)?;
    Lines::open(path)
}

/// # Errors
/// If the folder cannot be created.
pub(crate) fn create_parent(file: &std::path::Path) -> Result<()> {
    let Some(folder) = file.parent() else {
        return Ok(());
    };
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create the folder {}", folder.display()))
}

fn table(text: &str) -> Result<PipePath, String> {
    // A table's name has the same form as that of a pipe.
    text.parse().map_err(|_| {
        format!(
            "{text:?} is not a name: write DATABASE.SCHEMA.NAME, and quote a part that has a dot"
        )
    })
}

/// The shortest and the longest time that can be given.
const SECONDS: RangeInclusive<f64> = 0.1..=86_400.0;

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok();
    let seconds = seconds.filter(|seconds| SECONDS.contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| {
        let (least, most) = SECONDS.into_inner();
        format!("write a number of seconds from {least} to {most}")
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_options_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn times_are_neither_zero_nor_endless() {
        assert_eq!(seconds("0.1"), Ok(Duration::from_millis(100)));
        assert_eq!(seconds("86400"), Ok(Duration::from_hours(24)));
        for wrong in [
            "0", "0.05", "-1", "86401", "1e18", "1e400", "inf", "NaN", "x",
        ] {
            let refused = seconds(wrong).unwrap_err();
            assert!(refused.contains("from 0.1 to 86400"), "{wrong}: {refused}");
        }
    }

    #[test]
    fn a_bucket_is_a_folder_or_in_s3() {
        assert_eq!("s3://raw".parse(), Ok(BucketName::S3("raw".to_owned())));
        assert_eq!("s3://raw/".parse(), Ok(BucketName::S3("raw".to_owned())));
        assert_eq!("a/raw".parse(), Ok(BucketName::Folder("a/raw".into())));
        for wrong in ["", "s3://", "s3://raw/folder"] {
            assert!(wrong.parse::<BucketName>().is_err(), "{wrong}");
        }
    }
}
