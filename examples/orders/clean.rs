//! Removes what other writers have left in the tables of an emulator's data file, with the script that is for accounts.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rusqlite::Connection;

use crate::landing::{self, Landed};
use crate::table::{Schema, Table};

const SCRIPT: &str = include_str!("sql/clean.sql");
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// What was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cleaned {
    pub(crate) order_copies: u64,
    pub(crate) item_copies: u64,
    pub(crate) orders_without_items: u64,
    pub(crate) items_without_order: u64,
    /// What is left.
    pub(crate) orders: u64,
    pub(crate) items: u64,
}

impl fmt::Display for Cleaned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            order_copies,
            item_copies,
            orders_without_items,
            items_without_order,
            orders,
            items,
        } = self;
        write!(
            f,
            "deleted: {order_copies} copies of orders, {item_copies} copies of items, {orders_without_items} orders without items, \
             {items_without_order} items without order; {orders} orders and {items} items are left"
        )
    }
}

/// Cleans the tables of a schema. Blocks.
///
/// # Errors
/// If the file cannot be written, or something is left that should have been deleted.
pub(crate) fn clean(path: &Path, schema: &Schema) -> Result<Cleaned> {
    let before = landing::count(path, schema)?;
    run(path, schema).with_context(|| format!("cannot clean the landing {}", path.display()))?;
    let after = landing::count(path, schema)?;
    ensure!(
        after == Landed::exactly(after.orders, after.items),
        "the landing {} is not clean: {after:?}",
        path.display()
    );
    let order_copies = before.orders - before.distinct_orders;
    let item_copies = before.items - before.distinct_items;
    Ok(Cleaned {
        order_copies,
        item_copies,
        orders_without_items: (before.orders - order_copies).saturating_sub(after.orders),
        items_without_order: (before.items - item_copies).saturating_sub(after.items),
        orders: after.orders,
        items: after.items,
    })
}

fn run(path: &Path, schema: &Schema) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch(&script(schema))
}

/// The script with the names of the schema's tables, as SQLite reads it.
pub(crate) fn script(schema: &Schema) -> String {
    let statements: String = SCRIPT
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("USE SCHEMA"))
        .collect();
    let statements = statements.replace("CREATE OR REPLACE TEMPORARY", "CREATE TEMPORARY");
    // Whole words only: KEPT_ORDERS stays.
    let [orders, items] = Table::RELATED.map(|table| schema.table(table));
    statements
        .split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .map(|part| {
            let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let rest = part.get(word.len()..).unwrap_or_default();
            match word {
                "ORDERS" => format!("{orders}{rest}"),
                "ORDER_ITEMS" => format!("{items}{rest}"),
                _ => part.to_owned(),
            }
        })
        .collect()
}
