//! A run: it creates the schema, carries out the experiments, and drops the schema whatever happens.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Broken;
use super::experiments::{Experiment, experiments};
use super::hidden::Hidden;
use super::lab::{Lab, Place};
use super::options::{Options, Progress};
use super::report::{Evidence, Report, Skipped};
use super::service::Service;
use super::statements::first_cell;
use crate::conformance::error::{Error, Result};
use snowpipe_streaming::Profile;
use snowpipe_streaming::sql::{Rows, SqlClient, Statement};
use snowpipe_streaming::transport::Transport;
use url::Url;

/// What the names of schemas begin with.
const PREFIX: &str = "SNOWPIPE_CONFORMANCE_";

/// Carries out the experiments, and returns what they have found.
///
/// If `stop` resolves, no further experiment begins, the experiment at hand is given up, and the schema is dropped.
///
/// Not cancel safe: if the future is dropped, the schema stays. [`leftovers`] finds it.
///
/// # Errors
///
/// [`Error::Config`] if the profile is incomplete or logs in with a workload identity, or if an experiment of [`Options::only`] does
/// not exist, and any error of creating the schema. What happens later is in the report.
pub async fn run(
    profile: &Profile,
    options: &Options,
    stop: impl Future<Output = ()> + Send,
) -> Result<Report> {
    let chosen = chosen(options)?;
    let credential = profile.credential()?;
    if !credential.is_exchanged() {
        let message = "the experiments exchange the credential for a token, which is not done with a workload identity: use a profile with a key pair, an access token or OAuth";
        return Err(Error::Config(message.into()));
    }
    let transport = transport(options)?;
    let mut place = new_place(&options.database);
    if let Some(schema) = &options.schema {
        place.schema.clone_from(schema);
    }
    let mut hidden = Hidden::of(profile, &place.database);
    hidden.name(&place.schema, "<schema>");
    let service = Service::new(
        account_url(profile)?,
        credential,
        sql_client(profile, options, Arc::clone(&transport))?,
        Arc::clone(&transport),
        Arc::clone(&options.time),
        options.timeout,
        hidden,
    );
    let sql = match &options.schema {
        Some(_) => None,
        None => Some(sql_client(profile, options, transport)?),
    };
    let began = jiff::Timestamp::try_from(options.time.now()).unwrap_or_default();
    let mut run = Run {
        options,
        service,
        sql,
        place,
        report: Report::new(format!("{began:.0}"), options.runs),
    };
    run.carry_out(&chosen, stop).await?;
    Ok(run.report)
}

/// The schemas of the database that earlier runs have left behind, because they were killed.
///
/// Cancel safe.
///
/// # Errors
///
/// Those of [`SqlClient::query`].
pub async fn leftovers(profile: &Profile, options: &Options) -> Result<Vec<String>> {
    let sql = sql_client(profile, options, transport(options)?)?;
    let statement = format!(
        "SHOW SCHEMAS LIKE '{PREFIX}%' IN DATABASE {}",
        quoted(&options.database)
    );
    let rows = sql.query(&Statement::new(statement)).await?;
    let place = rows.columns.iter().position(|column| column == "name");
    let place = place.ok_or_else(|| {
        let message = "SHOW SCHEMAS has no column \"name\"; check the account's URL";
        Error::Unexpected(message.into())
    })?;
    let names = rows.rows.into_iter();
    let names = names.filter_map(|row| row.into_iter().nth(place).flatten());
    Ok(names.filter(|name| name.starts_with(PREFIX)).collect())
}

/// Drops a schema that [`leftovers`] has found.
///
/// # Errors
///
/// Those of [`SqlClient::query`], and [`Error::Config`] if the schema is not one of a run.
pub async fn drop_leftover(profile: &Profile, options: &Options, schema: &str) -> Result<()> {
    if !schema.starts_with(PREFIX) {
        let message = format!("{schema} is no schema of a conformance run, so it is not dropped");
        return Err(Error::Config(message));
    }
    let sql = sql_client(profile, options, transport(options)?)?;
    let place = Place {
        database: options.database.clone(),
        schema: schema.to_owned(),
    };
    drop_schema(&sql, &place).await.map(drop)
}

