//! Live progress on stderr: a line a table that is drawn over on a terminal, one line every ten seconds elsewhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use crate::counters::{Counters, Observer};
use crate::landing;
use crate::queue::{Queue, Span};
use crate::screen::Screen;
use crate::table::Table;

const ON_TERMINAL: Duration = Duration::from_millis(500);
const ELSEWHERE: Duration = Duration::from_secs(10);

/// What one look at a table finds.
#[derive(Debug, Clone, Copy)]
struct Sample {
    span: Span,
    landed: Option<i64>,
}

/// Shows how far each table has come until it is aborted.
pub(crate) async fn show(
    screen: Screen,
    queue: PathBuf,
    landing: Option<PathBuf>,
    observers: BTreeMap<Table, Observer>,
) {
    let lines = Lines::new(&screen);
    let began = Instant::now();
    let mut before: BTreeMap<Table, i64> = BTreeMap::new();
    let mut looked = began;
    let pause = if screen.is_terminal() {
        ON_TERMINAL
    } else {
        ELSEWHERE
    };
    loop {
        tokio::time::sleep(pause).await;
        let (queue, landing) = (queue.clone(), landing.clone());
        let look = move || sample(&queue, landing.as_deref());
        // A look that fails is not worth a word: what matters fails elsewhere too.
        let Ok(Ok(samples)) = tokio::task::spawn_blocking(look).await else {
            continue;
        };
        let passed = looked.elapsed().as_secs_f64();
        looked = Instant::now();
        let mut texts = Vec::new();
        for (table, sample) in samples {
            let counters = observers.get(&table).map(|o| *o.borrow());
            let counters = counters.unwrap_or_default();
            let earlier = before.insert(table, counters.committed);
            let rate = rate(counters.committed, earlier, passed);
            let text = describe(counters, sample, rate);
            lines.set(table, counters.committed, sample.span.issued, &text);
            texts.push(format!("{}: {text}", table.name()));
        }
        if !screen.is_terminal() {
            screen.note(format!(
                "{} s, {}",
                began.elapsed().as_secs(),
                texts.join("; ")
            ));
        }
    }
}

fn sample(queue: &Path, landing: Option<&Path>) -> Result<BTreeMap<Table, Sample>> {
    let queue = Queue::open(queue)?;
    let mut samples = BTreeMap::new();
    for table in Table::ALL {
        let sample = Sample {
            span: queue.span(table)?,
            landed: landing.map(|path| landing::rows(path, table)).transpose()?,
        };
        samples.insert(table, sample);
    }
    Ok(samples)
}

/// Rows a second since the last look.
fn rate(committed: i64, before: Option<i64>, seconds: f64) -> i64 {
    let Some(before) = before.filter(|before| *before > 0) else {
        // What an earlier run committed was not done just now.
        return 0;
    };
    let millis = Duration::from_secs_f64(seconds).as_millis().max(1);
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    (committed - before).saturating_mul(1_000) / millis
}

fn describe(counters: Counters, sample: Sample, rate: i64) -> String {
    let Counters {
        appended,
        accepted,
        committed,
        waiting_since,
    } = counters;
    let landed = sample
        .landed
        .map_or_else(|| "?".to_owned(), |n| n.to_string());
    let lag = waiting_since.map_or(0.0, |since| since.elapsed().as_secs_f64());
    format!(
        "generated {}, queued {}, appended {appended}, accepted {accepted}, committed {committed}, landed {landed}, {rate} \
         rows/s, lag {lag:.1} s",
        sample.span.issued,
        sample.span.queued(),
    )
}

/// The live lines. They vanish when they are dropped.
struct Lines(BTreeMap<Table, ProgressBar>);

impl Lines {
    fn new(screen: &Screen) -> Self {
        let style = ProgressStyle::with_template("{prefix:>13} {bar:16} {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let line = |table: Table| {
            let line = screen.bars().add(ProgressBar::new(0));
            line.set_style(style.clone());
            line.set_prefix(table.name());
            (table, line)
        };
        Self(Table::ALL.into_iter().map(line).collect())
    }

    fn set(&self, table: Table, committed: i64, generated: i64, text: &str) {
        if let Some(line) = self.0.get(&table) {
            line.set_length(generated.unsigned_abs());
            line.set_position(committed.unsigned_abs());
            line.set_message(text.to_owned());
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        for line in self.0.values() {
            line.finish_and_clear();
        }
    }
}
