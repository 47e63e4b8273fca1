//! The streams against an emulator in memory, under a paused clock: killed anywhere, throttled, refused, and always exact.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use snowpipe_streaming::emulator::tables::Catalog;
use snowpipe_streaming::emulator::{Emulator, Endpoint, Fault, MemoryTransport};
use snowpipe_streaming::{Profile, TokioClock};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::job;
use crate::config::{Config, DEFAULT};
use crate::instance::Instance;
use crate::model::{Order, OrderItem};
use crate::orchestrate::{self, Job, Outcome};
use crate::report::Report;
use crate::rows::Rows;
use crate::table::Table;
use crate::target::{Route, SETUP, Target, schema};

/// How long a request travels, and its answer: long enough to be killed on the way.
const LATENCY: Duration = Duration::from_millis(23);

/// Orders that come in over some seconds, so that there is always something to be killed.
const LIVE: &str = "max.client.lag=0\norders.batch.size=100\ngeneration.interval.ms=250";

/// An emulator, and what it takes to stream to it.
struct World {
    emulator: Emulator,
    target: Target,
    config: Arc<Config>,
    instances: Vec<Instance>,
    stop: watch::Sender<bool>,
}

impl World {
    fn new(job: Job) -> Self {
        Self::configured(
            job,
            "orders.batch.size=500\nbatch.size=1000\nmax.client.lag=1",
        )
    }

    fn configured(job: Job, more: &str) -> Self {
        let emulator = Emulator::builder()
            .catalog(Catalog::from_ddl(SETUP).unwrap())
            .build()
            .unwrap();
        let clock = Arc::new(TokioClock::starting_at(SystemTime::now()));
        let config = Config::parse(&format!("{DEFAULT}\n{more}")).unwrap();
        let profile = Profile::from_json(&emulator.profile_json("http://127.0.0.1:1")).unwrap();
        let target = Target {
            route: Route::Memory {
                transport: MemoryTransport::new(emulator.clone(), clock).with_latency(LATENCY),
                _scratch: None,
            },
            schema: schema(&profile, &config).unwrap(),
            profile,
            landing: None,
        };
        Self {
            emulator,
            target,
            config: Arc::new(config),
            instances: orchestrate::instances(job),
            stop: watch::channel(false).0,
        }
    }

    async fn run(&self) -> Outcome {
        let clients = self.target.clients(&self.config).await.unwrap();
        let stop = self.stop.subscribe();
        orchestrate::run(&self.instances, &clients, &self.config, &stop, || {}).await
    }

    /// Runs for so long and then drops everything, as a kill does. True if it was complete before.
    async fn run_for(&self, time: Duration) -> bool {
        let outcome = timeout(time, self.run()).await;
        // Tasks that were aborted end at their next turn.
        tokio::task::yield_now().await;
        outcome.is_ok_and(|outcome| outcome.failures.is_empty())
    }

    /// Runs again and again, for as many milliseconds as `pause` says, until it is complete.
    async fn run_with_kills(&self, pause: impl Fn(u64) -> u64) -> u64 {
        let mut kills = 0;
        while !self.run_for(Duration::from_millis(pause(kills))).await {
            kills += 1;
            assert!(kills < 1_000, "it gets nowhere");
        }
        kills
    }

    async fn report(&self) -> Report {
        let clients = self.target.clients(&self.config).await.unwrap();
        Report::new(&self.instances, &clients, &self.config, &self.target)
            .await
            .unwrap()
    }

    fn rows(&self, table: Table) -> Vec<Value> {
        self.emulator.rows(&self.target.schema.path(table)).unwrap()
    }

    /// Asserts that both tables hold what the instances make, row for row, and nothing else.
    async fn assert_exact(&self) {
        let mut expected = Vec::new();
        for instance in &self.instances {
            expected.extend(
                instance
                    .orders
                    .from(1)
                    .map(|(_, order)| landed_order(&order)),
            );
        }
        assert_same(self.rows(Table::Orders), expected, "ORDER_ID");
        let mut expected = Vec::new();
        for instance in &self.instances {
            expected.extend(instance.items.from(1).map(|(_, item)| landed_item(&item)));
        }
        assert_same(self.rows(Table::OrderItems), expected, "ORDER_ITEM_ID");
        let report = self.report().await;
        assert!(report.is_exact(), "{report}");
    }

    /// How many requests of a kind there were about a channel.
    fn requests(&self, endpoint: Endpoint, channel: &str) -> usize {
        let log = self.emulator.log().into_iter();
        log.filter(|request| request.endpoint == endpoint)
            .filter(|request| request.channels.iter().any(|name| name == channel))
            .count()
    }
}

fn assert_same(mut found: Vec<Value>, mut expected: Vec<Value>, id: &str) {
    for rows in [&mut found, &mut expected] {
        rows.sort_by_key(|row| row[id].as_str().unwrap().to_owned());
    }
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
}

