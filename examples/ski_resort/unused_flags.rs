//! Finds flags that have no effect for the part of the pipeline that a process runs. They are refused, because the user expects
//! an effect.

use clap::parser::ValueSource;
use clap::{ArgMatches, Command, ValueEnum};

use crate::cli::{Args, Only};

/// Flags, and the values of --only that use them. All values use the other flags.
pub(crate) const USES: [(&[&str], &[Only]); 4] = [
    (
        &["duration", "forever", "speed", "seed", "start"],
        &[Only::All, Only::Generator],
    ),
    (&["days"], &[Only::All, Only::Generator, Only::Streamer]),
    (
        &[
            "profile",
            "max_client_lag",
            "channel",
            "resort_ticket_pipe",
            "season_pass_pipe",
            "lift_ride_pipe",
            "drain_timeout",
            "verify_sql",
            "warehouse",
            "summary_json",
        ],
        &[Only::All, Only::Streamer],
    ),
    (
        &["landing", "reports", "port", "open", "serve"],
        &[Only::All, Only::Streamer, Only::Reports],
    ),
];

/// Whether the other flags make a flag useless.
type IsUnused = fn(&Args) -> bool;

/// Flags, when the other flags make them useless, and what to do then.
pub(crate) const UNUSED: [(&str, IsUnused, &str); 4] = [
    (
        "profile",
        |args| args.only == Only::Reports,
        "an account computes its own reports, with sql/dynamic_tables.sql: omit --profile, and give a --landing",
    ),
    (
        "reports",
        |args| args.profile.is_some() && args.landing.is_none(),
        "an account computes its own reports, with sql/dynamic_tables.sql: omit --reports, or give the --landing of the \
         emulator that the profile leads to",
    ),
    (
        "warehouse",
        |args| {
            let queries = args.profile.is_some() && args.landing.is_none() && !args.no_dashboard;
            !args.verify_sql && !queries
        },
        "--warehouse is for --verify-sql and for the page of an account's reports: omit it, or give --verify-sql or --profile",
    ),
    (
        "queue",
        |args| args.only == Only::Reports && args.landing.is_some(),
        "reports need only a landing, and --queue only determines its default: omit --queue or --landing",
    ),
];

/// A message for each flag without effect.
pub(crate) fn unused_flags(command: &Command, matches: &ArgMatches, args: &Args) -> Vec<String> {
    let given: Vec<_> = command
        .get_arguments()
        .filter(|arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine))
        .collect();
    let message = |arg: &&clap::Arg| {
        let id = arg.get_id().as_str();
        let unused = UNUSED
            .iter()
            .find(|(flag, is_unused, _)| *flag == id && is_unused(args));
        if let Some((_, _, sentence)) = unused {
            return Some((*sentence).to_owned());
        }
        let (_, users) = USES.iter().find(|(flags, _)| flags.contains(&id))?;
        (!users.contains(&args.only)).then(|| {
            let others = users.iter().filter(|user| **user != Only::All);
            let others: Vec<_> = others.map(|user| user.flag()).collect();
            format!(
                "--{} has no effect with {}: omit it, or use it with {}",
                arg.get_long().unwrap_or(id),
                args.only.flag(),
                others.join(" or ")
            )
        })
    };
    given.iter().filter_map(message).collect()
}

impl Only {
    fn flag(self) -> String {
        let value = self.to_possible_value();
        let name = value.as_ref().map_or("", |value| value.get_name());
        format!("--only {name}")
    }
}
