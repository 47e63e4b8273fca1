//! How a program closes or drops a channel, and what the close returns.

use std::ops::Range;
use std::time::Duration;

use snowpipe_streaming::{Channel, CloseReport, Error, ErrorKind};
use tokio::time::timeout;

use super::judge;
use super::plan::Op;
use super::source_record::Ending;
use super::tracked_program::Program;

impl Program {
    /// Closes the channel. Returns the ending if everything is committed or the channel was taken over.
    pub async fn finish(&mut self, channel: Channel, from: u64) -> Option<Ending> {
        self.record.set_activity("close");
        let rows = from..self.record.plan.rows;
        let done = channel.close().await;
        if self.closed(&done, rows) {
            return Some(Ending::Done);
        }
        self.check_close_timeout(&done);
        self.record.log(format!("not closed: {done:?}"));
        if let Err(error) = &done {
            judge::invalidation(&self.record, &self.process, error);
        }
        self.ceded(&done.err()?)
    }

    /// Checks a close that timed out: it must not hide that the server has refused the channel's rows.
    fn check_close_timeout(&self, done: &Result<CloseReport, Error>) {
        let record = &self.record;
        let close_timed_out = matches!(done, Err(error) if error.kind() == ErrorKind::Timeout);
        if close_timed_out
            && record
                .world
                .view()
                .is_refused(self.process.id, &record.name)
        {
            record.report_violation(format!(
                "an append was refused, and the close says {done:?}"
            ));
        }
        record.state.lock().unwrap().unaware = close_timed_out;
    }

    /// Closes or drops the channel before all rows are appended.
    pub async fn close_early(&mut self, channel: Channel, op: Op, appended: Range<u64>) {
        let time_limit = match op {
            Op::Close => Duration::MAX,
            Op::CloseFor(ms) => Duration::from_millis(ms),
            _ => return self.unobserved(),
        };
        match timeout(time_limit, channel.close()).await {
            Ok(done) => {
                self.closed(&done, appended);
                self.check_close_timeout(&done);
            }
            Err(_) => self.unobserved(),
        }
    }

    /// Checks the result of a close. Returns whether everything is committed.
    fn closed(&self, done: &Result<CloseReport, Error>, rows: Range<u64>) -> bool {
        let record = &self.record;
        let (report, whole) = match done {
            Ok(report) => (Some(report), true),
            Err(error) => (
                error.close_report(),
                error.kind() == ErrorKind::RowsRejected,
            ),
        };
        let Some(report) = report else {
            record.report_violation(format!("a close failed without a report: {done:?}"));
            return false;
        };
        record.note_rejects(&report.rejects);
        let appended = rows.end - rows.start;
        let last = (appended > 0).then(|| record.token(rows.end - 1));
        if whole && last.is_some() && report.committed_token != last {
            record.report_violation(format!("closed at {last:?} with {done:?}"));
        }
        let open: u64 = report.uncommitted.iter().map(|range| range.rows).sum();
        if report.rows_appended != appended
            || report.rows_committed + open != appended
            || whole != (open == 0)
        {
            record.report_violation(format!(
                "{appended} rows were appended, and closed with {done:?}"
            ));
        }
        if !whole {
            self.unobserved();
        }
        whole
    }
}
