//! Counts rows in the emulator's data file, over a separate read-only connection.

use std::path::Path;

use anyhow::{Context, Result};
use snowpipe_connector_support::text_table::Align::{Left, Right};
use snowpipe_connector_support::text_table::aligned;

use snowpipe_streaming::sql::{SqlClient, Statement};

use crate::table::{Schema, Table};
use snowpipe_connector_support::data_file::{
    self, Landed as Count, count_statement, open_read_only,
};

/// The counts of orders and items.
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

    /// The found and the expected counts of customers, orders and items, one line each. If the run `is_incomplete`, rows may be
    /// missing, and orders may still be without their items and items without their orders.
    pub(crate) fn compare(
        &self,
        customers: Option<Count>,
        expected: [u64; 3],
        is_incomplete: bool,
    ) -> String {
        let [expected_customers, orders, items] = expected;
        let mut lines = Vec::new();
        if let Some(Count { rows, distinct }) = customers {
            lines.push((
                "customers",
                rows,
                expected_customers,
                rows < expected_customers,
            ));
            lines.push(("customers twice", rows - distinct, 0, false));
        }
        lines.extend([
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
        ]);
        let lines = lines
            .into_iter()
            .map(|(what, found, expected, may_be_early)| {
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
        aligned([Left, Right, Left, Right, Left], &lines.collect::<Vec<_>>())
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

/// Counts the rows in an account, those of customers if they are streamed.
///
/// # Errors
/// If the account does not answer, or its answers are no numbers.
pub(crate) async fn count_in_account(
    client: &SqlClient,
    schema: &Schema,
    has_customers: bool,
) -> Result<(Option<Count>, Landed)> {
    let numbers = async |sql: &str| -> Result<[u64; 2]> {
        let answer = client.query(&Statement::new(sql)).await?;
        let cells = answer.rows.into_iter().next().unwrap_or_default();
        let mut numbers = [0; 2];
        for (number, cell) in numbers.iter_mut().zip(cells) {
            *number = cell
                .as_deref()
                .unwrap_or_default()
                .parse()
                .context("a count is no number")?;
        }
        Ok(numbers)
    };
    let customers = if has_customers {
        let table = schema.path(Table::Customers);
        let [rows, distinct] = numbers(&count_statement(&table, Table::Customers.id())).await?;
        Some(Count { rows, distinct })
    } else {
        None
    };
    let [orders, items] = Table::RELATED.map(|table| schema.path(table));
    let [all_orders, all_items, childless, orphans] = &statements(&orders, &items);
    let [orders, distinct_orders] = numbers(all_orders).await?;
    let [items, distinct_items] = numbers(all_items).await?;
    let [orders_without_items, _] = numbers(childless).await?;
    let [items_without_order, _] = numbers(orphans).await?;
    let landed = Landed {
        orders,
        distinct_orders,
        items,
        distinct_items,
        orders_without_items,
        items_without_order,
    };
    Ok((customers, landed))
}

/// Counts the landed customers.
///
/// # Errors
/// If the file cannot be read, or does not have this table.
pub(crate) fn customers(path: &Path, schema: &Schema) -> Result<Count> {
    let table = Table::Customers;
    data_file::count(path, &schema.table(table), table.id())
}

/// Counts the landed orders and items.
///
/// # Errors
/// If the file cannot be read, or does not have these tables.
pub(crate) fn count(path: &Path, schema: &Schema) -> Result<Landed> {
    let [all_orders, all_items] =
        Table::RELATED.map(|table| data_file::count(path, &schema.table(table), table.id()));
    let (all_orders, all_items) = (all_orders?, all_items?);
    let [orders, items] = Table::RELATED.map(|table| schema.table(table));
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
