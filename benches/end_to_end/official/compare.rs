//! The figures of a run, and the ratios between the runs of the two sides. A ratio has two statistics: the median of the ratios
//! of the pairs, which is quoted, and the ratio of the two medians. On a quiet machine they are nearly the same.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::figures::{float, median, percentile};
use crate::floor::Floors;
use crate::job::Config;
use crate::lab::Sample;

/// How far the two statistics of a ratio may differ, as a factor.
const APART: f64 = 1.1;
/// The same for figures that depend on few appends or few pages.
const APART_OF_TAILS: f64 = 1.5;
/// How far they may differ if one is below 1 and the other above.
const APART_ACROSS_ONE: f64 = 1.05;

/// A figure that is compared.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    of: fn(&Figures) -> f64,
    /// How far its two statistics may differ.
    apart: f64,
    /// How many timed appends a run needs for this figure. With fewer, the 99th percentile is about the maximum.
    least_appends: u64,
}

/// The figures in the order of their columns.
pub(crate) const FIGURES: [Figure; 7] = [
    figure("rows_per_s", |run| run.rows_per_s, APART),
    figure("cpu_us_per_row", |run| run.cpu_us_per_row, APART),
    figure("wire_bytes", |run| run.wire_bytes, APART),
    figure("peak_rss", |run| run.peak_rss, APART),
    figure("rss_above_rows", |run| run.rss_above_rows, APART_OF_TAILS),
    Figure {
        least_appends: 1_000,
        ..figure("append_p99", |run| run.append_p99_us, APART_OF_TAILS)
    },
    figure("commit_known_s", |run| run.commit_known_s, APART_OF_TAILS),
];

const fn figure(name: &'static str, of: fn(&Figures) -> f64, apart: f64) -> Figure {
    Figure {
        name,
        of,
        apart,
        least_appends: 0,
    }
}

/// One run, or the medians of several.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Figures {
    pub(crate) rows_per_s: f64,
    pub(crate) cpu_us_per_row: f64,
    /// Bytes of bodies of requests with rows, per row.
    pub(crate) wire_bytes: f64,
    pub(crate) peak_rss: f64,
    /// How far the peak is above the resident memory with all rows made and none appended.
    pub(crate) rss_above_rows: f64,
    pub(crate) append_p50_us: f64,
    pub(crate) append_p99_us: f64,
    /// For several runs, the maximum.
    pub(crate) append_max_us: f64,
    /// From the server's commit of a single flush until the caller learns of it.
    pub(crate) commit_known_s: f64,
    pub(crate) sink_cpu_us_per_row: f64,
    pub(crate) data_requests: f64,
    pub(crate) status_requests: f64,
    /// How often an append was refused for lack of memory, and retried.
    pub(crate) refused: f64,
}

impl Figures {
    pub(crate) fn of(sample: &Sample, refused: u64) -> Self {
        let outcome = &sample.outcome;
        Self {
            rows_per_s: sample.rows_per_s(),
            cpu_us_per_row: sample.cpu_us_per_row(),
            wire_bytes: sample.wire_bytes_per_row(),
            peak_rss: float(outcome.rss_peak),
            rss_above_rows: float(outcome.rss_peak.saturating_sub(outcome.rss_before)),
            append_p50_us: outcome.append_p50_us,
            append_p99_us: outcome.append_p99_us,
            append_max_us: outcome.append_max_us,
            commit_known_s: median(sample.known_ms()) / 1e3,
            sink_cpu_us_per_row: sample.sink_cpu_us_per_row(),
            data_requests: float(sample.counts.data_requests),
            status_requests: float(sample.counts.status_requests),
            refused: float(refused),
        }
    }

    fn medians(runs: &[&Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(runs.iter().map(|run| figure(run)));
        Self {
            rows_per_s: of(|run| run.rows_per_s),
            cpu_us_per_row: of(|run| run.cpu_us_per_row),
            wire_bytes: of(|run| run.wire_bytes),
            peak_rss: of(|run| run.peak_rss),
            rss_above_rows: of(|run| run.rss_above_rows),
            append_p50_us: of(|run| run.append_p50_us),
            append_p99_us: of(|run| run.append_p99_us),
            append_max_us: percentile(runs.iter().map(|run| run.append_max_us), 100),
            commit_known_s: of(|run| run.commit_known_s),
            sink_cpu_us_per_row: of(|run| run.sink_cpu_us_per_row),
            data_requests: of(|run| run.data_requests),
            status_requests: of(|run| run.status_requests),
            refused: of(|run| run.refused),
        }
    }
}

/// A figure of this crate divided by that of the official SDK.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Ratio {
    /// The median of the ratios of the pairs.
    pub(crate) median: f64,
    /// The ratio of the two medians.
    pub(crate) of_medians: f64,
    /// The range of the ratios of the pairs.
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
}

