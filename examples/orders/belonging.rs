//! Whether the channels were fed with the rows that this run makes. A token says how many there are; which ones depends on the
//! seed, the customers and the instances, so some of them are looked up in the tables before anything is added.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::config::Config;
use crate::data_file::open_read_only;
use crate::instance::Instance;
use crate::rows::Rows;
use crate::table::{Schema, Table};
use crate::target::{Clients, Target};

/// How many of the first rows of a channel are looked up, and how many of the last.
const SAMPLE: usize = 16;

/// Some rows that a channel has committed if this run fed it: of each its id, and a number that is another one if other
/// customers order.
#[derive(Debug)]
struct Sample {
    channel: String,
    table: Table,
    rows: BTreeMap<String, i64>,
}

/// Looks rows of every channel up in the landing, if there is one.
///
/// # Errors
/// If there are others in their place, or server or landing do not answer.
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
    for table in Table::ALL {
        let channels = instances
            .iter()
            .map(|i| config.names(table).channel_of(i.number));
        let client = clients.of(table);
        let mut tokens = client.latest_committed_offset_tokens(channels).await?;
        for instance in instances {
            let channel = config.names(table).channel_of(instance.number);
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
    // A channel that is further than its rows is refused by the source.
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
    for table in Table::ALL {
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
            // Not each has to be there: the server may have rejected some.
            let is_ours = rows.is_empty() || found.peek().is_some();
            if !is_ours || found.any(|(expected, found)| expected != found) {
                bail!(
                    "the channel {channel} was fed with other rows than this run makes, going by {}: give the --seed, the \
                     --customers, the instances and the --landing of the run that fed it, or name other channels and other \
                     tables",
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
    let (id, number) = match table {
        Table::Orders => ("ORDER_ID", "CUSTOMER_ID"),
        Table::OrderItems => ("ORDER_ITEM_ID", "ROUND(UNIT_PRICE * 100)"),
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
