//! A conformance run against an emulator finds exactly what the emulator was told to play.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod delays;

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use snowpipe_cli::conformance::{self, Options, Report, Soak};
use snowpipe_streaming::Profile;
use snowpipe_streaming::auth::WorkloadIdentityProvider;
use snowpipe_streaming::time::TokioClock;
use snowpipe_streaming_emulator::answers::{Answers, POINTS};
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{
    Emulator, EmulatorBuilder, Endpoint, Fault, Limits, MemoryTransport,
};

const DATABASE: &str = "SANDBOX";

pub(crate) struct Account {
    emulator: Emulator,
    clock: TokioClock,
}

impl Account {
    /// An account in the time zone that accounts have by default, without limits of rates.
    pub(crate) fn with(configure: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder) -> Self {
        let mut limits = Limits::default();
        limits.requests_per_second = None;
        let catalog = Catalog::anything().with_timezone("America/Los_Angeles");
        let builder = Emulator::builder().limits(limits).catalog(catalog.unwrap());
        let epoch = SystemTime::UNIX_EPOCH + Duration::from_secs(1_768_658_400);
        Self {
            emulator: configure(builder).build().unwrap(),
            clock: TokioClock::starting_at(epoch),
        }
    }

    pub(crate) fn transport(&self) -> MemoryTransport {
        MemoryTransport::new(self.emulator.clone(), Arc::new(self.clock))
    }

    pub(crate) fn options(&self) -> Options {
        let options = Options::new(DATABASE).time_source(self.clock);
        options.transport(self.transport())
    }

    pub(crate) async fn run(&self, options: &Options) -> Report {
        let profile = self.emulator.profile().unwrap();
        let report = conformance::run(&profile, options, pending()).await;
        report.unwrap()
    }
}

fn words(report: &Report, what: &str) -> Vec<String> {
    report
        .finding(what)
        .map_or_else(Vec::new, |found| found.seen.clone())
}

#[tokio::test(start_paused = true)]
async fn a_run_against_the_defaults_finds_what_is_expected_and_leaves_nothing() {
    let account = Account::with(|e| e);
    let report = account.run(&account.options()).await;
    assert!(report.is_as_expected(), "{report}");
    assert_eq!(report.unsure, Vec::<String>::new(), "{report}");
    let answers = Answers::from_json(&serde_json::to_string(&report).unwrap()).unwrap();
    assert_eq!(answers, Answers::default());
    let found: Vec<&str> = report
        .findings
        .iter()
        .map(|one| one.what.as_str())
        .collect();
    for point in POINTS {
        assert!(
            found.contains(&point.key),
            "no experiment finds {}",
            point.key
        );
    }
    let profile = account.emulator.profile().unwrap();
    let left = conformance::leftovers(&profile, &account.options()).await;
    assert_eq!(left.unwrap(), Vec::<String>::new());
}

/// redpanda-data/connect (`streaming_pipe_scope_probe_it_test.go`) and littleK0i/SnowDDL (test PI004) saw both on accounts.
#[tokio::test(start_paused = true)]
async fn the_tokens_that_others_use_are_tried() {
    let account = Account::with(|e| e);
    let text = account.emulator.profile_json("http://127.0.0.1");
    let mut fields: Value = serde_json::from_str(&text).unwrap();
    fields["role"] = "LOADER".into();
    let profile = Profile::from_json(&fields.to_string()).unwrap();
    let options = account.options().only(["E39"]);
    let report = conformance::run(&profile, &options, pending()).await;
    let report = report.unwrap();
    assert!(report.is_as_expected(), "{report}");
    assert_eq!(words(&report, "scope.role_only"), ["200", "200"]);
    assert_eq!(words(&report, "open.on_account_host"), ["200", "200"]);
}

/// supabase/etl (`tests/snowflake/large_rows.rs`) saw several frames in a body and large windows on an account.
#[tokio::test(start_paused = true)]
async fn compressed_bodies_and_rejects_of_elastic_appends_are_tried() {
    let account = Account::with(|e| e);
    let report = account.run(&account.options().only(["E22", "E40"])).await;
    assert!(report.is_as_expected(), "{report}");
    assert_eq!(words(&report, "body.frames"), ["many", "many"]);
    assert_eq!(words(&report, "body.window_log"), ["27", "27"]);
    assert_eq!(words(&report, "elastic.error_table"), ["100038", "100038"]);
}

