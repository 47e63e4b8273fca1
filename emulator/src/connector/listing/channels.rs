//! SHOW CHANNELS.

use super::super::answers::{
    Rejection, ResultSet, StatementType, number_column, text_column, time_column,
};
use super::super::sessions::Names;
use super::{Filter, full_name, is_at_end, text, time};
use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::folded;
use crate::channels::channel::is_elastic;
use crate::ddl::script::Cursor;
use crate::sql::failure::Failure;
use crate::sql_api::statements::Access;

/// The pipe or the table behind IN.
struct Parent {
    is_table: bool,
    name: ObjectName,
    shown: String,
}

impl Parent {
    fn read(cursor: &mut Cursor<'_>, names: &Names) -> Result<Option<Self>, Rejection> {
        let mut ahead = cursor.clone();
        if !ahead.keyword("IN") {
            return Ok(None);
        }
        let is_table = ahead.keyword("TABLE");
        if !is_table && !ahead.keyword("PIPE") {
            return Ok(None);
        }
        *cursor = ahead;
        let (name, shown) = full_name(cursor, names)?;
        Ok(Some(Self {
            is_table,
            name,
            shown,
        }))
    }
}

/// `SHOW CHANNELS …`. Channels belong to pipes: none is listed IN TABLE, where those of the classic architecture are.
pub(super) fn show(
    access: &Access<'_>,
    names: &Names,
    mut cursor: Cursor<'_>,
) -> Result<ResultSet, Rejection> {
    let like = if cursor.keyword("LIKE") {
        Some(text(&mut cursor)?)
    } else {
        None
    };
    let parent = Parent::read(&mut cursor, names)?;
    let filter = match parent {
        Some(_) => Filter::default(),
        None => Filter::read(&mut cursor, names)?,
    };
    let filter = Filter { like, ..filter };
    is_at_end(&cursor)?;
    let state = &access.handler().state;
    if let Some(parent) = &parent {
        let is_there = if parent.is_table {
            state.catalog.table_in_sql(&parent.name).is_some()
        } else {
            state.catalog.pipe_in_sql(&parent.name).is_some()
        };
        if !is_there {
            return Err(Failure::no_object(&parent.shown).into());
        }
    }
    let listed = state.channels().map(|channel| &channel.record);
    let listed = listed.filter(|record| {
        let name = ObjectName {
            name: record.channel.clone(),
            ..record.pipe.clone()
        };
        let is_meant =
            |parent: &Parent| !parent.is_table && folded(&parent.name) == folded(&record.pipe);
        !is_elastic(&record.channel) && parent.as_ref().is_none_or(is_meant) && filter.lists(&name)
    });
    let rows = listed
        .take(filter.limit.unwrap_or(usize::MAX))
        .map(|record| {
            let pipe = &record.pipe;
            let table = state.catalog.pipe(pipe).map(|pipe| pipe.table.name);
            vec![
                Some(time(record.created_on_ms)),
                Some(record.channel.clone()),
                Some(pipe.database.clone()),
                Some(pipe.schema.clone()),
                table,
                Some(record.client_sequencer.to_string()),
                Some(record.row_sequencer.to_string()),
                record.offset_token.clone(),
                Some(pipe.name.clone()),
                Some("PIPE".to_owned()),
            ]
        });
    Ok(ResultSet {
        kind: StatementType::Show,
        columns: vec![
            time_column("created_on"),
            text_column("name"),
            text_column("database_name"),
            text_column("schema_name"),
            text_column("table_name"),
            number_column("client_sequencer"),
            number_column("row_sequencer"),
            text_column("offset_token"),
            text_column("parent_name"),
            text_column("parent_domain"),
        ],
        rows: rows.collect(),
    })
}
