//! The writing end of a channel: moves staged rows into the open batch and remembers the last token.

use std::sync::Arc;
use std::time::Duration;

use super::core::batch::UNIT_CHARGE;
use super::receipt::Receipt;
use super::registry::Registry;
use super::row_source::{BatchSource, RowSource};
use super::shared::Shared;
use super::staging::{Staged, Staging};
use crate::rows::RowBatch;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::offset::arguments::{Offset, Offsets};

/// The writing end of a channel.
pub(crate) struct Writer {
    pub(crate) registry: Arc<Registry>,
    pub(crate) shared: Arc<Shared>,
    /// The staging state of the last append, for reuse by the next one.
    idle: Option<Staging>,
    /// How long an append waits for memory.
    pub(super) timeout: Option<Duration>,
    /// Rows appended since the open. Only this handle appends, so the core need not be locked to know it.
    pub(super) appended: u64,
    pub(crate) last: Option<Offset>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("channel", &self.shared)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

impl Writer {
    pub(crate) fn new(registry: Arc<Registry>, shared: Arc<Shared>) -> Self {
        Self {
            timeout: registry.context.options.append_timeout,
            registry,
            shared,
            idle: None,
            appended: 0,
            last: None,
        }
    }

    /// Takes the staging state for an append, which returns it with [`keep`](Self::keep).
    pub(super) fn staging(&mut self) -> Staging {
        let mut staging = self.idle.take().unwrap_or_else(|| {
            let context = Arc::clone(&self.registry.context);
            Staging::new(context, self.shared.share.nothing())
        });
        staging.acquire_buffer();
        staging
    }

    /// Keeps the staging state for the next append. Rows that are still staged are discarded.
    pub(super) fn keep(&mut self, mut staging: Staging) {
        staging.release_buffer();
        self.idle = Some(staging);
    }

    /// Moves staged rows into the open batch, unless they have to wait. With `waits`, they also wait for the driver.
    pub(super) fn append(&mut self, staging: &mut Staging, waits: bool) -> Result<Staged> {
        let (rows, last) = (staging.rows(), staging.last_offset());
        let staged = staging.append_to(&self.shared, waits)?;
        if let Staged::Appended { position, wake } = staged {
            self.registry.context.api.counters().appended(rows);
            self.appended = position;
            if last.is_some() {
                self.last = last;
            }
            if wake {
                self.shared.wake_driver();
            }
        }
        Ok(staged)
    }

    /// Appends all of `batch` or nothing, without waiting.
    pub(crate) fn try_append(
        &mut self,
        batch: &RowBatch,
        offsets: Option<Offsets>,
    ) -> Result<Receipt> {
        let from = self.appended;
        let mut staging = self.staging();
        let result = self.try_append_staged(&mut staging, batch, offsets);
        self.keep(staging);
        result.map(|()| Receipt::new(Arc::clone(&self.shared), from, self.appended))
    }

    fn try_append_staged(
        &mut self,
        staging: &mut Staging,
        batch: &RowBatch,
        offsets: Option<Offsets>,
    ) -> Result<()> {
        // Check all rows before the first one is appended.
        if !matches!(offsets, Some(Offsets::Whole { .. })) {
            for row in batch.as_bytes().split_inclusive(|b| *b == b'\n') {
                staging.check_unit(row)?;
            }
        }
        // An upper bound: two consecutive pieces always have more bytes together than one full piece.
        let pieces = 2 * (batch.as_bytes().len() / staging.piece() + 1);
        let overhead = match &offsets {
            Some(Offsets::Whole { start, end }) => {
                UNIT_CHARGE + start.as_str().len() + end.as_str().len()
            }
            _ => pieces * UNIT_CHARGE,
        };
        let bytes = batch.as_bytes().len() + overhead;
        if bytes > self.shared.share.cap() {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "a batch of {} bytes exceeds the channel's {} bytes of memory; split it, or append it without `try_`",
                    batch.as_bytes().len(),
                    self.shared.share.cap()
                ),
            ));
        }
        if let Some(error) = self.shared.core().refusal() {
            return Err(error);
        }
        let Some(charge) = self.shared.share.try_charge(bytes) else {
            return Err(Error::new(
                ErrorKind::Backpressure,
                "there is no memory for the batch now, and nothing was appended; try again, or use `append_batch`, which waits",
            ));
        };
        staging.add_credit(charge);
        let mut source = BatchSource::new(batch.clone(), offsets);
        loop {
            source.fill(staging)?;
            if staging.is_empty() {
                return Ok(());
            }
            self.append(staging, false)?;
        }
    }
}

/// A dropped channel drains in the background.
impl Drop for Writer {
    fn drop(&mut self) {
        let until = tokio::time::Instant::now() + self.registry.context.options.close_timeout;
        self.shared.update_and_wake(|core, _| {
            if !core.is_ended() {
                core.drain(until);
            }
        });
    }
}
