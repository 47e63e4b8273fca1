//! A program that streams a source into a channel with offsets, and reopens the channel when necessary.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use snowpipe_streaming::{
    Channel, Error, ErrorKind, InvalidationCause, OnUncommitted, Receipt, RowBatch,
};
use tokio::time::{sleep, sleep_until, timeout};

use super::contention;
use super::judge;
use super::plan::{Kind, Op};
use super::source_record::{Ending, SourceRecord};
use super::world::ClientProcess;

/// Why the program stops appending.
enum StreamEnd {
    /// Everything is appended.
    Appended,
    /// The channel refuses rows.
    Failed(Error),
    /// The channel is to be closed or dropped before this row.
    CloseEarly(Op, u64),
    /// The channel is to be reopened although it is valid.
    Reopen,
}

pub struct Program {
    pub record: Arc<SourceRecord>,
    pub process: Arc<ClientProcess>,
    pub rng: fastrand::Rng,
}

impl Program {
    /// Runs until every row is committed.
    pub async fn run(mut self) {
        while self.record.ended().is_none() {
            let channel = self.open(None).await;
            if let Some(ending) = self.use_channel(channel).await {
                self.record.end(ending);
                return;
            }
            self.pause().await;
        }
    }

    async fn pause(&mut self) {
        sleep(Duration::from_millis(self.rng.u64(100..5_000))).await;
    }

    /// Opens the channel, with retries. `token` sets the committed token.
    async fn open(&mut self, token: Option<String>) -> Channel {
        self.record.set_activity("open");
        loop {
            let name = self.record.spelled(&mut self.rng);
            let opening = {
                let client = self.process.client.lock().unwrap();
                client.as_ref().unwrap().open_channel(name)
            };
            let opening = match &token {
                Some(token) => opening
                    .offset_token(token.as_str())
                    .on_uncommitted(OnUncommitted::Discard),
                None => opening.on_uncommitted(self.record.policy()),
            };
            match opening.await {
                Ok(channel) => {
                    self.record.opened();
                    self.record.log(format!(
                        "open at {:?}",
                        channel.latest_committed_offset_token()
                    ));
                    return channel;
                }
                Err(error) => self.not_open(&error).await,
            }
        }
    }

    async fn not_open(&mut self, error: &Error) {
        self.record.log(format!("not open: {error:?}"));
        self.record.note(error);
        if matches!(
            error.kind(),
            ErrorKind::Config | ErrorKind::ClientClosed | ErrorKind::InvalidOffset
        ) {
            self.record
                .report_violation(format!("it cannot be opened: {error:?}"));
        }
        self.pause().await;
    }

    /// Streams from the committed token, reopening the channel as necessary. `None`: the caller opens a new handle.
    async fn use_channel(&mut self, mut channel: Channel) -> Option<Ending> {
        loop {
            let from = match self.resume(&channel) {
                Ok(from) => from,
                Err(Some(ending)) => return Some(ending),
                Err(None) => {
                    channel = self.repair(channel).await;
                    continue;
                }
            };
            self.record.state.lock().unwrap().unaware = false;
            self.watch(&channel);
            let over = self.stream(&mut channel, from).await;
            match over {
                StreamEnd::Appended => return self.finish(channel, from).await,
                StreamEnd::CloseEarly(op, next) => {
                    self.close_early(channel, op, from..next).await;
                    return None;
                }
                StreamEnd::Reopen => {}
                StreamEnd::Failed(error) => {
                    self.record.log(format!("failed: {error:?}"));
                    judge::invalidation(&self.record, &self.process, &error);
                    if let Some(ending) = self.ceded(&error) {
                        return Some(ending);
                    }
                    if self.rng.bool() {
                        self.unobserved();
                        return None;
                    }
                    self.pause().await;
                }
            }
            self.record.set_activity("reopen");
            while let Err(error) = channel.reopen().await {
                self.not_open(&error).await;
            }
            self.record.log(format!(
                "reopened at {:?}",
                channel.latest_committed_offset_token()
            ));
        }
    }

    fn watch(&self, channel: &Channel) {
        let record = &self.record;
        let commits = channel.commits();
        record
            .world
            .watch(&self.process, record.source, commits, record.reader());
    }

    pub fn unobserved(&self) {
        self.record.state.lock().unwrap().unobserved = true;
    }

