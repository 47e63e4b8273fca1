//! The rows that an untracked channel gives up, until the caller takes them.

use bytes::{Bytes, BytesMut};
use tracing::warn;

use super::Core;
use super::batch::{Batch, RawBatch, SealedBatch};
use crate::base::budget::HandedBack;
use crate::compress::frame;
use crate::rows::RowBatch;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::uncommitted_rows::{GivenUpBatch, GivenUpPayload, UncommittedRows};

/// Batches that were given up, in any order.
#[derive(Debug, Default)]
pub(crate) struct GivenUp {
    kept: Vec<Kept>,
    /// Rows from before a reopen, in order, and whether they were sent.
    inherited: Vec<(bool, Kept)>,
    /// Why the inherited rows were given up.
    why: Option<Error>,
    /// Whether the driver is compressing rows that were given up meanwhile.
    is_sealing: bool,
}

/// A batch that was given up.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The position of the last row.
    position: u64,
    rows: u64,
    payload: GivenUpPayload,
    /// The rows count towards the memory budget until the caller takes them.
    _charge: HandedBack,
}

impl std::fmt::Debug for GivenUpPayload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("..")
    }
}

impl GivenUp {
    pub(super) fn raw(&mut self, batch: RawBatch) {
        self.keep(batch, |bytes| GivenUpPayload::Plain(Bytes::from(bytes)));
    }

    pub(super) fn sealed(&mut self, batch: SealedBatch) {
        self.keep(batch, |frame| {
            GivenUpPayload::Compressed(frame.body, frame.uncompressed_len)
        });
    }

    fn keep<P>(&mut self, batch: Batch<P>, payload: impl FnOnce(P) -> GivenUpPayload) {
        self.kept.push(Kept {
            position: batch.position,
            rows: batch.rows(),
            payload: payload(batch.payload),
            _charge: batch.charge.handed_back(),
        });
    }

    /// The driver is compressing rows that are given up now.
    pub(super) fn expect_sealed(&mut self) {
        self.is_sealing = true;
    }

    pub(super) fn is_sealing(&self) -> bool {
        self.is_sealing
    }

    /// What the driver has compressed after the end; nothing if it failed.
    pub(super) fn on_sealed(&mut self, batches: Vec<SealedBatch>) {
        if std::mem::take(&mut self.is_sealing) {
            for batch in batches {
                self.sealed(batch);
            }
        }
    }
}

impl Core {
    /// Whether rows that are given up are kept for the caller: an untracked channel's, as long as it has a handle.
    pub(super) fn hands_rows_back(&self) -> bool {
        !self.is_tracked && !self.is_abandoned
    }

    /// The handle was dropped, so nobody takes rows that are given up.
    pub(crate) fn abandon_rows(&mut self) {
        self.is_abandoned = true;
        let rows: u64 = self.take_given_up().iter().map(|(_, kept)| kept.rows).sum();
        self.given_up = GivenUp::default();
        if rows > 0 {
            warn!(
                channel = self.name,
                rows,
                "the channel was dropped with rows that it had given up and that no call has taken: take_uncommitted_rows and close return them"
            );
        }
    }

    /// The driver has stopped and compresses nothing more.
    pub(crate) fn on_driver_stopped(&mut self) {
        self.given_up.on_sealed(Vec::new());
    }

    /// The rows that were given up, oldest first, without those that are committed by now; and whether they were sent.
    pub(crate) fn take_given_up(&mut self) -> Vec<(bool, Kept)> {
        let GivenUp {
            mut kept,
            inherited,
            is_sealing,
            ..
        } = std::mem::take(&mut self.given_up);
        self.given_up.is_sealing = is_sealing;
        kept.sort_by_key(|batch| batch.position);
        let (committed, sent) = (self.ledger.committed(), self.sent);
        let kept = kept
            .into_iter()
            .filter(|batch| batch.position > committed)
            .map(|batch| (batch.position <= sent, batch));
        inherited.into_iter().chain(kept).collect()
    }

    /// Takes over the rows that the channel's state before a reopen has given up.
    pub(crate) fn inherit_given_up(&mut self, rows: Vec<(bool, Kept)>, why: Option<Error>) {
        self.given_up.why = why.filter(|_| !rows.is_empty());
        self.given_up.inherited = rows;
    }

    /// Why rows from before a reopen were given up that nobody has taken; `None` if there are none.
    pub(crate) fn why_given_up(&self) -> Option<Error> {
        self.given_up.why.clone()
    }

