//! The report as one page for a browser, without scripts and without anything to load.

use std::cmp::Reverse;
use std::fmt::Write as _;

use super::comparison::Difference;
use super::defects;
use super::gold::COLUMNS;
use super::report::{Report, Status, TableReport};
use super::text::{Figure, kind, shown, status};

const STYLE: &str = "
:root { color-scheme: light dark; --text: #1c2733; --dim: #5b6875; --page: #f5f7f9; --card: #ffffff; --line: #d9dfe5;
  --ok: #1a7f4b; --warn: #9a6100; --bad: #c0271f; --bar: #2f6fb3; --track: #e6ebf0; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e9ee; --dim: #9aa7b4; --page: #12181f; --card: #1b232c;
  --line: #313c48; --ok: #4cc38a; --warn: #e2a93b; --bad: #ff7b72; --bar: #6aa8e8; --track: #2a3540; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 64rem; padding: 2rem 1rem 4rem; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.6rem; } h2 { margin: 0 0 .75rem; font-size: 1.1rem; }
p { margin: .25rem 0 0; color: var(--dim); }
section { margin-top: 1.25rem; padding: 1.25rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; overflow-x: auto; }
.verdict { border-left: 6px solid; } .verdict.passed { border-left-color: var(--ok); }
.verdict.warning { border-left-color: var(--warn); } .verdict.failed { border-left-color: var(--bad); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { color: var(--dim); font-weight: 600; } .number { text-align: right; white-space: nowrap; }
tr:last-child td { border-bottom: 0; }
code { font: .85em/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
b.passed { color: var(--ok); } b.warning { color: var(--warn); } b.failed { color: var(--bad); }
svg { display: block; width: 100%; height: auto; } svg text { fill: var(--text); font: 13px system-ui, sans-serif; }
svg .dim { fill: var(--dim); } svg .track { fill: var(--track); } svg .bar { fill: var(--bar); }
";

/// The width of a chart, of the names in it and of its bars, and the height of a line, in the units of the picture.
const WIDTH: u32 = 900;
const NAMES: u32 = 280;
const BARS: u32 = 430;
const LINE: u32 = 26;

/// The page.
pub(crate) fn page(report: &Report) -> String {
    let class = match (
        report.is_clean(),
        report
            .checks
            .iter()
            .any(|check| check.status == Status::Warning),
    ) {
        (false, _) => "failed",
        (true, true) => "warning",
        (true, false) => "passed",
    };
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Data quality: {summary}</title>\n<style>{STYLE}</style>\n\
         <section class=\"verdict {class}\"><h1>{summary}</h1>\
         <p>Source, raw and gold table, compared row by row. Checked on {today} (UTC).</p></section>\n",
        summary = escaped(&report.summary()),
        today = escaped(&report.today),
    );
    section(&mut page, "Rows", &rows_chart(report));
    if report.differences().next().is_some() {
        section(&mut page, "Differences", &differences(report));
    }
    section(
        &mut page,
        "Defects of the values, in percent of the rows",
        &defects_chart(report),
    );
    section(
        &mut page,
        "Values that are NULL, in percent of the rows",
        &nulls_chart(report),
    );
    section(&mut page, "Checks", &checks(report));
    section(
        &mut page,
        "Compared with the source",
        &figures(&report.comparison_figures()),
    );
    section(
        &mut page,
        "Hashes of the columns",
        &figures(&report.hash_figures(usize::MAX)),
    );
    section(&mut page, "Figures", &figures(&report.table_figures()));
    page.push_str("</html>\n");
    page
}

fn section(page: &mut String, title: &str, content: &str) {
    let _ = writeln!(
        page,
        "<section><h2>{}</h2>{content}</section>",
        escaped(title)
    );
}

fn rows_chart(report: &Report) -> String {
    let most = report
        .tables
        .iter()
        .map(|table| table.rows)
        .max()
        .unwrap_or(0);
    let bars: Vec<_> = report
        .tables
        .iter()
        .map(|table| {
            (
                table.name.to_owned(),
                table.rows,
                most,
                table.rows.to_string(),
            )
        })
        .collect();
    chart(&bars)
}

fn defects_chart(report: &Report) -> String {
    let defects = defects::NAMES.iter().enumerate();
    let bars: Vec<_> = defects
        .flat_map(|(position, name)| {
            report.tables.iter().filter_map(move |table| {
                let counts = table.defects.counts();
                Some(share(name, table, *counts.get(position)?))
            })
        })
        .collect();
    chart(&bars)
}

fn nulls_chart(report: &Report) -> String {
    let columns = COLUMNS.iter().enumerate();
    let bars: Vec<_> = columns
        .flat_map(|(position, column)| {
            report.tables.iter().filter_map(move |table| {
                let nulls = table.nulls.get(position)?;
                Some(share(column, table, nulls.rows))
            })
        })
        .collect();
    chart(&bars)
}

/// A bar: its name, its value, the value of a full bar, and what is written behind it.
type Bar = (String, u64, u64, String);

fn share(name: &str, table: &TableReport, found: u64) -> Bar {
    // Hundredths of a percent, in integers.
    let hundredths = u128::from(found) * 10_000 / u128::from(table.rows.max(1));
    let percent = if found > 0 && hundredths == 0 {
        "below 0.01 %".to_owned()
    } else {
        format!("{}.{:02} %", hundredths / 100, hundredths % 100)
    };
    (
        format!("{name}, {}", table.name),
        found,
        table.rows,
        format!("{found} ({percent})"),
    )
}

fn chart(bars: &[Bar]) -> String {
    let height = LINE * u32::try_from(bars.len()).unwrap_or(0);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">");
    for (line, (name, value, full, label)) in (0_u32..).zip(bars) {
        let top = line * LINE;
        let width = u128::from(BARS) * u128::from(*value) / u128::from(*full).max(1);
        // A value that is not zero stays visible.
        let width = if *value > 0 { width.max(2) } else { 0 };
        let _ = write!(
            svg,
            "<text x=\"0\" y=\"{text}\">{name}</text>\
             <rect class=\"track\" x=\"{NAMES}\" y=\"{bar}\" width=\"{BARS}\" height=\"14\" rx=\"3\"/>\
             <rect class=\"bar\" x=\"{NAMES}\" y=\"{bar}\" width=\"{width}\" height=\"14\" rx=\"3\"/>\
             <text class=\"dim\" x=\"{after}\" y=\"{text}\">{label}</text>",
            text = top + 17,
            bar = top + 5,
            after = NAMES + BARS + 12,
            name = escaped(name),
            label = escaped(label),
        );
    }
    svg.push_str("</svg>");
    svg
}

fn checks(report: &Report) -> String {
    let mut table = "<table><tr><th>Result<th>Table<th>What may not be<th class=\"number\">Found\
                     <th class=\"number\">At most</tr>"
        .to_owned();
    // The failures first; otherwise in the order of the tables.
    let mut checks: Vec<_> = report.checks.iter().collect();
    checks.sort_by_key(|check| Reverse(check.status));
    for check in checks {
        let class = match check.status {
            Status::Passed => "passed",
            Status::Warning => "warning",
            Status::Failed => "failed",
        };
        let _ = write!(
            table,
            "<tr><td><b class=\"{class}\">{}</b><td>{}<td>{}<td class=\"number\">{}<td class=\"number\">{}</tr>",
            status(check.status),
            escaped(check.table),
            escaped(check.name),
            check.found,
            check.limit,
        );
    }
    table.push_str("</table>");
    table
}

fn figures(figures: &[Figure]) -> String {
    let mut table = "<table><tr><th><th class=\"number\">Source<th class=\"number\">Raw<th class=\"number\">Gold</tr>".to_owned();
    for [name, values @ ..] in figures {
        let _ = write!(table, "<tr><td>{}", escaped(name));
        for value in values {
            let _ = write!(table, "<td class=\"number\">{}", escaped(value));
        }
        table.push_str("</tr>");
    }
    table.push_str("</table>");
    table
}

fn differences(report: &Report) -> String {
    let mut table =
        "<table><tr><th>Table<th>Row<th>Key<th>Column<th>Expected<th>Found</tr>".to_owned();
    for (
        name,
        Difference {
            kind: what,
            key,
            change,
        },
    ) in report.differences()
    {
        let _ = write!(
            table,
            "<tr><td>{}<td>{}<td><code>{}</code>",
            escaped(name),
            kind(*what),
            escaped(&shown(key.as_deref()))
        );
        if let Some(change) = change {
            let (expected, found) = (
                shown(change.expected.as_deref()),
                shown(change.found.as_deref()),
            );
            let _ = write!(
                table,
                "<td>{}<td><code>{}</code><td><code>{}</code>",
                escaped(change.column),
                escaped(&expected),
                escaped(&found)
            );
        } else {
            table.push_str("<td><td><td>");
        }
        table.push_str("</tr>");
    }
    table.push_str("</table>");
    match report.unnamed() {
        0 => {}
        more => {
            let _ = write!(table, "<p>And {more} more rows.</p>");
        }
    }
    table
}

/// Text as it stands in a page: what a table holds never becomes markup.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
