//! The source of changes: reads the log from a place on, continues where it is, and connects again when that is needed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mysql_async::Opts;
use snowpipe_streaming::ingest::{Batch, Pair, Rejected, Source, stable_hash};
use tokio::time::{Instant, timeout_at};

use super::change::Change;
use super::error::{COPY_AGAIN, ChangesError, Stopped};
use super::log::{Connection, Log, Placed};
use super::place::{Offset, Place, Start};
use super::transactions::Transactions;
use crate::schema::Table;

/// A connection without changes is heard from at this interval.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long a read waits for rows that it has had before.
const KNOWN_ROWS: Duration = Duration::from_secs(60);
/// A read ends with the row that exceeds this memory.
const MAX_BYTES: usize = 4 << 20;

/// The id with which a reader of this name asks for the log. A server ends the connection of an older reader that has the
/// same id, so a reader that was restarted, or lost its connection, takes over from itself.
fn reader_id(name: &str) -> u32 {
    // Servers usually have small ids.
    let [.., a, b, c, d] = stable_hash(name.as_bytes()).to_be_bytes();
    u32::from_be_bytes([a, b, c, d]) | 1 << 31
}

/// The changes of tables from a start on.
pub struct Changes {
    connection: Connection,
    start: Start,
    /// The place at which the source ends.
    until: Option<Place>,
    log: Option<Log>,
    transactions: Transactions,
    /// The last row that was returned.
    position: Option<Offset>,
    /// The last row that was ever returned.
    highest: Option<Offset>,
    /// Everything up to here is in the table.
    released: Option<Offset>,
    /// What stops the source, once everything before it is in the table.
    obstacle: Option<Stopped>,
}

/// Without the connection, which has a password.
impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("start", &self.start)
            .field("until", &self.until)
            .field("position", &self.position)
            .field("released", &self.released)
            .field("obstacle", &self.obstacle)
            .finish_non_exhaustive()
    }
}

impl Changes {
    /// The changes of the tables after `start`, read as the reader `name`, which is unique among the readers of a server.
    pub fn new(opts: Opts, name: &str, tables: Vec<Arc<Table>>, start: Start) -> Self {
        Self {
            connection: Connection {
                opts,
                reader_id: reader_id(name),
                heartbeat: HEARTBEAT,
            },
            start,
            until: None,
            log: None,
            transactions: Transactions::new(tables),
            position: None,
            highest: None,
            released: None,
            obstacle: None,
        }
    }

    /// Adds the rows before updates.
    #[must_use]
    pub fn with_before(mut self, with_before: bool) -> Self {
        self.transactions.with_before = with_before;
        self
    }

    /// Ends at this place: see [`end_of_log`](super::end_of_log).
    #[must_use]
    pub fn until(mut self, place: Place) -> Self {
        self.until = Some(place);
        self
    }

    /// Hears from an idle connection at this interval. It is dead after three silent ones.
    #[must_use]
    pub fn heartbeat(mut self, period: Duration) -> Self {
        self.connection.heartbeat = period;
        self
    }

    /// How many rows were read and not returned yet.
    pub fn buffered(&self) -> usize {
        self.transactions.buffered()
    }

    /// Asks for the log again, from the beginning of the transaction that contains the offset.
    async fn place_after(&mut self, after: Option<&Offset>) -> Result<(), ChangesError> {
        self.disconnect();
        let from = after.map_or(self.start.place, |Pair(file, Pair(position, _))| Place {
            file: *file,
            position: *position,
        });
        self.log = Some(Log::open(&self.connection, &self.start, from).await?);
        self.position = after.copied();
        self.transactions.restart(after.copied());
        self.released = self.released.or(after.copied());
        Ok(())
    }

    fn disconnect(&mut self) {
        self.log = None;
        self.transactions.restart(None);
        self.obstacle = None;
    }

    /// Whether rows that were returned are not known to be in the table.
    fn is_pending(&self) -> bool {
        self.released < self.position
    }

    /// Whether a row can be returned.
    fn has_rows(&self) -> bool {
        self.transactions.ready() > 0
    }

    fn has_ended(&self) -> bool {
        let place = self.log.as_ref().map(Log::place);
        let is_through = self.until.is_some_and(|until| place >= Some(until));
        is_through && !self.has_rows() && self.obstacle.is_none()
    }

