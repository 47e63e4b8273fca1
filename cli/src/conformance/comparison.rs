//! What changed between two reports.

use std::fmt;

use super::report::Report;

/// A point or question with other answers than before.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The point or question.
    pub what: String,
    /// What was seen before; empty if it was not asked.
    pub before: Vec<String>,
    /// What is seen now; empty if it was not asked.
    pub after: Vec<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |seen: &[String]| match seen {
            [] => "not asked".to_owned(),
            seen => seen.join(" | "),
        };
        write!(
            f,
            "{}: {} -> {}",
            self.what,
            shown(&self.before),
            shown(&self.after)
        )
    }
}

/// The points and questions whose answers differ between two reports, in the order of the newer one.
pub fn compare(before: &Report, after: &Report) -> Vec<Change> {
    let distinct = |report: &Report, what: &str| {
        let mut seen = report
            .finding(what)
            .map_or_else(Vec::new, |found| found.seen.clone());
        seen.sort_unstable();
        seen.dedup();
        seen
    };
    let missing = before.findings.iter();
    let missing = missing.filter(|old| after.finding(&old.what).is_none());
    let all = after.findings.iter().chain(missing);
    let changes = all.map(|finding| Change {
        what: finding.what.clone(),
        before: distinct(before, &finding.what),
        after: distinct(after, &finding.what),
    });
    changes
        .filter(|change| change.before != change.after)
        .collect()
}
