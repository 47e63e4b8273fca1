//! The lines of the input as a `Source`. Rows are held until they are released, because stdin cannot be read again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::value::RawValue;
use snowpipe_streaming::ingest::{Batch, Rejected, Source};
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;

use crate::dead_letters::DeadLetters;
use crate::input::{Bad, Item, Row};
use crate::line::Place;
use crate::row::{Key, Text};

/// The limit for the bytes of rows that are not released, which one piece of the input may exceed.
const MOST_HELD: usize = 64 << 20;
/// How often to check for released rows while the limit is reached.
const FULL: Duration = Duration::from_millis(50);

/// What to do about a line that is no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OnBadLine {
    /// Commit the lines before it, and stop
    Stop,
    /// Continue after it
    Skip,
}

/// Counters for the progress line.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Bytes of rows read for sending.
    pub(crate) bytes: AtomicU64,
    /// Lines of the input that were skipped, by this run or an earlier one.
    pub(crate) skipped: AtomicU64,
    /// Lines that an earlier run skipped.
    pub(crate) skipped_earlier: AtomicU64,
}

/// The source cannot continue.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Broken(String);

/// The lines of the input.
#[derive(Debug)]
pub(crate) struct Lines<K> {
    input: Receiver<Vec<Item>>,
    names: Vec<String>,
    on_bad_line: OnBadLine,
    letters: DeadLetters,
    meter: Arc<Meter>,
    /// Items that are not processed yet.
    pending: VecDeque<Item>,
    /// Rows that are not released, in order.
    held: VecDeque<(K, Text)>,
    held_bytes: usize,
    /// The first row that was read.
    first: Option<K>,
    /// The last row that was read.
    last: Option<(K, Place)>,
    /// The committed offset when the run began; rows up to it are not held.
    committed: Option<K>,
    is_end: bool,
    /// The bad line at which the run stopped.
    stopped_at: Option<String>,
    /// Whether the channel's rows came from another input.
    is_foreign: bool,
}

impl<K: Key> Lines<K> {
    pub(crate) fn new(
        input: Receiver<Vec<Item>>,
        names: Vec<String>,
        on_bad_line: OnBadLine,
        letters: DeadLetters,
        meter: Arc<Meter>,
    ) -> Self {
        Self {
            input,
            names,
            on_bad_line,
            letters,
            meter,
            pending: VecDeque::new(),
            held: VecDeque::new(),
            held_bytes: 0,
            first: None,
            last: None,
            committed: None,
            is_end: false,
            stopped_at: None,
            is_foreign: false,
        }
    }

    /// The bad line at which the run stopped, if it did.
    pub(crate) fn stopped_at(&self) -> Option<&str> {
        self.stopped_at.as_deref()
    }

    /// Whether the input lacks the last row that the channel has committed.
    pub(crate) fn is_foreign(&self) -> bool {
        self.is_foreign
    }

    /// Whether rows that the server rejected, in any run, may be rows of this input.
    pub(crate) fn has_rejects(&self) -> bool {
        let through = self.letters.rejected_through();
        let through = through.and_then(|through| through.parse().ok());
        self.first
            .as_ref()
            .zip(through)
            .is_some_and(|(first, through)| *first <= through)
    }

    fn is_full(&self) -> bool {
        self.held_bytes >= MOST_HELD
    }

    /// Takes the next available item.
    fn take(&mut self) -> Result<Option<Item>, Broken> {
        loop {
            if let Some(item) = self.pending.pop_front() {
                return Ok(Some(item));
            }
            match self.input.try_recv() {
                Ok(piece) => self.pending = piece.into(),
                Err(TryRecvError::Empty) => return Ok(None),
                Err(TryRecvError::Disconnected) => return Err(broken_off()),
            }
        }
    }

    /// Reads further items, and returns the rows after an offset.
    fn read_on(&mut self, after: Option<&K>, max: usize) -> Result<Vec<(K, Text)>, Broken> {
        let mut rows = Vec::new();
        while rows.len() < max && !self.is_end && !self.is_full() {
            match self.take()? {
                None => break,
                Some(Item::End) => self.end()?,
                Some(Item::Failed(why)) => return Err(Broken(why)),
                Some(Item::Bad(bad)) => self.bad(after, &bad)?,
                Some(Item::Row(row)) => {
                    let (place, json) = (row.place, Arc::clone(&row.json));
                    match self.key(&row)? {
                        Err(why) => {
                            let line = json.get().as_bytes().to_vec();
                            self.bad(after, &Bad { place, why, line })?;
                        }
                        Ok(key) if after.is_some_and(|after| key <= *after) => {}
                        Ok(key) => {
                            self.hold(&key, &json);
                            rows.push((key, Text(json)));
                        }
                    }
                }
            }
        }
        Ok(rows)
    }

    /// Handles the end of the input.
    fn end(&mut self) -> Result<(), Broken> {
        self.is_end = true;
        let last = self.last.as_ref().map(|(_, place)| self.name(*place));
        let last = last.as_deref().unwrap_or("missing");
        self.check_committed(&format!("the last row is {last}"))
    }

    /// Called at the first uncommitted row or at the end of the input. If lines are counted, checks that the committed row was
    /// among the earlier ones.
    fn check_committed(&mut self, found: &str) -> Result<(), Broken> {
        let is_counted = K::at(Place::START).is_some();
        let Some(committed) = self
            .committed
            .as_ref()
            .filter(|_| is_counted && self.is_behind())
        else {
            return Ok(());
        };
        self.is_foreign = true;
        Err(Broken(format!(
            "{found}, but the channel has {committed} from an earlier run: give the same files in the same order, of which only the last file may grow, or use another --channel"
        )))
    }

