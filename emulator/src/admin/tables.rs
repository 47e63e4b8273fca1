//! Tables as JSON: their columns, their rows, and rejected rows.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{ACCEPT, HeaderValue};
use http::{Request, StatusCode};
use serde_json::{Map, Value, json};

use super::endpoints::{PAGE_BYTES, broken, number, parameters, shown, unknown};
use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::{Catalog, Table, kept_as};
use crate::instance::Emulator;
use crate::messages::answer::{Answer, Refusal, answer, json_answer};
use crate::storage::interface::StorageError;

/// The default and the greatest length of a page.
const PAGE: usize = 100;
const MOST_PAGE: usize = 1_000;
/// How many rows are read at once, so that a page of long rows does not fill the memory.
const PORTION: usize = 50;
const NDJSON: &str = "application/x-ndjson";

/// The most bytes of rows as NDJSON: they are all rows, or the request is refused.
const MOST_LINES_BYTES: usize = 32 * 1024 * 1024;

/// A part of a list, and how it is answered.
#[derive(Debug)]
pub(crate) struct Page {
    skip: usize,
    limit: usize,
    /// Whether each row is on a separate line: with `?format=ndjson`, or with `Accept: application/x-ndjson`.
    is_ndjson: bool,
}

impl Page {
    pub(crate) fn read(request: &Request<Bytes>) -> Result<Self, Refusal> {
        let accepted = request.headers().get(ACCEPT);
        let accepted = accepted.and_then(|kinds| kinds.to_str().ok());
        let (mut skip, mut limit) = (0, None);
        let mut is_ndjson = accepted.is_some_and(|kinds| kinds.contains(NDJSON));
        for (name, value) in parameters(request) {
            match name.as_str() {
                "skip" => skip = number(&name, &value)?,
                "limit" => limit = Some(number(&name, &value)?),
                "format" => {
                    is_ndjson = match value.as_str() {
                        "json" => false,
                        "ndjson" => true,
                        _ => {
                            return Err(Refusal::malformed(format!(
                                "The format {value:?} is neither json nor ndjson."
                            )));
                        }
                    }
                }
                _ => return Err(unknown(&name, "skip, limit and format")),
            }
        }
        Ok(Self {
            skip,
            limit: match limit {
                limit if is_ndjson => limit.unwrap_or(usize::MAX),
                limit => limit.unwrap_or(PAGE).min(MOST_PAGE),
            },
            is_ndjson,
        })
    }

    fn most_bytes(&self) -> usize {
        if self.is_ndjson {
            MOST_LINES_BYTES
        } else {
            PAGE_BYTES
        }
    }

    /// The rows of a list that has `count` of them.
    fn answer(&self, name: &ObjectName, count: u64, rows: Vec<Value>) -> Result<Answer, Refusal> {
        self.answer_with(name, count, rows, Map::new())
    }

    /// The same, with what else is known of the list.
    fn answer_with(
        &self,
        name: &ObjectName,
        count: u64,
        rows: Vec<Value>,
        mut more: Map<String, Value>,
    ) -> Result<Answer, Refusal> {
        if !self.is_ndjson {
            more.insert("name".to_owned(), shown(name).into());
            more.insert("count".to_owned(), count.into());
            more.insert("skip".to_owned(), self.skip.into());
            more.insert("rows".to_owned(), rows.into());
            return Ok(json_answer(StatusCode::OK, &more.into()));
        }
        let end = self.skip.saturating_add(rows.len()) as u64;
        if rows.len() < self.limit && end < count {
            return Err(Refusal::too_large(format!(
                "The rows are longer than {MOST_LINES_BYTES} bytes as NDJSON: read them in parts, with skip and limit."
            )));
        }
        let mut lines = String::new();
        for row in rows {
            // A string takes everything.
            let _ = writeln!(lines, "{row}");
        }
        Ok(answer(
            StatusCode::OK,
            HeaderValue::from_static(NDJSON),
            lines.into(),
        ))
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
pub(crate) fn rows(emulator: &Emulator, name: &str, page: &Page) -> Result<Answer, Refusal> {
    let mut handler = emulator.handler();
    let state = &mut handler.state;
    let (table, name) = find(&state.catalog, name)?;
    let count = state.storage.count(&name).map_err(|why| unreadable(&why))?;
    let mut listed: Vec<Value> = Vec::new();
    let mut bytes = 0;
    while listed.len() < page.limit && bytes < page.most_bytes() {
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
    let more = Map::from_iter([("columns".to_owned(), columns(table))]);
    page.answer_with(&name, count, listed, more)
}

/// A page of the rejected rows of a table.
pub(crate) fn error_rows(emulator: &Emulator, name: &str, page: &Page) -> Result<Answer, Refusal> {
    let mut handler = emulator.handler();
    let state = &mut handler.state;
    let (_, name) = find(&state.catalog, name)?;
    let count = state.storage.error_count(&name);
    let count = count.map_err(|why| unreadable(&why))?;
    let mut listed: Vec<Value> = Vec::new();
    let mut bytes = 0;
    while listed.len() < page.limit && bytes < page.most_bytes() {
        let portion = PORTION.min(page.limit - listed.len());
        let skip = page.skip.saturating_add(listed.len());
        let rows = state.storage.error_page(&name, skip, portion);
        let rows = rows.map_err(|why| unreadable(&why))?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            bytes += row.payload.len() + row.error.message.len();
            listed.push(json!({
                "code": row.error.code,
                "sql_state": row.error.sql_state,
                "message": row.error.message,
                "column": row.error.column,
                "rejected_at_ms": row.rejected_at_ms,
                "pipe": *row.pipe,
                "channel": *row.channel,
                "payload": row.payload,
                "is_base64": row.is_base64,
                "offset_token_lower_bound": row.offset_token_lower_bound,
                "offset_token_upper_bound": row.offset_token_upper_bound,
            }));
        }
    }
    page.answer(&name, count, listed)
}
