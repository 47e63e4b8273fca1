//! The raw and the gold table in an account, read page by page over the SQL API.
//!
//! The SQL API gives its results in partitions, so a page is small enough for one. A page begins with the last key of the page
//! before it, whose rows the page before left out: so a key that is there twice is never cut in two. What is written to the
//! table meanwhile may be read or not.

use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use snowpipe_streaming::sql::{SqlClient, Statement};
use tokio::runtime::Handle;

use super::batches::{self, Batches};
use super::gold::Customer;
use super::groups::Rows;
use super::tables::TableName;

/// The rows of a page. Those of one key have to fit.
const PAGE: usize = 2_000;

/// The rows of a table.
pub(super) fn rows(runtime: &Handle, client: Arc<SqlClient>, table: &TableName) -> Rows<'static> {
    let pages = Pages::new(table);
    batches::rows(runtime, &table.name, |batches| read(client, pages, batches))
}

/// The statements for the first page and for a page from a key on.
struct Pages {
    first: String,
    from_key: String,
}

impl Pages {
    fn new(table: &TableName) -> Self {
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let as_text = |column: &str| format!("CAST({} AS VARCHAR)", quoted(column));
        let columns = table.columns.each_ref().map(|column| as_text(column));
        let [key, ..] = &columns;
        let select = format!("SELECT {} FROM {}", columns.join(", "), table.name);
        // Without a collation, Snowflake compares texts by their bytes.
        let order = format!("ORDER BY {key} NULLS FIRST LIMIT {PAGE}");
        Self {
            first: format!("{select} {order}"),
            from_key: format!("{select} WHERE {key} >= ? {order}"),
        }
    }

    fn statement(&self, from: Option<&String>) -> Statement {
        match from {
            Some(key) => Statement::new(&self.from_key).bind(key),
            None => Statement::new(&self.first),
        }
    }
}

async fn read(client: Arc<SqlClient>, pages: Pages, batches: Batches) -> Result<()> {
    let mut from: Option<String> = None;
    loop {
        let answer = client.query(&pages.statement(from.as_ref())).await?;
        let rows = answer.rows.into_iter().map(customer);
        let mut rows = rows.collect::<Result<Vec<_>>>()?;
        if rows.len() < PAGE {
            return batches.send(rows).await;
        }
        let last = rows.last().and_then(|row| row.customer_id.clone());
        rows.retain(|row| row.customer_id != last);
        if last.is_none() || rows.is_empty() {
            bail!("{PAGE} rows have the same key: name the column that is unique as the key");
        }
        batches.send(rows).await?;
        from = last;
    }
}

fn customer(row: Vec<Option<String>>) -> Result<Customer> {
    let [customer_id, email, phone, date_of_birth] = row
        .try_into()
        .map_err(|_| anyhow!("the answer has other columns than were asked for"))?;
    Ok(Customer {
        customer_id,
        email,
        phone,
        date_of_birth,
    })
}
