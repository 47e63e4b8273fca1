//! Open, append, commit and close in one call, for jobs and functions that end when their rows are committed.

use std::fmt::{self, Display};

use serde::Serialize;
use tokio::time::Instant;

use super::StreamingIngestClient;
use crate::channel::Channel;
use crate::types::close_report::CloseReport;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::job_report::JobReport;
use crate::types::offset::OffsetToken;

/// The offset token of a row of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RunToken<'r> {
    run: &'r str,
    /// The rows that the server had rejected in the channel before the run.
    rejected_before: u64,
    row: u64,
}

impl Display for RunToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.run, self.rejected_before, self.row)
    }
}

impl<'r> RunToken<'r> {
    /// A run may contain colons, because the numbers are last.
    fn parse(token: &'r OffsetToken) -> Option<Self> {
        let mut parts = token.as_str().rsplitn(3, ':');
        let (row, rejected_before) = (number(parts.next()?)?, number(parts.next()?)?);
        let run = parts.next().filter(|run| !run.is_empty())?;
        Some(Self {
            run,
            rejected_before,
            row,
        })
    }
}

/// Decimal digits without a sign and without leading zeros, as they are written.
fn number(text: &str) -> Option<u64> {
    let number = text.parse::<u64>().ok()?;
    (number.to_string() == text).then_some(number)
}

/// What the channel knows of a run before the call.
#[derive(Debug, Clone, Copy)]
struct Earlier {
    rejected_before: u64,
    committed: u64,
    /// The channel's counter of rejected rows.
    rejected: u64,
}

impl StreamingIngestClient {
    /// Opens a channel, appends the rows of a run of a job, waits until they are committed, and closes the channel. For a job or
    /// a function that must not end with rows in memory.
    ///
    /// `channel` stays the same for all runs of a job. `run` is what one run has to itself: a date, the name of a file, the id
    /// of a request. The channel keeps the run with its committed offset token, so that
    ///
    /// - the first call for a run sends all its rows;
    /// - a further call for the *same* run skips the rows that an earlier call has committed, and sends the others. After a
    ///   failure or a crash, call it again with the same run and the same rows in the same order.
    ///
    /// The channel remembers one run, the last one. So finish a run before the next one starts: rows of a run that is repeated
    /// after another one come twice.
    ///
    /// ```no_run
    /// # async fn example(client: snowpipe_streaming::StreamingIngestClient, rows: Vec<serde_json::Value>) -> snowpipe_streaming::Result<()> {
    /// let report = client.send_once("nightly-orders", "2026-11-24", &rows).await?;
    /// println!("{} rows sent, {} were there", report.sent, report.skipped);
    /// # Ok(()) }
    /// ```
    ///
    /// A call that goes on with a run waits some five seconds at its start, until the rows that an earlier call has sent are
    /// counted. If the future is cancelled, the appended rows drain in the background.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::RowsRejected`] if the server rejected rows of the run, in this call or in an earlier one. All rows are
    ///   committed; [`job_report`](Error::job_report) has the numbers, and [`close_report`](Error::close_report) the windows of
    ///   this call.
    /// - [`ErrorKind::InvalidOffset`] if `run` is empty or too long; if the channel has the token of another program; if the run has
    ///   more committed rows than the call was given.
    /// - As [`open_channel`](Self::open_channel), [`append_each`](crate::Channel::append_each) and [`close`](crate::Channel::close).
    pub async fn send_once<I>(
        &self,
        channel: impl Into<String>,
        run: impl Display,
        rows: I,
    ) -> Result<JobReport>
    where
        I: IntoIterator,
        I::Item: Serialize,
    {
        let run = run.to_string();
        check(&run)?;
        let opened = Instant::now();
        let mut channel = self.open_channel(channel).await?;
        let earlier = earlier(&mut channel, &run, opened).await?;
        let mut given = 0_u64;
        let rows = rows.into_iter().zip(0_u64..).inspect(|_| given += 1);
        let token = |row| {
            let rejected_before = earlier.rejected_before;
            let run = &run;
            RunToken {
                run,
                rejected_before,
                row,
            }
            .to_string()
        };
        let rows = rows.skip(usize::try_from(earlier.committed).unwrap_or(usize::MAX));
        let _receipt = channel
            .append_each(rows.map(|(row, number)| (row, token(number))))
            .await?;
        let name = channel.name().to_owned();
        let closed = channel.close().await;
        if given < earlier.committed {
            let text = format!(
                "{} rows of the run {run:?} are committed in the channel {name:?}, and the call was given {given}: a run is repeated with the same rows in the same order; another set of rows is another run",
                earlier.committed
            );
            return Err(Error::new(ErrorKind::InvalidOffset, text));
        }
        let of = |closed: &CloseReport| JobReport {
            given,
            skipped: earlier.committed,
            sent: closed.rows_appended,
            committed: closed.rows_committed,
            rejected: (closed.rejects.last().map_or(0, |window| window.total))
                .max(earlier.rejected)
                .saturating_sub(earlier.rejected_before),
        };
        match closed {
            Ok(closed) if of(&closed).rejected > 0 => {
                let report = of(&closed);
                let text = format!(
                    "the server rejected {} rows of the run {run:?} that earlier calls have sent to the channel {name:?}; see the table's error table",
                    report.rejected
                );
                let error = Error::new(ErrorKind::RowsRejected, text);
                Err(error.with_job_report(report).with_report(closed))
            }
            Ok(closed) => Ok(of(&closed)),
            Err(error) => {
                let report = error.close_report().map(of);
                Err(match report {
                    Some(report) => error.with_job_report(report),
                    None => error,
                })
            }
        }
    }
}

