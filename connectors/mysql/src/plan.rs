//! How a table is copied: its ranges, and the place in the log from which its changes are followed.
//!
//! A plan is made once, before anything is read, and kept in Snowflake as the offset token of a separate channel. So a program
//! that starts again, on this machine or on another one, continues with the same ranges. Of two programs that start at the same
//! time, one makes the plan: the server refuses the rows of the other, which then reads the plan.

use std::collections::HashMap;
use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row as SqlRow};
use serde::{Deserialize, Serialize};
use snowpipe_streaming::{ErrorKind, StreamingIngestClient};

use crate::connection::answered;
use crate::key::{self, Key, Part};
use crate::pages::Range;
use crate::schema::{Table, quoted};

/// The table with a row for each plan.
pub(crate) const TABLE: &str = "COPY_PLAN";
pub(crate) const COLUMNS: &str = "CHANNEL VARCHAR, PLAN VARIANT";
/// How often the plan is asked for while another program makes it.
const ATTEMPTS: u32 = 5;
const VERSION: u32 = 2;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    version: u32,
    /// Where the changes begin: `bin.000002:1038@1`. Without it they are not followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log: Option<String>,
    /// What orders the rows: see [`order`].
    #[serde(default)]
    pub(crate) key: Vec<String>,
    /// The last key of each range but the last one.
    bounds: Vec<Key>,
}

#[derive(Serialize)]
struct PlanRow<'a> {
    channel: &'a str,
    plan: &'a Plan,
}

impl Plan {
    pub(crate) fn new(log: Option<String>, key: Vec<String>, bounds: Vec<Key>) -> Self {
        Self {
            version: VERSION,
            log,
            key,
            bounds,
        }
    }

    /// The ranges, which together have all keys.
    pub(crate) fn ranges(&self) -> Vec<Range> {
        let ends = self.bounds.iter().cloned().map(Some).chain([None]);
        let starts = [None]
            .into_iter()
            .chain(self.bounds.iter().cloned().map(Some));
        starts
            .zip(ends)
            .map(|(after, through)| Range { after, through })
            .collect()
    }