#[tokio::test(start_paused = true)]
async fn the_first_commit_of_a_table_and_the_open_after_it_was_made_again_are_timed() {
    let answers = Answers::default().with("tables.recreated_table", "not_yet");
    let delay = Duration::from_secs(7);
    let account = Account::with(|e| e.answers(answers.unwrap()).commit_delay(delay));
    let report = account.run(&account.options().only(["E26", "E34"])).await;
    for first in words(&report, "first_commit_s") {
        assert!((7.0..9.0).contains(&first.parse().unwrap()), "{first}");
    }
    for seconds in words(&report, "reopen_after_drop_s") {
        assert!((80..=121).contains(&seconds.parse().unwrap()), "{seconds}");
    }
    assert_eq!(words(&report, "reopen_after_drop_s").len(), 2);
}

/// The zone of the account and UTC are the same, so an answer about them is neither expected nor different.
#[tokio::test(start_paused = true)]
async fn an_account_in_utc_is_not_asked_about_zones() {
    let account = Account::with(|e| e.catalog(Catalog::anything()));
    let report = account.run(&account.options().only(["E14"])).await;
    assert!(report.is_as_expected(), "{report}");
    assert!(report.finding("values.text_zone").is_none(), "{report}");
    let seen = words(&report, "zone.text");
    assert!(seen.iter().all(|word| word.contains("UTC")), "{report}");
    assert_eq!(seen.len(), 2);
}

