//! A table as a source of rows for `ingest::run`, read page by page in the order of its key.
//!
//! Reading by key and not by page number, continuing after a row is fast in a table of any size. What differs between databases
//! is behind [`Pages`]. The source does not notice rows that are changed or deleted later, nor rows inserted below a key that
//! was already read.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use serde::Serialize;
use snowpipe_streaming::ingest::{Batch, Offset, Rejected, Source};
use tokio::task::spawn_blocking;

use crate::rejects::Rejects;

/// How pages are read.
pub trait Pages: Send {
    /// The place of a row, which rises with the key.
    type Offset: Offset;
    /// A row, as it is sent.
    type Row: Serialize + Send + 'static;

    /// Reads at most `max` rows after the offset, or from the first one.
    fn page(
        &mut self,
        after: Option<&Self::Offset>,
        max: usize,
    ) -> impl Future<Output = Result<Page<Self::Offset, Self::Row>>> + Send;

    /// Fails if a channel that is committed through this offset was used for another table.
    fn check(
        &mut self,
        channel: &str,
        committed: &Self::Offset,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Whether another attempt may succeed.
    fn is_temporary(&self, error: &anyhow::Error) -> bool;
}

/// Consecutive rows of a table.
#[derive(Debug)]
pub struct Page<O, R> {
    /// The rows with their places.
    pub rows: Vec<(O, R)>,
    /// Whether these are the last rows.
    pub is_end: bool,
}

/// The rows of a table, and the file for those that the target rejects.
#[derive(Debug)]
pub struct Keyset<P> {
    /// Where the rows come from.
    pub pages: P,
    rejects: Arc<Mutex<Rejects>>,
}

impl<P> Keyset<P> {
    /// Opens the file `rejects` for the rejected rows of a target.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn new(pages: P, rejects: &Path, target: String) -> Result<Self> {
        let rejects = Arc::new(Mutex::new(Rejects::open(rejects, target)?));
        Ok(Self { pages, rejects })
    }
}

impl<P: Pages> Source for Keyset<P> {
    type Offset = P::Offset;
    type Row = P::Row;
    type Error = anyhow::Error;

    async fn read_after(
        &mut self,
        after: Option<&P::Offset>,
        max: usize,
    ) -> Result<Batch<P::Offset, P::Row>> {
        let Page { rows, is_end } = self.pages.page(after, max).await?;
        let batch = Batch::new(rows);
        Ok(if is_end { batch.with_end() } else { batch })
    }

    async fn dead_letter(
        &mut self,
        rejected: &Rejected<P::Offset>,
        rows: Vec<(P::Offset, P::Row)>,
    ) -> Result<()> {
        let (rejects, rejected) = (self.rejects.clone(), rejected.clone());
        let keep = move || {
            let mut rejects = rejects.lock().unwrap_or_else(PoisonError::into_inner);
            rejects.keep(&rejected, &rows)
        };
        spawn_blocking(keep).await?
    }

    async fn rejects_seen(&mut self, channel: &str) -> Result<Option<u64>> {
        let (rejects, channel) = (self.rejects.clone(), channel.to_owned());
        let seen = move || {
            let rejects = rejects.lock().unwrap_or_else(PoisonError::into_inner);
            rejects.seen(&channel)
        };
        spawn_blocking(seen).await?.map(Some)
    }

    async fn check(&mut self, channel: &str, committed: Option<&P::Offset>) -> Result<()> {
        match committed {
            Some(committed) => self.pages.check(channel, committed).await,
            None => Ok(()),
        }
    }

    fn is_fatal(&self, error: &anyhow::Error) -> bool {
        !self.pages.is_temporary(error)
    }
}
