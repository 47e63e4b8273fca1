//! What really became of each row: the emulator's landing under observation. It can also be made to misbehave.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::Deserialize;
use snowpipe_streaming::emulator::MemoryLanding;
use snowpipe_streaming::emulator::landing::{
    AcceptedBatch, Cell, ChannelRecord, Commit, Landing, LandingError, ObjectName, RejectedRow,
    StoredChannel,
};
use tokio::time::{Instant, sleep};

use super::content::content;

/// How a landing betrays its server, to see whether anybody notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// A commit's rows vanish.
    Lose,
    /// A commit's rows land twice.
    Double,
    /// A commit's rows land in reverse order.
    Reverse,
    /// The appends of a commit land in reverse order.
    Overtake,
    /// Rejected rows are counted and kept nowhere.
    ForgetRejects,
    /// Two rows of a commit have one another's content.
    Mix,
    /// The server counts half of the rejected rows.
    CountHalf,
    /// Two dead letters have one another's offset.
    SwapLetters,
    /// Of several dead letters one is lost on its way to the source.
    LoseLetter,
    /// The source says that it keeps dead letters, and does so later.
    KeepLater,
    /// The source forgets what it has released.
    ForgetRelease,
    /// Rows land a while after they are said to be committed.
    LandLater,
    /// Answers to questions for statuses take long.
    TellLater,
    /// Programs begin long after the calm.
    Dally,
    /// An open tells of the row after the last one that is committed.
    Ahead,
    /// Every append is refused as if another writer had the channel.
    Fence,
}

/// What landed, by channel and row.
#[derive(Debug)]
pub struct GroundTruth {
    start: Instant,
    sources: Mutex<Vec<SourceRows>>,
    wrong: Mutex<Vec<String>>,
}

/// One source's rows as they landed.
#[derive(Debug, Default, Clone)]
struct SourceRows {
    /// How many bytes each row holds beside the numbers it is known by.
    row_bytes: usize,
    /// Each row may be there once, and not once by each append.
    tracked: bool,
    /// Others write the same rows to the same channel.
    shared: bool,
    rows: Vec<Vec<Landed>>,
    /// By channel, in upper case.
    lanes: BTreeMap<String, Lane>,
    /// One more than the highest row that landed.
    next: u64,
}

/// The rows that came through a channel.
#[derive(Debug, Default, Clone)]
struct Lane {
    rows: BTreeSet<u64>,
    refused: BTreeSet<u64>,
    /// What landed last in the table, and in the error table: the append and the row.
    last: [Option<(u64, u64)>; 2],
}

/// A row in the table or, if it was refused, in the error table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Landed {
    /// The append that brought it.
    pub attempt: u64,
    pub refused: bool,
    pub at_ms: u64,
}

/// What the simulator writes into a row to know it again.
#[derive(Debug, Deserialize)]
struct Mark {
    #[serde(rename = "C")]
    source: usize,
    #[serde(rename = "N")]
    row: u64,
    #[serde(rename = "A")]
    attempt: u64,
    #[serde(rename = "NOISE")]
    content: String,
}

impl GroundTruth {
    pub fn new(start: Instant) -> Self {
        Self {
            start,
            sources: Mutex::default(),
            wrong: Mutex::default(),
        }
    }

    /// Expects so many rows of another source; its index.
    pub fn expect(&self, rows: u64, row_bytes: usize, tracked: bool, shared: bool) -> usize {
        let mut sources = self.sources();
        sources.push(SourceRows {
            row_bytes,
            tracked,
            shared,
            rows: vec![Vec::new(); usize::try_from(rows).unwrap()],
            ..SourceRows::default()
        });
        sources.len() - 1
    }

    /// One more than the highest row that landed: where its source goes on.
    pub fn next(&self, source: usize) -> u64 {
        self.sources()[source].next
    }

    /// Where a row landed, each time it did.
    pub fn landings(&self, source: usize, row: u64) -> Vec<Landed> {
        self.sources()[source].rows[usize::try_from(row).unwrap()].clone()
    }

