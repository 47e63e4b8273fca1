//! One suite of client tests over both transports to the emulator: in memory under a paused clock, and over loopback HTTP.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use snowpipe_streaming::{
    ClientBuilder, ErrorKind, InvalidationCause, OffsetToken, OnUncommitted, Profile, RowBatch,
    StreamingIngestClient,
};
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{
    Emulator, EmulatorBuilder, Endpoint, Fault, Limits, ReplayedToken, Rule, Server,
};

use crate::scripted_server::{self, noise, within};
use crate::support::{TABLE, World, row, rows};

/// The timeout of a test.
const NEVER: Duration = Duration::from_secs(3600);

/// An emulator and the transport to it.
trait Ground: Sized {
    async fn with(configure: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder) -> Self;
    fn emulator(&self) -> &Emulator;
    fn builder(&self) -> ClientBuilder;

    async fn new() -> Self {
        Self::with(|emulator| emulator).await
    }

    async fn client(&self) -> StreamingIngestClient {
        let lag = Duration::from_millis(10);
        self.builder().max_client_lag(lag).build().await.unwrap()
    }

    fn landed(&self) -> Vec<i64> {
        let rows = self.emulator().rows(TABLE).unwrap();
        let number = |row: &Value| row.get("ROW").unwrap_or(row)["N"].as_i64().unwrap();
        rows.iter().map(number).collect()
    }

    fn fault(&self, rule: impl Into<Rule>) {
        self.emulator().faults().push(rule);
    }

    fn requests(&self, endpoint: Endpoint) -> usize {
        let log = self.emulator().log();
        log.iter().filter(|r| r.endpoint == endpoint).count()
    }
}

struct Memory(World);

impl Ground for Memory {
    async fn with(configure: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder) -> Self {
        Self(World::with(|emulator| configure(quick(emulator))))
    }

    fn emulator(&self) -> &Emulator {
        &self.0.emulator
    }

    fn builder(&self) -> ClientBuilder {
        self.0.builder()
    }
}

struct Loopback(Server);

impl Ground for Loopback {
    async fn with(configure: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder) -> Self {
        let emulator = configure(quick(Emulator::builder())).build().unwrap();
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self(Server::bind(emulator, any_port).await.unwrap())
    }

    fn emulator(&self) -> &Emulator {
        self.0.emulator()
    }

    fn builder(&self) -> ClientBuilder {
        let profile = self.0.emulator().profile_json(&self.0.url());
        scripted_server::builder(Profile::from_json(&profile).unwrap())
            .settle_timeout(Duration::from_secs(30))
    }
}

fn quick(emulator: EmulatorBuilder) -> EmulatorBuilder {
    emulator
        .commit_delay(Duration::from_millis(20))
        .commit_every(Duration::ZERO)
}

macro_rules! on_both_grounds {
    ($($case:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test(start_paused = true)]
            async fn $case() {
                super::$case::<super::Memory>().await;
            })*
        }

        mod loopback {
            $(#[tokio::test]
            async fn $case() {
                super::$case::<super::Loopback>().await;
            })*
        }
    };
}

on_both_grounds![
    rows_land_in_order_and_the_next_run_resumes_after_them,
    every_form_of_append_lands,
    a_second_client_fences_the_first,
    a_reopen_that_discards_loses_what_is_not_committed,
    uncommitted_rows_are_spared_until_the_deadline,
    uncommitted_rows_are_waited_for,
    rejected_rows_are_reported_once_and_the_channel_continues,
    a_dropped_channel_starts_over,
    statuses_list_every_known_channel,
    an_untracked_channel_commits_and_has_no_tokens_to_resume_from,
    a_batch_over_the_servers_limit_is_split_in_order,
    a_lost_answer_lands_rows_once,
    a_lost_answer_to_a_stale_replay_is_settled_by_the_token,
    trouble_on_the_way_is_got_over,
    a_dropped_handle_drains,
    a_closed_client_has_committed_everything,
];

