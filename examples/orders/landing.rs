//! Counts rows in the emulator's data file, over a separate read-only connection.

use std::path::Path;

use anyhow::{Context, Result};

use crate::data_file::{self, count_statement, open_read_only};
use crate::table::{Schema, Table};
use crate::text_table::Align::{Left, Right};
use crate::text_table::aligned;

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
                "not all landed yet"
            } else {
                "wrong"
            };
            [
                what.to_owned(),
                found.to_string(),
                "of".to_owned(),
                expected.to_string(),
                verdict.to_owned(),
            ]
        });
        aligned([Left, Right, Left, Right, Left], &lines)
    }
}

/// The statements that count rows in tables of these names. They work in the emulator's file and in Snowflake.
pub(crate) fn statements(orders: &str, items: &str) -> [String; 4] {
    [
        count_statement(orders, Table::Orders.id()),
        count_statement(items, Table::OrderItems.id()),
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
    let [all_orders, all_items] =
        Table::ALL.map(|table| data_file::count(path, &schema.table(table), table.id()));
    let (all_orders, all_items) = (all_orders?, all_items?);
    let [orders, items] = Table::ALL.map(|table| schema.table(table));
    let [_, _, childless, orphans] = &statements(&orders, &items);
    let lonely = || -> rusqlite::Result<(u64, u64)> {
        let connection = open_read_only(path)?;
        // 256 MiB, so that the ids of millions of rows are compared in memory.
        connection.execute_batch("PRAGMA cache_size = -262144; PRAGMA temp_store = MEMORY")?;
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get(0));
        Ok((number(childless)?, number(orphans)?))
    };
    let (orders_without_items, items_without_order) =
        lonely().with_context(|| format!("cannot count in the landing {}", path.display()))?;
    Ok(Landed {
        orders: all_orders.rows,
        distinct_orders: all_orders.distinct,
        items: all_items.rows,
        distinct_items: all_items.distinct,
        orders_without_items,
        items_without_order,
    })
}
