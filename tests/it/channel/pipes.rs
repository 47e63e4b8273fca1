//! Clients of several pipes that share login, connections and memory.

use std::time::Duration;

use futures_util::future::join_all;
use snowpipe_streaming::{ErrorKind, InvalidationCause, PipePath};
use snowpipe_streaming_emulator::{Endpoint, Fault};
use tokio::time::{Instant, sleep};

use crate::support::{World, cause, noisy, row};

fn tickets() -> PipePath {
    "db.public.tickets-streaming".parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn clients_of_two_pipes_log_in_once_and_are_counted_and_closed_apart() {
    let world = World::new();
    let rides_client = world.client().await;
    let tickets_client = rides_client.for_pipe(tickets());
    assert_eq!(*tickets_client.pipe(), tickets());
    // One name in two pipes is two channels.
    let mut rides = rides_client.open_channel("c").await.unwrap();
    let mut tickets = tickets_client.open_channel("c").await.unwrap();
    drop(rides.append_row(&row(0), 0).await.unwrap());
    drop(tickets.append_rows(noisy(10..15), 10..).await.unwrap());
    rides.wait_for_commit().await.unwrap();
    tickets.wait_for_commit().await.unwrap();
    assert_eq!(world.landed(), [0]);
    assert_eq!(world.emulator.rows("DB.PUBLIC.TICKETS").unwrap().len(), 5);
    assert_eq!(world.requests(Endpoint::Hostname), 1);
    assert_eq!(world.requests(Endpoint::Token), 1);
    let (of_rides, of_tickets) = (rides_client.metrics(), tickets_client.metrics());
    assert_eq!((of_rides.rows_committed, of_tickets.rows_committed), (1, 5));
    assert_eq!((of_rides.channels, of_tickets.channels), (1, 1));
    assert_eq!(of_tickets.requests["append"].total, 1);
    assert!(!of_tickets.requests.contains_key("token"));

    rides_client.close().await.unwrap();
    let error = rides.append_row(&row(1), 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClientClosed);
    let receipt = tickets.append_row(&row(15), 15).await.unwrap();
    receipt.committed().await.unwrap();
    tickets.close().await.unwrap();
    tickets_client.close().await.unwrap();
}

/// A pipe that is not found makes its client look for the host. The other pipe needs neither a new host nor a new token.
#[tokio::test(start_paused = true)]
async fn a_pipe_that_is_not_found_takes_no_host_or_token_from_another_pipe() {
    for account in [Fault::Refuse, Fault::Hang] {
        let world = World::new();
        let rides_client = world.client().await;
        let tickets_client = rides_client.for_pipe(tickets());
        let mut rides = rides_client.open_channel("c").await.unwrap();
        let mut tickets = tickets_client.open_channel("d").await.unwrap();
        let faults = world.emulator.faults();
        faults.push(
            Fault::BareNotFound
                .on(Endpoint::Append)
                .channel("c")
                .always(),
        );
        faults.push(account.clone().on(Endpoint::Hostname).always());
        faults.push(account.on(Endpoint::Token).always());
        let lost = rides.append_row(&row(0), 0).await.unwrap();
        sleep(Duration::from_secs(5)).await;
        let start = Instant::now();
        for n in 0..5 {
            let receipt = tickets.append_row(&row(n), n).await.unwrap();
            receipt.committed().await.unwrap();
        }
        assert!(
            start.elapsed() < Duration::from_secs(15),
            "{:?}",
            start.elapsed()
        );
        faults.clear();
        drop(lost);
    }
}

/// Channels of one client, whose pipe moves while all of them send.
#[tokio::test(start_paused = true)]
async fn many_channels_that_find_no_pipe_look_for_the_host_together() {
    let world = World::new();
    let client = world.client().await;
    let mut channels = Vec::new();
    for n in 0..20 {
        channels.push(client.open_channel(format!("c{n}")).await.unwrap());
    }
    let faults = world.emulator.faults();
    faults.push(Fault::BareNotFound.on(Endpoint::Append).times(20));
    let mut receipts = Vec::new();
    for channel in &mut channels {
        receipts.push(channel.append_row(&row(0), 0).await.unwrap());
    }
    for receipt in receipts {
        receipt.committed().await.unwrap();
    }
    let look_ups = world.requests(Endpoint::Hostname);
    assert!(look_ups <= 4, "{look_ups}");
    assert_eq!(world.requests(Endpoint::Token), 1);
}

#[tokio::test(start_paused = true)]
async fn clients_of_two_pipes_share_the_memory_budget() {
    let world = World::new();
    let rides_client = world.client().await;
    let tickets_client = rides_client.for_pipe(tickets());
    let mut tickets = tickets_client.open_channel("c").await.unwrap();
    let receipt = tickets.append_rows(noisy(0..100), 0..).await.unwrap();
    let held = rides_client.memory_in_use();
    assert!(held > 0);
    assert_eq!(tickets_client.memory_in_use(), held);
    receipt.committed().await.unwrap();
    assert_eq!(rides_client.memory_in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_of_another_pipe_outlives_the_first() {
    let world = World::new();
    let client = world.client().await.for_pipe(tickets());
    let mut channel = client.open_channel("c").await.unwrap();
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    receipt.committed().await.unwrap();
    channel.close().await.unwrap();
    client.abort();
}

/// More channels than there are slots for requests, none of which is answered.
const HANGING: u32 = 300;

#[tokio::test(start_paused = true)]
async fn appends_that_hang_leave_slots_to_the_other_pipe() {
    let world = World::new();
    let rides_client = world.client().await;
    let tickets_client = rides_client.for_pipe(tickets());
    let names = (0..HANGING).map(|n| format!("hangs-{n}"));
    let opens = names
        .clone()
        .map(|name| rides_client.open_channel(name).into_future());
    let mut hanging: Vec<_> = join_all(opens)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let mut tickets = tickets_client.open_channel("c").await.unwrap();
    for name in names {
        let hang = Fault::Hang.on(Endpoint::Append).channel(name);
        world.emulator.faults().push(hang.always());
    }
    let mut lost = Vec::new();
    for channel in &mut hanging {
        lost.push(channel.append_row(&row(0), 0).await.unwrap());
    }
    let start = Instant::now();
    for n in 0..100 {
        let receipt = tickets.append_row(&row(n), n).await.unwrap();
        receipt.committed().await.unwrap();
        sleep(Duration::from_secs(2)).await;
    }
    let longest = Duration::from_secs(100 * 7);
    assert!(start.elapsed() < longest, "{:?}", start.elapsed());
    // Each of them has its time for retries and one more attempt, however many wait for a slot.
    for receipt in &lost {
        let error = receipt.committed().await.unwrap_err();
        assert_eq!(cause(&error), InvalidationCause::Unreachable);
    }
    let longest = Duration::from_secs(600 + 3 * 60);
    assert!(start.elapsed() < longest, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn opens_that_hang_leave_slots_to_the_other_pipe() {
    let world = World::new();
    let rides_client = world.client().await;
    let tickets_client = rides_client.for_pipe(tickets());
    let names = (0..HANGING).map(|n| format!("hangs-{n}"));
    for name in names.clone() {
        let hang = Fault::Hang.on(Endpoint::Open).channel(name);
        world.emulator.faults().push(hang.always());
    }
    let start = Instant::now();
    let opens = names.map(|name| rides_client.open_channel(name).into_future());
    let hanging = tokio::spawn(join_all(opens));
    sleep(Duration::from_secs(1)).await;
    for n in 0..20 {
        let opened = Instant::now();
        tickets_client.open_channel(format!("c{n}")).await.unwrap();
        assert!(opened.elapsed() < Duration::from_secs(1));
    }
    for error in hanging.await.unwrap() {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Timeout);
    }
    let longest = Duration::from_secs(60 + 3 * 60);
    assert!(start.elapsed() <= longest, "{:?}", start.elapsed());
}
