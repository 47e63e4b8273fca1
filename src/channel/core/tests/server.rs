//! A minimal server: it numbers requests, buffers and commits rows, and keeps every token that it has committed.

use std::collections::VecDeque;

use crate::api::failure::Failure;
use crate::api::{AppendAnswer, AppendRequest};
use crate::channel::core::replay::Opened;
use crate::compress::frame;
use crate::types::channel_status::ChannelStatus;
use crate::types::error::{Error, ErrorKind};
use crate::types::offset::OffsetToken;

/// The state of the server.
#[derive(Debug)]
pub(super) struct Server {
    knows_replays: bool,
    limit: usize,
    next: u64,
    last_end: Option<OffsetToken>,
    buffered: VecDeque<(OffsetToken, Vec<u64>)>,
    pub(super) landed: Vec<u64>,
    /// The committed tokens so far, each with the rows that had landed by then. The last one is the current one.
    tokens: Vec<(Option<OffsetToken>, u64)>,
    /// Whether a status shows the row count of the status before it.
    counts_late: bool,
    next_count: u64,
    /// The highest row count that a status has shown.
    pub(super) shown_count: u64,
}

impl Server {
    pub(super) fn new(knows_replays: bool, limit: usize, counts_late: bool) -> Self {
        Self {
            knows_replays,
            limit,
            next: 1,
            last_end: None,
            buffered: VecDeque::new(),
            landed: Vec::new(),
            tokens: vec![(Some(OffsetToken::from(-1)), 0)],
            counts_late,
            next_count: 0,
            shown_count: 0,
        }
    }

    pub(super) fn append(&mut self, order: &AppendRequest) -> Result<AppendAnswer, Failure> {
        if order.body.len() > self.limit {
            return Err(refusal(413, None));
        }
        let sequence: u64 = order.continuation_token.parse().unwrap();
        if sequence == self.next {
            let bytes = frame::decompress(&order.body, order.uncompressed_len).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            let rows: Vec<u64> = text.lines().map(|l| l[1..11].parse().unwrap()).collect();
            let tokens = (rows.first(), rows.last());
            let told = (order.start.as_ref(), Some(&order.end));
            let told = (
                told.0.map(|t| t.parse::<u64>().unwrap()),
                told.1.map(|t| t.parse::<u64>().unwrap()),
            );
            assert_eq!(told, (tokens.0.copied(), tokens.1.copied()));
            self.buffered.push_back((order.end.clone(), rows));
            self.last_end = Some(order.end.clone());
            self.next += 1;
        } else if !(self.knows_replays && sequence + 1 == self.next) {
            return Err(refusal(400, Some("STALE_CONTINUATION_TOKEN_SEQUENCER")));
        } else {
            assert_eq!(self.last_end.as_ref(), Some(&order.end), "the same request");
        }
        Ok(AppendAnswer {
            next_continuation_token: self.next.to_string(),
            session: None,
        })
    }

    pub(super) fn commit(&mut self) {
        if let Some((end, rows)) = self.buffered.pop_front() {
            self.landed.extend(rows);
            self.tokens.push((Some(end), self.landed.len() as u64));
        }
    }

    pub(super) fn reopen(&mut self, commits: u8) -> Opened {
        (0..commits).for_each(|_| self.commit());
        self.buffered.clear();
        self.next += 100;
        Opened {
            next_continuation_token: self.next.to_string(),
            status: self.status(0),
        }
    }

    pub(super) fn status(&mut self, ago: usize) -> ChannelStatus {
        let (token, landed) = self.tokens[self.tokens.len().saturating_sub(1 + ago)].clone();
        let count = if self.counts_late {
            landed.min(self.next_count)
        } else {
            landed
        };
        self.next_count = self.landed.len() as u64;
        self.shown_count = self.shown_count.max(count);
        ChannelStatus {
            latest_committed_offset_token: token,
            created_on_ms: Some(1),
            rows_inserted_count: count,
            has_row_counts: true,
            ..ChannelStatus::default()
        }
    }

    pub(super) fn all(&self) -> Vec<u64> {
        let buffered = self.buffered.iter().flat_map(|(_, rows)| rows);
        self.landed.iter().chain(buffered).copied().collect()
    }
}

pub(super) fn refusal(status: u16, code: Option<&str>) -> Failure {
    Failure::Answered {
        status,
        code: code.map(str::to_owned),
        error: Error::new(ErrorKind::Refused, "no"),
    }
}