#[test]
fn the_guide_lists_the_experiments() {
    let page = include_str!("../../src/guide/conformance.md");
    for one in conformance::experiments() {
        let line = format!("| {} | {} | {} |", one.id, one.question, one.meaning);
        assert!(page.contains(&line), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_answer_that_is_played_is_found() {
    let reference = Account::with(|e| e);
    let reference = reference.run(&reference.options().runs(1)).await;
    for point in POINTS {
        let experiment = &reference.finding(point.key).unwrap().id;
        for word in point.words {
            let played = Answers::default().with(point.key, word).unwrap();
            let account = Account::with(|e| e.answers(played));
            let report = account.run(&account.options().only([experiment])).await;
            let text = serde_json::to_string(&report).unwrap();
            let found = Answers::from_json(&text).unwrap();
            assert_eq!(found, played, "{} {word}: {report}", point.key);
            assert_eq!(words(&report, point.key), [*word, *word]);
            let is_default = *word == point.words[0];
            let is_expected = report.finding(point.key).unwrap().is_expected();
            assert_eq!(is_expected, Some(is_default));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn all_answers_at_once_are_told_apart() {
    let mut rng = fastrand::Rng::with_seed(21);
    let reference = Account::with(|e| e);
    let reference = reference.run(&reference.options().runs(1)).await;
    let ids = POINTS
        .iter()
        .map(|point| &reference.finding(point.key).unwrap().id);
    let ids: BTreeSet<&String> = ids.collect();
    for _ in 0..20 {
        let played = POINTS.iter().fold(Answers::default(), |answers, point| {
            let word = point.words[rng.usize(..point.words.len())];
            answers.with(point.key, word).unwrap()
        });
        let account = Account::with(|e| e.answers(played));
        let report = account.run(&account.options().only(ids.clone())).await;
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(Answers::from_json(&text).unwrap(), played, "{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_shows_no_secret_and_no_name() {
    let account = Account::with(|e| e.account("SECRETIVE").user("SOMEBODY"));
    let report = account.run(&account.options().runs(1)).await;
    let text = serde_json::to_string_pretty(&report).unwrap();
    for name in ["SECRETIVE", "SOMEBODY", DATABASE, "SNOWPIPE_CONFORMANCE"] {
        assert!(!text.to_uppercase().contains(name), "{name}");
    }
    // Tokens are JWTs.
    assert!(!text.contains("eyJ0eXAi"), "a token");
    let log = account.emulator.log();
    assert!(log.len() > 100);
    let read = Report::from_json(&text).unwrap();
    assert_eq!(read, report);
    let exchanges = report.evidence.iter().map(|one| one.exchanges.len());
    assert!(exchanges.sum::<usize>() > 100);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_stopped_drops_its_schema_and_says_so() {
    let account = Account::with(|e| e);
    let profile = account.emulator.profile().unwrap();
    let stop = tokio::time::sleep(Duration::from_secs(3));
    let report = conformance::run(&profile, &account.options(), stop)
        .await
        .unwrap();
    let why: Vec<&str> = report.skipped.iter().map(|one| one.why.as_str()).collect();
    assert!(why.contains(&"the run was stopped"), "{report}");
    assert!(!report.findings.is_empty() && !report.is_as_expected());
    let left = conformance::leftovers(&profile, &account.options()).await;
    assert_eq!(left.unwrap(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn the_schema_of_a_killed_run_is_found_and_dropped() {
    let account = Account::with(|e| e);
    let profile = account.emulator.profile().unwrap();
    let options = account.options();
    let run = conformance::run(&profile, &options, pending());
    let killed = tokio::time::timeout(Duration::from_secs(3), run).await;
    assert!(killed.is_err());
    let left = conformance::leftovers(&profile, &options).await.unwrap();
    let [schema] = left.as_slice() else {
        panic!("{left:?}");
    };
    let why = conformance::drop_leftover(&profile, &options, "PUBLIC").await;
    assert!(why.unwrap_err().to_string().contains("PUBLIC"));
    conformance::drop_leftover(&profile, &options, schema)
        .await
        .unwrap();
    let left = conformance::leftovers(&profile, &options).await;
    assert_eq!(left.unwrap(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn after_a_refused_login_nothing_else_is_tried() {
    let account = Account::with(|e| e);
    account
        .emulator
        .faults()
        .push(Fault::Forbidden.on(Endpoint::Open).always());
    let report = account.run(&account.options().runs(1)).await;
    assert!(
        report
            .findings
            .iter()
            .all(|one| matches!(one.id.as_str(), "E1" | "E2"))
    );
    assert!(
        report.skipped.iter().all(|one| one.why.contains("403")),
        "{report}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_prepared_schema_needs_no_statements_of_the_run() {
    let account = Account::with(|e| e);
    for statement in conformance::statements(DATABASE, "MINE", 1) {
        account.emulator.apply_ddl(&statement).unwrap();
    }
    let options = account.options().runs(1).prepared_schema("MINE");
    let report = account.run(&options).await;
    let asking = conformance::experiments().iter();
    let asking = asking.filter(|one| one.needs_statements).count();
    assert_eq!(report.skipped.len(), asking, "{report}");
    let sent = account.emulator.log().into_iter();
    let mut sent = sent.map(|request| request.head.path);
    assert!(!sent.any(|path| path.contains("/statements")));
    for skipped in &report.skipped {
        assert!(
            skipped.why.contains("statements"),
            "{}: {}",
            skipped.id,
            skipped.why
        );
    }
    assert_eq!(words(&report, "wire.healthy_status"), ["SUCCESS"]);
    assert!(report.finding("wire.replayed_token").is_none());
}

#[tokio::test(start_paused = true)]
async fn what_changed_between_two_reports_is_listed() {
    let before = Account::with(|e| e);
    let before = before.run(&before.options().only(["E6", "E17"])).await;
    let played = Answers::default()
        .with("wire.healthy_status", "ACTIVE")
        .unwrap();
    let after = Account::with(|e| e.answers(played));
    let after = after.run(&after.options().only(["e6"]).runs(1)).await;
    let changes = conformance::compare(&before, &after);
    let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        changes,
        [
            "wire.healthy_status: SUCCESS -> ACTIVE",
            "values.unknown_key: ignore -> not asked",
            "unknown_key.alone: ignore -> not asked",
        ]
    );
    assert_eq!(conformance::compare(&before, &before), []);
}

/// The experiments ask about the exchange of tokens. The soak needs none.
#[tokio::test(start_paused = true)]
async fn a_workload_identity_soaks_and_carries_out_no_experiment() {
    const PROVIDER: WorkloadIdentityProvider = WorkloadIdentityProvider::Oidc;
    let account = Account::with(|e| e.workload_identity(PROVIDER, "token"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "token").unwrap();
    let profile = account.emulator.profile().unwrap();
    let profile = profile.with_workload_identity(PROVIDER, file.path());
    let error = conformance::run(&profile, &account.options(), pending()).await;
    let error = error.unwrap_err();
    assert!(matches!(error, conformance::Error::Config(_)), "{error}");
    assert_eq!(account.emulator.log().len(), 0);
    let soak = Soak::new(Duration::from_secs(30));
    let report = conformance::soak(&profile, &account.options(), &soak, pending()).await;
    let report = report.unwrap();
    assert!(report.is_exact() && report.appended > 0, "{report}");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_experiment_and_an_unknown_report_are_errors() {
    let account = Account::with(|e| e);
    let profile = account.emulator.profile().unwrap();
    let options = account.options().only(["E99"]);
    let why = conformance::run(&profile, &options, pending())
        .await
        .unwrap_err();
    assert!(why.to_string().contains("E99"), "{why}");
    let mut report =
        serde_json::to_value(account.run(&account.options().only(["E1"])).await).unwrap();
    report["format"] = json!(2);
    let why = Report::from_json(&report.to_string()).unwrap_err();
    assert!(why.to_string().contains("format"), "{why}");
    report["surprise"] = Value::Null;
    let why = Report::from_json(&report.to_string()).unwrap_err();
    assert!(why.to_string().contains("surprise"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_soak_is_exact_under_its_faults() {
    for seed in 0..2 {
        let account = Account::with(|e| e);
        let profile = account.emulator.profile().unwrap();
        let mut soak = Soak::new(Duration::from_secs(120));
        soak.seed = seed;
        let report = conformance::soak(&profile, &account.options(), &soak, pending()).await;
        let report = report.unwrap();
        assert!(report.is_exact(), "{report}");
        assert_eq!(report.channels.len(), 2);
        for channel in &report.channels {
            assert!(channel.expected > 1_000, "{report}");
        }
        let sessions = |end: &str| report.sessions[end];
        assert!(
            sessions("closed") > 0 && sessions("crashed") > 0,
            "{report}"
        );
        assert!(sessions("fenced") > 0, "{report}");
        assert_eq!(report.faults.len(), 4, "{report}");
        assert!(report.to_commit_ms.is_some() && report.to_visible_ms.is_some());
        assert!(report.picture().contains("append to visible"));
        let left = conformance::leftovers(&profile, &account.options()).await;
        assert_eq!(left.unwrap(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_that_expire_during_a_soak_lose_nothing() {
    let account = Account::with(|e| e.token_life(Duration::from_secs(20)));
    let profile = account.emulator.profile().unwrap();
    let mut soak = Soak::new(Duration::from_secs(300));
    soak.seed = 2;
    let report = conformance::soak(&profile, &account.options(), &soak, pending()).await;
    let report = report.unwrap();
    assert!(report.is_exact(), "{report}");
    let sent = report.faults["expired tokens sent"];
    // The soak answers by itself before the first token has expired.
    let refused = report.faults.get("tokens refused").copied();
    assert!(sent > refused.unwrap_or_default(), "{report}");
    // The service itself refused those that the network did not lose.
    let log = account.emulator.log().into_iter();
    let refused = log.filter(|seen| seen.status == Some(401)).count();
    assert!(refused as u64 > sent / 2, "{refused} of {sent}");
}

#[tokio::test(start_paused = true)]
async fn a_soak_notices_rows_that_are_lost() {
    let account = Account::with(|e| e);
    let profile = account.emulator.profile().unwrap();
    let emulator = account.emulator.clone();
    // A row of the table disappears, and another one is there twice.
    let meddle = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        let schema = conformance::leftovers(&profile, &account.options())
            .await
            .unwrap();
        let table = format!("{DATABASE}.{}.SOAK", schema[0]);
        emulator
            .apply_ddl(&format!("TRUNCATE TABLE {table}"))
            .unwrap();
        let doubled = "('alone', 100000, NULL), ('alone', 100000, NULL)";
        emulator
            .apply_ddl(&format!("INSERT INTO {table} VALUES {doubled}"))
            .unwrap();
        pending::<()>().await;
    };
    let soak = Soak::new(Duration::from_secs(60));
    let options = account.options();
    let report = tokio::select! {
        report = conformance::soak(&profile, &options, &soak, pending()) => report.unwrap(),
        () = meddle => unreachable!(),
    };
    assert!(!report.is_exact(), "{report}");
    let alone = &report.channels[0];
    assert!(
        alone.lost > 0 && alone.doubled == 1 && alone.beyond > 0,
        "{report}"
    );
    assert!(report.to_string().contains("LOST OR DOUBLED"), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_soak_that_is_stopped_counts_its_rows() {
    let account = Account::with(|e| e);
    let profile = account.emulator.profile().unwrap();
    let stop = tokio::time::sleep(Duration::from_secs(30));
    let soak = Soak::new(Duration::from_secs(3_600));
    let report = conformance::soak(&profile, &account.options(), &soak, stop)
        .await
        .unwrap();
    assert!(report.is_exact() && report.seconds < 40.0, "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_pipe_that_cannot_be_opened_ends_the_run() {
    let account = Account::with(|e| e);
    let faults = account.emulator.faults();
    faults.push(Fault::BareNotFound.on(Endpoint::Open).always());
    let report = account.run(&account.options()).await;
    let is_login = |id: &str| matches!(id, "E1" | "E2");
    assert!(
        report.findings.iter().all(|one| is_login(&one.id)),
        "{report}"
    );
    for skipped in &report.skipped {
        assert!(
            skipped.why.contains("CREATE PIPE"),
            "{}: {}",
            skipped.id,
            skipped.why
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_pipe_that_is_not_known_everywhere_is_opened_again() {
    let account = Account::with(|e| e);
    let stale = Fault::BadRequest("STALE_PIPE_CACHE".to_owned());
    account
        .emulator
        .faults()
        .push(stale.on(Endpoint::Open).times(3));
    let report = account.run(&account.options().only(["E6"])).await;
    assert!(report.is_as_expected(), "{report}");
}
