//! Metrics in Prometheus' text format.

use std::fmt::Write as _;

use super::metrics::{Metrics, RequestMetrics};

/// A metric with one value a client: its name, type and description, and the value.
type Family = (
    &'static str,
    &'static str,
    &'static str,
    fn(&Metrics) -> u64,
);

const FAMILIES: [Family; 11] = [
    ("rows_appended_total", "counter", "Rows appended.", |m| {
        m.rows_appended
    }),
    (
        "rows_accepted_total",
        "counter",
        "Rows accepted by the server.",
        |m| m.rows_accepted,
    ),
    (
        "rows_committed_total",
        "counter",
        "Rows committed, rejected ones included.",
        |m| m.rows_committed,
    ),
    (
        "rows_rejected_total",
        "counter",
        "Rows rejected by the server.",
        |m| m.rows_rejected,
    ),
    (
        "accepted_bytes_total",
        "counter",
        "Uncompressed bytes of rows accepted.",
        |m| m.bytes_accepted,
    ),
    (
        "sent_bytes_total",
        "counter",
        "Compressed bytes of rows sent, retries included.",
        |m| m.bytes_sent,
    ),
    (
        "channels_invalidated_total",
        "counter",
        "Channels that were invalidated.",
        |m| m.channels_invalidated,
    ),
    (
        "channels_reopened_total",
        "counter",
        "Automatic reopens of channels.",
        |m| m.channels_reopened,
    ),
    ("channels", "gauge", "Open channels.", |m| m.channels),
    (
        "memory_in_use_bytes",
        "gauge",
        "Bytes of rows in memory.",
        |m| m.memory_in_use,
    ),
    (
        "memory_budget_bytes",
        "gauge",
        "Limit of the bytes of rows in memory.",
        |m| m.memory_budget,
    ),
];

impl Metrics {
    /// Formats the metrics in Prometheus' text format, each with the labels `account` and `pipe`.
    pub fn to_prometheus(&self) -> String {
        Self::prometheus_page([self])
    }

    /// The same of several clients on one page, which describes each metric once, as the format requires.
    ///
    /// ```
    /// # use snowpipe_streaming::StreamingIngestClient;
    /// use snowpipe_streaming::metrics::Metrics;
    ///
    /// fn page(clients: &[StreamingIngestClient]) -> String {
    ///     let metrics: Vec<_> = clients.iter().map(StreamingIngestClient::metrics).collect();
    ///     Metrics::prometheus_page(&metrics)
    /// }
    /// ```
    pub fn prometheus_page<'a>(metrics: impl IntoIterator<Item = &'a Self>) -> String {
        let clients: Vec<_> = metrics.into_iter().map(|m| (m, m.labels())).collect();
        let mut page = Page::default();
        for (name, kind, help, value) in FAMILIES {
            page.family(name, kind, help);
            for (metrics, labels) in &clients {
                page.value(name, labels, "", value(metrics));
            }
        }
        let by_endpoint = || {
            let requests = |(metrics, labels): &'_ (&'a Self, String)| {
                let labels = labels.clone();
                let requests = metrics.requests.iter();
                requests.map(move |(endpoint, requests)| {
                    (
                        labels.clone(),
                        format!(",endpoint=\"{endpoint}\""),
                        requests,
                    )
                })
            };
            clients.iter().flat_map(requests)
        };
        page.family(
            "requests_total",
            "counter",
            "Requests by endpoint and outcome, each attempt counted.",
        );
        for (labels, endpoint, requests) in by_endpoint() {
            for (outcome, count) in requests.outcomes() {
                let more = format!("{endpoint},outcome=\"{outcome}\"");
                page.value("requests_total", &labels, &more, count);
            }
        }
        page.family(
            "request_retries_total",
            "counter",
            "Attempts that repeated an earlier request.",
        );
        for (labels, endpoint, requests) in by_endpoint() {
            page.value(
                "request_retries_total",
                &labels,
                &endpoint,
                requests.retries,
            );
        }
        page.family(
            "request_duration_seconds",
            "summary",
            "Duration of requests.",
        );
        for (labels, endpoint, requests) in by_endpoint() {
            let seconds = requests.duration.as_secs_f64();
            let (sum, count) = (
                "request_duration_seconds_sum",
                "request_duration_seconds_count",
            );
            page.value(sum, &labels, &endpoint, seconds);
            page.value(count, &labels, &endpoint, requests.total);
        }
        page.0
    }

    /// The labels of the client.
    fn labels(&self) -> String {
        let (account, pipe) = (escaped(&self.account), escaped(&self.pipe.to_string()));
        format!("account=\"{account}\",pipe=\"{pipe}\"")
    }
}