    /// The first of the rows that landed nowhere.
    pub fn missing(&self, source: usize, rows: Range<u64>) -> Option<u64> {
        let sources = self.sources();
        rows.into_iter()
            .find(|row| sources[source].rows[usize::try_from(*row).unwrap()].is_empty())
    }

    /// When the last of the rows landed that an append brought.
    pub fn landed_ms(&self, source: usize, rows: Range<u64>, attempt: u64) -> Option<u64> {
        let sources = self.sources();
        let rows = rows.filter_map(|row| sources[source].rows.get(usize::try_from(row).ok()?));
        let landings = rows.flatten().filter(|landed| landed.attempt == attempt);
        landings.map(|landed| landed.at_ms).max()
    }

    /// The rows in the error table.
    pub fn refused(&self, source: usize) -> Vec<u64> {
        let sources = self.sources();
        let rows = sources[source].rows.iter().zip(0..);
        rows.filter(|(landed, _)| landed.iter().any(|landed| landed.refused))
            .map(|(_, row)| row)
            .collect()
    }

    /// The rows in the error table that came through a channel.
    pub fn refused_by(&self, source: usize, channel: &str) -> BTreeSet<u64> {
        let sources = self.sources();
        let lane = sources[source].lanes.get(&channel.to_uppercase());
        lane.map(|lane| lane.refused.clone()).unwrap_or_default()
    }

    /// Whether a row landed through another channel than this one.
    pub fn is_elsewhere(&self, source: usize, channel: &str, row: u64) -> bool {
        let sources = self.sources();
        let mut lanes = sources[source].lanes.iter();
        lanes.any(|(name, lane)| *name != channel.to_uppercase() && lane.rows.contains(&row))
    }

    /// The last row that came through a channel.
    pub fn last(&self, source: usize, channel: &str) -> Option<u64> {
        let sources = self.sources();
        let lane = sources[source].lanes.get(&channel.to_uppercase())?;
        lane.rows.last().copied()
    }

    /// Whether an append brought one of these rows.
    pub fn brought(&self, source: usize, rows: Range<u64>, attempt: u64) -> Option<u64> {
        let sources = self.sources();
        rows.into_iter().find(|row| {
            let landed = &sources[source].rows[usize::try_from(*row).unwrap()];
            landed.iter().any(|landed| landed.attempt == attempt)
        })
    }

    /// What was found to be wrong since this was asked last.
    pub fn take_wrong(&self) -> Vec<String> {
        std::mem::take(&mut self.wrong.lock().unwrap())
    }

    fn note(&self, mark: &Mark, channel: &str, refused: bool) {
        let mut sources = self.sources();
        let Some(source) = sources.get_mut(mark.source) else {
            return self.blame(format!("{mark:?} is of no source"));
        };
        let rows = source.rows.len() as u64;
        if mark.row >= rows {
            return self.blame(format!("{mark:?} is beyond its source"));
        }
        if mark.content != content(mark.source, mark.row, mark.attempt, source.row_bytes) {
            self.blame(format!(
                "row {} of channel {} by append {} holds what another row should",
                mark.row, mark.source, mark.attempt
            ));
        }
        let before = &mut source.rows[usize::try_from(mark.row).unwrap()];
        let mut same = before.iter();
        let twice = same.find(|landed| source.tracked || landed.attempt == mark.attempt);
        if let Some(first) = twice {
            self.blame(format!(
                "twice: row {} of channel {} by append {} after append {}",
                mark.row, mark.source, mark.attempt, first.attempt
            ));
        }
        let attempt = mark.attempt;
        before.push(Landed {
            attempt,
            refused,
            at_ms: u64::try_from(self.start.elapsed().as_millis()).unwrap(),
        });
        let lane = source.lanes.entry(channel.to_uppercase()).or_default();
        lane.rows.insert(mark.row);
        if refused {
            lane.refused.insert(mark.row);
        }
        let last = lane.last[usize::from(refused)].replace((attempt, mark.row));
        // Rows without offsets may be sent again, but in a later append; and only of one writer the appends are in order.
        let is_behind = |(append, row)| {
            let is_comparable = source.tracked || append == attempt;
            (is_comparable && row > mark.row) || (!source.shared && append > attempt)
        };
        if last.is_some_and(is_behind) {
            self.blame(format!(
                "out of order: row {} of channel {} by append {attempt} after {last:?} in {channel}",
                mark.row, mark.source
            ));
        }
        source.next = source.next.max(mark.row + 1);
    }