    /// Takes the rows that were given up, unless some of them are still being compressed. They no longer count towards the memory
    /// budget.
    pub(crate) fn take_uncommitted_rows(&mut self) -> Option<UncommittedRows> {
        if self.given_up.is_sealing {
            return None;
        }
        let mut rows = UncommittedRows::default();
        for (was_sent, batch) in self.take_given_up() {
            let place = if was_sent {
                &mut rows.sent
            } else {
                &mut rows.unsent
            };
            place.push(GivenUpBatch {
                rows: batch.rows,
                payload: batch.payload,
            });
        }
        Some(rows)
    }
}

impl UncommittedRows {
    /// The rows that are not in the table, because they were never sent or the server refused them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Protocol`] if the rows cannot be decompressed, which means that memory was corrupted.
    pub fn unsent(&self) -> Result<RowBatch> {
        rows(&self.unsent)
    }

    /// The rows that may be in the table, now or later. To append them again may duplicate them.
    ///
    /// # Errors
    ///
    /// As [`unsent`](Self::unsent).
    pub fn sent(&self) -> Result<RowBatch> {
        rows(&self.sent)
    }
}

fn rows(batches: &[GivenUpBatch]) -> Result<RowBatch> {
    let mut all = BytesMut::new();
    for batch in batches {
        match &batch.payload {
            GivenUpPayload::Plain(rows) => all.extend_from_slice(rows),
            GivenUpPayload::Compressed(body, len) => {
                let rows = frame::decompress(body, *len).map_err(|error| {
                    let text = "rows that were given up could not be read back";
                    Error::new(ErrorKind::Protocol, text).with_source(error)
                })?;
                all.extend_from_slice(&rows);
            }
        }
    }
    RowBatch::from_ndjson(all.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::core::rig::Rig;
    use crate::channel::core::schedule::Action;

    /// A channel whose rows are handed back.
    fn rig() -> Rig {
        let mut rig = Rig::new();
        rig.core.is_tracked = false;
        rig
    }

    fn end(rig: &mut Rig) {
        let why = Error::new(ErrorKind::ClientClosed, "no");
        rig.core.end(rig.now, why, false);
    }

    /// The numbers of unsent and of sent rows.
    fn counts(rows: &UncommittedRows) -> (u64, u64) {
        assert_eq!(rows.unsent().unwrap().len(), rows.unsent_count());
        assert_eq!(rows.sent().unwrap().len(), rows.sent_count());
        (rows.unsent_count(), rows.sent_count())
    }

    #[test]
    fn rows_at_the_compressor_are_waited_for() {
        for is_stopped in [false, true] {
            let mut rig = rig();
            rig.append(10, 5);
            let compression = rig.compression();
            rig.append(15, 2);
            end(&mut rig);
            assert!(rig.waits() && !rig.core.progress().has_given_up());
            assert!(rig.core.take_uncommitted_rows().is_none(), "too early");
            let expected = if is_stopped {
                drop(compression);
                rig.core.on_driver_stopped();
                2
            } else {
                rig.compress(compression);
                7
            };
            assert!(rig.core.progress().has_given_up());
            assert!(matches!(rig.poll(), Action::Stop));
            assert_eq!(
                counts(&rig.core.take_uncommitted_rows().unwrap()),
                (expected, 0)
            );
            assert_eq!(rig.charged(), 0);
        }
    }

    #[test]
    fn rows_that_turn_out_to_be_committed_are_not_handed_back() {
        let mut rig = rig();
        rig.send(10, 3);
        rig.append(13, 4);
        let why = Error::new(ErrorKind::ClientClosed, "no");
        rig.core.end(rig.now, why, true);
        rig.outlast_replicas();
        rig.status(12, 2);
        assert_eq!(counts(&rig.core.take_uncommitted_rows().unwrap()), (4, 0));
        assert_eq!(rig.charged(), 0);
    }

    #[test]
    fn a_dropped_handle_and_a_tracked_channel_keep_nothing() {
        for is_tracked in [false, true] {
            let mut rig = rig();
            rig.core.is_tracked = is_tracked;
            rig.send(10, 3);
            rig.append(13, 4);
            end(&mut rig);
            if !is_tracked {
                assert!(rig.charged() > 0);
                rig.core.abandon_rows();
            }
            assert_eq!(rig.charged(), 0);
            assert_eq!(counts(&rig.core.take_uncommitted_rows().unwrap()), (0, 0));
        }
    }
}
