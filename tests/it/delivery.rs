//! The table of faults in the documentation names tests, and they are there.

use std::path::Path;

#[test]
fn every_fault_is_shown_by_tests_that_exist() {
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
    for row in rows {
        let cell = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let names: Vec<_> = cell.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test shows {row}");
        for name in names {
            let (module, test) = name.rsplit_once("::").unwrap();
            let file = format!("tests/it/{}.rs", module.replace("::", "/"));
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            let source = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(
                source.contains(&format!("fn {test}()")),
                "{name} is not there"
            );
        }
    }
}
