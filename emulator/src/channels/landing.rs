//! The rows of accepted batches as they become cells at their commit, on several threads if they are many.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memchr;

use crate::catalog::cell::Cell;
use crate::catalog::row_error::RowError;
use crate::catalog::tables::{Pipe, Table};
use crate::catalog::transforms::{MOST_OF_COMMIT, until};
use crate::messages::body;
use crate::storage::records::{AcceptedBatch, ChannelRecord, RejectedRow};

/// The work of a thread at a time: rows of about so many bytes. With less than two of these, no thread is started.
const PIECE: usize = 128 * 1024;

/// Batches as they land.
pub(crate) struct Landed {
    /// The channel as it is after them.
    pub(crate) record: ChannelRecord,
    pub(crate) rows: Vec<Vec<Cell>>,
    pub(crate) rejected: Vec<RejectedRow>,
    /// The row sequencer of the last one.
    pub(crate) through: u64,
    pub(crate) batches: usize,
    pub(crate) waited_ms: u64,
    /// The token of the first row, if the client sent one.
    pub(crate) start_token: Option<String>,
    /// How many bytes the bodies have.
    pub(crate) bytes: usize,
    /// When the last batch was accepted, in milliseconds since the Unix epoch.
    pub(crate) accepted_at_ms: u64,
}

/// Where rows land, and when.
#[derive(Clone, Copy)]
pub(crate) struct Destination<'a> {
    pub(crate) table: &'a Table,
    pub(crate) pipe: &'a Pipe,
    pub(crate) at_ms: u64,
}

impl Destination<'_> {
    /// Whether rows take numbers from sequences.
    fn takes_numbers(&self) -> bool {
        let mut sequences = self.table.sequences().chain(self.pipe.sequences());
        sequences.next().is_some()
    }
}

/// The names that rejected rows share.
struct Names {
    pipe: Arc<str>,
    channel: Arc<str>,
}

/// Whole rows of a batch.
struct Piece<'a> {
    batch: &'a AcceptedBatch,
    lines: &'a [u8],
}

/// The rows of a piece.
struct LandedPiece {
    rows: Vec<Vec<Cell>>,
    rejected: Vec<RejectedRow>,
}

impl Landed {
    /// Lands batches, of which there is at least one, in a channel with this record.
    pub(crate) fn new<'a>(
        record: ChannelRecord,
        batches: impl Iterator<Item = &'a AcceptedBatch>,
        destination: Destination<'a>,
    ) -> Self {
        let mut landed = Self {
            through: record.row_sequencer,
            record,
            rows: Vec::new(),
            rejected: Vec::new(),
            batches: 0,
            waited_ms: 0,
            start_token: None,
            bytes: 0,
            accepted_at_ms: 0,
        };
        let mut pieces = Vec::new();
        for batch in batches {
            landed.through = batch.row_sequencer;
            if landed.batches == 0 {
                landed.start_token.clone_from(&batch.start_token);
            }
            landed.batches += 1;
            landed.bytes += batch.body.len();
            landed.accepted_at_ms = batch.accepted_at_ms;
            landed.waited_ms += destination.at_ms.saturating_sub(batch.accepted_at_ms);
            if batch.end_token.is_some() {
                landed.record.offset_token.clone_from(&batch.end_token);
            }
            let lines = split(&batch.body);
            pieces.extend(lines.map(|lines| Piece { batch, lines }));
        }
        let names = Names {
            pipe: destination.pipe.name.name.as_str().into(),
            channel: landed.record.channel.as_str().into(),
        };
        for piece in land_all(&pieces, destination, &names) {
            landed.add(piece, destination.at_ms);
        }
        landed
    }

    fn add(&mut self, piece: LandedPiece, at_ms: u64) {
        let (inserted, rejected) = (piece.rows.len() as u64, piece.rejected.len() as u64);
        let record = &mut self.record;
        record.rows_parsed += inserted + rejected;
        record.rows_inserted += inserted;
        record.rows_error_count += rejected;
        if let Some(last) = piece.rejected.last() {
            record.last_error_message = Some(last.error.to_string());
            record.last_error_timestamp_ms = Some(at_ms);
            record
                .last_error_offset_upper_bound
                .clone_from(&last.offset_token_upper_bound);
        }
        if self.rows.is_empty() {
            self.rows = piece.rows;
        } else {
            self.rows.extend(piece.rows);
        }
        self.rejected.extend(piece.rejected);
    }
}

