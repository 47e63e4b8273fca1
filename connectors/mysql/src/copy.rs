//! Copies tables and follows their changes: a channel for each range of each table, and one for its changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::{BoxFuture, FutureExt as _, join_all};
use mysql_async::Conn;
use snowpipe_connector_support::data_file::create_parent;
use snowpipe_connector_support::keyset::{Keyset, Pages};
use snowpipe_streaming::StreamingIngestClient;
use snowpipe_streaming::ingest::{self, Finish, Report, Source};
use tokio::sync::watch;
use tokio::time::{Instant, interval_at, sleep, timeout};

use crate::changes::{self, Changes, ChangesError, Place, Start};
use crate::cli::{CopyArgs, DdlArgs};
use crate::connection::Database;
use crate::ddl::{self, TablePath};
use crate::pages::{Range, TablePages};
use crate::people_pages::{self, GOLD, GoldPages};
use crate::plan::{self, Plan};
use crate::schema::Table;
use crate::target::Target;
use crate::{key, schema, sql, types};

/// How many rows are read at once, and how many of a channel may be uncommitted.
const PAGE_ROWS: usize = 5_000;
const MOST_IN_FLIGHT: u64 = 50_000;
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// How long a database that is away at the start is waited for.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the questions about the log may take.
const LOG_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_START_PAUSE: Duration = Duration::from_secs(5);

/// A table that is copied.
struct Copied {
    source: Arc<Table>,
    path: TablePath,
    gold: Option<TablePath>,
}

/// What all runs of the program share.
struct Run<'a> {
    args: &'a CopyArgs,
    database: Database,
    target: Target,
    client: StreamingIngestClient,
    /// Becomes true when the program is asked to end, or a run has failed.
    stop: watch::Sender<bool>,
    committed: AtomicU64,
}

/// Copies until `stop` is true, and drains. Returns whether everything that was asked for is done.
///
/// # Errors
/// If the source or the target cannot be used.
pub(crate) async fn run(args: &CopyArgs, mut stop: watch::Receiver<bool>) -> Result<bool> {
    let source = &args.source;
    let database = Database::new(
        &source.source,
        source.password_file.as_deref(),
        source.ca.as_deref(),
    )?;
    let mut conn = connect(&database).await?;
    let tables = tables(&mut conn, &database, args).await?;
    if !args.snapshot_only {
        let sources = tables.iter().map(|table| Arc::clone(&table.source));
        within(changes::check(&mut conn, &sources.collect::<Vec<_>>())).await?;
    }
    create_parent(&args.rejects)?;
    let target = Target::open(&args.target, script(&tables)?).await?;
    let first = tables.first().context("there is no table")?;
    let client = target
        .client(first.path.sibling(plan::TABLE).pipe()?)
        .await?;
    let (stopping, _) = watch::channel(false);
    let run = Run {
        args,
        database,
        target,
        client,
        stop: stopping,
        committed: AtomicU64::new(0),
    };
    let finished = tokio::select! {
        finished = run.all(conn, &tables) => finished,
        () = async {
            // Without a sender nothing asks the program to end.
            if stop.wait_for(|stop| *stop).await.is_ok() {
                run.stop.send_replace(true);
            }
            std::future::pending::<()>().await;
        } => Ok(false),
    };
    let closed = run.client.close().await;
    run.target.close().await;
    match types::zero_dates() {
        0 => {}
        count => println!("{count} dates whose month or day is 0 are null"),
    }
    // What ended the run explains why the client could not be closed, too.
    let is_done = finished?;
    closed?;
    Ok(is_done)
}

/// The statements that make the tables.
///
/// # Errors
/// As of [`run`].
pub(crate) async fn ddl(
    DdlArgs {
        copy: args,
        views,
        warehouse,
        lag,
    }: &DdlArgs,
) -> Result<String> {
    let source = &args.source;
    let database = Database::new(
        &source.source,
        source.password_file.as_deref(),
        source.ca.as_deref(),
    )?;
    let mut conn = database.connect().await?;
    let tables = tables(&mut conn, &database, args).await?;
    let mut script = script(&tables)?;
    for Copied { source, path, .. } in &tables {
        if let Some(warehouse) = warehouse {
            script += &sql::current_dynamic_table(source, path.target(), warehouse, lag);
        } else if *views {
            script += &sql::current_view(source, path.target());
        }
    }
    Ok(script)
}

/// Connects, and waits a while for a database that is away.
async fn connect(database: &Database) -> Result<Conn> {
    let until = Instant::now() + START_TIMEOUT;
    let mut pause = Duration::from_millis(100);
    loop {
        match database.connect().await {
            Ok(conn) => return Ok(conn),
            Err(error) if error.is_temporary() && Instant::now() < until => {
                eprintln!("waiting for {database}: {error}");
                sleep(pause).await;
                pause = (pause * 2).min(MAX_START_PAUSE);
            }
            Err(error) => return Err(error).with_context(|| format!("cannot use {database}")),
        }
    }
}

