//! Dead letters, each a JSON object: the lines of a file, or the records of a topic. They are kept at least once; topic, partition
//! and offset are the key.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use rdkafka::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;

use crate::cli::Args;
use crate::row::text_or_base64;
use crate::settings;

/// A record that is not in the table, or may not be.
#[derive(Debug, Serialize)]
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
}

/// Where the letters of all partitions of this program are kept.
#[derive(Clone)]
pub(crate) enum DeadLetters {
    File(Arc<Mutex<File>>),
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
        let file = OpenOptions::new().append(true).create(true).open(path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Some(Self::File(Arc::new(Mutex::new(file)))))
    }

    /// Keeps letters, and waits until they are on the disk, or the brokers have them.
    ///
    /// # Errors
    /// If they could not be kept. Some of them may be there nevertheless.
    pub(crate) async fn keep(&self, letters: Vec<DeadLetter>) -> Result<()> {
        match self {
            Self::File(file) => {
                let file = Arc::clone(file);
                spawn_blocking(move || write(&file, &letters)).await?
            }
            Self::Topic { producer, topic } => send(producer, topic, &letters).await,
        }
    }
}

fn write(file: &Mutex<File>, letters: &[DeadLetter]) -> Result<()> {
    let mut lines = Vec::new();
    for letter in letters {
        serde_json::to_writer(&mut lines, letter)?;
        lines.push(b'\n');
    }
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    file.write_all(&lines)?;
    Ok(file.sync_data()?)
}

async fn send(producer: &FutureProducer, topic: &str, letters: &[DeadLetter]) -> Result<()> {
    let mut sent = Vec::with_capacity(letters.len());
    for letter in letters {
        let key = format!("{}:{}:{}", letter.topic, letter.partition, letter.offset);
        let value = serde_json::to_vec(letter)?;
        let record = FutureRecord::to(topic).key(&key).payload(&value);
        sent.push(producer.send_result(record).map_err(|(error, _)| error)?);
    }
    for delivery in sent {
        delivery.await?.map_err(|(error, _)| error)?;
    }
    Ok(())
}
