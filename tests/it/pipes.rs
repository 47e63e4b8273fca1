//! Clients of several pipes that share login, connections and memory.

use snowpipe_streaming::emulator::Endpoint;
use snowpipe_streaming::{ErrorKind, PipePath};

use crate::support::{World, noisy, row};

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
