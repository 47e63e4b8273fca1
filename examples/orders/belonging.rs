//! Checks that the channels' committed rows are the rows that this run generates. An offset token gives only their number; the
//! rows depend on the seed, the customers and the instances. So some rows are looked up in the tables before any are added.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use snowpipe_connector_support::data_file::open_read_only;

use crate::config::Config;
use crate::instance::Instance;
use crate::rows::Rows;
use crate::table::{Schema, Table};
use crate::target::{Clients, Target};

/// How many of a channel's first rows are looked up, and how many of its last rows.
const SAMPLE: usize = 16;

/// Some rows that a channel has committed if its rows are those of this run: for each the id, and a number that changes with
/// the customers.
#[derive(Debug)]
struct Sample {
    channel: String,
    table: Table,
    rows: BTreeMap<String, i64>,
}

/// Looks up rows of every channel in the landing, if there is one.
///
/// # Errors
/// If the landing holds other rows, or the server or the landing cannot be queried.
pub(crate) async fn check(
    instances: &[Instance],
    clients: &Clients,
    config: &Config,
    target: &Target,
) -> Result<()> {
    let Some(landing) = target.landing.clone() else {
        return Ok(());
    };
    let mut samples = Vec::new();
    for (table, names) in config.tables() {
        let Some(client) = clients.of(table) else {
            continue;
        };
        let channels = instances.iter().map(|i| names.channel_of(i.number));
        let mut tokens = client.latest_committed_offset_tokens(channels).await?;
        for instance in instances {
            let channel = names.channel_of(instance.number);
            if let Some(token) = tokens.remove(&channel).flatten() {
                let rows = sample(instance, table, token.as_str());
                samples.push(Sample {
                    channel,
                    table,
                    rows,
                });
            }
        }
    }
    let schema = target.schema.clone();
    tokio::task::spawn_blocking(move || look_up(&samples, &landing, &schema)).await?
}

fn sample(instance: &Instance, table: Table, token: &str) -> BTreeMap<String, i64> {
    match table {
        Table::Customers => some_of(&*instance.customers, token, |customer| {
            (customer.customer_id.to_string(), customer.zip_code)
        }),
        Table::Orders => some_of(&*instance.orders, token, |order| {
            (order.order_id.to_string(), order.customer_id)
        }),
        Table::OrderItems => some_of(&*instance.items, token, |item| {
            (item.order_item_id.to_string(), item.unit_price.cents)
        }),
    }
}

fn some_of<R: Rows>(
    rows: &R,
    token: &str,
    of: impl Fn(R::Row) -> (String, u64),
) -> BTreeMap<String, i64> {
    let committed: u64 = token.parse::<R::Offset>().map_or(0, Into::into);
    // The source refuses a channel with more committed rows than it has.
    let last = committed.min(rows.last());
    let numbered = |first: u64| (first..=last).zip(rows.from(first)).take(SAMPLE);
    let before_last = last.saturating_sub(SAMPLE as u64);
    numbered(1)
        .chain(numbered(before_last + 1))
        .map(|(_, (_, row))| of(row))
        .filter_map(|(id, number)| Some((id, i64::try_from(number).ok()?)))
        .collect()
}

fn look_up(samples: &[Sample], landing: &Path, schema: &Schema) -> Result<()> {
    let mut tables: Vec<_> = samples.iter().map(|sample| sample.table).collect();
    tables.dedup();
    for table in tables {
        let of_table = || samples.iter().filter(move |sample| sample.table == table);
        let ids: Vec<_> = of_table().flat_map(|sample| sample.rows.keys()).collect();
        let ids = serde_json::to_string(&ids)?;
        let landed = landed(table, &ids, landing, schema)
            .with_context(|| format!("cannot look into the landing {}", landing.display()))?;
        for Sample { channel, rows, .. } in of_table() {
            let mut found = rows
                .iter()
                .filter_map(|(id, number)| Some((number, landed.get(id)?)))
                .peekable();
            // Some rows may be missing: the server may have rejected them.
            let is_same = rows.is_empty() || found.peek().is_some();
            if !is_same || found.any(|(expected, found)| expected != found) {
                bail!(
                    "the rows of the channel {channel} in {} are not those of this run: use the same --seed, --customers, \
                     instances and --landing as before, or other channels and other tables",
                    landing.display()
                );
            }
        }
    }
    Ok(())
}

/// The rows with these ids.
fn landed(
    table: Table,
    ids: &str,
    landing: &Path,
    schema: &Schema,
) -> rusqlite::Result<BTreeMap<String, i64>> {
    // The ids are compared as text.
    let (id, number) = match table {
        Table::Customers => ("CAST(CUSTOMER_ID AS TEXT)", "ZIP_CODE"),
        Table::Orders => (table.id(), "CUSTOMER_ID"),
        Table::OrderItems => (table.id(), "ROUND(UNIT_PRICE * 100)"),
    };
    let connection = open_read_only(landing)?;
    let sql = format!(
        "SELECT {id}, CAST({number} AS INTEGER) FROM {} WHERE {id} IN (SELECT value FROM json_each(?))",
        schema.table(table)
    );
    let mut select = connection.prepare(&sql)?;
    let rows = select.query_map([ids], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}
