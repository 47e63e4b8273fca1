//! The reconciliation: compares the expected rows with the server's channel statuses and with the tables.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use snowpipe_connector_support::data_file::{Landed as Count, count_statement};
use snowpipe_connector_support::text_table::Align::{Left, Right};
use snowpipe_connector_support::text_table::aligned;
use snowpipe_streaming::{ChannelStatus, OffsetToken};

use crate::config::Config;
use crate::instance::Instance;
use crate::landing::{self, Landed};
use crate::offsets::{CustomerOffset, ItemOffset, OrderOffset};
use crate::table::{Schema, Table};
use crate::target::{Clients, Target};

/// The result of the reconciliation.
#[derive(Debug)]
pub(crate) struct Report {
    lines: Vec<Line>,
    /// `None`: customers are not streamed.
    customers: Option<u64>,
    orders: u64,
    items: u64,
    schema: Schema,
    /// None if the tables cannot be read.
    landed: Option<(Option<Count>, Landed)>,
}

/// The status of one channel.
#[derive(Debug)]
struct Line {
    channel: String,
    pipe: String,
    rows: u64,
    /// The token of the last row; none without rows.
    expected: Option<String>,
    token: Option<String>,
    inserted: u64,
    errors: u64,
}

impl Report {
    /// Queries the server and the tables.
    ///
    /// # Errors
    /// If the server does not answer or the tables cannot be read.
    pub(crate) async fn new(
        instances: &[Instance],
        clients: &Clients,
        config: &Config,
        target: &Target,
    ) -> Result<Self> {
        let mut lines = Vec::new();
        for (table, names) in config.tables() {
            let Some(client) = clients.of(table) else {
                continue;
            };
            let channels = instances.iter().map(|i| names.channel_of(i.number));
            let mut statuses = client.channel_statuses(channels).await?;
            lines.extend(instances.iter().map(|instance| {
                let channel = names.channel_of(instance.number);
                let status = statuses.remove(&channel);
                let rows = instance.rows(table);
                Line::new(table, channel, &names.pipe, rows, status.as_ref())
            }));
        }
        let rows = |table| instances.iter().map(|i| i.rows(table)).sum();
        let has_customers = config.customers.is_some();
        let landed =
            match (target.landing.clone(), target.sql()?) {
                (Some(path), _) => Some(count(path, target.schema.clone(), has_customers).await?),
                (None, Some(client)) => {
                    let counts =
                        landing::count_in_account(&client, &target.schema, has_customers).await;
                    Some(counts.context(
                        "leave the warehouse out of the profile to do without the counts",
                    )?)
                }
                (None, None) => None,
            };
        Ok(Self {
            lines,
            customers: config.customers.as_ref().map(|_| rows(Table::Customers)),
            orders: rows(Table::Orders),
            items: rows(Table::OrderItems),
            schema: target.schema.clone(),
            landed,
        })
    }

    /// Whether every channel has committed its last row, and none was rejected.
    pub(crate) fn is_committed(&self) -> bool {
        self.lines.iter().all(Line::is_complete)
    }

    /// Whether every row is in its table, exactly once.
    pub(crate) fn is_exact(&self) -> bool {
        let is_committed = self.is_committed();
        let has_landed = match &self.landed {
            Some((customers, landed)) => {
                let once = self.customers.map(|rows| Count {
                    rows,
                    distinct: rows,
                });
                *customers == once && *landed == Landed::exactly(self.orders, self.items)
            }
            None => self.lines.iter().all(|line| line.inserted == line.rows),
        };
        is_committed && has_landed
    }
}

/// Counts the landed rows, those of customers if they are streamed.
async fn count(
    path: PathBuf,
    schema: Schema,
    has_customers: bool,
) -> Result<(Option<Count>, Landed)> {
    let count = move || {
        let customers = has_customers
            .then(|| landing::customers(&path, &schema))
            .transpose()?;
        Ok((customers, landing::count(&path, &schema)?))
    };
    tokio::task::spawn_blocking(count).await?
}

impl Line {
    fn new(
        table: Table,
        channel: String,
        pipe: &str,
        rows: u64,
        status: Option<&ChannelStatus>,
    ) -> Self {
        let last = || match table {
            Table::Customers => CustomerOffset(rows).to_string(),
            Table::Orders => OrderOffset(rows).to_string(),
            Table::OrderItems => ItemOffset(rows).to_string(),
        };
        let token = status.and_then(ChannelStatus::latest_committed_offset_token);
        Self {
            channel,
            pipe: pipe.to_owned(),
            rows,
            expected: (rows > 0).then(last),
            token: token.map(OffsetToken::to_string),
            inserted: status.map_or(0, ChannelStatus::rows_inserted_count),
            errors: status.map_or(0, ChannelStatus::rows_error_count),
        }
    }

    fn is_complete(&self) -> bool {
        self.token == self.expected && self.errors == 0
    }

    fn cells(&self) -> [String; 7] {
        let remark = if self.is_complete() { "" } else { "incomplete" };
        [
            self.channel.clone(),
            self.pipe.clone(),
            self.token.clone().unwrap_or_else(|| "-".to_owned()),
            self.rows.to_string(),
            self.inserted.to_string(),
            self.errors.to_string(),
            remark.to_owned(),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = [
            "channel",
            "pipe",
            "committed token",
            "rows",
            "inserted",
            "errors",
            "",
        ];
        let mut rows = vec![heads.map(str::to_owned)];
        rows.extend(self.lines.iter().map(Line::cells));
        let columns = [Left, Left, Left, Right, Right, Right, Left];
        f.write_str(&aligned(columns, &rows))?;
        writeln!(f)?;
        if let Some((customers, landed)) = &self.landed {
            let is_incomplete = self.lines.iter().any(|line| line.token != line.expected);
            let expected = [self.customers.unwrap_or(0), self.orders, self.items];
            let comparison = landed.compare(*customers, expected, is_incomplete);
            return f.write_str(&comparison);
        }
        let tables = Table::RELATED.map(|table| self.schema.path(table));
        let [orders, items] = &tables;
        let (customers, orders_expected) = (self.customers.unwrap_or(0), self.orders);
        writeln!(
            f,
            "{customers} customers, {orders_expected} orders and {} order items were expected. To count them in the account:",
            self.items
        )?;
        if self.customers.is_some() {
            let customers = self.schema.path(Table::Customers);
            writeln!(
                f,
                "  {};",
                count_statement(&customers, Table::Customers.id())
            )?;
        }
        for sql in landing::statements(orders, items) {
            writeln!(f, "  {sql};")?;
        }
        Ok(())
    }
}
