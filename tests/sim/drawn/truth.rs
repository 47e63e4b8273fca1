//! The ground truth: the rows that the emulator committed. A [`Sabotage`] falsifies the record on purpose.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use snowpipe_streaming_emulator::CommittedRows;
use tokio::time::{Instant, sleep};

use super::content::content;
use super::history::{self, Delivery, Event};

/// How commits, answers or programs are falsified, to test that a check detects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// A commit's rows are lost.
    Lose,
    /// A commit's rows land twice.
    Double,
    /// A commit's rows land in reverse order.
    Reverse,
    /// The appends of a commit land in reverse order.
    Overtake,
    /// Rejected rows are counted and not stored.
    ForgetRejects,
    /// Two rows of a commit have swapped contents.
    SwapContents,
    /// The server counts half of the rejected rows.
    CountHalf,
    /// Two dead letters have swapped rows.
    SwapDeadLetters,
    /// One of several dead letters does not reach the source.
    LoseDeadLetter,
    /// The source acknowledges dead letters before it stores them.
    KeepDeadLettersLater,
    /// The source reports an earlier release position.
    ForgetRelease,
    /// Rows land after they are reported as committed.
    LandLater,
    /// Answers to status calls are delayed.
    DelayStatuses,
    /// Programs start long after the last fault.
    StartLate,
    /// An open returns the token of the row after the last committed one.
    Ahead,
    /// Every append is refused as if another writer had taken over the channel.
    Fence,
    /// Rows that are handed back as unsent and as sent are swapped.
    SwapHandedBack,
}

/// What landed, by channel and row.
#[derive(Debug)]
pub struct GroundTruth {
    start: Instant,
    sources: Mutex<Vec<SourceRows>>,
    wrong: Mutex<Vec<String>>,
    history: Mutex<Vec<Event>>,
}

/// One source's rows as they landed.
#[derive(Debug, Default, Clone)]
struct SourceRows {
    /// The length of each row's content, in bytes.
    row_bytes: usize,
    /// Whether each row may land once in total. Otherwise it may land once per append.
    tracked: bool,
    /// Whether its appends may land in any order, because several processes or senders write.
    is_unordered: bool,
    rows: Vec<Vec<Landed>>,
    /// By channel, in upper case.
    channels: BTreeMap<String, ChannelRows>,
    /// One more than the highest row that landed.
    next: u64,
}

