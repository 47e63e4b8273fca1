//! Diagnostics: errors with their causes, and log lines.

use std::error::Error as _;
use std::time::Duration;

use snowpipe_streaming::{ElasticChannel, Error, ErrorKind, OnUncommitted, Recovery, ingest};
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{Endpoint, Fault};
use tracing::Level;

use crate::source::Shelf;
use crate::support::{World, row};
use snowpipe_connector_support::trace::Trace;

/// A server with one table and its pipe.
fn strict() -> World {
    let ddl = "CREATE TABLE DB.PUBLIC.RIDES (N NUMBER NOT NULL);
        CREATE PIPE DB.PUBLIC.RIDES_PIPE AS COPY INTO DB.PUBLIC.RIDES FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING'))
        MATCH_BY_COLUMN_NAME=CASE_SENSITIVE;";
    let catalog = Catalog::from_ddl(ddl).unwrap();
    World::with(|e| e.catalog(catalog))
}

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
        "the channel \"c\" was invalidated (Rejected: the server refuses a batch permanently): {why} [ERR_INVALID_REQUEST] (request ID): \
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
async fn an_open_that_timed_out_names_the_servers_code() {
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
async fn a_channel_that_cannot_be_opened_again_names_both_requests_once() {
    let world = World::new();
    let client = world.builder().recovery(Recovery::Replay);
    let client = client.build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let faults = world.emulator.faults();
    faults.push(Fault::Stale.on(Endpoint::Append));
    faults.push(Fault::Forbidden.on(Endpoint::Open).always());
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    let error = receipt.committed().await.unwrap_err();
    let text = chain(&error);
    for code in ["[STALE_CONTINUATION_TOKEN_SEQUENCER]", "[390403]"] {
        assert!(error.to_string().contains(code), "{error}");
        assert_eq!(text.matches(code).count(), 1, "{text}");
    }
    assert_eq!(text.matches("(request ").count(), 2, "{text}");
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

#[tokio::test(start_paused = true)]
async fn an_outage_is_logged_once_with_the_channel_and_the_reason_and_so_is_its_end() {
    let trace = Trace::of(Level::INFO);
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    let faults = world.emulator.faults();
    faults.push(Fault::ServerError(503).on(Endpoint::Append).always());
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    channel.initiate_flush();
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(
        !trace.text().contains("a batch has failed"),
        "{}",
        trace.text()
    );
    tokio::time::sleep(Duration::from_secs(111)).await;
    faults.clear();
    receipt.committed().await.unwrap();
    let text = trace.text();
    let warnings: Vec<_> = text
        .lines()
        .filter(|line| line.contains("a batch has failed"))
        .collect();
    assert_eq!(warnings.len(), 1, "{text}");
    let warning = warnings[0];
    assert!(warning.contains("WARN channel{name=c}"), "{warning}");
    assert!(
        warning.contains("the server answered 503") && warning.contains("retried for up to 600s"),
        "{warning}"
    );
    assert_eq!(
        text.matches("batch delivered after retries").count(),
        1,
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn of_the_last_try_there_is_the_error_alone() {
    let trace = Trace::of(Level::WARN);
    let world = World::new();
    let client = world.builder().retry_for(Duration::from_secs(10));
    let client = client.build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let away = Fault::ServerError(503).on(Endpoint::Append).always();
    world.emulator.faults().push(away);
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    receipt.committed().await.unwrap_err();
    assert!(
        !trace.text().contains("a batch has failed"),
        "{}",
        trace.text()
    );
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_logged_while_a_channel_is_opened_and_reopened() {
    let world = World::new();
    let faults = world.emulator.faults();
    let away = || Fault::ServerError(503).on(Endpoint::Open).always();
    let client = world.builder().recovery(Recovery::Replay);
    let client = client.build().await.unwrap();
    for is_open in [false, true] {
        let trace = Trace::of(Level::WARN);
        let open = client.open_channel("c");
        if is_open {
            let mut channel = open.await.unwrap();
            faults.push(away());
            faults.push(Fault::Stale.on(Endpoint::Append));
            let receipt = channel.append_row(&row(0), 0).await.unwrap();
            tokio::time::sleep(Duration::from_secs(60)).await;
            faults.clear();
            receipt.committed().await.unwrap();
        } else {
            faults.push(away());
            let clear = async {
                tokio::time::sleep(Duration::from_secs(50)).await;
                faults.clear();
            };
            let (opened, ()) = tokio::join!(open.into_future(), clear);
            opened.unwrap().close().await.unwrap();
        }
        let text = trace.text();
        let warnings: Vec<_> = text
            .lines()
            .filter(|line| line.contains("cannot be opened"))
            .collect();
        assert_eq!(warnings.len(), 1, "{text}");
        assert!(
            warnings[0].contains("channel=\"c\"")
                && warnings[0].contains("the server answered 503"),
            "{text}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_elastic_channels_outage_is_logged_once_for_all_requests() {
    let trace = Trace::of(Level::INFO);
    let world = World::new();
    let client = world.client().await;
    let rides: ElasticChannel<u64> = client.elastic_channel();
    let faults = world.emulator.faults();
    let away = || Fault::ServerError(503).on(Endpoint::Append).always();
    for times in 1..=2 {
        faults.push(away());
        let mut acks = Vec::new();
        for tag in 0..3 {
            acks.push(rides.append_row(&row(0), tag).await.unwrap());
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        faults.clear();
        for ack in acks {
            ack.await.unwrap();
        }
        let text = trace.text();
        assert_eq!(
            text.matches("no batch was accepted").count(),
            times,
            "{text}"
        );
        assert_eq!(text.matches("are accepted again").count(), times, "{text}");
        assert!(text.contains("channel{name=\"ELASTIC\"}"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn log_lines_about_a_status_name_the_channel() {
    let trace = Trace::of(Level::WARN);
    let world = strict();
    let (_client, mut channel) = world.channel().await;
    let receipt = channel.append_row(&serde_json::json!({}), 0).await.unwrap();
    receipt.committed().await.unwrap_err();
    let text = trace.text();
    assert!(
        text.contains("channel{name=c}") && text.contains("the server rejected rows"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stall_names_channel_and_pipe() {
    let world = World::with(|e| e.commit_delay(Duration::from_secs(3600)));
    let (_client, mut channel) = world.channel().await;
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    let error = receipt.committed().await.unwrap_err().to_string();
    let expected = r#"the channel "c" was invalidated (CommitStalled: "#;
    assert!(error.starts_with(expected), "{error}");
    assert!(
        error.contains("look at the pipe DB.PUBLIC.RIDES_PIPE"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_pipe_is_gone_reports_its_progress() {
    let world = strict();
    let client = world.client().await;
    let mut shelf = Shelf::of(0..10);
    shelf.stock().is_open = true;
    let source = shelf.clone();
    let drop_it = async {
        while source.stock().released != Some(9) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let ddl = "DROP PIPE DB.PUBLIC.RIDES_PIPE";
        world.emulator.apply_ddl(ddl).unwrap();
        source.stock().rows.extend((10..20).map(|n| (n, row(n))));
    };
    let run = ingest::run(&client, "c", &mut shelf).into_future();
    let (ended, ()) = tokio::join!(run, drop_it);
    let error = ended.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(
        error.committed_token().map(ToString::to_string).as_deref(),
        Some("9")
    );
}
