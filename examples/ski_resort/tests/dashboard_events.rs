//! The events of a page: first both states, then changes, at a limited rate.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::dashboard::ReportPlace;
use crate::dashboard::asked::{Asked, Period};
use crate::dashboard::events::{News, Streams};
use crate::dashboard::views::Views;
use crate::live::{Board, Phase};

const NETWORK: Asked = Asked::Network {
    period: Period::Today,
};

/// The inputs of a dashboard, and its streams.
struct World {
    board: Board,
    places: watch::Sender<ReportPlace>,
    changed: watch::Sender<u64>,
    stop: watch::Sender<bool>,
    views: Arc<Views>,
    streams: Streams,
}

impl World {
    fn new(place: ReportPlace) -> Self {
        let board = Board::new("max".to_owned());
        let (places, seen_places) = watch::channel(place);
        let (changed, seen_changed) = watch::channel(0);
        let (stop, stopped) = watch::channel(false);
        Self {
            views: Views::new(seen_places, seen_changed, stopped.clone()),
            streams: Streams::new(board.subscribe(), stopped),
            board,
            places,
            changed,
            stop,
        }
    }

    fn news(&self, asked: &Asked) -> News {
        self.streams.news(&self.views, asked).unwrap()
    }
}

async fn next(news: &mut News) -> (&'static str, Value) {
    let (name, text) = news.next().await.unwrap();
    (name, serde_json::from_str(&text).unwrap())
}

