//! A picture of latencies: which share of the rows took at most how long.

use std::fmt::Write as _;
use std::time::Duration;

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
/// The borders of the axis of time, which is logarithmic, in powers of ten of a second.
const FIRST: i32 = -2;
const LAST: i32 = 3;
/// How many points a line has.
const POINTS: usize = 200;

/// Lines of sorted times, each with its name and color, in SVG.
pub(super) fn of(lines: &[(&str, &str, &[Duration])]) -> String {
    let x = |seconds: f64| {
        let place = (seconds.max(1e-9).log10() - f64::from(FIRST)) / f64::from(LAST - FIRST);
        LEFT + (WIDTH - LEFT - RIGHT) * place.clamp(0.0, 1.0)
    };
    let y = |share: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    // Writing to a string cannot fail.
    for power in FIRST..=LAST {
        let at = x(10_f64.powi(power));
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{} s</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 18.0,
            10_f64.powi(power),
        );
    }
    for quarter in 0..=4_i32 {
        let share = f64::from(quarter) / 4.0;
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.0} %</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y(share) + 4.0,
            share * 100.0,
            y = y(share),
        );
    }
    for ((name, color, sorted), place) in lines.iter().zip(0_i32..) {
        let mut points = String::new();
        for point in 0..=POINTS {
            let last = sorted.len().saturating_sub(1);
            let Some(time) = sorted.get(last * point / POINTS) else {
                break;
            };
            #[expect(clippy::cast_precision_loss, reason = "a picture")]
            let share = point as f64 / POINTS as f64;
            let _ = write!(points, "{:.1},{:.1} ", x(time.as_secs_f64()), y(share));
        }
        let left = LEFT + 220.0 * f64::from(place);
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\"/>\
             <rect x=\"{left}\" y=\"14\" width=\"12\" height=\"12\" fill=\"{color}\"/><text x=\"{:.0}\" y=\"24\">{name}</text>",
            points.trim_end(),
            left + 18.0,
        );
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_rises_from_the_shortest_to_the_longest_time() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        let svg = of(&[("a", "red", &times), ("none", "blue", &[])]);
        let line = svg
            .split("points=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        let points: Vec<(f64, f64)> = line
            .split(' ')
            .map(|point| point.split_once(',').unwrap())
            .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
            .collect();
        assert_eq!(points.len(), POINTS + 1);
        assert!(
            points
                .windows(2)
                .all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 >= pair[1].1)
        );
        assert!(line.ends_with(",40.0"), "{line}");
        assert_eq!(
            line.split_once(' ').unwrap().0.split_once(',').unwrap().1,
            "310.0"
        );
        assert!(svg.contains("points=\"\""), "{svg}");
    }
}
