//! The table of faults in the guide names tests that exist and run.

use std::collections::HashSet;
use std::process::Command;

/// The tests that the harness of this program lists. It omits names in comments, functions without a test attribute, and code
/// that is not compiled.
fn listing(options: &[&str]) -> String {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    let output = command.arg("--list").args(options).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The tests of a listing, by full name, that are not in the listing of ignored tests.
fn running(all: &str, ignored: &str) -> HashSet<String> {
    let tests = |listing: &str| -> HashSet<String> {
        let names = listing.lines().filter_map(|l| l.strip_suffix(": test"));
        names.map(str::to_owned).collect()
    };
    &tests(all) - &tests(ignored)
}

/// The tests of this program, and the one of the simulators, a program that cannot be listed from here.
fn runnable() -> HashSet<String> {
    let mut tests = running(&listing(&[]), &listing(&["--ignored"]));
    let simulator = include_str!("../../sim/drawn/elastic.rs");
    tests.extend(simulator.split("#[test]\nfn ").skip(1).map(|test| {
        let name = test.split('(').next().unwrap();
        format!("drawn::elastic::{name}")
    }));
    tests
}

/// The errors in the last column of these rows.
fn complaints<'a>(
    rows: impl IntoIterator<Item = &'a str>,
    runnable: &HashSet<String>,
) -> Vec<String> {
    let mut complaints = Vec::new();
    for row in rows {
        let cell = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let names: Vec<_> = cell.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            complaints.push(format!("no test shows {row}"));
        }
        let missing = names.iter().filter(|name| !runnable.contains(**name));
        complaints.extend(missing.map(|name| format!("{name} is not a test that runs")));
    }
    complaints
}

#[test]
fn every_fault_is_shown_by_tests_that_run() {
    let documentation = include_str!("../../../src/guide/delivery.md");
    let faults = documentation
        .split("\n## ")
        .find(|s| s.starts_with("Faults"));
    let rows: Vec<_> = faults
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .filter(|row| !row.starts_with("What happens"))
        .collect();
    assert!(rows.len() > 20, "{} rows", rows.len());
    assert_eq!(complaints(rows, &runnable()), Vec::<String>::new());
}

fn complaints_about(test: &str) -> Vec<String> {
    let row = format!("a fault | what is done | `{test}` |");
    complaints([row.as_str()], &runnable())
}

#[test]
fn a_row_may_name_a_test() {
    let name = "repository::delivery::a_row_may_name_a_test";
    assert_eq!(complaints_about(name), Vec::<String>::new());
}

#[test]
fn a_row_that_names_no_test_is_refused() {
    // fn a_test_in_a_comment() {}
    for name in [
        "repository::delivery::a_test_in_a_comment",
        "repository::delivery::complaints_about",
        "elsewhere::a_row_may_name_a_test",
    ] {
        assert_eq!(
            complaints_about(name),
            [format!("{name} is not a test that runs")]
        );
    }
    let row = "a fault | what is done | a test |";
    assert_eq!(
        complaints([row], &runnable()),
        [format!("no test shows {row}")]
    );
}

#[test]
fn ignored_tests_do_not_run() {
    let all =
        "a::runs: test\na::is_ignored: test\nb::measures: benchmark\n\n2 tests, 1 benchmark\n";
    let running = running(all, "a::is_ignored: test\n\n1 test, 0 benchmarks\n");
    assert_eq!(running, HashSet::from(["a::runs".to_owned()]));
}
