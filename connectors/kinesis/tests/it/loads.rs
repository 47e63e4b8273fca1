//! Objects are loaded once each, by name.

use anyhow::{Context as _, Result, ensure};

use crate::world::World;
use snowpipe_kinesis::csv;
use snowpipe_kinesis::demo::landing::MICROBATCH;
use snowpipe_kinesis::sensor::Measurement;

fn rows(sensor: i64, count: i64) -> Vec<Measurement> {
    let row = |temperature| Measurement {
        sensor_id: Some(sensor),
        current_temperature: Some(temperature),
        status: Some("OK".to_owned()),
    };
    (0..count).map(row).collect()
}

/// Loads what is there. Returns the exit code.
async fn load(world: &World, more: &[&str]) -> Result<Option<i32>> {
    let more: Vec<_> = ["--once"].iter().chain(more).copied().collect();
    Ok(world.loading(&more)?.ended().await?.code())
}

async fn put(world: &World, key: &str, rows: &[Measurement]) -> Result<()> {
    world
        .bucket
        .put(&format!("kinesiscsv/{key}"), csv::write(rows).into())
        .await
}

#[tokio::test]
async fn an_object_is_loaded_once_and_its_name_is_never_loaded_again() -> Result<()> {
    let world = World::new(1).await?;
    put(&world, "sensor-1/a.csv", &rows(1, 3)).await?;
    put(&world, "sensor-1/b.csv", &rows(2, 250)).await?;
    put(&world, "sensor-1/empty.csv", &[]).await?;
    world
        .bucket
        .put("other/c.csv", "not an object of this path".into())
        .await?;
    ensure!(load(&world, &[]).await? == Some(0), "the program failed");
    let mut expected = [rows(1, 3), rows(2, 250)].concat();
    ensure!(
        world.landing.measurements(MICROBATCH)? == expected,
        "other rows"
    );

    // Listed again, and with another content.
    ensure!(load(&world, &[]).await? == Some(0), "the program failed");
    put(&world, "sensor-1/a.csv", &rows(3, 5)).await?;
    put(&world, "sensor-1/d.csv", &rows(4, 1)).await?;
    let mut loading = world.loading(&["--once"])?;
    loading.says("kinesiscsv/sensor-1/a.csv").await?;
    loading
        .says("4 objects taken, 254 rows, 1 changed later, 0 refused")
        .await?;
    ensure!(loading.ended().await?.success(), "the program failed");
    expected.extend(rows(4, 1));
    ensure!(
        world.landing.measurements(MICROBATCH)? == expected,
        "other rows"
    );
    ensure!(!world.compare().await?, "the tables are equal");
    Ok(())
}

#[tokio::test]
async fn an_object_with_an_error_is_refused_and_the_next_ones_are_loaded() -> Result<()> {
    let world = World::new(1).await?;
    put(&world, "1.csv", &rows(1, 3)).await?;
    let broken = "sensorId,currentTemperature,status\n1,2,OK\nx,2,OK\n";
    world.bucket.put("kinesiscsv/2.csv", broken.into()).await?;
    put(&world, "3.csv", &rows(3, 3)).await?;
    let mut loading = world.loading(&["--once"])?;
    loading.says("is not a whole number").await?;
    ensure!(
        loading.ended().await?.code() == Some(1),
        "the program has not failed"
    );
    let expected = [rows(1, 3), rows(3, 3)].concat();
    ensure!(
        world.landing.measurements(MICROBATCH)? == expected,
        "other rows"
    );
    // It stays refused.
    ensure!(
        load(&world, &[]).await? == Some(1),
        "the program has not failed"
    );
    Ok(())
}

#[tokio::test]
async fn a_history_belongs_to_a_bucket_a_table_and_a_channel() -> Result<()> {
    let world = World::new(1).await?;
    put(&world, "1.csv", &rows(1, 3)).await?;
    ensure!(load(&world, &[]).await? == Some(0), "the program failed");

    let path = world.path("other");
    let bucket = format!("--bucket={}", path.display());
    let history = format!("--history={}", world.path("loads.db").display());
    let profile = format!("--profile={}", world.path("profile.json").display());
    let table = format!("--table={MICROBATCH}");
    let mut other = world.program(&["load", &bucket, &history, &profile, &table, "--once"])?;
    other.says("use another --history").await?;
    ensure!(
        other.ended().await?.code() == Some(1),
        "the history was accepted"
    );

    // Another channel would load everything again.
    let mut other = world.loading(&["--once", "--source-id=other"])?;
    other.says("use another --history").await?;
    ensure!(
        other.ended().await?.code() == Some(1),
        "the channel was accepted"
    );

    // Another history knows nothing of the rows that the channel has.
    let history = format!("--history={}", world.path("new.db").display());
    let bucket = format!("--bucket={}", world.path("bucket").display());
    let mut new = world.program(&["load", &bucket, &history, &profile, &table, "--once"])?;
    new.says("use the history of the run that has loaded them")
        .await?;
    ensure!(
        new.ended().await?.code() == Some(1),
        "the history was accepted"
    );
    ensure!(
        world.landing.measurements(MICROBATCH)? == rows(1, 3),
        "other rows"
    );
    Ok(())
}

#[tokio::test]
async fn a_kill_in_the_middle_of_an_object_doubles_nothing() -> Result<()> {
    let mut world = World::new(1).await?;
    let mut expected = Vec::new();
    for sensor in 0..20 {
        put(&world, &format!("{sensor:02}.csv"), &rows(sensor, 5_000)).await?;
        expected.extend(rows(sensor, 5_000));
    }
    let mut loading = world.loading(&[])?;
    for at in [1, 20_000, 60_000] {
        world.landing.have_rows(0, at).await?;
        loading.restart().await?;
    }
    world.landing.have_rows(0, expected.len()).await?;
    ensure!(loading.stop().await?.success(), "the program failed");
    expected.sort_unstable();
    ensure!(
        world.landing.measurements(MICROBATCH)? == expected,
        "other rows"
    );
    let first = world
        .objects()
        .await?
        .into_iter()
        .next()
        .context("no object")?;
    ensure!(
        world.object(&first.key).await?.len() == 5_000,
        "another object"
    );
    Ok(())
}