/// The rows that came through a channel.
#[derive(Debug, Default, Clone)]
struct ChannelRows {
    rows: BTreeSet<u64>,
    refused: BTreeSet<u64>,
    /// The append and the row that landed last in the table, and in the error table.
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

/// The columns that identify a row.
#[derive(Debug, Deserialize)]
struct RowIdentity {
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
            history: Mutex::default(),
        }
    }

    /// Adds a source with this many rows. Returns its index.
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

    /// One more than the highest row that landed: the row at which its source resumes.
    pub fn next(&self, source: usize) -> u64 {
        self.sources()[source].next
    }

    /// All landings of a row.
    pub fn landings(&self, source: usize, row: u64) -> Vec<Landed> {
        self.sources()[source].rows[usize::try_from(row).unwrap()].clone()
    }

    /// The first of the rows that did not land.
    pub fn missing(&self, source: usize, rows: Range<u64>) -> Option<u64> {
        let sources = self.sources();
        rows.into_iter()
            .find(|row| sources[source].rows[usize::try_from(*row).unwrap()].is_empty())
    }

    /// When the last of the rows of an append landed.
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
        let channel_rows = sources[source].channels.get(&channel.to_uppercase());
        channel_rows
            .map(|channel_rows| channel_rows.refused.clone())
            .unwrap_or_default()
    }

    /// Whether a row landed through another channel than this one.
    pub fn is_elsewhere(&self, source: usize, channel: &str, row: u64) -> bool {
        let sources = self.sources();
        let mut channels = sources[source].channels.iter();
        channels.any(|(name, channel_rows)| {
            *name != channel.to_uppercase() && channel_rows.rows.contains(&row)
        })
    }

    /// The last row that came through a channel.
    pub fn last(&self, source: usize, channel: &str) -> Option<u64> {
        let sources = self.sources();
        let channel_rows = sources[source].channels.get(&channel.to_uppercase())?;
        channel_rows.rows.last().copied()
    }

    /// The first of these rows that landed by this append.
    pub fn brought(&self, source: usize, rows: Range<u64>, attempt: u64) -> Option<u64> {
        let sources = self.sources();
        rows.into_iter().find(|row| {
            let landed = &sources[source].rows[usize::try_from(*row).unwrap()];
            landed.iter().any(|landed| landed.attempt == attempt)
        })
    }

    /// A receipt says that these rows of an append are committed.
    pub fn told(&self, source: usize, rows: Range<u64>, append: u64) {
        let told = Event::Told {
            source,
            rows,
            append,
        };
        self.history.lock().unwrap().push(told);
    }

    /// The violations of the history so far.
    pub fn check_history(&self) -> Vec<String> {
        let deliveries: Vec<Delivery> = self
            .sources()
            .iter()
            .map(|source| {
                if source.tracked {
                    Delivery::OnceInOrder
                } else {
                    Delivery::OncePerAppend
                }
            })
            .collect();
        history::check(&self.history.lock().unwrap(), &deliveries)
    }

    /// The violations found since the last call.
    pub fn take_wrong(&self) -> Vec<String> {
        std::mem::take(&mut self.wrong.lock().unwrap())
    }

    /// An observer that records the rows of each commit of an emulator, falsified by the sabotage if there is one.
    pub fn observer(
        self: &Arc<Self>,
        sabotage: Option<Sabotage>,
    ) -> impl Fn(&CommittedRows) + Send + Sync + 'static {
        let truth = Arc::clone(self);
        move |commit| truth.note_commit(commit, sabotage)
    }

    fn note_commit(self: &Arc<Self>, commit: &CommittedRows, sabotage: Option<Sabotage>) {
        let mut rows = row_identities(&commit.rows);
        let rejected = commit.rejected.iter();
        let mut rejected: Vec<RowIdentity> = rejected
            .map(|row| serde_json::from_str(&row.payload).unwrap())
            .collect();
        match sabotage {
            Some(Sabotage::Lose) => rows.clear(),
            Some(Sabotage::Double) => rows.extend(row_identities(&commit.rows)),
            Some(Sabotage::Reverse) => rows.reverse(),
            Some(Sabotage::Overtake) => rows.sort_by_key(|row| Reverse(row.attempt)),
            Some(Sabotage::ForgetRejects) => rejected.clear(),
            Some(Sabotage::SwapContents) => swap_contents(&mut rows),
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

    fn note(&self, identity: &RowIdentity, channel: &str, refused: bool) {
        self.history.lock().unwrap().push(Event::Landed {
            source: identity.source,
            channel: channel.to_uppercase(),
            is_rejected: refused,
            row: identity.row,
            append: identity.attempt,
        });
        let mut sources = self.sources();
        let Some(source) = sources.get_mut(identity.source) else {
            return self.report_violation(format!("{identity:?} is of no source"));
        };
        let rows = source.rows.len() as u64;
        if identity.row >= rows {
            return self.report_violation(format!("{identity:?} is beyond its source"));
        }
        if identity.content
            != content(
                identity.source,
                identity.row,
                identity.attempt,
                source.row_bytes,
            )
        {
            self.report_violation(format!(
                "row {} of channel {} by append {} holds what another row should",
                identity.row, identity.source, identity.attempt
            ));
        }
        let before = &mut source.rows[usize::try_from(identity.row).unwrap()];
        let mut same = before.iter();
        let twice = same.find(|landed| source.tracked || landed.attempt == identity.attempt);
        if let Some(first) = twice {
            self.report_violation(format!(
                "twice: row {} of channel {} by append {} after append {}",
                identity.row, identity.source, identity.attempt, first.attempt
            ));
        }
        let attempt = identity.attempt;
        before.push(Landed {
            attempt,
            refused,
            at_ms: u64::try_from(self.start.elapsed().as_millis()).unwrap(),
        });
        let channel_rows = source.channels.entry(channel.to_uppercase()).or_default();
        channel_rows.rows.insert(identity.row);
        if refused {
            channel_rows.refused.insert(identity.row);
        }
        let last = channel_rows.last[usize::from(refused)].replace((attempt, identity.row));
        // Rows without offsets may be sent again, but only in a later append. Appends are in order only for a single writer
        // without senders.
        let is_behind = |(append, row)| {
            let is_comparable = source.tracked || append == attempt;
            (is_comparable && row > identity.row) || (!source.is_unordered && append > attempt)
        };
        if last.is_some_and(is_behind) {
            self.report_violation(format!(
                "out of order: row {} of channel {} by append {attempt} after {last:?} in {channel}",
                identity.row, identity.source
            ));
        }
        source.next = source.next.max(identity.row + 1);
    }

    fn report_violation(&self, what: String) {
        self.wrong.lock().unwrap().push(what);
    }

    fn sources(&self) -> MutexGuard<'_, Vec<SourceRows>> {
        self.sources.lock().unwrap()
    }
}

/// Swaps the contents of two rows.
fn swap_contents(rows: &mut [RowIdentity]) {
    if let [first, .., last] = rows {
        std::mem::swap(&mut first.content, &mut last.content);
    }
}

fn row_identities<'a>(rows: impl IntoIterator<Item = &'a Value>) -> Vec<RowIdentity> {
    let marks = rows.into_iter().map(RowIdentity::deserialize);
    marks.map(Result::unwrap).collect()
}