async fn rows_land_in_order_and_the_next_run_resumes_after_them<G: Ground>() {
    let ground = G::new().await;
    let client = ground.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    assert_eq!(channel.resume_after::<u64>().unwrap(), None);
    for n in 0..10 {
        let _ = channel.append_row(&row(n), n).await.unwrap();
    }
    let last = channel.append_rows(rows(10..200), 10..).await.unwrap();
    within(last.committed()).await.unwrap();
    let report = within(channel.close()).await.unwrap();
    assert!(report.is_clean());
    assert_eq!((report.rows_appended, report.rows_committed), (200, 200));
    assert_eq!(report.committed_token, Some(OffsetToken::from(199)));

    let next_run = ground.client().await;
    let mut channel = next_run.open_channel("c").await.unwrap();
    let next = channel.resume_after::<i64>().unwrap().unwrap() + 1;
    assert_eq!(next, 200);
    let receipt = channel.append_rows(rows(next..210), next..).await.unwrap();
    within(receipt.committed()).await.unwrap();
    assert_eq!(ground.landed(), (0..210).collect::<Vec<_>>());
}

async fn every_form_of_append_lands<G: Ground>() {
    let ground = G::new().await;
    let client = ground.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let _ = channel.append_row(&row(0), "a").await.unwrap();
    let _ = channel.append_rows(rows(1..3), ("b", "c")).await.unwrap();
    let pairs = [(row(3), "d"), (row(4), "e")];
    let _ = channel.append_each(pairs).await.unwrap();
    let batch = RowBatch::from_ndjson("{\"N\":5}\r\n\n{\"N\":6}").unwrap();
    let _ = channel.append_batch(&batch, ("f", "g")).await.unwrap();
    let last = channel.try_append_batch(&batch, ("h", "i")).unwrap();
    channel.initiate_flush();
    within(last.committed()).await.unwrap();
    assert_eq!(ground.landed(), [0, 1, 2, 3, 4, 5, 6, 5, 6]);
    assert_eq!(
        channel.latest_committed_offset_token().unwrap().as_str(),
        "i"
    );
}

async fn a_second_client_fences_the_first<G: Ground>() {
    let ground = G::new().await;
    let (first, second) = (ground.client().await, ground.client().await);
    let mut loser = first.open_channel("c").await.unwrap();
    let receipt = loser.append_row(&row(1), 1).await.unwrap();
    within(receipt.committed()).await.unwrap();

    let mut winner = second.open_channel("c").await.unwrap();
    assert_eq!(winner.resume_after::<u64>().unwrap(), Some(1));
    let receipt = loser.append_row(&row(-2), 2).await.unwrap();
    let error = within(receipt.committed()).await.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Invalidated(InvalidationCause::Fenced)
    );
    assert!(!error.is_ambiguous(), "the row is nowhere");
    assert_eq!(error.committed_token(), Some(&OffsetToken::from(1)));

    let receipt = winner.append_row(&row(2), 2).await.unwrap();
    within(receipt.committed()).await.unwrap();
    assert_eq!(ground.landed(), [1, 2]);
}

/// Leaves rows 1 to 3 accepted and uncommitted, and ends the client.
async fn leave_uncommitted<G: Ground>(ground: &G) {
    let client = ground.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_rows(rows(1..4), 1..).await.unwrap();
    within(receipt.accepted()).await.unwrap();
}

async fn a_reopen_that_discards_loses_what_is_not_committed<G: Ground>() {
    let ground = G::with(|e| e.commit_delay(NEVER)).await;
    leave_uncommitted(&ground).await;
    let client = ground.client().await;
    let mut channel = client
        .open_channel("c")
        .on_uncommitted(OnUncommitted::Discard)
        .await
        .unwrap();
    assert_eq!(channel.resume_after::<u64>().unwrap(), None);
    let receipt = channel.append_row(&row(9), 1).await.unwrap();
    within(receipt.accepted()).await.unwrap();
    ground.emulator().commit_now();
    within(receipt.committed()).await.unwrap();
    assert_eq!(ground.landed(), [9]);
}