    fn blame(&self, what: String) {
        self.wrong.lock().unwrap().push(what);
    }

    fn sources(&self) -> MutexGuard<'_, Vec<SourceRows>> {
        self.sources.lock().unwrap()
    }
}

/// A landing in memory that tells the truth of what it is given.
#[derive(Debug, Clone)]
pub struct Watched {
    kept: MemoryLanding,
    truth: Arc<GroundTruth>,
    sabotage: Option<Sabotage>,
}

impl Watched {
    pub fn new(truth: Arc<GroundTruth>, sabotage: Option<Sabotage>) -> Self {
        Self {
            kept: MemoryLanding::new(),
            truth,
            sabotage,
        }
    }
}

impl Landing for Watched {
    fn load(&mut self) -> Result<Vec<StoredChannel>, LandingError> {
        self.kept.load()
    }

    fn put_channel(&mut self, record: &ChannelRecord, discard: bool) -> Result<(), LandingError> {
        self.kept.put_channel(record, discard)
    }

    fn drop_channel(&mut self, pipe: &ObjectName, channel: &str) -> Result<(), LandingError> {
        self.kept.drop_channel(pipe, channel)
    }

    fn accept(
        &mut self,
        record: &ChannelRecord,
        batch: &AcceptedBatch,
    ) -> Result<(), LandingError> {
        self.kept.accept(record, batch)
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), LandingError> {
        let (mut rows, mut rejected) = (commit.rows.to_vec(), commit.rejected.to_vec());
        match self.sabotage {
            Some(Sabotage::Lose) => rows.clear(),
            Some(Sabotage::Double) => rows.extend_from_slice(commit.rows),
            Some(Sabotage::Reverse) => rows.reverse(),
            Some(Sabotage::Overtake) => rows.sort_by_key(|row| Reverse(mark(row).attempt)),
            Some(Sabotage::ForgetRejects) => rejected.clear(),
            Some(Sabotage::Mix) => mix(&mut rows),
            _ => {}
        }
        let channel = commit.record.channel.clone();
        let truth = Arc::clone(&self.truth);
        let land = move || {
            for row in &rows {
                truth.note(&mark(row), &channel, false);
            }
            for row in &rejected {
                let mark = serde_json::from_str(&row.payload).unwrap();
                truth.note(&mark, &channel, true);
            }
        };
        if self.sabotage == Some(Sabotage::LandLater) {
            tokio::spawn(async move {
                sleep(Duration::from_secs(5)).await;
                land();
            });
        } else {
            land();
        }
        self.kept.commit(&Commit {
            rows: &[],
            rejected: &[],
            ..*commit
        })
    }

    fn rows(&mut self, table: &ObjectName) -> Result<Vec<Vec<Cell>>, LandingError> {
        self.kept.rows(table)
    }

    fn error_rows(&mut self, table: &ObjectName) -> Result<Vec<RejectedRow>, LandingError> {
        self.kept.error_rows(table)
    }
}

fn mix(rows: &mut [Vec<Cell>]) {
    if let [first, .., last] = rows {
        std::mem::swap(first.last_mut().unwrap(), last.last_mut().unwrap());
    }
}

fn mark(row: &[Cell]) -> Mark {
    match row {
        [
            Cell::Integer(source),
            Cell::Integer(row),
            Cell::Integer(attempt),
            _,
            Cell::Text(content),
        ] => Mark {
            content: content.clone(),
            source: usize::try_from(*source).unwrap(),
            row: u64::try_from(*row).unwrap(),
            attempt: u64::try_from(*attempt).unwrap(),
        },
        other => panic!("{other:?}"),
    }
}
