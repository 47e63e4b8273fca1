//! The elastic channel against the emulator. Paused clock throughout.

mod close;
mod failures;
mod flow;
mod wire;

use snowpipe_streaming::{ElasticChannel, StreamingIngestClient};
use snowpipe_streaming_emulator::{Endpoint, Limits, LoggedRequest};

use crate::support::World;

/// A client with its elastic channel, whose rows are tagged with a number.
async fn channel(world: &World) -> (StreamingIngestClient, ElasticChannel<i64>) {
    let client = world.client().await;
    let channel = client.elastic_channel();
    (client, channel)
}

/// The values of `N` of the rows that landed, in order of value.
fn landed(world: &World) -> Vec<i64> {
    world.emulator.commit_now();
    let mut landed = world.landed();
    landed.sort_unstable();
    landed
}

fn appends(world: &World) -> Vec<LoggedRequest> {
    let mut log = world.emulator.log();
    log.retain(|request| request.endpoint == Endpoint::Append);
    log
}

/// A server that accepts at most `bytes` in one request.
fn narrow(bytes: usize) -> World {
    let mut limits = Limits::off();
    limits.request_bytes = Some(bytes);
    World::with(|e| e.limits(limits))
}
