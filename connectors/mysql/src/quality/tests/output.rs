//! The report as JSON and as a page.

use clap::{Args, Command};
use serde_json::json;

use super::super::{Limits, Options, html};
use super::{Tables, text};

/// The fields are documented, so their names stay.
#[test]
fn the_report_as_json() {
    let mut tables = Tables::new();
    tables.raw[9].email = None;
    let json: serde_json::Value =
        serde_json::from_str(&tables.check().to_json().expect("JSON")).expect("JSON");
    assert_eq!(json["clean"], false);
    assert_eq!(json["today"], "2025-06-30");
    assert_eq!(json["tables"][0]["comparison"], json!(null));
    let raw = &json["tables"][1];
    assert_eq!(
        (&raw["name"], &raw["rows"], &raw["keys"]),
        (&json!("raw"), &json!(50), &json!(50))
    );
    assert_eq!(raw["nulls"][1], json!({"column": "EMAIL", "rows": 11}));
    assert_eq!(raw["defects"]["malformed_emails"], 0);
    let column = &raw["comparison"]["columns"][1];
    assert_eq!(
        (&column["name"], &column["changed"]),
        (&json!("EMAIL"), &json!(1))
    );
    assert_ne!(column["expected_hash"], column["found_hash"]);
    let check =
        json!({"table": "raw", "name": "changed rows", "found": 1, "limit": 0, "status": "failed"});
    assert!(json["checks"].as_array().expect("checks").contains(&check));
}

#[test]
fn the_page_escapes_what_the_tables_hold_and_loads_nothing() {
    let mut tables = Tables::new();
    tables.raw[9].email = text("<script>alert('x')</script>\" & ]]>");
    let page = html::page(&tables.check());
    assert!(
        page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"),
        "{page}"
    );
    for loaded in ["<script", "src=", "href=", "http", "url(", "@import"] {
        assert!(!page.contains(loaded), "{loaded}");
    }
    assert!(page.contains("FAILED"));
}

#[test]
fn the_options_are_valid() {
    let command = Options::augment_args(Command::new("check"));
    command.clone().debug_assert();
    let arguments = [
        "check",
        "--max-future-births",
        "0.5",
        "--html",
        "report.html",
    ];
    let matches = command.try_get_matches_from(arguments).expect("options");
    let options = <Options as clap::FromArgMatches>::from_arg_matches(&matches).expect("options");
    let expected = Limits {
        future_births: 0.5,
        ..Limits::default()
    };
    assert_eq!((options.limits, options.examples), (expected, 10));
}
