//! Finds out why streaming does not work: one check after another, from the profile to a channel that is opened and dropped.
//!
//! Each check ends as *ok*, *warn*, *FAIL* or *skipped*, with a sentence and, where something is wrong, the remedy. A check
//! that needs an earlier one which failed is skipped. No secret is in a report. The command `snowpipe doctor` prints one.
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

/// Examines a profile, the way to its account and, if a pipe is named, whether rows can be streamed into it. For the last it
/// opens a channel of its own, `snowpipe-doctor-` and a number, and drops it.
///
/// Takes what came of reading a profile, so that an unreadable one is a finding as well. Nothing is repeated: what fails now
/// and then may be fine in the next report.
///
/// Cancelled while the probe channel is open, it leaves that behind; Snowflake forgets it when it was idle for thirty days.
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

/// The transport that was given, or one as a client would make it.
fn transport(options: &Options) -> Result<Arc<dyn Transport>> {
    if let Some(transport) = &options.transport {
        return Ok(Arc::clone(transport));
    }
    let builder = HttpTransport::builder().connect_timeout(options.timeout);
    Ok(Arc::new(builder.build()?))
}
