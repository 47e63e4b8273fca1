//! SHOW SCHEMAS, SHOW TABLES and DESC TABLE: the first columns that Snowflake documents, as far as the emulator knows what is in them.

use std::collections::BTreeSet;

use super::super::answers::{
    Rejection, ResultSet, StatementType, number_column, text_column, time_column,
};
use super::super::sessions::Names;
use super::{Filter, since};
use crate::catalog::cell::Cell;
use crate::catalog::coercion::DataType;
use crate::catalog::columns::{Column, ColumnDefault};
use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::kept_as;
use crate::channels::state::State;
use crate::sql::failure::Failure;
use crate::sql_api::statements::storage_failure;

/// `SHOW TABLES …`
pub(super) fn show(state: &mut State, filter: &Filter) -> Result<ResultSet, Rejection> {
    let since = since(state);
    let listed = tables(state);
    let listed = listed.into_iter().filter(|name| filter.lists(name));
    let listed: Vec<ObjectName> = listed.take(filter.limit.unwrap_or(usize::MAX)).collect();
    let mut rows = Vec::with_capacity(listed.len());
    for name in listed {
        let count = state.storage.count(&name);
        let count = count.map_err(|why| storage_failure(&why))?;
        let texts = [
            since.clone(),
            name.name,
            name.database,
            name.schema,
            "TABLE".to_owned(),
            String::new(),
            String::new(),
            count.to_string(),
        ];
        rows.push(texts.into_iter().map(Some).collect());
    }
    Ok(ResultSet {
        kind: StatementType::Show,
        columns: vec![
            time_column("created_on"),
            text_column("name"),
            text_column("database_name"),
            text_column("schema_name"),
            text_column("kind"),
            text_column("comment"),
            text_column("cluster_by"),
            number_column("rows"),
        ],
        rows,
    })
}

/// `SHOW SCHEMAS …`: those that have a table.
pub(super) fn show_schemas(state: &State, names: &Names, filter: &Filter) -> ResultSet {
    let since = since(state);
    let found = tables(state).into_iter().map(|table| ObjectName {
        name: table.schema.clone(),
        ..table
    });
    let found: BTreeSet<(String, String)> = found
        .filter(|schema| filter.lists(schema))
        .map(|schema| (schema.database, schema.name))
        .collect();
    let most = filter.limit.unwrap_or(usize::MAX);
    let rows = found.into_iter().take(most).map(|(database, schema)| {
        let is = |is: bool| if is { "Y" } else { "N" }.to_owned();
        let is_current = names.database.as_deref() == Some(&database)
            && names.schema.as_deref() == Some(&schema);
        let is_default = is(false);
        let texts = [since.clone(), schema, is_default, is(is_current), database];
        texts.into_iter().map(Some).collect()
    });
    ResultSet {
        kind: StatementType::Show,
        columns: vec![
            time_column("created_on"),
            text_column("name"),
            text_column("is_default"),
            text_column("is_current"),
            text_column("database_name"),
        ],
        rows: rows.collect(),
    }
}

/// The tables that are there.
fn tables(state: &State) -> BTreeSet<ObjectName> {
    let declared = state.catalog.tables().map(|table| table.name.clone());
    let mut known: BTreeSet<ObjectName> = declared.collect();
    if state.catalog.is_anything() {
        // A table exists because a client sends rows to it.
        let pipes = state.channels().map(|channel| &channel.record.pipe);
        known.extend(pipes.filter_map(|pipe| Some(state.catalog.pipe(pipe)?.table)));
    }
    known
}

/// `DESC TABLE …`
pub(super) fn describe(
    state: &mut State,
    name: &ObjectName,
    shown: &str,
) -> Result<ResultSet, Rejection> {
    let found = state.catalog.table_in_sql(name).cloned();
    let table = found.ok_or_else(|| Failure::no_object(shown))?;
    if !state.catalog.is_declared(name) {
        // A table that stands in for any other is there once it holds something.
        let count = state.storage.count(kept_as(&table, name));
        if count.map_err(|why| storage_failure(&why))? == 0 {
            return Err(Failure::no_object(shown).into());
        }
    }
    let rows = table.columns.iter().map(|column| {
        let nullable = if column.nullable { "Y" } else { "N" };
        vec![
            Some(column.name.clone()),
            Some(column.data_type.to_string()),
            Some("COLUMN".to_owned()),
            Some(nullable.to_owned()),
            default(column),
        ]
    });
    let columns = ["name", "type", "kind", "null?", "default"];
    Ok(ResultSet {
        kind: StatementType::Describe,
        columns: columns.into_iter().map(text_column).collect(),
        rows: rows.collect(),
    })
}

/// The default of a column as an expression.
fn default(column: &Column) -> Option<String> {
    let cell = match column.default.as_ref()? {
        ColumnDefault::CurrentTimestamp => return Some("CURRENT_TIMESTAMP()".to_owned()),
        ColumnDefault::Sequence(sequence) => return Some(sequence.to_string()),
        ColumnDefault::Uuid => return Some("UUID_STRING()".to_owned()),
        ColumnDefault::Computed(computed) => return Some(computed.to_string()),
        ColumnDefault::Constant(cell) => cell.clone(),
    };
    Some(match cell {
        Cell::Null => return None,
        Cell::Text(text) if matches!(column.data_type, DataType::Number { .. }) => text,
        Cell::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Cell::Boolean(truth) => truth.to_string().to_uppercase(),
        other => other.into_json().to_string(),
    })
}
