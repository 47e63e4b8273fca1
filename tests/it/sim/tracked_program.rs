//! A program that streams a source into a channel with offsets, and reopens the channel when it has to.

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

/// Why a hold of a channel is over.
enum Over {
    /// Everything is appended.
    Appended,
    /// It takes no more rows.
    Failed(Error),
    /// It is to be closed or dropped now, appended up to a row.
    Part(Op, u64),
    /// It is to be reopened although nothing is wrong.
    Reopen,
}

pub struct Program {
    pub record: Arc<SourceRecord>,
    pub process: Arc<ClientProcess>,
    pub rng: fastrand::Rng,
}

impl Program {
    /// Until every row is committed.
    pub async fn run(mut self) {
        while self.record.ended().is_none() {
            let channel = self.open(None).await;
            if let Some(ending) = self.hold(channel).await {
                self.record.end(ending);
                return;
            }
            self.pause().await;
        }
    }

    async fn pause(&mut self) {
        sleep(Duration::from_millis(self.rng.u64(100..5_000))).await;
    }

    /// Opens the channel, however often that takes. `token` sets the committed token.
    async fn open(&mut self, token: Option<String>) -> Channel {
        self.record.at("open");
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
            self.record.blame(format!("it cannot be opened: {error:?}"));
        }
        self.pause().await;
    }

    /// Streams from the committed token on, over as many reopens as it takes. `None`: open it afresh.
    async fn hold(&mut self, mut channel: Channel) -> Option<Ending> {
        loop {
            let from = match self.resume(&channel) {
                Ok(from) => from,
                Err(Some(ending)) => return Some(ending),
                Err(None) => {
                    channel = self.repair(channel).await;
                    continue;
                }
            };
            self.record.state.lock().unwrap().ran_out = false;
            self.watch(&channel);
            let over = self.stream(&mut channel, from).await;
            match over {
                Over::Appended => return self.finish(channel, from).await,
                Over::Part(op, next) => {
                    self.part(channel, op, from..next).await;
                    return None;
                }
                Over::Reopen => {}
                Over::Failed(error) => {
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
            self.record.at("reopen");
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

    /// Whether a failure means that the other source has won.
    pub fn ceded(&self, error: &Error) -> Option<Ending> {
        let lost = matches!(
            error.kind(),
            ErrorKind::Invalidated(InvalidationCause::Fenced | InvalidationCause::OffsetConflict)
        );
        if !lost || !self.record.contested {
            return None;
        }
        contention::ceded(&self.record, &self.process, error);
        Some(Ending::Ceded(Some(error.kind())))
    }

    /// The row to go on with. An error: it is another's channel now, or the token must be set right.
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
            _ if record.world.plan.tampers() => Err(None),
            None if token
                .as_ref()
                .is_some_and(|token| contention::is_rival(record, token)) =>
            {
                // One that has brought nothing yet takes the channel over.
                (landed == 0).then_some(0).ok_or(Some(Ending::Ceded(None)))
            }
            _ => {
                record.blame(format!(
                    "it resumes after {token:?}, and {landed} rows landed"
                ));
                Ok(landed)
            }
        }
    }

    /// What an operator does about a token that is not true: look at the table, and set it.
    async fn repair(&mut self, channel: Channel) -> Channel {
        self.record.at("repair");
        drop(channel);
        let landed = self.record.world.truth.next(self.record.source);
        let token = match landed.checked_sub(1) {
            Some(row) => self.record.token(row).to_string(),
            None => "none".to_owned(),
        };
        self.record.log(format!("repaired to {token}"));
        self.open(Some(token)).await
    }

    /// Appends the source from a row on.
    async fn stream(&mut self, channel: &mut Channel, from: u64) -> Over {
        let record = Arc::clone(&self.record);
        let mut next = from;
        // The last rows of the appends so far.
        let mut used = Vec::new();
        // Until an append has waited, and was cancelled.
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
                return Over::Appended;
            }
            let rows = self
                .rng
                .u64(1..=record.plan.chunk)
                .min(record.plan.rows - next);
            record.at("wait for rows");
            let available = record.available(next + rows);
            tokio::select! {
                biased;
                error = channel.invalidated() => return Over::Failed(error),
                () = sleep_until(available) => {}
            }
            record.at("append");
            let attempt = record.world.id();
            let done = self.append(channel, next, rows, attempt, cancel).await;
            let last = channel.last_appended();
            let reached = last.map_or(from, |t| record.reader().row(t.as_str()).unwrap() + 1);
            match done {
                Some(Ok(receipt)) => {
                    if reached <= next {
                        record.blame(format!("{reached} is reached after {next} and {rows} more"));
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

    fn refused(&self, error: Error) -> Over {
        let known = matches!(error.kind(), ErrorKind::Invalidated(_));
        if !known {
            self.record
                .blame(format!("an append failed oddly: {error:?}"));
        }
        Over::Failed(error)
    }

    /// Appends rows in one of the ways there are. `None`: it was cancelled.
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

    /// Does something between two appends.
    async fn operate(
        &mut self,
        channel: &mut Channel,
        op: Op,
        from: u64,
        next: u64,
    ) -> Option<Over> {
        let record = Arc::clone(&self.record);
        record.log(format!("{op:?} at {next}"));
        record.at("operate");
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
                        record.blame(format!("its status shows {token:?}"));
                    }
                }
                Err(error) => record.log(format!("no status: {error:?}")),
            },
            Op::Reopen => return Some(Over::Reopen),
            Op::Close | Op::CloseFor(_) | Op::Drop => return Some(Over::Part(op, next)),
            Op::Cancel(_) | Op::Reuse => {}
        }
        None
    }

    /// A token that was used before is refused, and nothing is appended.
    async fn reuse(&mut self, channel: &mut Channel, used: &[u64]) -> Option<Over> {
        let record = Arc::clone(&self.record);
        let row = *used.get(self.rng.usize(..used.len().max(1)))?;
        record.world.count("reused token");
        let attempt = record.world.id();
        let again = channel.append_row(&record.row(row, attempt), record.token(row));
        match again.await {
            Ok(_) => record.blame(format!("the token of row {row} was taken twice")),
            Err(error) => match error.kind() {
                ErrorKind::TokenReused | ErrorKind::Backpressure => {}
                _ => return Some(self.refused(error)),
            },
        }
        None
    }

    /// What a wait for the commit came to.
    fn committed(&self, done: Result<(), Error>, from: u64, next: u64) -> Option<Over> {
        match done {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::RowsRejected => {
                self.record.view(error.rejects());
            }
            Err(error) => return Some(self.refused(error)),
        }
        let truth = &self.record.world.truth;
        if let Some(row) = truth.missing(self.record.source, from..next) {
            self.record
                .blame(format!("row {row} was waited for, and is not committed"));
        }
        None
    }
}

/// The output of a future, or `None` if it was dropped when it was polled so often and not done.
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
