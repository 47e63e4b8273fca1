//! `snowpipe doctor`: prints the report of an examination.

use std::io::Write as _;

use crate::text::escaped_json;
use snowpipe_streaming::doctor::{self, Options, Report};

use crate::account::Account;
use crate::{Stop, code, names};

/// Find out why streaming does not work
///
/// Checks the profile, its key, the clock, the connection to both hosts, the login, the role and, if a pipe or table is given,
/// that a channel can be opened on it: a probe channel is opened and dropped. Prints one line for each check, with the remedy.
///
/// Exit status: 0 if no check failed, 1 if one did, 2 if the command line is wrong.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    account: Account,

    /// Also check this table's default pipe
    #[arg(long, value_name = "[[DB.]SCHEMA.]TABLE", conflicts_with = "pipe")]
    table: Option<String>,

    /// Also check this pipe
    #[arg(long, value_name = "[[DB.]SCHEMA.]PIPE")]
    pipe: Option<String>,

    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> Result<u8, Stop> {
    let profile = args.account.profile();
    let pipe = match (&args.pipe, &args.table, &profile) {
        // Without a profile the checks end before the pipe is needed.
        (None, None, _) | (_, _, Err(_)) => None,
        (pipe, table, Ok(profile)) => {
            Some(names::pipe(pipe.as_deref(), table.as_deref(), profile)?)
        }
    };
    let options = Options::new().transport(args.account.transport(profile.as_ref().ok())?);
    let report = doctor::examine(profile, pipe.as_ref(), &options).await;
    let text = if args.json {
        json(&report)
    } else {
        let findings = report.findings().iter().map(ToString::to_string);
        let lines: Vec<_> = findings.chain([report.summary()]).collect();
        lines.join("\n") + "\n"
    };
    // Ignored: stdout may be closed.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(if report.is_fine() {
        code::FINE
    } else {
        code::FINDINGS
    })
}

fn json(report: &Report) -> String {
    let mut value = serde_json::to_value(report).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("fine".to_owned(), report.is_fine().into());
        fields.insert("summary".to_owned(), report.summary().into());
    }
    escaped_json(&format!("{value:#}\n"))
}
