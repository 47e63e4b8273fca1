//! A channel's source, and what its programs know of it across restarts of their process.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use snowpipe_streaming::{Error, ErrorKind, OffsetToken, OnUncommitted, Receipt, RejectWindow};
use snowpipe_streaming_emulator::answers::{NameCase, RowCounters};
use tokio::time::Instant;

use super::content::content;
use super::plan::{ChannelPlan, Kind, Op, Policy};
use super::rejects::{self, DurableState};
use super::world::{ClientProcess, World};
use super::{digit_tokens, given_up, judge};

pub struct SourceRecord {
    pub world: Arc<World>,
    pub plan: ChannelPlan,
    pub name: String,
    /// The source's index in the truth.
    pub source: usize,
    /// Whether another source is written to the same channel. The second one to commit loses the channel.
    pub contested: bool,
    /// Whether other processes may write the same rows.
    pub shared: bool,
    pub state: Mutex<State>,
}

#[derive(Default)]
pub struct State {
    ops: Vec<(u64, Op)>,
    /// How the program ended, if it has.
    pub ended: Option<Ending>,
    /// What the program is activity, for the report of a hang.
    pub activity: &'static str,
    /// The windows of rejected rows that were reported.
    reported: Vec<RejectWindow>,
    /// Whether rejects may have been counted while no program observed them.
    pub unobserved: bool,
    /// How often a program has opened the channel.
    opens: u64,
    /// Whether the channel ended before the client could learn of another writer: the close timed out, or commits stalled because
    /// the server drops the rows of an earlier open and does not say so.
    pub unaware: bool,
    /// How often its channels had to be reopened.
    pub reopens: u64,
    /// The number of unresolved receipts.
    waiting: u64,
    pub row_states: Vec<RowState>,
    /// The rows, with their append, that an untracked channel handed back as unsent.
    pub unsent: BTreeSet<(u64, u64)>,
    pub kept: DurableState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Done,
    /// The other writer took over: noticed by this error or, with `None`, by the token at an open.
    Ceded(Option<ErrorKind>),
}

/// What the program of an untracked channel knows about a row.
#[derive(Debug, Clone, Copy, Default)]
pub struct RowState {
    pub at: Progress,
    /// The number of its appends that may have landed.
    pub ambiguous_appends: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Progress {
    #[default]
    Unsent,
    Sent,
    Acknowledged,
    GivenUp,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub struct Row<'a> {
    c: usize,
    n: u64,
    a: u64,
    g: Good,
    noise: &'a str,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Good {
    Yes(u8),
    No(&'static str),
}

/// Converts a source's tokens to row numbers.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    kind: Kind,
    pub source: usize,
}

impl Reader {
    /// The row of a token, or `None` if it is not a token of this source.
    pub fn row(self, token: &str) -> Option<u64> {
        match self.kind {
            Kind::Texts => {
                let (source, row) = token.strip_prefix("row-")?.split_once('-')?;
                let is_own = source.parse() == Ok(self.source);
                row.parse().ok().filter(|_| is_own)
            }
            Kind::Numbers => token.parse().ok().filter(|row| *row < 1_000_000),
            Kind::Digits => digit_tokens::row(token),
            Kind::Untracked { .. } | Kind::Source { .. } => None,
        }
    }
}

impl Row<'_> {
    pub fn number(&self) -> u64 {
        self.n
    }
}

impl SourceRecord {
    pub fn new(world: &Arc<World>, index: usize, plan: ChannelPlan, name: String) -> Self {
        let rivals: Vec<bool> = world.plan.rivals(index).collect();
        let shared = rivals.contains(&false);
        // Appends of concurrent senders land in any order.
        let is_unordered = shared || plan.senders > 0;
        let source =
            (world.truth).expect(plan.rows, plan.row_bytes, plan.is_tracked(), is_unordered);
        let state = State {
            ops: plan.ops.clone(),
            activity: "nothing",
            row_states: vec![RowState::default(); usize::try_from(plan.rows).unwrap()],
            ..State::default()
        };
        let kind = plan.kind;
        let mut opens = world.opens.lock().unwrap();
        opens.register(&name, Reader { kind, source });
        drop(opens);
        Self {
            world: Arc::clone(world),
            name,
            source,
            contested: rivals.contains(&true),
            shared,
            state: Mutex::new(state),
            plan,
        }
    }

    /// Whether the table rejects a row.
    pub fn is_bad(&self, row: u64) -> bool {
        let seed = self.world.plan.seed ^ (self.source as u64) << 32 ^ row;
        fastrand::Rng::with_seed(seed).u64(..100) < self.plan.bad_percent
    }

