//! Cancel safety: every future of the public face is dropped after every number of polls it takes, and rows still land
//! once. Paused clock throughout.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use snowpipe_streaming::emulator::{Endpoint, Fault, ReplayedToken};
use snowpipe_streaming::{
    Channel, ClientBuilder, ErrorKind, OnUncommitted, Recovery, StreamingIngestClient,
};

use crate::support::{World, noisy, row};

/// A future that is polled at most so often: `None` if that was not enough.
struct Polls<F> {
    future: Pin<Box<F>>,
    left: usize,
}

impl<F: Future> Future for Polls<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        match self.future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

async fn polls<F: Future>(left: usize, future: F) -> Option<F::Output> {
    let future = Box::pin(future);
    Polls { future, left }.await
}

fn world() -> World {
    let world = World::with(|e| e.replay(ReplayedToken::Stale));
    let faults = world.emulator.faults();
    faults.push(Fault::Refuse.on(Endpoint::Hostname));
    faults.push(Fault::ServerError(503).on(Endpoint::Open).times(2));
    faults.push(Fault::ServerError(500).on(Endpoint::Status).times(2));
    faults.push(Fault::ApplyThenLose.on(Endpoint::Append).after(2));
    faults.push(Fault::ServerError(503).on(Endpoint::Drop));
    let slow = Fault::Delay(Duration::from_millis(300));
    faults.push(slow.on(Endpoint::Append).at_rate(0.2));
    world
}

fn builder(world: &World) -> ClientBuilder {
    world
        .builder()
        .recovery(Recovery::Replay)
        .memory_budget(256 << 10)
}

/// An operation that a caller may give up, and may have to make up for afterwards.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Op {
    AppendMany,
    AppendUnit,
    AppendEach,
    Committed,
    Accepted,
    WaitForCommit,
    WaitForFlush,
    Commits,
    Status,
    Statuses,
    Reopen,
    DropOther,
}

/// Appends a hundred rows, then does the operation, gives it up after so many polls, and says whether it was done.
async fn give_up(
    op: Op,
    left: usize,
    client: &StreamingIngestClient,
    channel: &mut Channel,
    end: i64,
) -> bool {
    let whole = channel.append_rows(noisy(0..100), 0..=99);
    let receipt = whole.await.unwrap();
    let next = 100;
    let done = match op {
        Op::AppendMany => {
            let append = channel.append_rows(noisy(next..end), next..);
            polls(left, append).await.map(drop)
        }
        Op::AppendUnit => {
            let append = channel.append_rows(noisy(next..next + 300), next..=next + 299);
            polls(left, append).await.map(drop)
        }
        Op::AppendEach => {
            let rows = noisy(next..end).zip(next..);
            polls(left, channel.append_each(rows)).await.map(drop)
        }
        Op::Committed => polls(left, receipt.committed()).await.map(drop),
        Op::Accepted => polls(left, receipt.accepted()).await.map(drop),
        Op::WaitForCommit => polls(left, channel.wait_for_commit()).await.map(drop),
        Op::WaitForFlush => polls(left, channel.wait_for_flush()).await.map(drop),
        Op::Commits => {
            let mut commits = channel.commits();
            polls(left, commits.changed()).await.map(drop)
        }
        Op::Status => polls(left, channel.status()).await.map(drop),
        Op::Statuses => {
            let statuses = client.channel_statuses(["c"]);
            polls(left, statuses).await.map(drop)
        }
        Op::Reopen => {
            let reopened = polls(left, channel.reopen()).await;
            if reopened.is_none() {
                channel.reopen().await.unwrap();
            }
            reopened.map(Result::unwrap)
        }
        Op::DropOther => {
            drop(client.open_channel("other").await.unwrap().close().await);
            let dropped = polls(left, client.drop_channel("other")).await;
            dropped.map(Result::unwrap)
        }
    };
    done.is_some()
}

#[tokio::test(start_paused = true)]
async fn whatever_is_given_up_wherever_rows_land_once() {
    for op in [
        Op::AppendMany,
        Op::AppendUnit,
        Op::AppendEach,
        Op::Committed,
        Op::Accepted,
        Op::WaitForCommit,
        Op::WaitForFlush,
        Op::Commits,
        Op::Status,
        Op::Statuses,
        Op::Reopen,
        Op::DropOther,
    ] {
        let mut left = 0;
        loop {
            let world = world();
            let client = builder(&world).build().await.unwrap();
            let policy = OnUncommitted::WaitThenDiscard(Duration::from_secs(5));
            let opening = client.open_channel("c").on_uncommitted(policy);
            let mut channel = opening.await.unwrap();
            let end = 2_500;
            let is_done = give_up(op, left, &client, &mut channel, end).await;
            let resume = channel
                .last_appended()
                .or(channel.latest_committed_offset_token());
            let next = resume.map_or(0, |token| token.parse::<i64>().unwrap() + 1);
            let rest = channel.append_rows(noisy(next..end), next..);
            rest.await.unwrap().committed().await.unwrap();
            let mut landed = world.landed();
            landed.sort_unstable();
            assert_eq!(
                landed,
                (0..end).collect::<Vec<_>>(),
                "{op:?} after {left} polls"
            );
            assert!(channel.close().await.unwrap().is_clean());
            assert_eq!(client.memory_in_use(), 0, "{op:?} after {left} polls");
            if is_done {
                break;
            }
            left += 1;
            assert!(left < 500, "{op:?} is never done");
        }
        assert!(left > 0, "{op:?} never waited");
    }
}

#[tokio::test(start_paused = true)]
async fn a_build_or_an_open_that_is_given_up_leaves_nothing_behind() {
    for left in 0..40 {
        let world = world();
        let built = polls(left, builder(&world).build()).await;
        let client = match built {
            Some(client) => client.unwrap(),
            None => builder(&world).build().await.unwrap(),
        };
        let opened = polls(left, client.open_channel("c").into_future()).await;
        let mut channel = match opened {
            Some(channel) => channel.unwrap(),
            None => client.open_channel("c").await.unwrap(),
        };
        let receipt = channel.append_row(&row(0), 0).await.unwrap();
        receipt.committed().await.unwrap();
        assert_eq!(world.landed(), [0], "after {left} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_that_is_given_up_equals_a_drop() {
    for left in 0..20 {
        let world = world();
        let client = builder(&world).build().await.unwrap();
        let mut channel = client.open_channel("c").await.unwrap();
        let rows = channel.append_rows(noisy(0..500), 0..);
        let receipt = rows.await.unwrap();
        let closed = polls(left, channel.close()).await;
        receipt.committed().await.unwrap();
        assert_eq!(world.landed(), (0..500).collect::<Vec<_>>());
        if closed.is_none() {
            // It drains in the background; its name is free when that is done.
            let mut again = client.open_channel("c").await;
            while let Err(error) = &again {
                assert_eq!(error.kind(), ErrorKind::ChannelAlreadyOpen);
                tokio::time::sleep(Duration::from_millis(100)).await;
                again = client.open_channel("c").await;
            }
        }
        assert_eq!(client.memory_in_use(), 0);
    }
}