async fn uncommitted_rows_are_spared_until_the_deadline<G: Ground>() {
    let ground = G::with(|e| e.commit_delay(NEVER)).await;
    leave_uncommitted(&ground).await;
    let client = ground.client().await;
    let wait = OnUncommitted::Wait(Duration::from_millis(100));
    let open = client.open_channel("c").on_uncommitted(wait);
    let error = within(open.into_future()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UncommittedData);
    assert!(error.is_retryable());
    let dropped = client.drop_channel("c").await.unwrap_err();
    assert_eq!(dropped.kind(), ErrorKind::UncommittedData);
    for error in [error, dropped] {
        assert_eq!(error.code(), Some("ERR_CHANNEL_HAS_UNCOMMITTED_DATA"));
        assert!(error.request_id().is_some(), "{error}");
    }

    ground.emulator().commit_now();
    let channel = client.open_channel("c").await.unwrap();
    assert_eq!(channel.resume_after::<u64>().unwrap(), Some(3));
    assert_eq!(ground.landed(), [1, 2, 3]);
}

async fn uncommitted_rows_are_waited_for<G: Ground>() {
    let ground = G::with(|e| e.commit_delay(Duration::from_millis(400))).await;
    leave_uncommitted(&ground).await;
    let client = ground.client().await;
    let policy = OnUncommitted::WaitThenDiscard(Duration::from_secs(30));
    let open = client.open_channel("c").on_uncommitted(policy);
    let channel = within(open.into_future()).await.unwrap();
    assert_eq!(channel.resume_after::<u64>().unwrap(), Some(3));
    assert_eq!(ground.landed(), [1, 2, 3]);
}

async fn rejected_rows_are_reported_once_and_the_channel_continues<G: Ground>() {
    let ddl = "CREATE TABLE DB.PUBLIC.RIDES_PIPE (N INTEGER NOT NULL, LIFT VARCHAR(20));
        CREATE PIPE DB.PUBLIC.RIDES_PIPE AS COPY INTO DB.PUBLIC.RIDES_PIPE
        FROM TABLE (DATA_SOURCE (TYPE => 'STREAMING')) MATCH_BY_COLUMN_NAME=CASE_SENSITIVE;";
    let catalog = Catalog::from_ddl(ddl).unwrap();
    let ground = G::with(|e| e.catalog(catalog)).await;
    let client = ground.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let good = channel.append_row(&row(1), 1).await.unwrap();
    within(good.committed()).await.unwrap();

    let bad = [row(2), json!({"LIFT": "x"}), json!({"N": "many"}), row(5)];
    let receipt = channel.append_rows(bad, 2..).await.unwrap();
    let error = within(receipt.committed()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RowsRejected);
    assert!(error.is_committed());
    let window = error.rejects().unwrap();
    assert_eq!(window.count, 2);
    assert_eq!(window.after, Some(OffsetToken::from(1)));
    assert_eq!(window.through, Some(OffsetToken::from(5)));
    assert!(window.message.is_some());

    let later = channel.append_row(&row(6), 6).await.unwrap();
    within(later.committed()).await.unwrap();
    within(good.committed()).await.unwrap();
    assert_eq!(ground.landed(), [1, 2, 5, 6]);
    assert_eq!(ground.emulator().error_rows(TABLE).unwrap().len(), 2);
    let status = channel.status().await.unwrap();
    let counts = (status.rows_inserted_count(), status.rows_error_count());
    assert_eq!(counts, (4, 2));
    let report = within(channel.close()).await.unwrap();
    assert_eq!((report.rows_committed, report.rows_rejected()), (6, 2));
    assert!(!report.is_clean());

    let channel = client.open_channel("c").await.unwrap();
    let report = within(channel.close()).await.unwrap();
    assert!(report.is_clean(), "an earlier hold's rejects are not ours");
}

