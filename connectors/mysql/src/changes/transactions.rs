//! Events become changes: keeps track of transactions and tables, and gives each row its offset.
//!
//! The rows of a transaction are held back until it ends, because a transaction that was rolled back can be in the log: one
//! that created or dropped a temporary table is. A long transaction is not held back completely, so that its size does not
//! matter; if it ends with a rollback after all, the run stops.

use std::collections::{HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;

use jiff::Timestamp;
use mysql_async::binlog::EventType;
use mysql_async::binlog::events::{Event, EventData, QueryEvent, RowsEventData, TableMapEvent};
use mysql_async::binlog::row::BinlogRow;
use snowpipe_streaming::ingest::Pair;

use super::change::{Change, Operation};
use super::error::{COPY_AGAIN, ChangesError, Stopped};
use super::layout::Layout;
use super::log::{Log, Placed, unreadable};
use super::place::{Offset, Place};
use super::statement::{Statement, judge};
use crate::schema::Table;
use crate::value::Row;

/// So many rows of a transaction, or so much memory, are held back until it ends.
const HELD_ROWS: usize = 10_000;
const HELD_BYTES: usize = 4 << 20;

/// Types of events that only MariaDB has.
const ANNOTATE_ROWS: u8 = 160;
const CHECKPOINT: u8 = 161;
const GTID: u8 = 162;
const GTID_LIST: u8 = 163;
const START_ENCRYPTION: u8 = 164;
const QUERY_COMPRESSED: u8 = 165;
const ROWS_COMPRESSED: RangeInclusive<u8> = 166..=171;
/// A reader may pass over an unknown event with this flag.
const IGNORABLE: u16 = 0x80;
/// A single statement follows, which is no transaction.
const STANDALONE: u8 = 0x01;
/// The rows of the transaction are prepared, and committed or rolled back later.
const PREPARED: u8 = 0x40;

/// The transactions of a log, as changes of some of its tables.
pub(super) struct Transactions {
    tables: Vec<Arc<Table>>,
    pub(super) with_before: bool,
    current: Option<Transaction>,
    /// The captured tables by the numbers that the log has for them.
    layouts: HashMap<u64, Layout>,
    /// Rows that were read but not taken.
    rows: VecDeque<Change>,
    /// How many of these belong to a transaction that may still be rolled back.
    held: usize,
    held_bytes: usize,
    /// Rows up to this one are not wanted.
    skip: Option<Offset>,
}

struct Transaction {
    begin: Place,
    committed_at: Arc<str>,
    is_prepared: bool,
    /// How many changes of the captured tables it has had.
    count: u64,
    /// Whether rows of it were returned before its end, now or by an earlier read.
    is_split: bool,
}

impl Transactions {
    pub(super) fn new(tables: Vec<Arc<Table>>) -> Self {
        Self {
            tables,
            with_before: false,
            current: None,
            layouts: HashMap::new(),
            rows: VecDeque::new(),
            held: 0,
            held_bytes: 0,
            skip: None,
        }
    }

    /// Forgets everything. The next event is the beginning of a transaction, of which the rows up to `skip` are not wanted.
    pub(super) fn restart(&mut self, skip: Option<Offset>) {
        self.current = None;
        self.layouts.clear();
        self.rows.clear();
        self.release();
        self.skip = skip;
    }

    /// How many rows are in memory.
    pub(super) fn buffered(&self) -> usize {
        self.rows.len()
    }

    /// How many rows can be taken.
    pub(super) fn ready(&self) -> usize {
        self.rows.len().saturating_sub(self.held)
    }

    pub(super) fn take(&mut self) -> Option<Change> {
        if self.ready() == 0 {
            return None;
        }
        self.rows.pop_front()
    }

    pub(super) fn apply(
        &mut self,
        log: &Log,
        Placed { begin, event }: &Placed,
    ) -> Result<(), ChangesError> {
        let header = event.header();
        match header.event_type_raw() {
            GTID => return self.begin(*begin, event),
            QUERY_COMPRESSED => return Err(compressed().into()),
            kind if ROWS_COMPRESSED.contains(&kind) => {
                if table_id(event).is_some_and(|id| self.layouts.contains_key(&id)) {
                    return Err(compressed().into());
                }
                return Ok(());
            }
            ANNOTATE_ROWS | CHECKPOINT | GTID_LIST | START_ENCRYPTION => return Ok(()),
            _ => {}
        }
        match header.event_type() {
            Ok(EventType::TABLE_MAP_EVENT) => self.map(event),
            Ok(
                EventType::WRITE_ROWS_EVENT
                | EventType::WRITE_ROWS_EVENT_V1
                | EventType::UPDATE_ROWS_EVENT
                | EventType::UPDATE_ROWS_EVENT_V1
                | EventType::DELETE_ROWS_EVENT
                | EventType::DELETE_ROWS_EVENT_V1,
            ) => self.change_rows(log, event),
            Ok(EventType::QUERY_EVENT) => self.query(event),
            Ok(EventType::XID_EVENT | EventType::XA_PREPARE_LOG_EVENT) => {
                self.commit();
                Ok(())
            }
            Ok(
                EventType::FORMAT_DESCRIPTION_EVENT
                | EventType::STOP_EVENT
                | EventType::INTVAR_EVENT
                | EventType::RAND_EVENT
                | EventType::USER_VAR_EVENT
                | EventType::ROWS_QUERY_EVENT,
            ) => Ok(()),
            _ if header.flags_raw() & IGNORABLE != 0 => Ok(()),
            other => {
                let kind = other.map_or(header.event_type_raw(), |known| known as u8);
                let problem =
                    format!("the log has an event of the type {kind}, which is not followed");
                Err(Stopped::new(problem, COPY_AGAIN).into())
            }
        }
    }

    fn begin(&mut self, begin: Place, event: &Event) -> Result<(), ChangesError> {
        let seconds = i64::from(event.header().timestamp());
        let committed_at = Timestamp::from_second(seconds).unwrap_or_default();
        // A number of 8 bytes and one of 4 come before the flags.
        let flags = event.data().get(12).copied();
        let flags = flags.ok_or_else(|| Stopped::new("an event is too short", COPY_AGAIN))?;
        self.commit();
        self.layouts.clear();
        if flags & STANDALONE != 0 {
            return Ok(());
        }
        self.current = Some(Transaction {
            begin,
            committed_at: committed_at.to_string().into(),
            is_prepared: flags & PREPARED != 0,
            count: 0,
            is_split: false,
        });
        Ok(())
    }

    /// The rows of the transaction are final.
    fn commit(&mut self) {
        self.current = None;
        self.release();
    }

    fn release(&mut self) {
        self.held = 0;
        self.held_bytes = 0;
    }

    fn query(&mut self, event: &Event) -> Result<(), ChangesError> {
        let query = event.read_event::<QueryEvent<'_>>().map_err(unreadable)?;
        let has_rows = self
            .current
            .as_ref()
            .is_some_and(|transaction| transaction.count > 0);
        match judge(&query.query(), &query.schema(), &self.tables) {
            Statement::Commit => self.commit(),
            Statement::Rollback => {
                if self
                    .current
                    .as_ref()
                    .is_some_and(|transaction| transaction.is_split)
                {
                    let problem =
                        "a long transaction was rolled back after some of its rows were sent";
                    return Err(Stopped::new(problem, COPY_AGAIN).into());
                }
                self.rows
                    .truncate(self.rows.len().saturating_sub(self.held));
                self.commit();
            }
            Statement::RollbackToSavepoint if has_rows => {
                let problem =
                    "a transaction that used a temporary table was rolled back to a savepoint";
                return Err(Stopped::new(problem, COPY_AGAIN).into());
            }
            Statement::Harmless | Statement::RollbackToSavepoint => {}
            Statement::Stops(stopped) => return Err(stopped.into()),
        }
        Ok(())
    }

    fn map(&mut self, event: &Event) -> Result<(), ChangesError> {
        let map = event
            .read_event::<TableMapEvent<'_>>()
            .map_err(unreadable)?;
        let (database, name) = (map.database_name(), map.table_name());
        let is_it = |table: &&Arc<Table>| table.name == name && table.database == database;
        if let Some(table) = self.tables.iter().find(is_it) {
            self.layouts
                .insert(map.table_id(), Layout::new(&map, Arc::clone(table))?);
        }
        Ok(())
    }

    fn change_rows(&mut self, log: &Log, event: &Event) -> Result<(), ChangesError> {
        let Some(data) = event.read_data().map_err(unreadable)? else {
            return Ok(());
        };
        let EventData::RowsEvent(rows) = data else {
            return Ok(());
        };
        let Some(layout) = self.layouts.get(&rows.table_id()) else {
            return Ok(());
        };
        let Some(map) = log.table_map(rows.table_id()) else {
            return Err(Stopped::new("rows come without a table map", COPY_AGAIN).into());
        };
        let Some(transaction) = &mut self.current else {
            return Err(Stopped::new("rows come outside of a transaction", COPY_AGAIN).into());
        };
        if transaction.is_prepared {
            let table = &layout.table;
            let problem = format!(
                "an XA transaction prepared rows of {}.{}",
                table.database, table.name
            );
            let remedy = format!("write the table in ordinary transactions, and {COPY_AGAIN}");
            return Err(Stopped::new(problem, remedy).into());
        }
        let mut reading = Reading {
            layout,
            transaction,
            skip: self.skip.as_ref(),
            with_before: self.with_before,
            changes: Vec::new(),
        };
        reading.read(&rows, map)?;
        let changes = reading.changes;
        self.held += changes.len();
        self.held_bytes += changes.iter().map(Change::weight).sum::<usize>();
        self.rows.extend(changes);
        if self.held > HELD_ROWS || self.held_bytes > HELD_BYTES {
            transaction.is_split = true;
            self.release();
        }
        Ok(())
    }
}

/// The rows of one event become changes.
struct Reading<'a> {
    layout: &'a Layout,
    transaction: &'a mut Transaction,
    skip: Option<&'a Offset>,
    with_before: bool,
    changes: Vec<Change>,
}

