//! The reconciliation: what was generated against what the server says and what is in the tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use snowpipe_streaming::{ChannelStatus, OffsetToken, StreamingIngestClient};
use tokio::time::timeout;

use crate::cli::Args;
use crate::error_text::with_causes;
use crate::landing;
use crate::misconfigured::is_misconfigured;
use crate::pipeline::channel;
use crate::queue::Queue;
use crate::stream::{check, release_committed};
use crate::table::Table;
use crate::target::Target;

/// How often a table that still changes is counted again.
const MOST_COUNTS: u32 = 20;
/// How long the server of an interrupted run may take to answer, at least.
const LEAST_PATIENCE: Duration = Duration::from_secs(5);

/// How a run went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Course {
    pub(crate) interrupted: bool,
    /// Whether it had nothing to do, because an earlier run did everything.
    pub(crate) was_finished: bool,
    pub(crate) elapsed: Duration,
}

/// The reconciliation of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    target: String,
    /// None if no generator has used the queue yet.
    seed: Option<u64>,
    start: Option<String>,
    steps: u64,
    elapsed_s: f64,
    interrupted: bool,
    balanced: bool,
    tables: BTreeMap<&'static str, Line>,
    /// What could not be asked.
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
    /// None where the tables cannot be looked into.
    landed: Option<i64>,
    distinct_txid: Option<i64>,
    left_in_queue: i64,
    /// Whether the server said what it has.
    #[serde(skip)]
    is_known: bool,
}

/// What the server and the landing have of a table, at the same moment.
#[derive(Debug)]
struct Found {
    /// None if there is no such channel.
    status: Option<ChannelStatus>,
    landed: Option<(i64, i64)>,
}

impl Summary {
    /// Asks the server and the landing, after every channel is closed, and releases what the queue still holds of what
    /// is committed.
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
            // Neither somebody who stops the run waits for a server that is away, nor does anybody wait twice.
            let patience = if course.interrupted || !failures.is_empty() {
                args.drain_timeout.max(LEAST_PATIENCE)
            } else {
                Duration::MAX
            };
            let found = match find(target, table, &name, patience).await {
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

    /// Whether every row is accounted for: in the table once, rejected and counted, or, after an interruption, still in
    /// the queue.
    pub(crate) fn is_balanced(&self) -> bool {
        self.balanced
    }

    /// Whether the server rejected rows.
    pub(crate) fn has_rejects(&self) -> bool {
        self.tables.values().any(|line| line.rejected > 0)
    }

    /// Writes the table to stdout, and the JSON where it was asked for.
    pub(crate) fn write(&self, target: &Target, json: Option<&Path>) -> Result<()> {
        // Nobody reads on: no reason to fail.
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
        let mut text = String::new();
        let mut row = |cells: [&str; 8]| {
            let [table, rest @ ..] = cells;
            let _ = write!(text, "{table:<14}");
            for cell in rest {
                let _ = write!(text, " {cell:>10}");
            }
            text.push('\n');
        };
        row([
            "table",
            "generated",
            "committed",
            "inserted",
            "rejected",
            "landed",
            "txids",
            "queued",
        ]);
        for table in Table::ALL {
            let Some(line) = self.tables.get(table.name()) else {
                continue;
            };
            let known = |count: Option<String>| count.unwrap_or_else(|| "?".to_owned());
            let of_server = |count: u64| known(line.is_known.then(|| count.to_string()));
            let token = line.committed_offset_token.as_deref();
            row([
                table.name(),
                &line.generated.to_string(),
                token.unwrap_or(if line.is_known { "none" } else { "?" }),
                &of_server(line.rows_inserted),
                &of_server(line.rejected),
                &known(line.landed.map(|n| n.to_string())),
                &known(line.distinct_txid.map(|n| n.to_string())),
                &line.left_in_queue.to_string(),
            ]);
        }
        text.push_str(self.verdict());
        text.push('\n');
        if target.landing.is_none() && !target.verify_sql {
            text.push_str("Count what landed:\n");
            for table in Table::ALL {
                let _ = writeln!(
                    text,
                    "  SELECT COUNT(*), COUNT(DISTINCT TXID) FROM {}.{};",
                    target.namespace(),
                    table.name()
                );
            }
        }
        text
    }

    /// How it ended, in a sentence.
    pub(crate) fn verdict(&self) -> &'static str {
        match (self.balanced, self.has_rejects(), self.interrupted) {
            (false, ..) if self.tables.values().any(Line::holds_more) => {
                "Not balanced: a table holds more rows than the channel inserted, those of another queue perhaps; count in tables that hold nothing else."
            }
            (false, ..) if !self.failures.is_empty() => {
                "Not balanced: not every table could be asked about."
            }
            (false, ..) if self.tables.values().all(|line| line.is_balanced(true)) => {
                "Not finished: none lost, none twice so far, and what is not committed is still in the queue; once what \
                 failed is fixed, the same command goes on with it."
            }
            (false, ..) => "Not balanced: the numbers of a table do not add up.",
            (true, true, _) => "Balanced, but rows were rejected: see DEAD_LETTER in the queue.",
            (true, false, true) => {
                "Balanced so far: none lost, none twice; the same command goes on with the rest."
            }
            (true, false, false) => "Balanced: none lost, none twice.",
        }
    }
}

impl Line {
    /// Whether there are rows that this queue's channel did not bring.
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

/// Asks the server, and counts what landed until both speak of the same moment: rows may still be on their way when a
/// run was interrupted.
async fn find(target: &Target, table: Table, name: &str, patience: Duration) -> Result<Found> {
    let connect = async {
        let client = target.client(table).await?;
        let status = status(&client, name).await?;
        anyhow::Ok((client, status))
    };
    let (client, mut status_before) = timeout(patience, connect)
        .await
        .context("the server does not answer")??;
    for _ in 0..MOST_COUNTS {
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
        "rows still come in; is something else streaming to it?"
    ))
}

/// How many rows and different TXIDs have landed, if there is a way to count them.
async fn landed(target: &Target, table: Table) -> Result<Option<(i64, i64)>> {
    if target.verify_sql {
        return target.count(table).await.map(Some);
    }
    let Some(landing) = target.landing.clone() else {
        return Ok(None);
    };
    let count = tokio::task::spawn_blocking(move || landing::count(&landing, table));
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
        line.landed = landed.map(|(rows, _)| rows);
        line.distinct_txid = landed.map(|(_, txids)| txids);
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
    fn rows_of_others_are_told_from_rows_that_are_missing() {
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
    fn what_failed_and_lost_nothing_is_not_finished_and_not_out_of_balance() {
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
                "nobody answered",
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