async fn a_dropped_channel_starts_over<G: Ground>() {
    let ground = G::new().await;
    let client = ground.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_row(&row(7), 7).await.unwrap();
    within(receipt.committed()).await.unwrap();
    within(channel.close()).await.unwrap();
    client.drop_channel("c").await.unwrap();
    assert!(client.channel_statuses(["c"]).await.unwrap().is_empty());
    assert!(ground.emulator().channel("c").is_none());

    let channel = client.open_channel("c").await.unwrap();
    assert_eq!(channel.resume_after::<u64>().unwrap(), None);
    assert_eq!(ground.landed(), [7], "its rows stay");
    let error = client.drop_channel("nobody").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

async fn statuses_list_every_known_channel<G: Ground>() {
    let ground = G::new().await;
    let client = ground.client().await;
    let mut fed = client.open_channel("fed").await.unwrap();
    let _idle = client.open_channel("idle").await.unwrap();
    let receipt = fed.append_rows(rows(0..5), ("x", "y")).await.unwrap();
    within(receipt.committed()).await.unwrap();
    let names = ["fed", "idle", "unknown"];
    let statuses = client.channel_statuses(names).await.unwrap();
    assert!(statuses.keys().eq(["fed", "idle"]));
    let status = &statuses["fed"];
    assert!(status.is_healthy());
    let counts = (status.rows_inserted_count(), status.rows_parsed_count());
    assert_eq!(counts, (5, 5));
    assert_eq!(status.channel_name(), "fed");
    assert!(status.created_on().is_some());
    let tokens = client.latest_committed_offset_tokens(names).await.unwrap();
    let y = OffsetToken::new("y").unwrap();
    assert_eq!(tokens["fed"], Some(y));
    assert_eq!(tokens["idle"], None);
}

async fn an_untracked_channel_commits_and_has_no_tokens_to_resume_from<G: Ground>() {
    let ground = G::new().await;
    let client = ground.client().await;
    let mut channel = client.open_untracked_channel("c").await.unwrap();
    let first = channel.append_row(&row(1)).await.unwrap();
    within(first.committed()).await.unwrap();
    let last = channel.append_rows(rows(2..50)).await.unwrap();
    within(last.committed()).await.unwrap();
    let report = within(channel.close()).await.unwrap();
    assert_eq!((report.rows_committed, report.is_clean()), (49, true));
    assert_eq!(ground.landed(), (1..50).collect::<Vec<_>>());
}

async fn a_batch_over_the_servers_limit_is_split_in_order<G: Ground>() {
    let mut limits = Limits::off();
    limits.request_bytes = Some(20_000);
    let ground = G::with(|e| e.limits(limits)).await;
    let client = ground
        .builder()
        .max_client_lag(NEVER)
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let noisy = |n: u64| json!({"N": n, "NOISE": noise(n, 1000)});
    let receipt = channel.append_rows((0..150).map(noisy), 0..).await.unwrap();
    channel.initiate_flush();
    within(receipt.committed()).await.unwrap();
    assert_eq!(ground.landed(), (0..150).collect::<Vec<_>>());
    assert!(ground.requests(Endpoint::Append) > 3);
}

async fn a_lost_answer_lands_rows_once<G: Ground>() {
    for fault in [
        Fault::Lose,
        Fault::ApplyThenLose,
        Fault::Cut,
        Fault::ServerError(503),
        Fault::ApplyThenServerError(500),
        Fault::Delay(Duration::from_millis(50)),
    ] {
        let ground = G::with(|e| e.replay(ReplayedToken::Accept)).await;
        let client = ground.client().await;
        let mut channel = client.open_channel("c").await.unwrap();
        ground.fault(fault.clone().on(Endpoint::Append));
        let receipt = channel.append_rows(rows(0..3), 0..).await.unwrap();
        within(receipt.committed()).await.unwrap();
        let receipt = channel.append_row(&row(3), 3).await.unwrap();
        within(receipt.committed()).await.unwrap();
        assert_eq!(ground.landed(), [0, 1, 2, 3], "{}", fault.name());
        assert_eq!(ground.emulator().faults().injected()[fault.name()], 1);
    }
}

async fn a_lost_answer_to_a_stale_replay_is_settled_by_the_token<G: Ground>() {
    let ground = G::with(|e| e.replay(ReplayedToken::Stale)).await;
    let client = ground.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    ground.fault(Fault::ApplyThenLose.on(Endpoint::Append));
    let receipt = channel.append_rows(rows(0..3), 0..).await.unwrap();
    within(receipt.committed()).await.unwrap();
    let error = channel.append_row(&row(3), 3).await.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Invalidated(InvalidationCause::Ambiguous)
    );
    within(channel.reopen()).await.unwrap();
    assert_eq!(channel.resume_after::<u64>().unwrap(), Some(2));
    let receipt = channel.append_row(&row(3), 3).await.unwrap();
    within(receipt.committed()).await.unwrap();
    assert_eq!(ground.landed(), [0, 1, 2, 3]);
}

