//! The guide's table of the official SDK's names: it is complete, and each row has the counterpart in this crate.

use std::collections::BTreeMap;

const TABLES: &str = include_str!("../../../src/guide/coming_from_the_official_sdk.md");
const PROFILE: &str = include_str!("../../../src/config/mod.rs");
const SURFACE: &str = include_str!("../../fixtures/official_sdk_1.9.1.txt");

/// The rows of the table: the official name and the counterpart.
fn rows() -> Vec<(Vec<&'static str>, &'static str)> {
    // Only tables with these two columns are read.
    TABLES
        .split("| Official | Here |\n|---|---|\n")
        .skip(1)
        .flat_map(|rest| rest.lines().map_while(|line| line.strip_prefix("| ")))
        .map(|row| {
            let row = row.trim_end_matches(" |");
            let (official, here) = row.split_once(" | ").unwrap_or((row, ""));
            (official.split('`').skip(1).step_by(2).collect(), here)
        })
        .collect()
}

#[test]
fn every_row_has_an_entry_or_a_reason() {
    let rows = rows();
    assert!(rows.len() > 100, "{} rows", rows.len());
    for (official, here) in rows {
        assert!(!official.is_empty(), "a row names nothing: {here}");
        // rustdoc checks the targets of the links.
        let entry = here.contains("](crate::") || here.contains("the same");
        let reason = here.starts_with("Not ") && here.split_whitespace().count() > 4;
        let own = [
            "its `Display`",
            "The version of the crate",
            "events of `tracing`",
        ];
        assert!(
            entry || reason || own.iter().any(|start| here.starts_with(start)),
            "{official:?} has neither an entry nor a reason: {here:?}"
        );
    }
}

#[test]
fn every_public_name_of_the_official_sdk_is_in_one_row() {
    let mut found: BTreeMap<&str, u32> = BTreeMap::new();
    for name in rows().into_iter().flat_map(|(official, _)| official) {
        *found.entry(name).or_default() += 1;
    }
    for (name, times) in &found {
        assert_eq!(*times, 1, "{name}");
    }
    let public = SURFACE.lines().filter(|line| !line.starts_with('#'));
    let missing: Vec<_> = public.filter(|name| !found.contains_key(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn settings_listed_as_equal_are_those_of_a_profile() {
    let same = rows()
        .into_iter()
        .filter(|(_, here)| here.starts_with("the same"))
        .flat_map(|(official, _)| official)
        .filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
    let same: Vec<_> = same.collect();
    assert!(same.len() > 15, "{same:?}");
    for name in same {
        assert!(PROFILE.contains(&format!("`{name}`")), "{name}");
    }
}
