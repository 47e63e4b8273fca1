//! The Prometheus text, checked by the rules of its format.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::sleep;

use super::dashboard_served::Served;
use crate::live::Phase;

#[tokio::test]
async fn the_text_is_valid_for_prometheus() {
    let served = Served::new().await;
    served.board.write(|live| {
        live.bytes_sent = 1_000;
        live.tables[2].landed = Some(5_660_000_000);
        live.tables[2].lag_s = 0.25;
        live.requests.push(crate::live::Requests {
            endpoint: "append",
            total: 7,
            mean_ms: 1.5,
            ..Default::default()
        });
    });
    let answer = served.get("/metrics").await;
    assert_eq!(
        answer.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let samples = samples(&answer.body);
    for (name, value) in [
        (r#"phase{phase="starting"}"#, 1.0),
        (r#"phase{phase="running"}"#, 0.0),
        (r#"phase{phase="reconciling"}"#, 0.0),
        (r#"rows_landed_total{table="LIFT_RIDE"}"#, 5_660_000_000.0),
        (r#"lag_seconds{table="LIFT_RIDE"}"#, 0.25),
        (r#"channel_state{table="SEASON_PASS",state="opening"}"#, 1.0),
        (r#"requests_total{endpoint="append"}"#, 7.0),
        (r#"request_mean_seconds{endpoint="append"}"#, 0.0015),
        ("sent_bytes_total", 1_000.0),
    ] {
        assert_eq!(
            samples.get(&format!("ski_resort_{name}")),
            Some(&value),
            "{name}"
        );
    }
    // That table has not been read.
    assert!(!samples.contains_key(r#"ski_resort_rows_landed_total{table="SEASON_PASS"}"#));
}

#[tokio::test(start_paused = true)]
async fn elapsed_time_increases_until_the_end() {
    let served = Served::new().await;
    let elapsed = async || {
        let metrics = samples(&served.get("/metrics").await.body);
        let data = served.get("/data?view=pipeline").await.json();
        let seconds = data["pipeline"]["elapsed_s"].as_f64().unwrap();
        (
            metrics["ski_resort_elapsed_seconds"].floor(),
            seconds.floor(),
        )
    };
    sleep(Duration::from_secs(10)).await;
    assert_eq!(elapsed().await, (10.0, 10.0));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(elapsed().await, (20.0, 20.0));
    served.board.end(Phase::Finished, "All is well.");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(elapsed().await, (20.0, 20.0));
}

/// Reads the text format 0.0.4 by its rules: a family is introduced once, with its samples right behind it.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .bytes()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_')
    };
    assert!(text.ends_with('\n'));
    let mut samples = BTreeMap::new();
    let mut families = BTreeSet::new();
    let mut family = "";
    let mut helped = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(is_name(name) && !help.is_empty(), "{line}");
            helped = name;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, helped, "{line}");
            assert!(families.insert(name), "{line}");
            assert!(matches!(kind, "gauge" | "counter"), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            family = name;
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = match series.split_once('{') {
                Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
                None => (series, ""),
            };
            assert_eq!(name, family, "{line}");
            for label in labels.split(',').filter(|label| !label.is_empty()) {
                let (label, value) = label.split_once('=').unwrap();
                assert!(is_name(label), "{line}");
                let value = value
                    .strip_prefix('"')
                    .and_then(|value| value.strip_suffix('"'));
                assert!(!value.unwrap().contains(['"', '\\']), "{line}");
            }
            let before = samples.insert(series.to_owned(), value.parse().unwrap());
            assert_eq!(before, None, "{line}");
        }
    }
    samples
}