async fn tables(conn: &mut Conn, database: &Database, args: &CopyArgs) -> Result<Vec<Copied>> {
    let mut tables: Vec<Copied> = Vec::new();
    for table in &args.tables {
        let source = schema::load(conn, database.name(), &table.name).await?;
        key::check(&source)?;
        for column in &source.columns {
            types::check(column).with_context(|| format!("the table {}", table.name))?;
        }
        let is_new = tables
            .iter()
            .all(|known| known.path != table.path && known.source.name != table.name);
        ensure!(
            is_new,
            "the table {} or its target is given twice",
            table.name
        );
        let gold = args.gold.as_ref().filter(|gold| gold.name == table.name);
        if gold.is_some() {
            people_pages::check(&source)?;
        }
        tables.push(Copied {
            source: Arc::new(source),
            path: table.path.clone(),
            gold: gold.map(|gold| gold.path.clone()),
        });
    }
    let gold = tables.iter().filter(|table| table.gold.is_some()).count();
    ensure!(
        args.gold.is_none() || gold == 1,
        "--gold names a table that no --table names"
    );
    Ok(tables)
}

fn script(tables: &[Copied]) -> Result<String> {
    let targets: Vec<_> = tables
        .iter()
        .map(|table| ddl::Target {
            source: &table.source,
            path: &table.path,
        })
        .collect();
    let gold = tables.iter().filter_map(|table| table.gold.clone());
    let gold: Vec<_> = gold.map(|path| (path, GOLD)).collect();
    ddl::script(&targets, &gold)
}

