//! The report of an examination.

use std::fmt;

use serde::Serialize;

use crate::types::error::Error;

/// A check, in the order in which they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Check {
    /// The profile is readable and complete.
    Profile,
    /// The private key can be read and can sign; shows its public key.
    PrivateKey,
    /// The identity in the JWT: account, user and key.
    Identity,
    /// The account host's name resolves.
    Dns,
    /// The account host's port answers.
    Tcp,
    /// The account host's certificate is trusted.
    Tls,
    /// This machine's clock agrees with the server's.
    Clock,
    /// The account host accepts the credential and names the ingest host.
    IngestHost,
    /// The ingest host's name resolves.
    IngestDns,
    /// The ingest host's port answers.
    IngestTcp,
    /// The ingest host's certificate is trusted.
    IngestTls,
    /// The credential can be exchanged for a token.
    Token,
    /// The user may assume the role.
    Role,
    /// The pipe exists, and the role can see it.
    Pipe,
    /// A channel can be opened.
    Channel,
    /// The channel can be dropped.
    Drop,
}

impl Check {
    const ALL: [Self; 16] = [
        Self::Profile,
        Self::PrivateKey,
        Self::Identity,
        Self::Dns,
        Self::Tcp,
        Self::Tls,
        Self::Clock,
        Self::IngestHost,
        Self::IngestDns,
        Self::IngestTcp,
        Self::IngestTls,
        Self::Token,
        Self::Role,
        Self::Pipe,
        Self::Channel,
        Self::Drop,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::PrivateKey => "private key",
            Self::Identity => "identity",
            Self::Dns => "account host: name",
            Self::Tcp => "account host: port",
            Self::Tls => "account host: TLS",
            Self::Clock => "clock",
            Self::IngestHost => "login and ingest host",
            Self::IngestDns => "ingest host: name",
            Self::IngestTcp => "ingest host: port",
            Self::IngestTls => "ingest host: TLS",
            Self::Token => "token",
            Self::Role => "role",
            Self::Pipe => "pipe",
            Self::Channel => "probe channel: open",
            Self::Drop => "probe channel: drop",
        }
    }

    /// The remedy if the error names none.
    fn usual_remedy(self) -> &'static str {
        match self {
            Self::Profile | Self::PrivateKey | Self::Identity => {
                "correct it in the profile; files that are named there have to exist and to be readable"
            }
            _ => {
                "run this again; if it fails again, check Snowflake's status page, and the network between this machine and Snowflake"
            }
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The check passed.
    Ok,
    /// The check passed, but something may cause failures.
    Warn,
    /// The check failed.
    Fail,
    /// The check was not made: an earlier one failed, or it does not apply.
    Skipped,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
            Self::Skipped => "skipped",
        })
    }
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The check.
    pub check: Check,
    /// The outcome.
    pub outcome: Outcome,
    /// What was found, in a sentence without a full stop.
    pub text: String,
    /// The remedy, or a hint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl fmt::Display for Finding {
    /// One line, and a second one for the remedy if there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<7} {:<21} {}", self.outcome, self.check, self.text)?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n{:>29} {remedy}", "->"),
            None => Ok(()),
        }
    }
}

/// The findings of an examination.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    findings: Vec<Finding>,
}

impl Report {
    /// A finding for each check, in order.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The finding of a check.
    pub fn finding(&self, check: Check) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.check == check)
    }

    /// Whether no check failed.
    pub fn is_fine(&self) -> bool {
        self.count(Outcome::Fail) == 0
    }

    /// A summary in one sentence.
    pub fn summary(&self) -> String {
        let (failed, warned) = (self.count(Outcome::Fail), self.count(Outcome::Warn));
        let first = self.findings.iter().find(|f| f.outcome == Outcome::Fail);
        match first {
            Some(first) => format!(
                "{failed} of {} checks failed; begin with the first: {}.",
                self.findings.len(),
                first.check
            ),
            None if warned > 0 => format!("No check failed, {warned} warned."),
            None => "No check failed.".to_owned(),
        }
    }

    fn count(&self, outcome: Outcome) -> usize {
        let matches = |finding: &&Finding| finding.outcome == outcome;
        self.findings.iter().filter(matches).count()
    }

    pub(super) fn ok(&mut self, check: Check, text: impl Into<String>) {
        self.push(check, Outcome::Ok, text.into(), None);
    }

    /// A passed check with a hint.
    pub(super) fn ok_but(&mut self, check: Check, text: String, hint: String) {
        self.push(check, Outcome::Ok, text, Some(hint));
    }

    pub(super) fn skip(&mut self, check: Check, because: &str) {
        self.push(check, Outcome::Skipped, format!("because {because}"), None);
    }

    /// Skips every check without a finding.
    pub(super) fn skip_the_rest(&mut self, because: &str) {
        for check in Check::ALL {
            if self.finding(check).is_none() {
                self.skip(check, because);
            }
        }
        self.findings.sort_by_key(|finding| finding.check);
    }

    pub(super) fn warn(
        &mut self,
        check: Check,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.push(check, Outcome::Warn, text.into(), Some(remedy.into()));
    }

    /// A failure with the text and the remedy of an error.
    pub(super) fn fail(&mut self, check: Check, error: &Error) {
        let (text, remedy) = split(error);
        let remedy = remedy.unwrap_or_else(|| check.usual_remedy().to_owned());
        self.push(check, Outcome::Fail, text, Some(remedy));
    }

    /// A failure with the text of an error and another remedy.
    pub(super) fn fail_with(&mut self, check: Check, error: &Error, remedy: impl Into<String>) {
        let (text, _) = split(error);
        self.push(check, Outcome::Fail, text, Some(remedy.into()));
    }

    pub(super) fn fail_as(
        &mut self,
        check: Check,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.push(check, Outcome::Fail, text.into(), Some(remedy.into()));
    }

    fn push(&mut self, check: Check, outcome: Outcome, text: String, remedy: Option<String>) {
        self.findings.push(Finding {
            check,
            outcome,
            text,
            remedy,
        });
    }
}

/// Splits the text of an error into what happened and the remedy.
fn split(error: &Error) -> (String, Option<String>) {
    let message = error.message();
    let (what, remedy) = match message.rsplit_once("; ") {
        Some((what, remedy)) => (what, Some(remedy.to_owned())),
        None => (message, None),
    };
    let code = error.code().map(|code| format!(" [{code}]"));
    let request = error.request_id().map(|id| format!(" (request {id})"));
    let text = [what, code.as_deref().unwrap_or_default()].concat();
    (text + request.as_deref().unwrap_or_default(), remedy)
}
