//! The reconciliation: compares the generated rows with the server's channel statuses and with the tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use snowpipe_connector_support::data_file::{self, Landed, count_statement};
use snowpipe_connector_support::error_text::with_causes;
use snowpipe_connector_support::text_table::Align::{Left, Right};
use snowpipe_connector_support::text_table::aligned;
use snowpipe_streaming::{ChannelStatus, OffsetToken, StreamingIngestClient};
use tokio::time::timeout;

use crate::cli::Args;
use crate::misconfigured::is_misconfigured;
use crate::pipeline::channel;
use crate::queue::Queue;
use crate::stream::{check, release_committed};
use crate::table::{ID, Table};
use crate::target::Target;

/// How often a table that still changes is counted.
const MAX_COUNTS: u32 = 20;
/// The shortest timeout for the server after an interrupted run.
const MIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How a run went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Course {
    pub(crate) interrupted: bool,
    /// Whether an earlier run had already finished.
    pub(crate) was_finished: bool,
    pub(crate) elapsed: Duration,
}

/// The reconciliation of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    target: String,
    /// None if no generator has used the queue.
    seed: Option<u64>,
    start: Option<String>,
    steps: u64,
    elapsed_s: f64,
    interrupted: bool,
    balanced: bool,
    tables: BTreeMap<&'static str, Line>,
    /// A message for each table that could not be reconciled.
    #[serde(skip)]
    pub(crate) failures: Vec<String>,
}

/// One table's line.
#[derive(Debug, Default, Serialize)]
struct Line {
    generated: i64,
    committed_offset_token: Option<String>,
    rows_inserted: u64,
    rejected: u64,
    /// None if the tables cannot be read.
    landed: Option<i64>,
    distinct_txid: Option<i64>,
    left_in_queue: i64,
    /// Whether the server's status is known.
    #[serde(skip)]
    is_known: bool,
}

/// The state of a table on the server and in the landing, at the same moment.
#[derive(Debug)]
struct Found {
    /// None if the channel does not exist.
    status: Option<ChannelStatus>,
    landed: Option<Landed>,
}

impl Summary {
    /// Queries the server and the landing after all channels are closed, and deletes committed rows that are still in the queue.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::misconfigured::Misconfigured) if the server and the queue of a run that was finished do
    /// not belong together.
    pub(crate) async fn new(
        args: &Args,
        queue: &Path,
        target: &Target,
        course: Course,
    ) -> Result<Self> {
        let mut tables = BTreeMap::new();
        let mut failures = Vec::new();
        for table in Table::ALL {
            let path = queue.to_owned();
            let queue = tokio::task::spawn_blocking(move || Queue::open(&path)).await??;
            let name = channel(args, queue.id(), table);
            // An interrupted run does not wait for an unreachable server, and no run waits twice.
            let limit = if course.interrupted || !failures.is_empty() {
                args.drain_timeout.max(MIN_TIMEOUT)
            } else {
                Duration::MAX
            };
            let found = match find(target, table, &name, limit).await {
                Ok(found) => Some(found),
                Err(error) if is_misconfigured(&error) => return Err(error),
                Err(error) => {
                    let why = with_causes(error.as_ref());
                    failures.push(format!("{} cannot be reconciled: {why}", table.name()));
                    None
                }
            };
            let line =
                tokio::task::spawn_blocking(move || line(queue, table, &name, found, course));
            tables.insert(table.name(), line.await??);
        }
        let path = queue.to_owned();
        let progress = move || Queue::open(&path)?.progress();
        let progress = tokio::task::spawn_blocking(progress).await??;
        Ok(Self {
            target: target.name()?,
            seed: progress.as_ref().map(|p| p.seed),
            start: progress.as_ref().map(|p| p.start.to_string()),
            steps: progress.as_ref().map_or(0, |p| p.next_step),
            elapsed_s: course.elapsed.as_secs_f64(),
            interrupted: course.interrupted,
            balanced: tables
                .values()
                .all(|line| line.is_balanced(course.interrupted)),
            tables,
            failures,
        })
    }

    /// Whether every row is accounted for: once in the table, counted as rejected, or, after an interruption, still in the
    /// queue.
    pub(crate) fn is_balanced(&self) -> bool {
        self.balanced
    }

    /// Whether the server rejected rows.
    pub(crate) fn has_rejects(&self) -> bool {
        self.tables.values().any(|line| line.rejected > 0)
    }

