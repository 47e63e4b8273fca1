//! What the event table and the channel history of an account show of channels: the last openings, commits and failures.

use std::collections::VecDeque;

use super::landing::Landed;
use super::state::{Key, State};
use crate::catalog::object_name::ObjectName;
use crate::catalog::row_error::RowError;
use crate::catalog::tables::Pipe;

/// How many events are kept. The oldest goes first.
const MOST: usize = 10_000;

/// The last events, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Events(VecDeque<Event>);

/// Something that happened to a channel.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) at_ms: u64,
    pub(crate) pipe: ObjectName,
    pub(crate) table: ObjectName,
    /// The channel's name as it was first opened.
    pub(crate) channel: String,
    pub(crate) what: What,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    Opened,
    Dropped,
    Committed(Committed),
    Failed(Failed),
}

/// The numbers of one commit.
#[derive(Debug, Clone)]
pub(crate) struct Committed {
    pub(crate) rows_parsed: usize,
    pub(crate) rows_inserted: usize,
    pub(crate) rows_rejected: usize,
    /// How many bytes the bodies had.
    pub(crate) bytes: usize,
    pub(crate) offset_start: Option<String>,
    pub(crate) offset_end: Option<String>,
    /// From the receipt of the last request to the commit.
    pub(crate) latency_ms: u64,
    /// From the receipt of a request to the commit, on average.
    pub(crate) processing_ms: u64,
    /// Why the last rejected row was rejected, and the end token of its request.
    pub(crate) last_error: Option<(RowError, Option<String>)>,
}

/// A channel whose accepted rows could not be committed.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) code: String,
    pub(crate) message: String,
    /// Whether the rows are at fault, and not the system.
    pub(crate) is_by_user: bool,
    /// How many bytes the bodies had.
    pub(crate) bytes: usize,
}

impl What {
    pub(crate) fn committed(at_ms: u64, landed: &Landed) -> Self {
        let (inserted, rejected) = (landed.rows.len(), landed.rejected.len());
        let last_error = landed.rejected.last().map(|row| {
            let token = row.offset_token_upper_bound.clone();
            (row.error.clone(), token)
        });
        Self::Committed(Committed {
            rows_parsed: inserted + rejected,
            rows_inserted: inserted,
            rows_rejected: rejected,
            bytes: landed.bytes,
            offset_start: landed.start_token.clone(),
            offset_end: landed.record.offset_token.clone(),
            latency_ms: at_ms.saturating_sub(landed.accepted_at_ms),
            processing_ms: landed
                .waited_ms
                .checked_div(landed.batches as u64)
                .unwrap_or_default(),
            last_error,
        })
    }
}

impl Events {
    /// Records what happened to a channel of a pipe.
    pub(crate) fn record(&mut self, at_ms: u64, (pipe, channel): (&Pipe, &str), what: What) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(Event {
            at_ms,
            pipe: pipe.name.clone(),
            table: pipe.table.clone(),
            channel: channel.to_owned(),
            what,
        });
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The events, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Event> {
        self.0.iter()
    }
}

impl State {
    /// Records that the accepted rows of a channel could not be committed.
    pub(super) fn record_failure(&mut self, key: &Key, at_ms: u64, message: String) {
        let (Some(pipe), Some(channel)) = (self.catalog.pipe(&key.0), self.channels.get(key))
        else {
            return;
        };
        let what = What::Failed(Failed {
            code: "ERR_GENERAL_EXCEPTION_RETRY_REQUEST".to_owned(),
            message,
            is_by_user: false,
            bytes: channel.pending_bytes(),
        });
        let of = (&pipe, channel.record.channel.as_str());
        self.events.record(at_ms, of, what);
    }
}
