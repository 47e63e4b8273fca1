//! A program that streams rows without offsets, and records the outcome of each row itself.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use snowpipe_streaming::{
    Channel, Error, ErrorKind, Receipt, Result, UncommittedRows, Untracked, WeakChannelSender,
};
use tokio::time::{sleep, sleep_until};

use super::given_up::HandedBack;
use super::judge;
use super::plan::{Kind, Op};
use super::source_record::{Ending, Progress, SourceRecord};
use super::tracked_program::polled;
use super::world::ClientProcess;

pub struct Program {
    pub record: Arc<SourceRecord>,
    pub process: Arc<ClientProcess>,
    pub rng: fastrand::Rng,
}

/// An append with its receipt.
struct Sent {
    rows: Range<u64>,
    attempt: u64,
    receipt: Receipt,
}

impl Program {
    /// Runs until every row is acknowledged or given up.
    pub async fn run(mut self) {
        // Rows that were sent before a restart have an unknown outcome.
        self.mark_ambiguous(0..self.record.plan.rows);
        let mut kept = None;
        loop {
            let (mut channel, senders) = if let Some((channel, senders)) = kept.take() {
                (self.reopened(channel).await, senders)
            } else {
                let channel = self.open().await;
                let senders = (0..self.record.plan.senders).map(|_| channel.weak_sender());
                let senders: Vec<WeakChannelSender> = senders.collect();
                (channel, senders)
            };
            let mut sent = Vec::new();
            let failed = self.stream(&mut channel, &senders, &mut sent).await;
            self.record.set_activity("settle");
            let (closed, mut left) = match failed {
                Some(error) => (Err(error), Some(channel)),
                None => (channel.close().await.map(|_| ()), None),
            };
            if left.is_none() {
                self.refused(&senders).await;
            }
            self.record.log(format!("over: {closed:?}"));
            if let Err(error) = &closed {
                judge::invalidation(&self.record, &self.process, error);
            }
            let rows = match (&closed, &mut left) {
                (Err(_), Some(channel)) => channel.take_uncommitted_rows().await,
                (Err(error), None) => error.uncommitted_rows().cloned().unwrap_or_default(),
                (Ok(()), _) => UncommittedRows::default(),
            };
            let handed_back = HandedBack::new(&self.record, &rows);
            for sent in sent {
                self.settle(&sent, &handed_back).await;
            }
            if self.next().is_none() {
                return self.record.end(Ending::Done);
            }
            sleep(Duration::from_millis(self.rng.u64(100..5_000))).await;
            // Senders continue on the reopened channel. Without senders, the next open uses the name again.
            let left = left.filter(|_| !senders.is_empty());
            kept = left.map(|channel| (channel, senders));
        }
    }

    /// The channel, reopened.
    async fn reopened(&mut self, mut channel: Channel<Untracked>) -> Channel<Untracked> {
        self.record.set_activity("reopen");
        while let Err(error) = channel.reopen().await {
            self.record.log(format!("not reopened: {error:?}"));
            sleep(Duration::from_millis(self.rng.u64(100..5_000))).await;
        }
        self.record.world.count("senders of a reopened channel");
        channel
    }

    /// Checks that senders cannot append after their channel is closed.
    async fn refused(&self, senders: &[WeakChannelSender]) {
        for sender in senders {
            let attempt = self.record.world.id();
            let done = sender.append_row(&self.record.row(0, attempt)).await;
            let is_refused = |error: &Error| {
                matches!(
                    error.kind(),
                    ErrorKind::ChannelClosed | ErrorKind::ClientClosed
                )
            };
            if !done.as_ref().is_err_and(is_refused) {
                self.record
                    .report_violation(format!("a closed channel says {done:?}"));
            }
        }
    }

    async fn open(&mut self) -> Channel<Untracked> {
        self.record.set_activity("open");
        loop {
            let name = self.record.spelled(&mut self.rng);
            let opening = {
                let client = self.process.client.lock().unwrap();
                let client = client.as_ref().unwrap();
                client.open_untracked_channel(name)
            };
            match opening.on_uncommitted(self.record.policy()).await {
                Ok(channel) => {
                    self.record.opened();
                    return channel;
                }
                Err(error) => self.record.log(format!("not open: {error:?}")),
            }
            sleep(Duration::from_millis(self.rng.u64(100..5_000))).await;
        }
    }

    /// The first unsent row.
    fn next(&self) -> Option<u64> {
        let state = self.record.state.lock().unwrap();
        let mut row_states = state.row_states.iter().zip(0..);
        row_states
            .find(|(row_state, _)| row_state.at == Progress::Unsent)
            .map(|(_, row)| row)
    }

    fn mark(&self, rows: Range<u64>, at: Progress) {
        let mut state = self.record.state.lock().unwrap();
        for row in rows {
            state.row_states[usize::try_from(row).unwrap()].at = at;
        }
    }

    /// Marks the outcome of sent rows as unknown.
    fn mark_ambiguous(&self, rows: Range<u64>) {
        let again = self.record.plan.kind == Kind::Untracked { resend: true };
        let mut state = self.record.state.lock().unwrap();
        for row in rows {
            let row_state = &mut state.row_states[usize::try_from(row).unwrap()];
            if row_state.at == Progress::Sent {
                row_state.ambiguous_appends += 1;
                row_state.at = if again {
                    Progress::Unsent
                } else {
                    Progress::GivenUp
                };
            }
        }
    }