/// The pieces of a body, each of whole lines.
fn split(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = body;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let after = rest.get(PIECE..).and_then(|after| memchr(b'\n', after));
        let length = after.map_or(rest.len(), |end| PIECE + end + 1);
        let (piece, others) = rest.split_at_checked(length)?;
        rest = others;
        Some(piece)
    })
}

/// The landed pieces, in order.
fn land_all(pieces: &[Piece<'_>], destination: Destination<'_>, names: &Names) -> Vec<LandedPiece> {
    let bytes: usize = pieces.iter().map(|piece| piece.lines.len()).sum();
    let helpers = match bytes / PIECE {
        0 | 1 => 0,
        // Numbers are given in the order of the rows.
        _ if destination.takes_numbers() => 0,
        // The number of cores is read from files: only asked for where it counts.
        most => thread::available_parallelism().map_or(0, |cores| most.min(cores.get()) - 1),
    };
    let queue = Mutex::new(pieces.iter().enumerate());
    let end = Instant::now() + MOST_OF_COMMIT;
    let work = || {
        let next = || queue.lock().ok()?.next();
        let pieces = std::iter::from_fn(next);
        let landed = pieces.map(|(position, piece)| (position, piece.land(destination, names)));
        until(end, || landed.collect::<Vec<_>>())
    };
    let mut landed = thread::scope(|scope| {
        // A thread that the system refuses is not needed: this one takes all pieces that are left.
        let helpers = (0..helpers).filter_map(|_| {
            let helper = thread::Builder::new().name("emulator-landing".to_owned());
            helper.spawn_scoped(scope, work).ok()
        });
        let helpers: Vec<_> = helpers.collect();
        let mut landed = work();
        for helper in helpers {
            match helper.join() {
                Ok(others) => landed.extend(others),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        landed
    });
    landed.sort_unstable_by_key(|(position, _)| *position);
    landed.into_iter().map(|(_, piece)| piece).collect()
}

impl Piece<'_> {
    fn land(&self, destination: Destination<'_>, names: &Names) -> LandedPiece {
        let Destination { table, pipe, at_ms } = destination;
        let at = UNIX_EPOCH + Duration::from_millis(at_ms);
        let mut landed = LandedPiece {
            rows: Vec::new(),
            rejected: Vec::new(),
        };
        for line in body::lines(self.lines) {
            match land_line(table, pipe, line, at) {
                Ok(cells) => landed.rows.extend(cells),
                Err(error) => {
                    let text = str::from_utf8(line).map(str::to_owned);
                    landed.rejected.push(RejectedRow {
                        error,
                        rejected_at_ms: at_ms,
                        pipe: Arc::clone(&names.pipe),
                        channel: Arc::clone(&names.channel),
                        is_base64: text.is_err(),
                        payload: text.unwrap_or_else(|_| STANDARD.encode(line)),
                        offset_token_lower_bound: self.batch.start_token.clone(),
                        offset_token_upper_bound: self.batch.end_token.clone(),
                    });
                }
            }
        }
        landed
    }
}

fn land_line(
    table: &Table,
    pipe: &Pipe,
    line: &[u8],
    at: SystemTime,
) -> Result<Option<Vec<Cell>>, RowError> {
    let row = str::from_utf8(line)
        .map_err(|why| RowError::json(format!("the row is not UTF-8: {why}")))?;
    table.land(pipe, row, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_split_after_the_line_that_fills_a_piece() {
        let long = "x".repeat(PIECE - 1);
        let body = format!("{long}\nsecond\nthird\n{long}\nfifth");
        let pieces: Vec<&[u8]> = split(body.as_bytes()).collect();
        let lines = |piece: &&[u8]| piece.split(|byte| *byte == b'\n').count() - 1;
        assert_eq!(pieces.iter().map(lines).collect::<Vec<_>>(), [2, 2, 0]);
        assert!(pieces.concat() == body.as_bytes(), "bytes are lost");
        assert_eq!(split(b"").count(), 0);
    }
}
