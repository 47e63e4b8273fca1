//! One instance: a source for each table, with its own channel and offset token.

use std::sync::Arc;

use anyhow::Result;
use snowpipe_streaming::StreamingIngestClient;
use snowpipe_streaming::ingest::{self, Finish};
use tokio::sync::watch;
use tracing::warn;

use crate::config::Config;
use crate::customer_rows::CustomerRows;
use crate::generator::Generator;
use crate::meter::Meter;
use crate::pace::Pace;
use crate::pauses::Pauses;
use crate::rows::{Items, Orders, Rows};
use crate::source::Generated;
use crate::table::Table;
use crate::target::Clients;

/// An instance and its rows.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    /// `None`: a single run.
    pub(crate) number: Option<u64>,
    pub(crate) customers: Arc<CustomerRows>,
    pub(crate) orders: Arc<Orders>,
    pub(crate) items: Arc<Items>,
    meters: [Arc<Meter>; 3],
}

impl Instance {
    /// An instance that generates `orders` orders. Computes the number of items of each.
    pub(crate) fn new(
        number: Option<u64>,
        customers: CustomerRows,
        generator: Generator,
        orders: u64,
    ) -> Self {
        let generator = Arc::new(generator);
        Self {
            number,
            customers: Arc::new(customers),
            orders: Arc::new(Orders::new(Arc::clone(&generator), orders)),
            items: Arc::new(Items::new(generator, orders)),
            meters: Default::default(),
        }
    }

    /// How many rows of a table the instance generates.
    pub(crate) fn rows(&self, table: Table) -> u64 {
        match table {
            Table::Customers => self.customers.last(),
            Table::Orders => self.orders.last(),
            Table::OrderItems => self.items.last(),
        }
    }

    /// The progress of the stream to a table.
    pub(crate) fn meter(&self, table: Table) -> &Arc<Meter> {
        let [customers, orders, items] = &self.meters;
        match table {
            Table::Customers => customers,
            Table::Orders => orders,
            Table::OrderItems => items,
        }
    }

    /// Streams the tables until all rows are committed, or until `stop` becomes true. If one stream fails, the others continue.
    /// Returns each channel with its result.
    pub(crate) async fn run(
        &self,
        clients: &Clients,
        config: &Config,
        stop: &watch::Receiver<bool>,
    ) -> Vec<(String, Result<Finish>)> {
        let (customers, orders, items) = tokio::join!(
            self.stream(Table::Customers, &self.customers, clients, config, stop),
            self.stream(Table::Orders, &self.orders, clients, config, stop),
            self.stream(Table::OrderItems, &self.items, clients, config, stop),
        );
        [customers, orders, items].into_iter().flatten().collect()
    }

    /// Streams one table, if the configuration has it. Returns the channel.
    async fn stream<R: Rows>(
        &self,
        table: Table,
        rows: &Arc<R>,
        clients: &Clients,
        config: &Config,
        stop: &watch::Receiver<bool>,
    ) -> Option<(String, Result<Finish>)> {
        let channel = config.names(table)?.channel_of(self.number);
        let client = clients.of(table)?;
        let result = self
            .stream_to(&channel, table, rows, client, config, stop)
            .await;
        Some((channel, result))
    }

    /// Streams one table. After a retryable failure it starts again from the committed token.
    async fn stream_to<R: Rows>(
        &self,
        channel: &str,
        table: Table,
        rows: &Arc<R>,
        client: &StreamingIngestClient,
        config: &Config,
        stop: &watch::Receiver<bool>,
    ) -> Result<Finish> {
        let mut pauses = Pauses::new(config.retry_delay, self.number, table);
        let mut retries = 0..config.max_retries;
        loop {
            let pace = Pace::new(config.orders_at_once as u64, config.generation_interval);
            let meter = Arc::clone(self.meter(table));
            let mut source = Generated::new(Arc::clone(rows), pace, meter);
            let run = ingest::run(client, channel, &mut source)
                .batch_rows(config.rows_at_once(table))
                .until(stopped(stop.clone()));
            let error = match run.await {
                Ok(report) => return Ok(report.finish),
                Err(error) => error,
            };
            if !error.is_retryable() || retries.next().is_none() {
                return Err(error.into());
            }
            let pause = pauses.next();
            warn!(channel, %error, "the stream failed and starts again in {pause:?}");
            tokio::select! {
                biased;
                () = stopped(stop.clone()) => return Ok(Finish::Stopped),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// Resolves when `stop` becomes true or its sender is dropped.
async fn stopped(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