    pub fn row(&self, n: u64, attempt: u64) -> Row<'static> {
        Row {
            c: self.source,
            n,
            a: attempt,
            g: if self.is_bad(n) {
                Good::No("is no number")
            } else {
                Good::Yes(1)
            },
            noise: content(self.source, n, attempt, self.plan.row_bytes),
        }
    }

    /// Whether this is row `n` of one of the appends.
    pub fn is_row(&self, n: u64, row: &Row<'_>) -> bool {
        *row == self.row(n, row.a)
    }

    pub fn token(&self, row: u64) -> OffsetToken {
        match self.plan.kind {
            Kind::Texts => OffsetToken::new(format!("row-{}-{row:06}", self.source)).unwrap(),
            Kind::Digits | Kind::Source { digits: true, .. } => {
                OffsetToken::new(digit_tokens::text(row)).unwrap()
            }
            _ => OffsetToken::from(row),
        }
    }

    pub fn reader(&self) -> Reader {
        Reader {
            kind: self.plan.kind,
            source: self.source,
        }
    }

    /// The channel's name for an open, possibly in another case if that means the same channel.
    pub fn spelled(&self, rng: &mut fastrand::Rng) -> String {
        let is_folded = self.world.plan.server.answers.channels.name_case == NameCase::Folded;
        if self.plan.respelled && is_folded && rng.bool() {
            self.world.count("name in another case");
            return self.name.to_uppercase();
        }
        self.name.clone()
    }

    pub fn policy(&self) -> OnUncommitted {
        match self.plan.policy {
            Policy::Wait(ms) => OnUncommitted::Wait(Duration::from_millis(ms)),
            Policy::WaitThenDiscard(ms) => {
                OnUncommitted::WaitThenDiscard(Duration::from_millis(ms))
            }
            Policy::Discard => OnUncommitted::Discard,
        }
    }

    /// When the source has produced this many rows.
    pub fn available(&self, rows: u64) -> Instant {
        self.world.start + Duration::from_millis(self.plan.gap_ms * rows)
    }

    pub fn set_activity(&self, activity: &'static str) {
        self.state.lock().unwrap().activity = activity;
    }

    pub fn log(&self, what: impl std::fmt::Display) {
        self.world.log(format!("channel {}: {what}", self.source));
    }

    pub fn report_violation(&self, what: impl std::fmt::Display) {
        self.world
            .report_violation(format!("channel {}: {what}", self.source));
    }

    /// Records an error that the program received.
    pub fn note(&self, error: &Error) {
        self.world.note(self.source, error);
    }

    pub fn end(&self, ending: Ending) {
        self.log(format!("{ending:?}"));
        let late = Instant::now().saturating_duration_since(self.world.faults_end());
        let time_limit = self.world.plan.time_limit(&self.plan);
        if late > time_limit {
            self.report_violation(format!(
                "it finished {late:?} after the last fault, and may take {time_limit:?}"
            ));
        }
        self.state.lock().unwrap().ended = Some(ending);
    }

    pub fn ended(&self) -> Option<Ending> {
        self.state.lock().unwrap().ended
    }

    /// A program has opened the channel, not reopened it.
    pub fn opened(&self) {
        self.state.lock().unwrap().opens += 1;
    }

    /// Whether rejects may be counted among those of later rows: the counters come late, and a program that opens a channel does not
    /// know how many of the rows before are not counted yet. The same holds for rows of another writer.
    pub fn has_inexact_rejects(&self) -> bool {
        let is_late = self.world.plan.server.answers.wire.row_counters == RowCounters::Late;
        is_late && (self.contested || self.state.lock().unwrap().opens > 1)
    }

    /// The next operation that is due when the source has been read up to `row`.
    pub fn due(&self, row: u64) -> Option<Op> {
        let mut state = self.state.lock().unwrap();
        let at = state.ops.iter().position(|(at, _)| *at <= row)?;
        Some(state.ops.remove(at).1)
    }

    /// Records the reject windows of an error or a report.
    pub fn note_rejects<'a>(&self, windows: impl IntoIterator<Item = &'a RejectWindow>) {
        let mut state = self.state.lock().unwrap();
        for window in windows {
            // A reopen passes windows on, with the same public fields.
            let visible = |w: &RejectWindow| {
                let RejectWindow {
                    count,
                    after,
                    through,
                    message,
                    bound,
                    ..
                } = w.clone();
                (count, after, through, message, bound)
            };
            if !state
                .reported
                .iter()
                .any(|known| visible(known) == visible(window))
            {
                state.reported.push(window.clone());
            }
        }
    }

    /// Awaits a receipt, and compares its outcome with the table at that moment.
    pub fn follow(
        self: &Arc<Self>,
        process: &Arc<ClientProcess>,
        receipt: Receipt,
        rows: Range<u64>,
        attempt: u64,
    ) {
        self.state.lock().unwrap().waiting += 1;
        let (record, process) = (Arc::clone(self), Arc::clone(process));
        tokio::spawn(async move {
            let outcome = receipt.committed().await;
            if outcome.is_ok() {
                judge::commit(&record, &process, rows.clone(), attempt);
            }
            record.verify(&outcome, rows, attempt);
            record.state.lock().unwrap().waiting -= 1;
        });
    }

    fn verify(&self, outcome: &Result<(), Error>, rows: Range<u64>, attempt: u64) {
        if let Err(error) = outcome {
            self.note(error);
        }
        let truth = &self.world.truth;
        let said = match outcome {
            Ok(()) => "committed".to_owned(),
            Err(error) => format!("{:?}, ambiguous {}", error.kind(), error.is_ambiguous()),
        };
        let what = format!(
            "channel {}: rows {rows:?} by append {attempt}: {said}",
            self.source
        );
        self.world.log(what);
        if outcome.as_ref().map_or_else(Error::is_committed, |()| true) {
            truth.told(self.source, rows.clone(), attempt);
        }
        match outcome {
            Ok(()) => {
                if let Some(row) = truth.missing(self.source, rows.clone()) {
                    self.report_violation(format!(
                        "row {row} of {rows:?} was called committed and is not"
                    ));
                }
                let refused = truth.refused(self.source);
                let unsaid = refused.iter().find(|row| rows.contains(row));
                if let Some(row) = unsaid.filter(|_| !self.has_inexact_rejects()) {
                    self.report_violation(format!(
                        "row {row} was rejected, and its receipt does not say so"
                    ));
                }
            }
            Err(error) if error.kind() == ErrorKind::RowsRejected => {
                self.note_rejects(error.rejects());
                if let Some(row) = truth.missing(self.source, rows.clone()) {
                    self.report_violation(format!(
                        "row {row} of {rows:?} was called committed and is not"
                    ));
                }
            }
            Err(error) if error.is_committed() => self.report_violation(format!(
                "a receipt fails although its rows are committed: {error:?}"
            )),
            Err(error) => {
                if !error.is_ambiguous() {
                    self.world.note_not_committed(self.source, rows, attempt);
                }
                let known = matches!(
                    error.kind(),
                    ErrorKind::Invalidated(_)
                        | ErrorKind::Timeout
                        | ErrorKind::ClientClosed
                        | ErrorKind::ChannelClosed
                );
                if !known {
                    self.report_violation(format!("a receipt failed unexpectedly: {error:?}"));
                }
            }
        }
    }

    /// Checks the invariants at the end of the run.
    pub fn check(&self) {
        let state = self.state.lock().unwrap();
        let (waiting, ended) = (state.waiting, state.ended);
        let (reported, unobserved, row_states) = (
            state.reported.clone(),
            state.unobserved,
            state.row_states.clone(),
        );
        drop(state);
        if waiting > 0 {
            self.report_violation(format!("{waiting} receipts never resolved"));
        }
        if ended.is_none() && self.plan.rows > 0 {
            self.report_violation("it was given up");
        }
        given_up::check_unsent(self);
        for row in 0..self.plan.rows {
            let landings = self.world.truth.landings(self.source, row);
            if let Some(wrong) = landings.iter().find(|l| l.refused != self.is_bad(row)) {
                self.report_violation(format!("row {row} ended in the wrong table: {wrong:?}"));
            }
            let row_state = row_states[usize::try_from(row).unwrap()];
            let (least, most) = match (self.plan.kind, row_state.at) {
                (Kind::Untracked { .. }, Progress::Acknowledged) => {
                    (1, row_state.ambiguous_appends + 1)
                }
                (Kind::Untracked { .. }, _) => (0, row_state.ambiguous_appends),
                _ if ended == Some(Ending::Done) => (1, 1),
                _ => (0, 1),
            };
            if !(least..=most).contains(&landings.len()) {
                self.report_violation(format!(
                    "row {row} is there {} times and not {least} to {most} times: {landings:?}, {:?}",
                    landings.len(),
                    row_state.at
                ));
            }
        }
        if ended != Some(Ending::Done) || !self.plan.is_tracked() {
            return;
        }
        if let Kind::Source { shards, .. } = self.plan.kind {
            rejects::totals(self);
            if shards == 0 {
                self.check_token();
            }
        } else {
            self.check_token();
            rejects::windows(self, &reported, unobserved);
        }
    }

    fn check_token(&self) {
        let last = self.plan.rows.checked_sub(1).map(|row| self.token(row));
        let server = self
            .world
            .server()
            .and_then(|server| server.channel(&self.name));
        let kept = server.and_then(|record| record.offset_token);
        if !self.contested
            && !self.world.plan.has_foreign_token()
            && kept.as_deref() != last.as_ref().map(OffsetToken::as_str)
        {
            self.report_violation(format!("the server's token is {kept:?} and not {last:?}"));
        }
    }
}