impl Ratio {
    /// Whether its two statistics contradict each other. Unknown values contradict nothing.
    fn contradicts_itself(self, apart: f64) -> bool {
        let (low, high) = (
            self.median.min(self.of_medians),
            self.median.max(self.of_medians),
        );
        let factor = high / low;
        factor > apart || low < 1.0 && high > 1.0 && factor > APART_ACROSS_ONE
    }
}

/// A ratio whose two statistics contradict each other.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Contradiction {
    configuration: String,
    figure: &'static str,
    ratio: Ratio,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            configuration,
            figure,
            ratio,
        } = self;
        write!(
            f,
            "{configuration}:{figure}: {:.2} is the median of the ratios, {:.2} the ratio of the medians; the pairs gave {:.2} to {:.2}",
            ratio.median, ratio.of_medians, ratio.lowest, ratio.highest
        )
    }
}

/// One configuration.
#[derive(Debug, Serialize)]
pub(crate) struct Compared {
    /// Its name in requirements.
    pub(crate) name: String,
    pub(crate) batch: usize,
    pub(crate) channels: usize,
    pub(crate) delay_ms: u64,
    /// Rows per second of each channel; 0 for as many as are accepted.
    pub(crate) rate: u64,
    pub(crate) ours: Figures,
    pub(crate) official: Figures,
    /// For each figure, the highest value of the runs divided by the lowest.
    pub(crate) ours_spread: BTreeMap<&'static str, f64>,
    pub(crate) official_spread: BTreeMap<&'static str, f64>,
    /// The ratios by the names of the figures.
    pub(crate) ratios: BTreeMap<&'static str, Ratio>,
    pub(crate) contradictions: Vec<Contradiction>,
    /// This crate's CPU per row divided by the floor on an idle machine, and by the floor beside a busy neighbour.
    pub(crate) times_floor: Option<f64>,
    pub(crate) times_busy_floor: Option<f64>,
}

impl Compared {
    pub(crate) fn of(config: Config, pairs: &[[Figures; 2]], floors: Option<&Floors>) -> Self {
        let ours: Vec<_> = pairs.iter().map(|[ours, _]| ours).collect();
        let official: Vec<_> = pairs.iter().map(|[_, official]| official).collect();
        let spread = |runs: &[&Figures]| {
            let spread = |figure: &Figure| {
                let (low, high) = range(runs.iter().map(|run| (figure.of)(run)));
                (figure.name, high / low)
            };
            FIGURES.iter().map(spread).collect()
        };
        let ratio = |figure: &Figure| {
            let of = figure.of;
            let ratios = || pairs.iter().map(|[ours, official]| of(ours) / of(official));
            let (lowest, highest) = range(ratios());
            let middle = |runs: &[&Figures]| median(runs.iter().map(|run| of(run)));
            let ratio = Ratio {
                median: median(ratios()),
                of_medians: middle(&ours) / middle(&official),
                lowest,
                highest,
            };
            (figure.name, ratio)
        };
        let known = |figure: &&Figure| figure.least_appends <= config.timed_appends();
        let ratios: BTreeMap<_, _> = FIGURES.iter().filter(known).map(ratio).collect();
        let contradicts = |figure: &Figure| {
            let ratio = ratios.get(figure.name)?;
            ratio
                .contradicts_itself(figure.apart)
                .then(|| Contradiction {
                    configuration: name(config),
                    figure: figure.name,
                    ratio: *ratio,
                })
        };
        let medians = Figures::medians(&ours);
        let times = |floor: f64| medians.cpu_us_per_row / floor;
        Self {
            name: name(config),
            batch: config.batch,
            channels: config.channels,
            delay_ms: config.delay_ms,
            rate: config.rate,
            official: Figures::medians(&official),
            ours_spread: spread(&ours),
            official_spread: spread(&official),
            contradictions: FIGURES.iter().filter_map(contradicts).collect(),
            ratios,
            times_floor: floors.map(|floors| times(floors.alone.cpu_us_per_row)),
            times_busy_floor: floors.map(|floors| times(floors.beside.cpu_us_per_row)),
            ours: medians,
        }
    }
}

/// The short name of a configuration: `1000`, `1000x4`, `1000+50ms`, `1000@200000/s`.
pub(crate) fn name(config: Config) -> String {
    let part = |is_unusual: bool, part: String| if is_unusual { part } else { String::new() };
    [
        config.batch.to_string(),
        part(config.channels > 1, format!("x{}", config.channels)),
        part(config.delay_ms > 0, format!("+{}ms", config.delay_ms)),
        part(config.rate > 0, format!("@{}/s", config.rate)),
    ]
    .concat()
}

fn range(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    (
        values.clone().fold(f64::INFINITY, f64::min),
        values.fold(f64::NEG_INFINITY, f64::max),
    )
}
