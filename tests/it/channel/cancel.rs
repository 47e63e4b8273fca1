//! Cancel safety: every public future is dropped after each possible number of polls, and rows still land once. Paused clock throughout.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use snowpipe_streaming::{
    Channel, ClientBuilder, Error, ErrorKind, OnUncommitted, Recovery, RowBatch,
    StreamingIngestClient,
};
use snowpipe_streaming_emulator::{Endpoint, Fault, ReplayedToken};

use crate::support::{World, noisy, row};

/// A future that is polled at most `left` times. `None` if that was not enough.
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

const BOTH: [Recovery; 2] = [Recovery::Surface, Recovery::Replay];

fn world(replayed: ReplayedToken) -> World {
    let world = World::with(|e| e.replay(replayed));
    let faults = world.emulator.faults();
    faults.push(Fault::Refuse.on(Endpoint::Hostname));
    faults.push(Fault::ServerError(503).on(Endpoint::Open).times(2));
    faults.push(Fault::ServerError(500).on(Endpoint::Status).times(2));
    faults.push(Fault::ApplyThenLose.on(Endpoint::Append).after(1));
    faults.push(Fault::ServerError(503).on(Endpoint::Drop));
    let slow = Fault::Delay(Duration::from_millis(300));
    faults.push(slow.on(Endpoint::Append).at_rate(0.2));
    world
}

fn builder(world: &World, recovery: Recovery) -> ClientBuilder {
    // Appends wait for every answer and for memory.
    let transport = world.transport().with_latency(Duration::from_millis(1));
    let builder = world.builder().transport(transport);
    builder.recovery(recovery).memory_budget(256 << 10)
}

async fn open(client: &StreamingIngestClient) -> Channel {
    let policy = OnUncommitted::WaitThenDiscard(Duration::from_secs(5));
    let opening = client.open_channel("c").on_uncommitted(policy);
    opening.await.unwrap()
}

/// The rows as one batch of bytes.
fn batch(range: std::ops::Range<i64>) -> RowBatch {
    let lines: Vec<_> = noisy(range).map(|row| row.to_string()).collect();
    RowBatch::from_ndjson(lines.join("\n")).unwrap()
}

/// Appends the missing rows up to `end` and waits for their commits. Reopens an invalidated channel.
async fn make_up(channel: &mut Channel, end: i64) {
    loop {
        let last = channel.last_appended();
        let resume = last.or(channel.latest_committed_offset_token());
        let next = resume.map_or(0, |token| token.parse::<i64>().unwrap() + 1);
        let rest = channel.append_rows(noisy(next..end), next..).await;
        let outcome = match rest {
            Ok(_) => channel.wait_for_commit().await.map(drop),
            Err(error) => Err(error),
        };
        let Err(error) = outcome else { return };
        let ErrorKind::Invalidated(_) = error.kind() else {
            panic!("{error}");
        };
        channel.reopen().await.unwrap();
    }
}

