//! A test rig for unit tests: a channel's state machine that the test drives step by step, with the answers it chooses.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::batch::{Frame, RawBatch, SealedBatch, Unit, UnitTokens, seal};
use super::ledger::REPLICA_LAG;
use super::replay::{Opened, Reopen};
use super::schedule::Action;
use super::{Core, Limits, Opening};
use crate::api::failure::Failure;
use crate::api::{AppendAnswer, AppendRequest};
use crate::base::budget::{Budget, Share};
use crate::base::options::{CommitEvidence, Recovery};
use crate::base::request_limit::RequestLimit;
use crate::channel::polling::timer::CommitSample;
use crate::compress::compressor::Compressor;
use crate::types::channel_status::ChannelStatus;
use crate::types::error::{Error, ErrorKind, InvalidationCause};

/// A channel that was opened with 9 as the committed token and two earlier rejects.
pub(super) struct Rig {
    pub(super) core: Core,
    pub(super) now: Instant,
    budget: Arc<Budget>,
    share: Share,
    /// How many request ids were offered to the core.
    ids: u128,
}

impl Rig {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        let limits = Limits {
            max_client_lag: Duration::ZERO,
            request_limit: RequestLimit::new(1 << 20),
            max_uncompressed: 1 << 20,
            retry_for: Duration::from_secs(600),
            settle_timeout: Duration::from_secs(30),
            commit_stall_timeout: Duration::from_secs(120),
            pace: None,
            recovery: Recovery::Surface,
            commit_evidence: CommitEvidence::default(),
            isolate_rejects: false,
        };
        let budget = Budget::new(1 << 20);
        Self {
            core: Core::new(now, limits, opening(), "m".to_owned()),
            now,
            share: budget.share(1 << 20),
            budget,
            ids: 0,
        }
    }

    /// The same channel on a server that counts rows: 98 were inserted before the open.
    pub(super) fn counting(recovery: Recovery) -> Self {
        let rig = Self::new();
        let limits = Limits {
            recovery,
            ..rig.core.limits.clone()
        };
        let opening = Opening {
            row_count: Some(100),
            ..opening()
        };
        Self {
            core: Core::new(rig.now, limits, opening, "m".to_owned()),
            ..rig
        }
    }

    /// Polls the core. Each call offers another request id.
    pub(super) fn poll(&mut self) -> Action {
        self.ids += 1;
        self.core.poll(self.now, false, Uuid::from_u128(self.ids))
    }

    pub(super) fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    /// Appends rows numbered from `first`.
    pub(super) fn append(&mut self, first: i64, rows: u64) {
        let bytes: String = (0..rows).map(|_| "{}\n").collect();
        let unit = Unit {
            tokens: UnitTokens::Run {
                first: i128::from(first),
            },
            rows,
            len: bytes.len(),
        };
        let mut charge = self.share.try_charge(1_000).unwrap();
        let new_batch = RawBatch::new(Vec::new(), self.share.nothing(), self.now, 0);
        self.core
            .append(
                &mut Some(new_batch),
                bytes.as_bytes(),
                &mut vec![unit],
                &mut charge,
            )
            .unwrap();
    }

    /// Appends a row that is compressed already.
    pub(super) fn append_sealed(&mut self, token: i64) {
        let row = b"{}\n";
        let unit = Unit {
            tokens: UnitTokens::Run {
                first: i128::from(token),
            },
            rows: 1,
            len: row.len(),
        };
        let frame = Frame {
            body: Compressor::new(1).unwrap().compress(row).unwrap(),
            uncompressed_len: row.len(),
        };
        let batch = SealedBatch::new(frame, self.share.nothing(), self.now, 0);
        let mut charge = self.share.nothing();
        self.core
            .append_sealed(batch, &mut vec![unit], &mut charge)
            .unwrap()
            .expect("there is memory");
        assert_eq!(charge.bytes(), 0, "the charge is the batch's");
    }

    /// Appends rows numbered from `first` and seals them.
    pub(super) fn seal(&mut self, first: i64, rows: u64) {
        self.append(first, rows);
        let compression = self.compression();
        self.compress(compression);
    }

    /// Appends rows numbered from `first` and sends them as one request.
    pub(super) fn send(&mut self, first: i64, rows: u64) -> AppendRequest {
        self.seal(first, rows);
        self.sent()
    }

    /// Appends rows numbered from `first`, sends them, and has them accepted.
    pub(super) fn accept(&mut self, first: i64, rows: u64) {
        self.send(first, rows);
        self.accepted();
    }

    /// The request under way is accepted.
    pub(super) fn accepted(&mut self) {
        let answer = AppendAnswer {
            next_continuation_token: "2".to_owned(),
            session: None,
        };
        self.core.on_response(self.now, Ok(answer), 0.0);
    }

    /// The request under way is answered with this status and no code.
    pub(super) fn refuse(&mut self, status: u16) {
        let failure = Failure::Answered {
            status,
            code: None,
            error: Error::new(ErrorKind::Refused, "no"),
        };
        self.core.on_response(self.now, Err(failure), 0.0);
    }

    /// The core's next action, which has to be a compression.
    pub(super) fn compression(&mut self) -> Action {
        match self.poll() {
            action @ (Action::Seal(..) | Action::Split(..)) => action,
            other => panic!("{other:?}"),
        }
    }

    /// Executes a compression.
    pub(super) fn compress(&mut self, action: Action) {
        let (raw, limit) = match action {
            Action::Seal(raw, limit) => (raw, limit),
            Action::Split(batch, limit) => (batch.decompress().unwrap(), limit),
            other => panic!("{other:?}"),
        };
        let sealed = seal(&mut Compressor::new(1).unwrap(), raw, limit);
        self.core.on_sealed(self.now, sealed);
    }

    /// The core's next action, which has to be a request.
    pub(super) fn sent(&mut self) -> AppendRequest {
        match self.poll() {
            Action::Send(request) => request,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn waits(&mut self) -> bool {
        matches!(self.poll(), Action::Wait(_))
    }

    /// A status poll that is answered at once.
    pub(super) fn status(&mut self, token: i64, rejected: u64) -> Option<CommitSample> {
        let status = ChannelStatus {
            latest_committed_offset_token: Some(token.into()),
            created_on_ms: Some(1),
            rows_error_count: rejected,
            ..ChannelStatus::default()
        };
        self.core.asked(self.now);
        self.core.on_status(self.now, Some(&status))
    }

    /// A status poll that is answered with these counts of inserted and rejected rows.
    pub(super) fn status_counting(&mut self, token: i64, inserted: u64, rejected: u64) {
        let status = ChannelStatus {
            latest_committed_offset_token: Some(token.into()),
            created_on_ms: Some(1),
            rows_inserted_count: inserted,
            rows_error_count: rejected,
            has_row_counts: true,
            ..ChannelStatus::default()
        };
        self.core.asked(self.now);
        self.core.on_status(self.now, Some(&status));
    }

    /// A status poll that fails.
    pub(super) fn poll_fails(&mut self) {
        self.core.asked(self.now);
        self.fail_poll();
    }

    pub(super) fn fail_poll(&mut self) {
        let why = Error::new(ErrorKind::Unreachable, "no");
        self.core.on_status_failed(self.now, &why);
    }

    pub(super) fn windows(&self) -> Vec<(u64, u64, u64)> {
        let windows = self.core.commit.rejects();
        windows.iter().map(|w| (w.count, w.from, w.to)).collect()
    }

    /// The bytes that its rows are charged.
    pub(super) fn charged(&self) -> usize {
        self.budget.in_use()
    }

    pub(super) fn cause(&self) -> Option<ErrorKind> {
        self.core.end.as_ref().map(Error::kind)
    }

    /// Waits until no status can be from before the open.
    pub(super) fn outlast_replicas(&mut self) {
        self.now += REPLICA_LAG;
    }

    /// A status poll whose answer does not have the channel.
    pub(super) fn status_absent(&mut self) {
        self.core.asked(self.now);
        self.core.on_status(self.now, None);
    }

    pub(super) fn in_ms(&self, ms: u64) -> Instant {
        self.now + Duration::from_millis(ms)
    }

    /// The server asks for a reopen and answers it with `token` as the committed one. Returns how the core asked for it.
    pub(super) fn reopen(&mut self, token: i64, rejected: u64) -> Reopen {
        self.reopen_with(ChannelStatus {
            latest_committed_offset_token: Some(token.into()),
            rows_error_count: rejected,
            ..ChannelStatus::default()
        })
    }

    /// The same with these counts of inserted and rejected rows.
    pub(super) fn reopen_counting(&mut self, token: i64, inserted: u64, rejected: u64) -> Reopen {
        self.reopen_with(ChannelStatus {
            latest_committed_offset_token: Some(token.into()),
            rows_inserted_count: inserted,
            rows_error_count: rejected,
            has_row_counts: true,
            ..ChannelStatus::default()
        })
    }

    fn reopen_with(&mut self, status: ChannelStatus) -> Reopen {
        let why = Error::new(ErrorKind::Refused, "no");
        self.core
            .invalidate(self.now, InvalidationCause::MustReopen, why);
        let Action::Reopen(how) = self.poll() else {
            panic!("nothing to reopen");
        };
        let status = ChannelStatus {
            status_code: "SUCCESS".to_owned(),
            created_on_ms: Some(1),
            ..status
        };
        let answer = Opened {
            next_continuation_token: "3".to_owned(),
            status,
        };
        self.core.on_recovered(self.now, Ok(answer));
        how
    }
}

/// How the channel is opened.
pub(super) fn opening() -> Opening {
    Opening {
        name: "c".to_owned(),
        pipe: "DB.S.P".to_owned(),
        continuation_token: "1".to_owned(),
        committed_token: Some(9.into()),
        created_on_ms: Some(1),
        rejected: 2,
        row_count: None,
        is_all_committed: true,
        is_tracked: true,
        sets_token: false,
    }
}
