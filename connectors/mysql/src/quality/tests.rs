//! The checks over rows in memory: each kind of difference, injected into each landed table, is found and named.

mod databases;
mod output;

use anyhow::Result;
use jiff::civil::date;
use serde_json::json;

use super::gold::Customer;
use super::groups::Rows;
use super::report::{Limits, Report, Status};
use super::{Settings, check};

const PEOPLE: usize = 50;

/// The three tables before the check reads them.
#[derive(Clone)]
struct Tables {
    source: Vec<Customer>,
    raw: Vec<Customer>,
    gold: Vec<Customer>,
}

impl Tables {
    fn new() -> Self {
        let source: Vec<_> = (0..PEOPLE).map(person).collect();
        let gold = source.iter().map(Customer::from_raw).collect();
        Self {
            raw: source.clone(),
            source,
            gold,
        }
    }

    fn check(&self) -> Report {
        self.try_check(10).expect("a report")
    }

    fn try_check(&self, examples: u64) -> Result<Report> {
        let sorted = |rows: &[Customer]| {
            let mut rows = rows.to_vec();
            rows.sort();
            in_order(rows)
        };
        let gold = Some(sorted(&self.gold));
        check(
            sorted(&self.source),
            sorted(&self.raw),
            gold,
            settings(examples),
        )
    }

    fn landed(&mut self, table: &str) -> &mut Vec<Customer> {
        if table == "raw" {
            &mut self.raw
        } else {
            &mut self.gold
        }
    }
}

fn settings(examples: u64) -> Settings {
    Settings {
        today: date(2025, 6, 30),
        examples,
        limits: Limits::default(),
    }
}

fn in_order(rows: Vec<Customer>) -> Rows<'static> {
    Box::new(rows.into_iter().map(Ok))
}

#[expect(clippy::unnecessary_wraps, reason = "what a customer is made of")]
fn text(text: impl Into<String>) -> Option<String> {
    Some(text.into())
}

fn person(number: usize) -> Customer {
    Customer {
        // Capital and small letters, so that a collation's order is not that of the bytes.
        customer_id: text(format!(
            "{}{number:04}",
            if number.is_multiple_of(2) { 'a' } else { 'B' }
        )),
        email: (!number.is_multiple_of(5)).then(|| format!("person{number}@example.org")),
        phone: text(format!("360-423-{number:04}x{number}")),
        date_of_birth: text(format!("19{:02}-05-17", number % 100)),
    }
}

/// The checks that did not pass, as table, name and number.
fn failed(report: &Report) -> Vec<(&str, &str, u64)> {
    let failed = report
        .checks
        .iter()
        .filter(|check| check.status == Status::Failed);
    failed
        .map(|check| (check.table, check.name, check.found))
        .collect()
}

fn table<'a>(report: &'a Report, name: &str) -> &'a super::report::TableReport {
    report
        .tables
        .iter()
        .find(|table| table.name == name)
        .expect("a table")
}

fn examples(report: &Report, name: &str) -> serde_json::Value {
    serde_json::to_value(
        &table(report, name)
            .comparison
            .as_ref()
            .expect("a comparison")
            .examples,
    )
    .expect("JSON")
}

#[test]
fn equal_tables_are_clean() {
    let report = Tables::new().check();
    assert!(report.is_clean(), "{report}");
    assert_eq!(failed(&report), []);
    assert_eq!(report.differences().count(), 0);
    assert_eq!(
        report.summary(),
        format!("all {} checks passed", report.checks.len())
    );
    for name in ["source", "raw", "gold"] {
        let table = table(&report, name);
        assert_eq!(
            (table.rows, table.keys, table.duplicates),
            (50, 50, 0),
            "{name}"
        );
        assert_eq!(
            table
                .nulls
                .iter()
                .map(|nulls| nulls.rows)
                .collect::<Vec<_>>(),
            [0, 10, 0, 0],
            "{name}"
        );
    }
}

#[test]
fn a_missing_row_is_found_and_named() {
    for name in ["raw", "gold"] {
        let mut tables = Tables::new();
        tables.landed(name).remove(7);
        let report = tables.check();
        let rows = "rows more or fewer than in the source";
        let hashes = "columns with another hash";
        assert_eq!(
            failed(&report),
            [
                (name, rows, 1),
                (name, "missing rows", 1),
                (name, hashes, 4)
            ]
        );
        assert_eq!(
            examples(&report, name),
            json!([{"kind": "missing", "key": "B0007"}])
        );
        assert!(
            report
                .to_string()
                .contains(&format!("{name}: missing row \"B0007\"")),
            "{report}"
        );
    }
}

