//! The calls to Kinesis.

use std::fmt;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{Config, Credentials, Region};
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::get_records::GetRecordsError;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType};
use bytes::Bytes;
use tokio::time::sleep;

use crate::sequence::{NotASequence, Sequence};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// A call with its repetitions.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);
const ATTEMPTS: u32 = 3;
/// How often the oldest record is asked for. Kinesis may answer without records where there are some.
const LOOKS: usize = 500;
/// `ListShards` returns 1,000 shards at once. Streams have some thousands by their quotas, and as many closed ones.
const MAX_PAGES: usize = 200;

/// A channel that is not used for longer is deleted with its token: 30 days.
const CHANNEL_HOURS: i32 = 720;

/// A stream of Kinesis.
#[derive(Debug, Clone)]
pub struct Stream {
    client: Client,
    name: String,
}

/// A shard of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its name.
    pub id: String,
    /// The shard that was split, or the two that were merged. They may be gone.
    pub parents: Vec<String>,
    /// All of its records come before this one or are it. `None`: it is open.
    pub end: Option<Sequence>,
}

/// A record of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its sequence number.
    pub sequence: Sequence,
    /// Its content.
    pub data: Bytes,
}

/// What is known of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// In milliseconds since 1970. Another stream of the same name has another time.
    pub created: i64,
    /// Whether the stream keeps records for longer than the server keeps a channel that is not used.
    pub outlives_channels: bool,
}

/// The answer to `GetRecords`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The records, in their order.
    pub records: Vec<Record>,
    /// `None` at the end of a closed shard.
    pub next: Option<String>,
    /// No records come after these yet.
    pub is_newest: bool,
}

/// Where to read a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position<'a> {
    /// With the oldest record.
    Horizon,
    /// With the record after this one.
    After(&'a Sequence),
}

/// Records may have been deleted before they were read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the record {last}, up to which everything is stored, is not in the shard any more; its oldest one is {oldest}, and records \
     between them may have been deleted by the retention of the stream before they were read; start with --on-gap continue to \
     continue with the oldest one"
)]
pub struct Gap {
    last: Sequence,
    oldest: Sequence,
}

/// Why a stream cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// An iterator is valid for five minutes.
    #[error("the iterator has expired")]
    ExpiredIterator,
    /// The stream or the shard does not exist.
    #[error("there is no stream {0}, or no such shard: check --stream, AWS_REGION and the account")]
    NotFound(String),
    /// The credentials or their rights do not suffice.
    #[error("Kinesis refuses to {call}: {why}; check the credentials and the rights of the role")]
    Refused {
        /// What was called.
        call: &'static str,
        /// What the server said, or how it could not be reached.
        why: String,
    },
    /// The call failed, and may succeed later.
    #[error("cannot {call}: {why}")]
    Failed {
        /// What was called.
        call: &'static str,
        /// What the server said, or how it could not be reached.
        why: String,
    },
    /// Records may have been deleted before they were read.
    #[error(transparent)]
    Gap(#[from] Gap),
    /// An answer without a field that it must have.
    #[error("Kinesis has answered without {0}")]
    Incomplete(&'static str),
    /// A text that is not a sequence number.
    #[error(transparent)]
    Sequence(#[from] NotASequence),
}

impl StreamError {
    /// Whether a repetition is useless.
    pub fn is_fatal(&self) -> bool {
        matches!(
            self,
            Self::NotFound(_) | Self::Refused { .. } | Self::Gap(_) | Self::Sequence(_)
        )
    }
}

/// Region, credentials and endpoint from the environment and the files of AWS.
pub async fn config() -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(CALL_TIMEOUT);
    aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(timeouts.build())
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .load()
        .await
}

/// A server on this machine.
pub async fn local(url: &str) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(url)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "local"))
        .load()
        .await
}

impl Stream {
    /// A stream by its name.
    /// A stream by its name.
    pub fn new(config: &SdkConfig, name: impl Into<String>) -> Self {
        Self {
            client: Client::new(config),
            name: name.into(),
        }
    }

    /// The name of the stream.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// # Errors
    /// If the stream does not exist or Kinesis does not answer.
    pub async fn summary(&self) -> Result<Summary, StreamError> {
        let call = self
            .client
            .describe_stream_summary()
            .stream_name(&self.name);
        let output = call
            .send()
            .await
            .map_err(|error| self.error("describe the stream", &error))?;
        let summary = output
            .stream_description_summary()
            .ok_or(StreamError::Incomplete("a description"))?;
        let created = summary.stream_creation_timestamp().to_millis();
        Ok(Summary {
            created: created.map_err(|_| StreamError::Incomplete("the time of creation"))?,
            outlives_channels: summary.retention_period_hours() > CHANNEL_HOURS,
        })
    }

