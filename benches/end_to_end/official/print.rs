//! Prints the comparison as a table.

use std::collections::BTreeMap;

use snowpipe_connector_support::text_table::{Align, aligned};

use super::Comparison;
use super::compare::{Compared, FIGURES, Figures, Ratio};

const COLUMNS: usize = 13;

const HEADS: [[&str; COLUMNS]; 2] = [
    [
        "",
        "",
        "delay",
        "",
        "",
        "CPU us",
        "wire B",
        "peak",
        "above",
        "append us",
        "known",
        "append us",
        "sink us",
    ],
    [
        "batch", "channels", "ms", "", "rows/s", "a row", "a row", "MiB", "rows", "p99", "s",
        "p50", "a row",
    ],
];

const LEGEND: &str = "\
ours, official   medians
spread           the highest value of the runs divided by the lowest
ratio            ours divided by the official SDK's, the median of the pairs; below it the ratio of the medians, and the lowest
                 and highest of the pairs";

impl Comparison {
    /// Prints the table.
    pub(crate) fn print(&self) {
        println!(
            "\nsnowpipe-streaming {} beside the official SDK: {} rows a run, {} pairs; {}, {} cores",
            self.machine.crate_version,
            self.rows,
            self.pairs,
            self.machine.rustc,
            self.machine.cores
        );
        if !self.machine.optimized {
            println!("Built without optimization: the figures say nothing.");
        }
        if let Some(floors) = &self.floors {
            println!(
                "The floor, rows encoded and compressed in one thread without a client: {:.3} CPU us a row alone, {:.3} beside a busy \
                 neighbour.",
                floors.alone.cpu_us_per_row, floors.beside.cpu_us_per_row
            );
        }
        for one in &self.configurations {
            if let (Some(alone), Some(beside)) = (one.times_floor, one.times_busy_floor) {
                println!(
                    "{}: ours is {alone:.2} x the floor alone, {beside:.2} x beside",
                    one.name
                );
            }
        }
        println!("{LEGEND}\n");
        let heads = HEADS.map(|head| head.map(str::to_owned));
        let lines = self.configurations.iter().flat_map(Compared::cells);
        let table: Vec<_> = heads.into_iter().chain(lines).collect();
        print!("{}", aligned([Align::Right; COLUMNS], &table));
    }
}

impl Compared {
    fn cells(&self) -> [[String; COLUMNS]; 7] {
        let factor = |factor: f64| format!("{factor:.2}");
        // Unknown figures have empty cells.
        let spread = |spread: &BTreeMap<&str, f64>| {
            line("spread", |name| {
                let known = spread.get(name).filter(|factor| factor.is_finite());
                known.map(|factor| format!("x {factor:.2}"))
            })
        };
        let ratio = |who: &str, write: &dyn Fn(&Ratio) -> String| {
            line(who, |name| {
                let known = self
                    .ratios
                    .get(name)
                    .filter(|ratio| ratio.median.is_finite());
                known.map(write)
            })
        };
        [
            self.figures("ours", &self.ours),
            spread(&self.ours_spread),
            self.figures("official", &self.official),
            spread(&self.official_spread),
            ratio("ratio", &|ratio| factor(ratio.median)),
            ratio("of medians", &|ratio| factor(ratio.of_medians)),
            ratio("from-to", &|ratio| {
                format!("{:.2}-{:.2}", ratio.lowest, ratio.highest)
            }),
        ]
    }

    fn figures(&self, who: &str, figures: &Figures) -> [String; COLUMNS] {
        let mib = |bytes: f64| format!("{:.0}", bytes / f64::from(1 << 20));
        [
            self.batch.to_string(),
            self.channels.to_string(),
            self.delay_ms.to_string(),
            who.to_owned(),
            format!("{:.0}", figures.rows_per_s),
            format!("{:.2}", figures.cpu_us_per_row),
            format!("{:.1}", figures.wire_bytes),
            mib(figures.peak_rss),
            mib(figures.rss_above_rows),
            format!("{:.1}", figures.append_p99_us),
            format!("{:.3}", figures.commit_known_s),
            format!("{:.1}", figures.append_p50_us),
            format!("{:.3}", figures.sink_cpu_us_per_row),
        ]
    }
}

/// A line below the figures, with one cell per compared figure.
fn line(who: &str, of: impl Fn(&str) -> Option<String>) -> [String; COLUMNS] {
    let mut line: [String; COLUMNS] = Default::default();
    let figures = FIGURES.iter();
    let figures = figures.map(|figure| of(figure.name).unwrap_or_default());
    let cells = std::iter::once(who.to_owned()).chain(figures);
    // After the batch, the channels and the delay.
    for (place, cell) in line.iter_mut().skip(3).zip(cells) {
        *place = cell;
    }
    line
}