#[test]
fn a_doubled_row_is_found_and_named() {
    for name in ["raw", "gold"] {
        let mut tables = Tables::new();
        let copy = tables.landed(name)[8].clone();
        tables.landed(name).push(copy);
        let report = tables.check();
        let rows = "rows more or fewer than in the source";
        let expected = [
            (name, rows, 1),
            (name, "doubled rows", 1),
            (name, "columns with another hash", 4),
            (name, "rows with the key of another", 1),
        ];
        assert_eq!(failed(&report), expected);
        assert_eq!(
            examples(&report, name),
            json!([{"kind": "doubled", "key": "a0008"}])
        );
        assert_eq!(table(&report, name).duplicates, 1);
    }
}

#[test]
fn a_changed_value_is_found_and_named_in_the_table_that_has_it() {
    for name in ["raw", "gold"] {
        let mut tables = Tables::new();
        tables.landed(name)[9].email = None;
        let report = tables.check();
        assert_eq!(
            failed(&report),
            [
                (name, "changed rows", 1),
                (name, "columns with another hash", 1)
            ]
        );
        let change = json!({"column": "EMAIL", "expected": "person9@example.org", "found": null});
        assert_eq!(
            examples(&report, name),
            json!([{"kind": "changed", "key": "B0009", "change": change}])
        );
        let sentence = format!(
            "{name}: changed row \"B0009\": EMAIL is NULL instead of \"person9@example.org\""
        );
        assert!(report.to_string().contains(&sentence), "{report}");
    }
}

#[test]
fn null_is_not_the_empty_text() {
    let mut tables = Tables::new();
    tables.raw[10].email = text("");
    let report = tables.check();
    let change = json!({"column": "EMAIL", "expected": null, "found": ""});
    assert_eq!(
        examples(&report, "raw"),
        json!([{"kind": "changed", "key": "a0010", "change": change}])
    );
}

#[test]
fn an_extra_row_and_a_row_in_place_of_another_are_found() {
    let mut tables = Tables::new();
    tables.raw[3].customer_id = text("zzz");
    let report = tables.check();
    let comparison = table(&report, "raw")
        .comparison
        .as_ref()
        .expect("a comparison");
    assert_eq!(
        (comparison.missing, comparison.extra, comparison.changed),
        (1, 1, 0)
    );
    assert_eq!((comparison.equal, comparison.doubled), (49, 0));
    let named = json!([{"kind": "missing", "key": "B0003"}, {"kind": "extra", "key": "zzz"}]);
    assert_eq!(examples(&report, "raw"), named);
    assert!(!report.is_clean());
}

/// Two rows that swap their values: counts, keys and the sum of the values are the same.
#[test]
fn values_of_the_wrong_rows_are_found() {
    let mut tables = Tables::new();
    let phone = tables.raw[1].phone.clone();
    tables.raw[1].phone = tables.raw[2].phone.replace(phone.expect("a phone"));
    let report = tables.check();
    assert_eq!(
        failed(&report),
        [
            ("raw", "changed rows", 2),
            ("raw", "columns with another hash", 1)
        ]
    );
}

#[test]
fn a_doubled_row_with_another_value_is_a_doubled_row() {
    let mut tables = Tables::new();
    let mut copy = tables.raw[4].clone();
    copy.email = None;
    tables.raw.push(copy);
    let comparison = table(&tables.check(), "raw")
        .comparison
        .clone()
        .expect("a comparison");
    assert_eq!(
        (comparison.equal, comparison.doubled, comparison.changed),
        (50, 1, 0)
    );
}

#[test]
fn a_source_with_a_key_twice_is_compared_row_by_row_and_fails() {
    let mut tables = Tables::new();
    let mut other = tables.source[5].clone();
    other.email = text("other@example.org");
    for rows in [&mut tables.source, &mut tables.raw] {
        rows.push(other.clone());
    }
    tables.gold.push(Customer::from_raw(&other));
    let report = tables.check();
    let twice = "rows with the key of another";
    assert_eq!(
        failed(&report),
        [("source", twice, 1), ("raw", twice, 1), ("gold", twice, 1)]
    );
}

#[test]
fn keys_that_are_null_fail() {
    let mut tables = Tables::new();
    tables.source[6].customer_id = None;
    tables.raw[6].customer_id = None;
    tables.gold[6].customer_id = None;
    let null = "keys that are NULL";
    assert_eq!(
        failed(&tables.check()),
        [("source", null, 1), ("raw", null, 1), ("gold", null, 1)]
    );
}