/// A file with one resort and this many visitors.
fn visitors(path: &std::path::Path, count: u64) {
    Connection::open(path)
        .unwrap()
        .execute_batch(&format!(
            "PRAGMA synchronous = OFF;
             BEGIN;
             CREATE TABLE IF NOT EXISTS HOURLY_RESORT_SUMMARY (RIDE_HOUR_TIMESTAMP text, RESORT text);
             CREATE TABLE IF NOT EXISTS V_WORLD_CLOCK (WORLD_TIME text);
             CREATE TABLE IF NOT EXISTS RESORT_CAPACITY (RESORT text, IANA_TIMEZONE text);
             CREATE TABLE IF NOT EXISTS DAILY_RESORT_SUMMARY (
                 RIDE_DATE text, RESORT text, TOTAL_VISITORS, AVG_CAPACITY_PCT, TOTAL_REVENUE, TOTAL_RIDES
             );
             CREATE TABLE IF NOT EXISTS V_DAILY_NETWORK_METRICS (
                 RIDE_DATE text, TOTAL_NETWORK_VISITORS, TOTAL_NETWORK_REVENUE, AVG_NETWORK_CAPACITY_PCT, TOTAL_NETWORK_RIDES
             );
             DELETE FROM HOURLY_RESORT_SUMMARY;
             INSERT INTO HOURLY_RESORT_SUMMARY VALUES ('2026-01-18 21:00:00', 'Vail');
             DELETE FROM V_DAILY_NETWORK_METRICS;
             INSERT INTO V_DAILY_NETWORK_METRICS VALUES ('2026-01-18', {count}, 1, 1, 1);
             COMMIT;"
        ))
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_new_stream_starts_with_both() {
    let world = World::new(ReportPlace::Unknown);
    let began = Instant::now();
    for _ in 0..3 {
        let mut news = world.news(&NETWORK);
        let mut events = [next(&mut news).await, next(&mut news).await];
        events.sort_by_key(|(name, _)| *name);
        assert_eq!(events[0].0, "pipeline");
        assert_eq!(events[0].1["phase"], "starting");
        assert_eq!(events[1].0, "report");
        assert_eq!(events[1].1["view"], "network");
    }
    assert_eq!(began.elapsed(), Duration::ZERO);

    let mut news = world.news(&Asked::Pipeline);
    assert_eq!(next(&mut news).await.0, "pipeline");
    // The pipeline has no report, and nothing is sent twice.
    assert!(
        timeout(Duration::from_secs(3_600), news.next())
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn only_changes_are_sent() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("reports.db");
    let world = World::new(ReportPlace::Unknown);
    let mut news = world.news(&NETWORK);
    next(&mut news).await;
    next(&mut news).await;

    visitors(&path, 1);
    world
        .places
        .send_replace(ReportPlace::Embedded(path.clone()));
    let (name, report) = next(&mut news).await;
    assert_eq!(
        (name, &report["kpis"]["visitors"]["value"]),
        ("report", &1.into())
    );
    // Refreshed, to the same numbers.
    world.changed.send_modify(|count| *count += 1);
    assert!(timeout(Duration::from_secs(60), news.next()).await.is_err());

    visitors(&path, 2);
    world.changed.send_modify(|count| *count += 1);
    let (name, report) = next(&mut news).await;
    assert_eq!(
        (name, &report["kpis"]["visitors"]["value"]),
        ("report", &2.into())
    );

    world.board.end(Phase::Finished, "All is well.");
    let (name, pipeline) = next(&mut news).await;
    assert_eq!(
        (name, &pipeline["message"]),
        ("pipeline", &"All is well.".into())
    );
}

#[tokio::test(start_paused = true)]
async fn no_second_has_more_than_two_events_and_the_last_state_is_sent() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("reports.db");
    visitors(&path, 0);
    let world = World::new(ReportPlace::Embedded(path.clone()));
    let mut news = world.news(&NETWORK);
    let listening = tokio::spawn(async move {
        let mut received = Vec::new();
        while let Some((name, text)) = news.next().await {
            let json: Value = serde_json::from_str(&text).unwrap();
            received.push((Instant::now(), name, json));
        }
        received
    });
    for count in 1..=500_u64 {
        sleep(Duration::from_millis(20)).await;
        visitors(&path, count);
        world.changed.send_replace(count);
        world.board.write(|live| live.bytes_sent = count);
    }
    sleep(Duration::from_secs(3)).await;
    world.stop.send_replace(true);
    let received = listening.await.unwrap();

    for three in received.windows(3) {
        let taken = three[2].0 - three[0].0;
        assert!(taken >= Duration::from_secs(1), "{taken:?}: {three:?}");
    }
    let of = |name: &str| {
        received
            .iter()
            .filter(|event| event.1 == name)
            .map(|event| &event.2)
            .collect::<Vec<_>>()
    };
    let (pipeline, reports) = (of("pipeline"), of("report"));
    // Neither delays the other: ten seconds of changes, and the ends.
    assert!(
        pipeline.len() >= 9 && reports.len() >= 9,
        "{} {}",
        pipeline.len(),
        reports.len()
    );
    assert_eq!(pipeline.last().unwrap()["bytes_sent"], 500);
    assert_eq!(reports.last().unwrap()["kpis"]["visitors"]["value"], 500);
}

#[tokio::test(start_paused = true)]
async fn the_pipeline_alone_is_sent_twice_a_second() {
    let world = World::new(ReportPlace::Unknown);
    let mut news = world.news(&Asked::Pipeline);
    let board = world.board.clone();
    let writing = tokio::spawn(async move {
        for count in 0.. {
            sleep(Duration::from_millis(10)).await;
            board.write(|live| live.bytes_sent = count);
        }
    });
    next(&mut news).await;
    let began = Instant::now();
    for _ in 0..20 {
        next(&mut news).await;
    }
    let taken = began.elapsed();
    assert!(
        taken >= Duration::from_secs(10) && taken < Duration::from_secs(12),
        "{taken:?}"
    );
    writing.abort();
}

#[tokio::test(start_paused = true)]
async fn a_report_is_computed_once_for_all() {
    let world = World::new(ReportPlace::Unknown);
    let (mut one, mut other) = (world.news(&NETWORK), world.news(&NETWORK));
    let mut texts = Vec::new();
    for news in [&mut one, &mut other] {
        for _ in 0..2 {
            let (name, text) = news.next().await.unwrap();
            texts.push((name, text));
        }
    }
    texts.sort_by_key(|(name, _)| *name);
    assert!(Arc::ptr_eq(&texts[0].1, &texts[1].1));
    assert!(Arc::ptr_eq(&texts[2].1, &texts[3].1));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_the_final_state() {
    let world = World::new(ReportPlace::Unknown);
    let mut news = world.news(&NETWORK);
    next(&mut news).await;
    next(&mut news).await;
    let began = Instant::now();
    // A change that was not sent before the end.
    world.board.end(Phase::Finished, "All is well.");
    world.stop.send_replace(true);
    let (name, pipeline) = next(&mut news).await;
    assert_eq!(
        (name, &pipeline["message"]),
        ("pipeline", &"All is well.".into())
    );
    assert_eq!(next(&mut news).await.0, "end");
    assert_eq!(news.next().await, None);
    assert_eq!(began.elapsed(), Duration::ZERO);
    // The end does not wait for a report that never comes.
    assert!(
        world
            .views
            .now(&Asked::Resort { resort: None })
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test(start_paused = true)]
async fn the_number_of_streams_is_limited() {
    let world = World::new(ReportPlace::Unknown);
    let mut open: Vec<_> = (0..64).map(|_| world.news(&NETWORK)).collect();
    assert!(world.streams.news(&world.views, &NETWORK).is_none());
    open.pop();
    assert!(world.streams.news(&world.views, &NETWORK).is_some());
}

#[tokio::test(start_paused = true)]
async fn reports_without_readers_are_dropped() {
    let world = World::new(ReportPlace::Unknown);
    let resort = |number: u32| Asked::Resort {
        resort: Some(number.to_string()),
    };
    for round in 0..3 {
        for number in 0..128 {
            let asked = resort(round * 1_000 + number);
            assert!(world.views.now(&asked).await.unwrap().is_some());
        }
        assert!(world.views.now(&resort(999)).await.is_err());
        // They have no more readers.
        sleep(Duration::from_secs(1)).await;
    }
}
