//! The table and its JSON.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use snowpipe_connector_support::text_table::{Align, aligned};

use crate::figures::{float, median, percentile};
use crate::floor::Floors;
use crate::job::Config;
use crate::lab::Sample;
use crate::machine::Machine;
use crate::rows::{Form, POOL};

/// The results of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// The load average of the last minute.
    pub(crate) load_after: Option<f64>,
    pub(crate) floors: BTreeMap<Form, Floors>,
    pub(crate) lines: Vec<Line>,
}

/// One configuration.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    #[serde(flatten)]
    pub(crate) config: Config,
    pub(crate) runs: usize,
    pub(crate) rows_per_s: f64,
    pub(crate) cpu_us_per_row: f64,
    /// CPU per row divided by the floor on an idle machine, and by the floor beside a busy neighbour.
    pub(crate) times_floor: f64,
    pub(crate) times_busy_floor: f64,
    pub(crate) wire_bytes_per_row: f64,
    pub(crate) rss_peak: f64,
    pub(crate) rss_above_pool: f64,
    pub(crate) append_p50_us: f64,
    pub(crate) append_p99_us: f64,
    pub(crate) append_max_us: f64,
    pub(crate) known_p50_ms: f64,
    pub(crate) known_p95_ms: f64,
    pub(crate) sink_cpu_us_per_row: f64,
    pub(crate) data_requests: f64,
    pub(crate) status_requests: f64,
}

impl Line {
    /// Medians of the samples, except: the maximum of the longest appends, and percentiles over the commits of all samples.
    pub(crate) fn new(config: Config, samples: &[Sample], floors: &Floors) -> Self {
        let of = |figure: fn(&Sample) -> f64| median(samples.iter().map(figure));
        let known = || samples.iter().flat_map(Sample::known_ms);
        let cpu_us_per_row = of(Sample::cpu_us_per_row);
        Self {
            config,
            runs: samples.len(),
            rows_per_s: of(Sample::rows_per_s),
            cpu_us_per_row,
            times_floor: cpu_us_per_row / floors.alone.cpu_us_per_row,
            times_busy_floor: cpu_us_per_row / floors.beside.cpu_us_per_row,
            wire_bytes_per_row: of(Sample::wire_bytes_per_row),
            rss_peak: of(|s| float(s.outcome.rss_peak)),
            rss_above_pool: of(|s| float(s.outcome.rss_peak.saturating_sub(s.outcome.rss_before))),
            append_p50_us: of(|s| s.outcome.append_p50_us),
            append_p99_us: of(|s| s.outcome.append_p99_us),
            append_max_us: percentile(samples.iter().map(|s| s.outcome.append_max_us), 100),
            known_p50_ms: percentile(known(), 50),
            known_p95_ms: percentile(known(), 95),
            sink_cpu_us_per_row: of(Sample::sink_cpu_us_per_row),
            data_requests: of(|s| float(s.counts.data_requests)),
            status_requests: of(|s| float(s.counts.status_requests)),
        }
    }

    fn cells(&self) -> [String; 18] {
        let Config {
            rows,
            batch,
            channels,
            delay_ms,
            form,
            ..
        } = self.config;
        let mib = |bytes: f64| format!("{:.0}", bytes / f64::from(1 << 20));
        [
            rows.to_string(),
            batch.to_string(),
            channels.to_string(),
            delay_ms.to_string(),
            format!("{form:?}").to_lowercase(),
            format!("{:.0}", self.rows_per_s),
            format!("{:.3}", self.cpu_us_per_row),
            format!("{:.2}", self.times_floor),
            format!("{:.2}", self.times_busy_floor),
            format!("{:.1}", self.wire_bytes_per_row),
            mib(self.rss_peak),
            mib(self.rss_above_pool),
            format!("{:.2}", self.append_p50_us),
            format!("{:.2}", self.append_p99_us),
            format!("{:.1}", self.append_max_us / 1e3),
            format!("{:.0}", self.known_p50_ms),
            format!("{:.0}", self.known_p95_ms),
            format!("{:.3}", self.sink_cpu_us_per_row),
        ]
    }
}

const HEADS: [[&str; 18]; 2] = [
    [
        "",
        "",
        "",
        "delay",
        "",
        "",
        "CPU us",
        "x",
        "x busy",
        "wire B",
        "peak",
        "above",
        "append us",
        "append us",
        "append ms",
        "known ms",
        "known ms",
        "sink us",
    ],
    [
        "rows", "batch", "channels", "ms", "form", "rows/s", "a row", "floor", "floor", "a row",
        "MiB", "pool", "p50", "p99", "max", "p50", "p95", "a row",
    ],
];

/// Explains the columns.
const LEGEND: &str = "\
Each run is a separate process that streams to a sink process on the same machine, over TLS on loopback. The lines take
turns; each shows the medians of its runs, and the maximum of their longest appends.
rows/s      from the first append until all rows are accepted
CPU us      user and system time of the client process in that span; reading the rows is not included
x floor     CPU divided by the cost of encoding and compressing alone: one thread, no client
x busy      the same with the floor measured beside a process that does the same work all the time
wire B      bodies of data requests
peak MiB    the peak of resident memory, and how much that is above the memory with all rows read and nothing appended
append      one call, including the wait for memory; a batch of 1 is append_row
known ms    single flushes after the stream: from the server's commit until Receipt::committed returns
sink us     CPU of the sink, which shares the machine";

impl Report {
    /// Prints the table.
    pub(crate) fn print(&self) {
        let machine = &self.machine;
        let load = |load: Option<f64>| load.map_or_else(|| "?".to_owned(), |load| load.to_string());
        println!(
            "\nsnowpipe-streaming {}, {}, {} cores, load {} before and {} after",
            machine.crate_version,
            machine.rustc,
            machine.cores,
            load(machine.load_before),
            load(self.load_after),
        );
        if !machine.optimized {
            println!("Built without optimization: the figures say nothing.");
        }
        println!("{POOL} different lift rides, again and again.\n{LEGEND}\n");
        for (
            form,
            Floors {
                alone: floor,
                beside,
            },
        ) in &self.floors
        {
            println!(
                "floor of {form:?}: {:.3} CPU us a row, {:.3} beside a busy neighbour, {:.1} B of JSON, {:.1} B on the wire ({:.2} x), bodies of {} KiB",
                floor.cpu_us_per_row,
                beside.cpu_us_per_row,
                floor.json_bytes_per_row,
                floor.wire_bytes_per_row,
                floor.json_bytes_per_row / floor.wire_bytes_per_row,
                floor.body_bytes >> 10,
            );
        }
        println!();
        let heads = HEADS.map(|head| head.map(str::to_owned));
        let table: Vec<_> = heads
            .into_iter()
            .chain(self.lines.iter().map(Line::cells))
            .collect();
        print!("{}", aligned([Align::Right; 18], &table));
    }

    /// Writes the report as JSON.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        serde_json::to_writer_pretty(File::create(path)?, self)?;
        println!("\nalso in {}", path.display());
        Ok(())
    }
}
