//! `ERROR_TABLE(table)`: the rejected rows of a table with `ERROR_LOGGING = TRUE`, in the columns that Snowflake documents.

use std::ops::ControlFlow;

use serde_json::json;
use serde_json::value::RawValue;
use sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, Ident, ObjectNamePart, TableFactor,
    TableFunctionArgs, VisitorMut,
};

use super::{INSTANT, INTEGER, TEXT, instant, named, storage_failure, text};
use crate::catalog::cell::Cell;
use crate::catalog::coercion::DataType;
use crate::catalog::columns::Column;
use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::kept_as;
use crate::channels::state::State;
use crate::sql::failure::Failure;
use crate::sql::names::folded;
use crate::storage::records::RejectedRow;

/// How many rejected rows a query reads at most, and how many bytes of them: they are copied for it.
const MOST_ROWS: usize = 100_000;
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// How many rows are read at a time.
const PORTION: usize = 1_000;

/// Writes `ERROR_TABLE(table)` in FROM as a name that no user can write, because names have no double quotes.
pub(in crate::sql_api) struct ErrorTables;

impl VisitorMut for ErrorTables {
    type Break = Failure;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Failure> {
        let TableFactor::Table {
            name,
            args: arguments @ Some(_),
            ..
        } = factor
        else {
            return ControlFlow::Continue(());
        };
        if !name.to_string().eq_ignore_ascii_case("ERROR_TABLE") {
            return ControlFlow::Continue(());
        }
        match arguments.take().as_ref().and_then(base_name) {
            Some(renamed) => {
                *name = renamed;
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(Failure::syntax(
                "ERROR_TABLE takes the name of a table, such as ERROR_TABLE(DB.SCHEMA.T).",
            )),
        }
    }
}

fn base_name(arguments: &TableFunctionArgs) -> Option<ast::ObjectName> {
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(only))] = arguments.args.as_slice() else {
        return None;
    };
    let mut parts = match only {
        Expr::Identifier(part) => vec![part.clone()],
        Expr::CompoundIdentifier(parts) => parts.clone(),
        _ => return None,
    };
    let last = parts.last_mut()?;
    *last = Ident::with_quote('"', format!("ERROR_TABLE(\"{}\")", folded(last)));
    let parts = parts.into_iter().map(ObjectNamePart::Identifier);
    Some(ast::ObjectName(parts.collect()))
}

/// The table whose error table a name means, if it means one.
pub(super) fn base(name: &ObjectName) -> Option<ObjectName> {
    let of = name.name.strip_prefix("ERROR_TABLE(\"")?;
    Some(ObjectName {
        name: of.strip_suffix("\")")?.to_owned(),
        ..name.clone()
    })
}

pub(super) fn columns() -> Vec<Column> {
    named(&[
        ("TIMESTAMP", INSTANT),
        ("QUERY_ID", TEXT),
        ("ERROR_CODE", INTEGER),
        ("ERROR_METADATA", DataType::Object),
        ("ERROR_DATA", DataType::Object),
    ])
}

pub(super) fn rows(
    state: &mut State,
    name: &ObjectName,
    base: &ObjectName,
) -> Result<Vec<Vec<Cell>>, Failure> {
    let shown = |name: &ObjectName| format!("{}.{}.{}", name.database, name.schema, name.name);
    let table = state.catalog.table_in_sql(base);
    let table = table.ok_or_else(|| Failure::no_object(&shown(base)))?;
    if !table.has_error_logging {
        return Err(Failure::no_object(&format!(
            "{}: ERROR_LOGGING of the table is off",
            shown(name)
        )));
    }
    let kept = kept_as(table, base).clone();
    let mut rows = Vec::new();
    let mut bytes = 0;
    loop {
        let portion = state.storage.error_page(&kept, rows.len(), PORTION);
        let portion = portion.map_err(|why| storage_failure(&why))?;
        if portion.is_empty() {
            return Ok(rows);
        }
        for rejected in portion {
            bytes += rejected.payload.len();
            rows.push(row(&rejected));
        }
        if rows.len() > MOST_ROWS {
            return Err(Failure::too_large(format!("{MOST_ROWS} rejected rows")));
        }
        if bytes > MOST_BYTES {
            let most = format!("{MOST_BYTES} bytes of rejected rows");
            return Err(Failure::too_large(most));
        }
    }
}

fn row(rejected: &RejectedRow) -> Vec<Cell> {
    let error = &rejected.error;
    let content_type = if rejected.is_base64 {
        "binary-base64"
    } else if serde_json::from_str::<&RawValue>(&rejected.payload).is_ok() {
        "json"
    } else {
        "json-invalid"
    };
    let code = error.code.parse().ok();
    let metadata = json!({
        "error_code": code,
        "error_message": error.message,
        "error_source": error.column,
        "sql_state": error.sql_state,
        "service": "snowpipe_streaming",
        "details": {
            "pipe_name": *rejected.pipe,
            "channel_name": *rejected.channel,
            "offset_token_lower_bound": rejected.offset_token_lower_bound,
            "offset_token_upper_bound": rejected.offset_token_upper_bound,
            "error_data_truncated": false,
            "error_data_content_type": content_type,
        },
    });
    vec![
        instant(INSTANT, rejected.rejected_at_ms),
        // There is no query behind a rejected row; Snowflake does not say what it shows.
        text(""),
        code.map_or(Cell::Null, Cell::Integer),
        Cell::Json(metadata.to_string()),
        Cell::Json(json!({ "$1": rejected.payload }).to_string()),
    ]
}
