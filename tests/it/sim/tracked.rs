//! A program that streams a source into a channel with offsets, and reopens the channel when it has to.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use snowpipe_streaming::{
    Channel, Error, ErrorKind, InvalidationCause, OnUncommitted, Receipt, RowBatch,
};
use tokio::time::{sleep, sleep_until, timeout};

use super::contest;
use super::desk::{Desk, Ending};
use super::judge;
use super::plan::{Kind, Op};
use super::world::House;

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
    pub desk: Arc<Desk>,
    pub house: Arc<House>,
    pub rng: fastrand::Rng,
}

impl Program {
    /// Until every row is committed.
    pub async fn run(mut self) {
        while self.desk.ended().is_none() {
            let channel = self.open(None).await;
            if let Some(ending) = self.hold(channel).await {
                self.desk.end(ending);
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
        self.desk.at("open");
        loop {
            let name = self.desk.spelled(&mut self.rng);
            let opening = {
                let client = self.house.client.lock().unwrap();
                client.as_ref().unwrap().open_channel(name)
            };
            let opening = match &token {
                Some(token) => opening
                    .offset_token(token.as_str())
                    .on_uncommitted(OnUncommitted::Discard),
                None => opening.on_uncommitted(self.desk.policy()),
            };
            match opening.await {
                Ok(channel) => {
                    self.desk.tell(format!(
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
        self.desk.tell(format!("not open: {error:?}"));
        self.desk.note(error);
        if matches!(
            error.kind(),
            ErrorKind::Config | ErrorKind::ClientClosed | ErrorKind::InvalidOffset
        ) {
            self.desk.blame(format!("it cannot be opened: {error:?}"));
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
            self.desk.state.lock().unwrap().ran_out = false;
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
                    self.desk.tell(format!("failed: {error:?}"));
                    judge::invalidation(&self.desk, &self.house, &error);
                    if let Some(ending) = self.ceded(&error) {
                        return Some(ending);
                    }
                    if self.rng.bool() {
                        self.deaf();
                        return None;
                    }
                    self.pause().await;
                }
            }
            self.desk.at("reopen");
            while let Err(error) = channel.reopen().await {
                self.not_open(&error).await;
            }
            self.desk.tell(format!(
                "reopened at {:?}",
                channel.latest_committed_offset_token()
            ));
        }
    }

    fn watch(&self, channel: &Channel) {
        let desk = &self.desk;
        let commits = channel.commits();
        desk.world
            .watch(&self.house, desk.strand, commits, desk.reader());
    }

    pub fn deaf(&self) {
        self.desk.state.lock().unwrap().deaf = true;
    }

    /// Whether a failure means that the other source has won.
    pub fn ceded(&self, error: &Error) -> Option<Ending> {
        let lost = matches!(
            error.kind(),
            ErrorKind::Invalidated(InvalidationCause::Fenced | InvalidationCause::OffsetConflict)
        );
        if !lost || !self.desk.contested {
            return None;
        }
        contest::ceded(&self.desk, &self.house, error);
        Some(Ending::Ceded(Some(error.kind())))
    }

    /// The row to go on with. An error: it is another's channel now, or the token must be set right.
    fn resume(&self, channel: &Channel) -> Result<u64, Option<Ending>> {
        let desk = &self.desk;
        let token = channel.latest_committed_offset_token();
        let landed = desk.world.truth.next(desk.strand);
        let next = match &token {
            None => Some(0),
            Some(token) if token.as_str() == "none" => Some(0),
            Some(token) => desk.reader().row(token.as_str()).map(|row| row + 1),
        };
        match next {
            Some(next) if next == landed || (next < landed && desk.shared) => Ok(next),
            _ if desk.world.plan.tampers() => Err(None),
            None if token
                .as_ref()
                .is_some_and(|token| contest::is_rival(desk, token)) =>
            {
                // One that has brought nothing yet takes the channel over.
                (landed == 0).then_some(0).ok_or(Some(Ending::Ceded(None)))
            }
            _ => {
                desk.blame(format!(
                    "it resumes after {token:?}, and {landed} rows landed"
                ));
                Ok(landed)
            }
        }
    }

    /// What an operator does about a token that is not true: look at the table, and set it.
    async fn repair(&mut self, channel: Channel) -> Channel {
        self.desk.at("repair");
        drop(channel);
        let landed = self.desk.world.truth.next(self.desk.strand);
        let token = match landed.checked_sub(1) {
            Some(row) => self.desk.token(row).to_string(),
            None => "none".to_owned(),
        };
        self.desk.tell(format!("repaired to {token}"));
        self.open(Some(token)).await
    }

    /// Appends the source from a row on.
    async fn stream(&mut self, channel: &mut Channel, from: u64) -> Over {
        let desk = Arc::clone(&self.desk);
        let mut next = from;
        // The last rows of the appends so far.
        let mut used = Vec::new();
        // Until an append has waited, and was cancelled.
        let mut cancel = None;
        loop {
            while let Some(op) = desk.due(next) {
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
            if next >= desk.plan.rows {
                return Over::Appended;
            }
            let rows = self.rng.u64(1..=desk.plan.chunk).min(desk.plan.rows - next);
            desk.at("wait for rows");
            let available = desk.available(next + rows);
            tokio::select! {
                biased;
                error = channel.invalidated() => return Over::Failed(error),
                () = sleep_until(available) => {}
            }
            desk.at("append");
            let attempt = desk.world.id();
            let done = self.append(channel, next, rows, attempt, cancel).await;
            let last = channel.last_appended();
            let reached = last.map_or(from, |t| desk.reader().row(t.as_str()).unwrap() + 1);
            match done {
                Some(Ok(receipt)) => {
                    if reached <= next {
                        desk.blame(format!("{reached} is reached after {next} and {rows} more"));
                    }
                    desk.follow(&self.house, receipt, next..reached, attempt);
                }
                Some(Err(error)) if error.kind() == ErrorKind::Backpressure => self.pause().await,
                Some(Err(error)) => return self.refused(error),
                None => {
                    cancel = None;
                    desk.world.count("cancelled append");
                    desk.tell(format!("append {attempt} cancelled at {reached}"));
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
            self.desk
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
        let desk = Arc::clone(&self.desk);
        let range = next..next + rows;
        let last = next + rows - 1;
        let row = |n: u64| desk.row(n, attempt);
        let numbers = desk.plan.kind == Kind::Numbers;
        let way = self.rng.u8(if numbers { 0..7 } else { 4..7 });
        desk.tell(format!("append {attempt}: {range:?}, way {way}"));
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
                        polled(channel.append_batch(batch, next..), cancel).await
                    }
                    done => Some(done),
                }
            }
            4 => {
                let rows = range.map(|n| (row(n), desk.token(n)));
                polled(channel.append_each(rows), cancel).await
            }
            5 => {
                let pair = (desk.token(next), desk.token(last));
                polled(channel.append_rows(range.map(row), pair), cancel).await
            }
            _ => polled(channel.append_row(&row(next), desk.token(next)), cancel).await,
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
        let desk = Arc::clone(&self.desk);
        desk.tell(format!("{op:?} at {next}"));
        desk.at("operate");
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
                let patience = Duration::from_millis(ms);
                if let Ok(done) = timeout(patience, channel.wait_for_commit()).await {
                    return self.committed(done.map(|_| ()), from, next);
                }
            }
            Op::Status => match channel.status().await {
                Ok(status) => {
                    let token = status.latest_committed_offset_token();
                    let row = token.and_then(|token| desk.reader().row(token.as_str()));
                    if row.is_some_and(|row| row >= desk.world.truth.next(desk.strand)) {
                        desk.blame(format!("its status tells of {token:?}"));
                    }
                }
                Err(error) => desk.tell(format!("no status: {error:?}")),
            },
            Op::Reopen => return Some(Over::Reopen),
            Op::Close | Op::CloseFor(_) | Op::Drop => return Some(Over::Part(op, next)),
            Op::Cancel(_) | Op::Reuse => {}
        }
        None
    }

    /// A token that was used before is refused, and nothing is appended.
    async fn reuse(&mut self, channel: &mut Channel, used: &[u64]) -> Option<Over> {
        let desk = Arc::clone(&self.desk);
        let row = *used.get(self.rng.usize(..used.len().max(1)))?;
        desk.world.count("reused token");
        let attempt = desk.world.id();
        let again = channel.append_row(&desk.row(row, attempt), desk.token(row));
        match again.await {
            Ok(_) => desk.blame(format!("the token of row {row} was taken twice")),
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
                self.desk.heard(error.rejects());
            }
            Err(error) => return Some(self.refused(error)),
        }
        let truth = &self.desk.world.truth;
        if let Some(row) = truth.missing(self.desk.strand, from..next) {
            self.desk
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
