//! Which flags go with what a process does. A flag that would change nothing is refused: whoever gave it expects something.

use clap::parser::ValueSource;
use clap::{ArgMatches, Command, ValueEnum};

use crate::cli::{Args, Only};

/// Flags, and those who have a use for them. What is not here is for everybody.
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

/// Whether the other flags leave a flag without a use.
type IsIdle = fn(&Args) -> bool;

/// Flags, when they have no use, and what to do about it.
pub(crate) const IDLE: [(&str, IsIdle, &str); 4] = [
    (
        "profile",
        |args| args.only == Only::Reports,
        "an account makes its reports itself, with sql/dynamic_tables.sql: leave --profile out, and name a --landing",
    ),
    (
        "reports",
        |args| args.profile.is_some() && args.landing.is_none(),
        "an account makes its reports itself, with sql/dynamic_tables.sql: leave --reports out, or name the --landing of the \
         emulator that the profile leads to",
    ),
    (
        "warehouse",
        |args| {
            let asks = args.profile.is_some() && args.landing.is_none() && !args.no_dashboard;
            !args.verify_sql && !asks
        },
        "--warehouse is for --verify-sql and for the page of an account's reports: leave it out, or give one of --verify-sql \
         and --profile",
    ),
    (
        "queue",
        |args| args.only == Only::Reports && args.landing.is_some(),
        "reports are made of a landing alone, and --queue only says where one is: leave --queue or --landing out",
    ),
];

/// What is wrong with the flags that were given, a sentence each.
pub(crate) fn misfits(command: &Command, matches: &ArgMatches, args: &Args) -> Vec<String> {
    let given: Vec<_> = command
        .get_arguments()
        .filter(|arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine))
        .collect();
    let misfit = |arg: &&clap::Arg| {
        let id = arg.get_id().as_str();
        let idle = IDLE
            .iter()
            .find(|(flag, is_idle, _)| *flag == id && is_idle(args));
        if let Some((_, _, sentence)) = idle {
            return Some((*sentence).to_owned());
        }
        let (_, users) = USES.iter().find(|(flags, _)| flags.contains(&id))?;
        (!users.contains(&args.only)).then(|| {
            let others = users.iter().filter(|user| **user != Only::All);
            let others: Vec<_> = others.map(|user| user.flag()).collect();
            format!(
                "--{} changes nothing for {}: leave it out, or give it to {}",
                arg.get_long().unwrap_or(id),
                args.only.flag(),
                others.join(" or ")
            )
        })
    };
    given.iter().filter_map(misfit).collect()
}

impl Only {
    fn flag(self) -> String {
        let value = self.to_possible_value();
        let name = value.as_ref().map_or("", |value| value.get_name());
        format!("--only {name}")
    }
}