    async fn settle(&self, sent: &Sent, handed_back: &HandedBack) {
        let rows = sent.rows.clone();
        match sent.receipt.committed().await {
            Ok(()) => self.mark(rows, Progress::Acknowledged),
            Err(error) if error.is_committed() => self.mark(rows, Progress::Acknowledged),
            Err(error) if error.is_ambiguous() => self.mark_ambiguous(rows),
            Err(_) => {
                handed_back.check(&self.record, rows.clone(), sent.attempt);
                self.mark(rows, Progress::Unsent);
            }
        }
    }

    /// Appends all unsent rows. Returns the error that stopped it, if any.
    async fn stream(
        &mut self,
        channel: &mut Channel<Untracked>,
        senders: &[WeakChannelSender],
        sent: &mut Vec<Sent>,
    ) -> Option<Error> {
        let record = Arc::clone(&self.record);
        // The number of polls after which an append is cancelled, until one was.
        let mut cancel = None;
        while let Some(next) = self.next() {
            while let Some(op) = record.due(next) {
                record.set_activity("operate");
                match op {
                    Op::Cancel(polls) => cancel = Some(polls),
                    Op::WaitFlush => {
                        if let Err(error) = channel.wait_for_flush().await {
                            return Some(error);
                        }
                    }
                    Op::WaitCommit => match channel.wait_for_commit().await {
                        Err(error) if error.kind() != ErrorKind::RowsRejected => {
                            return Some(error);
                        }
                        _ => {}
                    },
                    _ => channel.initiate_flush(),
                }
            }
            record.set_activity("wait for rows");
            let rows = self.unsent(next);
            let available = record.available(rows.end);
            tokio::select! {
                biased;
                error = channel.invalidated() => return Some(error),
                () = sleep_until(available) => {}
            }
            record.set_activity("append");
            let mut failed = None;
            for (rows, attempt, done) in self.append(channel, senders, rows, cancel).await {
                match done {
                    Some(Ok(receipt)) => {
                        record.follow(&self.process, receipt.clone(), rows.clone(), attempt);
                        sent.push(Sent {
                            rows,
                            attempt,
                            receipt,
                        });
                    }
                    // Of many rows a prefix may be appended.
                    Some(Err(error)) => {
                        self.mark_ambiguous(rows);
                        if error.kind() != ErrorKind::Backpressure {
                            failed.get_or_insert(error);
                        }
                    }
                    None => {
                        cancel = None;
                        record.world.count("cancelled append");
                        self.mark(rows, Progress::Unsent);
                    }
                }
            }
            if failed.is_some() {
                return failed;
            }
        }
        None
    }

    /// Appends rows by the channel's handle, or a part of them by each sender concurrently.
    async fn append(
        &self,
        channel: &mut Channel<Untracked>,
        senders: &[WeakChannelSender],
        rows: Range<u64>,
        cancel: Option<u32>,
    ) -> Vec<(Range<u64>, u64, Option<Result<Receipt>>)> {
        let record = &self.record;
        let begin = |rows: &Range<u64>| {
            let attempt = record.world.id();
            record.log(format!("append {attempt}: {rows:?}"));
            self.mark(rows.clone(), Progress::Sent);
            attempt
        };
        let made = |rows: Range<u64>, attempt| rows.map(move |n| record.row(n, attempt));
        // A cancelled append of a single row appends nothing.
        let is_single = |rows: &Range<u64>| rows.end - rows.start == 1;
        if senders.is_empty() {
            let attempt = begin(&rows);
            let done = if is_single(&rows) {
                let row = record.row(rows.start, attempt);
                polled(channel.append_row(&row), cancel).await
            } else {
                Some(channel.append_rows(made(rows.clone(), attempt)).await)
            };
            return vec![(rows, attempt, done)];
        }
        let part = (rows.end - rows.start).div_ceil(senders.len() as u64);
        let starts = rows.clone().step_by(usize::try_from(part).unwrap());
        let parts = starts.map(|start| start..rows.end.min(start + part));
        let appends: Vec<_> = parts
            .zip(senders)
            .map(|(rows, sender)| {
                let attempt = begin(&rows);
                async move {
                    let done = if is_single(&rows) {
                        let row = record.row(rows.start, attempt);
                        polled(sender.append_row(&row), cancel).await
                    } else {
                        Some(sender.append_rows(made(rows.clone(), attempt)).await)
                    };
                    (rows, attempt, done)
                }
            })
            .collect();
        if appends.len() > 1 {
            record.world.count("appends of several senders");
        }
        join_all(appends).await
    }

    /// The rows of the next append.
    fn unsent(&mut self, next: u64) -> Range<u64> {
        let most = self.rng.u64(1..=self.record.plan.chunk);
        let state = self.record.state.lock().unwrap();
        let row_states = &state.row_states[usize::try_from(next).unwrap()..];
        let run = row_states
            .iter()
            .take_while(|row_state| row_state.at == Progress::Unsent);
        next..next + (run.count() as u64).min(most)
    }
}
