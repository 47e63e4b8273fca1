//! SHOW PIPES and DESC PIPE.

use std::collections::BTreeMap;

use super::super::answers::{Rejection, ResultSet, StatementType, text_column, time_column};
use super::{Filter, since};
use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::{Pipe, folded};
use crate::channels::state::State;
use crate::sql::failure::Failure;

/// The comment of every default pipe.
const DEFAULT: &str = "Default pipe for Snowpipe Streaming High Performance ingestion to a table. Created and managed by Snowflake.";

/// The columns behind `created_on`, in the order of Snowflake's page SHOW PIPES.
const COLUMNS: [&str; 14] = [
    "name",
    "database_name",
    "schema_name",
    "definition",
    "owner",
    "notification_channel",
    "comment",
    "integration",
    "pattern",
    "error_integration",
    "owner_role_type",
    "invalid_reason",
    "kind",
    "is_snowflake_managed",
];

/// `SHOW PIPES …`: those that CREATE PIPE made, and the default pipes that have a channel.
pub(super) fn show(state: &State, filter: &Filter) -> ResultSet {
    let mut pipes: BTreeMap<ObjectName, Pipe> = BTreeMap::new();
    let made = state.catalog.pipes().map(|pipe| pipe.name.clone());
    let used = state.channels().map(|channel| channel.record.pipe.clone());
    for name in made.chain(used) {
        if let Some(pipe) = state
            .catalog
            .pipe(&name)
            .filter(|pipe| filter.lists(&pipe.name))
        {
            pipes.insert(folded(&name), pipe);
        }
    }
    let most = filter.limit.unwrap_or(usize::MAX);
    let pipes = pipes.values().take(most);
    result(StatementType::Show, state, pipes)
}

/// `DESC PIPE …`
pub(super) fn describe(
    state: &mut State,
    name: &ObjectName,
    shown: &str,
) -> Result<ResultSet, Rejection> {
    let pipe = state.catalog.pipe_in_sql(name);
    let pipe = pipe.ok_or_else(|| Failure::no_object(shown))?;
    Ok(result(StatementType::Describe, state, [&pipe].into_iter()))
}

fn result<'a>(
    kind: StatementType,
    state: &State,
    pipes: impl Iterator<Item = &'a Pipe>,
) -> ResultSet {
    let columns = COLUMNS.into_iter().map(text_column);
    ResultSet {
        kind,
        columns: [time_column("created_on")]
            .into_iter()
            .chain(columns)
            .collect(),
        rows: pipes.map(|pipe| row(state, pipe)).collect(),
    }
}

fn row(state: &State, pipe: &Pipe) -> Vec<Option<String>> {
    let text = |text: &str| Some(text.to_owned());
    let is_default = pipe.definition.is_none();
    let definition = pipe.definition.clone().unwrap_or_else(|| {
        let ObjectName { database, schema, name } = &pipe.table;
        format!(
            "COPY INTO {database}.{schema}.{name} FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE"
        )
    });
    let is_missing = state.catalog.table(&pipe.table).is_none();
    vec![
        Some(since(state)),
        text(&pipe.name.name),
        text(&pipe.name.database),
        text(&pipe.name.schema),
        Some(definition),
        // A default pipe has no owner; the emulator has one role.
        (!is_default).then(|| "EMULATOR".to_owned()),
        None,
        text(if is_default { DEFAULT } else { "" }),
        None,
        None,
        None,
        (!is_default).then(|| "ROLE".to_owned()),
        is_missing.then(|| "The table of the pipe does not exist.".to_owned()),
        text("STREAMING"),
        text(if is_default { "true" } else { "false" }),
    ]
}
