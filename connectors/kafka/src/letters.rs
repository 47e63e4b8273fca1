//! Dead letters, each a JSON object: the lines of a file, or the records of a topic. They are kept at least once; topic, partition
//! and offset are the key.

use anyhow::{Context, Result};
use rdkafka::Message;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use snowpipe_connector_support::lines::Lines;

use crate::cli::Args;
use crate::row::text_or_base64;
use crate::settings;

/// A record that is not in the table, or may not be.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DeadLetter {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<Value>,
    /// The value of an undecodable record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<Value>,
    /// The row that was sent, of a record among which the table rejected some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) row: Option<Box<RawValue>>,
}

impl DeadLetter {
    pub(crate) fn undecodable(record: &impl Message, reason: String) -> Self {
        Self {
            topic: record.topic().to_owned(),
            partition: record.partition(),
            offset: record.offset(),
            reason,
            timestamp: record.timestamp().to_millis(),
            key: record.key().map(text_or_base64),
            value: record.payload().map(text_or_base64),
            row: None,
        }
    }

    /// The letter of a record that is too long for a letter. The topic has the record at its offset.
    fn without_content(&self) -> Self {
        Self {
            reason: format!("{}; too long for a letter with its content", self.reason),
            key: None,
            value: None,
            row: None,
            ..self.clone()
        }
    }
}

/// Where the letters of all partitions of this program are kept.
#[derive(Clone)]
pub(crate) enum DeadLetters {
    File(Lines),
    Topic {
        producer: FutureProducer,
        topic: String,
    },
}

impl DeadLetters {
    /// Opens the file or connects to the brokers, as the options say.
    ///
    /// # Errors
    /// If the file cannot be written, or librdkafka refuses the settings.
    pub(crate) fn open(args: &Args) -> Result<Option<Self>> {
        if let Some(topic) = &args.dead_letter_topic {
            let producer = settings::producer(args)?;
            let producer = producer
                .create()
                .context("librdkafka refuses the settings")?;
            let topic = topic.clone();
            return Ok(Some(Self::Topic { producer, topic }));
        }
        let Some(path) = &args.dead_letters else {
            return Ok(None);
        };
        Ok(Some(Self::File(Lines::open(path)?)))
    }

    /// Keeps letters, and waits until they are on the disk, or the brokers have them.
    ///
    /// # Errors
    /// If they could not be kept. Some of them may be there nevertheless.
    pub(crate) async fn keep(&self, letters: Vec<DeadLetter>) -> Result<()> {
        match self {
            Self::File(lines) => lines.append(letters).await,
            Self::Topic { producer, topic } => send(producer, topic, &letters).await,
        }
    }
}

async fn send(producer: &FutureProducer, topic: &str, letters: &[DeadLetter]) -> Result<()> {
    let mut sent = Vec::with_capacity(letters.len());
    for letter in letters {
        let delivery = match queue(producer, topic, letter) {
            Err(error) if is_too_long(&error) => queue(producer, topic, &letter.without_content())?,
            queued => queued?,
        };
        sent.push((letter, delivery));
    }
    for (letter, delivery) in sent {
        let delivered = delivery.await?.map_err(|(error, _)| error.into());
        match delivered {
            Ok(_) => {}
            // The topic has a lower limit than the producer.
            Err(error) if is_too_long(&error) => {
                let delivery = queue(producer, topic, &letter.without_content())?;
                delivery.await?.map_err(|(error, _)| error)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn queue(producer: &FutureProducer, topic: &str, letter: &DeadLetter) -> Result<DeliveryFuture> {
    let key = format!("{}:{}:{}", letter.topic, letter.partition, letter.offset);
    let value = serde_json::to_vec(letter)?;
    let record = FutureRecord::to(topic).key(&key).payload(&value);
    Ok(producer.send_result(record).map_err(|(error, _)| error)?)
}

fn is_too_long(error: &anyhow::Error) -> bool {
    error
        .downcast_ref()
        .and_then(KafkaError::rdkafka_error_code)
        == Some(RDKafkaErrorCode::MessageSizeTooLarge)
}
