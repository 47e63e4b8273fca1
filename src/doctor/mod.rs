//! Finds out why streaming does not work, with a series of checks from the profile to a probe channel.
//!
//! Each check ends as *ok*, *warn*, *FAIL* or *skipped*, with a sentence and, if something is wrong, the remedy. A check is
//! skipped if one that it depends on failed. Reports contain no secrets. The command `snowpipe doctor` prints a report.
//!
//! ```no_run
//! use snowpipe_streaming::doctor::{self, Options};
//! use snowpipe_streaming::{PipePath, Profile};
//! # async fn example() -> snowpipe_streaming::Result<()> {
//! let pipe = PipePath::for_table("RESORT", "PUBLIC", "LIFT_RIDE")?;
//! let report = doctor::examine(Profile::from_file("profile.json"), Some(&pipe), &Options::new()).await;
//! for finding in report.findings() {
//!     println!("{finding}");
//! }
//! assert!(report.is_fine());
//! # Ok(()) }
//! ```

mod identity;
mod network;
mod options;
mod report;
mod server;

use std::sync::Arc;

use self::identity::Identity;
pub use self::options::Options;
pub use self::report::{Check, Finding, Outcome, Report};
use self::server::Server;
use crate::config::Profile;
use crate::http::{HttpTransport, Transport};
use crate::types::error::Result;
use crate::types::pipe::PipePath;

/// Examines a profile, the connection to its account and, if a pipe is given, whether rows can be streamed into it. For the
/// last check it opens and drops a probe channel named `snowpipe-doctor-` and a number.
///
/// It takes the `Result` of loading a profile, so that an unreadable profile is also a finding. Calls are not retried, so an
/// intermittent failure may be absent from the next report.
///
/// Not cancel safe: if the future is dropped while the probe channel is open, the channel stays until Snowflake removes it
/// after thirty days without use.
pub async fn examine(
    profile: Result<Profile>,
    pipe: Option<&PipePath>,
    options: &Options,
) -> Report {
    let mut report = Report::default();
    let Some(profile) = identity::profile(&mut report, profile) else {
        report.skip_the_rest("the profile cannot be used");
        return report;
    };
    let identity = Identity::examine(&mut report, &profile);
    let url = match profile.account_url() {
        Ok(url) => url,
        Err(error) => {
            report.fail(Check::Dns, &error);
            report.skip_the_rest("the account's URL is unknown");
            return report;
        }
    };
    let transport = match transport(options) {
        Ok(transport) => transport,
        Err(error) => {
            report.fail(Check::Tls, &error);
            report.skip_the_rest("no connection can be made");
            return report;
        }
    };
    if !network::account_host(&mut report, &url, &*transport, options).await {
        report.skip_the_rest("the account host cannot be reached");
        return report;
    }
    let Some(identity) = identity else {
        report.skip_the_rest("there is no credential to log in with");
        return report;
    };
    let server = Server::new(&profile, url, identity, pipe, transport, options);
    server.examine(&mut report).await;
    report.skip_the_rest("an earlier check failed");
    report
}

/// The given transport, or the default one of a client.
fn transport(options: &Options) -> Result<Arc<dyn Transport>> {
    if let Some(transport) = &options.transport {
        return Ok(Arc::clone(transport));
    }
    let builder = HttpTransport::builder().connect_timeout(options.timeout);
    Ok(Arc::new(builder.build()?))
}
