//! An emulator in memory, the configuration to stream to it, and the expected rows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use snowpipe_streaming::Profile;
use snowpipe_streaming::time::TokioClock;
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{Emulator, Endpoint, MemoryTransport};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::config::{Config, DEFAULT};
use crate::instance::Instance;
use crate::model::{Order, OrderItem};
use crate::orchestrate::{self, Job, Outcome};
use crate::report::Report;
use crate::rows::Rows;
use crate::table::Table;
use crate::target::{Route, SETUP, Target, schema};

/// The latency of requests and of responses, so that a kill can happen while a request is in flight.
const LATENCY: Duration = Duration::from_millis(23);

/// Orders that come in over some seconds, so that a kill interrupts the run.
pub(super) const LIVE: &str = "max.client.lag=0\norders.batch.size=100\ngeneration.interval.ms=250";

/// An emulator, and the configuration to stream to it.
pub(super) struct World {
    pub(super) emulator: Emulator,
    pub(super) target: Target,
    pub(super) config: Arc<Config>,
    pub(super) instances: Vec<Instance>,
    pub(super) stop: watch::Sender<bool>,
}

impl World {
    pub(super) fn new(job: Job) -> Self {
        Self::configured(
            job,
            "orders.batch.size=500\nbatch.size=1000\nmax.client.lag=1",
        )
    }

    pub(super) fn configured(job: Job, more: &str) -> Self {
        Self::with_tables(job, more, SETUP)
    }

    pub(super) fn with_tables(job: Job, more: &str, tables: &str) -> Self {
        let emulator = Emulator::builder()
            .catalog(Catalog::from_ddl(tables).unwrap())
            .build()
            .unwrap();
        let clock = Arc::new(TokioClock::starting_at(SystemTime::now()));
        let config = Config::parse(&format!("{DEFAULT}\n{more}")).unwrap();
        let profile = Profile::from_json(&emulator.profile_json("http://127.0.0.1:1")).unwrap();
        let target = Target {
            route: Route::Memory {
                transport: MemoryTransport::new(emulator.clone(), clock).with_latency(LATENCY),
                scratch: None,
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

    pub(super) async fn run(&self) -> Outcome {
        let clients = self.target.clients(&self.config).await.unwrap();
        let stop = self.stop.subscribe();
        orchestrate::run(&self.instances, &clients, &self.config, &stop, || {}).await
    }

    /// Runs for `time` and then drops everything, as a kill does. True if the run was complete before.
    async fn run_for(&self, time: Duration) -> bool {
        let outcome = timeout(time, self.run()).await;
        // Aborted tasks end when they are next polled.
        tokio::task::yield_now().await;
        outcome.is_ok_and(|outcome| outcome.failures.is_empty())
    }

    /// Runs repeatedly, each time for `pause` milliseconds, until a run is complete. Returns the number of kills.
    pub(super) async fn run_with_kills(&self, pause: impl Fn(u64) -> u64) -> u64 {
        let mut kills = 0;
        while !self.run_for(Duration::from_millis(pause(kills))).await {
            kills += 1;
            assert!(kills < 1_000, "the runs make no progress");
        }
        kills
    }

    pub(super) async fn report(&self) -> Report {
        let clients = self.target.clients(&self.config).await.unwrap();
        Report::new(&self.instances, &clients, &self.config, &self.target)
            .await
            .unwrap()
    }

    pub(super) fn rows(&self, table: Table) -> Vec<Value> {
        self.emulator.rows(&self.target.schema.path(table)).unwrap()
    }

    /// Asserts that both tables hold exactly the rows of the instances.
    pub(super) async fn assert_exact(&self) {
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
        let mut expected = Vec::new();
        for instance in &self.instances {
            expected.extend(instance.customers.from(1).map(|(_, customer)| customer));
        }
        let found = self.rows(Table::Customers);
        assert_eq!(found.len(), expected.len());
        let mut found: BTreeMap<_, _> = found
            .iter()
            .map(|row| (row["CUSTOMER_ID"].as_u64(), row))
            .collect();
        for customer in expected {
            let row = found
                .remove(&Some(customer.customer_id))
                .expect("the customer has landed");
            assert_eq!(row["ZIP_CODE"], customer.zip_code.to_string());
            assert_eq!(
                row["REGISTRATION_DATE"],
                customer.registration_date.to_string()
            );
        }
        let report = self.report().await;
        assert!(report.is_exact(), "{report}");
    }

    /// How many requests to an endpoint named a channel.
    pub(super) fn requests(&self, endpoint: Endpoint, channel: &str) -> usize {
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