/// Whether each row of a run can have a token.
fn check(run: &str) -> Result<()> {
    if run.is_empty() {
        return Err(Error::new(
            ErrorKind::InvalidOffset,
            "the run has an empty name; give what one run of the job has to itself, such as its date",
        ));
    }
    let longest = RunToken {
        run,
        rejected_before: u64::MAX,
        row: u64::MAX,
    };
    OffsetToken::new(longest.to_string()).map(drop)
}

/// Reads what an earlier call has done for the run.
async fn earlier(channel: &mut Channel, run: &str, opened: Instant) -> Result<Earlier> {
    let rejected = channel.rows_rejected();
    let new = Earlier {
        rejected_before: rejected,
        committed: 0,
        rejected,
    };
    let Some(token) = channel.latest_committed_offset_token() else {
        return Ok(new);
    };
    if read(channel, &token)?.run != run {
        return Ok(new);
    }
    channel.count_earlier_rows(opened).await?;
    // Another call for the same run may have committed further rows meanwhile.
    let token = channel.latest_committed_offset_token().unwrap_or(token);
    let last = read(channel, &token)?;
    if last.run != run {
        let text = format!(
            "another call has begun the run {:?} in the channel {:?} meanwhile; finish a run before the next one begins",
            last.run,
            channel.name()
        );
        return Err(Error::new(ErrorKind::InvalidOffset, text).with_committed_token(Some(token)));
    }
    Ok(Earlier {
        rejected_before: last.rejected_before,
        committed: last.row.saturating_add(1),
        rejected: channel.rows_rejected(),
    })
}

/// Reads the committed token, which has to be of a run.
fn read<'t>(channel: &Channel, token: &'t OffsetToken) -> Result<RunToken<'t>> {
    RunToken::parse(token).ok_or_else(|| {
        let text = format!(
            "the channel {:?} has the committed token {:?}, and the tokens of send_once have the form \"RUN:REJECTED:ROW\": another program writes to the channel, or open_channel does; give the job a channel of its own",
            channel.name(),
            token.as_str()
        );
        Error::new(ErrorKind::InvalidOffset, text).with_committed_token(Some(token.clone()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_run_and_row() {
        for run in ["2026-11-24", "a:b", "a:1:2", ":", "7"] {
            let token = RunToken {
                run,
                rejected_before: 3,
                row: 41,
            };
            let text = OffsetToken::new(token.to_string()).unwrap();
            assert_eq!(RunToken::parse(&text), Some(token), "{text:?}");
        }
    }

    #[test]
    fn tokens_of_other_programs_are_told_apart() {
        for text in [
            "41",
            "orders:41",
            "a:b:41",
            "a:1:+4",
            "a:01:4",
            ":1:4",
            "a:1:",
        ] {
            let text = OffsetToken::new(text).unwrap();
            assert_eq!(RunToken::parse(&text), None, "{text:?}");
        }
    }
}
