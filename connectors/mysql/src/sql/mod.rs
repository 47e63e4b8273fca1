//! SQL for Snowflake: the tables that take a copy and its changes, and the current state that both make.
//!
//! A row of the copy is older than each change, because a page may show a row as it was later, but never a row whose change
//! is not in the log after it. So the newest change of a key decides, and without a change the copy does.

use std::fmt;

use crate::changes::COLUMNS;
use crate::schema::Table;
use crate::types::{Unsupported, snowflake_type};

/// The table in Snowflake that takes the copy. Its changes go to the table with `_CHANGES` after its name.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The database, as Snowflake stores its name.
    pub database: &'a str,
    /// The schema.
    pub schema: &'a str,
    /// The table.
    pub table: &'a str,
}

impl Target<'_> {
    /// The name of the table, or of one that belongs to it.
    fn name(self, suffix: &str) -> impl fmt::Display {
        let table = format!("{}{suffix}", self.table);
        let parts = [self.database, self.schema, &table].map(quoted);
        parts.join(".")
    }
}

/// The table of the copy and that of the changes. New columns of the source become columns of them, and do not vanish.
///
/// # Errors
/// If a column has a type that cannot be kept exactly.
pub fn tables(table: &Table, target: Target<'_>) -> Result<String, Unsupported> {
    let mut columns = Vec::with_capacity(table.columns.len());
    for column in &table.columns {
        columns.push(format!(
            "{} {}",
            column_name(&column.name),
            snowflake_type(column)?
        ));
    }
    let create = |suffix: &str, columns: &[String]| {
        let (target, columns) = (target.name(suffix), columns.join(",\n    "));
        format!(
            "CREATE TABLE IF NOT EXISTS {target} (\n    {columns}\n) ENABLE_SCHEMA_EVOLUTION = TRUE;\n"
        )
    };
    let copy = create("", &columns);
    columns.extend(
        COLUMNS
            .iter()
            .map(|(name, data_type)| format!("{name} {data_type}")),
    );
    Ok(copy + &create("_CHANGES", &columns))
}

/// A view of the current state.
pub fn current_view(table: &Table, target: Target<'_>) -> String {
    let (view, query) = (target.name("_CURRENT"), current(table, target));
    format!("CREATE OR REPLACE VIEW {view} AS\n{query};\n")
}

/// A dynamic table of the current state, which a warehouse keeps up to date.
pub fn current_dynamic_table(
    table: &Table,
    target: Target<'_>,
    warehouse: &str,
    lag: &str,
) -> String {
    let (dynamic, query) = (target.name("_CURRENT"), current(table, target));
    let (lag, warehouse) = (lag.replace('\'', "''"), quoted(warehouse));
    format!(
        "CREATE OR REPLACE DYNAMIC TABLE {dynamic}\n    TARGET_LAG = '{lag}' WAREHOUSE = {warehouse} AS\n{query};\n"
    )
}

/// Without a join or a subquery in a condition, a dynamic table is refreshed by its changes alone.
fn current(table: &Table, target: Target<'_>) -> String {
    let columns: Vec<_> = table
        .columns
        .iter()
        .map(|column| column_name(&column.name))
        .collect();
    let key: Vec<_> = table
        .key
        .iter()
        .filter_map(|column| columns.get(*column).cloned())
        .collect();
    let (columns, key) = (columns.join(", "), key.join(", "));
    let (copy, changes) = (target.name(""), target.name("_CHANGES"));
    format!(
        "SELECT {columns}
FROM (
    SELECT {columns}, CDC_OP
    FROM (
        SELECT {columns}, CDC_OP, CDC_FILE, CDC_POSITION, CDC_ROW FROM {changes}
        UNION ALL
        SELECT {columns}, 'I', 0, 0, 0 FROM {copy}
    )
    QUALIFY ROW_NUMBER() OVER (
        PARTITION BY {key} ORDER BY CDC_FILE DESC, CDC_POSITION DESC, CDC_ROW DESC
    ) = 1
)
WHERE CDC_OP <> 'D'"
    )
}

/// The name of a column. Rows are matched with columns by the name in upper case.
pub fn column_name(column: &str) -> String {
    quoted(&column.to_uppercase())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Column;

    /// A table with a key of two columns, and with names that have to be quoted.
    fn orders() -> Table {
        let column = |name: &str, data_type: &str, column_type: &str| Column {
            name: name.to_owned(),
            data_type: data_type.to_owned(),
            column_type: column_type.to_owned(),
            character_set: (data_type == "varchar").then(|| "utf8mb4".to_owned()),
            is_nullable: true,
        };
        Table {
            database: "shop".to_owned(),
            name: "orders".to_owned(),
            columns: vec![
                column("region", "varchar", "varchar(2)"),
                column("order", "bigint", "bigint(20) unsigned"),
                column("two words", "decimal", "decimal(10,2)"),
                column("extra", "json", "longtext"),
            ],
            key: vec![0, 1],
        }
    }

    /// `tests/current_state/run.sh` runs this script and checks what it computes.
    #[test]
    fn the_script_is_the_one_that_is_checked() {
        let target = Target {
            database: "DB",
            schema: "PUBLIC",
            table: "ORDERS",
        };
        let orders = orders();
        let script = [
            tables(&orders, target).unwrap(),
            current_view(&orders, target),
            current_dynamic_table(&orders, target, "COMPUTE", "1 minute"),
        ];
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/current_state/orders.sql"
        );
        let checked = std::fs::read_to_string(path).unwrap();
        assert_eq!(
            script.join("\n"),
            checked,
            "write the left side to {path} and run tests/current_state/run.sh"
        );
    }
}
