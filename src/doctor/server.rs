//! The checks of the servers: login, token, role, pipe and the probe channel.

use std::sync::Arc;
use std::time::Duration;

use url::Url;
use uuid::Uuid;

use super::identity::{Identity, NO_ROLE};
use super::network;
use super::options::Options;
use super::report::{Check, Report};
use crate::api::call::Attempt;
use crate::api::failure::Failure;
use crate::api::{Api, ApiConfig};
use crate::auth::Credential;
use crate::config::Profile;
use crate::http::Transport;
use crate::types::error::ErrorKind;
use crate::types::pipe::PipePath;

/// The attempts to drop the probe channel, and the pause between them.
const DROPS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// The suffix of a table's default pipe.
const DEFAULT_PIPE: &str = "-STREAMING";

/// The checks of the account host and the ingest host.
pub(super) struct Server<'a> {
    profile: &'a Profile,
    url: Url,
    identity: Identity,
    pipe: Option<&'a PipePath>,
    transport: Arc<dyn Transport>,
    options: &'a Options,
}

impl<'a> Server<'a> {
    pub(super) fn new(
        profile: &'a Profile,
        url: Url,
        identity: Identity,
        pipe: Option<&'a PipePath>,
        transport: Arc<dyn Transport>,
        options: &'a Options,
    ) -> Self {
        Self {
            profile,
            url,
            identity,
            pipe,
            transport,
            options,
        }
    }

    /// Makes the checks until one fails on which the next ones depend.
    pub(super) async fn examine(&self, report: &mut Report) {
        let Some(api) = self.api(report, Arc::clone(&self.identity.credential)) else {
            return;
        };
        let ingest = match api.ingest_host(attempt()).await {
            Ok(ingest) => ingest,
            Err(failure) => {
                let remedy = self.login_remedy(&failure);
                return refused(report, Check::IngestHost, &failure, remedy);
            }
        };
        let text = format!("logged in; the ingest host is {}", ingest.host);
        report.ok(Check::IngestHost, text);
        let transport = &*self.transport;
        if !network::ingest_host(report, &ingest.base, transport, self.options).await {
            return;
        }
        if !self.token(report, &api).await {
            return;
        }
        let Some(pipe) = self.pipe else {
            for check in [Check::Pipe, Check::Channel, Check::Drop] {
                report.skip(check, "no pipe or table was given");
            }
            return;
        };
        if self.pipe(report, &api, pipe).await {
            self.channel(report, &api, pipe).await;
        }
    }

    fn api(&self, report: &mut Report, credential: Arc<dyn Credential>) -> Option<Api> {
        let application = match self.profile.application() {
            Ok(application) => application.map(str::to_owned),
            Err(error) => {
                report.fail(Check::IngestHost, &error);
                return None;
            }
        };
        let part = |part: fn(&PipePath) -> &str| {
            self.pipe.map_or_else(String::new, |p| part(p).to_owned())
        };
        let config = ApiConfig {
            account_url: self.url.clone(),
            account: self.profile.account().to_owned(),
            database: part(PipePath::database),
            schema: part(PipePath::schema),
            pipe: part(PipePath::pipe),
            application,
            attempt_timeout: self.options.timeout,
        };
        let (transport, time) = (Arc::clone(&self.transport), Arc::clone(&self.options.time));
        Some(Api::new(config, credential, transport, time))
    }

    /// The remedy for a login that was refused.
    fn login_remedy(&self, failure: &Failure) -> Option<String> {
        match failure.error().http_status()? {
            401 => Some(self.identity.remedy.clone()),
            403 => Some("check that account and url in the profile are right, that the user is not disabled, and that the network policy allows this machine's address".to_owned()),
            404 => Some("check account and url in the profile, and that the role has CREATE PIPE on the schema or OPERATE on a pipe".to_owned()),
            _ => None,
        }
    }

