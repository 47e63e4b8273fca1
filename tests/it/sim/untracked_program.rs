//! A program that streams rows without offsets, and remembers itself what became of them.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use snowpipe_streaming::{Channel, Error, ErrorKind, Receipt, Untracked};
use tokio::time::{sleep, sleep_until};

use super::judge;
use super::plan::{Kind, Op};
use super::source_record::{At, Ending, SourceRecord};
use super::world::ClientProcess;

pub struct Program {
    pub record: Arc<SourceRecord>,
    pub process: Arc<ClientProcess>,
    pub rng: fastrand::Rng,
}

/// An append of this hold.
struct Sent {
    rows: Range<u64>,
    receipt: Receipt,
}

impl Program {
    /// Until every row is acknowledged or given up.
    pub async fn run(mut self) {
        // An earlier life has sent them, and their outcome is unknown.
        self.doubt(0..self.record.plan.rows);
        loop {
            let mut channel = self.open().await;
            let mut sent = Vec::new();
            let failed = self.stream(&mut channel, &mut sent).await;
            self.record.at("settle");
            let closed = match failed {
                Some(error) => Err(error),
                None => channel.close().await.map(|_| ()),
            };
            self.record.log(format!("over: {closed:?}"));
            if let Err(error) = &closed {
                judge::invalidation(&self.record, &self.process, error);
            }
            for sent in sent {
                self.settle(&sent).await;
            }
            if self.next().is_none() {
                return self.record.end(Ending::Done);
            }
            sleep(Duration::from_millis(self.rng.u64(100..5_000))).await;
        }
    }

    async fn open(&mut self) -> Channel<Untracked> {
        self.record.at("open");
        loop {
            let name = self.record.spelled(&mut self.rng);
            let opening = {
                let client = self.process.client.lock().unwrap();
                let client = client.as_ref().unwrap();
                client.open_untracked_channel(name)
            };
            match opening.on_uncommitted(self.record.policy()).await {
                Ok(channel) => return channel,
                Err(error) => self.record.log(format!("not open: {error:?}")),
            }
            sleep(Duration::from_millis(self.rng.u64(100..5_000))).await;
        }
    }

    /// The first row that is to be sent.
    fn next(&self) -> Option<u64> {
        let state = self.record.state.lock().unwrap();
        let mut fates = state.fates.iter().zip(0..);
        fates
            .find(|(fate, _)| fate.at == At::Unsent)
            .map(|(_, row)| row)
    }

    fn mark(&self, rows: Range<u64>, at: At) {
        let mut state = self.record.state.lock().unwrap();
        for row in rows {
            state.fates[usize::try_from(row).unwrap()].at = at;
        }
    }

    /// Rows that were sent may be in or not.
    fn doubt(&self, rows: Range<u64>) {
        let again = self.record.plan.kind == Kind::Untracked { resend: true };
        let mut state = self.record.state.lock().unwrap();
        for row in rows {
            let fate = &mut state.fates[usize::try_from(row).unwrap()];
            if fate.at == At::Sent {
                fate.doubts += 1;
                fate.at = if again { At::Unsent } else { At::GivenUp };
            }
        }
    }

    async fn settle(&self, sent: &Sent) {
        let rows = sent.rows.clone();
        match sent.receipt.committed().await {
            Ok(()) => self.mark(rows, At::Acknowledged),
            Err(error) if error.is_committed() => self.mark(rows, At::Acknowledged),
            Err(error) if error.is_ambiguous() => self.doubt(rows),
            Err(_) => self.mark(rows, At::Unsent),
        }
    }

    /// Appends what is to be sent, and says why it cannot go on.
    async fn stream(
        &mut self,
        channel: &mut Channel<Untracked>,
        sent: &mut Vec<Sent>,
    ) -> Option<Error> {
        let record = Arc::clone(&self.record);
        // Until an append has waited, and was cancelled.
        let mut cancel = None;
        while let Some(next) = self.next() {
            while let Some(op) = record.due(next) {
                record.at("operate");
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
            record.at("wait for rows");
            let rows = self.unsent(next);
            let available = record.available(rows.end);
            tokio::select! {
                biased;
                error = channel.invalidated() => return Some(error),
                () = sleep_until(available) => {}
            }
            record.at("append");
            let attempt = record.world.id();
            record.log(format!("append {attempt}: {rows:?}"));
            self.mark(rows.clone(), At::Sent);
            let done = if rows.end - rows.start == 1 {
                // Of a single row nothing is appended if it is cancelled.
                let row = record.row(next, attempt);
                super::tracked_program::polled(channel.append_row(&row), cancel).await
            } else {
                let rows = rows.clone().map(|n| record.row(n, attempt));
                Some(channel.append_rows(rows).await)
            };
            match done {
                Some(Ok(receipt)) => {
                    record.follow(&self.process, receipt.clone(), rows.clone(), attempt);
                    sent.push(Sent { rows, receipt });
                }
                // Of many rows a prefix may be appended.
                Some(Err(error)) => {
                    self.doubt(rows);
                    if error.kind() != ErrorKind::Backpressure {
                        return Some(error);
                    }
                }
                None => {
                    cancel = None;
                    record.world.count("cancelled append");
                    self.mark(rows, At::Unsent);
                }
            }
        }
        None
    }

    /// The rows of the next append.
    fn unsent(&mut self, next: u64) -> Range<u64> {
        let most = self.rng.u64(1..=self.record.plan.chunk);
        let state = self.record.state.lock().unwrap();
        let fates = &state.fates[usize::try_from(next).unwrap()..];
        let run = fates.iter().take_while(|fate| fate.at == At::Unsent);
        next..next + (run.count() as u64).min(most)
    }
}
