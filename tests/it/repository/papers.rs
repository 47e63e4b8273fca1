//! The links of the Markdown files lead to files and headings that exist, and the guide shows the test for pytest that runs.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The Markdown files that are checked, relative to the repository's root.
const PAPERS: [&str; 21] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "RELEASING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "cli/README.md",
    "cli/src/guide/conformance.md",
    "emulator/README.md",
    "emulator/CHANGELOG.md",
    "emulator/src/guide/usage.md",
    "examples/README.md",
    "examples/ski_resort/README.md",
    "examples/orders/README.md",
    "examples/table_copy/README.md",
    "connectors/README.md",
    "tests/README.md",
    "tests/sim/README.md",
    "connectors/kafka/README.md",
    "connectors/kinesis/README.md",
    "connectors/mysql/README.md",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The lines of a text outside its code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The anchors of a text's headings, as hosts of repositories and rustdoc make them.
fn anchors(text: &str) -> HashSet<String> {
    let headings = prose(text).filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// The targets of a text's links, except links to other sites, and to items of the crate, which rustdoc checks.
fn targets(text: &str) -> BTreeSet<&str> {
    let after = prose(text).flat_map(|line| line.split("](").skip(1));
    after
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .filter(|target| !target.contains("::") && !target.contains("://"))
        .collect()
}

/// The broken links of a file.
fn dead(file: &Path, text: &str) -> Vec<String> {
    let is_dead = |target: &&str| {
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let to = match path {
            "" => file.to_owned(),
            path => file.with_file_name(path),
        };
        let has_anchor =
            || fs::read_to_string(&to).is_ok_and(|text| anchors(&text).contains(anchor));
        !to.exists() || !(anchor.is_empty() || has_anchor())
    };
    targets(text)
        .into_iter()
        .filter(is_dead)
        .map(|target| format!("{}: {target}", file.display()))
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let chapters = fs::read_dir(root().join("src/guide")).unwrap();
    let chapters = chapters.map(|entry| entry.unwrap().path());
    let chapters = chapters.filter(|path| path.extension().is_some_and(|e| e == "md"));
    let papers = PAPERS.iter().map(|name| root().join(name)).chain(chapters);
    let mut links = 0;
    for paper in papers {
        let text = fs::read_to_string(&paper).unwrap();
        links += targets(&text).len();
        assert_eq!(dead(&paper, &text), Vec::<String>::new());
    }
    assert!(links > 30, "{links} links");
}

#[test]
fn the_test_for_pytest_is_the_one_that_runs() {
    let guide = fs::read_to_string(root().join("emulator/src/guide/usage.md")).unwrap();
    let file = root().join("emulator/tests/wheel/test_rides.py");
    let wanted = fs::read_to_string(file).unwrap();
    assert!(guide.contains(&format!("```python\n{wanted}```\n")));
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let text = "# A title: of `this`\n[a](README.md#title)\n```\n# not [one](code.md)\n```\n";
    assert!(anchors(text).contains("a-title-of-this"));
    assert_eq!(targets(text), BTreeSet::from(["README.md#title"]));
    let absent = root().join("absent.md");
    let found = dead(
        &absent,
        "[a](absent/too.md) [b](README.md#title) [c](README.md)",
    );
    assert_eq!(found.len(), 2, "{found:?}");
}
