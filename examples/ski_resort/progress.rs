//! Live progress on stderr: on a terminal one line for each table, which is redrawn; otherwise one line every ten seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::live::{Flow, Live};
use crate::screen::Screen;

const ON_TERMINAL: Duration = Duration::from_millis(500);
const ELSEWHERE: Duration = Duration::from_secs(10);

/// Shows the progress of each table until it is aborted.
pub(crate) async fn show(screen: Screen, live: watch::Receiver<Live>) {
    let mut lines = Lines::new(&screen);
    let started = Instant::now();
    let pause = if screen.is_terminal() {
        ON_TERMINAL
    } else {
        ELSEWHERE
    };
    loop {
        tokio::time::sleep(pause).await;
        let tables = live.borrow().tables.clone();
        if screen.is_terminal() {
            lines.set(&tables);
        } else {
            let texts: Vec<_> = tables.iter().map(sentence).collect();
            screen.note(format!(
                "{} s, {}",
                started.elapsed().as_secs(),
                texts.join("; ")
            ));
        }
    }
}

fn landed(flow: &Flow) -> String {
    flow.landed
        .map_or_else(|| "?".to_owned(), |rows| rows.to_string())
}

fn sentence(flow: &Flow) -> String {
    format!(
        "{}: generated {}, queued {}, appended {}, accepted {}, committed {}, landed {}, {} rows/s, lag {:.1} s",
        flow.table,
        flow.generated,
        flow.queued,
        flow.appended,
        flow.accepted,
        flow.committed,
        landed(flow),
        flow.rows_per_s,
        flow.lag_s,
    )
}

/// The headings of the columns. A line fits into 80 characters.
const HEADS: &str = "generated  queued appended accepted committed  landed rows/s  lag";

/// The values below [`HEADS`].
fn columns(flow: &Flow) -> String {
    format!(
        "{:>9} {:>7} {:>8} {:>8} {:>9} {:>7} {:>6} {:>4.1}",
        flow.generated,
        flow.queued,
        flow.appended,
        flow.accepted,
        flow.committed,
        landed(flow),
        flow.rows_per_s,
        flow.lag_s,
    )
}

/// The live lines. They disappear when they are dropped.
struct Lines {
    screen: Screen,
    head: ProgressBar,
    tables: BTreeMap<&'static str, ProgressBar>,
}

impl Lines {
    fn new(screen: &Screen) -> Self {
        let head = line(screen, "");
        head.set_message(HEADS);
        Self {
            screen: screen.clone(),
            head,
            tables: BTreeMap::new(),
        }
    }

    fn set(&mut self, tables: &[Flow]) {
        for flow in tables {
            let bar = self
                .tables
                .entry(flow.table)
                .or_insert_with(|| line(&self.screen, flow.table));
            bar.set_message(columns(flow));
        }
    }
}

fn line(screen: &Screen, name: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:13} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let line = screen.bars().add(ProgressBar::no_length());
    line.set_style(style);
    line.set_prefix(name);
    line
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.head.finish_and_clear();
        for line in self.tables.values() {
            line.finish_and_clear();
        }
    }
}
