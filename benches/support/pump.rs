//! Rows through channels side by side, and how long that takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use snowpipe_streaming::{Channel, StreamingIngestClient};
use tokio::runtime::Runtime;

use crate::rows::Row;

/// Open channels that all send the same rows over and over.
#[derive(Debug)]
pub(crate) struct Pump {
    channels: Vec<(Channel, u64)>,
    rows: Arc<Vec<Row>>,
}

impl Pump {
    /// Opens `channels` channels of `client`.
    pub(crate) async fn open(
        client: &StreamingIngestClient,
        channels: usize,
        rows: Vec<Row>,
    ) -> Self {
        let mut open = Vec::new();
        for i in 0..channels {
            let channel = client.open_channel(format!("bench-{channels}-{i}")).await;
            open.push((channel.expect("the channel opens"), 0));
        }
        Self {
            channels: open,
            rows: Arc::new(rows),
        }
    }

    /// Sends the rows `times` times, shared out over the channels, until all are accepted.
    pub(crate) fn run(&mut self, runtime: &Runtime, times: u64) -> Duration {
        let share = self.channels.len() as u64;
        let started = Instant::now();
        let tasks: Vec<_> = self
            .channels
            .drain(..)
            .enumerate()
            .map(|(i, (channel, next))| {
                let turns = (times + share - 1 - i as u64) / share;
                runtime.spawn(send(channel, next, Arc::clone(&self.rows), turns))
            })
            .collect();
        for task in tasks {
            self.channels
                .push(runtime.block_on(task).expect("the sender does not panic"));
        }
        started.elapsed()
    }
}

async fn send(
    mut channel: Channel,
    mut next: u64,
    rows: Arc<Vec<Row>>,
    turns: u64,
) -> (Channel, u64) {
    for _ in 0..turns {
        let _receipt = channel
            .append_rows(rows.iter(), next..)
            .await
            .expect("the channel takes rows");
        next += rows.len() as u64;
    }
    channel
        .wait_for_flush()
        .await
        .expect("the rows are accepted");
    (channel, next)
}