    /// Applies an event. What stops the source is kept, because rows before it may not be in the table yet.
    fn apply(&mut self, placed: &Placed) -> Result<(), ChangesError> {
        let Some(log) = &self.log else { return Ok(()) };
        match self.transactions.apply(log, placed) {
            Err(ChangesError::Stopped(stopped)) => {
                self.obstacle = Some(stopped.at(placed.begin));
                Ok(())
            }
            other => other,
        }
    }

    fn take(&mut self, max: usize) -> Batch<Offset, Change> {
        let mut rows = Vec::new();
        let mut bytes = 0;
        while rows.len() < max && bytes < MAX_BYTES {
            let Some(change) = self.transactions.take() else {
                break;
            };
            bytes += change.weight();
            self.position = Some(change.offset);
            rows.push((change.offset, change));
        }
        self.highest = self.highest.max(self.position);
        let batch = Batch::new(rows);
        if self.has_ended() {
            batch.with_end()
        } else {
            batch
        }
    }

    async fn read(&mut self, max: usize) -> Result<Batch<Offset, Change>, ChangesError> {
        let patience = Instant::now() + KNOWN_ROWS;
        while self.obstacle.is_none() && !self.has_ended() && self.transactions.ready() < max {
            let must_come = !self.has_rows() && self.position < self.highest;
            let Some(log) = &mut self.log else { break };
            let placed = match log.try_next() {
                Some(received) => received?,
                None if must_come => {
                    let next = timeout_at(patience, log.next()).await;
                    next.map_err(|_| ChangesError::Late(KNOWN_ROWS))??
                }
                None => break,
            };
            if let Some(placed) = placed {
                self.apply(&placed)?;
            }
        }
        let batch = self.take(max);
        match &self.obstacle {
            Some(stopped) if batch.rows.is_empty() && !self.is_pending() => {
                Err(stopped.clone().into())
            }
            _ => Ok(batch),
        }
    }

    async fn wait(&mut self) -> Result<(), ChangesError> {
        while !self.has_rows() && !self.has_ended() {
            if self.obstacle.is_some() {
                if self.is_pending() {
                    // Called again after the next commit.
                    std::future::pending::<()>().await;
                }
                break;
            }
            let Some(log) = &mut self.log else { break };
            if let Some(placed) = log.next().await? {
                self.apply(&placed)?;
            }
        }
        Ok(())
    }
}

impl Source for Changes {
    type Offset = Offset;
    type Row = Change;
    type Error = ChangesError;

    async fn read_after(
        &mut self,
        after: Option<&Offset>,
        max: usize,
    ) -> Result<Batch<Offset, Change>, ChangesError> {
        if self.log.is_none() || self.position.as_ref() != after {
            self.place_after(after).await?;
        }
        let read = self.read(max).await;
        if read.is_err() {
            self.disconnect();
        }
        read
    }

    async fn release_through(&mut self, through: &Offset) -> Result<(), ChangesError> {
        self.released = Some(*through);
        Ok(())
    }

    async fn ready(&mut self) -> Result<(), ChangesError> {
        let waited = self.wait().await;
        if waited.is_err() {
            self.disconnect();
        }
        waited
    }

    /// A change that is not in the table makes the current state wrong, so the run stops.
    async fn dead_letter(
        &mut self,
        rejected: &Rejected<Offset>,
        _: Vec<(Offset, Change)>,
    ) -> Result<(), ChangesError> {
        let after = rejected
            .after
            .map_or_else(|| "the start".to_owned(), |after| after.to_string());
        let message = rejected.message.as_deref().unwrap_or("no message");
        let problem = format!(
            "the table rejected {} of the changes after {after} and through {}: {message}",
            rejected.count, rejected.through
        );
        Err(Stopped::new(
            problem,
            format!("correct the columns of the table in Snowflake, and {COPY_AGAIN}"),
        )
        .into())
    }

    /// None was ever passed over.
    async fn rejects_seen(&mut self, _: &str) -> Result<Option<u64>, ChangesError> {
        Ok(Some(0))
    }

    fn is_fatal(&self, error: &ChangesError) -> bool {
        error.is_fatal()
    }
}
