//! Offset tokens, their numbers, and the rows read after an offset.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use snowpipe_streaming::ingest::Source;

use super::generator;
use crate::meter::Meter;
use crate::numbers::ItemNumbers;
use crate::offsets::{ItemOffset, OrderOffset};
use crate::pace::Pace;
use crate::rows::{Items, Orders, Rows};
use crate::source::Generated;

fn source<R: Rows>(rows: R) -> Generated<R> {
    let pace = Pace::new(10, Duration::ZERO);
    Generated::new(Arc::new(rows), pace, Arc::new(Meter::default()))
}

#[test]
fn tokens_are_a_prefix_and_a_number() {
    assert_eq!(OrderOffset(17).to_string(), "order_17");
    assert_eq!(ItemOffset(1_000_000).to_string(), "item_1000000");
    assert_eq!("order_17".parse(), Ok(OrderOffset(17)));
    assert_eq!("item_17".parse(), Ok(ItemOffset(17)));
    assert!(OrderOffset(9) < OrderOffset(10));
}

#[test]
fn an_unknown_token_means_the_first_row() {
    for token in [
        "",
        "NULL",
        "0",
        "17",
        "order_",
        "order_x",
        "order_-1",
        "item_17",
        "order_1.5",
    ] {
        assert_eq!(token.parse(), Ok(OrderOffset(0)), "{token:?}");
    }
    let uuid = "order_7f8b1c0e-2a4d-4b6f-9d3e-5c1a2b3c4d5e";
    assert_eq!(uuid.parse(), Ok(OrderOffset(0)));
}

proptest! {
    #[test]
    fn any_text_parses_as_an_offset(text in "\\PC*", number: u64) {
        let Ok(ItemOffset(_)) = text.parse();
        let offset = ItemOffset(number);
        prop_assert_eq!(offset.to_string().parse(), Ok(offset));
    }
}

#[test]
fn item_numbers_are_contiguous_from_order_to_order() {
    let generator = Arc::new(generator(0));
    // More orders than the distance between two stored numbers.
    let numbers = ItemNumbers::reserve(Arc::clone(&generator), 2_500);
    let mut next = 1;
    for order in 1..=2_500 {
        let count = generator.items(order).count() as u64;
        for item in [next, next + count - 1] {
            assert_eq!(numbers.find(item), (order, next..next + count), "{item}");
        }
        next += count;
    }
    assert_eq!(numbers.total(), next - 1);
    assert_eq!(ItemNumbers::reserve(generator, 0).total(), 0);
}

#[tokio::test]
async fn a_read_after_an_offset_returns_the_rows_after_it() {
    let generator = Arc::new(generator(3));
    let all: Vec<_> = (1..=60).flat_map(|order| generator.items(order)).collect();
    let mut items = source(Items::new(Arc::clone(&generator), 60));
    for after in [0, 1, 2, 57, 100, all.len() - 1] {
        for max in [1, 7, 10_000] {
            let offset = (after > 0).then_some(ItemOffset(after as u64));
            let batch = items.read_after(offset.as_ref(), max).await.unwrap();
            let expected = &all[after..all.len().min(after + max)];
            let (offsets, rows): (Vec<_>, Vec<_>) = batch.rows.into_iter().unzip();
            assert_eq!(rows, expected, "after {after}, {max}");
            let first = after as u64 + 1;
            let numbers: Vec<_> = (first..).take(expected.len()).map(ItemOffset).collect();
            assert_eq!(offsets, numbers);
            assert_eq!(batch.is_end, after + expected.len() == all.len());
        }
    }
    let end = items
        .read_after(Some(&ItemOffset(all.len() as u64)), 5)
        .await;
    assert!(end.unwrap().is_end);
}

#[tokio::test]
async fn a_source_without_orders_is_at_its_end() {
    let generator = Arc::new(generator(0));
    let mut orders = source(Orders::new(Arc::clone(&generator), 0));
    assert!(orders.read_after(None, 10).await.unwrap().is_end);
    let mut items = source(Items::new(generator, 0));
    assert!(items.read_after(None, 10).await.unwrap().is_end);
}

#[tokio::test]
async fn a_channel_ahead_of_its_source_is_refused() {
    let mut orders = source(Orders::new(Arc::new(generator(0)), 10));
    orders.check("c", None).await.unwrap();
    orders.check("c", Some(&OrderOffset(10))).await.unwrap();
    let error = orders.check("c", Some(&OrderOffset(11))).await.unwrap_err();
    assert!(orders.is_fatal(&error));
    let text = error.to_string();
    assert!(
        text.contains("committed row 11") && text.contains("only 10 rows"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn orders_follow_the_pace_and_items_follow_their_orders() {
    let generator = Arc::new(generator(0));
    let meter = || Arc::new(Meter::default());
    let pace = || Pace::new(10, Duration::from_secs(60));
    let rows = Arc::new(Orders::new(Arc::clone(&generator), 100));
    let mut orders = Generated::new(rows, pace(), meter());
    let rows = Arc::new(Items::new(Arc::clone(&generator), 100));
    let mut items = Generated::new(rows, pace(), meter());
    for minute in 1..=10 {
        let after = OrderOffset((minute - 1) * 10);
        let batch = orders.read_after(Some(&after), 1_000).await.unwrap();
        assert_eq!(batch.through, Some(OrderOffset(minute * 10)));
        assert_eq!(batch.is_end, minute == 10);
        let count: u64 = (1..=minute * 10)
            .map(|order| generator.items_of(order))
            .sum();
        let batch = items.read_after(None, 1_000).await.unwrap();
        assert_eq!(batch.through, Some(ItemOffset(count)));
        if minute < 10 {
            let idle = orders
                .read_after(Some(&OrderOffset(minute * 10)), 1_000)
                .await;
            assert_eq!(idle.unwrap().through, None);
            orders.ready().await.unwrap();
        }
    }
}