    /// Whether the row that was committed when the run began is not read yet.
    fn is_behind(&self) -> bool {
        let last = self.last.as_ref().map(|(key, _)| key);
        self.committed.is_some() && last < self.committed.as_ref()
    }

    /// The offset of a row, or the reason why it has none. Fails if offsets do not rise.
    fn key(&mut self, row: &Row) -> Result<Result<K, String>, Broken> {
        let key = match K::of(row.place, &row.field) {
            Ok(key) => key,
            Err(why) => return Ok(Err(why)),
        };
        if let Some((last, at)) = &self.last
            && key <= *last
        {
            return Err(Broken(format!(
                "{}: the offset {key} comes after {last} of {}; offsets have to rise, texts in the order of their bytes: sort the rows by the field, or omit --offset-from",
                self.name(row.place),
                self.name(*at)
            )));
        }
        if self
            .committed
            .as_ref()
            .is_some_and(|committed| key > *committed)
        {
            let name = self.name(row.place);
            self.check_committed(&format!(
                "the row {name} has the offset {key}, and no row before it has the committed offset"
            ))?;
        }
        self.first.get_or_insert_with(|| key.clone());
        self.last = Some((key.clone(), row.place));
        Ok(Ok(key))
    }

    fn hold(&mut self, key: &K, json: &Arc<RawValue>) {
        if self
            .committed
            .as_ref()
            .is_some_and(|committed| key <= committed)
        {
            return;
        }
        let bytes = json.get().len();
        self.meter.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.held_bytes += bytes;
        self.held.push_back((key.clone(), Text(Arc::clone(json))));
    }

    fn bad(&mut self, after: Option<&K>, bad: &Bad) -> Result<(), Broken> {
        let known = after.max(self.committed.as_ref());
        if K::at(bad.place).is_some_and(|at| known.is_some_and(|known| at <= *known)) {
            self.count_skipped(true);
            return Ok(());
        }
        match self.on_bad_line {
            OnBadLine::Stop => {
                self.is_end = true;
                self.stopped_at = Some(format!("{}: {}", self.name(bad.place), bad.why));
                Ok(())
            }
            OnBadLine::Skip => {
                let file = self.file(bad.place).to_owned();
                let after = self.last.as_ref().map(|(key, _)| key.to_string());
                let kept = self.letters.unreadable(&file, after.as_deref(), bad);
                let is_new = kept.map_err(|why| cannot_keep(&why))?;
                self.count_skipped(!is_new);
                Ok(())
            }
        }
    }

    fn count_skipped(&self, is_earlier: bool) {
        self.meter.skipped.fetch_add(1, Ordering::Relaxed);
        if is_earlier {
            self.meter.skipped_earlier.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn file(&self, place: Place) -> &str {
        let index = usize::try_from(place.file.saturating_sub(1)).unwrap_or(usize::MAX);
        self.names.get(index).map_or("input", String::as_str)
    }

    fn name(&self, place: Place) -> String {
        format!("{}:{}", self.file(place), place.line)
    }
}

impl<K: Key> Source for Lines<K> {
    type Offset = K;
    type Row = Text;
    type Error = Broken;

    async fn read_after(
        &mut self,
        after: Option<&K>,
        max: usize,
    ) -> Result<Batch<K, Text>, Broken> {
        let is_before = |(key, _): &(K, Text)| after.is_some_and(|after| key <= after);
        let first = self.held.partition_point(is_before);
        let mut rows: Vec<_> = self.held.range(first..).take(max).cloned().collect();
        while rows.is_empty() {
            rows = self.read_on(after, max)?;
            // Committed rows are read again as dead letters. An empty batch would mean that there are no more of them, so wait
            // for a slow input.
            let is_wanted = self.is_behind() && after < self.committed.as_ref();
            if self.is_end || !is_wanted {
                break;
            }
            if rows.is_empty() {
                self.ready().await?;
            }
        }
        let is_last = |(key, _): &(K, Text)| self.held.back().is_none_or(|(last, _)| key >= last);
        let mut batch = Batch::new(rows);
        batch.is_end = self.is_end && batch.rows.last().is_none_or(is_last);
        Ok(batch)
    }

    async fn ready(&mut self) -> Result<(), Broken> {
        if self.is_full() {
            tokio::time::sleep(FULL).await;
        } else if self.pending.is_empty() {
            let piece = self.input.recv().await.ok_or_else(broken_off)?;
            self.pending = piece.into();
        }
        Ok(())
    }

    async fn release_through(&mut self, through: &K) -> Result<(), Broken> {
        let released = self.held.partition_point(|(key, _)| key <= through);
        for (_, row) in self.held.drain(..released) {
            self.held_bytes -= row.0.get().len();
        }
        Ok(())
    }

    async fn dead_letter(
        &mut self,
        rejected: &Rejected<K>,
        rows: Vec<(K, Text)>,
    ) -> Result<(), Broken> {
        let letters = &mut self.letters;
        let kept = tokio::task::block_in_place(|| letters.rejected(rejected, &rows));
        kept.map_err(|why| cannot_keep(&why))
    }

    async fn rejects_seen(&mut self, _channel: &str) -> Result<Option<u64>, Broken> {
        Ok(Some(self.letters.total()))
    }

    async fn check(&mut self, _channel: &str, committed: Option<&K>) -> Result<(), Broken> {
        self.committed = committed.cloned();
        Ok(())
    }

    fn is_fatal(&self, _: &Broken) -> bool {
        // Retrying helps neither the input nor the disk.
        true
    }
}

fn broken_off() -> Broken {
    Broken("the input ended unexpectedly".to_owned())
}

fn cannot_keep(why: &std::io::Error) -> Broken {
    Broken(format!("the dead letters cannot be written: {why}"))
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
