//! What a soak has found.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::ledger::Ledger;
use super::{Soak, picture};

/// The rows of a channel after a soak.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SoakChannel {
    /// The channel.
    pub name: String,
    /// How many rows the committed offset promises.
    pub expected: u64,
    /// How many of them are not in the table.
    pub lost: u64,
    /// How many rows are in the table although the same row is there already.
    pub doubled: u64,
    /// How many rows are in the table that the committed offset does not promise.
    pub beyond: u64,
}

/// The result of a soak.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SoakReport {
    /// How long rows were streamed, in seconds.
    pub seconds: f64,
    /// The seed of the faults and of the writers' decisions.
    pub seed: u64,
    /// The channels.
    pub channels: Vec<SoakChannel>,
    /// How many rows were appended, those that were appended again after a crash included.
    pub appended: u64,
    /// How many sessions opened a channel, and how they ended: `opened`, `closed`, `crashed`, `fenced`, `failed`.
    pub sessions: BTreeMap<&'static str, u64>,
    /// How many requests the writers sent.
    pub requests: u64,
    /// The faults that the soak made, and how many of each.
    pub faults: BTreeMap<&'static str, u64>,
    /// Times from append to committed in milliseconds: 50, 90, 99 and 100 percent.
    pub to_commit_ms: Option<[u64; 4]>,
    /// Times from append to visible in a query in milliseconds: 50, 90, 99 and 100 percent.
    pub to_visible_ms: Option<[u64; 4]>,
    /// The last error of a session that was not because of another writer.
    pub last_error: Option<String>,
    /// The objects that could not be dropped.
    pub left_behind: Vec<String>,
    #[serde(skip)]
    to_commit: Vec<Duration>,
    #[serde(skip)]
    to_visible: Vec<Duration>,
}

impl SoakReport {
    pub(super) fn new(
        soak: &Soak,
        streamed: Duration,
        channels: Vec<SoakChannel>,
        ledgers: &BTreeMap<&str, Arc<Ledger>>,
        to_visible: Vec<Duration>,
        (requests, faults): (u64, BTreeMap<&'static str, u64>),
    ) -> Self {
        let mut sessions: BTreeMap<&'static str, u64> = BTreeMap::new();
        let (mut appended, mut last_error, mut to_commit) = (0, None, Vec::new());
        for ledger in ledgers.values() {
            let known = ledger.known();
            appended += known.appended;
            for (what, count) in [
                ("opened", known.opened),
                ("closed", known.closed),
                ("crashed", known.crashed),
                ("fenced", known.fenced),
                ("failed", known.failed),
            ] {
                *sessions.entry(what).or_default() += count;
            }
            last_error = known.last_error.clone().or(last_error);
            to_commit.extend(known.to_commit.sorted());
        }
        to_commit.sort_unstable();
        Self {
            seconds: streamed.as_secs_f64(),
            seed: soak.seed,
            channels,
            appended,
            sessions,
            requests,
            faults,
            to_commit_ms: shares(&to_commit),
            to_visible_ms: shares(&to_visible),
            last_error,
            left_behind: Vec::new(),
            to_commit,
            to_visible,
        }
    }

    /// Whether each row that the committed offsets promise is in the table once, and no other row is.
    pub fn is_exact(&self) -> bool {
        let mut channels = self.channels.iter();
        channels.all(|one| one.lost == 0 && one.doubled == 0 && one.beyond == 0)
    }

    /// The latencies as an SVG: which share of the rows took how long.
    pub fn picture(&self) -> String {
        picture::of(&[
            ("append to committed", "#1f77b4", &self.to_commit),
            ("append to visible", "#d95f02", &self.to_visible),
        ])
    }
}

/// The median, 90 %, 99 % and the longest of sorted times.
fn shares(sorted: &[Duration]) -> Option<[u64; 4]> {
    let last = sorted.len().checked_sub(1)?;
    let at = |percent: usize| {
        let time = sorted.get(last * percent / 100).copied();
        u64::try_from(time.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
    };
    Some([at(50), at(90), at(99), at(100)])
}

impl fmt::Display for SoakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<12} {:>12} {:>8} {:>8} {:>8}",
            "channel", "rows", "lost", "doubled", "beyond"
        )?;
        for one in &self.channels {
            writeln!(
                f,
                "{:<12} {:>12} {:>8} {:>8} {:>8}",
                one.name, one.expected, one.lost, one.doubled, one.beyond
            )?;
        }
        writeln!(
            f,
            "\n{:<22} {:>9} {:>9} {:>9} {:>9}",
            "time in ms", "50 %", "90 %", "99 %", "longest"
        )?;
        for (what, times) in [
            ("append to committed", self.to_commit_ms),
            ("append to visible", self.to_visible_ms),
        ] {
            match times {
                Some([half, most, nearly, all]) => {
                    writeln!(f, "{what:<22} {half:>9} {most:>9} {nearly:>9} {all:>9}")?;
                }
                None => writeln!(f, "{what:<22} not measured")?,
            }
        }
        let listed = |counts: &BTreeMap<&str, u64>| {
            let counts = counts.iter().map(|(what, count)| format!("{count} {what}"));
            counts.collect::<Vec<_>>().join(", ")
        };
        writeln!(f, "\nsessions: {}", listed(&self.sessions))?;
        writeln!(
            f,
            "{} requests; faults: {}",
            self.requests,
            listed(&self.faults)
        )?;
        if let Some(error) = &self.last_error {
            writeln!(f, "last error of a session: {error}")?;
        }
        for left in &self.left_behind {
            writeln!(f, "left behind: {left}")?;
        }
        let verdict = if self.is_exact() {
            "each row is there once"
        } else {
            "ROWS ARE LOST OR DOUBLED"
        };
        write!(
            f,
            "{verdict}: {} rows appended in {:.0} s, seed {}",
            self.appended, self.seconds, self.seed
        )
    }
}
