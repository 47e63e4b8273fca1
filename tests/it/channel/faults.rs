//! Faults and their effect on rows: ambiguity, fencing, rejects, stalls, ends. Paused clock throughout.

use std::future::IntoFuture;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderValue;
use http::header::RETRY_AFTER;
use serde_json::json;
use snowpipe_streaming::{ErrorKind, InvalidationCause, OffsetToken, Recovery, ingest};
use snowpipe_streaming_emulator::{Endpoint, Fault, ReplayedToken};
use tokio::time::Instant;

use crate::source::Shelf;
use crate::support::{World, answer, cause, row, rows};

#[tokio::test(start_paused = true)]
async fn a_request_that_was_not_sent_or_lost_is_sent_again() {
    for fault in [
        Fault::Refuse,
        Fault::Lose,
        Fault::ServerError(503),
        Fault::ServerError(500),
        Fault::Throttle(None),
        Fault::Throttle(Some(Duration::from_secs(7))),
        Fault::Hang,
        Fault::ExpireToken,
        Fault::Unauthorized,
        Fault::BareNotFound,
    ] {
        let world = World::new();
        let (_client, mut channel) = world.channel().await;
        world
            .emulator
            .faults()
            .push(fault.clone().on(Endpoint::Append));
        channel
            .append_rows(rows(0..10), 0..)
            .await
            .unwrap()
            .committed()
            .await
            .unwrap_or_else(|e| panic!("{fault:?}: {e}"));
        assert_eq!(world.landed(), (0..10).collect::<Vec<_>>(), "{fault:?}");
        assert!(channel.close().await.unwrap().is_clean());
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_makes_no_duplicates_if_the_server_remembers_the_token() {
    for fault in [
        Fault::ApplyThenLose,
        Fault::Cut,
        Fault::ApplyThenServerError(500),
        Fault::ApplyThenHang,
        Fault::Zombie,
    ] {
        let world = World::with(|e| e.replay(ReplayedToken::Accept));
        let (_client, mut channel) = world.channel().await;
        world
            .emulator
            .faults()
            .push(fault.clone().on(Endpoint::Append));
        let receipt = channel.append_rows(rows(0..10), 0..).await.unwrap();
        receipt
            .committed()
            .await
            .unwrap_or_else(|e| panic!("{fault:?}: {e}"));
        channel
            .append_row(&row(10), 10)
            .await
            .unwrap()
            .committed()
            .await
            .unwrap();
        assert_eq!(world.landed(), (0..11).collect::<Vec<_>>(), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_repetition_refused_as_stale_invalidates_the_channel_and_the_receipt_resolves_correctly()
{
    let world = World::with(|e| e.replay(ReplayedToken::Stale));
    let (_client, mut channel) = world.channel().await;
    world
        .emulator
        .faults()
        .push(Fault::ApplyThenLose.on(Endpoint::Append));
    let landed = channel.append_rows(rows(0..10), 0..).await.unwrap();
    channel.initiate_flush();
    landed.committed().await.unwrap();
    let error = channel.append_row(&row(10), 10).await.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::Ambiguous);
    assert_eq!(error.committed_token(), Some(&OffsetToken::from(9)));
    channel.reopen().await.unwrap();
    assert_eq!(channel.resume_after::<i64>().unwrap(), Some(9));
    channel
        .append_row(&row(10), 10)
        .await
        .unwrap()
        .committed()
        .await
        .unwrap();
    assert_eq!(world.landed(), (0..11).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_after_an_attempt_that_did_not_land_leaves_the_rows_ambiguous() {
    let world = World::new();
    let client = world
        .builder()
        .settle_timeout(Duration::from_secs(20))
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    world
        .emulator
        .faults()
        .push(Fault::Lose.on(Endpoint::Append));
    world
        .emulator
        .faults()
        .push(Fault::Stale.on(Endpoint::Append));
    let sent = channel.append_row(&row(0), 0).await.unwrap();
    channel.initiate_flush();
    let start = Instant::now();
    let error = sent.committed().await.unwrap_err();
    assert!(
        start.elapsed() >= Duration::from_secs(20),
        "it asked on until the settle timeout"
    );
    assert_eq!(cause(&error), InvalidationCause::Ambiguous);
    assert!(error.is_ambiguous());
    assert_eq!(world.landed(), Vec::<i64>::new());
}

#[tokio::test(start_paused = true)]
async fn an_idle_channel_learns_of_its_end_by_the_heartbeat() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    channel
        .append_row(&row(0), 0)
        .await
        .unwrap()
        .committed()
        .await
        .unwrap();
    let mut commits = channel.commits();
    world
        .emulator
        .faults()
        .push(Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".into()).on(Endpoint::Status));
    let start = Instant::now();
    let error = commits.changed().await.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::MustReopen);
    assert!(
        start.elapsed() <= Duration::from_secs(31),
        "{:?}",
        start.elapsed()
    );
    channel.reopen().await.unwrap();
    channel
        .append_row(&row(1), 1)
        .await
        .unwrap()
        .committed()
        .await
        .unwrap();
    assert_eq!(world.landed(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn commits_that_stall_end_in_an_error_that_names_the_rows() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    world
        .emulator
        .faults()
        .push(Fault::WithholdCommits(Duration::MAX).on(Endpoint::Append));
    let receipt = channel.append_rows(rows(5..8), 5..).await.unwrap();
    receipt.accepted().await.unwrap();
    let accepted = Instant::now();
    let error = receipt.committed().await.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::CommitStalled);
    assert!(
        error.is_ambiguous(),
        "accepted rows may still reach the table"
    );
    assert!(
        error
            .to_string()
            .contains("3 accepted (\"5\" through \"7\")"),
        "{error}"
    );
    // The stall, found at the next status, and then the settling.
    let waited = accepted.elapsed();
    let expected = Duration::from_secs(390)..Duration::from_secs(392);
    assert!(expected.contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_is_reported_before_the_committed_token_is_final() {
    let world = World::new();
    let (client, mut channel) = world.channel().await;
    world
        .emulator
        .faults()
        .push(Fault::WithholdCommits(Duration::MAX).on(Endpoint::Append));
    let receipt = channel.append_rows(rows(5..8), 5..).await.unwrap();
    receipt.accepted().await.unwrap();
    let accepted = Instant::now();
    let error = channel.invalidated().await;
    assert_eq!(cause(&error), InvalidationCause::CommitStalled);
    let waited = accepted.elapsed();
    let expected = Duration::from_secs(300)..Duration::from_secs(302);
    assert!(expected.contains(&waited), "{waited:?}");
    client.abort();
    // The first cause is kept.
    assert_eq!(channel.invalidated().await.kind(), error.kind());

    let (client, channel) = World::new().channel().await;
    client.abort();
    let error = channel.invalidated().await;
    assert_eq!(error.kind(), ErrorKind::ClientClosed);
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_server_invalidates_after_the_retry_time() {
    let world = World::new();
    let client = world
        .builder()
        .retry_for(Duration::from_secs(90))
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    world
        .emulator
        .faults()
        .push(Fault::Refuse.on(Endpoint::Append).always());
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    channel.initiate_flush();
    let start = Instant::now();
    let error = receipt.committed().await.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::Unreachable);
    assert_eq!(start.elapsed(), Duration::from_secs(90));
    assert!(!error.is_ambiguous(), "no try ever left");
    assert_eq!(client.memory_in_use(), 0, "memory is given back at once");
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_is_terminal_and_receipts_of_accepted_rows_still_resolve() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    let before = channel.append_row(&row(0), 0).await.unwrap();
    before.accepted().await.unwrap();
    world
        .emulator
        .faults()
        .push(Fault::Forbidden.on(Endpoint::Append).always());
    let refused = channel.append_row(&row(1), 1).await.unwrap();
    let error = refused.committed().await.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::Unauthorized);
    assert_eq!(error.http_status(), Some(403));
    before.committed().await.unwrap();
    assert_eq!(world.landed(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_permanently_refused_batch_is_neither_skipped_nor_sent_again() {
    for recovery in [Recovery::Surface, Recovery::Replay] {
        let world = World::new();
        let client = world.builder().recovery(recovery).build().await.unwrap();
        let mut channel = client.open_channel("c").await.unwrap();
        let before = channel.append_rows(rows(0..10), 0..).await.unwrap();
        before.accepted().await.unwrap();
        // The fault hits once: a second attempt, or the next batch, would be accepted.
        let fault = Fault::BadRequest("ERR_INVALID_REQUEST".into());
        world.emulator.faults().push(fault);
        let refused = channel.append_rows(rows(10..20), 10..).await.unwrap();
        channel.initiate_flush();
        let after = channel.append_rows(rows(20..30), 20..).await.unwrap();
        for receipt in [&refused, &after] {
            let error = receipt.committed().await.unwrap_err();
            assert_eq!(cause(&error), InvalidationCause::Rejected, "{recovery:?}");
            assert_eq!(error.http_status(), Some(400));
            assert!(!error.is_ambiguous(), "{error}");
        }
        before.committed().await.unwrap();
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(world.landed(), (0..10).collect::<Vec<_>>(), "{recovery:?}");
        assert_eq!(world.requests(Endpoint::Open), 1);
        assert_eq!(world.requests(Endpoint::Append), 2);
        assert_eq!(client.memory_in_use(), 0);

        channel.reopen().await.unwrap();
        assert_eq!(channel.resume_after::<i64>().unwrap(), Some(9));
    }
}

#[tokio::test(start_paused = true)]
async fn a_permanently_refused_batch_ends_a_run_that_has_released_earlier_rows() {
    for recovery in [Recovery::Surface, Recovery::Replay] {
        let world = World::new();
        let client = world.builder().recovery(recovery).build().await.unwrap();
        let mut shelf = Shelf::of(0..10);
        shelf.stock().is_open = true;
        let source = shelf.clone();
        let filler = async {
            while world.requests(Endpoint::Append) == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let fault = Fault::BadRequest("ERR_INVALID_REQUEST".into());
            world.emulator.faults().push(fault);
            source.stock().rows.extend((10..20).map(|n| (n, row(n))));
        };
        let run = ingest::run(&client, "c", &mut shelf).into_future();
        let (outcome, ()) = tokio::join!(run, filler);
        let error = outcome.unwrap_err();
        assert_eq!(cause(&error), InvalidationCause::Rejected, "{recovery:?}");
        assert_eq!(world.landed(), (0..10).collect::<Vec<_>>(), "{recovery:?}");
        assert_eq!(shelf.stock().released, Some(9));
        assert_eq!(world.requests(Endpoint::Open), 1);
        assert_eq!(world.requests(Endpoint::Append), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_names_its_request_and_the_servers_code_once() {
    for (fault, cause) in [
        (Fault::Stale, InvalidationCause::Fenced),
        (Fault::Forbidden, InvalidationCause::Unauthorized),
        (
            Fault::BadRequest("ERR_INVALID_REQUEST".into()),
            InvalidationCause::Rejected,
        ),
        (Fault::Throttle(None), InvalidationCause::Unreachable),
    ] {
        let world = World::new();
        let client = world.builder().retry_for(Duration::from_secs(9)).build();
        let client = client.await.unwrap();
        let mut channel = client.open_channel("c").await.unwrap();
        let elastic = client.elastic_channel();
        let faults = world.emulator.faults();
        faults.push(fault.on(Endpoint::Append).always());
        let receipt = channel.append_row(&row(0), 0).await.unwrap();
        let ack = elastic.append_row(&row(1), ()).await.unwrap();
        drop(elastic.append_row(&row(2), ()).await.unwrap());
        let named = receipt.committed().await.unwrap_err();
        assert_eq!(self::cause(&named), cause);
        let unnamed = ack.await.unwrap_err().error().clone();
        let unheard = elastic.append_row(&row(3), ()).await.unwrap_err();
        for error in [named, unnamed, unheard] {
            let text = error.to_string();
            for part in [error.request_id().unwrap(), error.code().unwrap()] {
                assert_eq!(text.matches(part).count(), 1, "{part}: {text}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_request_waits_as_long_as_the_server_asks() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    let throttle = Fault::Throttle(Some(Duration::from_secs(7)));
    let faults = world.emulator.faults();
    faults.push(throttle.on(Endpoint::Append).times(3));
    let start = Instant::now();
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    channel.initiate_flush();
    receipt.accepted().await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(21));
    let log = world.emulator.log();
    let tries = log.iter().filter(|r| r.endpoint == Endpoint::Append);
    let tries: Vec<_> = tries.map(|r| (r.retry_count, r.status)).collect();
    let refused = |n| (Some(n), Some(429));
    let expected = [refused(0), refused(1), refused(2), (Some(3), Some(200))];
    assert_eq!(tries, expected);
    receipt.committed().await.unwrap();
    assert_eq!(world.landed(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_503_with_a_delay_is_repeated_after_it() {
    for path in ["/rows", ":bulk-channel-status"] {
        let world = World::new();
        let refusals = AtomicUsize::new(3);
        let builder = world.intercepted(move |request| {
            if !request.uri().path().ends_with(path) {
                return None;
            }
            let left = refusals.load(Ordering::Relaxed).checked_sub(1)?;
            refusals.store(left, Ordering::Relaxed);
            let mut away = answer(503, &json!({}));
            away.headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("20"));
            Some(away)
        });
        let client = builder.build().await.unwrap();
        let mut channel = client.open_channel("c").await.unwrap();
        let start = Instant::now();
        let receipt = channel.append_row(&row(0), 0).await.unwrap();
        receipt.committed().await.unwrap();
        let waited = Duration::from_secs(60)..Duration::from_secs(64);
        assert!(waited.contains(&start.elapsed()), "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_status_call_is_repeated_after_the_servers_delay() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    let throttle = Fault::Throttle(Some(Duration::from_secs(7)));
    let faults = world.emulator.faults();
    faults.push(throttle.on(Endpoint::Status).times(3));
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    channel.initiate_flush();
    receipt.accepted().await.unwrap();
    let accepted = Instant::now();
    receipt.committed().await.unwrap();
    assert_eq!(world.requests(Endpoint::Status), 4);
    let waited = accepted.elapsed();
    let asked = Duration::from_secs(21)..Duration::from_secs(22);
    assert!(asked.contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_status_delayed_for_an_hour_is_polled_within_the_retry_time() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    let throttle = Fault::Throttle(Some(Duration::from_secs(3600)));
    let faults = world.emulator.faults();
    faults.push(throttle.on(Endpoint::Status));
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    let start = Instant::now();
    receipt.committed().await.unwrap();
    assert!(start.elapsed() <= Duration::from_secs(602));
    assert_eq!(world.requests(Endpoint::Status), 2);
}
