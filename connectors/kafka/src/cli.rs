//! The options of the program.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgGroup, Parser, ValueEnum};
use snowpipe_streaming::PipePath;

use crate::row::Layout;

/// Streams topics of Kafka into tables of Snowflake, each record once.
///
/// Start it on as many machines as you like with the same --group and --source-id: the brokers spread the partitions over them,
/// and move them when one ends. Without any option, it shows that on brokers and a table in memory.
#[derive(Debug, Parser)]
#[command(version, about)]
#[command(group = ArgGroup::new("kept_letters").args(["dead_letters", "dead_letter_topic"]))]
#[allow(clippy::doc_markdown, reason = "the terminal shows the text as it is")]
pub struct Args {
    /// Brokers to ask for the others: HOST:PORT, separated by commas
    #[arg(long, env = "KAFKA_BROKERS", value_name = "HOST:PORT")]
    pub(crate) brokers: String,
    /// The consumer group, the same on each machine
    #[arg(long)]
    pub(crate) group: String,
    /// A topic and its table; can be given several times
    #[arg(long = "topic", value_name = "TOPIC=DB.SCHEMA.TABLE", required = true)]
    pub(crate) topics: Vec<Topic>,
    /// Names the channels. Change it when a topic was created again or the cluster was replaced [default: the group]
    #[arg(long, value_name = "ID")]
    pub(crate) source_id: Option<String>,
    /// The profile of the account, or of an emulator [default: what the environment says]
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
    /// The fields of a record's JSON as columns, or RECORD_CONTENT and RECORD_METADATA as Snowflake's connector writes them
    #[arg(long, value_enum, default_value_t = Format::Columns)]
    pub(crate) format: Format,
    /// Adds the column RECORD_METADATA to the format of columns
    #[arg(long)]
    pub(crate) with_metadata: bool,
    /// Adds the record's key to RECORD_METADATA
    #[arg(long)]
    pub(crate) with_key: bool,
    /// Adds the record's headers to RECORD_METADATA
    #[arg(long)]
    pub(crate) with_headers: bool,
    /// A record without a value is a row with its key in RECORD_METADATA, or is skipped
    #[arg(long, value_enum, default_value_t = Tombstones::Row)]
    pub(crate) tombstones: Tombstones,
    /// A record that is not JSON stops its partition, is skipped, or is kept as a dead letter
    #[arg(
        long,
        value_enum,
        default_value_t = Undecodable::Stop,
        requires_if("dead-letter", "kept_letters")
    )]
    pub(crate) undecodable: Undecodable,
    /// Rows that the table rejects stop their partition, are skipped, or are kept as dead letters [default: dead-letter if there
    /// is a place for them, otherwise stop]
    #[arg(long, value_enum, requires_if("dead-letter", "kept_letters"))]
    pub(crate) rejected: Option<Rejects>,
    /// The file of dead letters, a JSON object in each line: undecodable records, and rows that the table rejected
    #[arg(long, value_name = "FILE", conflicts_with = "dead_letter_topic")]
    pub(crate) dead_letters: Option<PathBuf>,
    /// A topic for dead letters in place of a file; it has to exist
    #[arg(long, value_name = "TOPIC")]
    pub(crate) dead_letter_topic: Option<String>,
    /// Where a partition begins whose channel is new: with its log, or at the offset that the group has committed
    #[arg(long, value_enum, default_value_t = Start::Earliest)]
    pub(crate) start: Start,
    /// When records were deleted before they were read: stop the partition, or continue with what is left
    #[arg(long, value_enum, default_value_t = OnGap::Stop)]
    pub(crate) on_gap: OnGap,
    /// A file of librdkafka's settings, as key=value in each line
    #[arg(long, value_name = "FILE")]
    pub(crate) properties: Option<PathBuf>,
    /// One of librdkafka's settings; can be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
    /// Static membership: a name of this machine, under which it gets its partitions back after a restart
    #[arg(long, value_name = "ID")]
    pub(crate) instance_id: Option<String>,
    /// Serves metrics in Prometheus' text format
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics: Option<SocketAddr>,
    /// How long a program that was asked to end waits until its rows are committed
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub(crate) drain_timeout: Duration,
}

/// A topic and the pipe of its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) pipe: PipePath,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Columns,
    Record,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tombstones {
    Row,
    Skip,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Undecodable {
    Stop,
    Skip,
    DeadLetter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rejects {
    Stop,
    Skip,
    DeadLetter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Start {
    Earliest,
    Group,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnGap {
    Stop,
    Continue,
}

impl Args {
    /// What happens to rows that the table rejects. Nothing is passed over unless an option says so.
    pub(crate) fn rejected(&self) -> Rejects {
        let has_place = self.dead_letters.is_some() || self.dead_letter_topic.is_some();
        let default = if has_place {
            Rejects::DeadLetter
        } else {
            Rejects::Stop
        };
        self.rejected.unwrap_or(default)
    }

    pub(crate) fn source_id(&self) -> &str {
        self.source_id.as_ref().unwrap_or(&self.group)
    }

    pub(crate) fn layout(&self) -> Layout {
        Layout {
            format: self.format,
            with_metadata: self.with_metadata || self.with_key || self.with_headers,
            with_key: self.with_key,
            with_headers: self.with_headers,
            tombstones: self.tombstones,
        }
    }
}

impl FromStr for Topic {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, table) = text
            .split_once('=')
            .ok_or("write TOPIC=DATABASE.SCHEMA.TABLE")?;
        let is_allowed = |char: char| char.is_ascii_alphanumeric() || "._-".contains(char);
        if name.is_empty() || !name.chars().all(is_allowed) {
            return Err(format!("{name:?} is not the name of a topic"));
        }
        // A table's name has the same form as that of a pipe.
        let path: PipePath = table.parse().map_err(|_| {
            format!("{table:?} is not the name of a table: write DATABASE.SCHEMA.TABLE, and quote a part that has a dot")
        })?;
        let pipe = PipePath::for_table(path.database(), path.schema(), path.pipe());
        Ok(Self {
            name: name.to_owned(),
            pipe: pipe.map_err(|error| error.to_string())?,
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
        Args::command().debug_assert();
    }

    #[test]
    fn a_topic_has_a_table() {
        let topic: Topic = "rides=resort.public.lift_ride".parse().unwrap();
        assert_eq!(topic.name, "rides");
        let table = PipePath::for_table("RESORT", "PUBLIC", "LIFT_RIDE").unwrap();
        assert_eq!(topic.pipe, table);
        for wrong in [
            "rides",
            "rides=",
            "=A.B.C",
            "^rides=A.B.C",
            "rides=A.B",
            "a:b=A.B.C",
        ] {
            assert!(wrong.parse::<Topic>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn dead_letters_need_a_place() {
        let options = "x --brokers b --group g --topic t=A.B.C --undecodable dead-letter";
        let parse = |more: &str| Args::try_parse_from(options.split(' ').chain(more.split(' ')));
        assert!(parse("--with-key").is_err());
        assert!(parse("--dead-letters letters.ndjson").is_ok());
        assert!(parse("--dead-letter-topic letters").is_ok());
        assert!(parse("--dead-letters letters.ndjson --dead-letter-topic letters").is_err());
        let rejected = "x --brokers b --group g --topic t=A.B.C --rejected dead-letter";
        assert!(Args::try_parse_from(rejected.split(' ')).is_err());
        let place = [rejected, "--dead-letters letters.ndjson"].join(" ");
        assert!(Args::try_parse_from(place.split(' ')).is_ok());
    }
}
