//! The table of faults in the documentation names tests that exist and run.

use std::collections::HashSet;
use std::process::Command;

/// The tests of this program, by full name. The test harness lists them, so a name in a comment, a function without a test
/// attribute and code that is not compiled are not among them.
fn listed(options: &[&str]) -> HashSet<String> {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    let output = command.arg("--list").args(options).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let listing = String::from_utf8(output.stdout).unwrap();
    let names = listing.lines().filter_map(|l| l.strip_suffix(": test"));
    names.map(str::to_owned).collect()
}

/// The tests that run unless ignored tests are asked for.
fn runnable() -> HashSet<String> {
    let ignored = listed(&["--ignored"]);
    let mut tests = listed(&[]);
    tests.retain(|name| !ignored.contains(name));
    tests
}

/// What is wrong with the last column of these rows.
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
    let documentation = include_str!("../../src/delivery.rs");
    let faults = documentation
        .split("//! # ")
        .find(|s| s.starts_with("Faults"));
    let rows: Vec<_> = faults
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("//! | "))
        .filter(|row| !row.starts_with("What happens"))
        .collect();
    assert!(rows.len() > 20, "{} rows", rows.len());
    assert_eq!(complaints(rows, &runnable()), Vec::<String>::new());
}

/// Functions for a row of the table to name.
mod fixtures {
    #[test]
    fn a_test() {}

    #[test]
    #[ignore = "the check of the table has to refuse it"]
    fn an_ignored_test() {}

    // fn a_test_in_a_comment() {}

    pub fn a_function_without_a_test_attribute() {}
}

fn complaints_about(test: &str) -> Vec<String> {
    let row = format!("a fault | what is done | `delivery::fixtures::{test}` |");
    complaints([row.as_str()], &runnable())
}

#[test]
fn a_row_may_name_a_test() {
    assert_eq!(complaints_about("a_test"), Vec::<String>::new());
}

#[test]
fn a_row_that_names_a_test_in_a_comment_is_refused() {
    assert_eq!(
        complaints_about("a_test_in_a_comment"),
        ["delivery::fixtures::a_test_in_a_comment is not a test that runs"]
    );
}

#[test]
fn a_row_that_names_a_function_without_a_test_attribute_is_refused() {
    fixtures::a_function_without_a_test_attribute();
    assert_eq!(
        complaints_about("a_function_without_a_test_attribute"),
        ["delivery::fixtures::a_function_without_a_test_attribute is not a test that runs"]
    );
}

#[test]
fn a_row_that_names_an_ignored_test_is_refused() {
    assert_eq!(
        complaints_about("an_ignored_test"),
        ["delivery::fixtures::an_ignored_test is not a test that runs"]
    );
}

#[test]
fn a_row_that_names_a_test_of_another_module_or_none_is_refused() {
    let rows = [
        "a fault | what is done | `elsewhere::a_test` |",
        "another fault | what is done | a test |",
    ];
    assert_eq!(
        complaints(rows, &runnable()),
        [
            "elsewhere::a_test is not a test that runs".to_owned(),
            format!("no test shows {}", rows[1]),
        ]
    );
}