    /// Writes the table to stdout, and JSON to the file, if one is given.
    pub(crate) fn write(&self, target: &Target, json: Option<&Path>) -> Result<()> {
        // A closed stdout is not an error.
        let _ = std::io::stdout().write_all(self.to_text(target).as_bytes());
        if let Some(path) = json {
            let mut text = serde_json::to_string_pretty(self)?;
            text.push('\n');
            std::fs::write(path, text)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    fn to_text(&self, target: &Target) -> String {
        let heads = [
            "table",
            "generated",
            "committed",
            "inserted",
            "rejected",
            "landed",
            "txids",
            "queued",
        ];
        let mut rows = vec![heads.map(str::to_owned)];
        for table in Table::ALL {
            let Some(line) = self.tables.get(table.name()) else {
                continue;
            };
            let known = |count: Option<String>| count.unwrap_or_else(|| "?".to_owned());
            let of_server = |count: u64| known(line.is_known.then(|| count.to_string()));
            let token = line.committed_offset_token.as_deref();
            rows.push([
                table.name().to_owned(),
                line.generated.to_string(),
                token
                    .unwrap_or(if line.is_known { "none" } else { "?" })
                    .to_owned(),
                of_server(line.rows_inserted),
                of_server(line.rejected),
                known(line.landed.map(|n| n.to_string())),
                known(line.distinct_txid.map(|n| n.to_string())),
                line.left_in_queue.to_string(),
            ]);
        }
        let columns = [Left, Right, Right, Right, Right, Right, Right, Right];
        let mut text = aligned(columns, &rows);
        text.push_str(self.verdict());
        text.push('\n');
        if target.landing.is_none() && !target.verify_sql {
            text.push_str("To count the landed rows:\n");
            for table in Table::ALL {
                let name = format!("{}.{}", target.namespace(), table.name());
                let _ = writeln!(text, "  {};", count_statement(&name, ID));
            }
        }
        text
    }

    /// The result in a sentence.
    pub(crate) fn verdict(&self) -> &'static str {
        match (self.balanced, self.has_rejects(), self.interrupted) {
            (false, ..) if self.tables.values().any(Line::holds_more) => {
                "Not balanced: a table holds more rows than the channel inserted, perhaps those of another queue; use tables that hold no other rows."
            }
            (false, ..) if !self.failures.is_empty() => {
                "Not balanced: some tables could not be checked."
            }
            (false, ..) if self.tables.values().all(|line| line.is_balanced(true)) => {
                "Not finished: none lost, none twice so far, and uncommitted rows are still in the queue; when the cause of \
                 the failure is fixed, the same command continues."
            }
            (false, ..) => "Not balanced: the counts of a table do not match.",
            (true, true, _) => "Balanced, but rows were rejected: see DEAD_LETTER in the queue.",
            (true, false, true) => {
                "Balanced so far: none lost, none twice; the same command continues with the rest."
            }
            (true, false, false) => "Balanced: none lost, none twice.",
        }
    }
}

impl Line {
    /// Whether the table holds rows that this queue's channel did not insert.
    fn holds_more(&self) -> bool {
        let inserted = i64::try_from(self.rows_inserted).unwrap_or(i64::MAX);
        self.landed.is_some_and(|landed| landed > inserted)
    }

    fn is_balanced(&self, interrupted: bool) -> bool {
        let committed = self.committed_offset_token.as_deref().unwrap_or("0");
        let Ok(committed) = committed.parse::<i64>() else {
            return false;
        };
        let inserted = i64::try_from(self.rows_inserted).ok();
        let rejected = i64::try_from(self.rejected).ok();
        let counted = inserted.zip(rejected).map(|(i, r)| i + r);
        self.is_known
            && counted == Some(committed)
            && committed + self.left_in_queue == self.generated
            && (interrupted || self.left_in_queue == 0)
            && (self.landed.is_none() || self.landed == inserted)
            && self.landed == self.distinct_txid
    }
}

/// Queries the server and counts the landed rows, repeatedly until both are of the same moment: after an interruption the
/// server may still commit rows.
async fn find(target: &Target, table: Table, name: &str, limit: Duration) -> Result<Found> {
    let connect = async {
        let client = target.client(table).await?;
        let status = status(&client, name).await?;
        anyhow::Ok((client, status))
    };
    let (client, mut status_before) = timeout(limit, connect)
        .await
        .context("the server does not answer")??;
    for _ in 0..MAX_COUNTS {
        let Some(landed) = landed(target, table).await? else {
            return Ok(Found {
                status: status_before,
                landed: None,
            });
        };
        let landed = Some(landed);
        let status_after = status(&client, name).await?;
        if committed(status_after.as_ref()) == committed(status_before.as_ref()) {
            return Ok(Found {
                status: status_after,
                landed,
            });
        }
        status_before = status_after;
    }
    Err(anyhow!(
        "the number of rows keeps changing; is another program streaming to this table?"
    ))
}

/// Counts the landed rows and their TXIDs, if that is possible.
async fn landed(target: &Target, table: Table) -> Result<Option<Landed>> {
    if target.verify_sql {
        return target.count(table).await.map(Some);
    }
    let Some(landing) = target.landing.clone() else {
        return Ok(None);
    };
    let count = tokio::task::spawn_blocking(move || data_file::count(&landing, table.name(), ID));
    count.await?.map(Some)
}

async fn status(client: &StreamingIngestClient, name: &str) -> Result<Option<ChannelStatus>> {
    Ok(client.channel_statuses([name]).await?.remove(name))
}

fn committed(status: Option<&ChannelStatus>) -> Option<&OffsetToken> {
    status.and_then(ChannelStatus::latest_committed_offset_token)
}

fn line(
    mut queue: Queue,
    table: Table,
    name: &str,
    found: Option<Found>,
    course: Course,
) -> Result<Line> {
    let mut line = Line::default();
    if let Some(Found { status, landed }) = found {
        let token = committed(status.as_ref());
        let offset = token.map(OffsetToken::parse::<i64>).transpose()?;
        match (check(name, offset, queue.span(table)?), &status, offset) {
            (Err(error), ..) if course.was_finished => return Err(error),
            (Ok(()), Some(status), Some(offset)) => {
                release_committed(&mut queue, table, offset, status)?;
            }
            _ => {}
        }
        line.is_known = true;
        line.committed_offset_token = token.map(ToString::to_string);
        line.landed = landed.map(|landed| landed.rows.try_into()).transpose()?;
        line.distinct_txid = landed
            .map(|landed| landed.distinct.try_into())
            .transpose()?;
        if let Some(status) = &status {
            line.rows_inserted = status.rows_inserted_count();
            line.rejected = status.rows_error_count();
        }
    }
    let span = queue.span(table)?;
    line.generated = span.issued;
    line.left_in_queue = span.queued();
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Line, Summary};

