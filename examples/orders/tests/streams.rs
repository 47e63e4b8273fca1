//! Complete runs against an emulator in memory, under a paused clock: distribution, resumption, failures and timing.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use snowpipe_streaming_emulator::{Endpoint, Fault};
use tokio::time::Instant;

use super::job;
use super::world::World;
use crate::instance::Instance;
use crate::orchestrate::{self, Job};
use crate::rows::Rows;
use crate::table::Table;
use crate::target::SETUP;

#[tokio::test(start_paused = true)]
async fn every_distribution_of_orders_ends_exact() {
    for (orders, instances, customers) in
        [(50, 1, 3_000), (100, 7, 3_000), (3, 8, 3_000), (20, 6, 4)]
    {
        let world = World::new(Job {
            customers,
            ..job(orders, instances)
        });
        let outcome = world.run().await;
        assert!(
            outcome.failures.is_empty() && !outcome.interrupted,
            "{outcome:?}"
        );
        assert_eq!(world.rows(Table::Orders).len() as u64, orders);
        world.assert_exact().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_tokens_are_the_numbers_of_the_last_rows() {
    let world = World::new(job(101, 2));
    world.run().await;
    let token = |channel: &str| world.emulator.channel(channel).unwrap().offset_token;
    assert_eq!(
        token("orders_channel_instance_0").as_deref(),
        Some("order_51")
    );
    assert_eq!(
        token("orders_channel_instance_1").as_deref(),
        Some("order_50")
    );
    let items = world.instances[1].rows(Table::OrderItems);
    let last = format!("item_{items}");
    assert_eq!(token("order_items_channel_instance_1"), Some(last));
    let again = world.run().await;
    assert!(again.failures.is_empty());
    let committed = world
        .instances
        .iter()
        .map(|i| i.meter(Table::Orders).committed());
    assert_eq!(committed.sum::<u64>(), 101);
    world.assert_exact().await;
}

#[tokio::test(start_paused = true)]
async fn a_larger_total_continues_after_a_smaller_one() {
    let mut world = World::new(job(200, 2));
    world.run().await;
    world.instances = orchestrate::instances(job(1_000, 2));
    let outcome = world.run().await;
    assert!(outcome.failures.is_empty(), "{outcome:?}");
    let new_rows = world
        .instances
        .iter()
        .map(|i| i.meter(Table::Orders).new_rows());
    assert_eq!(new_rows.sum::<u64>(), 800);
    world.assert_exact().await;

    // A smaller total fails: the channels have committed more rows than it has.
    world.instances = orchestrate::instances(job(500, 2));
    let outcome = world.run().await;
    assert_eq!(outcome.failures.len(), 4, "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_larger_total_continues_with_any_remainder() {
    let mut world = World::new(job(1_004, 5));
    world.run().await;
    for orders in [1_005, 1_006, 1_010] {
        world.instances = orchestrate::instances(job(orders, 5));
        let outcome = world.run().await;
        assert!(outcome.failures.is_empty(), "{orders}: {outcome:?}");
        world.assert_exact().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_append_is_repeated_and_the_channel_stays_open() {
    let world = World::new(job(1_000, 2));
    let channel = "orders_channel_instance_0";
    let throttle = Fault::Throttle(None).on(Endpoint::Append).channel(channel);
    world.emulator.faults().push(throttle.times(6));
    let outcome = world.run().await;
    assert!(outcome.failures.is_empty(), "{outcome:?}");
    assert_eq!(world.emulator.faults().injected()["throttle"], 6);
    assert_eq!(
        world.requests(Endpoint::Open, channel),
        1,
        "the channel stayed open"
    );
    world.assert_exact().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_instance_does_not_stop_the_others_and_continues_later() {
    let world = World::new(job(1_000, 4));
    let faults = world.emulator.faults();
    for table in ["orders", "order_items"] {
        let refused = Fault::Stale.on(Endpoint::Append);
        faults.push(
            refused
                .channel(format!("{table}_channel_instance_2"))
                .always(),
        );
    }
    let outcome = world.run().await;
    let failed: BTreeSet<_> = outcome
        .failures
        .iter()
        .map(|(channel, _)| channel.as_str())
        .collect();
    let both = [
        "order_items_channel_instance_2",
        "orders_channel_instance_2",
    ];
    assert_eq!(failed, BTreeSet::from(both));
    let done = |i: &Instance| i.meter(Table::Orders).committed();
    assert_eq!(
        world.instances.iter().map(done).collect::<Vec<_>>(),
        [250, 250, 0, 250]
    );
    assert_eq!(world.rows(Table::Orders).len(), 750);
    let report = world.report().await;
    assert!(!report.is_exact(), "{report}");
    assert!(report.to_string().contains("incomplete"), "{report}");

    faults.clear();
    assert!(world.run().await.failures.is_empty());
    world.assert_exact().await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_commit_fails_the_channel_in_the_end() {
    let world = World::configured(job(100, 2), "max.retries=0");
    let channel = "order_items_channel_instance_1";
    let withheld = Fault::WithholdCommits(Duration::MAX).on(Endpoint::Append);
    world.emulator.faults().push(withheld.channel(channel));
    let outcome = world.run().await;
    let pending: Vec<_> = outcome
        .failures
        .iter()
        .map(|(channel, _)| channel.as_str())
        .collect();
    assert_eq!(pending, [channel]);
    assert_eq!(world.rows(Table::Orders).len(), 100);
    assert!(!world.report().await.is_exact());
}

#[tokio::test(start_paused = true)]
async fn a_retryable_failure_is_retried_as_often_as_configured() {
    for (retries, failures) in [(0, 1), (2, 0)] {
        let world = World::configured(job(10, 1), &format!("max.retries={retries}"));
        let channel = "orders_channel_instance_0";
        let broken = Fault::ServerError(503).on(Endpoint::Open).channel(channel);
        world.emulator.faults().push(broken.times(50));
        let outcome = world.run().await;
        assert_eq!(outcome.failures.len(), failures, "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn rows_wait_for_more_rows_as_long_as_configured() {
    for lag in [5, 60] {
        let live =
            format!("max.client.lag={lag}\norders.batch.size=10\ngeneration.interval.ms=3600000");
        let world = World::configured(job(100, 1), &live);
        let sent = || world.requests(Endpoint::Append, "orders_channel_instance_0");
        let started = Instant::now();
        let stream = async {
            world.run().await;
        };
        let first_append = async {
            while sent() == 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            started.elapsed()
        };
        let waited = tokio::select! {
            biased;
            () = stream => panic!("nine batches are still to come"),
            waited = first_append => waited,
        };
        let expected = Duration::from_secs(lag);
        assert!(
            waited >= expected && waited < expected + Duration::from_secs(1),
            "{waited:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_run_commits_its_rows_and_continues_later() {
    let live = "orders.batch.size=10\ngeneration.interval.ms=10000";
    let world = World::configured(job(100, 2), live);
    let stop = async {
        tokio::time::sleep(Duration::from_secs(25)).await;
        world.stop.send_replace(true);
    };
    let (outcome, ()) = tokio::join!(world.run(), stop);
    assert!(
        outcome.interrupted && outcome.failures.is_empty(),
        "{outcome:?}"
    );
    assert_eq!(world.rows(Table::Orders).len(), 60);
    world.stop.send_replace(false);
    assert!(!world.run().await.interrupted);
    world.assert_exact().await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_with_an_unknown_token_starts_at_the_first_row() {
    let world = World::new(job(100, 1));
    let clients = world.target.clients(&world.config).await.unwrap();
    let mut channel = clients
        .orders
        .open_channel("orders_channel_instance_0")
        .await
        .unwrap();
    let (row, token) = (
        json!({ "ORDER_ID": "0" }),
        "order_7f8b1c0e-2a4d-4b6f-9d3e-5c1a2b3c4d5e",
    );
    let receipt = channel.append_row(&row, token).await.unwrap();
    receipt.committed().await.unwrap();
    drop((channel, clients));

    assert!(world.run().await.failures.is_empty());
    assert_eq!(world.rows(Table::Orders).len(), 101);
    let record = world.emulator.channel("orders_channel_instance_0").unwrap();
    assert_eq!(record.offset_token.as_deref(), Some("order_100"));
}

#[tokio::test(start_paused = true)]
async fn rejected_rows_are_counted_and_the_rest_lands() {
    // The column is too narrow for amounts of 1000 and more.
    let narrow = SETUP.replace("TOTAL_AMOUNT DECIMAL(10,2)", "TOTAL_AMOUNT DECIMAL(5,2)");
    let world = World::with_tables(job(200, 2), "", &narrow);
    let orders = world.instances.iter().flat_map(|i| i.orders.from(1));
    let fitting = orders
        .filter(|(_, order)| order.total_amount.cents < 100_000)
        .count();
    assert!(fitting < 190, "{fitting}");
    let outcome = world.run().await;
    assert!(outcome.failures.is_empty(), "{outcome:?}");
    assert_eq!(world.rows(Table::Orders).len(), fitting);
    let report = world.report().await;
    assert!(!report.is_exact(), "{report}");
    let again = world.run().await;
    assert!(again.failures.is_empty(), "{again:?}");
    assert_eq!(
        world.rows(Table::Orders).len(),
        fitting,
        "the rejected rows are not sent again"
    );
}