    fn parse(token: &str) -> Result<Self> {
        let plan: Self = serde_json::from_str(token).context("the token is no plan")?;
        ensure!(
            plan.version == VERSION,
            "the plan was made by another version of this program"
        );
        Ok(plan)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// The plan of a channel, which `make` makes if there is none.
///
/// # Errors
/// If the channel cannot be used, or the plan cannot be made.
pub(crate) async fn agree(
    client: &StreamingIngestClient,
    channel: &str,
    mut make: impl AsyncFnMut() -> Result<Plan>,
) -> Result<Plan> {
    for _ in 0..ATTEMPTS {
        let mut opened = client.open_channel(channel).await?;
        if let Some(token) = opened.resume_after::<String>()? {
            opened.close().await?;
            return Plan::parse(&token)
                .with_context(|| format!("the channel {channel} was used for something else"));
        }
        let plan = make().await?;
        let row = PlanRow {
            channel,
            plan: &plan,
        };
        let kept = match opened.append_row(&row, plan.to_string()).await {
            Ok(receipt) => receipt.committed().await,
            Err(error) => Err(error),
        };
        match kept {
            Ok(()) => {
                opened.close().await?;
                return Ok(plan);
            }
            // Another program has opened the channel.
            Err(error) if matches!(error.kind(), ErrorKind::Invalidated(_)) => {
                tracing::info!(%error, channel, "asking for the plan again");
            }
            Err(error) => return Err(error).context("the plan was not kept"),
        }
    }
    bail!("other programs use the channel {channel}: start one at a time");
}

/// The columns of the key, each with its collation or the kind of its type. The places of rows mean nothing in another order.
///
/// # Errors
/// If the database does not answer.
pub(crate) async fn order(conn: &mut Conn, table: &Table) -> Result<Vec<String>> {
    let query = "SELECT COLUMN_NAME, COLLATION_NAME FROM information_schema.COLUMNS
        WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?";
    let parameters = (&table.database, &table.name);
    let collations: HashMap<String, Option<String>> =
        answered(conn.exec::<(String, Option<String>), _, _>(query, parameters))
            .await?
            .into_iter()
            .collect();
    let order = table.key_columns().map(|column| {
        let collation = collations.get(&column.name).cloned().flatten();
        let order = match collation {
            Some(collation) => collation,
            None if key::is_integer(&column.data_type) => "integer".to_owned(),
            None => column.data_type.clone(),
        };
        format!("{} {order}", column.name)
    });
    Ok(order.collect())
}

/// The last keys of ranges of roughly the same size, without that of the last range.
///
/// # Errors
/// If the database does not answer.
pub(crate) async fn bounds(conn: &mut Conn, table: &Table, channels: u32) -> Result<Vec<Key>> {
    if channels < 2 {
        return Ok(Vec::new());
    }
    if key::is_integer_key(table) {
        integer_bounds(conn, table, channels).await
    } else {
        counted_bounds(conn, table, channels).await
    }
}

/// Equal parts of the numbers between the first key and the last one.
async fn integer_bounds(conn: &mut Conn, table: &Table, channels: u32) -> Result<Vec<Key>> {
    let (names, from) = names(table);
    let query = format!("SELECT MIN({names}), MAX({names}) FROM {from}");
    let found: Option<SqlRow> = answered(conn.exec_first(query, ())).await?;
    let value = |at| key::part(table.key_columns().next()?, found.as_ref()?.as_ref(at)?).ok();
    let ends = value(0).zip(value(1));
    let ends = ends.and_then(|(low, high)| key::as_integer(&[low]).zip(key::as_integer(&[high])));
    let Some((low, high)) = ends else {
        // The table is empty.
        return Ok(Vec::new());
    };
    let (size, channels) = (high - low + 1, i128::from(channels));
    let bound = |part: i128| low + size * part / channels - 1;
    let mut bounds: Vec<i128> = (1..channels)
        .map(bound)
        .filter(|bound| *bound >= low)
        .collect();
    bounds.dedup();
    Ok(bounds
        .into_iter()
        .map(|bound| vec![key::integer(bound)])
        .collect())
}

/// Keys at equal distances, which the database counts in the index.
async fn counted_bounds(conn: &mut Conn, table: &Table, channels: u32) -> Result<Vec<Key>> {
    let (names, from) = names(table);
    let query = format!("SELECT COUNT(*) FROM {from}");
    let rows: Option<u64> = answered(conn.query_first(query)).await?;
    let rows = rows.unwrap_or(0);
    let mut bounds: Vec<Key> = Vec::new();
    for part in 1..u64::from(channels) {
        let Some(before) = (rows * part / u64::from(channels)).checked_sub(1) else {
            continue;
        };
        let query = format!("SELECT {names} FROM {from} ORDER BY {names} LIMIT 1 OFFSET {before}");
        let Some(row) = answered(conn.exec_first::<SqlRow, _, _>(query, ())).await? else {
            continue;
        };
        let columns = table.key_columns().enumerate();
        let parts = columns
            .map(|(at, column)| key::part(column, row.as_ref(at).context("the row has no key")?));
        let bound: Vec<Part> = parts.collect::<Result<_>>()?;
        if bounds.last() != Some(&bound) {
            bounds.push(bound);
        }
    }
    Ok(bounds)
}

/// The columns of the key, and the table, in a statement.
fn names(table: &Table) -> (String, String) {
    let key: Vec<_> = table
        .key_columns()
        .map(|column| quoted(&column.name))
        .collect();
    let from = format!("{}.{}", quoted(&table.database), quoted(&table.name));
    (key.join(", "), from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_every_key_once() {
        let bounds = vec![vec![Part::Int(10)], vec![Part::Int(20)]];
        let log = Some("bin.000002:1038@1".to_owned());
        let plan = Plan::new(log, vec!["id integer".to_owned()], bounds.clone());
        let ranges = plan.ranges();
        assert_eq!(ranges.len(), 3);
        assert_eq!(ranges[0].after, None);
        assert_eq!(ranges[2].through, None);
        for (pair, bound) in ranges.windows(2).zip(&bounds) {
            assert_eq!(pair[0].through.as_ref(), Some(bound));
            assert_eq!(pair[1].after.as_ref(), Some(bound));
        }
        assert_eq!(Plan::parse(&plan.to_string()).unwrap(), plan);
        assert_eq!(
            Plan::new(None, Vec::new(), Vec::new()).ranges(),
            [Range::default()]
        );
    }

    #[test]
    fn a_token_of_another_program_is_no_plan() {
        for token in ["41", "{}", r#"{"version":1,"bounds":[]}"#] {
            assert!(Plan::parse(token).is_err(), "{token}");
        }
    }
}
