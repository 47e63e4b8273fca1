//! The pipeline in Prometheus's text format 0.0.4.

use std::fmt::{Display, Write as _};

use crate::live::{Flow, Live, Phase, Requests, State};

const PHASES: [(Phase, &str); 6] = [
    (Phase::Starting, "starting"),
    (Phase::Running, "running"),
    (Phase::Reconciling, "reconciling"),
    (Phase::Finished, "finished"),
    (Phase::Interrupted, "interrupted"),
    (Phase::Failed, "failed"),
];

const STATES: [(State, &str); 5] = [
    (State::Opening, "opening"),
    (State::Open, "open"),
    (State::Reopening, "reopening"),
    (State::Closed, "closed"),
    (State::Failed, "failed"),
];

/// The text.
pub(super) fn text(live: &Live) -> String {
    let mut page = Page::default();
    page.family("phase", "gauge", "1 for the phase that the run is in.");
    for (phase, name) in PHASES {
        page.sample(&[("phase", name)], u8::from(phase == live.phase));
    }
    page.single(
        "elapsed_seconds",
        "gauge",
        "Time since the run started.",
        live.elapsed_s.seconds(),
    );
    tables(&mut page, &live.tables);
    requests(&mut page, &live.requests);
    for (name, kind, help, value) in [
        (
            "channels_open",
            "gauge",
            "Channels that are open.",
            live.channels_open,
        ),
        (
            "channels_invalidated_total",
            "counter",
            "Channels that were invalidated.",
            live.channels_invalidated,
        ),
        (
            "channels_reopened_total",
            "counter",
            "Channels that were reopened.",
            live.channels_reopened,
        ),
        (
            "sent_bytes_total",
            "counter",
            "Bytes of request bodies sent.",
            live.bytes_sent,
        ),
        (
            "memory_in_use_bytes",
            "gauge",
            "Bytes of rows held.",
            live.memory_in_use,
        ),
        (
            "memory_budget_bytes",
            "gauge",
            "Bytes of rows that may be held.",
            live.memory_budget,
        ),
    ] {
        page.single(name, kind, help, value);
    }
    page.text
}

/// A family of metrics of a table's flow.
type OfFlow = fn(&Flow) -> Option<f64>;

#[expect(clippy::cast_precision_loss, reason = "Prometheus has doubles only")]
fn tables(page: &mut Page, flows: &[Flow]) {
    // The number of appended rows falls when a channel is reopened, so it is a gauge.
    let families: [(&str, &str, &str, OfFlow); 9] = [
        (
            "rows_generated_total",
            "counter",
            "Rows generated.",
            |flow| Some(flow.generated as f64),
        ),
        ("rows_queued", "gauge", "Rows in the queue.", |flow| {
            Some(flow.queued as f64)
        }),
        (
            "rows_appended",
            "gauge",
            "Rows appended to the channel.",
            |flow| Some(flow.appended as f64),
        ),
        (
            "rows_accepted",
            "gauge",
            "Rows accepted by the server.",
            |flow| Some(flow.accepted as f64),
        ),
        (
            "rows_committed_total",
            "counter",
            "Rows committed.",
            |flow| Some(flow.committed as f64),
        ),
        (
            "rows_landed_total",
            "counter",
            "Rows in the table.",
            |flow| flow.landed.map(|rows| rows as f64),
        ),
        ("rows_rejected_total", "counter", "Rows rejected.", |flow| {
            Some(flow.rejected as f64)
        }),
        (
            "commit_rate_rows_per_second",
            "gauge",
            "Recently committed rows a second.",
            |flow| Some(flow.rows_per_s as f64),
        ),
        (
            "lag_seconds",
            "gauge",
            "How long the oldest appended row has waited for its commit.",
            |flow| Some(flow.lag_s),
        ),
    ];
    for (name, kind, help, value) in families {
        page.family(name, kind, help);
        for flow in flows {
            if let Some(value) = value(flow) {
                page.sample(&[("table", flow.table)], value);
            }
        }
    }
    page.family(
        "channel_state",
        "gauge",
        "1 for the state that the channel is in.",
    );
    for flow in flows {
        for (state, name) in STATES {
            let is_it = u8::from(state == flow.channel.state);
            page.sample(&[("table", flow.table), ("state", name)], is_it);
        }
    }
    page.family(
        "channel_reopens_total",
        "counter",
        "How often the channel was reopened.",
    );
    for flow in flows {
        page.sample(&[("table", flow.table)], flow.channel.reopens);
    }
}

/// A family of metrics of an endpoint's requests.
type OfRequests = fn(&Requests) -> f64;

#[expect(clippy::cast_precision_loss, reason = "Prometheus has doubles only")]
fn requests(page: &mut Page, requests: &[Requests]) {
    let families: [(&str, &str, &str, OfRequests); 7] = [
        ("requests_total", "counter", "Requests sent.", |of| {
            of.total as f64
        }),
        (
            "request_retries_total",
            "counter",
            "Requests that were repeats.",
            |of| of.retries as f64,
        ),
        (
            "requests_unanswered_total",
            "counter",
            "Requests without a usable response.",
            |of| of.unanswered as f64,
        ),
        (
            "requests_throttled_total",
            "counter",
            "Requests answered with 429.",
            |of| of.throttled as f64,
        ),
        (
            "requests_refused_total",
            "counter",
            "Requests refused.",
            |of| of.refused as f64,
        ),
        (
            "requests_failed_total",
            "counter",
            "Requests that failed on the server.",
            |of| of.failed as f64,
        ),
        (
            "request_mean_seconds",
            "gauge",
            "How long a request took on average.",
            |of| of.mean_ms / 1_000.0,
        ),
    ];
    for (name, kind, help, value) in families {
        page.family(name, kind, help);
        for of in requests {
            page.sample(&[("endpoint", of.endpoint)], value(of));
        }
    }
}

/// Builds the text.
#[derive(Default)]
struct Page {
    text: String,
    /// The current family.
    family: &'static str,
}

impl Page {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "# HELP ski_resort_{name} {help}");
        let _ = writeln!(self.text, "# TYPE ski_resort_{name} {kind}");
    }

    /// A sample. Label values are constants of this program and need no escapes.
    fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{value}\""))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        let _ = writeln!(self.text, "ski_resort_{}{labels} {value}", self.family);
    }

    fn single(&mut self, name: &'static str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(&[], value);
    }
}
