//! Counts rows in the emulator's data file, over a separate read-only connection.

use std::path::Path;

use anyhow::{Context, Result};

use crate::data_file::open_read_only;
use crate::table::{Schema, Table};

/// The counts of the two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Landed {
    pub(crate) orders: u64,
    pub(crate) distinct_orders: u64,
    pub(crate) items: u64,
    pub(crate) distinct_items: u64,
    pub(crate) orders_without_items: u64,
    pub(crate) items_without_order: u64,
}

impl Landed {
    /// The counts if each row has landed exactly once.
    pub(crate) fn exactly(orders: u64, items: u64) -> Self {
        Self {
            orders,
            distinct_orders: orders,
            items,
            distinct_items: items,
            orders_without_items: 0,
            items_without_order: 0,
        }
    }

    /// The found and the expected counts, one line each. If the run `is_incomplete`, rows may be missing, and orders may still
    /// be without their items and items without their orders.
    pub(crate) fn compare(&self, orders: u64, items: u64, is_incomplete: bool) -> String {
        let lines = [
            ("orders", self.orders, orders, self.orders < orders),
            ("orders twice", self.orders - self.distinct_orders, 0, false),
            ("orders without items", self.orders_without_items, 0, true),
            ("order items", self.items, items, self.items < items),
            (
                "order items twice",
                self.items - self.distinct_items,
                0,
                false,
            ),
            (
                "order items without order",
                self.items_without_order,
                0,
                true,
            ),
        ];
        let lines = lines.map(|(what, found, expected, may_be_early)| {
            let verdict = if found == expected {
                ""
            } else if is_incomplete && may_be_early {
                "  not all landed yet"
            } else {
                "  wrong"
            };
            format!("{what:25}  {found:>9} of {expected:>9}{verdict}\n")
        });
        lines.concat()
    }
}

/// The statements that count rows in tables of these names. They work in the emulator's file and in Snowflake.
pub(crate) fn statements(orders: &str, items: &str) -> [String; 4] {
    [
        format!("SELECT count(*), count(DISTINCT ORDER_ID) FROM {orders}"),
        format!("SELECT count(*), count(DISTINCT ORDER_ITEM_ID) FROM {items}"),
        format!(
            "SELECT count(*) FROM {orders} o LEFT JOIN (SELECT DISTINCT ORDER_ID FROM {items}) i \
             ON i.ORDER_ID = o.ORDER_ID WHERE i.ORDER_ID IS NULL"
        ),
        format!(
            "SELECT count(*) FROM {items} i LEFT JOIN (SELECT DISTINCT ORDER_ID FROM {orders}) o \
             ON o.ORDER_ID = i.ORDER_ID WHERE o.ORDER_ID IS NULL"
        ),
    ]
}

/// Counts the landed rows.
///
/// # Errors
/// If the file cannot be read, or does not have these tables.
pub(crate) fn count(path: &Path, schema: &Schema) -> Result<Landed> {
    let count = || -> rusqlite::Result<Landed> {
        let connection = open_read_only(path)?;
        // 256 MiB, so that the ids of millions of rows are compared in memory.
        connection.execute_batch("PRAGMA cache_size = -262144; PRAGMA temp_store = MEMORY")?;
        let [orders, items] = Table::ALL.map(|table| schema.table(table));
        let [all_orders, all_items, childless, orphans] = &statements(&orders, &items);
        let pair = |sql: &str| connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get(0));
        let (orders, distinct_orders) = pair(all_orders)?;
        let (items, distinct_items) = pair(all_items)?;
        Ok(Landed {
            orders,
            distinct_orders,
            items,
            distinct_items,
            orders_without_items: number(childless)?,
            items_without_order: number(orphans)?,
        })
    };
    count().with_context(|| format!("cannot count in the landing {}", path.display()))
}
