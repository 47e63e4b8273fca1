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
        let passed = looked.elapsed();
        looked = Instant::now();
        let mut texts = Vec::new();
        for (table, sample) in samples {
            let counters = observers.get(&table).map(|o| *o.borrow());
            let counters = counters.unwrap_or_default();
            let earlier = before.insert(table, counters.committed);
            let news = counters.committed - earlier.unwrap_or(counters.begun);
            let numbers = Numbers::new(counters, sample, a_second(news, passed));
            lines.set(table, numbers.columns());
            texts.push(format!("{}: {}", table.name(), numbers.sentence()));
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

fn a_second(rows: i64, passed: Duration) -> i64 {
    let millis = i64::try_from(passed.as_millis().max(1)).unwrap_or(i64::MAX);
    rows.saturating_mul(1_000) / millis
}

/// One table's numbers.
struct Numbers {
    generated: i64,
    queued: i64,
    appended: i64,
    accepted: i64,
    committed: i64,
    landed: String,
    rate: i64,
    lag: f64,
}

impl Numbers {
    fn new(counters: Counters, sample: Sample, rate: i64) -> Self {
        let landed = sample.landed.map(|rows| rows.to_string());
        let lag = counters.waiting_since.map(|since| since.elapsed());
        Self {
            generated: sample.span.issued,
            queued: sample.span.queued(),
            appended: counters.appended,
            accepted: counters.accepted,
            committed: counters.committed,
            landed: landed.unwrap_or_else(|| "?".to_owned()),
            rate,
            lag: lag.unwrap_or_default().as_secs_f64(),
        }
    }

    fn sentence(&self) -> String {
        format!(
            "generated {}, queued {}, appended {}, accepted {}, committed {}, landed {}, {} rows/s, lag {:.1} s",
            self.generated,
            self.queued,
            self.appended,
            self.accepted,
            self.committed,
            self.landed,
            self.rate,
            self.lag,
        )
    }

    /// The same, below [`HEADS`].
    fn columns(&self) -> String {
        format!(
            "{:>9} {:>7} {:>8} {:>8} {:>9} {:>7} {:>6} {:>4.1}",
            self.generated,
            self.queued,
            self.appended,
            self.accepted,
            self.committed,
            self.landed,
            self.rate,
            self.lag,
        )
    }
}

/// The heads of the columns. All of it fits into the usual 80.
const HEADS: &str = "generated  queued appended accepted committed  landed rows/s  lag";

/// The live lines. They vanish when they are dropped.
struct Lines {
    head: ProgressBar,
    tables: BTreeMap<Table, ProgressBar>,
}

impl Lines {
    fn new(screen: &Screen) -> Self {
        let style = ProgressStyle::with_template("{prefix:13} {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let line = |name: &'static str| {
            let line = screen.bars().add(ProgressBar::no_length());
            line.set_style(style.clone());
            line.set_prefix(name);
            line
        };
        let head = line("");
        let tables = Table::ALL.map(|table| (table, line(table.name())));
        Self {
            head,
            tables: BTreeMap::from(tables),
        }
    }

    fn set(&self, table: Table, columns: String) {
        self.head.set_message(HEADS);
        if let Some(line) = self.tables.get(&table) {
            line.set_message(columns);
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.head.finish_and_clear();
        for line in self.tables.values() {
            line.finish_and_clear();
        }
    }
}