fn dollars(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// A row of ORDERS as it is in the table.
fn landed_order(order: &Order) -> Value {
    json!({
        "ORDER_ID": order.order_id.to_string(),
        "CUSTOMER_ID": order.customer_id,
        "ORDER_DATE": order.order_date.strftime("%Y-%m-%d %H:%M:%S.000000000").to_string(),
        "ORDER_STATUS": order.order_status,
        "TOTAL_AMOUNT": dollars(order.total_amount.cents),
        "DISCOUNT_PERCENT": dollars(order.discount_percent * 100),
        "SHIPPING_COST": dollars(order.shipping_cost.cents),
    })
}

/// A row of `ORDER_ITEMS` as it is in the table.
fn landed_item(item: &OrderItem) -> Value {
    json!({
        "ORDER_ITEM_ID": item.order_item_id.to_string(),
        "ORDER_ID": item.order_id.to_string(),
        "PRODUCT_ID": item.product_id,
        "PRODUCT_NAME": item.product_name,
        "PRODUCT_CATEGORY": item.product_category,
        "QUANTITY": item.quantity,
        "UNIT_PRICE": dollars(item.unit_price.cents),
        "LINE_TOTAL": dollars(item.line_total.cents),
    })
}

#[tokio::test(start_paused = true)]
async fn every_way_to_share_orders_out_ends_exact() {
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
        Some("order_50")
    );
    assert_eq!(
        token("orders_channel_instance_1").as_deref(),
        Some("order_51")
    );
    let items = world.instances[1].rows(Table::OrderItems);
    let last = format!("item_{items}");
    assert_eq!(token("order_items_channel_instance_1"), Some(last));
    let again = world.run().await;
    assert!(again.failures.is_empty());
    let news = |table| {
        world
            .instances
            .iter()
            .map(move |i| i.meter(table).committed())
    };
    assert_eq!(news(Table::Orders).sum::<u64>(), 101);
    world.assert_exact().await;
}

#[tokio::test(start_paused = true)]
async fn a_larger_total_goes_on_where_the_smaller_one_ended() {
    let mut world = World::new(job(200, 2));
    world.run().await;
    world.instances = orchestrate::instances(job(1_000, 2));
    let outcome = world.run().await;
    assert!(outcome.failures.is_empty(), "{outcome:?}");
    let news = world
        .instances
        .iter()
        .map(|i| i.meter(Table::Orders).news());
    assert_eq!(news.sum::<u64>(), 800);
    world.assert_exact().await;

    // Back again it cannot go: these channels are further than the orders they would get.
    world.instances = orchestrate::instances(job(500, 2));
    let outcome = world.run().await;
    assert_eq!(outcome.failures.len(), 4, "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn no_row_is_lost_or_twice_wherever_it_is_killed() {
    // From before the channels are open to long after the first commits, off every period of client and emulator.
    for pause in [1, 13, 47, 111, 257, 391, 523, 761, 1_009] {
        let world = World::configured(job(1_500, 3), LIVE);
        let kills = world.run_with_kills(|kills| pause + kills % 7 * 150).await;
        assert!(kills > 1, "after {pause} ms {kills}");
        world.assert_exact().await;
    }
}

#[tokio::test(start_paused = true)]
async fn many_orders_of_five_instances_are_exact_after_kills() {
    let world = World::configured(job(10_000, 5), LIVE);
    let kills = world.run_with_kills(|kills| 300 + kills * 100).await;
    assert!(kills >= 5, "{kills}");
    world.assert_exact().await;
}

#[tokio::test(start_paused = true)]
async fn kills_amid_faults_leave_both_tables_exact() {
    let world = World::configured(job(3_000, 3), LIVE);
    let faults = world.emulator.faults();
    for fault in [
        Fault::Lose,
        Fault::ApplyThenLose,
        Fault::Cut,
        Fault::ServerError(503),
        Fault::ApplyThenServerError(500),
        Fault::Throttle(None),
        Fault::Refuse,
    ] {
        faults.push(fault.on(Endpoint::Append).at_rate(0.05));
    }
    let kills = world.run_with_kills(|kills| 300 + kills % 5 * 250).await;
    assert!(kills > 2, "{kills}");
    assert!(faults.injected().len() >= 5, "{faults:?}");
    world.assert_exact().await;
}

#[tokio::test(start_paused = true)]
async fn a_throttled_append_is_repeated_and_nobody_hears_of_it() {
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
async fn an_instance_that_fails_does_not_stop_the_others_and_goes_on_later() {
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
async fn a_commit_that_never_comes_is_not_waited_for_for_ever() {
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
async fn a_failure_that_may_pass_is_tried_again_as_often_as_configured() {
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
async fn rows_wait_for_more_as_long_as_the_configuration_says() {
    for lag in [5, 60] {
        let live =
            format!("max.client.lag={lag}\norders.batch.size=10\ngeneration.interval.ms=3600000");
        let world = World::configured(job(100, 1), &live);
        let sent = || world.requests(Endpoint::Append, "orders_channel_instance_0");
        let began = Instant::now();
        let stream = async {
            world.run().await;
        };
        let look = async {
            while sent() == 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            began.elapsed()
        };
        let waited = tokio::select! {
            biased;
            () = stream => panic!("nine batches are still to come"),
            waited = look => waited,
        };
        let expected = Duration::from_secs(lag);
        assert!(
            waited >= expected && waited < expected + Duration::from_secs(1),
            "{waited:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_told_to_stop_commits_what_it_has_and_goes_on_later() {
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