    /// Checks whether the credential is exchanged for a token with the profile's role.
    async fn token(&self, report: &mut Report, api: &Api) -> bool {
        let role = self.profile.role();
        match (api.connect(attempt()).await, role) {
            (Ok(()), role) => {
                report.ok(Check::Token, "the credential was exchanged for a token");
                report.ok(
                    Check::Role,
                    match role {
                        Some(role) => format!("the user may assume {role}"),
                        None => NO_ROLE.to_owned(),
                    },
                );
                true
            }
            (Err(failure), Some(role)) if is_refusal(&failure) => {
                self.without_role(report, &failure, role).await;
                false
            }
            (Err(failure), _) => {
                let remedy = self.login_remedy(&failure);
                refused(report, Check::Token, &failure, remedy);
                false
            }
        }
    }

    /// Finds out whether the token was refused because of the role.
    async fn without_role(&self, report: &mut Report, failure: &Failure, role: &str) {
        let default = self.profile.clone().without_role();
        let credential = default.credential().ok();
        let api = credential.and_then(|credential| self.api(report, credential));
        let is_the_role = match api {
            Some(api) => api.connect(attempt()).await.is_ok(),
            None => false,
        };
        if !is_the_role {
            return refused(report, Check::Token, failure, self.login_remedy(failure));
        }
        report.ok(Check::Token, "there is a token for the user's default role");
        let user = self.profile.user().unwrap_or("<user>");
        let remedy = format!(
            "check the spelling of the role, in the case in which Snowflake shows it; then GRANT ROLE {role} TO USER {user}"
        );
        report.fail_with(Check::Role, failure.error(), remedy);
    }

    /// Checks whether the pipe exists, or can be created by an open.
    async fn pipe(&self, report: &mut Report, api: &Api, pipe: &PipePath) -> bool {
        let probe = [probe_name()];
        let Err(failure) = api.channel_statuses(&probe, attempt()).await else {
            report.ok(
                Check::Pipe,
                format!("{pipe} exists, and the role can see it"),
            );
            return true;
        };
        let is_unseen = failure.code().is_some_and(is_of_place);
        if failure.error().kind() == ErrorKind::NotFound && default_of(pipe).is_some() && !is_unseen
        {
            // An open creates the pipe.
            let text = format!(
                "{pipe} does not exist yet: Snowflake creates a table's default pipe when it is first used"
            );
            report.warn(
                Check::Pipe,
                text,
                "the next check shows whether a channel can be opened on it",
            );
            return true;
        }
        refused(
            report,
            Check::Pipe,
            &failure,
            self.pipe_remedy(&failure, pipe),
        );
        false
    }

    fn pipe_remedy(&self, failure: &Failure, pipe: &PipePath) -> Option<String> {
        let role = self.profile.role().unwrap_or("<role>");
        let (database, schema) = (pipe.database(), pipe.schema());
        if failure
            .code()
            .is_some_and(|code| code.contains("LIMIT_EXCEEDED"))
        {
            return Some(format!(
                "drop unused channels, which SHOW CHANNELS IN PIPE {pipe} lists, or ask Snowflake to raise the limit"
            ));
        }
        if failure.code().is_some_and(is_of_place) {
            let under = match self.profile.role() {
                Some(role) => format!("the role is {role}"),
                None => NO_ROLE.to_owned(),
            };
            return Some(format!(
                "{under}; check that it is the right one, and the names of database and schema, in the case in which Snowflake stores them; GRANT USAGE ON DATABASE {database} TO ROLE {role}; GRANT USAGE ON SCHEMA {database}.{schema} TO ROLE {role}"
            ));
        }
        match failure.error().http_status()? {
            401 => Some("run this again; if it fails again, the ingest host refuses the account host's token: contact Snowflake's support".to_owned()),
            403 => Some(format!(
                "GRANT USAGE ON DATABASE {database} TO ROLE {role}; GRANT USAGE ON SCHEMA {database}.{schema} TO ROLE {role}; GRANT OPERATE ON PIPE {pipe} TO ROLE {role}; and INSERT on the table"
            )),
            404 => Some(match default_of(pipe) {
                Some(table) => format!(
                    "check that the table {database}.{schema}.{table} exists, in the case in which Snowflake stores names; {role} needs USAGE on database and schema, INSERT on the table and CREATE PIPE on the schema"
                ),
                None => format!(
                    "check the three names, in the case in which Snowflake stores them: SHOW PIPES IN SCHEMA {database}.{schema} lists what {role} can see; the role needs USAGE on database and schema, OPERATE on the pipe and INSERT on the table"
                ),
            }),
            _ => None,
        }
    }

