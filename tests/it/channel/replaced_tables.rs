//! `CREATE OR REPLACE TABLE` under open channels: the server goes on accepting rows and loses them. Paused clock throughout.

use std::time::Duration;

use snowpipe_streaming::{ErrorKind, InvalidationCause, PipePath, Recovery, ingest};
use snowpipe_streaming_emulator::answers::Answers;
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{Endpoint, Fault};
use tokio::time::Instant;

use crate::source::Shelf;
use crate::support::{World, cause, row, rows};

const DDL: &str = "CREATE OR REPLACE TABLE DB.PUBLIC.RIDES (N NUMBER);
    CREATE PIPE IF NOT EXISTS DB.PUBLIC.RIDES_PIPE AS COPY INTO DB.PUBLIC.RIDES MATCH_BY_COLUMN_NAME=CASE_INSENSITIVE;";

fn world() -> World {
    World::with(|emulator| emulator.catalog(Catalog::from_ddl(DDL).unwrap()))
}

impl World {
    fn replace_table(&self) {
        self.emulator.apply_ddl(DDL).unwrap();
    }

    fn rides(&self) -> Vec<i64> {
        let rows = self.emulator.rows("DB.PUBLIC.RIDES").unwrap();
        rows.iter().map(|row| row["N"].as_i64().unwrap()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn appends_are_accepted_and_lost_until_a_status_shows_it() {
    let world = world();
    let (_client, mut channel) = world.channel().await;
    let first = channel.append_rows(rows(0..10), 0..).await.unwrap();
    first.committed().await.unwrap();
    world.replace_table();
    let lost = channel.append_rows(rows(10..20), 10..).await.unwrap();
    lost.accepted().await.unwrap();
    let before = Instant::now();
    let error = lost.committed().await.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::Gone, "{error}");
    assert!(
        error.is_ambiguous(),
        "the rows were accepted, and may have been committed: {error}"
    );
    assert!(before.elapsed() < Duration::from_secs(5));
    assert!(world.rides().is_empty());
    // The new table has nothing, and the caller decides where to start.
    channel.reopen().await.unwrap();
    assert_eq!(channel.resume_after::<i64>().unwrap(), None);
    let again = channel.append_rows(rows(0..20), 0..).await.unwrap();
    again.committed().await.unwrap();
    assert_eq!(world.rides(), (0..20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn an_idle_channel_learns_of_the_replacement_by_its_heartbeat() {
    let world = world();
    let (_client, mut channel) = world.channel().await;
    let first = channel.append_rows(rows(0..10), 0..).await.unwrap();
    first.committed().await.unwrap();
    world.replace_table();
    let error = channel.invalidated().await;
    assert_eq!(cause(&error), InvalidationCause::Gone, "{error}");
    let error = channel.append_row(&row(10), 10).await.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::Gone, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_replaying_channel_sends_again_what_was_lost_if_nothing_was_committed() {
    let world = world();
    let builder = world.builder().recovery(Recovery::Replay);
    let client = builder.build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    world.replace_table();
    let lost = channel.append_rows(rows(0..10), 0..).await.unwrap();
    lost.committed().await.unwrap();
    assert_eq!(world.rides(), (0..10).collect::<Vec<_>>());
    assert!(channel.close().await.unwrap().is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_replaying_channel_does_not_continue_in_a_table_that_lacks_its_first_rows() {
    let world = world();
    let builder = world.builder().recovery(Recovery::Replay);
    let client = builder.build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let first = channel.append_rows(rows(0..10), 0..).await.unwrap();
    first.committed().await.unwrap();
    world.replace_table();
    let lost = channel.append_rows(rows(10..20), 10..).await.unwrap();
    let error = lost.committed().await.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::OffsetConflict, "{error}");
    assert!(world.rides().is_empty());
}

/// The source still has its rows, so the next run streams all of them.
#[tokio::test(start_paused = true)]
async fn a_run_reports_the_replacement_and_the_next_run_starts_at_the_first_row() {
    let world = world();
    let client = world.client().await;
    let mut shelf = Shelf::of(0..10);
    shelf.stock().is_forgetful = true;
    shelf.stock().is_open = true;
    let source = shelf.clone();
    let replace = async {
        while world.rides().len() < 10 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        world.replace_table();
        let mut stock = source.stock();
        stock.rows.extend((10..20).map(|n| (n, row(n))));
        stock.is_open = false;
    };
    let run = ingest::run(&client, "c", &mut shelf).into_future();
    let (ended, ()) = tokio::join!(run, replace);
    let error = ended.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::OffsetConflict, "{error}");
    ingest::run(&client, "c", &mut shelf).await.unwrap();
    assert_eq!(world.rides(), (0..20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn the_fault_keeps_the_token_and_the_committed_rows() {
    let world = World::new();
    let (_client, mut channel) = world.channel().await;
    let first = channel.append_rows(rows(0..10), 0..).await.unwrap();
    first.committed().await.unwrap();
    let fault = Fault::AcceptAndLose.on(Endpoint::Append);
    world.emulator.faults().push(fault);
    let lost = channel.append_rows(rows(10..20), 10..).await.unwrap();
    lost.accepted().await.unwrap();
    let error = lost.committed().await.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::Gone, "{error}");
    channel.reopen().await.unwrap();
    assert_eq!(channel.resume_after::<i64>().unwrap(), Some(9));
    let again = channel.append_rows(rows(10..20), 10..).await.unwrap();
    again.committed().await.unwrap();
    assert_eq!(world.landed(), (0..20).collect::<Vec<_>>());
}

const RECREATE: &str = "DROP TABLE DB.PUBLIC.RIDES; CREATE TABLE DB.PUBLIC.RIDES (N NUMBER);
    CREATE PIPE DB.PUBLIC.RIDES_PIPE AS COPY INTO DB.PUBLIC.RIDES MATCH_BY_COLUMN_NAME=CASE_INSENSITIVE;";

/// An account that refuses opens for two minutes after a table was dropped and created again, as observed by
/// `estuary/connectors` (materialize-snowflake/streamv2_test.go, "a drop and re-create does not").
fn slow_world() -> World {
    let answers = Answers::default().with("tables.recreated_table", "not_yet");
    World::with(|emulator| {
        let catalog = Catalog::from_ddl(DDL).unwrap();
        emulator.catalog(catalog).answers(answers.unwrap())
    })
}

#[tokio::test(start_paused = true)]
async fn a_reopen_waits_for_a_table_that_was_created_again() {
    let world = slow_world();
    let (_client, mut channel) = world.channel().await;
    let first = channel.append_row(&row(0), 0).await.unwrap();
    first.committed().await.unwrap();
    world.emulator.apply_ddl(RECREATE).unwrap();
    let error = channel.invalidated().await;
    assert_eq!(cause(&error), InvalidationCause::Gone, "{error}");
    channel.reopen().await.unwrap();
    assert_eq!(channel.resume_after::<i64>().unwrap(), None);
    let again = channel.append_row(&row(0), 0).await.unwrap();
    again.committed().await.unwrap();
    assert_eq!(world.rides(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_replaying_channel_waits_for_a_table_that_was_created_again() {
    let world = slow_world();
    let builder = world.builder().recovery(Recovery::Replay);
    let client = builder.build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    world.emulator.apply_ddl(RECREATE).unwrap();
    let receipt = channel.append_rows(rows(0..10), 0..).await.unwrap();
    receipt.committed().await.unwrap();
    assert_eq!(world.rides(), (0..10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_run_waits_for_a_table_that_was_created_again_if_its_source_has_released_rows() {
    let world = slow_world();
    let mut shelf = Shelf::of(0..10);
    let client = world.client().await;
    ingest::run(&client, "c", &mut shelf).await.unwrap();
    world.emulator.apply_ddl(RECREATE).unwrap();
    shelf.stock().rows.extend((10..20).map(|n| (n, row(n))));
    // The next process.
    let client = world.client().await;
    ingest::run(&client, "c", &mut shelf).await.unwrap();
    assert_eq!(world.rides(), (10..20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn statuses_that_say_for_long_that_the_pipe_is_missing_end_the_channel_as_gone() {
    let world = World::with(|emulator| {
        let catalog = Catalog::from_ddl(DDL).unwrap();
        emulator
            .catalog(catalog)
            .commit_delay(Duration::from_secs(60))
    });
    let (_client, mut channel) = world.channel().await;
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    receipt.accepted().await.unwrap();
    let accepted = Instant::now();
    world
        .emulator
        .apply_ddl("DROP TABLE DB.PUBLIC.RIDES")
        .unwrap();
    let error = channel.invalidated().await;
    assert_eq!(cause(&error), InvalidationCause::Gone, "{error}");
    let waited = accepted.elapsed().as_secs();
    assert!((600..605).contains(&waited), "`retry_for`: {waited}");
}

#[tokio::test(start_paused = true)]
async fn only_a_pipe_that_was_there_is_waited_for_and_not_forever() {
    let world = slow_world();
    let (client, mut channel) = world.channel().await;
    world
        .emulator
        .apply_ddl("DROP TABLE DB.PUBLIC.RIDES")
        .unwrap();
    let refused = channel.append_row(&row(0), 0).await.unwrap();
    let error = refused.committed().await.unwrap_err();
    assert_eq!(cause(&error), InvalidationCause::Gone, "{error}");
    let start = Instant::now();
    let error = channel.reopen().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(start.elapsed(), Duration::from_secs(180));
    let start = Instant::now();
    let misspelt = client.for_pipe(PipePath::new("DB", "PUBLIC", "RIDE_PIPE").unwrap());
    let error = misspelt.open_channel("c").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let error = ingest::run(&misspelt, "c", &mut Shelf::of(0..10)).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(start.elapsed() < Duration::from_secs(1), "at once");
}
