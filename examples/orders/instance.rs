//! One instance: two sources, each with its own channel and offset token.

use std::sync::Arc;

use anyhow::Result;
use snowpipe_streaming::ingest::{self, Finish};
use tokio::sync::watch;
use tracing::warn;

use crate::config::Config;
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
    pub(crate) number: u64,
    pub(crate) orders: Arc<Orders>,
    pub(crate) items: Arc<Items>,
    meters: [Arc<Meter>; 2],
}

impl Instance {
    /// An instance that generates `orders` orders. Computes the number of items of each.
    pub(crate) fn new(number: u64, generator: Generator, orders: u64) -> Self {
        let generator = Arc::new(generator);
        Self {
            number,
            orders: Arc::new(Orders::new(Arc::clone(&generator), orders)),
            items: Arc::new(Items::new(generator, orders)),
            meters: Default::default(),
        }
    }

    /// How many rows of a table the instance generates.
    pub(crate) fn rows(&self, table: Table) -> u64 {
        match table {
            Table::Orders => self.orders.last(),
            Table::OrderItems => self.items.last(),
        }
    }

    /// The progress of the stream to a table.
    pub(crate) fn meter(&self, table: Table) -> &Arc<Meter> {
        let [orders, items] = &self.meters;
        match table {
            Table::Orders => orders,
            Table::OrderItems => items,
        }
    }

    /// Streams both tables until all rows are committed, or until `stop` becomes true. If one stream fails, the other continues.
    pub(crate) async fn run(
        &self,
        clients: &Clients,
        config: &Config,
        stop: &watch::Receiver<bool>,
    ) -> [(Table, Result<Finish>); 2] {
        let orders = self.stream(Table::Orders, &self.orders, clients, config, stop);
        let items = self.stream(Table::OrderItems, &self.items, clients, config, stop);
        let (orders, items) = tokio::join!(orders, items);
        [(Table::Orders, orders), (Table::OrderItems, items)]
    }

    /// Streams one table. After a retryable failure it starts again from the committed token.
    async fn stream<R: Rows>(
        &self,
        table: Table,
        rows: &Arc<R>,
        clients: &Clients,
        config: &Config,
        stop: &watch::Receiver<bool>,
    ) -> Result<Finish> {
        let channel = config.names(table).channel_of(self.number);
        let mut pauses = Pauses::new(config.retry_delay, self.number, table);
        let mut retries = 0..config.max_retries;
        loop {
            let pace = Pace::new(config.orders_at_once as u64, config.generation_interval);
            let meter = Arc::clone(self.meter(table));
            let mut source = Generated::new(Arc::clone(rows), pace, meter);
            let run = ingest::run(clients.of(table), &channel, &mut source)
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