/// Waits until the name is free again.
async fn open_when_free(client: &StreamingIngestClient) -> Channel {
    loop {
        match client.open_channel("c").await {
            Ok(channel) => return channel,
            Err(error) => assert_eq!(error.kind(), ErrorKind::ChannelAlreadyOpen),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// An operation that is cancelled. Its missing rows are appended afterwards.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Op {
    AppendRow,
    AppendBatch,
    AppendMany,
    AppendUnit,
    AppendEach,
    Committed,
    Accepted,
    WaitForCommit,
    WaitForFlush,
    Commits,
    Invalidated,
    Status,
    Statuses,
    LatestTokens,
    Reopen,
    DropOther,
}

/// How many rows there are: more than there is memory for.
const END: i64 = 1_200;

const OPS: [Op; 16] = [
    Op::AppendRow,
    Op::AppendBatch,
    Op::AppendMany,
    Op::AppendUnit,
    Op::AppendEach,
    Op::Committed,
    Op::Accepted,
    Op::WaitForCommit,
    Op::WaitForFlush,
    Op::Commits,
    Op::Invalidated,
    Op::Status,
    Op::Statuses,
    Op::LatestTokens,
    Op::Reopen,
    Op::DropOther,
];

/// Appends a hundred rows, and drops the operation after `left` polls. Returns whether it completed.
async fn cancel(
    op: Op,
    left: usize,
    client: &StreamingIngestClient,
    channel: &mut Channel,
) -> bool {
    let whole = channel.append_rows(noisy(0..100), 0..=99);
    let receipt = whole.await.unwrap();
    let next = 100;
    let done = match op {
        Op::AppendRow => {
            let one_by_one = async {
                for (row, n) in noisy(next..END).zip(next..) {
                    drop(channel.append_row(&row, n).await?);
                }
                Ok::<(), Error>(())
            };
            polls(left, one_by_one).await.map(drop)
        }
        Op::AppendBatch => {
            let append = channel.append_batch(&batch(next..END), next..);
            polls(left, append).await.map(drop)
        }
        Op::AppendMany => {
            let append = channel.append_rows(noisy(next..END), next..);
            polls(left, append).await.map(drop)
        }
        Op::AppendUnit => {
            let units = async {
                for next in (next..END).step_by(100) {
                    let unit = noisy(next..next + 100);
                    drop(channel.append_rows(unit, next..=next + 99).await?);
                }
                Ok::<(), Error>(())
            };
            polls(left, units).await.map(drop)
        }
        Op::AppendEach => {
            let rows = noisy(next..END).zip(next..);
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
        Op::Invalidated => {
            let end = tokio::time::timeout(Duration::from_secs(5), channel.invalidated());
            polls(left, end).await.map(drop)
        }
        Op::Status => polls(left, channel.status()).await.map(drop),
        Op::Statuses => {
            let statuses = client.channel_statuses(["c"]);
            polls(left, statuses).await.map(drop)
        }
        Op::LatestTokens => {
            let tokens = client.latest_committed_offset_tokens(["c"]);
            polls(left, tokens).await.map(drop)
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
async fn rows_land_once_whatever_is_cancelled_at_any_poll() {
    for (recovery, op) in BOTH.into_iter().flat_map(|r| OPS.map(|op| (r, op))) {
        let mut left = 0;
        loop {
            let text = format!("{recovery:?}: {op:?} after {left} polls");
            let world = world(ReplayedToken::Stale);
            let client = builder(&world, recovery).build().await.unwrap();
            let mut channel = open(&client).await;
            let is_done = cancel(op, left, &client, &mut channel).await;
            make_up(&mut channel, END).await;
            let mut landed = world.landed();
            landed.sort_unstable();
            assert_eq!(landed, (0..END).collect::<Vec<_>>(), "{text}");
            let injected = world.emulator.faults().injected();
            assert_eq!(injected.get("apply then lose"), Some(&1), "{text}");
            assert!(channel.close().await.unwrap().is_clean(), "{text}");
            assert_eq!(client.memory_in_use(), 0, "{text}");
            if is_done {
                break;
            }
            left += 1;
            assert!(left < 500, "{op:?} is never done");
        }
        assert!(left > 1, "{op:?} never waited");
    }
}

/// The operations of an untracked channel that are cancelled.
#[derive(Debug, Clone, Copy)]
enum Untracked {
    Row,
    Rows,
    Batch,
    SenderRow,
    SenderRows,
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_untracked_append_leaves_its_first_rows_and_no_duplicates() {
    let ops = [
        Untracked::Row,
        Untracked::Rows,
        Untracked::Batch,
        Untracked::SenderRow,
        Untracked::SenderRows,
    ];
    for (recovery, op) in BOTH.into_iter().flat_map(|r| ops.map(|op| (r, op))) {
        // Without tokens to resume from, an invalidated channel could only lose or duplicate rows.
        let replayed = match recovery {
            Recovery::Replay => ReplayedToken::Stale,
            _ => ReplayedToken::Accept,
        };
        let mut left = 0;
        loop {
            let text = format!("{recovery:?}: {op:?} after {left} polls");
            let world = world(replayed);
            let client = builder(&world, recovery).build().await.unwrap();
            let mut channel = client.open_untracked_channel("u").await.unwrap();
            let mut appended = 0;
            let done = match op {
                Untracked::Row => {
                    let one_by_one = async {
                        for row in noisy(0..END) {
                            drop(channel.append_row(&row).await.unwrap());
                            appended += 1;
                        }
                    };
                    polls(left, one_by_one).await.is_some()
                }
                Untracked::Rows => {
                    let append = channel.append_rows(noisy(0..END));
                    polls(left, append).await.map(Result::unwrap).is_some()
                }
                Untracked::Batch => {
                    let append = channel.append_batch(&batch(0..END));
                    polls(left, append).await.map(Result::unwrap).is_some()
                }
                Untracked::SenderRow => {
                    let sender = channel.weak_sender();
                    let one_by_one = async {
                        for row in noisy(0..END) {
                            drop(sender.append_row(&row).await.unwrap());
                            appended += 1;
                        }
                    };
                    polls(left, one_by_one).await.is_some()
                }
                Untracked::SenderRows => {
                    let append = channel.weak_sender().append_rows(noisy(0..END));
                    polls(left, append).await.map(Result::unwrap).is_some()
                }
            };
            // A cancelled append of one row has appended nothing; one of several rows may have appended the first of them.
            let is_row = matches!(op, Untracked::Row | Untracked::SenderRow);
            let expected = done.then_some(END).or(is_row.then_some(appended));
            let last = channel.append_row(&row(-1)).await.unwrap();
            last.committed().await.unwrap();
            let mut landed = world.landed();
            landed.sort_unstable();
            let count = i64::try_from(landed.len()).unwrap() - 1;
            assert_eq!(landed, (-1..count).collect::<Vec<_>>(), "{text}");
            assert_eq!(expected.unwrap_or(count), count, "{text}");
            assert!(channel.close().await.unwrap().is_clean(), "{text}");
            assert_eq!(client.memory_in_use(), 0, "{text}");
            if done {
                break;
            }
            left += 1;
            assert!(left < 500, "{op:?} is never done");
        }
        assert!(left > 1, "{op:?} never waited");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_job_is_completed_by_its_next_run() {
    for recovery in BOTH {
        let mut left = 0;
        loop {
            let text = format!("{recovery:?} after {left} polls");
            let world = world(ReplayedToken::Stale);
            let client = builder(&world, recovery).build().await.unwrap();
            let sent = client.send_once("c", "run", noisy(0..END));
            let first = polls(left, sent).await;
            let mut outcome = first.clone();
            while !matches!(outcome, Some(Ok(_))) {
                tokio::time::sleep(Duration::from_millis(100)).await;
                outcome = Some(client.send_once("c", "run", noisy(0..END)).await);
            }
            assert_eq!(world.landed(), (0..END).collect::<Vec<_>>(), "{text}");
            assert_eq!(client.memory_in_use(), 0, "{text}");
            if first.is_some() {
                break;
            }
            left += 1;
            assert!(left < 500, "it is never done");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_build_or_open_leaves_nothing_behind() {
    for (recovery, left) in BOTH.into_iter().flat_map(|r| (0..40).map(move |n| (r, n))) {
        let world = world(ReplayedToken::Stale);
        let built = polls(left, builder(&world, recovery).build()).await;
        let client = match built {
            Some(client) => client.unwrap(),
            None => builder(&world, recovery).build().await.unwrap(),
        };
        let opened = polls(left, client.open_channel("c").into_future()).await;
        let mut channel = match opened {
            Some(channel) => channel.unwrap(),
            None => client.open_channel("c").await.unwrap(),
        };
        let receipt = channel.append_row(&row(0), 0).await.unwrap();
        receipt.committed().await.unwrap();
        assert_eq!(world.landed(), [0], "{recovery:?} after {left} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_close_equals_a_drop() {
    for (recovery, left) in BOTH.into_iter().flat_map(|r| (0..20).map(move |n| (r, n))) {
        let world = world(ReplayedToken::Stale);
        let client = builder(&world, recovery).build().await.unwrap();
        let mut channel = client.open_channel("c").await.unwrap();
        let rows = channel.append_rows(noisy(0..500), 0..);
        let receipt = rows.await.unwrap();
        let closed = polls(left, channel.close()).await;
        receipt.committed().await.unwrap();
        assert_eq!(world.landed(), (0..500).collect::<Vec<_>>());
        if closed.is_none() {
            // It drains in the background; its name is free when that is done.
            drop(open_when_free(&client).await);
        }
        assert_eq!(client.memory_in_use(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_close_is_cancelled_stays_usable() {
    for recovery in BOTH {
        let mut left = 0;
        loop {
            let text = format!("{recovery:?} after {left} polls");
            let world = world(ReplayedToken::Stale);
            let client = builder(&world, recovery).build().await.unwrap();
            let mut channel = open(&client).await;
            make_up(&mut channel, 200).await;
            drop(channel.append_rows(noisy(200..500), 200..).await.unwrap());
            let closed = polls(left, client.clone().close()).await;
            let is_done = closed.is_some();
            if is_done {
                let error = channel.append_row(&row(0), 500).await.unwrap_err();
                // A channel that was invalidated before still reports that.
                let kind = error.kind();
                let is_expected =
                    matches!(kind, ErrorKind::ClientClosed | ErrorKind::Invalidated(_));
                assert!(is_expected, "{text}: {error}");
                assert_eq!(client.memory_in_use(), 0, "{text}");
                let next = builder(&world, recovery).build().await.unwrap();
                make_up(&mut open(&next).await, END).await;
            } else {
                make_up(&mut channel, END).await;
            }
            assert_eq!(world.landed(), (0..END).collect::<Vec<_>>(), "{text}");
            if is_done {
                break;
            }
            left += 1;
            assert!(left < 500, "it is never done");
        }
        assert!(left > 1, "it never waited");
    }
}

/// Without its destructor, an append leaves its rows with the writer of the channel.
#[tokio::test(start_paused = true)]
async fn the_rows_of_a_leaked_append_are_not_appended_with_others() {
    let world = World::new();
    let client = world.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    std::mem::forget(channel.append_row(&row(1), 1));
    let batch = RowBatch::from_ndjson(row(2).to_string()).unwrap();
    channel.try_append_batch(&batch, 2..).unwrap();
    std::mem::forget(channel.append_row(&row(3), 3));
    channel.append_row(&row(4), 4).await.unwrap();
    channel.close().await.unwrap();
    assert_eq!(world.landed(), [2, 4]);
    assert_eq!(client.memory_in_use(), 0);
}