impl Reading<'_> {
    fn read(
        &mut self,
        rows: &RowsEventData<'_>,
        map: &TableMapEvent<'_>,
    ) -> Result<(), ChangesError> {
        for row in rows.rows(map) {
            let (before, after) = row.map_err(|error| {
                let table = &self.layout.table;
                let problem = format!(
                    "a row of {}.{} cannot be read: {error}",
                    table.database, table.name
                );
                Stopped::new(problem, COPY_AGAIN)
            })?;
            match (before, after) {
                (None, Some(after)) => self.push(Operation::Insert, after, None)?,
                (Some(before), None) => self.push(Operation::Delete, before, None)?,
                (Some(before), Some(after)) => {
                    self.layout.is_complete(&before)?;
                    self.layout.is_complete(&after)?;
                    if self.layout.same_key(&before, &after) {
                        let before = self.with_before.then_some(before);
                        self.push(Operation::Update, after, before)?;
                    } else {
                        self.push(Operation::Delete, before, None)?;
                        self.push(Operation::Insert, after, None)?;
                    }
                }
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn push(
        &mut self,
        operation: Operation,
        row: BinlogRow,
        before: Option<BinlogRow>,
    ) -> Result<(), Stopped> {
        self.transaction.count += 1;
        let Place { file, position } = self.transaction.begin;
        let offset = Pair(file, Pair(position, self.transaction.count));
        if self.skip.is_some_and(|skip| offset <= *skip) {
            self.transaction.is_split = true;
            return Ok(());
        }
        // With the number of the change, the row can be found in the log.
        let named = |stopped: Stopped| Stopped {
            problem: format!("change {offset}: {}", stopped.problem),
            ..stopped
        };
        let row: Row = self.layout.row(row).map_err(named)?;
        let before = before
            .map(|before| self.layout.row(before))
            .transpose()
            .map_err(named)?;
        self.changes.push(Change {
            operation,
            offset,
            committed_at: Arc::clone(&self.transaction.committed_at),
            row,
            before,
        });
        Ok(())
    }
}

fn compressed() -> Stopped {
    let remedy = format!("set the global log_bin_compress=OFF, and {COPY_AGAIN}");
    Stopped::new("the log has compressed events", remedy)
}

/// The number of the table to which the rows of an event belong.
fn table_id(event: &Event) -> Option<u64> {
    let mut wide = [0; 8];
    for (to, from) in wide.iter_mut().zip(event.data().get(..6)?) {
        *to = *from;
    }
    Some(u64::from_le_bytes(wide))
}
