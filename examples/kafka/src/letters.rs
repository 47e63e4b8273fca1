//! The file of dead letters: a JSON object in each line. They are kept at least once; topic, partition and offset are the key.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use rdkafka::Message;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;

use crate::row::text_or_base64;

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

/// The file, which all partitions of this program share.
#[derive(Debug, Clone)]
pub(crate) struct DeadLetters(Arc<Mutex<File>>);

impl DeadLetters {
    /// Opens the file, or creates it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(Arc::new(Mutex::new(file))))
    }

    /// Writes letters and waits until they are on the disk.
    ///
    /// # Errors
    /// If they could not be written. Some of them may be in the file nevertheless.
    pub(crate) async fn keep(&self, letters: Vec<DeadLetter>) -> io::Result<()> {
        let file = Arc::clone(&self.0);
        spawn_blocking(move || {
            let mut lines = Vec::new();
            for letter in letters {
                serde_json::to_writer(&mut lines, &letter)?;
                lines.push(b'\n');
            }
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.write_all(&lines)?;
            file.sync_data()
        })
        .await?
    }
}