async fn trouble_on_the_way_is_got_over<G: Ground>() {
    let ground = G::new().await;
    let after = Some(Duration::from_secs(1));
    for rule in [
        Fault::ServerError(503).on(Endpoint::Hostname),
        Fault::Lose.on(Endpoint::Token),
        Fault::Throttle(None).on(Endpoint::Open),
        Fault::BareNotFound.on(Endpoint::Open),
        Fault::FailedOver.on(Endpoint::Open),
        Fault::ApplyThenLose.on(Endpoint::Open),
        Fault::ExpireToken.on(Endpoint::Append),
        Fault::Throttle(after).on(Endpoint::Append),
        Fault::Unauthorized.on(Endpoint::Append),
        Fault::BareNotFound.on(Endpoint::Append),
        Fault::ServerError(500).on(Endpoint::Status),
        Fault::BareNotFound.on(Endpoint::Status),
        Fault::FailedOver.on(Endpoint::Status),
        Fault::Cut.on(Endpoint::Status),
        Fault::ServerError(502).on(Endpoint::Drop),
    ] {
        ground.fault(rule);
    }
    let client = ground.client().await;
    let open = client.open_channel("c").into_future();
    let mut channel = within(open).await.unwrap();
    let receipt = channel.append_rows(rows(0..9), 0..).await.unwrap();
    within(receipt.committed()).await.unwrap();
    within(channel.close()).await.unwrap();
    within(client.drop_channel("c")).await.unwrap();
    assert_eq!(ground.landed(), (0..9).collect::<Vec<_>>());
    let injected: u64 = ground.emulator().faults().injected().values().sum();
    assert_eq!(injected, 15, "{:?}", ground.emulator().faults());
}

async fn a_dropped_handle_drains<G: Ground>() {
    let ground = G::new().await;
    let client = ground
        .builder()
        .max_client_lag(NEVER)
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_rows(rows(0..4), 0..).await.unwrap();
    drop(channel);
    within(receipt.committed()).await.unwrap();
    assert_eq!(ground.landed(), [0, 1, 2, 3]);
}

async fn a_closed_client_has_committed_everything<G: Ground>() {
    let ground = G::new().await;
    let client = ground
        .builder()
        .max_client_lag(NEVER)
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_rows(rows(0..4), 0..).await.unwrap();
    within(client.close()).await.unwrap();
    within(receipt.committed()).await.unwrap();
    assert_eq!(ground.landed(), [0, 1, 2, 3]);
    let error = channel.append_row(&row(4), 4).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClientClosed);
}
