//! Records that are no rows, or rows that the table rejects.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use snowpipe_kafka::demo::landing::TABLE;
use snowpipe_kafka::demo::process::States;
use snowpipe_streaming_emulator::{Endpoint, Fault};

use crate::world::{TOPIC, World, stop};

type Record = (i32, Option<String>, Option<String>);

fn record(value: &str) -> Record {
    (0, Some("pass-1".to_owned()), Some(value.to_owned()))
}

fn tombstone() -> Record {
    (0, Some("pass-1".to_owned()), None)
}

/// The offsets in a file of dead letters, with their reasons.
fn letters(world: &World) -> Result<Vec<(i64, String)>> {
    let text = fs::read_to_string(world.folder().join("letters.ndjson"))?;
    let letter = |line: &str| {
        let letter: Value = serde_json::from_str(line)?;
        let reason = letter
            .get("reason")
            .and_then(Value::as_str)
            .context("no reason")?;
        Ok((
            letter
                .get("offset")
                .and_then(Value::as_i64)
                .context("no offset")?,
            reason.to_owned(),
        ))
    };
    text.lines().map(letter).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn tombstones_are_rows_or_are_skipped() -> Result<()> {
    let mut world = World::new(1).await?;
    let rows = [record(r#"{"RIDE_ID":1}"#), tombstone(), tombstone()];
    world.cluster.send(TOPIC, &rows).await?;
    let member = world.member(&["--tombstones=row"])?;
    world.landing.has_rows(3).await?;
    stop(member).await?;
    let rows = world.landing.emulator.rows(TABLE)?;
    let keys: Vec<_> = rows
        .iter()
        .map(|row| row["RECORD_METADATA"].to_string())
        .collect();
    ensure!(
        keys.iter()
            .filter(|text| text.contains("tombstone"))
            .count()
            == 2,
        "{keys:?}"
    );
    ensure!(
        keys.iter().filter(|text| text.contains("pass-1")).count() == 2,
        "{keys:?}"
    );

    // The skipped tail holds back nothing that follows.
    let rows = [tombstone(), record(r#"{"RIDE_ID":2}"#), tombstone()];
    world.cluster.send(TOPIC, &rows).await?;
    let member = world.member(&["--tombstones=skip"])?;
    world.landing.has_rows(4).await?;
    stop(member).await?;
    // Lag monitors do not wait for a record after the tombstone.
    let committed = world.committed_offset(0)?;
    ensure!(committed == Some(6), "{committed:?}");
    world
        .cluster
        .send(TOPIC, &[record(r#"{"RIDE_ID":3}"#)])
        .await?;
    let member = world.member(&["--tombstones=skip"])?;
    world.landing.has_rows(5).await?;
    stop(member).await?;
    let rows = world.landing.emulator.rows(TABLE)?;
    let ids: Vec<_> = rows
        .iter()
        .filter_map(|row| row["RIDE_ID"].as_i64())
        .collect();
    ensure!(ids == [1, 2, 3], "{ids:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undecodable_record_stops_its_partition_or_is_a_dead_letter() -> Result<()> {
    let mut world = World::new(2).await?;
    let other = (1, None, Some(r#"{"RIDE_ID":10}"#.to_owned()));
    let records = [
        record(r#"{"RIDE_ID":1}"#),
        record("no JSON"),
        record("[1]"),
        record(r#"{"RIDE_ID":2}"#),
        other,
    ];
    world.cluster.send(TOPIC, &records).await?;
    let mut member = world.member(&[])?;
    member
        .until(|states| {
            states
                .get("rides:0")
                .is_some_and(|state| state.starts_with("failed"))
        })
        .await?;
    let reason = member.states()["rides:0"].clone();
    ensure!(
        reason.contains("at offset 1: the value is not JSON"),
        "{reason}"
    );
    // The record before it and the other partition.
    world.landing.has_rows(2).await?;
    ensure!(!member.stop().await?.success());

    let file = format!(
        "--dead-letters={}",
        world.folder().join("letters.ndjson").display()
    );
    let member = world.member(&["--undecodable=dead-letter", &file])?;
    world.landing.has_rows(3).await?;
    stop(member).await?;
    let letters = letters(&world)?;
    let offsets: Vec<_> = letters.iter().map(|(offset, _)| *offset).collect();
    ensure!(offsets == [1, 2], "{letters:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_takes_dead_letters() -> Result<()> {
    let mut world = World::new(1).await?;
    world.cluster.brokers.create_topic("letters", 1, 3)?;
    let records = [record("no JSON"), record(r#"{"RIDE_ID":1}"#)];
    world.cluster.send(TOPIC, &records).await?;
    let options = ["--undecodable=dead-letter", "--dead-letter-topic=letters"];
    let member = world.member(&options)?;
    world.landing.has_rows(1).await?;
    stop(member).await?;
    let letter: Value = serde_json::from_str(&world.first_value("letters").await?)?;
    let field = |name: &str| letter.get(name).cloned().unwrap_or_default();
    ensure!(field("topic") == TOPIC && field("offset") == 0, "{letter}");
    ensure!(
        field("value") == "no JSON" && field("key") == "pass-1",
        "{letter}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_is_too_long_for_its_topic_is_kept_without_its_content() -> Result<()> {
    let world = World::new(1).await?;
    world.cluster.brokers.create_topic("letters", 1, 3)?;
    let long = "x".repeat(3_000);
    world.cluster.send(TOPIC, &[record(&long)]).await?;
    let member = world.member(&[
        "--undecodable=dead-letter",
        "--dead-letter-topic=letters",
        "--set=message.max.bytes=2000",
    ])?;
    let letter: Value = serde_json::from_str(&world.first_value("letters").await?)?;
    let reason = letter.get("reason").and_then(Value::as_str);
    ensure!(
        reason.is_some_and(|reason| reason.contains("too long for a letter")),
        "{letter}"
    );
    ensure!(letter.get("value").is_none(), "{letter}");
    ensure!(letter.get("offset") == Some(&json!(0)), "{letter}");
    stop(member).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_table_rejects_is_a_dead_letter() -> Result<()> {
    let mut world = World::new(1).await?;
    let file = format!(
        "--dead-letters={}",
        world.folder().join("letters.ndjson").display()
    );
    let member = world.member(&[&file])?;
    let mut records: Vec<_> = (0..50)
        .map(|n| record(&format!(r#"{{"RIDE_ID":{n}}}"#)))
        .collect();
    records.push(record(r#"{"RIDE_ID":"none"}"#));
    world.cluster.send(TOPIC, &records).await?;
    world.landing.has_rows(50).await?;
    stop(member).await?;
    let letters = letters(&world)?;
    ensure!(
        letters.iter().any(|(offset, _)| *offset == 50),
        "{letters:?}"
    );
    ensure!(
        letters
            .iter()
            .all(|(_, reason)| reason.contains("rejected 1 of the rows"))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_table_rejects_stops_its_partition_until_an_option_says_otherwise()
-> Result<()> {
    let mut world = World::new(1).await?;
    let good = |n: u64| record(&format!(r#"{{"RIDE_ID":{n}}}"#));
    let bad = record(r#"{"RIDE_ID":"none"}"#);
    world.cluster.send(TOPIC, &[bad, good(1)]).await?;
    // A restart does not pass over the row either.
    for options in [&[][..], &["--rejected=stop"]] {
        let mut member = world.member(options)?;
        let has_failed = |states: &States| {
            let state = states.get("rides:0");
            state.is_some_and(|state| state.starts_with("failed"))
        };
        member.until(has_failed).await?;
        let reason = member.states()["rides:0"].clone();
        ensure!(
            reason.contains("the table rejected 1 of the rows") && reason.contains("--rejected"),
            "{reason}"
        );
        ensure!(!member.stop().await?.success());
    }

    let file = format!(
        "--dead-letters={}",
        world.folder().join("letters.ndjson").display()
    );
    let member = world.member(&[&file])?;
    world.cluster.send(TOPIC, &[good(2)]).await?;
    world.landing.has_rows(2).await?;
    stop(member).await?;
    let letters = letters(&world)?;
    ensure!(
        letters.iter().any(|(offset, _)| *offset == 0),
        "{letters:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_table_rejects_is_skipped_if_an_option_says_so() -> Result<()> {
    let mut world = World::new(1).await?;
    let member = world.member(&["--rejected=skip"])?;
    let bad = record(r#"{"RIDE_ID":"none"}"#);
    let good = record(r#"{"RIDE_ID":1}"#);
    world.cluster.send(TOPIC, &[bad, good]).await?;
    world.landing.has_rows(1).await?;
    stop(member).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_rejected_after_their_member_was_killed_are_dead_letters_of_the_next_one()
-> Result<()> {
    let mut world = World::new(1).await?;
    let file = format!(
        "--dead-letters={}",
        world.folder().join("letters.ndjson").display()
    );
    let good = |n: u64| record(&format!(r#"{{"RIDE_ID":{n}}}"#));
    let first = world.member(&[&file])?;
    world.cluster.send(TOPIC, &[good(0), good(1)]).await?;
    world.landing.has_rows(2).await?;
    stop(first).await?;

    // This member does not learn what was committed.
    let mut killed = world.member(&[&file])?;
    killed.streams(1).await?;
    let away = Fault::ServerError(503).on(Endpoint::Status).always();
    world.landing.emulator.faults().push(away);
    let bad = record(r#"{"RIDE_ID":"none"}"#);
    world.cluster.send(TOPIC, &[bad, good(3)]).await?;
    world.landing.has_rows(3).await?;
    killed.kill().await?;
    world.landing.emulator.faults().clear();

    let next = world.member(&[&file])?;
    world.cluster.send(TOPIC, &[good(4)]).await?;
    world.landing.has_rows(4).await?;
    stop(next).await?;
    let offsets: Vec<_> = letters(&world)?.into_iter().map(|(at, _)| at).collect();
    ensure!(offsets == [2, 3], "{offsets:?}");
    Ok(())
}
