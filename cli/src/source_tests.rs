//! Tests of the source: reading, holding and releasing lines.

use snowpipe_streaming::PipePath;
use tokio::sync::mpsc;

use super::*;
use crate::dead_letters::ChannelId;
use crate::line::Field;

type Sender = mpsc::Sender<Vec<Item>>;

fn lines(on_bad_line: OnBadLine) -> (Lines<u64>, Sender) {
    let (sender, receiver) = mpsc::channel(100);
    let letters = DeadLetters::open(None, channel()).unwrap();
    let names = vec!["rides".to_owned()];
    let lines = Lines::new(receiver, names, on_bad_line, letters, Arc::default());
    (lines, sender)
}

fn channel() -> ChannelId {
    let pipe = PipePath::for_table("D", "S", "T").unwrap();
    ChannelId::new("account", &pipe, "c")
}

fn place(line: u64) -> Place {
    let file = Place::START.next_file();
    Place { line, ..file }
}

fn row(line: u64, json: &str) -> Item {
    let json = RawValue::from_string(json.to_owned()).unwrap().into();
    let (place, field) = (place(line), Field::Absent);
    Item::Row(Row { place, field, json })
}

fn rows(range: std::ops::Range<u64>) -> Vec<Item> {
    range.map(|line| row(line, "{}")).collect()
}

fn bad(line: u64) -> Item {
    let (why, place) = ("it is bad".to_owned(), place(line));
    let line = b"x".to_vec();
    Item::Bad(Bad { place, why, line })
}

async fn read(lines: &mut Lines<u64>, after: Option<u64>) -> (Vec<u64>, bool) {
    let batch = lines.read_after(after.as_ref(), 100).await.unwrap();
    let offsets = batch.rows.iter().map(|(offset, _)| *offset).collect();
    (offsets, batch.is_end)
}

#[tokio::test]
async fn unreleased_rows_are_read_again() {
    let (mut lines, sender) = lines(OnBadLine::Stop);
    sender.send(rows(1..4)).await.unwrap();
    assert_eq!(read(&mut lines, None).await, (vec![1, 2, 3], false));
    assert_eq!(read(&mut lines, Some(3)).await, (vec![], false));
    sender.send(vec![row(5, "{}"), Item::End]).await.unwrap();
    lines.ready().await.unwrap();
    assert_eq!(read(&mut lines, Some(3)).await, (vec![5], true));
    lines.release_through(&1).await.unwrap();
    assert_eq!(read(&mut lines, Some(1)).await, (vec![2, 3, 5], true));
    assert_eq!(read(&mut lines, Some(5)).await, (vec![], true));
}

#[tokio::test]
async fn committed_rows_are_skipped_and_not_held() {
    let (mut lines, sender) = lines(OnBadLine::Stop);
    lines.check("c", Some(&2)).await.unwrap();
    let mut items = vec![bad(1)];
    items.extend(rows(2..5));
    sender.send(items).await.unwrap();
    // As after a crash before the rejects were recorded.
    assert_eq!(read(&mut lines, None).await, (vec![2, 3, 4], false));
    assert_eq!(lines.held.len(), 2);
    assert_eq!(read(&mut lines, Some(2)).await, (vec![3, 4], false));
}

#[tokio::test]
async fn the_source_waits_for_committed_rows() {
    let (mut lines, sender) = lines(OnBadLine::Stop);
    lines.check("c", Some(&4)).await.unwrap();
    // As if an earlier run died before it stored rejects: they are read again from the beginning, and the input may be slow.
    let slow = async {
        for range in [1..3, 3..5] {
            tokio::task::yield_now().await;
            sender.send(rows(range)).await.unwrap();
        }
    };
    let all = async {
        let first = read(&mut lines, None).await;
        let rest = read(&mut lines, Some(2)).await;
        // There may never be rows after it.
        (first, rest, read(&mut lines, Some(4)).await)
    };
    let (read, ()) = tokio::join!(all, slow);
    assert_eq!(
        read,
        ((vec![1, 2], false), (vec![3, 4], false), (vec![], false))
    );
}

#[tokio::test]
async fn an_input_that_ends_before_the_committed_row_is_refused() {
    let (mut lines, sender) = lines(OnBadLine::Stop);
    lines.check("c", Some(&9)).await.unwrap();
    let mut items = rows(1..6);
    items.push(Item::End);
    sender.send(items).await.unwrap();
    let error = lines.read_after(Some(&9), 100).await.unwrap_err();
    let error = error.to_string();
    assert!(error.contains("rides:5") && error.contains('9'), "{error}");
    assert!(lines.is_foreign());

    let (mut lines, sender) = self::lines(OnBadLine::Stop);
    lines.check("c", Some(&5)).await.unwrap();
    let mut items = rows(1..6);
    items.push(Item::End);
    sender.send(items).await.unwrap();
    assert_eq!(read(&mut lines, Some(5)).await, (vec![], true));
}

#[tokio::test]
async fn held_bytes_are_limited() {
    let (mut lines, sender) = lines(OnBadLine::Stop);
    let long = format!("{{\"a\":\"{}\"}}", " ".repeat(MOST_HELD / 2));
    sender
        .send((1..5).map(|n| row(n, &long)).collect())
        .await
        .unwrap();
    assert_eq!(read(&mut lines, None).await, (vec![1, 2], false));
    assert_eq!(read(&mut lines, Some(2)).await, (vec![], false));
    lines.release_through(&1).await.unwrap();
    assert_eq!(read(&mut lines, Some(2)).await, (vec![3], false));
    let bytes = lines.meter.bytes.load(Ordering::Relaxed);
    assert_eq!(bytes, 3 * long.len() as u64);
}

#[tokio::test]
async fn a_bad_line_stops_the_run_or_is_skipped() {
    let (mut lines, sender) = lines(OnBadLine::Stop);
    sender
        .send(vec![row(1, "{}"), bad(2), row(3, "{}")])
        .await
        .unwrap();
    assert_eq!(read(&mut lines, None).await, (vec![1], true));
    assert_eq!(lines.stopped_at(), Some("rides:2: it is bad"));

    let (mut lines, sender) = self::lines(OnBadLine::Skip);
    sender
        .send(vec![row(1, "{}"), bad(2), row(3, "{}")])
        .await
        .unwrap();
    assert_eq!(read(&mut lines, None).await, (vec![1, 3], false));
    assert_eq!(lines.meter.skipped.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_unexpected_end_of_the_input_is_an_error() {
    let (mut lines, sender) = lines(OnBadLine::Stop);
    sender.send(rows(1..2)).await.unwrap();
    drop(sender);
    let error = lines.read_after(None, 100).await.unwrap_err();
    assert_eq!(error.to_string(), "the input ended unexpectedly");
    assert!(lines.ready().await.is_err());

    let (mut lines, sender) = self::lines(OnBadLine::Stop);
    let failed = Item::Failed("rides cannot be read".to_owned());
    sender.send(vec![failed]).await.unwrap();
    let error = lines.read_after(None, 100).await.unwrap_err();
    assert_eq!(error.to_string(), "rides cannot be read");
}