    /// All shards, closed ones included, as long as they may have records.
    ///
    /// # Errors
    /// If the stream does not exist or Kinesis does not answer.
    pub async fn shards(&self) -> Result<Vec<Shard>, StreamError> {
        let mut shards = Vec::new();
        let mut next: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let call = self.client.list_shards();
            let call = match next {
                // The token stands for the stream.
                Some(token) => call.next_token(token),
                None => call.stream_name(&self.name),
            };
            let output = call
                .send()
                .await
                .map_err(|error| self.error("list the shards", &error))?;
            for shard in output.shards() {
                let parents = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
                let range = shard.sequence_number_range();
                let end = range.and_then(|range| range.ending_sequence_number());
                shards.push(Shard {
                    id: shard.shard_id().to_owned(),
                    parents: parents.into_iter().flatten().map(str::to_owned).collect(),
                    end: end.map(str::parse).transpose()?,
                });
            }
            next = output.next_token().map(str::to_owned);
            if next.is_none() {
                return Ok(shards);
            }
        }
        Err(StreamError::Incomplete("an end of its list of shards"))
    }

    /// # Errors
    /// If the shard does not exist or Kinesis does not answer.
    pub async fn iterator(
        &self,
        shard: &str,
        position: Position<'_>,
    ) -> Result<String, StreamError> {
        let call = self
            .client
            .get_shard_iterator()
            .stream_name(&self.name)
            .shard_id(shard);
        let call = match position {
            Position::Horizon => call.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Position::After(sequence) => call
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(sequence.as_str()),
        };
        let output = call
            .send()
            .await
            .map_err(|error| self.error("place an iterator", &error))?;
        let iterator = output.shard_iterator().map(str::to_owned);
        iterator.ok_or(StreamError::Incomplete("an iterator"))
    }

    /// Whether a shard still has this record, so that nothing after it is gone. Pauses between calls.
    ///
    /// # Errors
    /// If Kinesis does not answer.
    pub async fn has(
        &self,
        shard: &str,
        last: &Sequence,
        pause: Duration,
    ) -> Result<Result<(), Gap>, StreamError> {
        let mut next = Some(self.iterator(shard, Position::Horizon).await?);
        let mut looks = 0;
        while looks < LOOKS
            && let Some(iterator) = next
        {
            looks += 1;
            let records = self.records(&iterator, 1).await?;
            if let Some(record) = records.records.into_iter().next() {
                let (last, oldest) = (last.clone(), record.sequence);
                return Ok(if oldest > last {
                    Err(Gap { last, oldest })
                } else {
                    Ok(())
                });
            }
            if records.is_newest {
                break;
            }
            next = records.next;
            sleep(pause).await;
        }
        if looks == LOOKS {
            return Err(StreamError::Incomplete("the oldest record of the shard"));
        }
        // It has no record at all.
        Ok(Ok(()))
    }

    /// Reads at most `limit` records, which must not exceed 10,000.
    ///
    /// # Errors
    /// If the iterator has expired or Kinesis does not answer.
    pub async fn records(&self, iterator: &str, limit: i32) -> Result<Answer, StreamError> {
        let call = self
            .client
            .get_records()
            .shard_iterator(iterator)
            .limit(limit);
        let output = call.send().await.map_err(|error| {
            let is_expired = error
                .as_service_error()
                .is_some_and(GetRecordsError::is_expired_iterator_exception);
            if is_expired {
                StreamError::ExpiredIterator
            } else {
                self.error("get records", &error)
            }
        })?;
        let next = output.next_shard_iterator().map(str::to_owned);
        let record = |record: aws_sdk_kinesis::types::Record| {
            Ok::<_, StreamError>(Record {
                sequence: record.sequence_number.parse()?,
                data: Bytes::from(record.data.into_inner()),
            })
        };
        let records = output.records.into_iter().map(record);
        Ok(Answer {
            records: records.collect::<Result<_, _>>()?,
            next,
            is_newest: output.millis_behind_latest == Some(0),
        })
    }

    /// Puts records, at most 500, in a single attempt: the caller counts repetitions, because each may put a record once more. Returns for
    /// each of them why it was not put, if it was not.
    ///
    /// # Errors
    /// If Kinesis does not answer. Some of the records may be in the stream.
    pub async fn put(
        &self,
        records: &[(String, Bytes)],
    ) -> Result<Vec<Option<String>>, StreamError> {
        let entry = |(key, data): &(String, Bytes)| {
            PutRecordsRequestEntry::builder()
                .partition_key(key)
                .data(Blob::new(data.to_vec()))
                .build()
                .map_err(|error| StreamError::Failed {
                    call: "put records",
                    why: error.to_string(),
                })
        };
        let entries: Vec<_> = records.iter().map(entry).collect::<Result<_, _>>()?;
        let call = self.client.put_records().stream_name(&self.name);
        let call = call.set_records(Some(entries));
        let once = Config::builder().retry_config(RetryConfig::disabled());
        let output = call
            .customize()
            .config_override(once)
            .send()
            .await
            .map_err(|error| self.error("put records", &error))?;
        if output.records().len() != records.len() {
            return Err(StreamError::Incomplete("a result for each record"));
        }
        let refused = output.records().iter();
        let refused = refused.map(|result| result.error_code().map(str::to_owned));
        Ok(refused.collect())
    }

    fn error<E>(&self, call: &'static str, error: &SdkError<E>) -> StreamError
    where
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let service = error.as_service_error();
        match service.and_then(ProvideErrorMetadata::code) {
            Some("ResourceNotFoundException") => StreamError::NotFound(self.name.clone()),
            Some(
                code @ ("AccessDeniedException"
                | "UnrecognizedClientException"
                | "InvalidSignatureException"
                | "ExpiredTokenException"
                | "InvalidArgumentException"),
            ) => {
                let message = service.and_then(ProvideErrorMetadata::message);
                let why = format!("{code}: {}", message.unwrap_or("no message"));
                StreamError::Refused { call, why }
            }
            _ => StreamError::Failed {
                call,
                why: brief(error),
            },
        }
    }
}

/// An error of the SDK with its causes, without the dump of the whole response.
pub fn brief<E>(error: &SdkError<E>) -> String
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    if let Some(service) = error.as_service_error() {
        let code = service.code().unwrap_or("an error without a code");
        return format!("{code}: {}", service.message().unwrap_or("no message"));
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        use fmt::Write as _;
        // Writing to a string cannot fail.
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}
