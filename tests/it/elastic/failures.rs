//! Failed rows are handed back, and every failure is reported.

use std::time::Duration;

use snowpipe_streaming::ErrorKind;
use snowpipe_streaming_emulator::{Endpoint, Fault};
use tokio::time::Instant;

use super::{appends, channel, landed, narrow};
use crate::support::{World, noisy, row, rows};

fn refused() -> Fault {
    Fault::BadRequest("ERR_BAD_ROWS".to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_permanently_refused_batch_is_handed_back_and_the_others_continue() {
    let world = World::new();
    let (client, channel) = channel(&world).await;
    world.emulator.faults().push(refused().on(Endpoint::Append));
    let first = channel.append_rows(rows(0..3), 1).await.unwrap();
    let second = channel.append_row(&row(3), 2).await.unwrap();
    channel.initiate_flush();
    let failed = first.await.unwrap_err();
    assert_eq!(
        (*failed.tag(), failed.row_count(), failed.is_ambiguous()),
        (1, 3, false)
    );
    assert_eq!(failed.error().kind(), ErrorKind::Refused);
    assert_eq!(failed.error().code(), Some("ERR_BAD_ROWS"));
    assert!(failed.error().request_id().is_some());
    let also = second.await.unwrap_err();
    assert_eq!((*also.tag(), also.row_count()), (2, 1));
    assert_eq!(appends(&world).len(), 1, "one batch, one try");

    let again = channel
        .append_batch(&failed.rows().unwrap(), 1)
        .await
        .unwrap();
    assert_eq!(again.await.unwrap().into_tag(), 1);
    let text = String::from_utf8(also.rows().unwrap().as_bytes().to_vec()).unwrap();
    assert_eq!(text, "{\"LIFT\":\"Elkhorn 3\",\"N\":3}\n");
    assert_eq!(landed(&world), [0, 1, 2]);
    assert_eq!(client.memory_in_use(), 0);
    assert_eq!(also.into_error().kind(), ErrorKind::Refused);
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_server_ends_in_rows_handed_back_after_the_retry_time() {
    for (fault, ambiguous) in [
        (Fault::Refuse, false),
        (Fault::Throttle(Some(Duration::from_secs(3600))), false),
        (Fault::Lose, true),
        (Fault::ApplyThenLose, true),
    ] {
        let world = World::new();
        let builder = world.builder().retry_for(Duration::from_secs(100));
        let client = builder.build().await.unwrap();
        let channel = client.elastic_channel();
        world
            .emulator
            .faults()
            .push(fault.clone().on(Endpoint::Append).always());
        let start = Instant::now();
        let ack = channel.append_row(&row(1), "tag").await.unwrap();
        let failed = ack.await.unwrap_err();
        assert_eq!(
            start.elapsed(),
            Duration::from_secs(101),
            "{fault:?}: the lag, and the retry time"
        );
        assert_eq!(failed.error().kind(), ErrorKind::Unreachable, "{fault:?}");
        assert_eq!(failed.is_ambiguous(), ambiguous, "{fault:?}");
        assert_eq!(failed.rows().unwrap().len(), 1);
        assert!(failed.retry_count() > 0);
        let count = landed(&world).len();
        assert_eq!(count > 0, fault == Fault::ApplyThenLose, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn persistent_refusals_are_handed_back_after_a_few_attempts() {
    for (fault, kind) in [
        (Fault::Unauthorized, ErrorKind::Authentication),
        (Fault::Forbidden, ErrorKind::Forbidden),
        (Fault::BareNotFound, ErrorKind::NotFound),
        (Fault::FailedOver, ErrorKind::NotFound),
    ] {
        let world = World::new();
        let (_client, channel) = channel(&world).await;
        world
            .emulator
            .faults()
            .push(fault.clone().on(Endpoint::Append).always());
        let ack = channel.append_row(&row(1), 0).await.unwrap();
        let failed = ack.await.unwrap_err();
        assert_eq!(failed.error().kind(), kind, "{fault:?}");
        assert_eq!(
            (failed.retry_count(), failed.is_ambiguous()),
            (3, false),
            "{fault:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn one_row_too_large_for_the_server_is_handed_back_alone() {
    let world = narrow(400);
    let (_client, channel) = channel(&world).await;
    let mut rng = fastrand::Rng::with_seed(1);
    let noise: String = std::iter::repeat_with(|| rng.alphanumeric())
        .take(2_000)
        .collect();
    let long = serde_json::json!({ "N": 0, "NOISE": noise });
    let large = channel.append_row(&long, 0).await.unwrap();
    let small = channel.append_rows(rows(1..5), 1).await.unwrap();
    let failed = large.await.unwrap_err();
    assert_eq!(failed.error().kind(), ErrorKind::TooLarge, "{failed}");
    let text = failed.to_string();
    assert!(text.contains("a row of 2019 bytes"), "{text}");
    let largest = "the largest value has 2002 bytes, in the column \"NOISE\"";
    assert!(text.contains(largest), "{text}");
    assert_eq!(small.await.unwrap().into_tag(), 1);
    assert_eq!(landed(&world), [1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn only_the_failed_pieces_of_an_append_are_handed_back() {
    let world = narrow(60_000);
    let builder = world.builder().max_request_bytes(1 << 20);
    let client = builder.build().await.unwrap();
    let channel = client.elastic_channel();
    // After the batch that is too large and one of its halves.
    world
        .emulator
        .faults()
        .push(refused().on(Endpoint::Append).after(12));
    let ack = channel.append_rows(noisy(0..5_000), ()).await.unwrap();
    let failed = ack.await.unwrap_err();
    let back = failed.rows().unwrap();
    assert_eq!(back.len(), failed.row_count());
    assert!((1..5_000).contains(&back.len()), "{}", back.len());
    let brought = landed(&world);
    assert_eq!(brought.len() as u64 + back.len(), 5_000);
    channel
        .append_batch(&back, ())
        .await
        .unwrap()
        .await
        .unwrap();
    assert_eq!(landed(&world), (0..5_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn an_unawaited_failure_goes_to_the_next_checkpoint_and_stops_appends_until_then() {
    let world = World::new();
    let (_client, channel) = channel(&world).await;
    world.emulator.faults().push(refused().on(Endpoint::Append));
    drop(channel.append_row(&row(1), 10).await.unwrap());
    let error = channel.wait_for_flush().await.unwrap_err();
    assert_eq!(error.code(), Some("ERR_BAD_ROWS"));
    let error = channel.append_row(&row(2), 20).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("`checkpoint`"), "{error}");
    assert!(!error.is_retryable());

    let checked = channel.checkpoint().await.unwrap_err();
    assert_eq!((checked.failures(), checked.failed().len()), (1, 1));
    assert_eq!(checked.error().code(), Some("ERR_BAD_ROWS"));
    for failed in checked.into_failed() {
        assert_eq!(*failed.tag(), 10);
        channel
            .append_batch(&failed.rows().unwrap(), 11)
            .await
            .unwrap();
    }
    channel.checkpoint().await.unwrap();
    assert_eq!(landed(&world), [1]);
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_a_dropped_acknowledgement_goes_to_the_checkpoint() {
    let world = World::new();
    let (_client, channel) = channel(&world).await;
    world.emulator.faults().push(refused().on(Endpoint::Append));
    let ack = channel.append_row(&row(1), 10).await.unwrap();
    channel.wait_for_flush().await.unwrap();
    channel.append_row(&row(2), 20).await.unwrap();
    drop(ack);
    assert!(channel.append_row(&row(3), 30).await.is_err());
    let checked = channel.checkpoint().await.unwrap_err();
    assert_eq!(checked.into_failed()[0].tag(), &10);
    assert_eq!(landed(&world), [2]);
}

#[tokio::test(start_paused = true)]
async fn every_clone_gets_every_failure_once() {
    let world = World::new();
    let (_client, mine) = channel(&world).await;
    let theirs = mine.clone();
    world.emulator.faults().push(refused().on(Endpoint::Append));
    drop(theirs.append_row(&row(1), 10).await.unwrap());
    let error = mine.checkpoint().await.unwrap_err();
    assert_eq!((error.failures(), error.failed().len()), (1, 1));
    let late = mine.clone();
    let error = theirs.checkpoint().await.unwrap_err();
    assert_eq!(
        (error.failures(), error.failed().len()),
        (1, 0),
        "the rows went to the first"
    );
    for clone in [mine, theirs, late] {
        clone.checkpoint().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_covers_what_its_acknowledgements_reported_too() {
    let world = World::new();
    let (_client, channel) = channel(&world).await;
    world.emulator.faults().push(refused().on(Endpoint::Append));
    let ack = channel.append_row(&row(1), 10).await.unwrap();
    assert!(ack.await.is_err());
    let error = channel.checkpoint().await.unwrap_err();
    assert_eq!((error.failures(), error.failed().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_checkpoint_has_reported_nothing() {
    let world = World::new();
    let (_client, channel) = channel(&world).await;
    let slow = Fault::Delay(Duration::from_secs(10));
    world.emulator.faults().push(slow.on(Endpoint::Append));
    world.emulator.faults().push(refused().on(Endpoint::Append));
    let slow = channel.append_row(&row(1), 10).await.unwrap();
    channel.initiate_flush();
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(channel.append_row(&row(2), 20).await.unwrap());
    let early = tokio::time::timeout(Duration::from_secs(1), channel.checkpoint()).await;
    assert!(early.is_err(), "the first row has no outcome yet");
    let error = channel.checkpoint().await.unwrap_err();
    assert_eq!(error.into_failed()[0].tag(), &20);
    assert_eq!(slow.await.unwrap().into_tag(), 10);
}

#[tokio::test(start_paused = true)]
async fn neither_rows_nor_tags_show() {
    let world = World::new();
    let client = world.client().await;
    let channel = client.elastic_channel();
    world
        .emulator
        .faults()
        .push(refused().on(Endpoint::Append).times(2));
    let secret = serde_json::json!({ "N": 1, "NAME": "Xylophone" });
    let append = channel.append_row(&secret, "Zither".to_owned());
    let before = format!("{append:?} {channel:?}");
    let ack = append.await.unwrap();
    let meanwhile = format!("{ack:?}");
    let failed = ack.await.unwrap_err();
    let after = format!("{failed:?} {failed}");
    let deaf = channel.append_row(&secret, "Zither".to_owned()).await;
    drop(deaf.unwrap());
    let error = channel.checkpoint().await.unwrap_err();
    let text = format!("{before} {meanwhile} {after} {error:?} {error}");
    assert!(text.contains("ERR_BAD_ROWS"), "{text}");
    assert!(
        !text.contains("Xylophone") && !text.contains("Zither"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn rows_handed_back_are_charged_until_they_are_taken() {
    let world = World::new();
    let (client, channel) = channel(&world).await;
    let refusals = refused().on(Endpoint::Append).always();
    world.emulator.faults().push(refusals);
    let flush = async || {
        channel.wait_for_flush().await.unwrap();
        client.memory_in_use()
    };
    let ack = channel.append_rows(noisy(0..1_000), 0).await.unwrap();
    let held = flush().await;
    // The compressed size of rows of about 150 bytes.
    assert!(held > 90_000, "{held}");
    let failed = ack.await.unwrap_err();
    assert_eq!(client.memory_in_use(), 0, "the caller has them now");
    assert_eq!(failed.rows().unwrap().len(), 1_000);

    let ack = channel.append_rows(noisy(0..1_000), 0).await.unwrap();
    assert!(flush().await > 90_000);
    drop(ack);
    assert!(
        client.memory_in_use() > 90_000,
        "they wait for a checkpoint"
    );
    // The awaited failure and the other one.
    let checked = channel.checkpoint().await.unwrap_err();
    assert_eq!((checked.failures(), checked.failed().len()), (2, 1));
    assert_eq!(client.memory_in_use(), 0);

    let two = [
        channel.append_rows(noisy(0..500), 1).await.unwrap(),
        channel.append_rows(noisy(500..1_000), 2).await.unwrap(),
    ];
    let held = flush().await;
    let [first, second] = two;
    first.await.unwrap_err();
    assert!(
        client.memory_in_use() > held - 1_000,
        "one batch, which the other still needs"
    );
    second.await.unwrap_err();
    assert_eq!(client.memory_in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn untaken_failures_end_appends_before_they_fill_the_memory() {
    const BUDGET: usize = 512 << 10;
    let world = World::new();
    let client = world.builder().memory_budget(BUDGET).build().await.unwrap();
    let channel = client.elastic_channel();
    let refusals = refused().on(Endpoint::Append).always();
    world.emulator.faults().push(refusals);
    let mut acks = Vec::new();
    let error = loop {
        let append = channel.append_rows(noisy(0..100), ());
        let hour = Duration::from_secs(3600);
        match tokio::time::timeout(hour, append).await.expect("an end") {
            Ok(ack) => acks.push(ack),
            Err(error) => break error,
        }
        assert!(client.memory_in_use() <= BUDGET);
        assert!(acks.len() < 1_000, "what failed is not charged");
    };
    assert_eq!(error.kind(), ErrorKind::Backpressure, "{error}");
    assert!(error.is_retryable());
    for ack in acks {
        ack.await.unwrap_err();
    }
    assert_eq!(client.memory_in_use(), 0);
    world.emulator.faults().clear();
    let ack = channel.append_rows(noisy(0..100), ()).await.unwrap();
    ack.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_resolve_though_the_transport_panics() {
    let world = World::new();
    let builder = world.intercepted(|request| {
        let is_append = request.uri().path().ends_with("/rows");
        assert!(!is_append, "a transport with a fault");
        None
    });
    let client = builder.build().await.unwrap();
    let channel = client.elastic_channel();
    let ack = channel.append_row(&row(0), 7).await.unwrap();
    channel.initiate_flush();
    let told = tokio::time::timeout(Duration::from_secs(3600), ack).await;
    let failed = told.expect("it resolves").unwrap_err();
    assert_eq!((*failed.tag(), failed.row_count()), (7, 1));
    assert_eq!(failed.error().kind(), ErrorKind::Unreachable);
    assert!(failed.is_ambiguous());
    assert_eq!(client.memory_in_use(), 0);
    let next = channel.append_row(&row(1), 8).await.unwrap();
    assert_eq!(*next.await.unwrap_err().tag(), 8);
}
