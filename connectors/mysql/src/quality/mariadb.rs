//! The source in MariaDB.
//!
//! MariaDB has no index in the order of the key's bytes, so it sorts once and one result is read to its end, instead of pages
//! that each sort again.

use std::time::Duration;

use anyhow::{Result, anyhow};
use futures_util::TryStreamExt;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::batches::{self, Batches};
use super::gold::Customer;
use super::groups::Rows;
use super::tables::TableName;

const BATCH: usize = 1_000;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long MariaDB may take to sort, and then for each further row.
const SORT_TIMEOUT: Duration = Duration::from_secs(3_600);
const ROW_TIMEOUT: Duration = Duration::from_secs(60);

type Columns = (
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
);

/// The rows of a table.
pub(super) fn rows(runtime: &Handle, options: Opts, table: &TableName) -> Rows<'static> {
    let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
    // The bytes of the column's own character set may have another order.
    let as_text = |column: &str| format!("CONVERT({column} USING utf8mb4)");
    let as_bytes = |text: &str| format!("CAST({text} AS BINARY)");
    let name: Vec<_> = table.name.split('.').map(quoted).collect();
    let select = table.select(&name.join("."), quoted, as_text, as_bytes);
    batches::rows(runtime, &table.name, |batches| {
        read(options, select, batches)
    })
}

async fn read(options: Opts, select: String, batches: Batches) -> Result<()> {
    let mut connection = timeout(CONNECT_TIMEOUT, Conn::new(options))
        .await
        .map_err(|_| {
            anyhow!("the database did not accept a connection within {CONNECT_TIMEOUT:?}")
        })??;
    let start = timeout(SORT_TIMEOUT, connection.query_stream::<Columns, _>(select)).await;
    let mut rows =
        start.map_err(|_| anyhow!("the database did not sort within {SORT_TIMEOUT:?}"))??;
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let next = timeout(ROW_TIMEOUT, rows.try_next()).await;
        let Some(row) =
            next.map_err(|_| anyhow!("the database sent no row for {ROW_TIMEOUT:?}"))??
        else {
            return batches.send(batch).await;
        };
        batch.push(customer(row));
        if batch.len() == BATCH {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
            batches.send(full).await?;
        }
    }
}

fn customer((customer_id, email, phone, date_of_birth): Columns) -> Customer {
    Customer {
        customer_id,
        email,
        phone,
        date_of_birth,
    }
}
