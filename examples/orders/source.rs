//! A source that generates its rows when they are read.

use std::sync::Arc;

use anyhow::{Result, bail};
use snowpipe_streaming::ingest::{Batch, Rejected, Source};
use tracing::{error, warn};

use crate::meter::Meter;
use crate::pace::Pace;
use crate::rows::Rows;

/// A table's rows. Rows that are not committed are generated again; none are stored.
#[derive(Debug)]
pub(crate) struct Generated<R> {
    rows: Arc<R>,
    pace: Pace,
    meter: Arc<Meter>,
}

impl<R: Rows> Generated<R> {
    /// A source of `rows` at this pace.
    pub(crate) fn new(rows: Arc<R>, pace: Pace, meter: Arc<Meter>) -> Self {
        Self { rows, pace, meter }
    }

    fn read(&mut self, first: u64, max: usize) -> Batch<R::Offset, R::Row> {
        if first > self.rows.last() {
            return Batch::end();
        }
        let mut rows = self.rows.from(first).peekable();
        let last_order = rows.peek().map_or(0, |(order, _)| self.pace.last(*order));
        let rows = rows.take_while(|(order, _)| *order <= last_order).take(max);
        let rows = (first..)
            .zip(rows)
            .map(|(number, (_, row))| (number.into(), row));
        let batch = Batch::new(rows.collect());
        let last = batch.through.map_or(0, Into::into);
        if last == self.rows.last() {
            batch.with_end()
        } else {
            batch
        }
    }
}

impl<R: Rows> Source for Generated<R> {
    type Offset = R::Offset;
    type Row = R::Row;
    type Error = anyhow::Error;

    async fn read_after(
        &mut self,
        after: Option<&R::Offset>,
        max: usize,
    ) -> Result<Batch<R::Offset, R::Row>> {
        let after: u64 = after.map_or(0, |offset| (*offset).into());
        Ok(self.read(after.saturating_add(1), max))
    }

    async fn ready(&mut self) -> Result<()> {
        self.pace.more().await;
        Ok(())
    }

    async fn release_through(&mut self, through: &R::Offset) -> Result<()> {
        self.meter.set((*through).into());
        Ok(())
    }

    async fn dead_letter(
        &mut self,
        rejected: &Rejected<R::Offset>,
        _: Vec<(R::Offset, R::Row)>,
    ) -> Result<()> {
        let Rejected {
            channel,
            count,
            through,
            ..
        } = rejected;
        let after = rejected.after.map_or(0, Into::into);
        let message = rejected.message.as_deref().unwrap_or("no reason given");
        // Rejected rows are not stored: their numbers are enough to generate them again.
        error!(channel, count, after, %through, message, "rows were rejected");
        Ok(())
    }

    async fn check(&mut self, channel: &str, committed: Option<&R::Offset>) -> Result<()> {
        let (number, last) = (
            committed.map_or(0, |offset| (*offset).into()),
            self.rows.last(),
        );
        if committed.is_some() && number == 0 {
            warn!(
                channel,
                "the channel's token is not one of this example: the channel starts at its first row"
            );
        }
        if number > last {
            bail!(
                "the channel {channel} has committed row {number}, but this run has only {last} rows for it: use the same total, \
                 instances, customers and seed as before, or other channels"
            );
        }
        self.meter.set(number);
        Ok(())
    }

    fn is_fatal(&self, _: &anyhow::Error) -> bool {
        // Reading never fails. Only the check fails, and it would fail again.
        true
    }
}
