//! Rows that a task reads over a network, and that a thread which may block iterates.

use std::vec::IntoIter;

use anyhow::{Context, Result, anyhow};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::gold::Customer;
use super::groups::Rows;

/// How many batches may wait for the thread.
const MAX_BATCHES: usize = 4;

enum Message {
    Batch(Vec<Customer>),
    End,
}

/// Where a task sends what it has read.
#[derive(Clone)]
pub(super) struct Batches(Sender<Result<Message>>);

impl Batches {
    /// # Errors
    /// If the rows are not wanted any more.
    pub(super) async fn send(&self, rows: Vec<Customer>) -> Result<()> {
        let sent = self.0.send(Ok(Message::Batch(rows))).await;
        sent.map_err(|_| anyhow!("the check has ended"))
    }
}

/// The rows that `read` sends. An error of it is the last item, and names the table.
pub(super) fn rows<F>(
    runtime: &Handle,
    table: &str,
    read: impl FnOnce(Batches) -> F,
) -> Rows<'static>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(MAX_BATCHES);
    let read = read(Batches(sender.clone()));
    let failure = format!("cannot read the table {table}");
    runtime.spawn(async move {
        let last = read.await.map(|()| Message::End).context(failure);
        // Without a receiver the check has failed already.
        let _ = sender.send(last).await;
    });
    Box::new(Received {
        receiver,
        batch: Vec::new().into_iter(),
        has_ended: false,
    })
}

struct Received {
    receiver: Receiver<Result<Message>>,
    batch: IntoIter<Customer>,
    has_ended: bool,
}

impl Iterator for Received {
    type Item = Result<Customer>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.batch.next() {
                return Some(Ok(row));
            }
            if self.has_ended {
                return None;
            }
            // A task that was cancelled has not read everything, so only its message is the end.
            let cancelled = || Err(anyhow!("the reading of a table was cancelled"));
            match self.receiver.blocking_recv().unwrap_or_else(cancelled) {
                Ok(Message::Batch(batch)) => self.batch = batch.into_iter(),
                Ok(Message::End) => self.has_ended = true,
                Err(error) => {
                    self.has_ended = true;
                    return Some(Err(error));
                }
            }
        }
    }
}