    /// The ending if a failure means that the other source has taken over the channel.
    pub fn ceded(&self, error: &Error) -> Option<Ending> {
        let lost = matches!(
            error.kind(),
            ErrorKind::Invalidated(InvalidationCause::Fenced | InvalidationCause::OffsetConflict)
        );
        if !lost || !self.record.contested {
            return None;
        }
        contention::check_ceded(&self.record, &self.process, error);
        Some(Ending::Ceded(Some(error.kind())))
    }

    /// The row to resume with. An error: the other writer has the channel (`Some`), or the token must be corrected (`None`).
    fn resume(&self, channel: &Channel) -> Result<u64, Option<Ending>> {
        let record = &self.record;
        let token = channel.latest_committed_offset_token();
        let landed = record.world.truth.next(record.source);
        let next = match &token {
            None => Some(0),
            Some(token) if token.as_str() == "none" => Some(0),
            Some(token) => record.reader().row(token.as_str()).map(|row| row + 1),
        };
        match next {
            Some(next) if next == landed || (next < landed && record.shared) => Ok(next),
            _ if record.world.plan.has_foreign_token() => Err(None),
            None if token
                .as_ref()
                .is_some_and(|token| contention::is_rival(record, token)) =>
            {
                // A source without committed rows takes the channel over.
                (landed == 0).then_some(0).ok_or(Some(Ending::Ceded(None)))
            }
            _ => {
                record.report_violation(format!(
                    "it resumes after {token:?}, and {landed} rows landed"
                ));
                Ok(landed)
            }
        }
    }

    /// Corrects a foreign token from the table, as an operator would.
    async fn repair(&mut self, channel: Channel) -> Channel {
        self.record.set_activity("repair");
        drop(channel);
        let landed = self.record.world.truth.next(self.record.source);
        let token = match landed.checked_sub(1) {
            Some(row) => self.record.token(row).to_string(),
            None => "none".to_owned(),
        };
        self.record.log(format!("repaired to {token}"));
        self.open(Some(token)).await
    }

    /// Appends the source's rows from this one on.
    async fn stream(&mut self, channel: &mut Channel, from: u64) -> StreamEnd {
        let record = Arc::clone(&self.record);
        let mut next = from;
        // The last rows of the appends so far.
        let mut used = Vec::new();
        // The number of polls after which an append is cancelled, until one was.
        let mut cancel = None;
        loop {
            while let Some(op) = record.due(next) {
                if let Op::Cancel(polls) = op {
                    cancel = Some(polls);
                    continue;
                }
                if op == Op::Reuse {
                    if let Some(over) = self.reuse(channel, &used).await {
                        return over;
                    }
                    continue;
                }
                if let Some(over) = self.operate(channel, op, from, next).await {
                    return over;
                }
            }
            if next >= record.plan.rows {
                return StreamEnd::Appended;
            }
            let rows = self
                .rng
                .u64(1..=record.plan.chunk)
                .min(record.plan.rows - next);
            record.set_activity("wait for rows");
            let available = record.available(next + rows);
            tokio::select! {
                biased;
                error = channel.invalidated() => return StreamEnd::Failed(error),
                () = sleep_until(available) => {}
            }
            record.set_activity("append");
            let attempt = record.world.id();
            let done = self.append(channel, next, rows, attempt, cancel).await;
            let last = channel.last_appended();
            let reached = last.map_or(from, |t| record.reader().row(t.as_str()).unwrap() + 1);
            match done {
                Some(Ok(receipt)) => {
                    if reached <= next {
                        record.report_violation(format!(
                            "{reached} is reached after {next} and {rows} more"
                        ));
                    }
                    record.follow(&self.process, receipt, next..reached, attempt);
                }
                Some(Err(error)) if error.kind() == ErrorKind::Backpressure => self.pause().await,
                Some(Err(error)) => return self.refused(error),
                None => {
                    cancel = None;
                    record.world.count("cancelled append");
                    record.log(format!("append {attempt} cancelled at {reached}"));
                }
            }
            if reached > next {
                used.push(reached - 1);
            }
            next = reached;
        }
    }

    fn refused(&self, error: Error) -> StreamEnd {
        let known = matches!(error.kind(), ErrorKind::Invalidated(_));
        if !known {
            self.record
                .report_violation(format!("an append failed unexpectedly: {error:?}"));
        }
        StreamEnd::Failed(error)
    }