/// A schema that does not exist yet.
pub(super) fn new_place(database: &str) -> Place {
    Place {
        database: database.to_owned(),
        schema: format!("{PREFIX}{:08X}", fastrand::u32(..)),
    }
}

/// The experiments that the options choose.
fn chosen(options: &Options) -> Result<Vec<&'static Experiment>> {
    let all = experiments();
    let unknown = |id: &&String| !all.iter().any(|one| one.id.eq_ignore_ascii_case(id));
    if let Some(id) = options.only.iter().find(unknown) {
        let message = format!("there is no experiment {id:?}; list the experiments");
        return Err(Error::Config(message));
    }
    let is_chosen = |one: &&Experiment| {
        let mut only = options.only.iter();
        let is_named = only.any(|id| one.id.eq_ignore_ascii_case(id));
        is_named || options.only.is_empty() && !one.is_opt_in
    };
    Ok(all.iter().filter(is_chosen).collect())
}

pub(super) fn transport(options: &Options) -> Result<Arc<dyn Transport>> {
    match &options.transport {
        Some(transport) => Ok(Arc::clone(transport)),
        None => Ok(Arc::new(options.http.clone().build()?)),
    }
}

pub(super) fn sql_client(
    profile: &Profile,
    options: &Options,
    transport: Arc<dyn Transport>,
) -> Result<SqlClient> {
    let builder = SqlClient::builder(profile.clone()).transport(transport);
    Ok(builder.time_source(Arc::clone(&options.time)).build()?)
}

/// The checked URL of the account.
fn account_url(profile: &Profile) -> Result<Url> {
    let url = profile.url()?;
    url.parse()
        .map_err(|why| Error::Config(format!("the account URL {url:?} is not a URL: {why}")))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(super) fn quoted_schema(place: &Place) -> String {
    format!("{}.{}", quoted(&place.database), quoted(&place.schema))
}

pub(super) async fn drop_schema(sql: &SqlClient, place: &Place) -> Result<Rows> {
    let statement = format!("DROP SCHEMA IF EXISTS {} CASCADE", quoted_schema(place));
    Ok(sql.query(&Statement::new(statement)).await?)
}

struct Run<'o> {
    options: &'o Options,
    service: Service,
    /// None if statements are switched off.
    sql: Option<SqlClient>,
    place: Place,
    report: Report,
}