#[test]
fn every_difference_is_counted_and_the_first_of_each_kind_are_named() {
    let mut tables = Tables::new();
    for row in &mut tables.raw[..20] {
        row.date_of_birth = None;
    }
    tables.raw.truncate(40);
    let report = tables.try_check(3).expect("a report");
    let comparison = table(&report, "raw")
        .comparison
        .as_ref()
        .expect("a comparison");
    assert_eq!((comparison.changed, comparison.missing), (20, 10));
    assert_eq!(
        comparison
            .columns
            .iter()
            .map(|column| column.changed)
            .collect::<Vec<_>>(),
        [0, 0, 0, 20]
    );
    assert_eq!(comparison.examples.len(), 6);
    assert_eq!(report.unnamed(), 24);
    assert!(
        report.to_string().contains("and 24 more differences"),
        "{report}"
    );
}

#[test]
fn a_zero_date_lands_as_null() {
    let mut tables = Tables::new();
    tables.source[11].date_of_birth = text("0000-00-00");
    tables.raw[11].date_of_birth = None;
    tables.gold[11].date_of_birth = None;
    let mut report = tables.check();
    assert_eq!(table(&report, "source").defects.not_dates, 1);
    // One in fifty is more than the limit of a percent, and only the source has it.
    assert_eq!(
        failed(&report),
        [("source", "dates of birth that are no date", 1)]
    );
    tables.raw[11].date_of_birth = text("0000-00-00");
    report = tables.check();
    assert_eq!(
        table(&report, "raw")
            .comparison
            .as_ref()
            .expect("a comparison")
            .changed,
        1
    );
}

/// A defect of the source is a warning up to its limit, and fails above it.
#[test]
fn defects_have_limits() {
    let mut tables = Tables::new();
    let with = |tables: &mut Tables, count: usize| {
        for row in &mut tables.source[..count] {
            row.phone = text("001-360-423-5286x12");
        }
        tables.raw = tables.source.clone();
        tables.gold = tables.source.iter().map(Customer::from_raw).collect();
    };
    with(&mut tables, 10);
    let report = tables.check();
    assert!(report.is_clean(), "{report}");
    let warnings = report
        .checks
        .iter()
        .filter(|check| check.status == Status::Warning);
    assert!(
        warnings
            .map(|check| (check.name, check.found, check.limit))
            .eq([("phone numbers of 11 digits", 10, 10); 3])
    );
    with(&mut tables, 11);
    let eleven = "phone numbers of 11 digits";
    assert_eq!(
        failed(&tables.check()),
        [
            ("source", eleven, 11),
            ("raw", eleven, 11),
            ("gold", eleven, 11)
        ]
    );

    let mut tables = Tables::new();
    tables.source[0].date_of_birth = text("2025-07-01");
    with(&mut tables, 0);
    let future = "dates of birth in the future";
    assert_eq!(
        failed(&tables.check()),
        [
            ("source", future, 1),
            ("raw", future, 1),
            ("gold", future, 1)
        ]
    );
}

#[test]
fn empty_tables_are_equal_and_no_gold_table_is_needed() {
    let empty = || in_order(Vec::new());
    let report = check(empty(), empty(), Some(empty()), settings(1)).expect("a report");
    assert!(report.is_clean());
    let report = check(
        in_order(vec![person(1)]),
        in_order(vec![person(1)]),
        None,
        settings(1),
    )
    .expect("a report");
    assert!(report.is_clean());
    assert_eq!(report.tables.len(), 2);
    assert!(report.to_string().contains("different keys"), "{report}");
}

#[test]
fn rows_in_another_order_and_errors_end_the_check() {
    let rows = vec![person(2), person(1)];
    let error =
        check(in_order(rows), in_order(Vec::new()), None, settings(1)).expect_err("the order");
    assert!(
        error
            .to_string()
            .contains("rows of source are not in the order"),
        "{error}"
    );

    let broken: Rows<'_> = Box::new([Ok(person(1)), Err(anyhow::anyhow!("it broke"))].into_iter());
    let error = check(in_order(vec![person(1)]), broken, None, settings(1)).expect_err("the error");
    assert_eq!(error.to_string(), "it broke");

    let many = vec![Customer::default(); 1_001];
    let error =
        check(in_order(many), in_order(Vec::new()), None, settings(1)).expect_err("a limit");
    assert!(
        error
            .to_string()
            .contains("more than 1000 rows of source have the key NULL"),
        "{error}"
    );
}