    /// Opens the probe channel and drops it.
    async fn channel(&self, report: &mut Report, api: &Api, pipe: &PipePath) {
        let name = probe_name();
        match api.open_channel(&name, None, false, attempt()).await {
            Ok(opened) => match opened.status.filter(|status| !status.is_healthy()) {
                None => report.ok(Check::Channel, format!("{name} was opened")),
                Some(status) => {
                    let code = status.status_code();
                    let text = format!("{name} was opened, and its status is {code}");
                    let remedy = format!(
                        "repair the pipe and its table: DESC PIPE {pipe}; the target must be a table that accepts rows, and the role needs INSERT on it"
                    );
                    report.fail_as(Check::Channel, text, remedy);
                }
            },
            Err(failure) => {
                let may_be_open = matches!(failure, Failure::Ambiguous(_));
                refused(
                    report,
                    Check::Channel,
                    &failure,
                    self.pipe_remedy(&failure, pipe),
                );
                if !may_be_open {
                    report.skip(Check::Drop, "no channel was opened");
                    return;
                }
            }
        }
        drop_probe(report, api, &name).await;
    }
}

async fn drop_probe(report: &mut Report, api: &Api, name: &str) {
    let mut attempt = attempt();
    loop {
        let failure = match api.drop_channel(name, false, attempt).await {
            Ok(()) => return report.ok(Check::Drop, format!("{name} was dropped")),
            Err(failure) if failure.error().kind() == ErrorKind::NotFound => {
                return report.ok(Check::Drop, format!("{name} no longer exists"));
            }
            Err(failure) => failure,
        };
        attempt.retry_count += 1;
        if attempt.retry_count >= DROPS || !failure.error().is_retryable() {
            let remedy = format!(
                "Snowflake removes {name} after thirty days without use; it contains no rows and does no harm"
            );
            return report.fail_with(Check::Drop, failure.error(), remedy);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn refused(report: &mut Report, check: Check, failure: &Failure, remedy: Option<String>) {
    match (failure, remedy) {
        (Failure::Throttled(_), _) => {
            let remedy = "wait a minute and run this again; if it fails again, find out which other programs use this account";
            report.fail_with(check, failure.error(), remedy);
        }
        (_, Some(remedy)) => report.fail_with(check, failure.error(), remedy),
        (_, None) => report.fail(check, failure.error()),
    }
}

/// Whether the server refused the request, possibly because of the role.
fn is_refusal(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::AccountRefused(_) | Failure::Answered { .. }
    )
}

/// Whether a code says that the database or schema is not there or not visible to the role.
fn is_of_place(code: &str) -> bool {
    code.starts_with("ERR_DATABASE_DOES") || code.starts_with("ERR_SCHEMA_DOES")
}

/// The table of a default pipe; `None` for other pipes.
fn default_of(pipe: &PipePath) -> Option<&str> {
    let name = pipe.pipe();
    let (table, suffix) = name.split_at_checked(name.len().checked_sub(DEFAULT_PIPE.len())?)?;
    suffix.eq_ignore_ascii_case(DEFAULT_PIPE).then_some(table)
}

fn attempt() -> Attempt {
    Attempt {
        request_id: Uuid::from_u128(fastrand::u128(..)),
        retry_count: 0,
    }
}

fn probe_name() -> String {
    format!("snowpipe-doctor-{:016x}", fastrand::u64(..))
}
