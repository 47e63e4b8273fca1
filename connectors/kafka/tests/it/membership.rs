//! Members that join, leave, die and wake up again.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use snowpipe_streaming_emulator::{Emulator, EmulatorBuilder, Endpoint, Fault};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::world::{SOURCE_ID, TOPIC, World, stop};
use snowpipe_kafka::demo::landing::PATIENCE;
use snowpipe_kafka::demo::process::States;

/// Rows are committed late, so a member that dies has rows that are not.
fn slow() -> EmulatorBuilder {
    Emulator::builder().commit_delay(Duration::from_millis(700))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_joins_and_the_first_one_leaves() -> Result<()> {
    let mut world = World::with(6, slow()).await?;
    world.ride(3_000).await?;
    let mut first = world.member(&[])?;
    first.streams(6).await?;
    world.ride(3_000).await?;
    let mut second = world.member(&[])?;
    second.streams(3).await?;
    first.until(|states| count(states, "unowned") >= 3).await?;
    world.ride(3_000).await?;
    stop(first).await?;
    second.streams(6).await?;
    world.ride(3_000).await?;
    world.lands().await?;
    stop(second).await?;
    world.is_exact()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_killed_with_rows_in_flight() -> Result<()> {
    let mut world = World::with(6, slow()).await?;
    let mut stays = world.member(&[])?;
    let mut dies = world.member(&[])?;
    tokio::try_join!(stays.streams(1), dies.streams(1))?;
    world.ride(6_000).await?;
    world.landing.has_rows(1).await?;
    world.ride(6_000).await?;
    dies.kill().await?;
    world.ride(6_000).await?;
    stays.streams(6).await?;
    world.lands().await?;
    stop(stays).await?;
    world.is_exact()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_suspended_for_longer_than_its_session() -> Result<()> {
    let mut world = World::with(6, slow()).await?;
    let mut stays = world.member(&[])?;
    let mut sleeps = world.member(&[])?;
    tokio::try_join!(stays.streams(1), sleeps.streams(1))?;
    world.ride(6_000).await?;
    world.landing.has_rows(1).await?;
    sleeps.signal("STOP").await?;
    world.ride(6_000).await?;
    stays.streams(6).await?;
    sleeps.signal("CONT").await?;
    // It has lost what it had, and gets a part again.
    sleeps.until(|states| count(states, "unowned") > 0).await?;
    world.ride(6_000).await?;
    sleeps.streams(1).await?;
    world.lands().await?;
    stop(sleeps).await?;
    stop(stays).await?;
    world.is_exact()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_group_forgets_a_member() -> Result<()> {
    let mut world = World::new(4).await?;
    let mut member = world.member(&[])?;
    member.streams(4).await?;
    world.ride(4_000).await?;
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID;
    let brokers = &world.cluster.brokers;
    brokers.request_errors(RDKafkaApiKey::Heartbeat, &[unknown]);
    member.until(|states| count(states, "unowned") == 4).await?;
    world.ride(4_000).await?;
    member.streams(4).await?;
    world.lands().await?;
    stop(member).await?;
    world.is_exact()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_arrives_late_and_takes_the_channel_from_its_owner() -> Result<()> {
    let mut world = World::new(4).await?;
    let faults = world.landing.emulator.faults();
    for partition in 0..4 {
        let channel = format!("{SOURCE_ID}:{TOPIC}:{partition}");
        faults.push(Fault::Zombie.on(Endpoint::Open).channel(&channel));
        faults.push(Fault::SecondWriter.on(Endpoint::Append).channel(&channel));
    }
    let mut first = world.member(&[])?;
    first.streams(4).await?;
    world.ride(4_000).await?;
    world.landing.has_rows(1).await?;
    world
        .landing
        .emulator
        .faults()
        .push(Fault::Zombie.on(Endpoint::Open).times(2));
    let mut second = world.member(&[])?;
    second.streams(2).await?;
    world.ride(4_000).await?;
    world.lands().await?;
    let injected = world.landing.emulator.faults().injected();
    ensure!(injected.len() == 2, "{injected:?}");
    stop(second).await?;
    stop(first).await?;
    world.is_exact()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_member_restarts_within_its_session() -> Result<()> {
    let mut world = World::new(4).await?;
    let mut stays = world.member(&["--instance-id=a"])?;
    let mut restarts = world.member(&["--instance-id=b"])?;
    tokio::try_join!(stays.streams(1), restarts.streams(1))?;
    world.ride(4_000).await?;
    stop(restarts).await?;
    let mut restarts = world.member(&["--instance-id=b"])?;
    restarts.streams(1).await?;
    world.ride(4_000).await?;
    world.lands().await?;
    stop(restarts).await?;
    stop(stays).await?;
    world.is_exact()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_many_partitions_waits_for_commits_for_longer_than_it_may_be_silent()
-> Result<()> {
    let mut world = World::new(64).await?;
    let withheld = Fault::WithholdCommits(Duration::from_secs(11));
    world
        .landing
        .emulator
        .faults()
        .push(withheld.on(Endpoint::Append).times(64));
    let mut member = world.member(&["--set=max.poll.interval.ms=10000"])?;
    member.streams(64).await?;
    world.ride(6_400).await?;
    world.lands().await?;
    ensure!(
        count(&member.states(), "streaming") == 64,
        "it was not thrown out"
    );
    stop(member).await?;
    world.is_exact()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_show_the_lag() -> Result<()> {
    let mut world = World::new(2).await?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let options = [
        &*format!("--metrics=127.0.0.1:{port}"),
        "--set=statistics.interval.ms=200",
    ];
    let mut member = world.member(&options)?;
    member.streams(2).await?;
    world.ride(200).await?;
    world.lands().await?;
    let wanted = |partition| {
        let labels = format!("{{topic=\"rides\",partition=\"{partition}\"}}");
        [
            format!("snowpipe_kafka_lag{labels} 0\n"),
            format!("snowpipe_kafka_committed_offset{labels} 99\n"),
            format!("snowpipe_kafka_rows_committed_total{labels} 100\n"),
        ]
    };
    let wanted = [wanted(0), wanted(1)].concat();
    let mut page = String::new();
    let shown = async {
        // The page has no news to wait for.
        while !wanted.iter().all(|line| page.contains(line)) {
            sleep(Duration::from_millis(100)).await;
            page = scrape(port).await?;
        }
        Ok::<_, anyhow::Error>(())
    };
    match timeout(PATIENCE, shown).await {
        Ok(shown) => shown?,
        Err(_) => bail!("{wanted:?} are not in {page}"),
    }
    ensure!(page.contains("snowpipe_streaming_rows_"), "{page}");
    stop(member).await
}

async fn scrape(port: u16) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        .await?;
    let mut page = String::new();
    stream.read_to_string(&mut page).await?;
    Ok(page)
}

fn count(states: &States, state: &str) -> usize {
    states.values().filter(|s| *s == state).count()
}