    /// Ten rows, all in the table.
    fn complete() -> Line {
        Line {
            generated: 10,
            committed_offset_token: Some("10".to_owned()),
            rows_inserted: 10,
            landed: Some(10),
            distinct_txid: Some(10),
            is_known: true,
            ..Line::default()
        }
    }

    #[test]
    fn extra_rows_are_distinguished_from_missing_rows() {
        let line = |landed| Line {
            landed: Some(landed),
            ..complete()
        };
        assert!(line(11).holds_more());
        assert!(!line(10).holds_more());
        assert!(!line(9).holds_more());
    }

    #[test]
    fn a_line_balances_if_every_row_is_in_one_place() {
        assert!(complete().is_balanced(false));
        let account = Line {
            landed: None,
            distinct_txid: None,
            ..complete()
        };
        assert!(account.is_balanced(false));
        let rejected = Line {
            rows_inserted: 8,
            rejected: 2,
            landed: Some(8),
            distinct_txid: Some(8),
            ..complete()
        };
        assert!(rejected.is_balanced(false));
        let interrupted = Line {
            generated: 12,
            left_in_queue: 2,
            ..complete()
        };
        assert!(interrupted.is_balanced(true) && !interrupted.is_balanced(false));
        let nothing = Line {
            is_known: true,
            ..Line::default()
        };
        assert!(nothing.is_balanced(false));
    }

    #[test]
    fn a_failure_without_loss_is_not_finished_instead_of_not_balanced() {
        let verdict = |left_in_queue| {
            let line = Line {
                generated: 12,
                left_in_queue,
                ..complete()
            };
            let summary = Summary {
                target: String::new(),
                seed: None,
                start: None,
                steps: 0,
                elapsed_s: 0.0,
                interrupted: false,
                balanced: line.is_balanced(false),
                tables: BTreeMap::from([("LIFT_RIDE", line)]),
                failures: Vec::new(),
            };
            summary.verdict()
        };
        assert!(verdict(2).starts_with("Not finished: none lost"));
        assert!(verdict(1).starts_with("Not balanced"));
    }

    #[test]
    fn a_line_does_not_balance_if_a_row_is_missing_or_there_twice() {
        for (what, line) in [
            (
                "no response",
                Line {
                    is_known: false,
                    ..complete()
                },
            ),
            (
                "lost",
                Line {
                    landed: Some(9),
                    distinct_txid: Some(9),
                    ..complete()
                },
            ),
            (
                "twice",
                Line {
                    landed: Some(11),
                    ..complete()
                },
            ),
            (
                "twice and lost",
                Line {
                    distinct_txid: Some(9),
                    ..complete()
                },
            ),
            (
                "not inserted",
                Line {
                    rows_inserted: 9,
                    ..complete()
                },
            ),
            (
                "not generated",
                Line {
                    generated: 9,
                    ..complete()
                },
            ),
            (
                "not committed",
                Line {
                    committed_offset_token: None,
                    ..complete()
                },
            ),
            (
                "not a number",
                Line {
                    committed_offset_token: Some("ten".to_owned()),
                    ..complete()
                },
            ),
        ] {
            assert!(
                !line.is_balanced(false) && !line.is_balanced(true),
                "{what}"
            );
        }
    }
}
