//! The report of a run.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::experiments::{Experiment, experiments};
use super::service::Exchange;
use crate::conformance::error::{Error, Result};

/// The version of the report's form.
pub(super) const FORMAT: u32 = 1;

/// What a run has found. As JSON it is what `snowpipe conformance --out` writes and `snowpipe-emulator --answers` reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Report {
    /// The version of this form: 1.
    pub format: u32,
    /// The version of the crate that made the report.
    pub made_by: String,
    /// When the run began, as in `2026-01-17T14:00:00Z`.
    pub taken: String,
    /// The version that the service reports, if statements could be carried out.
    pub service: Option<String>,
    /// How often each experiment was carried out.
    pub runs: u32,
    /// The answers that were found, in the form of [`Answers`](snowpipe_streaming_emulator::answers::Answers). Points that were not reached are absent.
    pub answers: Value,
    /// The points and questions with different answers in different runs, or with one run only.
    pub unsure: Vec<String>,
    /// What was found.
    pub findings: Vec<Finding>,
    /// The experiments without a result, or of which a part has none.
    pub skipped: Vec<Skipped>,
    /// The objects that the run has left behind, because they could not be dropped.
    pub left_behind: Vec<String>,
    /// The requests and answers of each experiment, without secrets and names.
    pub evidence: Vec<Evidence>,
}

/// What was found at a point or question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Finding {
    /// The experiment.
    pub id: String,
    /// The point of [`POINTS`](snowpipe_streaming_emulator::answers::POINTS), or the question in words.
    pub what: String,
    /// What is documented or was observed elsewhere; `None` if nothing is known.
    pub expected: Option<String>,
    /// What was seen in each run.
    pub seen: Vec<String>,
}

impl Finding {
    /// Whether every run has seen what was expected; `None` if nothing was.
    pub fn is_expected(&self) -> Option<bool> {
        let expected = self.expected.as_ref()?;
        Some(self.seen.iter().all(|seen| seen == expected))
    }

    /// Whether all of at least two runs have seen the same.
    pub fn is_sure(&self) -> bool {
        self.seen.len() > 1 && self.seen.windows(2).all(|pair| pair.first() == pair.last())
    }
}

/// An experiment that was not carried out, or not completely.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Skipped {
    /// The experiment.
    pub id: String,
    /// Why.
    pub why: String,
}

/// The requests of an experiment in one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Evidence {
    /// The experiment.
    pub id: String,
    /// The run, from 1 on.
    pub run: u32,
    /// The requests and answers, in their order.
    pub exchanges: Vec<Exchange>,
}

impl Report {
    pub(super) fn new(taken: String, runs: u32) -> Self {
        Self {
            format: FORMAT,
            made_by: env!("CARGO_PKG_VERSION").to_owned(),
            taken,
            service: None,
            runs,
            answers: Value::Object(Map::new()),
            unsure: Vec::new(),
            findings: Vec::new(),
            skipped: Vec::new(),
            left_behind: Vec::new(),
            evidence: Vec::new(),
        }
    }

    /// Reads the JSON of a report.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the text is not a report in a form that this version reads.
    pub fn from_json(text: &str) -> Result<Self> {
        let unreadable = |why: &dyn fmt::Display| {
            let message = format!(
                "the report cannot be read: {why}; give a file of `snowpipe conformance --out`"
            );
            Error::Config(message)
        };
        let report: Self = serde_json::from_str(text).map_err(|why| unreadable(&why))?;
        if report.format != FORMAT {
            let why = format!("its format is {}, and {FORMAT} is known", report.format);
            return Err(unreadable(&why));
        }
        Ok(report)
    }

    /// The finding at a point or question.
    pub fn finding(&self, what: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.what == what)
    }

    /// Whether every experiment had a result, every result was the expected one, and nothing was left behind.
    pub fn is_as_expected(&self) -> bool {
        let mut findings = self.findings.iter();
        self.skipped.is_empty()
            && self.left_behind.is_empty()
            && findings.all(|finding| finding.is_expected() != Some(false))
    }

    pub(super) fn note(&mut self, experiment: &Experiment, what: &str, word: String) {
        let known = self
            .findings
            .iter_mut()
            .find(|finding| finding.what == what);
        if let Some(known) = known {
            known.seen.push(word);
            return;
        }
        self.findings.push(Finding {
            id: experiment.id.to_owned(),
            what: what.to_owned(),
            expected: experiment.expected(what).map(str::to_owned),
            seen: vec![word],
        });
    }

    /// Draws the conclusions from the findings.
    pub(super) fn conclude(&mut self) {
        let mut answers = Map::new();
        for finding in &self.findings {
            let is_same = finding
                .seen
                .windows(2)
                .all(|pair| pair.first() == pair.last());
            if !finding.is_sure() {
                self.unsure.push(finding.what.clone());
            }
            let mut points = snowpipe_streaming_emulator::answers::POINTS.iter();
            let point = points.find(|point| point.key == finding.what);
            let word = finding.seen.first().filter(|_| is_same);
            let known = point
                .zip(word)
                .filter(|(point, word)| point.words.contains(&&***word));
            if let Some((point, word)) = known
                && let Some((group, name)) = point.key.split_once('.')
            {
                let group = answers
                    .entry(group)
                    .or_insert_with(|| Value::Object(Map::new()));
                if let Some(fields) = group.as_object_mut() {
                    fields.insert(name.to_owned(), word.as_str().into());
                }
            }
        }
        self.answers = Value::Object(answers);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .findings
            .iter()
            .map(|finding| finding.what.chars().count());
        let width = width.max().unwrap_or_default();
        for finding in &self.findings {
            let mark = match finding.is_expected() {
                Some(true) => "as expected",
                Some(false) => "DIFFERENT",
                None => "found",
            };
            let mut seen = finding.seen.clone();
            seen.dedup();
            let seen = seen.join(" | ");
            writeln!(
                f,
                "{:<4} {:<width$}  {mark:<11}  {seen}",
                finding.id, finding.what
            )?;
            if let (Some(false), Some(expected)) = (finding.is_expected(), &finding.expected) {
                writeln!(f, "     {:<width$}  expected     {expected}", "")?;
                let known = experiments();
                let meaning = known.iter().find(|one| one.id == finding.id);
                if let Some(experiment) = meaning {
                    writeln!(
                        f,
                        "     {:<width$}  it matters   {}",
                        "", experiment.meaning
                    )?;
                }
            }
        }
        for skipped in &self.skipped {
            writeln!(f, "{:<4} incomplete: {}", skipped.id, skipped.why)?;
        }
        for left in &self.left_behind {
            writeln!(f, "left behind: {left}")?;
        }
        let different = |finding: &&Finding| finding.is_expected() == Some(false);
        write!(
            f,
            "{} findings, {} of them different from what was expected, {} unsure; {} experiments incomplete",
            self.findings.len(),
            self.findings.iter().filter(different).count(),
            self.unsure.len(),
            self.skipped.len(),
        )
    }
}
