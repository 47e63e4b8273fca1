//! What a chain of errors reads like: the error, and what caused it.

use std::error::Error as _;
use std::time::Duration;

use snowpipe_streaming::emulator::{Endpoint, Fault};
use snowpipe_streaming::{ElasticChannel, Error, OnUncommitted};

use crate::support::{World, row};

/// The error and its causes, with `ID` for the request id.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: caused by {error}");
        cause = error.source();
    }
    text.replace(error.request_id().expect("a request id"), "ID")
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_names_its_code_and_request_once() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    let fault = Fault::BadRequest("ERR_INVALID_REQUEST".into());
    world.emulator.faults().push(fault.on(Endpoint::Append));
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    let error = receipt.committed().await.unwrap_err();
    let why = "appending to channel \"c\" of pipe DB.PUBLIC.RIDES_PIPE failed, the server answered 400: The rows are not \
               taken, says a fault; the same request would be refused again";
    let expected = format!(
        "the channel was invalidated (the server refuses a batch for good): {why} [ERR_INVALID_REQUEST] (request ID): \
         caused by {why}"
    );
    assert_eq!(chain(&error), expected);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_was_tried_for_too_long_names_its_last_request_once() {
    let world = World::new();
    let client = world.builder().retry_for(Duration::from_secs(30));
    let client = client.build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let fault = Fault::ServerError(503);
    world
        .emulator
        .faults()
        .push(fault.on(Endpoint::Append).always());
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    let error = receipt.committed().await.unwrap_err();
    let text = chain(&error);
    assert_eq!(text.matches("(request ID)").count(), 1, "{text}");
    assert_eq!(error.http_status(), Some(503));
}

#[tokio::test(start_paused = true)]
async fn an_open_that_waited_in_vain_names_the_servers_code() {
    let world = World::with(|e| e.commit_delay(Duration::from_secs(3600)));
    let (_first, mut channel) = world.channel().await;
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    receipt.accepted().await.unwrap();
    let second = world.client().await;
    let open = second
        .open_channel("c")
        .on_uncommitted(OnUncommitted::Wait(Duration::ZERO));
    let error = open.await.unwrap_err();
    let text = chain(&error);
    assert_eq!(error.code(), Some("ERR_CHANNEL_HAS_UNCOMMITTED_DATA"));
    assert!(
        error
            .to_string()
            .contains("[ERR_CHANNEL_HAS_UNCOMMITTED_DATA]"),
        "{text}"
    );
    assert_eq!(
        text.matches("[ERR_CHANNEL_HAS_UNCOMMITTED_DATA]").count(),
        1,
        "{text}"
    );
    assert_eq!(text.matches("(request ID)").count(), 1, "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_elastic_channel_that_waits_to_be_asked_names_the_failure_once() {
    let world = World::new();
    let client = world.client().await;
    let rides: ElasticChannel<u64> = client.elastic_channel();
    let fault = Fault::BadRequest("ERR_BAD_ROWS".into());
    world.emulator.faults().push(fault.on(Endpoint::Append));
    drop(rides.append_row(&row(0), 0).await.unwrap());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let error = rides.append_row(&row(1), 1).await.map(drop).unwrap_err();
    let text = chain(&error);
    assert_eq!(text.matches("[ERR_BAD_ROWS]").count(), 1, "{text}");
    assert_eq!(text.matches("(request ID)").count(), 1, "{text}");
}
