//! Channels that are invalidated during a run: which causes lead to a reopen, which end the run, and two runs of one source.

use std::time::Duration;

use snowpipe_streaming::ingest::{self, Finish};
use snowpipe_streaming::{ErrorKind, InvalidationCause, OnUncommitted, Recovery};
use snowpipe_streaming_emulator::{Endpoint, Fault, ReplayedToken};
use tokio::time::{Instant, sleep, timeout};

use crate::source::{Failure, Shelf};
use crate::support::{World, cause, noisy, row};

fn all(n: i64) -> Vec<i64> {
    (0..n).collect()
}

#[tokio::test(start_paused = true)]
async fn an_invalidated_channel_is_reopened_without_loss_or_duplicates() {
    let invalid = |code: &str| Fault::Invalidate(code.to_owned());
    for fault in [
        invalid("ERR_CHANNEL_MUST_BE_REOPENED"),
        invalid("ERR_PIPE_IN_INVALID_STATE"),
        Fault::SecondWriter,
        Fault::Stale,
        Fault::ApplyThenLose,
        Fault::Zombie,
        Fault::FailedOver,
    ] {
        for replay in [ReplayedToken::Accept, ReplayedToken::Stale] {
            for after in 0..5 {
                let world = World::with(|e| e.replay(replay));
                let client = world.client().await;
                let mut shelf = Shelf::of(0..500);
                let struck = fault.clone().on(Endpoint::Append).after(after);
                world.emulator.faults().push(struck);
                let report = ingest::run(&client, "c", &mut shelf)
                    .batch_rows(50)
                    .max_in_flight(100)
                    .await
                    .unwrap_or_else(|e| panic!("{fault:?} after {after}: {e}"));
                assert_eq!(report.finish, Finish::Exhausted);
                assert!(report.reopens <= 2, "{fault:?}: {report:?}");
                assert_eq!(
                    (report.rows_committed, report.released),
                    (500, Some(499)),
                    "{fault:?} after {after}"
                );
                assert_eq!(world.landed(), all(500), "{fault:?} after {after}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_leaves_reopens_to_a_replaying_client() {
    let must = || Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
    for fault in [must(), Fault::SecondWriter, Fault::Stale, Fault::Zombie] {
        for after in 0..5 {
            let world = World::with(|e| e.replay(ReplayedToken::Stale));
            let builder = world.builder().recovery(Recovery::Replay);
            let client = builder.build().await.unwrap();
            let mut shelf = Shelf::of(0..500);
            let struck = fault.clone().on(Endpoint::Append).after(after);
            world.emulator.faults().push(struck);
            let report = ingest::run(&client, "c", &mut shelf)
                .batch_rows(50)
                .max_in_flight(100)
                .await
                .unwrap();
            assert_eq!(
                (report.reopens, report.rows_appended, report.released),
                (0, 500, Some(499)),
                "{fault:?} after {after}"
            );
            assert_eq!(world.landed(), all(500), "{fault:?} after {after}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_run_opens_its_channel_again() {
    let world = World::new();
    let client = world.client().await;
    let mut shelf = Shelf::of(0..10);
    shelf.stock().is_open = true;
    let fault = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
    let emulator = world.emulator.clone();
    let report = ingest::run(&client, "c", &mut shelf)
        .until(async move {
            sleep(Duration::from_secs(10)).await;
            emulator.faults().push(fault.on(Endpoint::Status));
            sleep(Duration::from_secs(60)).await;
        })
        .await
        .unwrap();
    assert_eq!((report.reopens, report.rows_appended), (1, 10));
    assert_eq!(world.landed(), all(10));
}

#[tokio::test(start_paused = true)]
async fn without_a_commit_in_between_it_is_opened_three_times() {
    let world = World::new();
    let client = world.client().await;
    let mut shelf = Shelf::of(0..10);
    let fault = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
    let faults = world.emulator.faults();
    faults.push(fault.on(Endpoint::Append).always());
    let error = ingest::run(&client, "c", &mut shelf).await.unwrap_err();
    let cause = InvalidationCause::MustReopen;
    assert_eq!(error.kind(), ErrorKind::Invalidated(cause));
    assert_eq!(world.requests(Endpoint::Open), 4);
    assert_eq!(shelf.stock().released, None);
    assert_eq!(world.landed(), Vec::<i64>::new());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_good_ends_the_run() {
    let forbidden = InvalidationCause::Unauthorized;
    for (fault, cause) in [
        (Fault::Forbidden, forbidden),
        (Fault::Unauthorized, forbidden),
    ] {
        let world = World::new();
        let client = world.client().await;
        let mut shelf = Shelf::of(0..10);
        world
            .emulator
            .faults()
            .push(fault.on(Endpoint::Append).always());
        let error = ingest::run(&client, "c", &mut shelf).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalidated(cause));
        assert_eq!(world.requests(Endpoint::Open), 1);
        assert_eq!(shelf.stock().released, None);
        assert_eq!(world.landed(), Vec::<i64>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn commits_that_stall_are_worth_one_reopen() {
    let world = World::new();
    let client = world.client().await;
    let mut shelf = Shelf::of(0..10);
    // Until the rows are discarded, and for less time than a second stall takes.
    let withheld = Fault::WithholdCommits(Duration::from_secs(400));
    world.emulator.faults().push(withheld.on(Endpoint::Append));
    let report = ingest::run(&client, "c", &mut shelf).await.unwrap();
    assert_eq!((report.reopens, report.rows_appended), (1, 20));
    assert_eq!(report.rows_committed, 10);
    assert_eq!(world.landed(), all(10));

    let world = World::new();
    let client = world.client().await;
    let mut shelf = Shelf::of(0..10);
    let withheld = Fault::WithholdCommits(Duration::MAX).on(Endpoint::Append);
    world.emulator.faults().push(withheld.always());
    let started = Instant::now();
    let error = ingest::run(&client, "c", &mut shelf).await.unwrap_err();
    let cause = InvalidationCause::CommitStalled;
    assert_eq!(error.kind(), ErrorKind::Invalidated(cause));
    // Two stalls, and the wait for rows that may still be committed.
    let took = started.elapsed().as_secs();
    assert!((630..640).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_for_long_is_worth_a_reopen() {
    let world = World::new();
    let builder = world.builder().retry_for(Duration::from_secs(60));
    let client = builder.build().await.unwrap();
    let mut shelf = Shelf::of(0..10);
    let away = Fault::Refuse.on(Endpoint::Append).always();
    world.emulator.faults().push(away);
    let emulator = world.emulator.clone();
    let back = async {
        sleep(Duration::from_secs(100)).await;
        emulator.faults().clear();
    };
    let run = ingest::run(&client, "c", &mut shelf).into_future();
    let (report, ()) = tokio::join!(run, back);
    assert_eq!(report.unwrap().reopens, 1);
    assert_eq!(world.landed(), all(10));
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_keeps_the_channel_ends_the_run_as_fenced() {
    let world = World::new();
    let client = world.client().await;
    let mut shelf = Shelf::of(0..10);
    let stale = Fault::Stale.on(Endpoint::Append).always();
    world.emulator.faults().push(stale);
    let error = ingest::run(&client, "c", &mut shelf).await.unwrap_err();
    let cause = InvalidationCause::Fenced;
    assert_eq!(error.kind(), ErrorKind::Invalidated(cause));
    assert_eq!(world.requests(Endpoint::Open), 2);
}

#[tokio::test(start_paused = true)]
async fn rows_of_another_writer_are_never_discarded() {
    let world = World::new();
    let (ours, theirs) = (world.client().await, world.client().await);
    let mut shelf = Shelf::of(0..10);
    shelf.stock().is_open = true;
    let source = shelf.clone();
    let thief = async {
        sleep(Duration::from_secs(5)).await;
        let mut channel = theirs.open_channel("c").await.unwrap();
        let withheld = Fault::WithholdCommits(Duration::from_secs(60));
        world.emulator.faults().push(withheld.on(Endpoint::Append));
        let last = channel
            .append_rows((10..15).map(crate::support::row), 10..)
            .await
            .unwrap();
        last.accepted().await.unwrap();
        let mut stock = source.stock();
        for n in 10..20 {
            stock.rows.insert(n, crate::support::row(n));
        }
        stock.is_open = false;
    };
    let run = ingest::run(&ours, "c", &mut shelf).into_future();
    let (report, ()) = tokio::join!(run, thief);
    let report = report.unwrap();
    // The other writer's rows are those of the same source: the run waits for them and does not send them again.
    assert_eq!((report.reopens, report.released), (1, Some(19)));
    assert_eq!(world.landed(), all(20));
}

#[tokio::test(start_paused = true)]
async fn a_run_resumes_from_another_writers_offset_if_it_is_ahead() {
    for (foreign, end) in [("14", None), ("3", Some("3")), ("x", Some("x"))] {
        let world = World::new();
        let client = world.client().await;
        let mut shelf = Shelf::of(0..10);
        shelf.stock().is_open = true;
        let source = shelf.clone();
        let emulator = world.emulator.clone();
        let fault = Fault::ForeignToken(Some(foreign.to_owned()));
        let somebody = async move {
            sleep(Duration::from_secs(5)).await;
            emulator.faults().push(fault.on(Endpoint::Status));
            sleep(Duration::from_secs(60)).await;
            let mut stock = source.stock();
            for n in 10..20 {
                stock.rows.insert(n, crate::support::row(n));
            }
            stock.is_open = false;
        };
        let run = ingest::run(&client, "c", &mut shelf).into_future();
        let (result, ()) = tokio::join!(run, somebody);
        match end {
            None => {
                let report = result.unwrap();
                assert_eq!((report.reopens, report.released), (1, Some(19)));
                let expected: Vec<_> = (0..10).chain(15..20).collect();
                assert_eq!(world.landed(), expected);
            }
            Some(named) => {
                let error = result.unwrap_err();
                assert!(error.to_string().contains(named), "{error}");
                assert_eq!(world.landed(), all(10));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_channel_is_recreated_and_nothing_is_sent_again() {
    let world = World::new();
    let (client, other) = (world.client().await, world.client().await);
    let mut shelf = Shelf::of(0..10);
    shelf.stock().is_open = true;
    let source = shelf.clone();
    let dropper = async {
        sleep(Duration::from_secs(5)).await;
        other.drop_channel("c").await.unwrap();
        sleep(Duration::from_secs(60)).await;
        let mut stock = source.stock();
        stock.rows.insert(10, crate::support::row(10));
        stock.is_open = false;
    };
    let run = ingest::run(&client, "c", &mut shelf).into_future();
    let (report, ()) = tokio::join!(run, dropper);
    assert_eq!(report.unwrap().reopens, 1);
    assert_eq!(world.landed(), all(11));
}

#[tokio::test(start_paused = true)]
async fn two_runs_of_one_source_lose_and_duplicate_nothing() {
    for later in (0..25).map(|i| Duration::from_millis(i * 290)) {
        let world = World::new();
        let (one, two) = (world.client().await, world.client().await);
        let mut shelf = Shelf::of(0..400);
        // Each run reads and releases independently, as if from a log that is kept.
        shelf.stock().is_forgetful = true;
        let mut copy = Shelf::of(0..400);
        copy.stock().is_forgetful = true;
        let first = ingest::run(&one, "c", &mut shelf)
            .batch_rows(40)
            .max_in_flight(80)
            .into_future();
        let second = async {
            sleep(later).await;
            ingest::run(&two, "c", &mut copy)
                .batch_rows(40)
                .max_in_flight(80)
                .await
        };
        let (first, second) = tokio::join!(first, second);
        let finished = [&first, &second].into_iter().filter(|r| r.is_ok()).count();
        assert!(finished >= 1, "{later:?}: {first:?} {second:?}");
        for error in [first.err(), second.err()].into_iter().flatten() {
            let cause = InvalidationCause::Fenced;
            assert_eq!(error.kind(), ErrorKind::Invalidated(cause), "{error}");
        }
        assert_eq!(world.landed(), all(400), "{later:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_open_waits_for_what_an_earlier_run_sent_and_then_sends_it_again() {
    let world = World::new();
    let client = world.client().await;
    let mut channel = client
        .open_channel("c")
        .on_uncommitted(OnUncommitted::Discard)
        .await
        .unwrap();
    let withheld = Fault::WithholdCommits(Duration::from_secs(60));
    world.emulator.faults().push(withheld.on(Endpoint::Append));
    let last = channel
        .append_rows((0..5).map(crate::support::row), 0..)
        .await
        .unwrap();
    last.accepted().await.unwrap();
    drop((client, channel));
    let client = world.client().await;
    let started = Instant::now();
    let mut shelf = Shelf::of(0..10);
    ingest::run(&client, "c", &mut shelf).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(30));
    assert_eq!(world.landed(), all(10));
}

#[tokio::test(start_paused = true)]
async fn a_status_call_after_an_open_is_retried_as_long_as_the_open() {
    // At the beginning, and after a reopen.
    for reopens in [0, 1] {
        let world = World::new();
        let client = world.client().await;
        let mut shelf = Shelf::of(0..10);
        let faults = world.emulator.faults();
        let unavailable = Fault::ServerError(503).on(Endpoint::Status).always();
        if reopens == 0 {
            faults.push(unavailable);
        } else {
            faults.push(Fault::Stale.on(Endpoint::Append));
            // The calls before and after the first open.
            faults.push(unavailable.after(2));
        }
        let back = async {
            sleep(Duration::from_secs(40)).await;
            world.emulator.faults().clear();
        };
        let started = Instant::now();
        let run = ingest::run(&client, "c", &mut shelf).into_future();
        let (report, ()) = tokio::join!(run, back);
        let report = report.unwrap();
        assert_eq!((report.reopens, report.released), (reopens, Some(9)));
        assert!(started.elapsed() >= Duration::from_secs(40));
        assert_eq!(world.landed(), all(10));
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_call_that_keeps_failing_ends_a_run_with_its_cause() {
    let world = World::new();
    let client = world.client().await;
    let mut shelf = Shelf::of(0..10);
    let unavailable = Fault::ServerError(503).on(Endpoint::Status);
    world.emulator.faults().push(unavailable.always());
    let started = Instant::now();
    let error = ingest::run(&client, "c", &mut shelf).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server, "{error}");
    assert_eq!(started.elapsed().as_secs(), 60);
    assert_eq!(world.landed(), all(0));
}

/// The channel is reopened while the source fails to wait for rows. The reopen does not count as a success of the source.
#[tokio::test(start_paused = true)]
async fn a_reopen_does_not_prolong_the_patience_for_a_failing_source() {
    let world = World::new();
    let client = world.client().await;
    let mut shelf = Shelf::of(0..1);
    shelf.stock().is_open = true;
    shelf.stock().failures = vec![("ready", Failure::Passing); 1_000].into();
    let invalid = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
    let patience = Duration::from_secs(60);
    let start = Instant::now();
    let run = ingest::run(&client, "c", &mut shelf).source_patience(patience);
    let trouble = async {
        sleep(Duration::from_secs(10)).await;
        world.emulator.faults().push(invalid.on(Endpoint::Status));
    };
    let (outcome, ()) = tokio::join!(async { run.await }, trouble);
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Source);
    assert_eq!(world.requests(Endpoint::Open), 2);
    let took = start.elapsed();
    assert!(took < patience + Duration::from_secs(5), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn committed_rows_are_counted_once_across_reopens() {
    let world = World::new();
    let client = world.client().await;
    let mut shelf = Shelf::of(0..10);
    shelf.stock().is_open = true;
    let faults = world.emulator.faults();
    let must = || Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned()).on(Endpoint::Append);
    let source = shelf.clone();
    let add = |rows: std::ops::Range<i64>| source.stock().rows.extend(rows.map(|n| (n, row(n))));
    let course = async {
        sleep(Duration::from_secs(5)).await;
        faults.push(must());
        add(10..20);
        sleep(Duration::from_secs(15)).await;
        // Committed while the channel is opened again.
        faults.push(Fault::WithholdCommits(Duration::from_secs(5)).on(Endpoint::Append));
        add(20..30);
        sleep(Duration::from_secs(2)).await;
        faults.push(must());
        add(30..40);
        sleep(Duration::from_secs(20)).await;
        source.stock().is_open = false;
    };
    let (report, ()) = tokio::join!(ingest::run(&client, "c", &mut shelf).into_future(), course);
    let report = report.unwrap();
    assert_eq!((report.reopens, report.rows_committed), (2, 40));
    assert_eq!(report.rows_appended, 20 + 30 + 10, "some again");
    assert_eq!(world.landed(), (0..40).collect::<Vec<_>>());
    let stock = shelf.stock();
    let checks = stock.calls.iter().filter(|call| call.starts_with("check"));
    assert_eq!(
        checks.collect::<Vec<_>>(),
        [
            "check c at None",
            "check c at Some(9)",
            "check c at Some(29)"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_waits_for_memory_beyond_the_append_timeout_after_a_reopen_too() {
    let world = World::new();
    let builder = world.builder().memory_budget(256 << 10);
    let append_timeout = Duration::from_secs(5);
    let client = builder.append_timeout(append_timeout).build().await;
    let faults = world.emulator.faults();
    let must = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
    faults.push(must.on(Endpoint::Append));
    let minute = Duration::from_secs(60);
    faults.push(Fault::Throttle(Some(minute)).on(Endpoint::Append).times(2));
    let mut shelf = Shelf::of(0..0);
    shelf.stock().rows = (0..).zip(noisy(0..5_000)).collect();
    let started = Instant::now();
    let run = ingest::run(&client.unwrap(), "c", &mut shelf);
    let report = run.await.unwrap();
    assert!(started.elapsed() > minute);
    assert_eq!(report.reopens, 1);
    assert_eq!(world.landed(), all(5_000));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_no_rows_ends_the_run_however_long_each_try_lasts() {
    let world = World::new();
    let client = world.client().await;
    let mut shelf = Shelf::of(0..10);
    let away = Fault::Refuse.on(Endpoint::Append).always();
    world.emulator.faults().push(away);
    let run = ingest::run(&client, "c", &mut shelf).into_future();
    let ended = timeout(Duration::from_secs(10_000), run).await;
    let error = ended.expect("it does not go on without end").unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::Unreachable);
    assert_eq!(world.requests(Endpoint::Open), 4);
}
