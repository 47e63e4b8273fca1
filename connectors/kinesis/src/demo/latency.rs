//! How long measurements take to become visible, as numbers and as a picture.
//!
//! A measurement has no name, so the n-th one that was put is compared with the n-th row of a table.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// How many measurements, and when.
pub(super) type Times = Vec<(Instant, usize)>;

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
const LINES: [(&str, &str); 3] = [
    ("put", "#888888"),
    ("streaming", "#1f77b4"),
    ("micro-batch", "#d95f02"),
];

/// The median and the 99th percentile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Latency {
    pub(super) median: Duration,
    pub(super) high: Duration,
}

/// Compares when the n-th measurement was put and when the n-th row was visible.
pub(super) fn of(put: &Times, landed: &Times) -> Option<Latency> {
    let times = |arrivals: &Times| -> Vec<Instant> {
        let each = arrivals
            .iter()
            .flat_map(|(at, rows)| std::iter::repeat_n(*at, *rows));
        each.collect()
    };
    let (put, landed) = (times(put), times(landed));
    let pairs = put.iter().zip(&landed);
    let mut latencies: Vec<_> = pairs
        .map(|(put, seen)| seen.saturating_duration_since(*put))
        .collect();
    latencies.sort_unstable();
    let at = |part: usize| {
        latencies
            .get((latencies.len() * part / 100).min(latencies.len().checked_sub(1)?))
            .copied()
    };
    Some(Latency {
        median: at(50)?,
        high: at(99)?,
    })
}

/// A picture of how many measurements were put, streamed and loaded over time, in SVG.
pub(super) fn picture(begin: Instant, arrivals: [&Times; 3]) -> String {
    let all = arrivals.iter().flat_map(|arrivals| arrivals.iter());
    let end = all
        .map(|(at, _)| at.saturating_duration_since(begin))
        .max()
        .unwrap_or_default();
    let most = arrivals
        .iter()
        .map(|a| a.iter().map(|(_, rows)| rows).sum())
        .max()
        .unwrap_or(0_usize);
    #[allow(clippy::cast_precision_loss, reason = "a picture")]
    let (most, seconds) = ((most.max(1)) as f64, end.as_secs_f64().max(0.001));
    let x = |at: f64| LEFT + (WIDTH - LEFT - 20.0) * at / seconds;
    let y = |rows: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * rows / most;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    // Writing to a string cannot fail.
    for step in 0..=4 {
        let (rows, at) = (
            most * f64::from(step) / 4.0,
            seconds * f64::from(step) / 4.0,
        );
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{rows:.0}</text>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{at:.0} s</text>",
            WIDTH - 20.0,
            LEFT - 8.0,
            y(rows) + 4.0,
            x(at),
            HEIGHT - BOTTOM + 18.0,
            y = y(rows),
        );
    }
    for ((arrivals, (name, color)), index) in arrivals.iter().zip(LINES).zip(0_u8..) {
        let mut points = format!("{:.1},{:.1}", x(0.0), y(0.0));
        let mut sum = 0.0;
        for (at, rows) in *arrivals {
            let at = x(at.saturating_duration_since(begin).as_secs_f64());
            let _ = write!(points, " {at:.1},{:.1}", y(sum));
            #[allow(clippy::cast_precision_loss, reason = "a picture")]
            let rows = *rows as f64;
            sum += rows;
            let _ = write!(points, " {at:.1},{:.1}", y(sum));
        }
        let left = LEFT + 120.0 * f64::from(index);
        let _ = writeln!(
            svg,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\"/>\
             <rect x=\"{left}\" y=\"14\" width=\"12\" height=\"12\" fill=\"{color}\"/><text x=\"{:.0}\" y=\"24\">{name}</text>",
            left + 18.0
        );
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(begin: Instant, times: &[(u64, usize)]) -> Times {
        let arrival = |(at, rows): &(u64, usize)| (begin + Duration::from_millis(*at), *rows);
        times.iter().map(arrival).collect()
    }

    #[test]
    fn the_nth_row_is_compared_with_the_nth_measurement() {
        let begin = Instant::now();
        let put = arrivals(begin, &[(0, 50), (100, 50)]);
        let landed = arrivals(begin, &[(30, 20), (200, 79), (1_000, 1)]);
        let latency = of(&put, &landed).unwrap();
        assert_eq!(latency.median, Duration::from_millis(100));
        assert_eq!(latency.high, Duration::from_millis(900));
        assert_eq!(of(&put, &Vec::new()), None);
    }

    #[test]
    fn a_picture_has_a_line_for_each() {
        let begin = Instant::now();
        let put = arrivals(begin, &[(0, 50), (100, 50)]);
        let svg = picture(begin, [&put, &put, &Vec::new()]);
        assert_eq!(svg.matches("<polyline").count(), 3);
        assert!(svg.contains("100</text>") && svg.contains("micro-batch"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }
}
