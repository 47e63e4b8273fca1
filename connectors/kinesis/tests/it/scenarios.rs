//! What happens with any server of the protocols.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::sleep;

use crate::world::World;
use snowpipe_kinesis::demo::process::Process;
use snowpipe_kinesis::sensor::Measurement;

/// A single shard with 250 records that are there already: batches of 100, 100 and 50.
pub(crate) async fn batches_of_a_hundred(mut world: World) -> Result<()> {
    world.put(250).await?;
    let (streaming, batching) = (world.streaming(&[])?, world.batching(&[])?);
    let loading = world.loading(&[])?;
    world.have_all().await?;
    world.are_exact()?;
    for process in [streaming, batching, loading] {
        process.drain().await?;
    }

    let mut sizes = Vec::new();
    for object in world.objects().await? {
        let rows = world.object(&object.key).await?;
        let sensor = rows
            .last()
            .and_then(|row| row.sensor_id)
            .context("no sensor")?;
        let prefix = format!("kinesiscsv/sensor-{sensor}/sensors-shardId-000000000000-");
        ensure!(
            object.key.starts_with(&prefix),
            "{} with {sensor}",
            object.key
        );
        sizes.push(rows.len());
    }
    sizes.sort_unstable();
    ensure!(sizes == [50, 100, 100], "{sizes:?}");
    ensure!(world.compare().await?, "the comparison finds differences");

    // Nothing is written or loaded twice.
    let before = world.objects().await?;
    let (streaming, batching) = (world.streaming(&[])?, world.batching(&[])?);
    world.put(30).await?;
    let loading = world.loading(&[])?;
    world.have_all().await?;
    for process in [streaming, batching, loading] {
        process.drain().await?;
    }
    world.are_exact()?;
    let after = world.objects().await?;
    ensure!(
        before.iter().all(|object| after.contains(object)),
        "an object was changed"
    );
    Ok(())
}

/// Shards are split and merged while records flow.
pub(crate) async fn shards_come_and_go(mut world: World) -> Result<()> {
    let (streaming, batching) = (world.streaming(&[])?, world.batching(&[])?);
    let loading = world.loading(&[])?;
    for step in 0..4 {
        world.put(1_000).await?;
        if step < 2 {
            world.split().await?;
        } else {
            world.merge().await?;
        }
    }
    world.put(1_000).await?;
    world.have_all().await?;
    for process in [streaming, batching, loading] {
        process.drain().await?;
    }
    world.are_exact()?;
    parents_come_first(&world).await
}

/// Checks that no row of a shard is visible before all rows of its parents.
pub(crate) async fn parents_come_first(world: &World) -> Result<()> {
    let [arrivals, _] = world.landing.arrivals();
    let of = |shard: &str| {
        // Capitals are escaped in names of channels.
        let end = format!(":{}", shard.replace('I', "~i"));
        let all = arrivals
            .iter()
            .filter(move |arrival| arrival.channel.ends_with(&end));
        all.map(|arrival| arrival.at).collect::<Vec<_>>()
    };
    let shards = world.stream.shards().await?;
    ensure!(
        shards.iter().any(|shard| !of(&shard.id).is_empty()),
        "no channel has its shard's name"
    );
    for shard in shards {
        for parent in &shard.parents {
            if let (Some(last), Some(first)) = (of(parent).last(), of(&shard.id).first()) {
                ensure!(last <= first, "{} before its parent {parent}", shard.id);
            }
        }
    }
    Ok(())
}

/// Malformed records, quotation marks, nulls, and fields too many.
pub(crate) async fn odd_records(mut world: World) -> Result<()> {
    let malformed: [&[u8]; 4] = [
        b"{\"sensorId\":",
        b"[1,2,\"OK\"]",
        b"{\"status\":\"\xff\"}",
        b"{\"sensorId\":1.5}",
    ];
    let malformed: Vec<_> = malformed
        .iter()
        .map(|data| ("1".to_owned(), data.to_vec().into()))
        .collect();
    let count = malformed.len();
    let odd = [
        r#"{"sensorId":1,"currentTemperature":2,"status":"it's \"OK\", mostly\n"}"#,
        r#"{"sensorId":2,"status":null,"location":{"x":1}}"#,
        r#"{"currentTemperature":-3,"status":""}"#,
        "{}",
    ];
    world.put(10).await?;
    world.put_records(malformed).await?;
    for text in odd {
        world
            .put_records(vec![("1".to_owned(), text.into())])
            .await?;
        let measurement = Measurement::decode(text.as_bytes()).map_err(anyhow::Error::msg)?;
        world.put.push(measurement);
    }
    world.put(10).await?;
    let (streaming, batching) = (world.streaming(&[])?, world.batching(&[])?);
    let loading = world.loading(&[])?;
    world.have_all().await?;
    for process in [streaming, batching, loading] {
        process.drain().await?;
    }
    world.are_exact()?;
    for path in ["stream", "batch"] {
        let letters = world.letters(path)?;
        ensure!(letters.len() == count, "{path}: {letters:?}");
        let is_complete = |letter: &serde_json::Value| letter["data"] != serde_json::Value::Null;
        ensure!(letters.values().all(is_complete), "{letters:?}");
        let mut origins = letters.keys().map(|(origin, _)| origin);
        ensure!(
            origins.all(|origin| origin.starts_with("sensors@")),
            "{letters:?}"
        );
    }
    Ok(())
}

/// Programs that are killed at random, while shards are split and merged.
pub(crate) async fn killed_at_random(mut world: World, seed: u64, kills: usize) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut programs: [Process; 3] = [
        world.streaming(&[])?,
        world.batching(&[])?,
        world.loading(&[])?,
    ];
    for _ in 0..kills {
        world.put(rng.usize(100..1_500)).await?;
        match rng.u8(0..6) {
            0 => world.split().await?,
            1 => world.merge().await?,
            _ => {}
        }
        // The events of a run at random happen at times at random.
        sleep(Duration::from_millis(rng.u64(100..2_000))).await;
        let at = rng.usize(..programs.len());
        programs
            .get_mut(at)
            .context("no program")?
            .restart()
            .await?;
    }
    world.put(500).await?;
    world.have_all().await?;
    // A call that fails while a program drains is its failure.
    if let Some(server) = &world.server {
        server.end_faults();
    }
    for process in programs {
        process.drain().await?;
    }
    world.are_exact()?;
    parents_come_first(&world).await
}
