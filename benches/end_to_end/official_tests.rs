//! When the comparison with the official SDK fails: contradicting statistics, and requirements that are not met.

use crate::job::Config;
use crate::official::compare::{Compared, Figures};
use crate::official::require::Requirement;
use crate::official::{Side, agree, meet, order};
use crate::rows::Form;

fn config() -> Config {
    Config {
        rows: 1_000_000,
        batch: 1_000,
        channels: 4,
        delay_ms: 50,
        rate: 0,
        form: Form::Typed,
        paced: false,
        http2: false,
    }
}

/// Pairs that differ only in rows per second: this crate's, and the official SDK's.
fn compared(rates: &[(f64, f64)]) -> Compared {
    let run = |rows_per_s| Figures {
        rows_per_s,
        cpu_us_per_row: 1.0,
        append_p99_us: rows_per_s,
        ..Figures::default()
    };
    let pairs = rates
        .iter()
        .map(|(ours, official)| [run(*ours), run(*official)]);
    Compared::of(config(), &pairs.collect::<Vec<_>>(), None)
}

fn requirement(text: &str) -> Requirement {
    text.parse().expect("the requirement parses")
}

#[test]
fn each_side_runs_first_equally_often() {
    assert_eq!(order(0), [Side::Ours, Side::Official]);
    assert_eq!(order(1), [Side::Official, Side::Ours]);
    // In each configuration, over two pairs.
    for index in 0..3 {
        assert_ne!(order(index), order(index + 1));
    }
}

#[test]
fn a_percentile_of_few_appends_is_not_compared() {
    let pairs = [[Figures::default(), Figures::default()]];
    let compared = |rows| Compared::of(Config { rows, ..config() }, &pairs, None);
    assert!(compared(1_000_000).ratios.contains_key("append_p99"));
    assert!(!compared(999_999).ratios.contains_key("append_p99"));
    assert!(compared(999_999).ratios.contains_key("rows_per_s"));
}

#[test]
fn ratios_have_their_spread() {
    let compared = compared(&[(3.0, 1.0), (2.0, 1.0), (4.0, 2.0), (5.0, 2.0)]);
    let ratio = compared.ratios["rows_per_s"];
    assert_eq!((ratio.lowest, ratio.highest), (2.0, 3.0));
    assert_eq!(ratio.median, 2.25);
    assert_eq!(ratio.of_medians, 3.5 / 1.5);
    assert_eq!(compared.ours_spread["rows_per_s"], 2.5);
    assert_eq!(compared.official_spread["rows_per_s"], 2.0);
    assert_eq!(compared.name, "1000x4+50ms");
}

#[test]
fn contradicting_statistics_fail_the_run() {
    // A third more by the ratios of the pairs, a little less by the medians.
    let torn = compared(&[(4.0, 3.0), (0.96, 0.72), (0.9, 1.0)]);
    let why = agree(&[torn]).expect_err("1.33 beside 0.96").to_string();
    assert!(why.contains("1000x4+50ms:rows_per_s: 1.33 is"), "{why}");
    assert!(
        why.contains("0.96 the ratio of the medians; the pairs gave 0.90 to 1.33"),
        "{why}"
    );

    // Both are above 1, but far apart.
    assert!(agree(&[compared(&[(2.0, 1.0), (3.0, 1.2), (6.0, 4.0)])]).is_err());
}

#[test]
fn statistics_that_agree_pass() {
    agree(&[compared(&[(3.0, 1.0), (3.1, 1.0), (2.9, 1.0)])]).expect("the statistics agree");
    // Both statistics show no significant difference.
    let equal = compared(&[(1.01, 1.0), (1.0, 1.01), (0.99, 1.0)]);
    agree(&[equal]).expect("the statistics agree");
    // With one pair both statistics are the same.
    agree(&[compared(&[(1.0, 3.0)])]).expect("the statistics agree");
}

#[test]
fn a_requirement_is_met_by_both_statistics() {
    // The median of the ratios is 2, the ratio of the medians 2.1.
    let compared = [compared(&[(2.0, 1.0), (2.1, 0.9), (2.2, 1.1)])];
    for met in [
        "rows_per_s>=2",
        "1000x4+50ms:rows_per_s >= 1.99",
        "rows_per_s<=2.11",
        "cpu_us_per_row<=1",
    ] {
        meet(&compared, &[requirement(met)]).expect(met);
    }
    for unmet in [
        "rows_per_s>=2.05",
        "rows_per_s<=2.05",
        "1000x4+50ms:rows_per_s>=2.2",
        // Unknown: there is no memory and no floor in these pairs.
        "peak_rss<=1",
        "times_floor<=100",
    ] {
        let why = meet(&compared, &[requirement(unmet)]).expect_err(unmet);
        assert!(why.to_string().contains("are not met"), "{why}");
    }
}

#[test]
fn a_requirement_that_cannot_be_checked_is_refused() {
    for wrong in [
        "rows_per_s",
        "rows_per_s>2",
        "rows_per_s>=",
        "rows_per_s<=nan",
        "speed>=2",
    ] {
        assert!(wrong.parse::<Requirement>().is_err(), "{wrong}");
    }
    let of_another = requirement("1000:rows_per_s>=2");
    assert!(of_another.is_possible(&[config()]).is_err());
    requirement("rows_per_s>=2")
        .is_possible(&[config()])
        .expect("it applies to any configuration");
    requirement("1000x4+50ms:rows_per_s>=2")
        .is_possible(&[config()])
        .expect("the configuration is measured");
}