    /// Appends rows by a random method. `None`: the append was cancelled.
    async fn append(
        &mut self,
        channel: &mut Channel,
        next: u64,
        rows: u64,
        attempt: u64,
        cancel: Option<u32>,
    ) -> Option<Result<Receipt, Error>> {
        let record = Arc::clone(&self.record);
        let range = next..next + rows;
        let last = next + rows - 1;
        let row = |n: u64| record.row(n, attempt);
        let numbers = record.plan.kind == Kind::Numbers;
        let way = self.rng.u8(if numbers { 0..7 } else { 4..7 });
        record.log(format!("append {attempt}: {range:?}, way {way}"));
        match way {
            0 | 1 => polled(channel.append_rows(range.map(row), next..), cancel).await,
            2 => polled(channel.append_rows(range.map(row), next..=last), cancel).await,
            3 => {
                let mut lines = Vec::new();
                for n in range {
                    serde_json::to_writer(&mut lines, &row(n)).unwrap();
                    lines.push(b'\n');
                }
                let batch = RowBatch::from_ndjson(lines).unwrap();
                match channel.try_append_batch(&batch, next..) {
                    Err(error) if error.kind() == ErrorKind::Backpressure => {
                        polled(channel.append_batch(&batch, next..), cancel).await
                    }
                    done => Some(done),
                }
            }
            4 => {
                let rows = range.map(|n| (row(n), record.token(n)));
                polled(channel.append_each(rows), cancel).await
            }
            5 => {
                let pair = (record.token(next), record.token(last));
                polled(channel.append_rows(range.map(row), pair), cancel).await
            }
            _ => polled(channel.append_row(&row(next), record.token(next)), cancel).await,
        }
    }

    /// Performs an operation between two appends.
    async fn operate(
        &mut self,
        channel: &mut Channel,
        op: Op,
        from: u64,
        next: u64,
    ) -> Option<StreamEnd> {
        let record = Arc::clone(&self.record);
        record.log(format!("{op:?} at {next}"));
        record.set_activity("operate");
        match op {
            Op::Flush => channel.initiate_flush(),
            Op::WaitFlush => {
                if let Err(error) = channel.wait_for_flush().await {
                    return Some(self.refused(error));
                }
            }
            Op::WaitCommit => {
                let done = channel.wait_for_commit().await;
                return self.committed(done.map(|_| ()), from, next);
            }
            Op::WaitCommitFor(ms) => {
                let time_limit = Duration::from_millis(ms);
                if let Ok(done) = timeout(time_limit, channel.wait_for_commit()).await {
                    return self.committed(done.map(|_| ()), from, next);
                }
            }
            Op::Status => match channel.status().await {
                Ok(status) => {
                    let token = status.latest_committed_offset_token();
                    let row = token.and_then(|token| record.reader().row(token.as_str()));
                    if row.is_some_and(|row| row >= record.world.truth.next(record.source)) {
                        record.report_violation(format!("its status shows {token:?}"));
                    }
                }
                Err(error) => record.log(format!("no status: {error:?}")),
            },
            Op::Reopen => return Some(StreamEnd::Reopen),
            Op::Close | Op::CloseFor(_) | Op::Drop => return Some(StreamEnd::CloseEarly(op, next)),
            Op::Cancel(_) | Op::Reuse => {}
        }
        None
    }

    /// Appends with a used token, and checks that the append is refused.
    async fn reuse(&mut self, channel: &mut Channel, used: &[u64]) -> Option<StreamEnd> {
        let record = Arc::clone(&self.record);
        let row = *used.get(self.rng.usize(..used.len().max(1)))?;
        record.world.count("reused token");
        let attempt = record.world.id();
        let again = channel.append_row(&record.row(row, attempt), record.token(row));
        match again.await {
            Ok(_) => record.report_violation(format!("the token of row {row} was taken twice")),
            Err(error) => match error.kind() {
                ErrorKind::TokenReused | ErrorKind::Backpressure => {}
                _ => return Some(self.refused(error)),
            },
        }
        None
    }

    /// Checks the result of a wait for commits.
    fn committed(&self, done: Result<(), Error>, from: u64, next: u64) -> Option<StreamEnd> {
        match done {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::RowsRejected => {
                self.record.note_rejects(error.rejects());
            }
            Err(error) => return Some(self.refused(error)),
        }
        let truth = &self.record.world.truth;
        if let Some(row) = truth.missing(self.record.source, from..next) {
            self.record
                .report_violation(format!("row {row} was waited for, and is not committed"));
        }
        None
    }
}

/// The output of a future, or `None` if it was dropped because it was pending after this many polls.
pub async fn polled<F: Future + Unpin>(mut future: F, cancel: Option<u32>) -> Option<F::Output> {
    let Some(mut left) = cancel else {
        return Some(future.await);
    };
    std::future::poll_fn(|context| match Pin::new(&mut future).poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}