impl Run<'_> {
    async fn carry_out(
        &mut self,
        chosen: &[&'static Experiment],
        stop: impl Future<Output = ()> + Send,
    ) -> Result<()> {
        self.options.progress(Progress::Preparing);
        if let Some(sql) = &self.sql {
            let create = format!("CREATE SCHEMA {}", quoted_schema(&self.place));
            sql.query(&Statement::new(create)).await?;
            let version = Statement::new("SELECT CURRENT_VERSION()");
            let version = sql.query(&version).await.ok();
            let version =
                version.and_then(|rows| rows.rows.into_iter().next()?.into_iter().next()?);
            self.report.service = version;
            self.hide_defaults().await;
        }
        let ended = tokio::select! {
            biased;
            () = stop => Err("the run was stopped".to_owned()),
            ended = self.experiments(chosen) => ended,
        };
        if let Err(why) = ended {
            self.skip_the_rest(chosen, &why);
        }
        self.options.progress(Progress::CleaningUp);
        if let Some(sql) = &self.sql
            && let Err(why) = drop_schema(sql, &self.place).await
        {
            tracing::warn!(%why, "the schema could not be dropped");
            let schema = quoted_schema(&self.place);
            self.report
                .left_behind
                .push(self.service.hidden.hide(&schema));
            self.options.progress(Progress::LeftBehind { schema });
        }
        self.report.conclude();
        Ok(())
    }

    /// Hides the names that a profile leaves to the account.
    async fn hide_defaults(&mut self) {
        let Some(sql) = &self.sql else { return };
        for (function, place) in [
            ("CURRENT_USER", "<user>"),
            ("CURRENT_ROLE", "<role>"),
            ("CURRENT_WAREHOUSE", "<warehouse>"),
            ("CURRENT_ACCOUNT", "<account>"),
            ("CURRENT_ACCOUNT_NAME", "<account>"),
            ("CURRENT_ORGANIZATION_NAME", "<organization>"),
        ] {
            let statement = Statement::new(format!("SELECT {function}()"));
            match sql.query(&statement).await.map(first_cell) {
                // A shorter name says nothing, and may be a word of an answer.
                Ok(Some(name)) if name != "NULL" && name.len() > 2 => {
                    self.service.hidden.name(&name, place);
                }
                Ok(_) => {}
                Err(why) => tracing::debug!(%why, function, "a name is not known"),
            }
        }
    }

    /// Carries out the experiments; the error is why the rest cannot be.
    async fn experiments(
        &mut self,
        chosen: &[&'static Experiment],
    ) -> std::result::Result<(), String> {
        let of = chosen.len() * usize::try_from(self.options.runs).unwrap_or(usize::MAX);
        let mut done = 0;
        for number in 1..=self.options.runs {
            for experiment in chosen {
                let id = experiment.id;
                self.options.progress(Progress::Experiment { id, done, of });
                done += 1;
                if let Err(broken) = self.experiment(experiment, number).await {
                    tracing::debug!(id, why = broken.why, "no result");
                    let is_known = self.report.skipped.iter().any(|one| one.id == id);
                    if !is_known {
                        self.report.skipped.push(Skipped {
                            id: id.to_owned(),
                            why: broken.why.clone(),
                        });
                    }
                    if broken.is_last {
                        return Err(broken.why);
                    }
                }
            }
        }
        Ok(())
    }

    async fn experiment(
        &mut self,
        experiment: &'static Experiment,
        number: u32,
    ) -> std::result::Result<(), Broken> {
        if experiment.needs_statements && self.sql.is_none() {
            return Err(Broken::without_sql());
        }
        if let Some(sql) = &self.sql {
            for statement in experiment.setup(&self.place, number) {
                let created = sql.query(&Statement::new(statement)).await;
                created.map_err(|why| Broken::new(self.service.hidden.hide(&why.to_string())))?;
            }
        }
        let (sql, place) = (self.sql.as_ref(), &self.place);
        let mut lab = Lab::new(&mut self.service, sql, place, experiment.id, number);
        let ended = experiment.carry_out(&mut lab).await;
        let seen = std::mem::take(&mut lab.seen);
        for one in seen {
            let word = self.service.hidden.hide(&one.word);
            self.report.note(experiment, one.what, word);
        }
        self.report.evidence.push(Evidence {
            id: experiment.id.to_owned(),
            run: number,
            exchanges: std::mem::take(&mut self.service.evidence),
        });
        ended.map_err(|broken| Broken {
            why: self.service.hidden.hide(&broken.why),
            ..broken
        })
    }

    /// Notes why the experiments without findings have none.
    fn skip_the_rest(&mut self, chosen: &[&'static Experiment], why: &str) {
        let found = self
            .report
            .findings
            .iter()
            .map(|finding| finding.id.as_str());
        let skipped = self.report.skipped.iter().map(|one| one.id.as_str());
        let known: BTreeSet<String> = found.chain(skipped).map(str::to_owned).collect();
        for experiment in chosen.iter().filter(|one| !known.contains(one.id)) {
            self.report.skipped.push(Skipped {
                id: experiment.id.to_owned(),
                why: why.to_owned(),
            });
        }
    }
}
