//! Finds out how an account behaves where Snowflake's documentation is silent or contradicts itself.
//!
//! A run creates a schema, carries out [experiments](experiments()) in it, and drops it. Each experiment sends requests and
//! statements, and says in a word what it has seen. The [`Report`] has these words beside what was expected, the requests and answers
//! without secrets and without the names of the account's objects, and the [`Answers`](snowpipe_streaming_emulator::answers::Answers) for the emulator. The
//! command `snowpipe conformance` prints a report.
//!
//! ```no_run
//! use snowpipe_streaming::Profile;
//! use snowpipe_cli::conformance::{self, Options};
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let profile = Profile::from_file("profile.json")?;
//! let report = conformance::run(&profile, &Options::new("SANDBOX"), std::future::pending()).await?;
//! println!("{report}");
//! # Ok(()) }
//! ```

mod comparison;
mod error;
mod experiments;
mod hidden;
mod lab;
mod options;
mod outcome;
mod report;
mod run;
mod sending;
mod service;
mod soak;
mod statements;
mod wire;

use self::service::Answer;

pub use self::comparison::{Change, compare};
pub use self::error::{Error, Result};
pub use self::experiments::{Experiment, experiments, statements};
pub use self::options::{Options, Progress};
pub use self::report::{Evidence, Finding, Report, Skipped};
pub use self::run::{drop_leftover, leftovers, run};
pub use self::service::Exchange;
pub use self::soak::{Soak, SoakChannel, SoakReport, soak};

/// Why an experiment ended without a result.
#[derive(Debug)]
struct Broken {
    why: String,
    /// Whether no further experiment can succeed.
    is_last: bool,
}

impl Broken {
    fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            is_last: false,
        }
    }

    fn last(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            is_last: true,
        }
    }

    fn without_sql() -> Self {
        Self::new("it needs statements, and they are switched off")
    }

    /// An answer that was not expected. After a refused login nothing else is tried.
    fn of(what: &str, answer: &Answer) -> Self {
        Self {
            why: format!("{what} was answered {}", answer.outcome()),
            is_last: matches!(answer.status, 401 | 403),
        }
    }
}
