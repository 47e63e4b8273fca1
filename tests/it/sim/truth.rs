//! What really became of each row: the emulator's commits under observation. They can also be noted wrongly on purpose.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use snowpipe_streaming::emulator::CommittedRows;
use tokio::time::{Instant, sleep};

use super::content::content;

/// How the observation of the commits is falsified, to see whether a judge notices.
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
    /// Its appends may land in any order: others write the same rows, or several senders do.
    is_unordered: bool,
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
    pub fn expect(&self, rows: u64, row_bytes: usize, tracked: bool, is_unordered: bool) -> usize {
        let mut sources = self.sources();
        sources.push(SourceRows {
            row_bytes,
            tracked,
            is_unordered,
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

    /// Notes the rows of each commit of an emulator, unless it is to be betrayed.
    pub fn observer(
        self: &Arc<Self>,
        sabotage: Option<Sabotage>,
    ) -> impl Fn(&CommittedRows) + Send + Sync + 'static {
        let truth = Arc::clone(self);
        move |commit| truth.note_commit(commit, sabotage)
    }

    fn note_commit(self: &Arc<Self>, commit: &CommittedRows, sabotage: Option<Sabotage>) {
        let mut rows = marks(&commit.rows);
        let rejected = commit.rejected.iter();
        let mut rejected: Vec<Mark> = rejected
            .map(|row| serde_json::from_str(&row.payload).unwrap())
            .collect();
        match sabotage {
            Some(Sabotage::Lose) => rows.clear(),
            Some(Sabotage::Double) => rows.extend(marks(&commit.rows)),
            Some(Sabotage::Reverse) => rows.reverse(),
            Some(Sabotage::Overtake) => rows.sort_by_key(|row| Reverse(row.attempt)),
            Some(Sabotage::ForgetRejects) => rejected.clear(),
            Some(Sabotage::Mix) => mix(&mut rows),
            _ => {}
        }
        let channel = commit.channel.clone();
        let truth = Arc::clone(self);
        let land = move || {
            for row in &rows {
                truth.note(row, &channel, false);
            }
            for row in &rejected {
                truth.note(row, &channel, true);
            }
        };
        if sabotage == Some(Sabotage::LandLater) {
            tokio::spawn(async move {
                sleep(Duration::from_secs(5)).await;
                land();
            });
        } else {
            land();
        }
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
        // Rows without offsets may be sent again, but in a later append; and only of one writer without senders the appends are in order.
        let is_behind = |(append, row)| {
            let is_comparable = source.tracked || append == attempt;
            (is_comparable && row > mark.row) || (!source.is_unordered && append > attempt)
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

/// Mixes up the content of two rows.
fn mix(rows: &mut [Mark]) {
    if let [first, .., last] = rows {
        std::mem::swap(&mut first.content, &mut last.content);
    }
}

fn marks<'a>(rows: impl IntoIterator<Item = &'a Value>) -> Vec<Mark> {
    let marks = rows.into_iter().map(Mark::deserialize);
    marks.map(Result::unwrap).collect()
}