impl Run<'_> {
    async fn all(&self, mut conn: Conn, tables: &[Copied]) -> Result<bool> {
        let mut plans = Vec::new();
        for table in tables {
            plans.push(self.plan(table, &mut conn).await?);
        }
        // The database would close an idle connection before a long copy ends.
        drop(conn);
        let progress = async {
            let mut looks = interval_at(Instant::now() + REPORT_EVERY, REPORT_EVERY);
            loop {
                looks.tick().await;
                println!("{} rows committed", self.committed.load(Ordering::Relaxed));
            }
        };
        let work = async {
            let mut runs: Vec<BoxFuture<'_, Result<bool>>> = Vec::new();
            for (table, plan) in tables.iter().zip(&plans) {
                runs.push(self.snapshot(table, plan).boxed());
                if let (Some(_), false) =
                    (&plan.log, self.args.until_now || self.args.snapshot_only)
                {
                    runs.push(self.changes(table, plan, None).boxed());
                }
            }
            let mut is_done = self.join(runs).await?;
            if self.args.until_now && is_done {
                let mut conn = connect(&self.database).await?;
                let end = within(changes::end_of_log(&mut conn)).await?;
                let runs = tables.iter().zip(&plans);
                let runs = runs.map(|(table, plan)| self.changes(table, plan, Some(end)).boxed());
                is_done = self.join(runs.collect()).await?;
            }
            Ok(is_done)
        };
        tokio::select! {
            done = work => done,
            () = progress => Ok(false),
        }
    }

    /// Waits for all. When one fails, the others drain and end as well.
    async fn join(&self, runs: Vec<BoxFuture<'_, Result<bool>>>) -> Result<bool> {
        let runs = runs.into_iter().map(|run| async {
            let done = run.await;
            if done.is_err() {
                self.stop.send_replace(true);
            }
            done
        });
        let mut all = true;
        for done in join_all(runs).await {
            all &= done?;
        }
        Ok(all)
    }

    async fn plan(&self, table: &Copied, conn: &mut Conn) -> Result<Plan> {
        let client = self
            .client
            .for_pipe(table.path.sibling(plan::TABLE).pipe()?);
        let follows = !self.args.snapshot_only;
        let key = plan::order(conn, &table.source).await?;
        let make = async || {
            let log = if follows {
                Some(within(changes::start(conn)).await?.to_string())
            } else {
                None
            };
            let bounds = plan::bounds(conn, &table.source, self.args.channels).await?;
            Ok(Plan::new(log, key.clone(), bounds))
        };
        let plan = plan::agree(&client, &self.channel(table, "plan"), make).await?;
        ensure!(
            plan.key == key,
            "the primary key of the table {} was ({}) when its copy began, and is ({}) now, so it is not known which rows are \
             copied: copy it again with another --source-id into an empty table",
            table.source.name,
            plan.key.join(", "),
            key.join(", ")
        );
        ensure!(
            !follows || plan.log.is_some(),
            "the table {} was copied with --snapshot-only, so it is not known where its changes begin: go on with \
             --snapshot-only, or copy it again with another --source-id into an empty table",
            table.source.name
        );
        Ok(plan)
    }

    /// The name of a channel of a table.
    fn channel(&self, table: &Copied, part: &str) -> String {
        let Table { database, name, .. } = &*table.source;
        format!("mariadb:{}:{database}.{name}:{part}", self.args.source_id)
    }

    /// Copies the rows of a table, and its gold rows.
    async fn snapshot(&self, table: &Copied, plan: &Plan) -> Result<bool> {
        let pages = |range| {
            let (database, source) = (self.database.clone(), Arc::clone(&table.source));
            TablePages::new(database, source, range)
        };
        let raw = self.client.for_pipe(table.path.pipe()?);
        let raw = self.ranges(table, "", &raw, plan, pages);
        let Some(gold) = &table.gold else {
            return raw.await;
        };
        let gold = self.client.for_pipe(gold.pipe()?);
        let gold = self.ranges(table, "gold:", &gold, plan, |range| GoldPages(pages(range)));
        self.join(vec![raw.boxed(), gold.boxed()]).await
    }

    /// Copies all ranges, each through a channel whose name has this prefix.
    async fn ranges<P: Pages>(
        &self,
        table: &Copied,
        prefix: &str,
        client: &StreamingIngestClient,
        plan: &Plan,
        pages: impl Fn(Range) -> P,
    ) -> Result<bool> {
        let began = Instant::now();
        let ranges = plan.ranges();
        let count = ranges.len();
        let (rows, rejected) = (AtomicU64::new(0), AtomicU64::new(0));
        let ranges = ranges.into_iter().enumerate().map(|(number, range)| {
            let channel = self.channel(table, &format!("{prefix}{number}-of-{count}"));
            let (pages, rows, rejected) = (pages(range), &rows, &rejected);
            async move {
                let target = self.target.name().to_owned();
                let mut source = Keyset::new(pages, &self.args.rejects, target)?;
                let report = self.ingest(client, channel, &mut source).await?;
                rows.fetch_add(report.rows_committed, Ordering::Relaxed);
                rejected.fetch_add(report.rows_rejected, Ordering::Relaxed);
                Ok(report.finish == Finish::Exhausted)
            }
            .boxed()
        });
        let is_done = self.join(ranges.collect()).await?;
        let seconds = began.elapsed().as_secs_f64();
        let (rows, rejected) = (rows.into_inner(), rejected.into_inner());
        let name = format!("{prefix}{}", table.source.name);
        println!("{name}: {rows} rows in {count} channels, {seconds:.1} s, {rejected} rejected");
        if rejected > 0 {
            let file = self.args.rejects.display();
            println!("{name}: the requests with rejected rows are in {file}");
        }
        Ok(is_done && rejected == 0)
    }

    /// Follows the changes of a table.
    async fn changes(&self, table: &Copied, plan: &Plan, until: Option<Place>) -> Result<bool> {
        let start: Start = plan.log.as_deref().context("there is no start")?.parse()?;
        let client = self.client.for_pipe(table.path.changes().pipe()?);
        let channel = self.channel(table, "changes");
        let opts = self.database.opts();
        let mut changes = Changes::new(opts, &channel, vec![Arc::clone(&table.source)], start)
            .with_before(self.args.before);
        if let Some(until) = until {
            changes = changes.until(until);
        }
        let report = self.ingest(&client, channel, &mut changes).await?;
        let (name, rows) = (&table.source.name, report.rows_committed);
        println!("{name}: {rows} changes");
        Ok(until.is_none() || report.finish == Finish::Exhausted)
    }

    async fn ingest<S: Source>(
        &self,
        client: &StreamingIngestClient,
        channel: String,
        source: &mut S,
    ) -> Result<Report<S::Offset>> {
        let mut stop = self.stop.subscribe();
        let mut counted = 0;
        let report = ingest::run(client, channel, source)
            .batch_rows(PAGE_ROWS)
            .max_in_flight(MOST_IN_FLIGHT)
            .drain_timeout(self.args.drain_timeout)
            .observe(|progress| {
                let new = progress.rows_committed.saturating_sub(counted);
                counted = progress.rows_committed;
                self.committed.fetch_add(new, Ordering::Relaxed);
            })
            .until(async move {
                // The sender lives as long as the run.
                let _ = stop.wait_for(|stop| *stop).await;
            })
            .await?;
        Ok(report)
    }
}

/// Waits for the answers of the database about its log, for a limited time.
async fn within<T>(answer: impl Future<Output = Result<T, ChangesError>>) -> Result<T> {
    let answer = timeout(LOG_TIMEOUT, answer).await;
    Ok(answer.context("the database did not answer in time: check it, and start again")??)
}
