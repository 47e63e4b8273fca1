//! The run of a source: what it reads, appends and releases, how it stops, and how it resumes after a crash.

use std::time::Duration;

use snowpipe_streaming::ErrorKind;
use snowpipe_streaming::ingest::{self, Batch, Finish, Progress, Rejected, Source};
use snowpipe_streaming::report::RowState;
use snowpipe_streaming_emulator::{Endpoint, Fault, Rule};
use tokio::time::{Instant, sleep, timeout};

use crate::source::{Failure, Shelf};
use crate::support::{World, noisy, row};

#[tokio::test(start_paused = true)]
async fn everything_lands_once_and_is_released() {
    let world = World::new();
    let client = world.client().await;
    let mut shelf = Shelf::of(0..1_000);
    let mut seen: Vec<Progress<i64>> = Vec::new();
    let report = ingest::run(&client, "c", &mut shelf)
        .batch_rows(300)
        .observe(|progress| seen.push(progress.clone()))
        .await
        .unwrap();
    assert_eq!(report.finish, Finish::Exhausted);
    assert_eq!(
        (report.rows_appended, report.rows_committed),
        (1_000, 1_000)
    );
    assert_eq!((report.rows_rejected, report.reopens), (0, 0));
    assert_eq!((report.resumed_after, report.released), (None, Some(999)));
    assert!(report.uncommitted.is_empty());
    assert_eq!(world.landed(), (0..1_000).collect::<Vec<_>>());
    assert!(shelf.stock().rows.is_empty());

    for pair in seen.windows(2) {
        let marks = |p: &Progress<i64>| [p.appended, p.accepted, p.committed, p.released];
        let (earlier, later) = (marks(&pair[0]), marks(&pair[1]));
        assert!(earlier.iter().zip(later).all(|(a, b)| *a <= b), "{pair:?}");
        assert!(later.is_sorted_by(|a, b| a >= b), "{pair:?}");
    }
    let accepted = seen.iter().find(|p| p.accepted == Some(999)).unwrap();
    assert_eq!(
        accepted.committed, None,
        "accepted is reported before committed"
    );
    assert_eq!(accepted.rows_in_flight, 1_000);
    let last = seen.last().unwrap();
    assert_eq!((last.rows_committed, last.rows_in_flight), (1_000, 0));
    assert_eq!(last.waiting_for, None);

    // Later rows are appended after them.
    for n in 1_000..1_003 {
        shelf.stock().rows.insert(n, row(n));
    }
    let report = ingest::run(&client, "c", &mut shelf).await.unwrap();
    assert_eq!((report.resumed_after, report.rows_appended), (Some(999), 3));
    assert_eq!(world.landed(), (0..1_003).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_moment_loses_and_duplicates_nothing() {
    for is_forgetful in [false, true] {
        for crash in (0..60).map(|i| Duration::from_millis(i * 117)) {
            let world = World::new();
            let mut shelf = Shelf::of(0..500);
            shelf.stock().is_forgetful = is_forgetful;
            let client = world.client().await;
            let run = ingest::run(&client, "c", &mut shelf)
                .batch_rows(40)
                .max_in_flight(100);
            let crashed = timeout(crash, run.into_future()).await.is_err();
            client.abort();
            let client = world.client().await;
            let report = ingest::run(&client, "c", &mut shelf).await.unwrap();
            assert_eq!(report.finish, Finish::Exhausted);
            assert_eq!(
                world.landed(),
                (0..500).collect::<Vec<_>>(),
                "{crash:?}, {is_forgetful}"
            );
            assert!(crashed || crash > Duration::from_secs(5));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rows_that_a_filter_dropped_at_the_end_are_released() {
    let world = World::new();
    let client = world.client().await;
    let mut shelf = Shelf::of(0..10);
    shelf.stock().filtered_through = Some(17);
    let report = ingest::run(&client, "c", &mut shelf).await.unwrap();
    assert_eq!(report.released, Some(17));
    assert_eq!(world.landed(), (0..10).collect::<Vec<_>>());

    // Without any rows, and with a committed offset far behind.
    shelf.stock().filtered_through = Some(40);
    let report = ingest::run(&client, "c", &mut shelf).await.unwrap();
    assert_eq!(
        (report.resumed_after, report.rows_appended, report.released),
        (Some(17), 0, Some(40))
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_source_is_asked_now_and_then() {
    let world = World::new();
    let client = world.client().await;
    let mut shelf = Shelf::of(0..10);
    shelf.stock().is_open = true;
    let later = shelf.clone();
    let report = ingest::run(&client, "c", &mut shelf)
        .until(async {
            sleep(Duration::from_secs(10)).await;
            later.stock().rows.insert(10, row(10));
            sleep(Duration::from_secs(10)).await;
        })
        .await
        .unwrap();
    assert_eq!(report.finish, Finish::Stopped);
    assert_eq!(report.released, Some(10));
    assert!(report.uncommitted.is_empty());
    assert_eq!(world.landed(), (0..11).collect::<Vec<_>>());
    let reads = later.stock().reads;
    assert!((150..=230).contains(&reads), "{reads}");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_is_retried() {
    let world = World::new();
    let client = world.client().await;
    let mut shelf = Shelf::of(0..100);
    shelf.stock().failures = [
        "released", "check", "read", "read", "release", "release", "read",
    ]
    .map(|method| (method, Failure::Passing))
    .into();
    let report = ingest::run(&client, "c", &mut shelf)
        .batch_rows(30)
        .max_in_flight(50)
        .await
        .unwrap();
    assert_eq!(report.released, Some(99));
    assert_eq!(world.landed(), (0..100).collect::<Vec<_>>());
    assert!(shelf.stock().failures.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_keeps_failing_ends_the_run() {
    let world = World::new();
    let client = world.client().await;
    let mut shelf = Shelf::of(0..10);
    shelf.stock().failures = vec![("read", Failure::Passing); 1_000].into();
    let started = Instant::now();
    let error = ingest::run(&client, "c", &mut shelf).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source);
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.downcast_ref(), Some(&Failure::Passing));
    assert!(error.to_string().contains("the disk is busy"), "{error}");
    assert_eq!(started.elapsed().as_secs(), 600);
    // Pauses double up to half a minute.
    let tries = 1_000 - shelf.stock().failures.len();
    assert!((25..=60).contains(&tries), "{tries}");
}

#[tokio::test(start_paused = true)]
async fn a_fatal_error_of_the_source_ends_the_run_at_once() {
    for method in ["released", "check", "read", "release"] {
        let world = World::new();
        let client = world.client().await;
        let mut shelf = Shelf::of(0..10);
        shelf.stock().failures.push_back((method, Failure::Fatal));
        let error = ingest::run(&client, "c", &mut shelf).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Source, "{method}");
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.downcast_ref(), Some(&Failure::Fatal));
        let expected = if method == "release" { 10 } else { 0 };
        assert_eq!(
            world.landed(),
            (0..expected).collect::<Vec<_>>(),
            "{method}"
        );

        // The next run can start at once.
        ingest::run(&client, "c", &mut shelf).await.unwrap();
        assert_eq!(world.landed(), (0..10).collect::<Vec<_>>(), "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_run_waits_for_commits_until_its_drain_timeout() {
    let world = World::new();
    let client = world.client().await;
    let mut shelf = Shelf::of(0..100);
    shelf.stock().is_open = true;
    let stop = Duration::from_secs(5);
    let report = ingest::run(&client, "c", &mut shelf)
        .until(sleep(stop))
        .await
        .unwrap();
    assert_eq!(report.released, Some(99));

    for n in 100..130 {
        shelf.stock().rows.insert(n, row(n));
    }
    let withheld = Fault::WithholdCommits(Duration::from_secs(30));
    world.emulator.faults().push(withheld.on(Endpoint::Append));
    let started = Instant::now();
    let report = ingest::run(&client, "c", &mut shelf)
        .until(sleep(stop))
        .drain_timeout(Duration::from_secs(10))
        .await
        .unwrap();
    assert_eq!(started.elapsed().as_secs(), 15);
    assert_eq!(report.finish, Finish::Stopped);
    assert_eq!((report.rows_appended, report.rows_committed), (30, 0));
    assert_eq!(
        (report.resumed_after, report.released),
        (Some(99), Some(99))
    );
    let ranges = &report.uncommitted["c"];
    let accepted: Vec<_> = ranges.iter().map(|r| (r.state, r.rows)).collect();
    assert_eq!(accepted, [(RowState::Accepted, 30)]);

    // At once in the same client: the name is free again, and the run waits for the rows.
    shelf.stock().is_open = false;
    let report = ingest::run(&client, "c", &mut shelf).await.unwrap();
    assert_eq!((report.rows_appended, report.released), (0, Some(129)));
    assert_eq!(world.landed(), (0..130).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_run_is_stopped_wherever_it_is() {
    // During the pauses of a failing source, during an open, and during a reopen.
    let hang = Fault::Hang.on(Endpoint::Open).always();
    let cases: [(&str, Vec<Rule>); 3] = [
        ("read", vec![]),
        ("", vec![hang.clone()]),
        ("", vec![Fault::Stale.on(Endpoint::Append), hang.after(1)]),
    ];
    for (method, faults) in cases {
        let world = World::new();
        let client = world.client().await;
        let mut shelf = Shelf::of(0..10);
        shelf.stock().failures = vec![(method, Failure::Passing); 1_000].into();
        for fault in faults {
            world.emulator.faults().push(fault);
        }
        let started = Instant::now();
        let report = ingest::run(&client, "c", &mut shelf)
            .until(sleep(Duration::from_millis(1_200)))
            .await
            .unwrap();
        assert_eq!(report.finish, Finish::Stopped);
        assert!(
            started.elapsed() < Duration::from_secs(2),
            "{:?}",
            started.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stalls_is_not_read_ahead_of() {
    let world = World::new();
    let client = world
        .builder()
        .memory_budget(256 << 10)
        .build()
        .await
        .unwrap();
    world
        .emulator
        .faults()
        .push(Fault::Hang.on(Endpoint::Append).always());
    let mut shelf = Shelf::of(0..0);
    shelf.stock().rows = (0..).zip(noisy(0..5_000)).collect();
    let mut most = 0;
    let report = ingest::run(&client, "c", &mut shelf)
        .batch_rows(70)
        .max_in_flight(200)
        .until(sleep(Duration::from_secs(60)))
        .drain_timeout(Duration::from_secs(5))
        .observe(|progress| most = most.max(progress.rows_in_flight))
        .await
        .unwrap();
    assert_eq!(most, 200);
    assert_eq!((report.rows_appended, report.released), (200, None));
    let rows: u64 = report.uncommitted["c"].iter().map(|r| r.rows).sum();
    assert_eq!(rows, 200);

    // Without a limit on rows, the memory is the limit.
    let report = ingest::run(&client, "c", &mut shelf)
        .until(sleep(Duration::from_secs(60)))
        .drain_timeout(Duration::from_secs(5))
        .await
        .unwrap();
    assert!(report.rows_appended < 3_000, "{}", report.rows_appended);
    assert_eq!(report.released, None);
    assert_eq!(client.memory_in_use(), 0);
}

/// A source with given contents.
struct Scripted(Vec<Batch<i64, serde_json::Value>>);

impl Source for Scripted {
    type Offset = i64;
    type Row = serde_json::Value;
    type Error = Failure;

    async fn read_after(
        &mut self,
        _: Option<&i64>,
        _: usize,
    ) -> Result<Batch<i64, serde_json::Value>, Failure> {
        Ok(self.0.remove(0))
    }

    async fn dead_letter(
        &mut self,
        _: &Rejected<i64>,
        _: Vec<(i64, serde_json::Value)>,
    ) -> Result<(), Failure> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn progress_distinguishes_accepted_from_committed() {
    let world = World::with(|e| e.commit_delay(Duration::from_secs(5)));
    let client = world.client().await;
    let slow = Fault::Delay(Duration::from_secs(20)).on(Endpoint::Append);
    world.emulator.faults().push(slow.after(1));
    let started = Instant::now();
    let mut seen = Vec::new();
    ingest::run(&client, "c", &mut Shelf::of(0..20))
        .batch_rows(10)
        .max_in_flight(10)
        .observe(|progress| {
            let now = (progress.accepted, progress.committed);
            if seen.last().is_none_or(|(last, _)| *last != now) {
                seen.push((now, started.elapsed().as_secs()));
            }
        })
        .await
        .unwrap();
    let (states, times): (Vec<_>, Vec<_>) = seen.into_iter().unzip();
    let (first, last) = (Some(9), Some(19));
    let expected = [
        (None, None),
        (first, None),
        (first, first),
        (last, first),
        (last, last),
    ];
    assert_eq!(states, expected);
    // The second request is sent after the first commit, and its answer arrives after its own commit.
    assert_eq!(times, [0, 1, 6, 27, 28]);
}

#[tokio::test(start_paused = true)]
async fn offsets_that_do_not_rise_end_the_run() {
    let world = World::new();
    let client = world.client().await;
    let good = || Batch::new(vec![(4, row(4))]);
    let bad = Batch::new(vec![(4, row(4)), (5, row(5))]);
    let mut source = Scripted(vec![good(), bad]);
    let error = ingest::run(&client, "c", &mut source).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source);
    assert!(error.to_string().contains("offset 4 after 4"), "{error}");

    // The name is free, and nothing is in flight.
    let mut source = Scripted(vec![good(), Batch::end()]);
    ingest::run(&client, "c", &mut source).await.unwrap();
    assert_eq!(world.landed(), [4]);
}

#[tokio::test(start_paused = true)]
async fn options_that_make_no_sense_are_refused() {
    let world = World::new();
    let client = world.client().await;
    let mut shelf = Shelf::of(0..1);
    for count in [0, 65] {
        let run = ingest::run(&client, "c", &mut shelf).shards(count, |_| 0);
        assert_eq!(run.await.unwrap_err().kind(), ErrorKind::Config);
    }
    let run = ingest::run(&client, "c", &mut shelf).batch_rows(0);
    assert_eq!(run.await.unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(world.requests(Endpoint::Open), 0);
}

/// Rows whose offsets are texts made of digits.
struct Texts(Vec<&'static str>);

impl Source for Texts {
    type Offset = String;
    type Row = serde_json::Value;
    type Error = Failure;

    async fn read_after(
        &mut self,
        after: Option<&String>,
        max: usize,
    ) -> Result<Batch<String, serde_json::Value>, Failure> {
        let is_new = |text: &&&str| after.is_none_or(|after| **text > after.as_str());
        let texts = self.0.iter().filter(is_new).take(max);
        let rows = texts.map(|text| ((*text).to_owned(), row(text.parse().unwrap())));
        let mut batch = Batch::new(rows.collect());
        batch.is_end = batch.rows.is_empty();
        Ok(batch)
    }

    async fn dead_letter(
        &mut self,
        _: &Rejected<String>,
        _: Vec<(String, serde_json::Value)>,
    ) -> Result<(), Failure> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn text_offsets_made_of_digits_sort_as_text() {
    for batch_rows in [1, 2, 10] {
        let world = World::new();
        let client = world.client().await;
        let mut texts = Texts(vec!["10", "100", "11", "2"]);
        let run = ingest::run(&client, "c", &mut texts).batch_rows(batch_rows);
        let report = run.await.unwrap();
        assert_eq!(report.released.as_deref(), Some("2"));
        // A run resumes after the committed text, compared as text.
        texts.0.extend(["20", "3", "9"]);
        let report = ingest::run(&client, "c", &mut texts).await.unwrap();
        assert_eq!(report.resumed_after.as_deref(), Some("2"));
        assert_eq!(world.landed(), [10, 100, 11, 2, 20, 3, 9]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_rows_of_a_source_are_sent_without_waiting_for_the_lag() {
    let world = World::new();
    let lag = Duration::from_secs(3_600);
    let client = world.builder().max_client_lag(lag).build().await.unwrap();
    let started = Instant::now();
    let mut shelf = Shelf::of(0..10);
    ingest::run(&client, "c", &mut shelf).await.unwrap();
    assert!(started.elapsed() < lag, "{:?}", started.elapsed());
    assert_eq!(world.landed(), (0..10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_stopped_run_appends_what_it_has_read() {
    let world = World::new();
    let builder = world.builder().memory_budget(256 << 10);
    let client = builder.build().await.unwrap();
    let throttle = Fault::Throttle(Some(Duration::from_secs(30)));
    world.emulator.faults().push(throttle.on(Endpoint::Append));
    let mut shelf = Shelf::of(0..0);
    shelf.stock().rows = (0..).zip(noisy(0..5_000)).collect();
    // The run then waits for memory, in the middle of a batch.
    let report = ingest::run(&client, "c", &mut shelf)
        .batch_rows(1_000)
        .until(sleep(Duration::from_secs(10)))
        .drain_timeout(Duration::from_secs(120))
        .await
        .unwrap();
    assert_eq!(report.finish, Finish::Stopped);
    let read = 1_000 * shelf.stock().reads as u64;
    assert!(read < 5_000, "{read}");
    assert_eq!((report.rows_appended, report.rows_committed), (read, read));
    let last = i64::try_from(read).unwrap() - 1;
    assert_eq!(report.released, Some(last));
    assert_eq!(world.landed(), (0..=last).collect::<Vec<_>>());
}