impl RequestMetrics {
    fn outcomes(&self) -> [(&'static str, u64); 5] {
        let bad = self.unanswered + self.throttled + self.refused + self.failed;
        [
            ("ok", self.total.saturating_sub(bad)),
            ("unanswered", self.unanswered),
            ("throttled", self.throttled),
            ("refused", self.refused),
            ("failed", self.failed),
        ]
    }
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let name = format_args!("snowpipe_streaming_{name}");
        // Writing to a string does not fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn value(&mut self, name: &str, labels: &str, more: &str, value: impl std::fmt::Display) {
        let _ = writeln!(
            self.0,
            "snowpipe_streaming_{name}{{{labels}{more}}} {value}"
        );
    }
}

fn escaped(label: &str) -> String {
    label
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;
    use crate::base::metrics::{Counters, Endpoint};
    use crate::types::pipe::PipePath;

    #[test]
    fn metrics_are_formatted_for_prometheus() {
        let counters = Counters::default();
        counters.called(
            Endpoint::Append,
            0,
            Some(StatusCode::OK),
            Duration::from_millis(250),
        );
        counters.called(Endpoint::Append, 1, None, Duration::from_millis(500));
        counters.called(
            Endpoint::Append,
            2,
            Some(StatusCode::BAD_GATEWAY),
            Duration::ZERO,
        );
        counters.appended(3);
        let pipe = PipePath::new("DB", "S", "A \"pipe\"").unwrap();
        let metrics = counters.snapshot("ACC", &pipe, 2, 10, 100);
        let other = PipePath::new("DB", "S", "OTHER").unwrap();
        let other = Counters::default().snapshot("ACC", &other, 7, 10, 100);
        let page = Metrics::prometheus_page([&metrics, &other]);
        let pipe = r#"account="ACC",pipe="DB.S.A \"pipe\"""#;
        for line in [
            "# TYPE snowpipe_streaming_rows_appended_total counter".to_owned(),
            format!("snowpipe_streaming_rows_appended_total{{{pipe}}} 3"),
            format!("snowpipe_streaming_channels{{{pipe}}} 2"),
            format!("snowpipe_streaming_memory_budget_bytes{{{pipe}}} 100"),
            format!(
                r#"snowpipe_streaming_requests_total{{{pipe},endpoint="append",outcome="ok"}} 1"#
            ),
            format!(
                r#"snowpipe_streaming_requests_total{{{pipe},endpoint="append",outcome="unanswered"}} 1"#
            ),
            format!(
                r#"snowpipe_streaming_requests_total{{{pipe},endpoint="append",outcome="failed"}} 1"#
            ),
            format!(r#"snowpipe_streaming_request_retries_total{{{pipe},endpoint="append"}} 2"#),
            format!(
                r#"snowpipe_streaming_request_duration_seconds_sum{{{pipe},endpoint="append"}} 0.75"#
            ),
            format!(
                r#"snowpipe_streaming_request_duration_seconds_count{{{pipe},endpoint="append"}} 3"#
            ),
        ] {
            assert!(page.lines().any(|there| there == line), "{line}\n{page}");
        }
        assert!(!page.contains(r#"endpoint="open""#));
        let other = r#"snowpipe_streaming_channels{account="ACC",pipe="DB.S.OTHER"} 7"#;
        assert!(page.lines().any(|line| line == other), "{page}");
        let described: Vec<_> = page.lines().filter(|l| l.starts_with("# TYPE")).collect();
        let mut once = described.clone();
        once.dedup();
        assert_eq!((described.len(), once.len()), (14, 14), "{page}");
        assert!(metrics.to_prometheus().contains(&format!("{{{pipe}}} 3")));
    }
}
