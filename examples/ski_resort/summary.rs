//! The reconciliation: what was generated against what the server says and what is in the tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use snowpipe_streaming::OffsetToken;

use crate::cli::Args;
use crate::landing;
use crate::pipeline::channel;
use crate::queue::Queue;
use crate::stream::{check, release_committed};
use crate::table::Table;
use crate::target::Target;

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
}

/// One table's line.
#[derive(Debug, Serialize)]
struct Line {
    generated: i64,
    committed_offset_token: Option<String>,
    rows_inserted: u64,
    rejected: u64,
    /// None where the tables cannot be looked into.
    landed: Option<i64>,
    distinct_txid: Option<i64>,
    left_in_queue: i64,
}

impl Summary {
    /// Asks the server and the landing, after every channel is closed, and releases what the queue still holds of what
    /// is committed.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::misconfigured::Misconfigured) if the server and the queue of a run that `is_finished`
    /// do not belong together.
    pub(crate) async fn new(
        args: &Args,
        queue: &Path,
        target: &Target,
        interrupted: bool,
        is_finished: bool,
        elapsed: Duration,
    ) -> Result<Self> {
        let mut tables = BTreeMap::new();
        for table in Table::ALL {
            let line = line(args, queue, target, table, is_finished);
            let line = line.await.context("cannot reconcile")?;
            tables.insert(table.name(), line);
        }
        let progress = Queue::open(queue)?.progress()?;
        Ok(Self {
            target: target.name()?,
            seed: progress.as_ref().map(|p| p.seed),
            start: progress.as_ref().map(|p| p.start.to_string()),
            steps: progress.as_ref().map_or(0, |p| p.next_step),
            elapsed_s: elapsed.as_secs_f64(),
            interrupted,
            balanced: tables.values().all(|line| line.is_balanced(interrupted)),
            tables,
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
            let known =
                |count: Option<i64>| count.map_or_else(|| "?".to_owned(), |n| n.to_string());
            row([
                table.name(),
                &line.generated.to_string(),
                line.committed_offset_token.as_deref().unwrap_or("none"),
                &line.rows_inserted.to_string(),
                &line.rejected.to_string(),
                &known(line.landed),
                &known(line.distinct_txid),
                &line.left_in_queue.to_string(),
            ]);
        }
        text.push_str(self.verdict());
        text.push('\n');
        if target.landing.is_none() {
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

    fn verdict(&self) -> &'static str {
        match (self.balanced, self.has_rejects(), self.interrupted) {
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
    fn is_balanced(&self, interrupted: bool) -> bool {
        let committed = self.committed_offset_token.as_deref().unwrap_or("0");
        let Ok(committed) = committed.parse::<i64>() else {
            return false;
        };
        let inserted = i64::try_from(self.rows_inserted).ok();
        let rejected = i64::try_from(self.rejected).ok();
        let counted = inserted.zip(rejected).map(|(i, r)| i + r);
        counted == Some(committed)
            && committed + self.left_in_queue == self.generated
            && (interrupted || self.left_in_queue == 0)
            && (self.landed.is_none() || self.landed == inserted)
            && self.landed == self.distinct_txid
    }
}

async fn line(
    args: &Args,
    queue: &Path,
    target: &Target,
    table: Table,
    is_finished: bool,
) -> Result<Line> {
    let path = queue.to_owned();
    let mut queue = tokio::task::spawn_blocking(move || Queue::open(&path)).await??;
    let name = channel(args, queue.id(), table);
    let client = target.client(table).await?;
    let status = client.channel_statuses([&name]).await?.remove(&name);
    let token = status
        .as_ref()
        .and_then(|status| status.latest_committed_offset_token());
    let committed = token.map(OffsetToken::parse::<i64>).transpose()?;
    let landing = target.landing.clone();
    let token = token.map(ToString::to_string);
    let counted = tokio::task::spawn_blocking(move || {
        let span = queue.span(table)?;
        match (check(&name, committed, span), &status, committed) {
            (Err(error), ..) if is_finished => return Err(error),
            (Ok(()), Some(status), Some(committed)) => {
                release_committed(&mut queue, table, committed, status)?;
            }
            _ => {}
        }
        let landed = landing
            .map(|path| landing::count(&path, table))
            .transpose()?;
        let span = queue.span(table)?;
        anyhow::Ok(Line {
            generated: span.issued,
            committed_offset_token: token,
            rows_inserted: status.as_ref().map_or(0, |s| s.rows_inserted_count()),
            rejected: status.as_ref().map_or(0, |s| s.rows_error_count()),
            landed: landed.map(|(rows, _)| rows),
            distinct_txid: landed.map(|(_, txids)| txids),
            left_in_queue: span.queued(),
        })
    });
    counted.await?
}
