//! Tables as JSON: their columns, their rows, and rejected rows.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::endpoints::{PAGE_BYTES, broken, number, parameters, shown, unknown};
use crate::emulator::catalog::object_name::ObjectName;
use crate::emulator::catalog::tables::{Catalog, Table, kept_as};
use crate::emulator::instance::Emulator;
use crate::emulator::messages::answer::Refusal;
use crate::emulator::storage::interface::StorageError;

/// The default and the greatest length of a page.
const PAGE: usize = 100;
const MOST_PAGE: usize = 1_000;
/// How many rows are read at once, so that a page of long rows does not fill the memory.
const PORTION: usize = 50;

/// A part of a list.
#[derive(Debug)]
pub(crate) struct Page {
    skip: usize,
    limit: usize,
}

impl Page {
    pub(crate) fn read(request: &Request<Bytes>) -> Result<Self, Refusal> {
        let mut page = Self {
            skip: 0,
            limit: PAGE,
        };
        for (name, value) in parameters(request) {
            match name.as_str() {
                "skip" => page.skip = number(&name, &value)?,
                "limit" => page.limit = number(&name, &value)?.min(MOST_PAGE),
                _ => return Err(unknown(&name, "skip and limit")),
            }
        }
        Ok(page)
    }
}

fn unreadable(why: &StorageError) -> Refusal {
    broken("The storage cannot be read", why)
}

fn columns(table: &Table) -> Value {
    let columns = table.columns.iter().map(|column| {
        json!({
            "name": column.name,
            "type": column.data_type.to_string(),
            "nullable": column.nullable,
        })
    });
    columns.collect()
}

/// All tables with their columns and how many rows they have.
pub(crate) fn list(emulator: &Emulator) -> Result<Value, Refusal> {
    let mut handler = emulator.handler();
    let state = &mut handler.state;
    let declared = state.catalog.tables().map(|table| table.name.clone());
    let mut names: BTreeSet<ObjectName> = declared.collect();
    if state.catalog.is_anything() {
        // A table exists because a client sends rows to it.
        let pipes = state.channels().map(|channel| &channel.record.pipe);
        names.extend(pipes.filter_map(|pipe| Some(state.catalog.pipe(pipe)?.table)));
    }
    let mut listed = Vec::new();
    for name in names {
        let Some(table) = state.catalog.table(&name) else {
            continue;
        };
        let rows = state.storage.count(&name).map_err(|why| unreadable(&why))?;
        listed.push(json!({ "name": shown(&name), "columns": columns(table), "rows": rows }));
    }
    Ok(json!({ "tables": listed }))
}

/// A table by the name in an address, and the name its rows are kept under.
fn find<'a>(catalog: &'a Catalog, name: &str) -> Result<(&'a Table, ObjectName), Refusal> {
    let missing = || {
        Refusal::new(
            StatusCode::NOT_FOUND,
            "ERR_TABLE_DOES_NOT_EXIST",
            format!(
                "There is no table {name}: write DATABASE.SCHEMA.TABLE; GET /_emulator/tables lists them."
            ),
        )
    };
    let asked = ObjectName::from_dotted(name).ok_or_else(missing)?;
    let found = catalog.table(&asked).ok_or_else(missing)?;
    Ok((found, kept_as(found, &asked).clone()))
}

/// The numbers of rows and of rejected rows of a table.
pub(crate) fn counts(emulator: &Emulator, name: &str) -> Result<(u64, u64), Refusal> {
    let mut handler = emulator.handler();
    let state = &mut handler.state;
    let (_, name) = find(&state.catalog, name)?;
    let rows = state.storage.count(&name).map_err(|why| unreadable(&why))?;
    let errors = state.storage.error_count(&name);
    Ok((rows, errors.map_err(|why| unreadable(&why))?))
}

/// A page of the rows of a table, in the order they landed.
pub(crate) fn rows(emulator: &Emulator, name: &str, page: &Page) -> Result<Value, Refusal> {
    let mut handler = emulator.handler();
    let state = &mut handler.state;
    let (table, name) = find(&state.catalog, name)?;
    let count = state.storage.count(&name).map_err(|why| unreadable(&why))?;
    let mut listed: Vec<Value> = Vec::new();
    let mut bytes = 0;
    while listed.len() < page.limit && bytes < PAGE_BYTES {
        let portion = PORTION.min(page.limit - listed.len());
        let skip = page.skip.saturating_add(listed.len());
        let rows = state.storage.page(&name, skip, portion);
        let rows = rows.map_err(|why| unreadable(&why))?;
        if rows.is_empty() {
            break;
        }
        for cells in rows {
            let row = table.to_json(cells);
            bytes += row.to_string().len();
            listed.push(row);
        }
    }
    Ok(json!({
        "name": shown(&name),
        "columns": columns(table),
        "count": count,
        "skip": page.skip,
        "rows": listed,
    }))
}

/// A page of the rejected rows of a table.
pub(crate) fn error_rows(emulator: &Emulator, name: &str, page: &Page) -> Result<Value, Refusal> {
    let mut handler = emulator.handler();
    let state = &mut handler.state;
    let (_, name) = find(&state.catalog, name)?;
    let count = state.storage.error_count(&name);
    let count = count.map_err(|why| unreadable(&why))?;
    let mut listed: Vec<Value> = Vec::new();
    let mut bytes = 0;
    while listed.len() < page.limit && bytes < PAGE_BYTES {
        let portion = PORTION.min(page.limit - listed.len());
        let skip = page.skip.saturating_add(listed.len());
        let rows = state.storage.error_page(&name, skip, portion);
        let rows = rows.map_err(|why| unreadable(&why))?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            bytes += row.payload.len() + row.message.len();
            listed.push(json!({
                "message": row.message,
                "payload": row.payload,
                "offset_token_lower_bound": row.offset_token_lower_bound,
                "offset_token_upper_bound": row.offset_token_upper_bound,
            }));
        }
    }
    Ok(json!({
        "name": shown(&name),
        "count": count,
        "skip": page.skip,
        "rows": listed,
    }))
}
