//! What one run gives, and how the runs of the two sides compare. There are two ways to say that: the median of the ratios of
//! the pairs, which is quoted, and the ratio of the two medians. On a quiet machine they are nearly the same.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::figures::{float, median, percentile};
use crate::floor::Floors;
use crate::job::Config;
use crate::lab::Sample;

/// How far the two statistics of a ratio may be apart, as a factor.
const APART: f64 = 1.1;
/// The same of figures that hang on few appends or few pages.
const APART_OF_TAILS: f64 = 1.5;
/// How far they may be apart if one says less and the other more.
const APART_ACROSS_ONE: f64 = 1.05;

/// A figure that is compared.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    of: fn(&Figures) -> f64,
    /// How far its two statistics may be apart.
    apart: f64,
    /// How many appends of a run have to be timed for it: of fewer the 99th percentile is about the longest.
    least_appends: u64,
}

/// All of them, in the order of their columns.
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
    /// Bodies of requests with rows, a row.
    pub(crate) wire_bytes: f64,
    pub(crate) peak_rss: f64,
    /// How far the peak is above what was resident with all rows made and none appended.
    pub(crate) rss_above_rows: f64,
    pub(crate) append_p50_us: f64,
    pub(crate) append_p99_us: f64,
    /// Of several runs the longest.
    pub(crate) append_max_us: f64,
    /// From the server's commit of a lone flush until the caller knows.
    pub(crate) commit_known_s: f64,
    pub(crate) sink_cpu_us_per_row: f64,
    pub(crate) data_requests: f64,
    pub(crate) status_requests: f64,
    /// How often an append was refused for want of room, and tried again.
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

/// One figure of ours by the official SDK's.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Ratio {
    /// The median of the ratios of the pairs.
    pub(crate) median: f64,
    /// The ratio of the two medians.
    pub(crate) of_medians: f64,
    /// Of the ratios of the pairs.
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
}

impl Ratio {
    /// Whether its two statistics cannot both be true. Of what is not known they say nothing.
    fn contradicts_itself(self, apart: f64) -> bool {
        let (low, high) = (
            self.median.min(self.of_medians),
            self.median.max(self.of_medians),
        );
        let factor = high / low;
        factor > apart || low < 1.0 && high > 1.0 && factor > APART_ACROSS_ONE
    }
}

/// A ratio of which the two statistics cannot both be true.
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
    /// What requirements call it.
    pub(crate) name: String,
    pub(crate) batch: usize,
    pub(crate) channels: usize,
    pub(crate) delay_ms: u64,
    /// Rows a second of each channel; 0 for as many as are taken.
    pub(crate) rate: u64,
    pub(crate) ours: Figures,
    pub(crate) official: Figures,
    /// Of each figure the highest by the lowest of the runs.
    pub(crate) ours_spread: BTreeMap<&'static str, f64>,
    pub(crate) official_spread: BTreeMap<&'static str, f64>,
    /// Ours by the official SDK's, by the figures' names.
    pub(crate) ratios: BTreeMap<&'static str, Ratio>,
    pub(crate) contradictions: Vec<Contradiction>,
    /// CPU a row of ours by the floor alone on the machine, and by that beside a busy neighbour.
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

/// What a configuration is called, in short: `1000`, `1000x4`, `1000+50ms`, `1000@200000/s`.
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
